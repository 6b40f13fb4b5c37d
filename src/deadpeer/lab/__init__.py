"""
The cable that is really pulled: predictions on one side, measurements on the other.

A run builds networks of its own, brings connections into every situation that
TCP can be in, does something to the network, and compares what each connection
was told with what the policy layer had said it would be.
"""
