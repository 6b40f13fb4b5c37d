"""Ending connections: those whose peers are dead, by their cookies, and no others."""

import errno
import socket
from dataclasses import replace
from typing import Any

import pytest
from tests.host.crowds import crowd
from tests.host.interrupting import interrupted_after_one
from tests.host.strangers import fingerprints, prepare
from tests.host.telling import told
from tests.neighbours import neighbour

from deadpeer.cli.root import run
from deadpeer.host import killing
from deadpeer.host.killing import carry_out, has_recovered, plan_kills
from deadpeer.host.outcomes import Outcome
from deadpeer.host.selection import Selection
from deadpeer.host.stopping import Interrupted
from deadpeer.host.targets import Target, choose_targets

pytestmark = pytest.mark.netns

PATIENCE = 15
DYING, LIVING = 12, 40


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        prepare(made)
        made.told("a, b = pair(); c, d = pair()")
        yield made


def targets(child, name: str = "a") -> tuple[Target, ...]:
    port = child.told(f"{name}.getsockname()[1]")
    words = ("sport", "=", f":{port}")
    return choose_targets(Selection(words=words, pids=frozenset({child.pid})))


def error_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


@pytest.mark.slow
def test_all_that_are_dead_are_ended_and_none_that_live(capsys):
    with crowd(dying=DYING, living=LIVING) as made:
        words = ("kill", "--suspect", "--netns", made.netns)

        def counts(*more: str) -> dict[str, int]:
            found: dict[str, int] = told(capsys, *words, *more)["counts"]
            return found

        assert counts() == {}
        made.pull()

        assert made.until(lambda: counts() == {"planned": DYING}, PATIENCE)
        assert [error_of(near) for near, _ in made.dying] == [0] * DYING
        ended = counts("--yes")

        assert ended == {"done": DYING}
        assert {error_of(near) for near, _ in made.dying} == {errno.ECONNABORTED}
        assert [error_of(near) for near, _ in made.living] == [0] * LIVING
        for near, far in made.living[0::2]:
            far.send(b"y")
            assert near.recv(1) == b"y"
        assert counts() == {}


def test_a_plan_ends_nothing(child):
    seen = fingerprints(child, "a", "b")

    (kill,) = plan_kills(targets(child))

    assert kill.outcome is Outcome.PLANNED
    assert fingerprints(child, "a", "b") == seen


def test_the_one_that_was_meant_is_ended_and_its_neighbour_not(child):
    seen = fingerprints(child, "c", "d")

    (kill,) = carry_out(plan_kills(targets(child)))

    assert kill.outcome is Outcome.DONE
    assert child.told("a.getsockopt(1, 4)") == errno.ECONNABORTED
    assert fingerprints(child, "c", "d") == seen


def test_one_of_another_cookie_is_gone_and_nothing_is_ended(child):
    (target,) = targets(child)
    row = target.row._replace(id=target.row.id[:40] + bytes((9,) * 8))

    (kill,) = carry_out(plan_kills([replace(target, row=row)]))

    assert kill.outcome is Outcome.GONE
    assert child.told("a.send(b'x'); b.recv(1)") == b"x"


def test_what_is_interrupted_ends_no_further_connection_and_tells_which(child):
    kills = plan_kills((*targets(child, "a"), *targets(child, "c")))
    with interrupted_after_one(killing, "_end"), pytest.raises(Interrupted) as caught:
        carry_out(kills)

    assert [kill.outcome for kill in caught.value.came] == [
        Outcome.DONE,
        Outcome.PLANNED,
    ]
    assert child.told("a.getsockopt(1, 4)") == errno.ECONNABORTED
    assert child.told("c.send(b'x'); d.recv(1)") == b"x"


def test_a_listener_is_never_ended(child):
    child.told("s = socket.create_server(('127.0.0.1', 0))")
    port = child.told("s.getsockname()[1]")
    words = ["kill", "state", "all", "sport", "=", f":{port}", "--pid", str(child.pid)]

    assert run([*words, "--yes"]) == 0

    child.told(f"e = socket.create_connection(('127.0.0.1', {port}))")


def test_a_suspect_that_has_been_heard_since_is_spared(child):
    """Nothing is unanswered when it is looked at again: the evidence is gone."""
    kills = plan_kills([replace(one, reason="said") for one in targets(child)])

    (kill,) = carry_out(kills, suspects=True)

    assert kill.outcome is Outcome.SPARED
    assert child.told("a.send(b'x'); b.recv(1)") == b"x"


def test_what_was_heard_between_two_looks_is_life(child):
    (target,) = targets(child)
    row = target.row
    then = with_info(row, probes=2, last_ack_ms=5000, last_data_ms=6000)

    def later(**changes: int) -> bool:
        facts = {"probes": 3, "last_ack_ms": 5500, "last_data_ms": 6500}
        return has_recovered(then, with_info(row, **{**facts, **changes}))

    assert not later()
    assert later(probes=1)
    assert later(last_ack_ms=10)
    assert later(last_data_ms=10)
    assert has_recovered(then, row._replace(info=b""))


def with_info(row: Any, *, probes: int, last_ack_ms: int, last_data_ms: int) -> Any:
    info = bytearray(row.info)
    info[3] = probes
    info[52:56] = last_data_ms.to_bytes(4, "little")
    info[56:60] = last_ack_ms.to_bytes(4, "little")
    return row._replace(info=bytes(info))
