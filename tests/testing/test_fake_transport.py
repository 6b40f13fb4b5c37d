"""One script on asyncio's own transports and on ours: the protocols see the same."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from deadpeer.testing import FakeLink, run

Transport = asyncio.Transport
LARGE = 3_000_000  # bytes: more than all buffers together
Script = Callable[[Transport, Transport], Awaitable[object]]


class Recorder(asyncio.Protocol):
    """Writes down the callbacks; neighbouring pieces of data are one."""

    def __init__(self, *, keep_open: bool) -> None:
        self.keep_open = keep_open
        self.said: list[str] = []
        self.data = b""
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()
        self.full = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        if not self.said[-1].startswith("data"):
            self.said.append("data")
        self.data += data
        if len(self.data) >= LARGE:
            self.full.set()

    def eof_received(self) -> bool:
        self.said.append("eof")
        self.ended.set()
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.said.append(f"lost {type(exc).__name__}")
        self.ended.set()
        self.lost.set()


def recorder_of(end: Transport) -> Recorder:
    recorder = end.get_protocol()
    assert isinstance(recorder, Recorder)
    return recorder


async def say_and_close(left: Transport, right: Transport) -> None:
    left.write(b"hello")
    left.close()
    left.close()


async def abort(left: Transport, right: Transport) -> None:
    left.write(b"hello")
    left.abort()


async def half_close_and_answer(left: Transport, right: Transport) -> None:
    left.write(b"question")
    left.write_eof()
    await recorder_of(right).ended.wait()
    right.write(b"answer")
    right.close()
    if recorder_of(left).keep_open:
        await recorder_of(left).ended.wait()
        left.close()


async def large_both_ways(left: Transport, right: Transport) -> None:
    for end in (left, right):
        end.writelines([bytes(LARGE // 30)] * 30)
    for end in (left, right):
        await recorder_of(end).full.wait()
    right.close()


async def close_without_reading(left: Transport, right: Transport) -> None:
    right.pause_reading()
    left.write(b"hello")
    await asyncio.sleep(0)
    right.close()
    left.write(b"")


async def wrong_use(left: Transport, right: Transport) -> None:
    with pytest.raises(TypeError):
        left.write("text")
    assert left.can_write_eof()
    assert left.is_reading()
    left.pause_reading()
    left.pause_reading()
    assert not left.is_reading()
    left.resume_reading()
    left.write_eof()
    left.write_eof()
    with pytest.raises(RuntimeError):
        left.write(b"more")
    left.close()
    left.write_eof()
    assert left.is_closing()
    assert not left.is_reading()
    left.resume_reading()


async def play(script: Script, ends: list[Transport]) -> list[object]:
    recorders = [recorder_of(end) for end in ends]
    await script(*ends)
    for end, recorder in zip(ends, recorders, strict=True):
        if recorder.keep_open:
            await recorder.ended.wait()
            end.close()
        await asyncio.wait_for(recorder.lost.wait(), 10)
    return [(recorder.said, len(recorder.data)) for recorder in recorders]


async def real(script: Script, *, keep_open: bool) -> list[object]:
    loop = asyncio.get_running_loop()
    ends: list[Transport] = []
    # Over TCP: the kernel's resets are part of the script.
    with socket.create_server(("127.0.0.1", 0)) as server:
        left = socket.create_connection(server.getsockname())
        right, _ = server.accept()
    for sock in (left, right):
        made, _ = await loop.create_connection(
            lambda: Recorder(keep_open=keep_open), sock=sock
        )
        ends.append(made)
    return await play(script, ends)


async def fake(script: Script, *, keep_open: bool) -> list[object]:
    link = FakeLink()
    ends = link.connect(
        lambda: Recorder(keep_open=keep_open), lambda: Recorder(keep_open=keep_open)
    )
    await asyncio.sleep(0)
    return await play(script, list(ends))


@pytest.mark.parametrize("keep_open", [False, True], ids=["plain", "half open"])
@pytest.mark.parametrize(
    "script",
    [
        abort,
        close_without_reading,
        half_close_and_answer,
        large_both_ways,
        say_and_close,
        wrong_use,
    ],
)
def test_protocols_are_told_what_asyncios_own_transports_tell(script, keep_open):
    expected = asyncio.run(real(script, keep_open=keep_open))

    assert run(fake(script, keep_open=keep_open)) == expected
