"""Settings as values, and what they promise: pure, and free of any socket."""

from deadpeer.policy.keepalive import Keepalive

__all__ = ["Keepalive"]
