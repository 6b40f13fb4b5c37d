"""Mistakes of the program and of its peer: refused or reported, and harmless."""

import pytest
from tests.aio.worlds import VIRTUAL, in_every_world, settings_of

from deadpeer.core.limits import Limits
from deadpeer.errors import (
    ConfigError,
    LocalProtocolError,
    PeerClosed,
    RemoteProtocolError,
)


def test_recv_is_refused_where_messages_go_to_a_callback():
    async def main():
        near, far, _ = await VIRTUAL.couple(None, settings_of(on_message=print))
        with pytest.raises(LocalProtocolError, match="on_message"):
            await far.recv()
        await near.close()

    VIRTUAL.run(main())


@in_every_world
def test_a_callback_that_fails_is_reported_and_harms_nobody(world):
    async def main():
        taken = []

        def fails(_, got):
            taken.append(got)
            if got == b"bad":
                raise ValueError(got)

        near, far, _ = await world.couple(None, settings_of(on_message=fails))
        for got in (b"good", b"bad", b"fine"):
            await near.send(got)
        await near.close()
        assert taken == [b"good", b"bad", b"fine"]
        await far.wait_closed()
        (complaint,) = world.complaints
        assert isinstance(complaint["exception"], ValueError)

    world.complaints.clear()
    world.run(main(), complaints=1)
    world.complaints.clear()


def test_after_this_end_has_left_in_a_callback_nothing_more_is_delivered():
    async def main():
        taken = []

        def leaves(peer, got):
            taken.append(got)
            peer.abort()

        near, far, _ = await VIRTUAL.couple(None, settings_of(on_message=leaves))
        for _ in range(5):
            near.send_nowait(b".")
        await far.wait_closed()
        assert taken == [b"."]
        await near.wait_closed()

    VIRTUAL.run(main())


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]], ids=repr)
def test_a_message_that_is_not_bytes_is_refused_and_nothing_is_sent(wrong):
    async def main():
        near, far, _ = await VIRTUAL.couple()
        with pytest.raises(ConfigError, match="bytes"):
            await near.send(wrong)
        with pytest.raises(ConfigError, match="bytes"):
            near.send_nowait(wrong)
        await near.send(bytearray(b"right"))
        await near.send(memoryview(b"too"))
        await near.close()
        assert [got async for got in far] == [b"right", b"too"]

    VIRTUAL.run(main())


def test_a_message_larger_than_the_peer_takes_is_refused_and_nothing_is_sent():
    async def main():
        small = settings_of(limits=Limits(largest_message=100))
        near, far, _ = await VIRTUAL.couple(None, small)
        with pytest.raises(LocalProtocolError, match="larger"):
            await near.send(bytes(101))
        await near.send(bytes(100))
        await near.close()
        assert [len(got) async for got in far] == [100]

    VIRTUAL.run(main())


def test_a_callback_cannot_be_a_coroutine_function():
    async def awaited_by_nobody(*_):
        pass

    for name in ("on_message", "on_change"):
        with pytest.raises(ConfigError, match=name):
            settings_of(**{name: awaited_by_nobody})


def test_a_breach_comes_after_what_arrived_before_it():
    async def main():
        near, far, _ = await VIRTUAL.couple()
        near.send_nowait(b"good")
        near.transport.write(b"\xff")
        assert await far.recv() == b"good"
        for _ in range(2):
            with pytest.raises(RemoteProtocolError) as caught:
                await far.recv()
        assert caught.value.breach == "unknown-frame"
        with pytest.raises(PeerClosed, match=r"protocol-violated: unknown-frame"):
            await near.recv()

    VIRTUAL.run(main())


def test_an_error_behind_an_answer_is_not_overlooked():
    """One read may hold the answer that was awaited, and nonsense behind it."""

    async def main():
        near, far, _ = await VIRTUAL.couple()
        near.transport.write(far._conversation.pong(1) + b"\xff")
        far._conversation.ping(1)
        with pytest.raises(RemoteProtocolError, match="no frame"):
            await far.recv()
        await near.wait_closed()

    VIRTUAL.run(main())
