"""The kernel's errors, and what they say about the peer."""

import asyncio
import errno
import pickle
import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loopback import fill, listener, pair

from deadpeer.errors import (
    ConnectionDestroyed,
    PeerDead,
    PeerReset,
    PeerTimedOut,
    PeerUnreachable,
)
from deadpeer.kernel.options import apply
from deadpeer.kernel.verdicts import map_errors, verdict_on
from deadpeer.policy import Keepalive

linux = pytest.mark.skipif(sys.platform != "linux", reason="made with Linux' means")


def kernel_error(number: int) -> OSError:
    return OSError(number, "from the kernel")


def reset(sock: socket.socket) -> None:
    """Close so that the other end gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ETIMEDOUT, PeerTimedOut),
        (errno.ECONNRESET, PeerReset),
        (errno.EHOSTUNREACH, PeerUnreachable),
        (errno.ENETUNREACH, PeerUnreachable),
        (errno.EHOSTDOWN, PeerUnreachable),
        (errno.ENETDOWN, PeerUnreachable),
        (errno.ECONNABORTED, ConnectionDestroyed),
        (10052, PeerTimedOut),  # WSAENETRESET: Windows' failed keepalive
        (10053, PeerTimedOut),  # WSAECONNABORTED: Windows' unacknowledged data
        (10054, PeerReset),
        (10060, PeerTimedOut),
        (10065, PeerUnreachable),
    ],
)
@pytest.mark.parametrize("established", [True, False])
def test_a_number_is_a_verdict(number, kind, established):
    assert verdict_on(kernel_error(number), established=established) is kind


@pytest.mark.parametrize(
    "number", [errno.ECONNREFUSED, errno.EACCES, errno.ENOPROTOOPT, errno.EPROTO, 10061]
)
def test_what_icmp_said_is_a_verdict_on_an_established_connection_only(number):
    assert verdict_on(kernel_error(number), established=True) is PeerUnreachable
    assert verdict_on(kernel_error(number), established=False) is None


def test_a_timeout_of_the_programs_own_is_no_verdict():
    with pair() as (client, _):
        client.settimeout(0.01)
        with pytest.raises(TimeoutError) as caught, map_errors(client):
            client.recv(1)
        assert not isinstance(caught.value, PeerDead)
        assert type(caught.value) is TimeoutError


def test_a_call_that_would_block_is_no_verdict():
    with pair() as (client, _):
        client.settimeout(0)
        with pytest.raises(BlockingIOError), map_errors(client):
            client.recv(1)


@given(
    st.sampled_from([EOFError, ValueError, KeyboardInterrupt, asyncio.CancelledError])
)
def test_other_exceptions_pass_through(kind):
    with pytest.raises(kind), map_errors():
        raise kind


def test_a_verdict_is_not_judged_again():
    verdict = PeerTimedOut("said already", errno=errno.ETIMEDOUT)
    with pytest.raises(PeerTimedOut) as caught, map_errors(), map_errors():
        raise verdict
    assert caught.value is verdict


def test_a_reset_is_a_dead_peer_with_its_evidence():
    with pair() as (client, accepted):
        peer = "{}:{}".format(*client.getpeername())
        reset(accepted)
        with (
            pytest.raises(PeerReset, match="knows no such connection") as caught,
            map_errors(client),
        ):
            client.recv(1)

        verdict = caught.value
        assert verdict.peer == peer
        assert verdict.errno == errno.ECONNRESET
        assert isinstance(verdict, ConnectionResetError)
        assert isinstance(verdict.__cause__, ConnectionResetError)
        if sys.platform == "linux":
            assert verdict.silence is not None
            assert 0 <= verdict.silence < 5
        assert pickle.loads(pickle.dumps(verdict)).peer == peer  # noqa: S301


@linux
def test_a_pipe_that_is_broken_since_a_reset_is_a_dead_peer():
    with pair() as (client, accepted):
        reset(accepted)
        with pytest.raises(ConnectionResetError):
            client.recv(1)  # the error is delivered once
        with pytest.raises(PeerReset), map_errors(client):
            client.send(b"x")


@linux
def test_a_broken_pipe_is_judged_once():
    with pair() as (client, accepted):
        reset(accepted)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with (
            pytest.raises(PeerReset) as caught,
            map_errors(client),
            map_errors(client),
        ):
            client.send(b"x")
        assert isinstance(caught.value.__cause__, BrokenPipeError)


def test_evidence_that_cannot_be_had_hides_no_error():
    with pytest.raises(PeerTimedOut), map_errors(socket.socket):
        raise TimeoutError(errno.ETIMEDOUT, "as the kernel says it")


def test_a_pipe_that_this_end_has_shut_is_its_own_doing():
    with pair() as (client, _):
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError) as caught, map_errors(client):
            client.send(b"x")
        assert not isinstance(caught.value, PeerDead)


def test_an_end_of_file_is_a_normal_close():
    with pair() as (client, accepted):
        accepted.close()
        with map_errors(client):
            assert client.recv(1) == b""


@linux
def test_a_live_peer_that_reads_nothing_is_timed_out_by_a_user_timeout():
    with pair() as (client, _):
        apply(client, Keepalive(user_timeout=0.3))
        fill(client)
        with pytest.raises(PeerTimedOut) as caught, map_errors(client):
            client.recv(1)
        assert caught.value.errno == errno.ETIMEDOUT
        assert caught.value.peer


def test_a_refused_connect_stays_refused():
    with listener() as server:
        address = server.getsockname()
    with socket.socket() as sock:
        with pytest.raises(ConnectionRefusedError) as caught, map_errors(sock):
            sock.connect(address)
        assert not isinstance(caught.value, PeerDead)


def test_a_refusal_on_an_established_connection_is_a_dead_peer():
    with pair() as (client, _):
        with pytest.raises(PeerUnreachable), map_errors(client):
            raise kernel_error(errno.ECONNREFUSED)
        with pytest.raises(ConnectionRefusedError), map_errors():
            raise kernel_error(errno.ECONNREFUSED)


def test_it_goes_around_an_await():
    async def main():
        ends = asyncio.get_running_loop().create_future()

        async def serve(_, writer):
            ends.set_result(writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname()
            )
            peer = "{}:{}".format(*writer.get_extra_info("peername"))
            served = await ends
            reading = asyncio.create_task(reader.read(1))
            served.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            served.transport.abort()
            with pytest.raises(PeerReset) as caught, map_errors(writer):
                await reading
            assert caught.value.peer == peer
            writer.close()

    asyncio.run(main())


def test_a_descriptor_and_a_closed_socket_do_not_get_in_the_way():
    with pair() as (client, accepted):
        reset(accepted)
        with pytest.raises(PeerReset) as caught, map_errors(client.fileno()):
            client.recv(1)
        assert caught.value.peer
    with pytest.raises(PeerReset), map_errors(client):
        raise kernel_error(errno.ECONNRESET)
