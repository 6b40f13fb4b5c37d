"""What the parts of a lab run are called, what they mean, and numbers in words."""

import math
from collections.abc import Iterable

from deadpeer.lab.scenario import Setting
from deadpeer.lab.terms import Fault, Situation
from deadpeer.policy.heartbeat import Heartbeat

__all__ = [
    "DONE",
    "FAULTS",
    "SITUATIONS",
    "about",
    "exactly",
    "heartbeat_in_words",
    "only_when",
    "settings_in_words",
    "span",
    "state_label",
    "title_of",
    "used",
]

MINUTE = 60.0
HOUR = 3600.0

FAULTS = {
    Fault.CABLE: "The peer's link goes down, on the far side of a router. Our own"
    " link stays up, as in life.",
    Fault.SILENT_DROP: "A router on the way drops everything, both ways, without a"
    " word: a firewall, a NAT box or a load balancer that forgot the connection.",
    Fault.LOSS_TO_PEER: "Nothing arrives at the peer; what it sends still arrives here.",
    Fault.LOSS_FROM_PEER: "The peer hears everything; nothing of it arrives here.",
    Fault.REBOOT: "The peer loses its link and comes back a moment later, knowing no"
    " connection. It answers the next packet with a reset.",
    Fault.OWN_NIC_DOWN: "Our own network interface is switched off.",
    Fault.PROCESS_KILLED: "The peer's process is killed. Its kernel says goodbye for"
    " it, so this needs no protection.",
    Fault.NORMAL_CLOSE: "The peer closes its socket, and we are told.",
    Fault.OUTAGE: "A silent drop that heals after an eighth of the promise. Nobody"
    " died, so nothing may be reported.",
    Fault.NONE: "Nothing happens at all. Nobody died, so nothing may be reported.",
    Fault.PROCESS_STOPPED: "The peer's process stands still. Its kernel goes on"
    " acknowledging, so only an answer of the process tells.",
    Fault.FORGOTTEN: "A NAT box or firewall on the way forgets the connection, and"
    " drops whatever belongs to it.",
    Fault.FORGOTTEN_WITH_RESETS: "A load balancer on the way forgets the connection,"
    " and answers whatever belongs to it with a reset.",
    Fault.SLOW_LINK: "The link carries 1 Mbit/s, and a large message fills it. The"
    " peer lives, however long its answer waits behind that.",
    Fault.LOSS_OF_5: "One packet in twenty is lost, each way, at a round trip of"
    " 100 ms with jitter. TCP sends it again, later and later.",
    Fault.LOSS_OF_30: "Three packets in ten are lost, each way, at a round trip of"
    " 100 ms with jitter.",
    Fault.WATCHER_STOPPED: "The watching process stands still and goes on later. It"
    " was the slow one, and may accuse nobody who lives.",
    Fault.LOOP_BLOCKED: "Something blocks the watcher's event loop for 1.5 s.",
    Fault.LOOP_BLOCKED_LONGER: "Something blocks the watcher's event loop for 3 s.",
    Fault.CLOCK_STEPPED: "The watcher's wall clock is set an hour forward, and back.",
}

# After what has been done, in a heading.
DONE = {
    Fault.CABLE: "cable pulled",
    Fault.SILENT_DROP: "packets dropped silently",
    Fault.LOSS_TO_PEER: "loss on the way to the peer",
    Fault.LOSS_FROM_PEER: "loss on the way from the peer",
    Fault.REBOOT: "peer rebooted",
    Fault.OWN_NIC_DOWN: "own interface down",
    Fault.PROCESS_KILLED: "peer's process killed",
    Fault.NORMAL_CLOSE: "closed by the peer",
    Fault.OUTAGE: "short outage",
    Fault.NONE: "nothing happened",
    Fault.PROCESS_STOPPED: "peer's process stopped",
    Fault.FORGOTTEN: "forgotten on the way",
    Fault.FORGOTTEN_WITH_RESETS: "forgotten on the way, with resets",
    Fault.SLOW_LINK: "narrow link filled",
    Fault.LOSS_OF_5: "5 % lost",
    Fault.LOSS_OF_30: "30 % lost",
    Fault.WATCHER_STOPPED: "watcher stopped",
    Fault.LOOP_BLOCKED: "event loop blocked for 1.5 s",
    Fault.LOOP_BLOCKED_LONGER: "event loop blocked for 3 s",
    Fault.CLOCK_STEPPED: "wall clock stepped",
}

SITUATIONS = {
    Situation.CONNECTING: "We connect right after the fault; nobody answers. After a"
    " pulled cable the router soon says so, whatever the socket's settings.",
    Situation.IDLE: "Nothing to send, nothing in flight. Only keepalive probes, or a"
    " question of the application, can find out.",
    Situation.UNACKNOWLEDGED: "Data is in flight and is never acknowledged. The"
    " kernel retransmits, and sends no keepalive probes meanwhile.",
    Situation.IDLE_THEN_WRITE: "Idle at the fault, and one write some time later,"
    " which takes the connection away from keepalive half way.",
    Situation.WE_SHUT_DOWN: "We have shut down our direction and wait for the peer's.",
    Situation.PEER_SHUT_DOWN: "The peer has shut down its direction; we have not.",
    Situation.ZERO_WINDOW: "The peer does not read, its window is closed, and we have"
    " more to send. The kernel probes the window, and sends no keepalive probes.",
    Situation.READER_PAUSES: "A live peer stops reading for a little less than the"
    " settings allow, then reads on.",
    Situation.SENDING: "A large message is on its way to the peer; questions and"
    " answers wait behind it.",
    Situation.RECEIVING: "A large message is on its way from the peer.",
    Situation.CUT_OFF: "The same is done to the watcher or its link, and this peer is"
    " silently cut off meanwhile. It has to be found.",
    Situation.BYSTANDER: "A peer on another host, to which nothing is done. It lives.",
}

# Where keepalive works, and where it does not.
QUIET = frozenset((Situation.IDLE, Situation.WE_SHUT_DOWN, Situation.PEER_SHUT_DOWN))
DATA = frozenset(
    (Situation.UNACKNOWLEDGED, Situation.IDLE_THEN_WRITE, Situation.ZERO_WINDOW)
)

TITLES = {
    "nothing": "Nothing set",
    "system": "The system's keepalive",
    "keepalive": "Keepalive alone",
    "user timeout": "User timeout alone",
    "rto max": "RTO max alone",
    "plan": "The plan",
    "custom": "Your settings",
    "heartbeat": "Heartbeats",
}


# The same in the middle of a sentence: "6 of 7 with nothing set".
USED = {
    "nothing": "with nothing set",
    "system": "with the system's keepalive",
    "keepalive": "with keepalive alone",
    "user timeout": "with the user timeout alone",
    "rto max": "with RTO max alone",
    "plan": "with the plan",
    "custom": "with your settings",
    "heartbeat": "with heartbeats",
}


def title_of(setting: Setting) -> str:
    """Return what a setting is called in a heading."""
    return TITLES.get(setting.name, setting.name)


def used(setting: Setting) -> str:
    """Return what a setting is called in a sentence."""
    return USED.get(setting.name, f"with {setting.name}")


def only_when(situations: Iterable[Situation]) -> str:
    """
    Return what some situations have in common, for the reader of a verdict.

    >>> only_when([Situation.UNACKNOWLEDGED, Situation.ZERO_WINDOW])
    'as soon as data is in flight'
    """
    if DATA.issuperset(situations):
        return "as soon as data is in flight"
    if QUIET.issuperset(situations):
        return "while the connection is idle"
    return ""


def state_label(situation: Situation) -> str:
    """Return what a situation is called in a table."""
    if situation is Situation.IDLE_THEN_WRITE:
        return "idle, then a write"
    return str(situation)


def settings_in_words(setting: Setting) -> str:
    """
    Return a setting's values, those of the system where they count.

    >>> from deadpeer.platforms import LINUX
    >>> from deadpeer.policy.keepalive import Keepalive
    >>> alone = Keepalive(user_timeout=4)
    >>> settings_in_words(Setting(name="x", keepalive=alone, defaults=LINUX.defaults))
    'keepalive off, user timeout 4 s'
    """
    if setting.heartbeat:
        return heartbeat_in_words(setting.heartbeat)
    keepalive = setting.keepalive.over(setting.defaults)
    words = ["keepalive off"]
    if keepalive.on:
        words = [
            f"idle {about(keepalive.idle)}",
            f"interval {about(keepalive.interval)}",
        ]
        if not keepalive.user_timeout:  # Linux counts no probes beside one
            words.append(f"{keepalive.probes} probes")
    if keepalive.user_timeout:
        words.append(f"user timeout {about(keepalive.user_timeout)}")
    if setting.keepalive.rto_max:
        words.append(f"RTO max {about(setting.keepalive.rto_max)}")
    return ", ".join(words)


def heartbeat_in_words(heartbeat: Heartbeat) -> str:
    """
    Return when a heartbeat asks, and how long it waits.

    >>> heartbeat_in_words(Heartbeat(interval=20, timeout=10))
    'asks after 20 s of silence, waits for 10 s'
    """
    interval, timeout = round(heartbeat.interval, 2), round(heartbeat.timeout, 2)
    return f"asks after {about(interval)} of silence, waits for {about(timeout)}"


def about(seconds: float | None) -> str:
    """
    Return a duration without needless digits.

    Args:
        seconds: How long; ``math.inf`` is "for ever", None is "-".

    >>> about(10.0), about(1.25), about(7200.0)
    ('10 s', '1.25 s', '7200 s')
    """
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return "for ever"
    return f"{round(seconds, 3):g} s" if seconds < MINUTE else f"{round(seconds)} s"


def exactly(seconds: float) -> str:
    """
    Return a measured duration, in seconds with two decimals.

    Args:
        seconds: How long after the fault.

    >>> exactly(8.414)
    '8.41 s'
    """
    return f"{seconds:.2f} s"


def span(earliest: float, latest: float) -> str:
    """
    Return from when to when something should be, rounded outwards.

    Args:
        earliest: Seconds after the fault.
        latest: Seconds after the fault; ``math.inf`` is never.

    >>> span(3.901, 4.256)
    '3.90 to 4.26 s'
    >>> span(924.8, 1058.7)
    '15 to 18 min'
    >>> span(3.9, math.inf), span(math.inf, math.inf)
    ('3.90 s to never', 'never')
    """
    if math.isinf(earliest):
        return "never"
    divisor, digits, unit = _unit(earliest)
    scale = 10**digits
    first = math.floor(earliest / divisor * scale + 1e-9) / scale
    if math.isinf(latest):
        return f"{first:.{digits}f} {unit} to never"
    last = math.ceil(latest / divisor * scale - 1e-9) / scale
    return f"{first:.{digits}f} to {last:.{digits}f} {unit}"


def _unit(seconds: float) -> tuple[float, int, str]:
    """Return the divisor, the decimals and the unit in which to write it."""
    if seconds >= 2 * HOUR:
        return HOUR, 1, "h"
    if seconds >= 2 * MINUTE:
        return MINUTE, 0, "min"
    return 1.0, 2, "s"
