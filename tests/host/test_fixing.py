"""Fixing sockets of a child: which, in which order, and what a race decides."""

from dataclasses import replace
from typing import Any

import pytest
from tests.host.strangers import fingerprints, prepare
from tests.neighbours import Neighbour, connect_by_many_paths, neighbour

from deadpeer.errors import ConfigError, KernelRefused, UnsupportedError
from deadpeer.host.fixing import Fix, Goal, carry_out, plan_fixes, record_of
from deadpeer.host.outcomes import Outcome
from deadpeer.host.selection import Selection
from deadpeer.host.targets import Target, choose_targets
from deadpeer.kernel.owners import Holder
from deadpeer.policy import plan

pytestmark = pytest.mark.netns

GOAL = Goal(within=8)
# Which not every kernel has.
SHORT_RTO = """
if os.path.exists("/proc/sys/net/ipv4/tcp_rto_max_ms"):
    sysctl("tcp_rto_max_ms", 1000)
"""
NO_PROCESS = 2**22 + 1
OPTIONS = "[s.getsockopt(1, 9)] + [s.getsockopt(6, n) for n in (4, 5, 18)]"


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        prepare(made)
        made.told("a, b = pair()")
        yield made


def targets(child: Neighbour, name: str = "a", **how: Any) -> tuple[Target, ...]:
    """Return the one socket of the child that is called so."""
    port = child.told(f"{name}.getsockname()[1]")
    words = ("sport", "=", f":{port}")
    selection = Selection(words=words, pids=frozenset({child.pid}))
    found = choose_targets(selection, **how)
    cookie = child.told(f"{name}.getsockopt(1, 57, 8)")
    return tuple(one for one in found if one.row.cookie_bytes == cookie)


def options(child: Neighbour, name: str = "a") -> Any:
    return child.told(OPTIONS.replace("s.", f"{name}."))


def fixed(child: Neighbour, name: str = "a", **how: Any) -> Fix:
    (done,) = carry_out(plan_fixes(targets(child, name, **how), GOAL))
    return done


def test_a_plan_tells_before_and_after_and_changes_nothing(child):
    seen = fingerprints(child, "a", "b")

    (fix,) = plan_fixes(targets(child), GOAL)

    assert fix.outcome is Outcome.PLANNED
    assert fix.before is not None
    assert fix.after is not None
    assert (fix.before.on, fix.before.idle) == (False, 7200)
    assert fix.after.on
    assert fix.wanted == plan(within=8, defaults=fix.target.defaults).keepalive
    assert fix.after.idle == fix.wanted.idle
    assert fingerprints(child, "a", "b") == seen


def test_what_was_planned_is_done_read_back_and_armed(child):
    done = fixed(child)

    assert done.outcome is Outcome.DONE
    assert done.after is not None
    assert done.fires_in is not None
    on, idle, interval, user_timeout_ms = options(child)
    assert done.fires_in <= idle
    assert (on, idle, interval) == (1, done.after.idle, done.after.interval)
    assert user_timeout_ms / 1000 == done.after.user_timeout


def test_the_other_end_and_the_shared_flags_stay_as_they_are(child):
    child.told("import os; os.set_blocking(a.fileno(), True)")
    other = fingerprints(child, "b")
    flags = child.told("fcntl.fcntl(a, fcntl.F_GETFL), fcntl.fcntl(a, fcntl.F_GETFD)")

    assert fixed(child).outcome is Outcome.DONE

    assert fingerprints(child, "b") == other
    now = child.told("fcntl.fcntl(a, fcntl.F_GETFL), fcntl.fcntl(a, fcntl.F_GETFD)")
    assert now == flags
    assert child.told("a.send(b'x'); b.recv(1)") == b"x"


def test_what_keeps_the_promise_already_is_left_alone(child):
    fixed(child)
    seen = fingerprints(child, "a")

    assert fixed(child).outcome is Outcome.ALREADY

    assert fingerprints(child, "a") == seen


def test_a_timer_that_was_armed_before_the_sysctls_is_no_protection(child):
    """``getsockopt`` shows the new values, and the armed timer has the old ones."""
    child.told("a.setsockopt(6, 18, 3000); a.setsockopt(1, 9, 1)")
    child.told("sysctl('tcp_keepalive_time', 1); sysctl('tcp_keepalive_intvl', 1)")
    child.told(SHORT_RTO)

    done = fixed(child)

    assert done.outcome is Outcome.DONE
    assert done.fires_in is not None
    assert done.fires_in <= 1


def test_a_listener_is_fixed_only_if_that_was_asked_for_and_hands_it_on(child):
    child.told("s = socket.create_server(('127.0.0.1', 0))")

    assert targets(child, "s") == ()
    assert fixed(child, "s", listening=True).outcome is Outcome.DONE

    child.told("c = socket.create_connection(s.getsockname()); d, _ = s.accept()")
    assert options(child, "d") == options(child, "s")
    assert options(child, "c")[0] == 0


def test_a_socket_that_was_closed_is_gone(child):
    planned = plan_fixes(targets(child), GOAL)
    child.told("a.close()")

    (done,) = carry_out(planned)

    assert done.outcome is Outcome.GONE


def test_another_socket_in_its_number_is_not_touched(child):
    planned = plan_fixes(targets(child), GOAL)
    child.told("c, d = pair(); number = a.fileno()")
    child.told("os.dup2(c.fileno(), number)")
    seen = fingerprints(child, "a", "c", "d")

    (done,) = carry_out(planned)

    assert done.outcome is Outcome.GONE
    assert fingerprints(child, "a", "c", "d") == seen


@pytest.mark.parametrize("wrong", ["inode", "cookie"])
def test_inode_and_cookie_both_have_to_be_its_own(child, wrong):
    (planned,) = plan_fixes(targets(child), GOAL)
    row = planned.target.row
    if wrong == "inode":
        row = row._replace(inode=row.inode + 1)
    else:
        row = row._replace(id=row.id[:40] + bytes(8))
    seen = fingerprints(child, "a", "b")

    (done,) = carry_out([replace(planned, target=replace(planned.target, row=row))])

    assert done.outcome is Outcome.GONE
    assert fingerprints(child, "a", "b") == seen


def test_a_program_that_changes_its_options_meanwhile_is_not_overruled(child):
    planned = plan_fixes(targets(child), GOAL)
    child.told("a.setsockopt(6, 4, 60)")
    seen = fingerprints(child, "a")

    (done,) = carry_out(planned)

    assert done.outcome is Outcome.REFUSED
    assert "changed its options" in done.why
    assert isinstance(done.error, KernelRefused)
    assert fingerprints(child, "a") == seen


def test_a_socket_lives_on_in_another_process_that_holds_it(child):
    (target,) = targets(child)
    gone = Holder(NO_PROCESS, 3)
    shared = replace(target, holders=(gone, *target.holders))

    (done,) = carry_out(plan_fixes([shared], GOAL))

    assert done.outcome is Outcome.DONE


def test_a_socket_that_nobody_holds_is_refused_with_the_reason(child):
    (target,) = targets(child)
    (fix,) = plan_fixes([replace(target, holders=())], GOAL)

    assert fix.outcome is Outcome.REFUSED
    assert fix.why


def test_multipath_tcp_is_unsupported_and_never_done(child):
    connect_by_many_paths(child)
    port = child.told("m.getsockname()[1]")
    words = ("sport", "=", f":{port}")
    found = choose_targets(Selection(words=words, pids=frozenset({child.pid})))

    fixes = carry_out(plan_fixes(found, GOAL))

    assert fixes
    assert {fix.outcome for fix in fixes} == {Outcome.UNSUPPORTED}
    assert all(isinstance(fix.error, UnsupportedError) for fix in fixes)
    assert child.told("m.getsockopt(1, 9)") == 0


def test_a_closed_window_is_warned_of(child):
    child.told(
        """
a.setblocking(False)
try:
    while True: a.send(b"x" * 65536)
except BlockingIOError:
    pass
"""
    )
    # The window probe is armed once all that was sent has been acknowledged.
    for _ in range(200):
        (target,) = targets(child)
        if target.row.timer == 4:
            break
    (fix,) = plan_fixes([target], GOAL)

    assert any("takes no data at the moment" in said for said in fix.warnings)
    assert any("window stays closed" in said for said in fix.warnings)


def test_a_promise_that_nobody_can_keep_is_a_mistake(child):
    with pytest.raises(ConfigError, match="the smallest promise is"):
        plan_fixes(targets(child), Goal(within=2))


@pytest.mark.parametrize("words", [(), ("",)])
def test_a_selection_of_everything_is_no_target(words):
    with pytest.raises(ConfigError, match="has to be said which") as caught:
        choose_targets(Selection(words=words))

    assert "--pid" in caught.value.hint


def test_the_record_has_the_old_values_and_what_is_set(child):
    planned = plan_fixes(targets(child), GOAL)

    record = record_of(planned, GOAL, made_at="now")

    (item,) = record.sockets
    assert item.cookie.to_bytes(8, "little") == child.told("a.getsockopt(1, 57, 8)")
    assert item.inode == child.told("os.fstat(a.fileno()).st_ino")
    assert item.netns == child.told("os.stat('/proc/self/ns/net').st_ino")
    assert item.before["on"] == 0
    assert item.before["idle"] == 7200
    assert item.after["on"] == 1
    assert item.after.keys() <= item.before.keys()
