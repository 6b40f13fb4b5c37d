"""One connection after the other, in virtual time: when, why, and when no more."""

# ruff: noqa: PT012 - the loop around a call is the one statement

import asyncio
import errno
import ssl
from typing import Any

import pytest
from tests.aio.worlds import QUICK, SLACK, settings_of

from deadpeer.aio.connection import Connection
from deadpeer.aio.reconnecting import is_final, reconnecting
from deadpeer.core.frames import Farewell
from deadpeer.core.states import State
from deadpeer.errors import (
    ConfigError,
    PeerClosed,
    PeerDead,
    PeerReset,
    PeerSilent,
    RemoteProtocolError,
)
from deadpeer.policy.backoff import Backoff
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, VirtualLoop

FIXED = Backoff(first=1.0, cap=8.0, factor=2.0, steady=10.0)
ALMOST_ONE = 1 - 1e-12  # the longest wait, so that instants can be compared


class Net(VirtualLoop):
    """Virtual time in which one server can be reached, or not."""

    def __init__(self):
        super().__init__()
        self.up = True
        self.tried_at = []
        self.links = []
        self.ends = []
        self.settings = settings_of()

    def come_up(self):
        self.up = True

    async def create_connection(self, factory: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        self.tried_at.append(self.time())
        await asyncio.sleep(0.01)
        if not self.up:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        link = FakeLink(delay=0.005)
        self.links.append(link)
        left, right = link.connect(factory, lambda: Connection(self.settings))
        self.ends.append(right.get_protocol())
        return left, left.get_protocol()


def play(story):
    """Run a story with the net it happens on."""
    with asyncio.Runner(loop_factory=Net) as runner:
        loop: Any = runner.get_loop()

        async def main():
            await story(loop)
            await asyncio.sleep(60)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left
            assert {end.state for end in loop.ends} <= {State.CLOSED, State.DEAD}

        return runner.run(main())


def attempts_on(net, **more):
    more.setdefault("backoff", FIXED)
    made = reconnecting("game.example", 7, heartbeat=QUICK, safety_net=False, **more)
    made.chance = lambda: ALMOST_ONE
    return made


def test_a_connection_that_ended_is_followed_by_the_next_which_knows_why():
    async def story(net):
        attempts = attempts_on(net)
        ends = []
        async for peer in attempts:
            ends.append(attempts.why)
            await asyncio.sleep(20)
            if len(ends) == 1:
                net.links[-1].cut()
            elif len(ends) == 2:
                await net.ends[-1].close(Farewell.OVERLOADED)
            elif len(ends) == 3:
                net.links[-1].reset()
            else:
                break
            with pytest.raises((PeerDead, PeerClosed)):
                await peer.recv()
        assert ends[0] is None
        assert isinstance(ends[1], PeerSilent)
        assert ends[1].evidence.silence <= QUICK.detection + SLACK
        assert ends[2].reason == "overloaded"
        assert isinstance(ends[3], PeerReset)

    play(story)


def test_waits_grow_with_each_failure_up_to_the_cap_and_begin_anew_when_steady():
    async def story(net):
        told = []
        attempts = attempts_on(
            net, on_retry=lambda error, delay: told.append((type(error), delay))
        )
        net.up = False
        net.call_later(40, net.come_up)
        async for peer in attempts:
            if len(net.ends) == 1:
                await asyncio.sleep(20)  # steady
                net.up = False
                net.call_later(5, net.come_up)
                net.links[-1].reset()
                await peer.wait_closed()
                told.clear()
            else:
                break
        waits = [round(delay, 3) for _, delay in told]
        assert waits[0] == 1.0, "it was steady"
        assert waits[1:] == [2.0, 4.0]
        gaps = [b - a for a, b in zip(net.tried_at, net.tried_at[1:], strict=False)]
        assert [round(gap) for gap in gaps[:5]] == [2, 4, 8, 8, 8]

    play(story)


def test_a_server_that_hangs_up_at_once_is_not_hammered():
    async def story(net):
        attempts = attempts_on(net)
        rounds = 0
        async for peer in attempts:
            rounds += 1
            if rounds == 6:
                break
            await net.ends[-1].close()
            await peer.wait_closed()
        gaps = [b - a for a, b in zip(net.tried_at, net.tried_at[1:], strict=False)]
        assert [round(gap) for gap in gaps] == [2, 4, 8, 8, 8]

    play(story)


def test_waits_are_drawn_from_zero_to_the_ceiling():
    async def story(net):
        told = []

        def note(_, delay):
            told.append(delay)
            if len(told) == 200:
                raise StopWaiting

        net.up = False
        made = reconnecting("x", 7, backoff=FIXED, on_retry=note, safety_net=False)
        with pytest.raises(StopWaiting):
            async for _ in made:
                pytest.fail("nobody is there")
        late = told[5:]
        assert all(0 <= delay < 8 for delay in late)
        assert min(late) < 1
        assert max(late) > 7

    class StopWaiting(Exception):
        pass

    play(story)


def test_the_body_is_left_by_break_or_an_error_and_the_connection_closed():
    async def story(net):
        async for _ in attempts_on(net):
            break
        await asyncio.sleep(1)
        assert net.ends[-1].error.reason == "done"
        with pytest.raises(ZeroDivisionError):
            async for _ in attempts_on(net):
                _ = 1 / 0
        await asyncio.sleep(1)
        assert net.ends[-1].error.reason == "done"
        with pytest.raises(PeerSilent):
            async for peer in attempts_on(net):
                net.links[-1].cut()
                async for _ in peer:
                    pass
        assert len(net.ends) == 3

    play(story)


def test_a_body_that_ends_while_its_peer_lives_closes_it_and_gets_the_next():
    async def story(net):
        attempts = attempts_on(net)
        seen = []
        async for peer in attempts:
            seen.append(peer)
            if len(seen) == 3:
                break
            continue
        assert [peer.state for peer in seen[:2]] == [State.CLOSED] * 2
        assert isinstance(attempts.why, PeerClosed)
        assert attempts.failures == 2

    play(story)


def test_what_would_end_in_the_same_way_again_is_not_tried_again():
    async def story(net):
        net.settings = settings_of(Heartbeat(interval=500, timeout=700))
        with pytest.raises(RemoteProtocolError) as caught:
            async for _ in attempts_on(net):
                pytest.fail("there is no agreement")
        assert caught.value.breach == "unacceptable-heartbeat"
        assert len(net.tried_at) == 1

    play(story)
    with pytest.raises(ConfigError):
        reconnecting("x")
    with pytest.raises(ConfigError):
        reconnecting("x", 7, within=-1)


def test_which_ends_are_final():
    final = [
        ConfigError("x"),
        RemoteProtocolError("x", breach="unacceptable-heartbeat"),
        PeerClosed("x", reason="unacceptable"),
        ssl.SSLCertVerificationError(1, "expired"),
    ]
    passing = [
        RemoteProtocolError("x", breach="spoke-http"),
        PeerClosed("x", reason="going-away"),
        PeerClosed("x", reason="no-goodbye"),
        PeerSilent("x"),
        ConnectionRefusedError("x"),
        OSError("no such name"),
        ssl.SSLError(1, "x"),
    ]

    assert all(map(is_final, final))
    assert not any(map(is_final, passing))


@pytest.mark.parametrize("after", [0.0, 0.005, 0.012, 0.5, 1.5, 2.1, 5.0])
@pytest.mark.parametrize("up", [True, False])
def test_cancelled_at_any_time_nothing_is_left(after, up):
    async def story(net):
        net.up = up

        async def follow():
            async for peer in attempts_on(net):
                await asyncio.sleep(1)
                net.links[-1].reset()
                await peer.wait_closed()

        following = asyncio.create_task(follow())
        await asyncio.sleep(after)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following

    play(story)
