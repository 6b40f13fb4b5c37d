"""The simulated driver hands in all that the kernel below it knows."""

from tests.testing.driven import VirtualGuard

from deadpeer.aio.warden import TICK
from deadpeer.core.events import Online, Recovered, Suspected
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import Act, Script, Step, check_driver, simulate

# Its kernel repeats what was lost, the question with it, so late that the answer comes
# half a second after the timeout.
LOSS = Script(
    name="a loss takes long to repeat",
    heartbeat=Heartbeat(interval=1.0, timeout=1.0, suspect_after=0.5),
    steps=(
        Step(2.333, Act.SAY),
        Step(2.533, Act.CUT_TO_PEER),
        Step(2.983, Act.WRITE, 10),
        Step(3.733, Act.MEND),
    ),
    until=8.0,
    delay=0.3,
)


def test_what_the_kernel_takes_to_repeat_a_loss_is_waited_for():
    online, suspected, recovered = simulate(LOSS, tick=TICK)

    assert isinstance(online, Online)
    assert isinstance(suspected, Suspected)
    assert isinstance(recovered, Recovered)
    heard_at = 2.333 + LOSS.delay
    assert recovered.at > heard_at + LOSS.heartbeat.detection + 0.1
    check_driver(VirtualGuard, scripts=[LOSS], tick=TICK, tolerance=1e-6)
