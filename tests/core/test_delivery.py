"""A question that is still on its way: whose fault is the wait?"""

import pytest
from tests.core.driver import watch

from deadpeer.core import judge as codes
from deadpeer.core.events import Died, DrainDue, PingDue, Reason, Suspected
from deadpeer.core.facts import Facts
from deadpeer.core.judge import LOOKS
from deadpeer.core.monitor import Monitor
from deadpeer.core.states import State
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing.kernel_model import KernelModel
from deadpeer.testing.link_model import LinkModel, Shape, Side
from deadpeer.testing.scripts import Act, Script, Step
from deadpeer.testing.simulated import simulate

RULES = Heartbeat(interval=20, timeout=10)
LOOK = RULES.timeout / LOOKS


def asked(rules: Heartbeat = RULES) -> Monitor:
    """A peer that was heard at 0, and asked at 20."""
    monitor = Monitor(rules, now=0.0)
    assert monitor.advance(now=20.0) == (PingDue(1),)
    return monitor


def acked(count: int, at: float, *, outstanding: int | None = 1000) -> Facts:
    return Facts(acked=count, acked_at=at, outstanding=outstanding)


def test_the_deadline_moves_on_while_the_peers_kernel_acknowledges():
    monitor = asked()
    now, count = 21.0, 0
    monitor.drained(now=now, facts=acked(count, at=20.5, outstanding=10_000))
    while now < 200:
        now, count = monitor.wake_at, count + 10
        assert monitor.advance(now=now) == (DrainDue(),)
        monitor.drained(now=now, facts=acked(count, at=now - 0.5))
        assert now < monitor.wake_at <= now + LOOK
    # When the line falls still, the peer has the timeout from the last sign on.
    last_at = now - 0.5
    while monitor.state is not State.DEAD:
        now = monitor.wake_at
        told = monitor.drained(now=now, facts=acked(count, at=last_at))
    assert now == last_at + 10.0
    (died,) = told
    assert isinstance(died, Died)
    assert died.reason is Reason.BACKPRESSURED
    assert died.evidence.covered is False
    assert "1000 bytes not acknowledged" in str(died.evidence)


def test_once_covered_the_timeout_runs():
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(0, at=20.5))
    monitor.drained(now=22.0, facts=acked(500, at=22.0))
    monitor.drained(now=23.0, facts=acked(1000, at=23.0))  # all that waited then
    assert monitor.row.covered
    # What it acknowledges later is no excuse any more.
    (died,) = watch(monitor, until=32.0, facts=acked(9000, at=31.9))
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT
    assert died.evidence.covered is True


def test_the_usual_time_of_delivery_is_part_of_the_timeout():
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(0, at=19.0))
    monitor.drained(now=26.0, facts=acked(1000, at=25.0))
    assert monitor.row.counts_at == 24.0


def test_what_a_ping_waited_for_company_is_part_of_the_timeout():
    monitor = Monitor(RULES, now=0.125)
    assert monitor.advance(now=20.25) == (PingDue(1),)
    monitor.pinged(now=20.25)
    monitor.drained(now=21.25, facts=acked(0, at=20.0))
    monitor.drained(now=26.0, facts=acked(1000, at=25.0))
    assert monitor.row.counts_at == 25.0 - 1.0 - 0.125


@pytest.mark.parametrize("delay", [0.07, 0.105, 0.155])
def test_a_hasty_suspicion_makes_no_verdict_late(delay):
    """Each question waits 0.06 s or 0.09 s for company, and takes its usual time."""
    hasty = Heartbeat(interval=3.3, timeout=2, suspect_after=0.06)
    script = Script(
        name="dies",
        heartbeat=hasty,
        steps=(Step(60, Act.FREEZE),),
        until=80,
        delay=delay,
    )
    died = simulate(script)[-1]
    assert isinstance(died, Died)
    assert died.evidence.silence <= hasty.detection + codes.PUNCTUAL


def test_a_question_that_was_delivered_at_once_has_the_plain_deadline():
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(77, at=20.25, outstanding=0))
    assert monitor.state is State.SUSPECT
    assert monitor.wake_at == 30.0


def test_a_closed_window_is_no_progress():
    monitor = asked()  # its kernel answers the probes of the window, no more
    now = 20.0
    while monitor.state is not State.DEAD:
        now = monitor.wake_at
        told = monitor.drained(now=now, facts=acked(300, at=now - 0.1))
    (died,) = told
    assert now == 30.0
    assert isinstance(died, Died)
    assert died.reason is Reason.BACKPRESSURED


@pytest.mark.parametrize(
    "clue", [{"unanswered": 5.0}, {"paused": True, "unanswered": 10.0}]
)
def test_a_peer_whose_kernel_is_silent_too_is_silent_and_not_backpressured(clue):
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(0, at=20.5))
    *_, died = watch(monitor, until=30.0, facts=acked(0, at=20.5)._replace(**clue))
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT


def test_a_kernel_that_tells_no_instants_is_believed_when_its_count_grows():
    monitor = asked()
    monitor.drained(now=21.0, facts=Facts(acked=0, outstanding=100))
    monitor.drained(now=29.0, facts=Facts(acked=50, outstanding=50))
    assert monitor.row.counts_at == 29.0
    monitor.drained(now=32.0, facts=Facts(acked=100, outstanding=0))
    assert monitor.row.counts_at == 31.0


def test_an_instant_in_the_future_moves_nothing_into_the_future():
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(0, at=20.5))
    monitor.drained(now=22.0, facts=acked(1, at=99.0))
    assert monitor.row.counts_at == 22.0


def test_a_kernel_that_tells_nothing_excuses_nothing():
    monitor = asked()
    monitor.drained(now=21.0)
    assert monitor.wake_at == 30.0
    (died,) = watch(monitor, until=30.0, facts=Facts(outstanding=500))
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT
    assert died.evidence.covered is None
    assert died.evidence.outstanding == 500


def test_a_count_without_what_is_outstanding_covers_at_once():
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(5, at=20.5, outstanding=None))
    assert monitor.row.covered


def test_whoever_sent_the_ping_may_say_what_covers_it():
    monitor = asked()
    monitor.pinged(now=20.0, covers=150)
    monitor.drained(now=21.0, facts=acked(100, at=20.5, outstanding=9000))
    assert not monitor.row.covered
    monitor.drained(now=22.0, facts=acked(150, at=21.5, outstanding=8950))
    assert monitor.row.covered


def test_every_question_is_followed_anew():
    monitor = asked()
    monitor.drained(now=21.0, facts=acked(100, at=20.5, outstanding=0))
    monitor.heard(now=22.0)
    monitor.advance(now=22.0)
    monitor.advance(now=42.0)
    row = monitor.row
    assert (row.acked, row.covers, row.covered) == (codes.UNKNOWN, codes.UNKNOWN, False)
    assert row.stretched == 0.0


def test_progress_is_seen_in_time_however_large_the_margin_is():
    monitor = asked(Heartbeat(interval=20, timeout=10, suspect_after=10))
    now, count = 20.0, 0
    while now < 60:
        now, count = monitor.wake_at, count + 10
        monitor.advance(now=now)
        monitor.drained(now=now, facts=acked(count, at=now, outstanding=10_000))
    assert monitor.state is State.ALIVE


class Upload:
    """A monitor over a link made of numbers: 10 MB, and a ping behind them."""

    def __init__(self, *, bandwidth: float, reads: bool = True) -> None:
        self.rules = Heartbeat(interval=5, timeout=3)
        self.link = LinkModel(Shape(delay=0.02, bandwidth=bandwidth), now=0.0)
        self.monitor = Monitor(self.rules, now=0.0)
        self.near: KernelModel = self.link.kernels[Side.LEFT]
        self.far: KernelModel = self.link.kernels[Side.RIGHT]
        self.reads = reads
        self.waiting = bytearray(b"d" * 10_000_000)
        self.got = 0
        self.told: list[object] = []

    def run(self, *, until: float) -> None:
        while True:
            now = min(self.link.next_at, self.monitor.wake_at)
            if now > until:
                return
            self.link.advance(now=now)
            self._exchange(now)
            if self.monitor.wake_at <= now:
                self._tell(now, self.monitor.advance(now=now))

    def _exchange(self, now: float) -> None:
        del self.waiting[: self.near.write(self.waiting[: 1 << 16], now=now)]
        if self.reads:
            data = self.far.read(1 << 20, now=now)
            self.got += len(data)
            self.far.write(b"p" * data.count(b"?"), now=now)
        if self.near.read(1 << 20, now=now):
            self.monitor.heard(now=now)

    def _tell(self, now: float, events: tuple[object, ...]) -> None:
        for event in events:
            if isinstance(event, PingDue):
                self.waiting += b"?"
                self.monitor.pinged(now=now)
            elif isinstance(event, DrainDue):
                self._tell(now, self.monitor.drained(now=now, facts=self._facts(now)))
            else:
                self.told.append(event)

    def _facts(self, now: float) -> Facts:
        near = self.near
        return Facts(
            arrived_at=near.arrived_at,
            acked=near.acked,
            acked_at=near.acked_at,
            outstanding=near.outstanding + len(self.waiting),
            unanswered=near.unanswered(now=now),
        )


def test_ten_megabytes_over_one_megabit_a_second_are_no_death():
    upload = Upload(bandwidth=125_000)
    upload.run(until=90.0)

    assert upload.got > 10_000_000  # and the ping behind it
    assert upload.told == []


def test_a_cable_cut_in_mid_upload_is_found_in_the_bound():
    upload = Upload(bandwidth=125_000)
    upload.run(until=30.0)
    upload.link.cut()
    upload.run(until=60.0)

    *_, died = upload.told
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT
    assert 30.0 < died.at <= 30.0 + upload.rules.timeout + 0.1


def test_a_peer_that_reads_nothing_is_backpressured_in_the_bound():
    upload = Upload(bandwidth=125_000_000, reads=False)
    upload.run(until=60.0)

    suspected, died = upload.told
    assert isinstance(suspected, Suspected)
    assert isinstance(died, Died)
    assert died.reason is Reason.BACKPRESSURED
    assert died.at == pytest.approx(upload.rules.detection)


def test_segments_that_arrive_behind_a_lost_one_are_progress_too():
    monitor = asked()
    held_up = acked(10, at=20.5)._replace(delivered=3)
    monitor.drained(now=21.0, facts=held_up)
    now = 21.0
    for delivered in range(4, 40):
        now = monitor.wake_at
        assert monitor.advance(now=now) == (DrainDue(),)
        seen = held_up._replace(delivered=delivered, acked_at=now - 0.5)
        monitor.drained(now=now, facts=seen)
    assert now > 30.0
    assert monitor.state is not State.DEAD

    # Acknowledgements that bring nothing new, as of a closed window, are none.
    nothing_new = held_up._replace(delivered=39, acked_at=now + 5.0)
    *_, died = watch(monitor, until=now - 0.5 + RULES.timeout, facts=nothing_new)
    assert isinstance(died, Died)
