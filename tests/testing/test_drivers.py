"""Every driver tells what the simulated one tells; and one that does not is caught."""

import asyncio
import gc
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from examples.select_loop.select_loop import SelectLoop
from hypothesis import given, settings
from tests.testing.driven import VirtualConnection, VirtualGuard, guard_socket
from tests.testing.random_scripts import scripts

from deadpeer.aio.guarding import Guard
from deadpeer.aio.warden import TICK
from deadpeer.core.events import Change, Died, Online, Reason, Suspected, WatcherLate
from deadpeer.core.facts import NO_FACTS
from deadpeer.core.judge import PUNCTUAL
from deadpeer.errors import ConfigError, LocalProtocolError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import (
    SCRIPTS,
    Act,
    Playback,
    Script,
    ScriptedPeer,
    SocketDriver,
    Step,
    check_driver,
    simulate,
)

# In virtual time nothing is late: equal is equal, but for a rounding.
EXACT = {"tolerance": 1e-6, "tick": TICK}
# Where the script begins at another reading of the clock, sums round otherwise, and
# what falls on a deadline may be seen at the next tick.
A_TICK_OFF = {"tolerance": 1.01 * TICK, "tick": TICK}

# A fifth of a second of silence, and one for the answer.
QUICK = 0.2
# Not where the kernels' own timers matter: they are as slow as ever.
PLAYED_ANYWHERE = [one for one in SCRIPTS.values() if not one.is_virtual]
REAL = [one.scaled(QUICK) for one in PLAYED_ANYWHERE]
BUSY_MACHINE = 5

BLOCKED = SCRIPTS["answers while the watcher is blocked"]
DIES = SCRIPTS["dies idle"]

# What a protocol says of its own accord changes when its kernel repeats what, so
# for our own protocol chance leaves the link alone.
OF_PROGRAMS = (
    *(Act.ANSWER, Act.SAY, Act.FREEZE, Act.THAW, Act.CLOSE, Act.RESET),
    *(Act.BLOCK, Act.PAUSE, Act.RESUME),
)

ORDERS = pytest.mark.parametrize(
    "io_first", [True, False], ids=["I/O first", "timers first"]
)


@ORDERS
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_the_guard_tells_what_the_simulation_tells(script, io_first):
    check_driver(lambda: VirtualGuard(io_first=io_first), scripts=[script], **EXACT)


@ORDERS
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_our_own_protocol_tells_what_the_simulation_tells(script, io_first):
    make = lambda: VirtualConnection(io_first=io_first)  # noqa: E731
    check_driver(make, scripts=[script], **EXACT)


@ORDERS
@settings(max_examples=60)
@given(script=scripts())
def test_whatever_happens_the_guard_tells_what_the_simulation_tells(io_first, script):
    check_driver(lambda: VirtualGuard(io_first=io_first), scripts=[script], **EXACT)


@ORDERS
@settings(max_examples=40)
@given(script=scripts(acts=OF_PROGRAMS))
def test_whatever_happens_our_own_protocol_tells_the_same(io_first, script):
    make = lambda: VirtualConnection(io_first=io_first)  # noqa: E731
    check_driver(make, scripts=[script], **A_TICK_OFF)


def select_socket(sock: socket.socket, script: Script, begin) -> list[Change]:
    """Watch by the loop of the example."""
    changes: list[Change] = []
    loop = SelectLoop(sock, script.heartbeat, changes.append)
    begin()
    began_at = time.monotonic()
    for step in script.of_watcher:
        loop.run(until=began_at + step.at)
        if step.act is Act.BLOCK:
            time.sleep(step.amount)
        else:
            loop.reading = step.act is Act.RESUME
    loop.run(until=began_at + script.until)
    return changes


WATCHES = {
    "guard on asyncio": (guard_socket(asyncio.SelectorEventLoop), TICK),
    "guard on uvloop": (guard_socket(uvloop.new_event_loop), TICK),
    "the select loop of the example": (select_socket, 0.0),
}


@pytest.mark.parametrize(("watch", "tick"), WATCHES.values(), ids=list(WATCHES))
def test_a_driver_on_real_sockets_tells_what_the_simulation_tells(watch, tick):
    """All scripts side by side, each in a thread: they wait nearly all the time."""

    def check(script: Script) -> None:
        check_driver(
            lambda: SocketDriver(watch),
            scripts=[script],
            tick=tick,
            attempts=BUSY_MACHINE,
        )

    with ThreadPoolExecutor(len(REAL)) as threads:
        for _ in threads.map(check, REAL):
            pass


def test_real_sockets_play_most_scripts():
    assert len(REAL) > len(SCRIPTS) / 2


# The contract has teeth.


class Telling:
    """A driver that tells what it is told to."""

    def __init__(self, *changes: Change, lateness: float = 0.0) -> None:
        self.playback = Playback(changes=changes, lateness=lateness)
        self.played = 0

    def play(self, _script: Script) -> Playback:
        self.played += 1
        return self.playback


class LatePolling(Guard):
    """Looks when it likes to, every 0.3 s."""

    def _arm(self):
        if self.monitor.wake_at != float("inf"):
            now = self.warden.clock()
            self.warden.wake(self, at=max(self.monitor.wake_at, now + 0.3))


class NotDraining(Guard):
    """Says that everything was read, and has read nothing."""

    def _start_to_drain(self):
        now = self.warden.clock()
        self._carry_out(self.monitor.drained(now=now, facts=NO_FACTS))
        self._arm()


class CountingFromFlush(Guard):
    """Lets time count from when its question has left."""

    asked = None

    def due(self, now):
        transport = self.transport
        if transport.get_extra_info("traffic")().outstanding > 1000:
            self.monitor.row.wake_at = now + 0.01
            self._arm()
        else:
            super().due(now)


class ForgettingToAsk(Guard):
    """Judges, and asks nothing."""

    def _ask(self, sequence, now):
        self.monitor.pinged(now=now)


class DeafToAnswers(Guard):
    """Does not know that a suspect's byte is news."""

    def hear(self, now):
        self.monitor.row.heard_at = now


BROKEN = {
    "polls late": LatePolling,
    "forgets to drain": NotDraining,
    "counts from flush": CountingFromFlush,
    "forgets to ask": ForgettingToAsk,
    "waits with good news": DeafToAnswers,
}


def broken(kind: type[Guard]):
    def make(transport, **settings):
        return kind(transport, detector=None, **settings)

    return lambda: VirtualGuard(make, io_first=False)


@pytest.mark.parametrize("kind", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_driver_is_caught(kind):
    with pytest.raises(AssertionError, match="told otherwise"):
        check_driver(broken(kind), tick=TICK)


def test_who_forgets_to_drain_is_caught_by_a_short_block():
    blinks = SCRIPTS["answers while the watcher blinks"]
    with pytest.raises(AssertionError, match=r"≠ .*Recovered +\S+ Died \(silent\)"):
        check_driver(broken(NotDraining), scripts=[blinks], tick=TICK)


def test_who_counts_from_flush_is_caught_by_a_full_buffer():
    stops = SCRIPTS["stops with a full buffer"]
    with pytest.raises(AssertionError, match=r"≠ .*Died \(backpressured\) +-"):
        check_driver(broken(CountingFromFlush), scripts=[stops], tick=TICK)


def test_a_driver_need_not_be_an_object_of_ours():
    check_driver(lambda: Telling(Online(100.0)), scripts=[SCRIPTS["lives"]])


def test_instants_count_from_online_whatever_the_drivers_clock():
    shifted = [shift(change, 1e6) for change in simulate(DIES)]
    check_driver(lambda: Telling(*shifted), scripts=[DIES])


def shift(change: Change, by: float) -> Change:
    return replace(change, at=change.at + by)


@pytest.mark.parametrize("by", [-0.06, 0.06])
def test_a_verdict_at_another_instant_is_told_apart(by):
    *before, died = simulate(DIES)
    with pytest.raises(AssertionError) as caught:
        check_driver(lambda: Telling(*before, shift(died, by)), scripts=[DIES])
    (line,) = [line for line in str(caught.value).splitlines() if "≠" in line]
    assert line.split() == [
        *("≠", "4.343", "Died", "(silent)"),
        *(f"{4.343 + by:.3f}", "Died", "(silent)"),
    ]


def test_the_message_shows_the_script_and_what_is_missing():
    with pytest.raises(AssertionError) as caught:
        check_driver(lambda: Telling(Online(0.0)), scripts=[DIES])
    said = str(caught.value)
    assert "script 'dies idle'" in said
    assert "2.533 s  the peer stops, as by SIGSTOP" in said
    assert "≠    4.343 Died (silent)" in said


def test_another_reason_is_another_verdict():
    *before, died = simulate(SCRIPTS["is reset"])
    assert isinstance(died, Died)
    silent = Died(died.at, Reason.SILENT, died.evidence)
    with pytest.raises(AssertionError, match=r"Died \(reset\) +2.533 Died \(silent\)"):
        check_driver(lambda: Telling(*before, silent), scripts=[SCRIPTS["is reset"]])


@pytest.mark.parametrize("changes", [(), simulate(DIES)[1:]], ids=["none", "late"])
def test_online_has_to_come_first(changes):
    with pytest.raises(AssertionError, match="first change has to be Online"):
        check_driver(lambda: Telling(*changes), scripts=[DIES])


def test_the_machines_lateness_is_forgiven_and_nothing_else():
    *before, died = simulate(DIES)
    late = Telling(*before, shift(died, 0.09), lateness=0.045)
    check_driver(lambda: late, scripts=[DIES])


def test_a_playback_on_a_late_machine_is_repeated_and_a_punctual_one_is_not():
    late = Telling(Online(0.0), lateness=0.2)
    with pytest.raises(AssertionError, match="told otherwise"):
        check_driver(lambda: late, scripts=[DIES], attempts=3)
    punctual = Telling(Online(0.0))
    with pytest.raises(AssertionError, match="told otherwise"):
        check_driver(lambda: punctual, scripts=[DIES], attempts=3)

    assert (late.played, punctual.played) == (3, 1)


@pytest.mark.parametrize("lateness", [6.0, 60.0])
def test_on_a_machine_as_late_as_the_script_is_long_nothing_is_proven(lateness):
    late = Telling(Online(0.0), lateness=lateness)
    with pytest.raises(AssertionError, match="nothing that could be compared"):
        check_driver(lambda: late, scripts=[DIES])


@pytest.mark.parametrize(
    "nothing",
    [
        {"scripts": []},
        {"scripts": ["dies idle"]},
        {"scripts": SCRIPTS},
        {"attempts": 0},
        {"attempts": 1.5},
        {"tolerance": float("inf")},
        {"tolerance": float("nan")},
        {"tolerance": "0.1"},
        {"tick": -0.1},
        {"tick": float("nan")},
        {"tick": "0.1"},
    ],
    ids=str,
)
def test_a_contract_that_everybody_would_keep_is_refused(nothing):
    silent = Telling(Online(0.0))
    with pytest.raises(ConfigError) as caught:
        check_driver(lambda: silent, **{"scripts": [DIES]} | nothing)
    assert caught.value.field in nothing
    assert silent.played == 0


def test_a_tolerance_as_long_as_the_script_accepts_nobody():
    with pytest.raises(AssertionError, match="nothing that could be compared"):
        check_driver(lambda: Telling(Online(0.0)), scripts=[DIES], tolerance=100)


def test_one_script_is_enough():
    check_driver(lambda: Telling(*simulate(DIES)), scripts=DIES)


# The simulation itself.


def test_the_simulation_keeps_the_promise():
    *_, suspected, died = simulate(DIES)
    heard_at = 2.333 + DIES.delay

    assert isinstance(suspected, Suspected)
    assert isinstance(died, Died)
    assert suspected.at == pytest.approx(heard_at + 1.5)
    assert died.at == pytest.approx(heard_at + 2.0)


def test_who_reads_first_after_a_block_has_nothing_to_tell():
    assert [type(one) for one in simulate(BLOCKED)] == [Online]
    told = simulate(BLOCKED, looks_first=True)
    assert [type(one) for one in told] == [Online, WatcherLate]


def test_coarse_timers_make_a_verdict_late_by_one_tick():
    exact, coarse = simulate(DIES)[-1].at, simulate(DIES, tick=TICK)[-1].at

    assert exact < coarse <= exact + 1.01 * TICK < exact + PUNCTUAL


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_a_script_ends_well_after_the_last_thing_that_is_told(script):
    for looks_first in (False, True):
        last = simulate(script, looks_first=looks_first)[-1]
        assert last.at + 0.5 < script.until


# Scripts are plain data.

BEAT = Heartbeat(interval=1, timeout=1)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([Step(2, Act.SAY), Step(1, Act.SAY)], "sort them by time"),
        ([Step(-1, Act.SAY)], "cannot be"),
        ([Step(1, Act.ANSWER, float("nan"))], "cannot be"),
        (
            [Step(1, Act.BLOCK, 2), Step(2, Act.SAY), Step(2.5, Act.PAUSE)],
            "the watcher is busy until 3.01 s",
        ),
        ([Step("1", Act.SAY)], "cannot be"),
        ([Step(1, "explodes")], "cannot do"),
        ([(1, Act.SAY)], "cannot do"),
        ([Step(1, Act.SLOW, 0)], "cannot be"),
    ],
)
def test_a_script_that_cannot_be_is_refused(steps, said):
    with pytest.raises(ConfigError) as caught:
        Script(name="bad", heartbeat=BEAT, steps=tuple(steps), until=5)
    assert said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("script", PLAYED_ANYWHERE, ids=lambda script: script.name)
def test_a_scaled_script_is_the_same_faster(script):
    slow, fast = simulate(script), simulate(script.scaled(0.5))
    assert [type(one) for one in fast] == [type(one) for one in slow]
    assert [2 * one.at for one in fast] == pytest.approx([one.at for one in slow])


def test_what_a_script_asks_of_the_driver_itself_stands_apart():
    assert [step.act for step in BLOCKED.of_watcher] == [Act.BLOCK]
    assert Act.BLOCK not in {step.act for step in BLOCKED.of_others}


def test_no_real_socket_plays_what_needs_virtual_time():
    near, far = socket.socketpair()
    with near, far, pytest.raises(ConfigError, match="needs virtual time"):
        ScriptedPeer(far, SCRIPTS["the cable is pulled"])


def test_what_no_real_socket_plays_leaves_none_open():
    asked = SocketDriver(lambda *_: ())
    with pytest.raises(ConfigError, match="needs virtual time"):
        asked.play(SCRIPTS["the cable is pulled"])
    gc.collect()  # what was left open would warn, and a warning is an error


def test_a_peer_plays_its_script_once():
    near, far = socket.socketpair()
    with near, far, ScriptedPeer(far, DIES) as peer:
        peer.begin()
        with pytest.raises(LocalProtocolError, match="begun before"):
            peer.begin()


def test_the_page_shows_the_example_as_it_is():
    house = Path(__file__).parents[2]
    page = (house / "docs/how-to/write-a-driver.md").read_text(encoding="utf-8")
    example = (house / "examples/select_loop/select_loop.py").read_text("utf-8")
    loop = example[example.index("class SelectLoop") : example.index("\n\ndef main")]

    assert loop.rstrip() in page
