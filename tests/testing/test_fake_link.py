"""FakeLink: transports that behave as asyncio's, on a link that can be abused."""

import asyncio
import logging
import math
import ssl

import pytest

from deadpeer.errors import ConfigError, LocalProtocolError
from deadpeer.testing import (
    FakeLink,
    FakeTransport,
    Shape,
    Side,
    VirtualLoop,
    run,
)

LEFT, RIGHT = Side


def now() -> float:
    return asyncio.get_running_loop().time()


class Recorder(asyncio.Protocol):
    """Writes down what it is told, and when."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.data = b""
        self.heard_at: list[float] = []
        self.lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        if not self.data:
            self.said.append("data")
        self.data += data
        self.heard_at.append(now())

    def eof_received(self) -> bool:
        self.said.append("eof")
        return False

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.said.append("lost")
        self.lost = exc


Ends = tuple[FakeTransport, FakeTransport, Recorder, Recorder]


async def recorders(link: FakeLink) -> Ends:
    left, right = Recorder(), Recorder()
    ends = link.connect(lambda: left, lambda: right)
    await asyncio.sleep(0)
    return *ends, left, right


def test_a_protocol_is_told_to_pause_and_to_go_on():
    async def main() -> None:
        link = FakeLink(send_buffer=1000, receive_buffer=1000)
        left, right, told, _ = await recorders(link)
        right.pause_reading()
        left.set_write_buffer_limits(high=500, low=100)
        left.write(bytes(2500))
        await asyncio.sleep(60)
        assert left.get_write_buffer_size() == 500
        assert told.said == ["made", "pause"]
        assert left.get_write_buffer_limits() == (100, 500)

        right.resume_reading()
        await asyncio.sleep(120)
        assert left.get_write_buffer_size() == 0
        assert told.said == ["made", "pause", "resume"]

    run(main())


def test_a_stopped_program_hears_nothing_while_its_kernel_goes_on():
    async def main() -> None:
        link = FakeLink(send_buffer=1000, receive_buffer=1000)
        left, right, near, told = await recorders(link)
        link.freeze(RIGHT)
        left.write(bytes(1500))
        right.write(b"written while stopped")
        await asyncio.sleep(60)
        assert told.said == ["made"]
        assert right.traffic().unread == 1000
        assert left.traffic().acked == 1000
        assert near.data == b""
        assert left.traffic().unanswered == 0.0

        link.thaw(RIGHT)
        await asyncio.sleep(60)
        assert len(told.data) == 1500
        assert told.heard_at[0] == 60
        assert near.data == b"written while stopped"

    run(main())


def test_a_cut_cable_is_silence_and_the_kernel_tells_so():
    async def main() -> None:
        link = FakeLink(delay=0.01)
        left, _, told, far = await recorders(link)
        left.write(b"heard")
        await asyncio.sleep(1)
        link.cut()
        left.write(b"swallowed")
        await asyncio.sleep(100)
        traffic = left.get_extra_info("traffic")()
        assert (told.said, far.data) == (["made"], b"heard")
        assert (traffic.acked, traffic.outstanding) == (5, 9)
        assert traffic.acked_at == 0.02
        assert traffic.arrived_at == -math.inf
        assert traffic.unanswered == 100
        assert traffic.rtt == 0.02

        link.mend()
        await asyncio.sleep(120)
        assert far.data == b"heardswallowed"

    run(main())


def test_in_a_block_the_kernels_go_on_and_can_be_asked_at_once():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        link = FakeLink(delay=0.5)
        left, right, _, far = await recorders(link)
        left.write(b"abc")
        loop.block(10)
        assert far.data == b""
        assert (right.traffic().arrived_at, right.traffic().unread) == (0.5, 3)
        assert (left.traffic().acked_at, left.traffic().acked) == (1.0, 3)
        await asyncio.sleep(1)
        assert far.heard_at == [10.0]

    run(main())


def test_one_direction_can_be_cut():
    async def main() -> None:
        link = FakeLink()
        left, right, near, far = await recorders(link)
        link.cut(towards=RIGHT)
        left.write(b"swallowed")
        right.write(b"arrives")
        await asyncio.sleep(10)
        assert (near.data, far.data) == (b"arrives", b"")

    run(main())


def test_the_link_can_become_slower():
    async def main() -> None:
        link = FakeLink()
        left, _, _, far = await recorders(link)
        link.reshape(Shape(delay=3.0), towards=RIGHT)
        left.write(b"x")
        await asyncio.sleep(5)
        assert far.heard_at == [3.0]

    run(main())


@pytest.mark.parametrize("end", [0, 1])
def test_a_reset_is_told_to_a_protocol_that_reads(end):
    async def main() -> None:
        link = FakeLink()
        *_, near, far = await recorders(link)
        link.reset(towards=list(Side)[end])
        await asyncio.sleep(1)
        told, other = (near, far)[end], (far, near)[end]
        assert isinstance(told.lost, ConnectionResetError)
        assert told.said == ["made", "lost"]
        assert other.said == ["made"]

    run(main())


def test_a_machine_that_restarted_resets_who_writes_to_it():
    async def main() -> None:
        link = FakeLink()
        left, _, near, far = await recorders(link)
        link.reboot(RIGHT)
        await asyncio.sleep(3600)
        assert near.said == ["made"]
        left.write(b"x")
        await asyncio.sleep(1)
        assert isinstance(near.lost, ConnectionResetError)
        assert far.said == ["made"]

    run(main())


def test_a_paused_reader_learns_of_a_reset_when_it_writes():
    async def main() -> None:
        link = FakeLink()
        left, _, near, _ = await recorders(link)
        left.pause_reading()
        link.reset(towards=LEFT)
        await asyncio.sleep(10)
        assert near.said == ["made"]
        left.write(b"x")
        await asyncio.sleep(0)
        assert isinstance(near.lost, ConnectionResetError)

    run(main())


def test_close_with_a_dead_peer_waits_for_the_buffer_and_abort_does_not():
    async def main() -> None:
        link = FakeLink(send_buffer=10)
        left, _, near, _ = await recorders(link)
        link.cut()
        left.write(bytes(20))
        left.close()
        await asyncio.sleep(3600)
        assert (near.said, left.is_closing()) == (["made"], True)
        left.abort()
        await asyncio.sleep(0)
        assert (near.said, near.lost) == (["made", "lost"], None)

    run(main())


def test_what_a_protocol_raises_ends_its_connection(caplog):
    class Clumsy(Recorder):
        def data_received(self, data: bytes) -> None:
            raise LookupError("clumsy")

    async def main() -> None:
        link, clumsy = FakeLink(), Clumsy()
        left, _ = link.connect(Recorder, lambda: clumsy)
        left.write(b"x")
        await asyncio.sleep(1)
        assert isinstance(clumsy.lost, LookupError)

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "failed" in caplog.text


def test_a_protocol_may_bring_its_own_buffer():
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(3)
            self.data = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data += self.buffer[:nbytes]

    async def main() -> None:
        link, buffered = FakeLink(), Buffered()
        left, _ = link.connect(Recorder, lambda: buffered)
        left.writelines([b"abc", b"defg"])
        await asyncio.sleep(1)
        assert buffered.data == b"abcdefg"

    run(main())


def test_chance_is_the_same_in_every_run():
    async def main() -> list[float]:
        link = FakeLink(delay=0.05, jitter=0.02, loss=0.2)
        left, _, _, far = await recorders(link)
        for _ in range(50):
            left.write(b"x")
            await asyncio.sleep(1)
        return far.heard_at

    assert run(main()) == run(main())


def test_tls_runs_over_it():
    # Without certificates: nobody is to be trusted here.
    def context(purpose: int) -> ssl.SSLContext:
        made = ssl.SSLContext(purpose)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers("aNULL:@SECLEVEL=0")
        return made

    async def main() -> float:
        link, loop = FakeLink(delay=0.05), asyncio.get_running_loop()
        client, server = Recorder(), Recorder()
        left, right = link.connect(lambda: client, lambda: server)
        await asyncio.sleep(0)
        near, _ = await asyncio.gather(
            loop.start_tls(left, client, context(ssl.PROTOCOL_TLS_CLIENT)),
            loop.start_tls(
                right, server, context(ssl.PROTOCOL_TLS_SERVER), server_side=True
            ),
        )
        assert near is not None
        near.write(b"secret")
        await asyncio.sleep(1)
        assert server.data == b"secret"
        near.close()
        await asyncio.sleep(1)
        return server.heard_at[0]

    assert run(main()) == pytest.approx(0.25)


def test_a_link_has_two_ends():
    async def main() -> None:
        link = FakeLink()
        await recorders(link)
        with pytest.raises(ConfigError):
            link.connect(Recorder, Recorder)

    run(main())


def test_a_protocol_that_cannot_be_made_leaves_the_link_as_it_was():
    async def main() -> None:
        link = FakeLink()
        with pytest.raises(ZeroDivisionError):
            link.connect(Recorder, lambda: 1 / 0)  # type: ignore[return-value]
        left, _, _, far = await recorders(link)
        left.write(b"x")
        await asyncio.sleep(1)
        assert far.data == b"x"

    run(main())


@pytest.mark.parametrize("fault", [FakeLink.freeze, FakeLink.thaw, FakeLink.reboot])
def test_an_end_has_to_be_there_before_something_happens_to_it(fault):
    async def main() -> None:
        link = FakeLink()
        with pytest.raises(LocalProtocolError, match="no ends yet"):
            fault(link, RIGHT)
        await recorders(link)
        with pytest.raises(ConfigError, match="give Side"):
            fault(link, "nowhere")
        fault(link, RIGHT)

    run(main())


@pytest.mark.parametrize("bad", [{"high": 1, "low": 2}, {"high": -1}, {"low": -1}])
def test_limits_that_cannot_be_are_refused(bad):
    async def main() -> None:
        left, *_ = await recorders(FakeLink())
        with pytest.raises(ConfigError):
            left.set_write_buffer_limits(**bad)
        assert left.get_write_buffer_limits() == (16_384, 65_536)

    run(main())
