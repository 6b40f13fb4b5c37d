"""
Scripts that chance writes.

What happens comes a bit after a tick of the timers, so that no two things fall
on one instant: which of them is first would be the loop's to decide.
"""

from hypothesis import strategies as st

from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import Act, Script, Step

__all__ = ["scripts"]

BESIDE = 0.0031  # seconds after a tick
SETTLED = 0.3  # seconds: whatever a protocol said first was acknowledged
STEP = 0.05  # seconds, a multiple of the tick

HEARTBEATS = st.builds(
    Heartbeat,
    interval=st.sampled_from([0.5, 1.0, 2.0]),
    timeout=st.sampled_from([0.5, 1.0, 3.0]),
    suspect_after=st.sampled_from([None, 0.25, 0.75]),
    one_way=st.sampled_from([False, False, False, True]),
)
AMOUNTS: dict[Act, list[float]] = {
    Act.ANSWER: [0.0, 0.1017, 0.3017, 0.7017, 2.0017],
    Act.BLOCK: [0.02, 0.1, 0.4, 1.5, 4.0],
    Act.WRITE: [100, 20_000, 300_000],
    Act.SLOW: [5_000.1, 50_000.1],
}


@st.composite
def scripts(draw, *, acts=tuple(Act), at_most=8):
    """Anything that may happen, in any order."""
    at, steps = SETTLED + BESIDE, []
    # A close that has to wait for what was written is the transport's affair.
    without = draw(st.sampled_from([Act.CLOSE, Act.WRITE]))
    acts = [act for act in acts if act is not without]
    for _ in range(draw(st.integers(0, at_most))):
        at += STEP * draw(st.integers(1, 30))
        act = draw(st.sampled_from(acts))
        amount = draw(st.sampled_from(AMOUNTS[act])) if act in AMOUNTS else 0.0
        steps.append(Step(at, act, amount))
        if act is Act.BLOCK:
            # What comes later comes when it is over: half a tick beside the others.
            at += amount
    return Script(
        name="chance",
        heartbeat=draw(HEARTBEATS),
        steps=tuple(steps),
        until=at + 8.0021,
        delay=draw(st.sampled_from([0.0137, 0.1037])),
    )
