"""
The scripts that every driver has to play: what has gone wrong in real life.

One second of silence, one for the answer, a warning after half of that. Before
each fault the peer says something, so that the verdict's instant does not hang on
how coarse the driver's timers have been until then.
"""

from types import MappingProxyType

from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing.scripts import Act, Script, Step

__all__ = ["SCRIPTS"]

ASKING = Heartbeat(interval=1.0, timeout=1.0, suspect_after=0.5)
LISTENING = Heartbeat(interval=1.0, timeout=1.0, suspect_after=0.5, one_way=True)

# The peer speaks here; so it is asked a second later, suspect half a second after
# that, and dead at 4.333 s. None of these is a multiple of a timer's tick. What has
# to come between the last two comes at 4.213 s: played five times as fast, a suspicion
# may be two ticks of 0.025 s late, that of its question and its own.
SPOKE = Step(2.333, Act.SAY)
# The answer to that question would be late: at 4.043 s.
THINKS = (SPOKE, Step(2.533, Act.ANSWER, 0.7))

BEATS = tuple(Step(0.633 * nth, Act.SAY) for nth in range(1, 6))


def _script(
    name: str,
    *steps: Step,
    until: float = 6.0,
    heartbeat: Heartbeat = ASKING,
    precise: bool = False,
) -> Script:
    return Script(
        name=name, heartbeat=heartbeat, steps=steps, until=until, precise=precise
    )


LIST = (
    _script("lives"),
    _script(
        "lives and talks", *(Step(0.233 + 0.37 * nth, Act.SAY) for nth in range(14))
    ),
    _script("dies idle", SPOKE, Step(2.533, Act.FREEZE)),
    _script("dies before it answers", *THINKS, Step(3.683, Act.FREEZE)),
    _script(
        "answers late, once",
        *THINKS,
        Step(3.633, Act.ANSWER),
        until=7.0,
    ),
    _script("stops and goes on", SPOKE, Step(2.533, Act.FREEZE), Step(4.213, Act.THAW)),
    _script(
        "stops, goes on, and dies",
        SPOKE,
        Step(2.533, Act.FREEZE),
        Step(4.213, Act.THAW),
        Step(4.283, Act.SAY),
        Step(4.483, Act.FREEZE),
        until=7.5,
    ),
    _script("closes", SPOKE, Step(2.533, Act.CLOSE)),
    _script(
        "closes under suspicion",
        SPOKE,
        Step(2.533, Act.ANSWER, 3.0),
        Step(4.213, Act.CLOSE),
    ),
    _script("is reset", SPOKE, Step(2.533, Act.RESET)),
    # The watcher is at fault.
    _script(
        "answers while the watcher is blocked",
        *THINKS,
        Step(3.583, Act.BLOCK, 1.5),
        Step(4.583, Act.ANSWER),
        until=8.0,
    ),
    # The answer comes a hundredth of a second before the verdict, and is read after.
    _script(
        "answers while the watcher blinks",
        SPOKE,
        Step(2.533, Act.ANSWER, 0.97),
        Step(3.683, Act.ANSWER),
        Step(4.317, Act.BLOCK, 0.05),
        precise=True,
    ),
    _script(
        "is asked late, since the watcher is blocked",
        SPOKE,
        Step(2.683, Act.BLOCK, 2.0),
        until=8.0,
    ),
    _script(
        "dies while the watcher is blocked",
        SPOKE,
        Step(2.533, Act.FREEZE),
        Step(3.483, Act.BLOCK, 1.5),
        until=9.0,
    ),
    _script(
        "lives while nobody reads",
        SPOKE,
        Step(2.533, Act.PAUSE),
        Step(6.183, Act.RESUME),
        until=8.0,
    ),
    _script(
        "dies while nobody reads",
        SPOKE,
        Step(2.533, Act.PAUSE),
        Step(2.733, Act.FREEZE),
        Step(6.583, Act.RESUME),
        until=9.0,
    ),
    # Nobody asks.
    _script("beats", *BEATS, until=4.0, heartbeat=LISTENING),
    _script("beats no more", *BEATS, until=7.0, heartbeat=LISTENING),
    _script("never beats", until=4.0, heartbeat=LISTENING),
    _script(
        "beats late, once", *BEATS, Step(4.883, Act.SAY), until=5.7, heartbeat=LISTENING
    ),
    # The link is at fault.
    _script("the cable is pulled", SPOKE, Step(2.533, Act.CUT)),
    _script("questions are lost", SPOKE, Step(2.533, Act.CUT_TO_PEER)),
    _script("answers are lost", SPOKE, Step(2.533, Act.CUT_TO_WATCHER)),
    _script(
        "the cable is put back in time",
        SPOKE,
        Step(2.533, Act.CUT),
        Step(3.733, Act.MEND),
        until=8.0,
    ),
    _script(
        "stops with a full buffer",
        SPOKE,
        Step(2.533, Act.FREEZE),
        Step(2.583, Act.WRITE, 400_000),
    ),
    _script(
        "lives behind a slow line",
        SPOKE,
        Step(2.533, Act.SLOW, 20_000),
        Step(2.583, Act.WRITE, 100_000),
        until=10.0,
    ),
)

SCRIPTS = MappingProxyType({script.name: script for script in LIST})
"""The scripts by their names, at one second of silence and one for the answer."""
