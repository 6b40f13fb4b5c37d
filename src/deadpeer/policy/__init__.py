"""Settings as values, and what they promise: pure, and free of any socket."""

from deadpeer.policy.assess import Assessment, Traffic, assess
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.middleboxes import MIDDLEBOXES, Middlebox
from deadpeer.policy.planner import Plan, plan, smallest
from deadpeer.policy.predict import Bound, State, predict, unanswered_probes

__all__ = [
    "MIDDLEBOXES",
    "Assessment",
    "Bound",
    "Heartbeat",
    "Keepalive",
    "Middlebox",
    "Plan",
    "State",
    "Traffic",
    "assess",
    "plan",
    "predict",
    "smallest",
    "unanswered_probes",
]
