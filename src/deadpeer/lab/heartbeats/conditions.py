"""
What a rig has to do for one fault: the weather, for how long, which heartbeat.

A plan and nothing more; a quick run has the same faults as a full one, only
shorter where a fault lasts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from deadpeer.lab.heartbeats.odds import odds_of_silence
from deadpeer.lab.scenario import Scenario
from deadpeer.lab.terms import Fault
from deadpeer.lab.wire.weather import Weather
from deadpeer.platforms import Defaults
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["Conditions", "conditions_for"]

# Round trips where loss or a blocked loop is looked at, in seconds.
LOSSY_RTT = 0.1
# And by how much a packet's way varies there, each way.
JITTER = 0.02
BLOCKED_RTT = 0.2

LOSS = {Fault.LOSS_OF_5: 0.05, Fault.LOSS_OF_30: 0.3}
BLOCKED = {Fault.LOOP_BLOCKED: 1.5, Fault.LOOP_BLOCKED_LONGER: 3.0}

# A full run: a minute of standstill, two of loss, ten million bytes.
STANDSTILL = 60.0
LONG_LOSS = 120.0
MESSAGE = 10_000_000
BANDWIDTH = 1e6
BITS = 8

# A quick run: as many times the promise. Whatever was due comes due meanwhile.
QUICK_STANDSTILL = 1.5
QUICK_LOSS = 3.0
QUICK_MESSAGE = 2.0

# A flow that lost its place in a full queue gets nothing through until what others
# have put there is gone, and its retransmission after that: a shorter timeout would
# call a live peer dead. As many times what the queue takes.
QUEUES = 2

# By how much the wall clock is set forward, and then back.
STEP = 3600

# How likely a run may give up a peer that lives, for nothing but bad luck.
RISK = 1e-3
# How finely a timeout that keeps it is looked for, and how far, in seconds.
STRIDE = 0.5
PATIENCE = 120.0

# Retransmissions under loss come at least this often where the kernel can be
# told so (Linux 6.15), in seconds. Source: ip-sysctl, tcp_rto_max_ms: 1 s is the
# least.
RTO_MAX = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """
    What one network and its watcher go through.

    Args:
        heartbeat: How the watcher asks.
        weather: The client's hop, both ways, from the fault on.
        before: The same up to the fault: a connection is made in fair weather.
        lasts: For how many seconds what is done is done; 0 for good.
        message: Bytes that connections have to send, or to receive, all together.
        step: Seconds by which the wall clock is set forward, and later back.
        defaults: The systems at both ends.
        boxed: Whether a box that can forget is on the way.
        resets: Whether it answers what it does not know.
    """

    heartbeat: Heartbeat
    weather: Weather
    before: Weather
    lasts: float = 0.0
    message: int = 0
    step: int = 0
    defaults: Defaults
    boxed: bool = False
    resets: bool = False


def conditions_for(fault: Fault, scenario: Scenario, *, peers: int) -> Conditions:
    """
    Return what a rig does for a fault.

    Args:
        fault: Which.
        scenario: What was asked; its promise is the heartbeats' too.
        peers: How many live peers are asked, where luck has a part in it.

    Raises:
        ConfigError: The promise is too short for heartbeats.
    """
    fair = Weather(delay=scenario.rtt / 2)
    plain = Conditions(
        heartbeat=Heartbeat.within(scenario.within, rtt=scenario.rtt),
        weather=fair,
        before=fair,
        defaults=scenario.defaults,
    )
    if fault in LOSS:
        return lossy(LOSS[fault], scenario, plain, peers=peers)
    if fault in BLOCKED:
        return blocked(BLOCKED[fault], scenario, plain)
    bend = BENDS.get(fault)
    return bend(scenario, plain) if bend else plain


def lossy(
    loss: float, scenario: Scenario, plain: Conditions, *, peers: int
) -> Conditions:
    """Return the conditions under loss, with a timeout that luck hardly reaches."""
    delay = max(LOSSY_RTT, scenario.rtt) / 2
    weather = Weather(delay=delay, jitter=JITTER, loss=loss)
    lasts = LONG_LOSS if scenario.full else QUICK_LOSS * scenario.within
    defaults = scenario.defaults
    if "rto_max" not in scenario.lacks:
        defaults = replace(defaults, rto_max=min(defaults.rto_max, RTO_MAX))
    interval = scenario.within / 2
    questions = peers * (lasts / interval + 1)
    timeout = scenario.within / 3
    while (
        questions * odds_of_silence(weather, timeout=timeout, defaults=defaults) > RISK
        and timeout < PATIENCE
    ):
        timeout += STRIDE
    return replace(
        plain,
        heartbeat=Heartbeat(interval=interval, timeout=timeout),
        weather=weather,
        before=Weather(delay=delay),
        lasts=lasts,
        defaults=defaults,
    )


def blocked(seconds: float, scenario: Scenario, plain: Conditions) -> Conditions:
    """Return the conditions of a blocked loop: far away, so that pings are long."""
    rtt = max(BLOCKED_RTT, scenario.rtt)
    far = Weather(delay=rtt / 2)
    heartbeat = Heartbeat.within(scenario.within, rtt=rtt)
    return replace(plain, heartbeat=heartbeat, weather=far, before=far, lasts=seconds)


def stopped(scenario: Scenario, plain: Conditions) -> Conditions:
    """Return the conditions of a watcher that stands still."""
    quick = QUICK_STANDSTILL * scenario.within
    return replace(plain, lasts=STANDSTILL if scenario.full else quick)


def stepped(scenario: Scenario, plain: Conditions) -> Conditions:
    """Return the conditions of a wall clock that is set forward and back."""
    return replace(plain, lasts=scenario.within / 2, step=STEP)


def narrow(scenario: Scenario, plain: Conditions) -> Conditions:
    """Return the conditions of a line that large messages fill."""
    quick = round(QUICK_MESSAGE * scenario.within * BANDWIDTH / BITS)
    message = MESSAGE if scenario.full else quick
    weather = replace(plain.weather, bandwidth=BANDWIDTH)
    heartbeat = plain.heartbeat
    if heartbeat.timeout < QUEUES * weather.longest:
        timeout = QUEUES * weather.longest
        heartbeat = Heartbeat(interval=scenario.within / 2, timeout=timeout)
    return replace(
        plain,
        heartbeat=heartbeat,
        weather=weather,
        message=message,
        # Twice what the line needs: what is sent again, and the acknowledgements
        # of the other direction, share it.
        lasts=2 * message * BITS / BANDWIDTH,
    )


def forgotten(scenario: Scenario, plain: Conditions) -> Conditions:
    """Return the conditions of a box that forgets without a word."""
    del scenario
    return replace(plain, boxed=True)


def reset(scenario: Scenario, plain: Conditions) -> Conditions:
    """Return the conditions of a box that forgets and answers with resets."""
    del scenario
    return replace(plain, boxed=True, resets=True)


BENDS: dict[Fault, Callable[[Scenario, Conditions], Conditions]] = {
    Fault.FORGOTTEN: forgotten,
    Fault.FORGOTTEN_WITH_RESETS: reset,
    Fault.WATCHER_STOPPED: stopped,
    Fault.CLOCK_STEPPED: stepped,
    Fault.SLOW_LINK: narrow,
}
