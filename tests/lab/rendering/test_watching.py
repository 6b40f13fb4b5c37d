"""How far a run is: the counts follow the news."""

from dataclasses import dataclass

from tests.lab.made_run import by_hand, failed

from deadpeer.lab.rendering.watching import Watching
from deadpeer.lab.scenario import Measurement, Run
from deadpeer.lab.terms import Fault, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """News as a run tells it."""

    what: str = "beat"
    elapsed: float = 0.0
    total: float = 20.0
    fault: str = ""
    measurement: Measurement | None = None


def watching(run: Run) -> Watching:
    return Watching(m.cell for m in run.measurements)


def test_before_the_fault_nobody_is_wrong_about_anything():
    seen = watching(by_hand())
    seen.hear(Told(what="built", elapsed=1.5))

    assert (seen.main, seen.since) == (Fault.CABLE, None)
    assert (seen.dying, seen.live) == (11, 2)
    assert (seen.believing, seen.noticed, seen.given_up) == (0, 0, 0)
    assert seen.word(Situation.IDLE, "plan") == "..."


def test_the_clock_runs_from_the_fault_that_most_settings_meet():
    seen = watching(by_hand())
    seen.hear(Told(what="struck", fault="normal close", elapsed=2.0))
    assert (seen.since, seen.believing) == (None, 1)

    seen.hear(Told(what="struck", fault="cable", elapsed=3.0))
    seen.hear(Told(elapsed=7.5))

    assert (seen.since, seen.believing) == (4.5, 11)


def test_believers_become_those_who_noticed():
    run = by_hand()
    seen = watching(run)
    for fault in Fault:
        seen.hear(Told(what="struck", fault=str(fault), elapsed=3.0))
    by_id = {m.cell.id: m for m in run.measurements}

    for name in ("cable/idle/plan/v4", "cable/idle then a write/plan/v4/+0.5s"):
        seen.hear(Told(what="measured", elapsed=9.0, measurement=by_id[name]))

    assert (seen.believing, seen.noticed) == (9, 2)
    assert seen.word(Situation.IDLE, "plan") == "4.10 s"
    assert seen.word(Situation.IDLE_THEN_WRITE, "plan") == "1 of 2"
    assert seen.word(Situation.IDLE, "nothing") == "..."
    assert seen.word(Situation.CONNECTING, "plan") == ""

    for m in run.measurements:
        seen.hear(Told(what="measured", elapsed=20.0, measurement=m))

    assert (seen.believing, seen.noticed, seen.wrong) == (5, 6, 0)
    assert seen.word(Situation.IDLE, "nothing") == "unnoticed"
    assert seen.word(Situation.IDLE_THEN_WRITE, "plan") == "7.80 s"
    assert [s.name for s in seen.settings] == ["nothing", "keepalive", "plan"]
    assert seen.situations[0] is Situation.IDLE


def test_a_live_peer_that_was_given_up_is_counted_apart():
    run = failed(by_hand(), "none/idle/plan/v4", at=6.0, note="given up")
    seen = watching(run)
    for m in run.measurements:
        seen.hear(Told(what="measured", measurement=m))

    assert (seen.given_up, seen.wrong) == (1, 1)
