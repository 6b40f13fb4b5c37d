"""Streams joined by a FakeLink: what a program above them sees."""

import asyncio

import pytest

from deadpeer.testing import FakeLink, fake_streams, run


def now() -> float:
    return asyncio.get_running_loop().time()


def test_bytes_take_the_delay_and_come_back():
    async def main() -> None:
        link = FakeLink(delay=0.05)
        (reader, writer), (far_reader, far_writer) = fake_streams(link)
        writer.write(b"move 3 4\n")
        assert await far_reader.readline() == b"move 3 4\n"
        assert now() == 0.05
        far_writer.write(b"ok\n")
        assert await reader.readline() == b"ok\n"
        assert now() == 0.1
        writer.close()
        assert await far_reader.read() == b""
        assert now() == pytest.approx(0.15)
        far_writer.close()
        await writer.wait_closed()

    run(main())


def test_a_large_message_takes_what_the_bandwidth_says_and_drain_waits():
    async def main() -> None:
        link = FakeLink(bandwidth=125_000)
        (_, writer), (reader, far_writer) = fake_streams(link)
        writer.write(bytes(1_000_000))
        reading = asyncio.create_task(reader.readexactly(1_000_000))
        await writer.drain()
        # All but two buffers has left: the kernel's, and asyncio's up to its mark.
        assert now() == pytest.approx(
            (1_000_000 - (1 << 16) - (1 << 14)) / 125_000, abs=0.1
        )
        await reading
        assert now() == pytest.approx(8.0, abs=0.1)
        writer.close()
        far_writer.close()

    run(main())


def test_a_minute_of_pings_over_a_bad_link_loses_none():
    async def main() -> list[float]:
        link = FakeLink(delay=0.05, loss=0.05)
        (reader, writer), (far_reader, far_writer) = fake_streams(link)
        rtts = []
        for _ in range(60):
            asked_at = now()
            writer.write(b"?")
            far_writer.write(await far_reader.readexactly(1))
            await reader.readexactly(1)
            rtts.append(now() - asked_at)
            await asyncio.sleep(1)
        writer.close()
        far_writer.close()
        return rtts

    rtts = run(main())

    assert min(rtts) == pytest.approx(0.1)
    assert max(rtts) > 0.3  # at least one was lost, and repeated


def test_it_runs_on_a_real_loop_in_real_time():
    async def main() -> None:
        link = FakeLink(delay=0.005)
        (_, writer), (reader, far_writer) = fake_streams(link)
        began = now()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert now() - began >= 0.005
        writer.close()
        far_writer.close()
        await writer.wait_closed()
        await far_writer.wait_closed()

    asyncio.run(main())
