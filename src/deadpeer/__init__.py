"""Know in seconds, not hours, that the other end of a TCP connection is gone."""
