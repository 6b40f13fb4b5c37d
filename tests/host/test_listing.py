"""The connections of real processes, selected, and of recordings."""

import os
import socket
from pathlib import Path

import pytest
from tests.kernel.diag_samples import row
from tests.neighbours import as_nobody, neighbour

from deadpeer.errors import ConfigError, DeadPeerError
from deadpeer.host.judgement import Judge
from deadpeer.host.listing import HIDDEN, Listing, Seen, select, survey
from deadpeer.host.selection import Selection
from deadpeer.host.shares import count_verdicts, shares
from deadpeer.host.verdicts import Verdict
from deadpeer.kernel.namespaces import find_namespace
from deadpeer.kernel.recording import decode_snapshot
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer
from deadpeer.platforms import Defaults

pytestmark = pytest.mark.netns

RECORDING = Path(__file__).parents[1] / "recordings" / "linux-6.18.recording"
KEPT = """
a, b = pair()
a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
[a.setsockopt(6, name, value) for name, value in ((4, 5), (5, 1), (6, 3), (18, 4500))]
twin = a.dup()
"""


@pytest.fixture(scope="module")
def child():
    """A process with a protected connection, whose other end is not."""
    with neighbour(namespace=True) as made:
        made.told(KEPT)
        yield made


def seen(*words: str, **wishes) -> tuple[Seen, ...]:
    return survey(Selection(words=words, **wishes)).rows


def ends(child) -> tuple[int, int]:
    return child.told("a.getsockname()[1]"), child.told("b.getsockname()[1]")


def test_a_row_tells_everything(child):
    near, far = ends(child)

    (row,) = seen("sport", f"= :{near}", pids=frozenset({child.pid}))

    netns = find_namespace(str(child.pid)).inode
    assert row.identity == (netns, row.inode, row.cookie)
    assert row.inode == child.told("os.fstat(a.fileno()).st_ino")
    assert row.cookie == child.told(
        "struct.unpack('=Q', a.getsockopt(socket.SOL_SOCKET, 57, 8))[0]"
    )
    assert row.state is TcpState.ESTABLISHED
    assert row.protocol == "tcp"
    assert str(row.local) == f"127.0.0.1:{near}"
    assert str(row.peer) == f"127.0.0.1:{far}"
    fds = child.told("sorted((a.fileno(), twin.fileno()))")
    assert sorted(row.holders) == [(child.pid, fd) for fd in fds]
    assert row.pid == child.pid
    assert row.fd in fds
    assert row.process_name.startswith("python")
    assert row.user == "root" or os.geteuid()
    assert (row.keepalive, row.idle, row.interval, row.probes) == (True, 5, 1, 3)
    assert row.user_timeout == 4.5
    assert row.unseen == ""
    assert row.timer is Timer.KEEPALIVE
    assert row.fires_in is not None
    assert 0 <= row.fires_in <= 5.1
    assert row.unacknowledged == 0
    assert row.verdict is Verdict.PROTECTED


def test_the_other_end_sets_nothing(child):
    near, _ = ends(child)

    (row,) = seen("dport", f"= :{near}", pids=frozenset({child.pid}))

    assert row.keepalive is False
    assert (row.timer, row.fires_in) == (Timer.NONE, None)
    assert row.verdict is Verdict.UNPROTECTED


def test_every_wish_has_to_be_met(child):
    pids = frozenset({child.pid})
    name = child.told("Path('/proc/self/comm').read_text().strip()")
    user = str(child.told("os.geteuid()"))
    netns = (str(child.pid),)

    assert len(seen(pids=pids)) == 2
    assert len(seen(netns=netns)) == 2
    assert len(seen(netns=netns, processes=(name,), users=(user,))) == 2
    assert len(seen(netns=netns, processes=("py*",))) == 2
    assert len(seen(pids=pids, unprotected=True)) == 1
    assert len(seen(pids=pids, unprotected=True, within=1.0)) == 2
    for unmet in (
        {"processes": ("nginx",)},
        {"users": ("nobody",)},
        {"pids": frozenset({os.getpid()})},
        {"suspect": True},
        {"words": ("state", "listening")},
    ):
        assert survey(Selection(netns=netns, **unmet)).rows == ()


def test_nothing_said_is_everything():
    assert Selection().is_everything
    assert Selection(words=(" ",), netns=("all",), within=3).is_everything
    for wish in (
        {"words": ("dport", "1")},
        {"pids": frozenset({1})},
        {"processes": ("x",)},
        {"users": ("x",)},
        {"suspect": True},
        {"unprotected": True},
    ):
        assert not Selection(**wish).is_everything


def test_sockets_that_are_not_meant_are_left_in_peace(child):
    near, _ = ends(child)
    netns = (str(child.pid),)
    one = Selection(netns=netns, words=("sport", str(near)))

    asked = [
        survey(one).snapshot.settings.settings,
        survey(Selection(netns=netns, pids=frozenset({1}))).snapshot.settings.settings,
        survey(Selection(pids=frozenset({child.pid}))).snapshot.settings.settings,
        survey(one, whole=True).snapshot.settings.settings,
    ]

    assert list(map(len, asked)) == [1, 0, 2, 2]


def test_a_second_holder_is_a_holder(child):
    with neighbour() as heir:
        fds = "fd = os.pidfd_open({}); import ctypes; copy = ctypes.CDLL(None).syscall(438, fd, {}, 0)"
        heir.told(fds.format(child.pid, child.told("a.fileno()")))
        wish = Selection(netns=(str(child.pid),), pids=frozenset({heir.pid}))

        (row,) = survey(wish).rows

        assert {pid for pid, _ in row.holders} == {child.pid, heir.pid}
        assert row.idle == 5


def test_all_namespaces_are_looked_into(child):
    with neighbour(namespace=True) as other:
        other.told("c, d = pair()")

        listing = survey(Selection(netns=("all",)))

    found = {row.pid for row in listing.rows}
    assert {child.pid, other.pid} <= found


def test_a_namespace_that_is_not_there_is_said():
    with pytest.raises(ConfigError, match="no network namespace"):
        survey(Selection(netns=("no-such-namespace",)))


def test_a_process_that_is_not_there_is_said():
    with pytest.raises(ConfigError, match="no process 4194305"):
        survey(Selection(pids=frozenset({4_194_305})))  # more than there may be


def test_data_in_flight_without_answers_makes_a_peer_suspect():
    with neighbour(namespace=True) as child:
        child.told("a, b = pair(); c, d = pair(); loopback(False); a.send(b'hello?')")
        wish = Selection(pids=frozenset({child.pid}), suspect=True)

        rows: tuple[Seen, ...] = ()
        for _ in range(10_000):  # it takes two timeouts of 0.2 and 0.4 s
            rows = survey(wish).rows
            if rows:
                break

        (row,) = rows
        assert row.local.port == child.told("a.getsockname()[1]")
        assert row.unacknowledged == 6
        assert row.timer is Timer.RETRANSMIT
        assert "retransmissions" in row.judgement.reason
        assert row.judgement.protected is False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_not_look_sees_what_everybody_may():
    with neighbour() as held:
        held.told(
            "a, b = pair(); a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)"
        )
        port = held.told("a.getsockname()[1]")

        def look() -> int:
            rows = seen(f"sport = :{port} or dport = :{port}")
            (kept,) = (row for row in rows if row.local.port == port)
            (other,) = (row for row in rows if row.local.port != port)
            assert kept.keepalive is True
            assert kept.unseen == other.unseen == HIDDEN
            assert kept.settings is None
            assert (kept.idle, kept.user_timeout) == (None, None)
            assert kept.verdict is Verdict.UNKNOWN
            assert other.keepalive is False
            assert other.verdict is Verdict.UNPROTECTED
            return 0

        assert as_nobody(look) == 0


def test_a_connection_in_the_queue_has_no_program_yet():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port = client.getsockname()[1]

        (row,) = seen(f"dport = :{port} and sport = :{server.getsockname()[1]}")

    assert row.holders == ()
    assert (row.pid, row.fd, row.process) == (None, None, None)
    assert row.process_name == row.user == row.container == ""
    assert "not accepted" in row.judgement.reason


# -- from a recording --------------------------------------------------------------


def recorded(**wishes) -> tuple[Seen, ...]:
    snapshot = decode_snapshot(RECORDING.read_bytes())
    return select(snapshot, Selection(**wishes))


def test_a_timer_of_a_later_kernel_is_no_reason_to_fail():
    row = recorded()[0]

    assert row._replace(row=row.row._replace(timer=9)).timer is Timer.NONE


def test_multipath_is_told_apart():
    found = {row.protocol for row in recorded(words=("state", "all"))}

    assert found == {"tcp", "mptcp", "subflow"}


def test_every_row_of_a_recording_is_judged_and_counted():
    rows = recorded(words=("state", "all"))

    assert sum(count_verdicts(rows).values()) == len(rows) == 22
    assert all(isinstance(row.local.port, int) for row in rows)
    assert sum(share.connections for share in shares(rows)) == 22
    worst = shares(rows)[0]
    assert worst.pid is not None
    assert worst.unprotected == sum(
        row.pid == worst.pid and row.judgement.protected is False for row in rows
    )
    assert [share.pid for share in shares(rows)][-1] is None


def test_a_wrong_filter_is_refused_before_anything_is_looked_at():
    with pytest.raises(DeadPeerError, match=">>oops<<"):
        survey(Selection(words=("oops",)))
    assert Listing(rows=(), snapshot=decode_snapshot(RECORDING.read_bytes())).rows == ()


@pytest.mark.parametrize(
    ("state", "keepalive"), [(TcpState.ESTABLISHED, True), (TcpState.FIN_WAIT2, None)]
)
def test_only_where_the_slow_timer_is_keepalives_it_says_that_it_is_on(
    state, keepalive
):
    # Source: Linux net/ipv4/tcp.c, __tcp_close(): an orphan waits for its FIN by it.
    timed = row(state=state, timer=int(Timer.KEEPALIVE))
    judgement = Judge(Defaults()).judge(timed, None)

    assert Seen(1, timed, (), None, None, HIDDEN, judgement).keepalive is keepalive
