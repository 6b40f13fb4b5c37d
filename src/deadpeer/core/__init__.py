"""A peer is silent: what should be done, and when to look again? Pure: time is an argument."""
