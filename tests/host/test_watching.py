"""Watching real connections, in namespaces of the test's own: what is found out."""

import time

import pytest
from tests.neighbours import neighbour, paired_neighbour

from deadpeer.errors import ConfigError
from deadpeer.host.changes import Change, ChangeKind, DeathReason
from deadpeer.host.learning import LONGEST_WAIT
from deadpeer.host.listing import survey
from deadpeer.host.selection import Selection
from deadpeer.host.watching import RESCAN, ROUND, Watcher
from deadpeer.kernel.diag import Diag
from deadpeer.kernel.namespaces import find_namespace, in_namespace
from deadpeer.kernel.processes import user_name
from deadpeer.kernel.timeout_counter import TimeoutCounter

pytestmark = pytest.mark.netns

PATIENCE = 15.0

KEPT = (
    "[s.setsockopt(*o) for s in {0}"
    " for o in ((1, 9, {1}), (6, 4, 5), (6, 5, 2), (6, 18, 9000))]"
)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def child():
    with paired_neighbour() as made:
        yield made


@pytest.fixture
def clock():
    return Clock()


def looks(watcher, clock, many):
    """Take looks a walk apart; return what they told."""
    told = []
    for _ in range(many):
        told += watcher.look()
        clock.now += LONGEST_WAIT
    return told


def watched(watcher):
    return {row.ends.local_port: made for _, _, row, made in watcher.sampler.watched()}


def test_who_holds_a_connection_and_what_it_has_set_is_found_out(child, clock):
    child.told(KEPT.format("a", 1))
    port = child.told("a[0].getsockname()[1]")
    with Watcher(Selection(netns=(str(child.pid),)), clock=clock) as watcher:
        assert watcher.look() == ()
        about = watched(watcher)[port].about

        assert about.who.pid == child.pid
        assert about.fd == child.told("a[0].fileno()")
        assert about.judgement.protected is True
        assert watcher.sampler.strangers() == []


def test_whose_connections_are_meant_is_said_as_for_a_listing(child, clock):
    netns, user = str(child.pid), str(child.told("os.geteuid()"))
    name = child.told("Path('/proc/self/comm').read_text().strip()")
    ours = {"users": (user,)}, {"users": (user_name(int(user)),)}
    for chosen in (*ours, {"processes": (name[:3] + "*",)}, {"users": ("no-such",)}):
        with Watcher(Selection(netns=(netns,), **chosen), clock=clock) as watcher:
            watcher.look()
            assert len(watched(watcher)) == (0 if "no-such" in str(chosen) else 2)


@pytest.mark.parametrize("wish", [{"processes": ("*",)}, {"users": ("None",)}])
def test_one_that_nobody_holds_is_of_no_process(child, clock, wish):
    child.told("orphan, other = pair(); orphan.close()")
    selection = Selection(netns=(str(child.pid),), **wish)
    with Watcher(selection, clock=clock) as watcher:
        watcher.look()
        ends = {row.ends for _, _, row, _ in watcher.sampler.watched()}

        assert ends == {seen.row.ends for seen in survey(selection).rows}


def test_a_process_that_is_not_there_is_named_as_one():
    with pytest.raises(ConfigError, match="no process 99999999"):
        Watcher(Selection(pids=frozenset({99999999})))


def test_a_program_that_takes_its_protection_off_is_told(child, clock):
    child.told(KEPT.format("a", 1))
    with Watcher(Selection(netns=(str(child.pid),)), clock=clock) as watcher:
        watcher.look()
        child.told(KEPT.format("a", 0))
        told = looks(watcher, clock, 3 * ROUND)

        assert [change.kind for change in told] == [ChangeKind.UNPROTECTED] * 2


def test_a_connection_that_moves_to_another_descriptor_is_found_again(child, clock):
    with Watcher(Selection(netns=(str(child.pid),)), clock=clock) as watcher:
        watcher.look()
        port = child.told("a[0].getsockname()[1]")
        child.told("moved = os.dup(a[0].fileno()); a[0].close()")
        looks(watcher, clock, 3 * ROUND)

        assert watched(watcher)[port].about.fd == child.told("moved")


@pytest.mark.parametrize("wish", [{}, {"processes": ("python*",)}])
def test_one_that_nobody_has_accepted_gets_its_owner_when_somebody_does(
    child, clock, wish
):
    child.told("server = socket.create_server(('127.0.0.1', 0))")
    child.told("b = socket.create_connection(server.getsockname()[:2])")
    port = child.told("server.getsockname()[1]")
    selection = Selection(netns=(str(child.pid),), **wish)
    with Watcher(selection, clock=clock) as watcher:
        looks(watcher, clock, 2)
        found = watched(watcher).get(port)
        assert found is None if wish else found.about.who.pid == 0
        child.told("c = server.accept()[0]")
        looks(watcher, clock, 2)

        assert watched(watcher)[port].about.who.pid == child.pid


def test_a_connection_is_a_target_for_those_who_change_it(child, clock):
    with Watcher(Selection(netns=(str(child.pid),)), clock=clock) as watcher:
        watcher.look()
        (namespace, cookie, row, _), _ = watcher.sampler.watched()
        target = watcher.target(namespace, cookie)

        assert target is not None
        assert target.row is row
        assert target.pid == child.pid
        assert target.namespace.inode == namespace
        assert watcher.target(namespace, bytes(8)) is None
        assert watcher.target(0, cookie) is None


def test_namespaces_that_come_are_watched_and_those_that_go_are_let_go(child, clock):
    with Watcher(Selection(netns=("all",), pids=frozenset({child.pid})),
                 clock=clock) as watcher:  # fmt: skip
        watcher.look()
        assert len(watcher.sampler) == 2
        with neighbour(namespace=True) as other:
            other.told("b = pair()")
            watcher.select(
                Selection(netns=("all",), pids=frozenset({child.pid, other.pid}))
            )
            clock.now += RESCAN
            looks(watcher, clock, 2)
            assert len(watcher.sampler) == 4
        clock.now += RESCAN

        assert looks(watcher, clock, 2) == []
        assert len(watcher.sampler) == 2


def test_a_selection_that_makes_no_sense_changes_nothing(child, clock):
    chosen = Selection(netns=(str(child.pid),))
    with Watcher(chosen, clock=clock) as watcher:
        watcher.look()
        for bad in (
            Selection(netns=(str(child.pid),), words=("dport",)),
            Selection(netns=("/nonexistent",)),
        ):
            with pytest.raises(ConfigError):
                watcher.select(bad)
        watcher.look()

        assert len(watcher.sampler) == 2


def test_another_promise_judges_all_anew(child, clock):
    child.told(KEPT.format("a", 1))
    with Watcher(Selection(netns=(str(child.pid),)), clock=clock) as watcher:
        watcher.look()
        watcher.select(Selection(netns=(str(child.pid),), within=6.0))
        looks(watcher, clock, 3)

        assert {made.about.judgement.protected
                for made in watched(watcher).values()} == {False}  # fmt: skip


def test_one_that_the_kernel_gives_up_during_a_look_was_not_reset(
    child, clock, monkeypatch
):
    """It is among those that are seen, and counted by the time they are shown."""
    child.told("[s.setsockopt(6, 18, 2000) for s in a]")
    counter = in_namespace(find_namespace(str(child.pid)), TimeoutCounter)
    dump, end = Diag.dump, time.monotonic() + PATIENCE
    told: list[Change] = []

    def overtaken(diag, **which):
        seen = dump(diag, **which)
        while counter.read() != 2:
            assert time.monotonic() < end
            time.sleep(0.01)  # for the kernel's timer, which nobody announces
        return seen

    with Watcher(Selection(netns=(str(child.pid),)), clock=clock) as watcher:
        watcher.look()
        child.told("loopback(False); [s.send(b'x') for s in a]")
        while [change.kind for change in told] != [ChangeKind.SUSPECT] * 2:
            assert time.monotonic() < end
            told += watcher.look()
        monkeypatch.setattr(Diag, "dump", overtaken)
        ends = looks(watcher, clock, 2)
    counter.close()

    assert [change.reason for change in ends] == [DeathReason.TIMED_OUT] * 2
