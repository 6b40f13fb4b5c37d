"""Undoing a fix: what is put back, what is pinned, what is left alone."""

from dataclasses import replace
from typing import Any

import pytest
from tests.host.strangers import fingerprints, prepare
from tests.neighbours import Neighbour, neighbour

from deadpeer.errors import ConfigError
from deadpeer.host import fixing, undoing
from deadpeer.host.fixing import Goal
from deadpeer.host.outcomes import Outcome
from deadpeer.host.records import FixRecord
from deadpeer.host.selection import Selection
from deadpeer.host.targets import choose_targets

pytestmark = pytest.mark.netns

GOAL = Goal(within=8)


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        prepare(made)
        made.told("a, b = pair(); c, d = pair()")
        made.told("a.setsockopt(6, 4, 61); a.setsockopt(6, 18, 60000)")
        yield made


def fixed(child: Neighbour, *names: str) -> FixRecord:
    """Fix some sockets of the child, and return the record."""
    ports = [child.told(f"{name}.getsockname()[1]") for name in names]
    words = " or ".join(f"sport = :{port}" for port in ports).split()
    found = choose_targets(Selection(words=tuple(words), pids=frozenset({child.pid})))
    plan = fixing.plan_fixes(found, GOAL)
    record = fixing.record_of(plan, GOAL, made_at="2026-01-01T00:00:00+00:00")
    assert {one.outcome for one in fixing.carry_out(plan)} == {Outcome.DONE}
    return record


def undone(record: FixRecord, **how: Any) -> tuple[undoing.Undo, ...]:
    return undoing.carry_out(undoing.plan_undo(record, **how))


def test_every_value_is_what_it_was(child):
    seen = fingerprints(child, "a", "c")
    record = fixed(child, "a", "c")
    assert fingerprints(child, "a", "c") != seen

    done = undone(record)

    assert [one.outcome for one in done] == [Outcome.DONE, Outcome.DONE]
    assert fingerprints(child, "a", "c") == seen


def test_what_followed_the_system_is_said_to_be_pinned_and_is(child):
    (done,) = undone(fixed(child, "c"))

    assert done.pinned == ("idle", "interval")
    child.told("sysctl('tcp_keepalive_time', 33)")
    assert child.told("c.getsockopt(6, 4), d.getsockopt(6, 4)") == (7200, 33)


def test_a_plan_puts_nothing_back(child):
    record = fixed(child, "a")
    seen = fingerprints(child, "a")

    (plan,) = undoing.plan_undo(record)

    assert plan.outcome is Outcome.PLANNED
    assert fingerprints(child, "a") == seen


def test_what_has_ended_is_gone_and_the_rest_is_undone(child):
    record = fixed(child, "a", "c")
    child.told("c.close()")

    outcomes = {one.item.local: one.outcome for one in undone(record)}

    assert sorted(outcomes.values()) == [Outcome.DONE, Outcome.GONE]


def test_what_was_undone_is_as_it_was_already(child):
    record = fixed(child, "a")
    undone(record)

    assert [one.outcome for one in undone(record)] == [Outcome.ALREADY]


def test_what_somebody_changed_since_is_left_alone_unless_forced(child):
    seen = fingerprints(child, "a")
    record = fixed(child, "a")
    child.told("a.setsockopt(6, 4, 99)")

    (left,) = undone(record)

    assert left.outcome is Outcome.REFUSED
    assert "--force" in left.why
    assert child.told("a.getsockopt(6, 4)") == 99
    assert [one.outcome for one in undone(record, force=True)] == [Outcome.DONE]
    assert fingerprints(child, "a") == seen


def test_what_was_half_set_when_a_fix_was_killed_is_put_back(child):
    seen = fingerprints(child, "a")
    record = fixed(child, "a")
    old = record.sockets[0].before
    child.told(f"a.setsockopt(6, 5, {old['interval']}); a.setsockopt(6, 18, 60000)")

    assert [one.outcome for one in undone(record)] == [Outcome.DONE]
    assert fingerprints(child, "a") == seen


def test_another_socket_of_the_same_ports_is_not_touched(child):
    """Its cookie is another one: it is a new connection, whatever its address."""
    child.told(
        """
server = socket.create_server(("127.0.0.1", 0))
e = socket.socket(); e.setsockopt(1, 2, 1); e.bind(("127.0.0.1", 0))
mine = e.getsockname(); e.connect(server.getsockname()); f, _ = server.accept()
"""
    )
    record = fixed(child, "e")
    child.told(
        """
import struct
for s in (e, f):
    s.setsockopt(1, 13, struct.pack("ii", 1, 0)); s.close()
e = socket.socket(); e.setsockopt(1, 2, 1); e.bind(mine)
e.connect(server.getsockname()); f, _ = server.accept()
e.setsockopt(6, 4, 5)
"""
    )
    seen = fingerprints(child, "e", "f")

    (done,) = undone(record, force=True)

    assert done.outcome is Outcome.GONE
    assert fingerprints(child, "e", "f") == seen


def test_a_namespace_that_is_gone_took_its_sockets_along(child):
    record = fixed(child, "a")
    elsewhere = replace(
        record, sockets=tuple(replace(one, netns=1) for one in record.sockets)
    )

    assert [one.outcome for one in undone(elsewhere)] == [Outcome.GONE]


@pytest.mark.parametrize("boot", ["another", ""])
def test_a_record_of_another_boot_is_refused(child, boot, monkeypatch):
    record = fixed(child, "a")
    seen = fingerprints(child, "a")
    if not boot:  # a boot that has no name is not the same as any other
        monkeypatch.setattr(undoing, "boot_id", lambda: None)

    with pytest.raises(ConfigError, match="another boot"):
        undoing.plan_undo(replace(record, boot_id=boot))

    assert fingerprints(child, "a") == seen
