"""What a transport and its kernel know, with TLS between the two of them."""

import asyncio
import ssl

import pytest
from tests.aio.worlds import Couple, on_real_loops, settings_of, socket_pair

from deadpeer.aio.connection import Connection
from deadpeer.aio.evidence import traffic_of, waiting_in
from deadpeer.core.limits import Limits
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, run

FRAGMENT = bytes(16_387)


def context(purpose):
    # Without certificates: nobody is to be trusted here.
    made = ssl.SSLContext(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("aNULL:@SECLEVEL=0")
    return made


async def encrypted(ends, near, far):
    """Put TLS over two transports that are joined."""
    loop = asyncio.get_running_loop()
    ours, theirs = context(ssl.PROTOCOL_TLS_CLIENT), context(ssl.PROTOCOL_TLS_SERVER)
    return await asyncio.gather(
        loop.start_tls(ends[0], near, ours, ssl_handshake_timeout=500),
        loop.start_tls(ends[1], far, theirs, server_side=True),
    )


class Writer(asyncio.Protocol):
    """Writes fragments as long as there is room."""

    has_room = True

    def pause_writing(self):
        self.has_room = False

    def resume_writing(self):
        self.has_room = True


def known_of(transport):
    """How many bytes are delivered, or known to wait somewhere."""
    told = traffic_of(transport, now=0.0)
    assert told.acked is not None
    assert told.outstanding is not None
    return told.acked + told.outstanding + waiting_in(transport)


@on_real_loops
def test_what_waits_beneath_tls_is_counted(world):
    async def main():
        loop = asyncio.get_running_loop()
        ends = []
        for sock in socket_pair():
            end, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
            ends.append(end)
        near = Writer()
        ours, theirs = await encrypted(ends, near, asyncio.Protocol())
        if traffic_of(ours, now=0.0).acked is None:
            pytest.skip("the kernel tells nothing of a connection")
        theirs.pause_reading()
        ours.set_write_buffer_limits(high=len(FRAGMENT))
        written = has_waited = 0
        before = None
        while before != written or not has_waited:  # until all buffers are full
            before = written
            while near.has_room:
                ours.write(FRAGMENT)
                written += len(FRAGMENT)
                assert known_of(ours) >= written
                has_waited += ours.get_write_buffer_size() > 0
            for _ in range(20):
                await asyncio.sleep(0)
        ours.abort()
        theirs.abort()
        await asyncio.sleep(0)

    world.run(main())


@pytest.mark.parametrize("timeout", [1.0, 2.0])
def test_a_question_behind_much_data_under_tls_on_a_slow_line_accuses_nobody(timeout):
    async def main():
        limits = Limits(largest_message=1 << 20)
        near = Connection(settings_of(Heartbeat(interval=2.0, timeout=timeout)))
        # It never asks, so that nothing but answers comes from there.
        rare = Heartbeat(interval=1000.0, timeout=timeout)
        far = Connection(settings_of(rare, limits=limits))
        link = FakeLink(
            delay=0.05, bandwidth=20_000, send_buffer=1 << 14, receive_buffer=1 << 14
        )
        ends = link.connect(asyncio.Protocol, asyncio.Protocol)
        await asyncio.sleep(0.1)
        for peer, transport in zip(
            (near, far), await encrypted(ends, near, far), strict=True
        ):
            peer.connection_made(transport)
        couple = Couple(near, far, link)
        sending = asyncio.create_task(send(couple.near))
        for _ in range(3):
            assert len(await couple.far.recv()) == 150_000
        await sending
        assert couple.near.error is None
        near.abort()
        far.abort()
        await near.wait_closed()

    run(main())


async def send(peer):
    await anext(peer.changes())
    for _ in range(3):
        await peer.send(bytes(150_000))
