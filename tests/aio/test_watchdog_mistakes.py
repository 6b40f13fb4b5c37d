"""What a watchdog cannot do is refused, where its thread would have failed alone."""

import asyncio

import pytest

from deadpeer.aio.watchdog import Watchdog
from deadpeer.errors import ConfigError


def test_without_a_loop_there_is_nothing_to_watch():
    with pytest.raises(ConfigError) as caught:
        Watchdog().start()
    assert caught.value.field == "loop"


@pytest.mark.parametrize("loop", [0.25, "loop", asyncio])
def test_seconds_in_the_place_of_the_loop_are_refused(loop):
    with pytest.raises(ConfigError, match="is no event loop") as caught:
        Watchdog(loop)
    assert "threshold=" in caught.value.hint


def test_who_could_not_be_told_is_refused():
    async def later(blocked):
        return blocked

    def nothing():
        return None

    with pytest.raises(ConfigError, match="nobody would await"):
        Watchdog(on_blocked=later)
    with pytest.raises(ConfigError, match=r"as on_blocked\(blocked\)"):
        Watchdog(on_blocked=nothing)


def test_a_closed_loop_is_refused():
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(ConfigError, match="is closed"):
        Watchdog(loop).start()


def test_a_block_is_for_its_own_loop():
    """It waited for a sign that the other loop never gives to this one."""
    other = asyncio.new_event_loop()

    async def main():
        with pytest.raises(ConfigError, match="another event loop"):
            async with Watchdog(other):
                pass

    asyncio.run(main())
    other.close()


@pytest.mark.parametrize("threshold", [0, -1, float("nan"), "1"])
def test_a_threshold_is_a_duration(threshold):
    with pytest.raises(ConfigError) as caught:
        Watchdog(threshold=threshold)
    assert caught.value.field == "threshold"
