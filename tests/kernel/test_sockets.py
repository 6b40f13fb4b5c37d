"""What a user may hand in, and what is refused without touching it."""

import asyncio
import contextlib
import errno
import io
import os
import pickle
import socket
import ssl
import struct
import sys
from pathlib import Path

import pytest
from tests.loopback import listener, pair

from deadpeer.errors import KernelRefused, NotTcp, UnsupportedError
from deadpeer.kernel.options import apply
from deadpeer.kernel.sockets import (
    borrowed,
    descriptor_of,
    identity,
    last_peer,
    peer_name,
    text_of,
)
from deadpeer.policy import Keepalive

linux = pytest.mark.skipif(sys.platform != "linux", reason="as Linux has it")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class PseudoSocket:
    """As uvloop hands out: its own type, and a descriptor."""

    def __init__(self, sock):
        self._fd = sock.fileno()

    def fileno(self):
        return self._fd


class Transport:
    """As asyncio's, uvloop's and anyio's: the socket stands under a name."""

    def __init__(self, inside):
        self.inside = inside

    def get_extra_info(self, name, default=None):
        return self.inside if name == "socket" else default


def forms(sock):
    """Yield a socket in the forms that are taken."""
    yield sock
    yield sock.fileno()
    yield PseudoSocket(sock)
    yield Transport(sock)
    yield Transport(PseudoSocket(sock))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_tcp_socket_is_taken_in_every_form(family):
    with pair(family) as (client, _):
        for form in forms(client):
            with borrowed(form) as sock:
                assert sock.getsockname() == client.getsockname()
                assert sock.fileno() != client.fileno()
            assert client.fileno() >= 0  # the user's is still open
        client.sendall(b"x")


def test_an_ssl_socket_is_taken_before_and_after_it_is_connected():
    context = ssl.create_default_context()
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        borrowed(wrapped) as sock,
    ):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM


def test_asyncio_hands_out_a_transport_and_a_writer():
    async def taken():
        async def serve(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                for form in (writer, writer.transport):
                    with borrowed(form) as sock:
                        assert sock.getsockname() == writer.get_extra_info("sockname")
                    assert peer_name(form).startswith("127.0.0.1:")
                for listening in server.sockets:
                    with borrowed(listening):
                        pass
            finally:
                writer.close()
                await writer.wait_closed()
            with pytest.raises(NotTcp, match="closed"), borrowed(writer):
                pass

    asyncio.run(taken())


class Bereft:
    """As a wrapper whose inside is gone."""

    def get_extra_info(self, name):
        raise AttributeError(name)


def closed_socket():
    sock = socket.socket()
    sock.close()
    return sock


@contextlib.contextmanager
def not_sockets():
    """Yield what is refused, by what it is called."""
    with Path(os.devnull).open("rb") as closed:
        pass
    unix, other_end = socket.socketpair()
    with (
        Path(os.devnull).open("rb") as file,
        socket.socket(type=socket.SOCK_DGRAM) as datagram,
        unix,
        other_end,
    ):
        yield {
            "a file": file,
            "a file's descriptor": file.fileno(),
            "a closed file": closed,
            "a closed socket": closed_socket(),
            "a class in place of its instance": socket.socket,
            "what has lost its socket": Bereft(),
            "a number below zero": -1,
            "a number that is not open": 1_000_000,
            "a number beyond any int": 2**80,
            "nothing": None,
            "True": True,
            "text": "127.0.0.1:80",
            "a float": 3.0,
            "bytes in memory": io.BytesIO(),
            "a transport without a socket": Transport(None),
            "a transport over a file": Transport(PseudoSocket(file)),
            "a datagram socket": datagram,
            "a Unix socket": unix,
        }


def test_what_is_no_open_tcp_socket_is_refused_and_left_alone():
    with not_sockets() as things:
        for what, thing in things.items():
            with pytest.raises(NotTcp) as caught:
                apply(thing, Keepalive(idle=5))
            assert caught.value.field == "sock", what
            assert caught.value.hint, what
            pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
        assert (
            things["a datagram socket"].getsockopt(
                socket.SOL_SOCKET, socket.SO_KEEPALIVE
            )
            == 0
        )


@linux
def test_a_raw_socket_is_refused():
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    except PermissionError:
        pytest.skip("needs CAP_NET_RAW")
    with raw, pytest.raises(NotTcp, match="SOCK_RAW"):
        apply(raw, Keepalive(idle=5))


@linux
def test_a_multipath_tcp_socket_is_refused_by_its_own_type():
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        pytest.skip("this kernel has no MPTCP")
    with sock:
        before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for form in forms(sock):
            with pytest.raises(UnsupportedError, match="Multipath"):
                apply(form, Keepalive(idle=5, user_timeout=4))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == before


@linux
def test_no_descriptor_is_left_open_whatever_happens():
    with pair() as (client, _), socket.socket(type=socket.SOCK_DGRAM) as datagram:
        before = open_descriptors()
        for form in forms(client):
            apply(form, Keepalive(idle=5)).undo()
        for wrong in (datagram, 0, "x"):
            with pytest.raises(NotTcp):
                apply(wrong, Keepalive(idle=5))
        assert open_descriptors() == before


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("default", [None, 7.0, 0.0])
def test_the_shared_mode_of_the_descriptor_is_never_touched(blocking, default):
    with pair() as (client, _):
        os.set_blocking(client.fileno(), blocking)
        socket.setdefaulttimeout(default)
        try:
            for form in forms(client):
                apply(form, Keepalive(idle=5)).undo()
                assert os.get_blocking(client.fileno()) == blocking
        finally:
            socket.setdefaulttimeout(None)


def test_no_descriptor_left_is_told_as_such(monkeypatch):
    def refuse(fd):
        raise OSError(errno.EMFILE, "Too many open files")

    with socket.socket() as sock:
        monkeypatch.setattr("deadpeer.kernel.sockets.socket.dup", refuse)
        with pytest.raises(KernelRefused, match="ulimit"):
            apply(sock, Keepalive(idle=5))


def test_two_sockets_have_two_identities_and_one_has_one():
    with (
        pair() as (client, accepted),
        borrowed(client) as one,
        borrowed(client.fileno()) as same,
        borrowed(accepted) as other,
    ):
        assert identity(one) == identity(same)
        assert identity(one) != identity(other)


def test_the_other_end_is_named_in_every_form():
    with pair(socket.AF_INET6) as (client, _):
        host, port = client.getpeername()[:2]
        for form in (client, client.fileno(), PseudoSocket(client)):
            assert peer_name(form) == f"[{host}]:{port}"


def test_a_socket_without_another_end_has_no_name_for_it():
    with listener() as server:
        assert peer_name(server) == ""
    assert peer_name(server) == ""
    assert peer_name(None) == ""


def test_the_descriptor_of_a_number_is_the_number():
    assert descriptor_of(7) == 7


@linux
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_dead_socket_still_names_its_peer(family):
    with pair(family) as (client, accepted):
        host, port = client.getpeername()[:2]
        linger = struct.pack("ii", 1, 0)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        accepted.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(OSError, match="not connected"):
            client.getpeername()
        with borrowed(client) as sock:
            assert last_peer(sock) == text_of((host, port))
    with socket.socket() as never, borrowed(never) as sock:
        assert last_peer(sock) == ""
