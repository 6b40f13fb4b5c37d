"""Asking real kernels for their sockets, and having them end one."""

import errno
import functools
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from tests.kernel.diag_samples import row
from tests.neighbours import (
    Neighbour,
    as_nobody,
    connect_by_many_paths,
    neighbour,
)

from deadpeer.errors import AccessDenied, KernelRefused, UnsupportedError
from deadpeer.kernel.diag import Diag, Ending
from deadpeer.kernel.diag_dumps import Dump, decode_dump
from deadpeer.kernel.diag_messages import encode_done, encode_error, encode_row
from deadpeer.kernel.diag_rows import INET, INET6, MPTCP, TCP, DiagRow
from deadpeer.kernel.namespaces import find_namespace, in_namespace
from deadpeer.kernel.tcp_info import TcpState

ALONE = pytest.mark.netns  # in a namespace of its own


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        yield made


def inside(child: Neighbour, action: Callable[[Diag], Any]) -> Any:
    def act() -> Any:
        with Diag() as diag:
            return action(diag)

    return in_namespace(find_namespace(str(child.pid)), act)


def dump(child: Neighbour, **how: Any) -> Dump:
    found: Dump = inside(child, lambda diag: diag.dump(**how))
    return found


def states(found: Dump) -> list[str]:
    return sorted(TcpState(row.state).name for row in found.rows)


@ALONE
def test_both_ends_of_a_connection_are_rows_with_what_the_kernel_knows(child):
    child.told("a, b = pair()")
    local, remote = child.told("a.getsockname(), a.getpeername()")
    cookie = child.told("a.getsockopt(socket.SOL_SOCKET, 57, 8)")
    child.told("a.send(b'unread')")

    found = dump(child)

    by_port = {one.ends.local_port: one for one in found.rows if one.state == 1}
    mine, peers = by_port[local[1]], by_port[remote[1]]
    assert mine.ends == (*local, *remote)
    assert mine.cookie_bytes == cookie
    assert mine.inode == child.told("os.fstat(a.fileno()).st_ino")
    assert mine.uid == os.getuid()
    assert peers.unread == len(b"unread")
    assert mine.vitals is not None
    assert mine.vitals.state == TcpState.ESTABLISHED
    assert mine.tcp_info is not None
    assert mine.tcp_info.bytes_received == 0
    assert found.is_whole
    assert found.repeats == 0
    assert found.missing == ()


@ALONE
def test_every_state_that_can_be_made_is_listed(child):
    child.told(
        """
keep = [socket.create_server(("127.0.0.1", 0), backlog=0)]
slow = socket.create_server(("127.0.0.1", 0))
slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
keep += [socket.create_connection(slow.getsockname())]  # the server has SYN_RECV
keep += [socket.create_connection(keep[0].getsockname())]  # the queue is full now
syn = socket.socket()
syn.setblocking(False)
syn.connect_ex(keep[0].getsockname())  # SYN_SENT
a, b = pair(); a.shutdown(socket.SHUT_WR)  # FIN_WAIT2 and CLOSE_WAIT
for _ in range(1_000_000):  # the acknowledgement of a FIN may take 40 ms
    if a.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 5:
        break
c, d = pair(); c.close(); d.close()  # TIME_WAIT
bound = socket.socket(); bound.bind(("127.0.0.1", 0))  # comes as CLOSE
"""
    )

    found = states(dump(child))

    assert {"LISTEN", "SYN_RECV", "SYN_SENT", "FIN_WAIT2", "CLOSE_WAIT"} < set(found)
    assert {"TIME_WAIT", "ESTABLISHED"} < set(found)
    release = [int(part) for part in os.uname().release.split(".")[:2]]
    if release >= [6, 8]:
        assert "CLOSE" in found


@ALONE
def test_a_socket_without_a_program_has_no_inode(child):
    child.told("a, b = pair(); a.close(); b.close()")

    (orphan,) = dump(child, states=1 << TcpState.TIME_WAIT).rows

    assert orphan.inode == 0
    assert orphan.info == b""
    assert orphan.vitals is None


@ALONE
def test_only_the_states_asked_for_come(child):
    child.told("a, b = pair(); server = socket.create_server(('127.0.0.1', 0))")

    assert states(dump(child, states=1 << TcpState.LISTEN)) == ["LISTEN"]
    assert states(dump(child, states=1 << TcpState.NEW_SYN_RECV)) == []


@ALONE
def test_ipv6_and_mapped_addresses_are_told_apart(child):
    child.told(
        """
a, b = pair("::1")
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
c = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
d, _ = server.accept()
"""
    )

    rows = dump(child, states=1 << TcpState.ESTABLISHED).rows

    mapped = [one for one in rows if one.is_mapped]
    assert len(rows) == 4
    assert [one.ends.local_host for one in mapped] == ["::ffff:127.0.0.1"]
    assert mapped[0].ends.local_port == child.told("d.getsockname()[1]")
    assert {one.ends.local_host for one in rows if one.family == INET6} == {
        "::1",
        "::ffff:127.0.0.1",
    }
    assert [one.family for one in rows].count(INET) == 1


@ALONE
def test_multipath_connections_and_their_subflows_are_told_apart(child):
    connect_by_many_paths(child)
    child.told("m.send(b'x'); n.recv(1); a, b = pair()")

    rows = dump(child, states=1 << TcpState.ESTABLISHED).rows

    whole = [one for one in rows if one.protocol == MPTCP]
    subflows = [one for one in rows if one.protocol == TCP and one.is_mptcp]
    plain = [one for one in rows if not one.is_mptcp]
    assert len(whole) == len(subflows) == len(plain) == 2
    assert {one.inode for one in whole} >= {child.told("os.fstat(m.fileno()).st_ino")}
    assert all(one.vitals is None for one in whole)
    assert all(one.vitals is not None for one in subflows)


@ALONE
def test_a_connection_is_ended_by_its_cookie_and_no_other(child):
    child.told("a, b = pair(); c, d = pair()")
    ports = child.told("a.getsockname()[1], c.getsockname()[1]")
    (victim,) = (one for one in dump(child).rows if one.ends.local_port == ports[0])

    assert inside(child, lambda diag: diag.destroy(victim)) is Ending.DONE
    assert child.told("a.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)") == (
        errno.ECONNABORTED
    )
    assert child.told("c.send(b'x'); d.recv(1)") == b"x"
    assert inside(child, lambda diag: diag.destroy(victim)) is Ending.GONE


@ALONE
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_wrong_cookie_ends_nothing(child, host):
    child.told(f"a, b = pair({host!r})")
    for one in dump(child, states=1 << TcpState.ESTABLISHED).rows:
        other = one._replace(id=one.id[:40] + struct.pack("=Q", one.cookie + 10**6))

        assert inside(child, functools.partial(Diag.destroy, row=other)) is Ending.GONE

    assert child.told("a.send(b'x'); b.recv(1)") == b"x"


@ALONE
def test_a_mapped_connection_can_be_ended_too(child):
    child.told(
        """
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
c = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
d, _ = server.accept()
"""
    )
    (victim,) = (one for one in dump(child).rows if one.is_mapped)

    assert inside(child, lambda diag: diag.destroy(victim)) is Ending.DONE
    assert child.told("d.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)") == (
        errno.ECONNABORTED
    )


def test_listing_needs_no_privilege_and_ending_says_which_it_needs():
    # A socket of this test: in no state would another one be touched.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def refused() -> int:
            with Diag() as diag:
                rows = diag.dump(states=1 << TcpState.LISTEN).rows
                (ours,) = (one for one in rows if one.ends.local_port == port)
                try:
                    diag.destroy(ours)
                except AccessDenied as error:
                    return 0 if error.capability == "CAP_NET_ADMIN" else 1
            return 2

        assert as_nobody(refused) == 0


@ALONE
def test_what_does_not_fit_is_asked_for_again_with_more_room_and_said(child):
    child.told("keep = [pair() for _ in range(40)]")

    def cramped(diag: Diag) -> Dump:
        diag._room = 2048
        return diag.dump()

    found = inside(child, cramped)

    assert found.repeats > 0
    assert found.is_whole
    assert states(found).count("ESTABLISHED") == 80


@ALONE
def test_what_never_fits_is_an_error(child):
    child.told("keep = [pair() for _ in range(40)]")

    def hopeless(diag: Diag) -> Dump:
        diag._room, diag.attempts = 100, 2
        return diag.dump()

    with pytest.raises(KernelRefused, match="in 2 attempts"):
        inside(child, hopeless)


class Scripted:
    """A kernel that answers as it is told; only a real one's sockets are real."""

    def __init__(self, answers) -> None:
        self.answers = answers
        self.asked: list[tuple[int, int]] = []
        self.queue: list[bytes | OSError] = []

    def send(self, data: bytes) -> None:
        sequence, family, protocol = (
            struct.unpack_from("=I", data, 8)[0],
            data[16],
            data[17],
        )
        self.asked.append((family, protocol))
        self.queue = list(self.answers(sequence, family, protocol, len(self.asked)))

    def recvmsg(self, _room: int) -> tuple[bytes, list[Any], int, Any]:
        answer = self.queue.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer, [], 0, None

    def close(self) -> None:
        self.queue = []


@pytest.fixture
def scripted(monkeypatch):
    def start(answers) -> tuple[Diag, Scripted]:
        kernel = Scripted(answers)
        monkeypatch.setattr("deadpeer.kernel.diag._opened", lambda: kernel)
        return Diag(), kernel

    return start


def whole(sequence: int, *rows: DiagRow, flags: int = 2) -> list[bytes]:
    messages = [encode_row(one, sequence=sequence, flags=flags) for one in rows]
    return [*messages, encode_done(sequence=sequence)]


def test_an_interrupted_dump_is_repeated_and_only_the_last_answer_counts(scripted):
    def answers(sequence, _family, _protocol, times):
        flags = 2 | (0x10 if times < 3 else 0)
        return whole(sequence, row(cookie=times), flags=flags)

    diag, _ = scripted(answers)

    found = diag.dump(families=(INET,), protocols=(TCP,))

    assert [one.cookie for one in found.rows] == [3]
    assert found.repeats == 2
    assert found.is_whole


def test_a_dump_that_is_always_interrupted_is_given_and_said_not_to_be_whole(scripted):
    diag, kernel = scripted(
        lambda sequence, *_: whole(sequence, row(cookie=9), flags=0x12)
    )

    found = diag.dump(families=(INET,), protocols=(TCP,))

    assert len(kernel.asked) == diag.attempts
    assert not found.is_whole
    assert [one.cookie for one in found.rows] == [9]


def test_a_full_queue_is_a_reason_to_ask_again(scripted):
    def answers(sequence, _family, _protocol, times):
        if times == 1:
            return [OSError(errno.ENOBUFS, "")]
        return whole(sequence, row(cookie=4))

    diag, _ = scripted(answers)

    assert diag.dump(families=(INET,), protocols=(TCP,)).repeats == 1


def test_a_socket_that_is_seen_twice_is_one_row_and_the_later_one(scripted):
    diag, _ = scripted(
        lambda sequence, *_: whole(sequence, row(state=1), row(cookie=2), row(state=8))
    )

    rows = diag.dump(families=(INET,), protocols=(TCP,)).rows

    assert [(one.cookie, one.state) for one in rows] == [(1, 8), (2, 1)]


def test_a_kernel_without_mptcp_is_listed_and_said_to_have_none(scripted):
    def answers(sequence, _family, protocol, _times):
        if protocol != TCP:
            return [encode_error(sequence=sequence, errno=errno.ENOENT)]
        return whole(sequence, row())

    diag, _ = scripted(answers)

    found = diag.dump()

    assert found.missing == ("mptcp",)
    assert len(found.rows) == 1


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EOPNOTSUPP])
def test_a_kernel_without_inet_diag_is_unsupported_and_says_what_to_load(
    scripted, number
):
    diag, _ = scripted(
        lambda sequence, *_: [encode_error(sequence=sequence, errno=number)]
    )

    with pytest.raises(UnsupportedError, match="cannot list its TCP") as caught:
        diag.dump()
    assert "modprobe tcp_diag" in caught.value.hint


@pytest.mark.parametrize("at_end", [False, True])
def test_an_error_of_the_kernel_is_an_error(scripted, at_end):
    def answers(sequence, *_):
        if at_end:
            return [encode_done(sequence=sequence, errno=errno.ENOMEM)]
        return [encode_error(sequence=sequence, errno=errno.ENOMEM)]

    diag, _ = scripted(answers)

    with pytest.raises(KernelRefused) as caught:
        diag.dump()
    assert caught.value.errno == errno.ENOMEM


def test_a_kernel_that_says_nothing_is_not_waited_for_without_end(scripted):
    diag, _ = scripted(lambda *_: [OSError(errno.EAGAIN, "")])

    with pytest.raises(KernelRefused, match="no answer in 10 s"):
        diag.dump()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EPERM, AccessDenied),
        (errno.EOPNOTSUPP, UnsupportedError),
        (errno.EIO, KernelRefused),
    ],
)
def test_a_refused_ending_is_of_the_kind_that_says_why(scripted, number, kind):
    diag, _ = scripted(
        lambda sequence, *_: [encode_error(sequence=sequence, errno=number)]
    )

    with pytest.raises(kind) as caught:
        diag.destroy(row())
    assert caught.value.hint or number == errno.EIO


def test_a_system_without_netlink_says_so(monkeypatch):
    monkeypatch.delattr(socket, "AF_NETLINK")

    with pytest.raises(UnsupportedError, match="over netlink"):
        Diag()


def test_recorded_datagrams_make_the_same_dump(scripted):
    diag, _ = scripted(lambda sequence, *_: whole(sequence, row(), row(cookie=2)))

    found = diag.dump(protocols=(TCP,))

    assert decode_dump(found.raw) == found
