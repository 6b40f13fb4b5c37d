"""Attaching and detaching on cgroups of our own: whole or not at all, and only ours."""

import ctypes
import errno
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.neighbours import as_nobody, neighbour
from tests.own_cgroups import needs_cgroups, own_cgroup, take_off

from deadpeer.errors import AccessDenied, ConfigError, KernelRefused
from deadpeer.host import attach_plans
from deadpeer.host.attach_plans import plan_attach, plan_detach
from deadpeer.host.attaching import attach, detach
from deadpeer.host.attachments import attached, look, opened
from deadpeer.host.keeping import Places
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.bpf_calls import Command, call
from deadpeer.kernel.bpf_instructions import Register, assemble, leave, set_constant
from deadpeer.kernel.bpf_programs import LICENCE
from deadpeer.kernel.bpf_terms import Counts
from deadpeer.kernel.cgroups import Cgroup, hierarchy

__all__ = ["needs_cgroups"]

pytestmark = pytest.mark.usefixtures("needs_cgroups")

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF = 12, 21, 39  # linux/capability.h


def found(cgroup: Cgroup):
    """Return what of ours is attached to a cgroup, as the listing tells it."""
    here = [one for one in attached() if one.cgroup == cgroup.name]
    assert len(here) <= 1
    return here[0] if here else None


def load_stranger(name: str = "stranger") -> int:
    """Load a program that does nothing and is none of ours."""
    code = assemble([set_constant(Register.R0, 1), leave()], sys.byteorder)
    return bpf.load(Hook.SOCK_OPS, code, name=name, licence=LICENCE)


def add_stranger(cgroup: Cgroup, name: str = "stranger") -> int:
    """Attach one that is none of ours beside others; return its number."""
    program = load_stranger(name)
    with opened(cgroup) as folder:
        bpf.attach(program, folder, Hook.SOCK_OPS)
    number = bpf.info_of(program).number
    os.close(program)
    return number


def with_capabilities(*kept: int) -> None:
    """Give up every capability but these, for good: capset(2), version 3."""
    masks = [0, 0]
    for number in kept:
        masks[number // 32] |= 1 << number % 32
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    both = (masks[0], masks[0], 0, masks[1], masks[1], 0)
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)(*both)) == 0


def in_child(action) -> int:
    """Return what *action* returns, called in a child of ours."""
    child = os.fork()
    if not child:
        code = 255
        try:
            code = action()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_plan_changes_nothing():
    with own_cgroup() as cgroup:
        planned = plan_attach(cgroup.name, within=20, pin=True)

        assert planned.before is None
        assert not planned.is_done
        assert planned.processes == 0
        assert found(cgroup) is None


@pytest.mark.parametrize("pin", [False, True])
def test_what_is_attached_is_listed_with_its_values(pin):
    with own_cgroup() as cgroup:
        planned = plan_attach(cgroup.name, within=20, pin=pin)
        done = attach(planned)
        seen = found(cgroup)

        assert seen is not None
        assert seen.terms.effective == planned.terms.effective
        assert (seen.terms.within, seen.terms.pin) == (20, pin)
        assert seen.programs == done.programs
        assert len(seen.programs) == 1 + pin


def test_attaching_the_same_again_changes_nothing():
    with own_cgroup() as cgroup:
        first = attach(plan_attach(cgroup.name, within=20))
        again = plan_attach(cgroup.name, within=20)

        assert again.is_done
        assert attach(again).programs == first.programs


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_attaching_with_other_values_replaces_ours(before, after):
    with own_cgroup() as cgroup:
        old = attach(plan_attach(cgroup.name, within=20, pin=before))
        planned = plan_attach(cgroup.name, within=30, pin=after)
        new = attach(planned)
        seen = found(cgroup)

        assert planned.before is not None
        assert planned.before.terms.within == 20
        assert seen is not None
        assert seen.programs == new.programs
        assert set(new.programs).isdisjoint(old.programs)
        assert (seen.terms.within, seen.terms.pin) == (30, after)


def test_half_of_what_was_wanted_is_not_taken_for_the_whole():
    with own_cgroup() as cgroup:
        attach(plan_attach(cgroup.name, within=20, pin=True))
        take_off(cgroup, Hook.SETSOCKOPT)
        again = plan_attach(cgroup.name, within=20, pin=True)

        assert not again.is_done
        assert len(attach(again).programs) == 2
        assert plan_attach(cgroup.name, within=20, pin=True).is_done


def killed_before(name: str, nth: int, action) -> None:
    """Call *action* in a child that is killed before one of its system calls."""
    calls, real = iter(range(1, 10)), getattr(bpf, name)

    def fatal(*values, **more):
        if next(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*values, **more)

    def doomed() -> int:
        setattr(bpf, name, fatal)  # of the child's copy
        action()
        return 0

    assert in_child(doomed) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("before", "call", "nth"),
    [(None, "attach", 2), ((30, True), "attach", 2), ((20, True), "detach", 1)],
    ids=["first half", "half of a replacement", "half unpinned"],
)
def test_what_a_killed_attach_left_is_told_and_completed_or_removed(before, call, nth):
    pin = call == "attach"
    for mended in (attach, detach):
        with own_cgroup() as cgroup:
            if before:
                attach(plan_attach(cgroup.name, within=before[0], pin=before[1]))
            wanted = partial(plan_attach, cgroup.name, within=20, pin=pin)
            killed_before(call, nth, lambda wanted=wanted: attach(wanted()))
            seen = found(cgroup)

            assert seen is not None
            assert not seen.is_whole
            assert not wanted().is_done
            if mended is attach:
                attach(wanted())
                whole = found(cgroup)
                assert whole is not None
                assert whole.is_whole
                assert len(whole.programs) == 1 + pin
                assert wanted().is_done
            else:
                detach(plan_detach(cgroup.name))
                assert look(cgroup).ours == dict.fromkeys(Hook, ())


def test_what_a_killed_detach_left_is_told_and_removed():
    with own_cgroup() as cgroup:
        attach(plan_attach(cgroup.name, within=20, pin=True))
        killed_before("detach", 2, lambda: detach(plan_detach(cgroup.name)))
        seen = found(cgroup)

        assert seen is not None
        assert not seen.is_whole
        detach(plan_detach(cgroup.name))
        assert found(cgroup) is None


@pytest.mark.parametrize("name", ["x" * 300, "/" + "x" * 300, "1" * 300, "/x" * 3000])
def test_a_name_that_is_too_long_is_nobodys(name):
    with pytest.raises(ConfigError, match="there is no control group"):
        plan_detach(name)
    with pytest.raises(ConfigError, match="there is no control group"):
        plan_attach(name, within=20)


def test_programs_of_others_stay_whatever_their_name():
    with own_cgroup() as cgroup:
        others = {add_stranger(cgroup), add_stranger(cgroup, "deadpeer_keeper")}
        planned = plan_attach(cgroup.name, within=20)
        attach(planned)
        attach(plan_attach(cgroup.name, within=30))

        assert planned.others == 2
        assert planned.before is None
        assert set(look(cgroup).others) == others
        detach(plan_detach(cgroup.name))
        assert set(look(cgroup).others) == others
        assert found(cgroup) is None


def test_a_program_that_allows_no_company_is_an_error_that_says_so():
    with own_cgroup() as cgroup, own_cgroup(inside=cgroup) as inner:
        program = load_stranger()
        with opened(cgroup) as folder:
            place = folder, program, Hook.SOCK_OPS, 0, 0  # neither multi nor override
            call(Command.PROG_ATTACH, bpf.ATTACH, *place)
        os.close(program)

        with pytest.raises(KernelRefused, match="allows none beside it"):
            plan_attach(cgroup.name, within=20)
        with pytest.raises(KernelRefused, match="a cgroup above allows none"):
            attach(plan_attach(inner.name, within=20))
        assert found(inner) is None


def test_detaching_removes_what_was_attached_and_says_if_there_is_nothing():
    with own_cgroup() as cgroup:
        attach(plan_attach(cgroup.name, within=20, pin=True))
        planned = plan_detach(cgroup.name)
        detach(planned)

        assert not planned.is_done
        assert look(cgroup).ours == dict.fromkeys(Hook, ())
        assert plan_detach(cgroup.name).is_done
        assert detach(plan_detach(cgroup.name)) == ()


def test_kin_that_goes_meanwhile_is_no_kin(monkeypatch):
    with own_cgroup() as cgroup:
        gone = replace(
            cgroup, name=f"{cgroup.name}/gone", folder=cgroup.folder / "gone"
        )
        monkeypatch.setattr(attach_plans, "all_cgroups", lambda _: [cgroup, gone])

        assert plan_attach(cgroup.name, within=20).relatives == ()


def test_the_kin_of_a_cgroup_are_shown():
    with own_cgroup() as outer, own_cgroup(inside=outer) as inner:
        attach(plan_attach(outer.name, within=20))
        below = plan_attach(inner.name, within=30)
        attach(below)
        above = plan_attach(outer.name, within=40)

        assert [one.cgroup for one in below.relatives] == [outer.name]
        assert [one.cgroup for one in above.relatives] == [inner.name]


@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.parametrize("before", [None, 30.0])
def test_a_failure_half_way_puts_back_what_was_there(monkeypatch, before, pin):
    with own_cgroup() as cgroup:
        if before:
            attach(plan_attach(cgroup.name, within=before, pin=not pin))
        was = look(cgroup)
        calls = iter(range(10))
        real = bpf.attached_ids

        def failing(folder: int, hook: Hook):
            # The look before, of two hooks, goes well; the last one does not.
            if next(calls) < len(Hook):
                return real(folder, hook)
            return (), 0

        planned = plan_attach(cgroup.name, within=20, pin=pin)
        monkeypatch.setattr(bpf, "attached_ids", failing)
        with pytest.raises(KernelRefused, match="is not there"):
            attach(planned)
        monkeypatch.undo()

        assert look(cgroup) == was


def test_the_root_is_refused():
    with pytest.raises(ConfigError, match="root of all control groups"):
        plan_attach("/", within=20)
    with pytest.raises(ConfigError, match="root of all control groups"):
        plan_attach(str(hierarchy()), within=20)


def test_a_promise_that_cannot_be_kept_is_refused():
    with own_cgroup() as cgroup:
        with pytest.raises(ConfigError, match="smallest promise"):
            plan_attach(cgroup.name, within=1)
        assert found(cgroup) is None


def test_without_privileges_the_capability_is_named_and_nothing_is_changed():
    with own_cgroup() as cgroup:

        def tried() -> int:
            try:
                attach(plan_attach(cgroup.name, within=20))
            except AccessDenied as error:
                return 0 if "CAP_BPF and CAP_NET_ADMIN" in str(error) else 1
            return 2

        assert as_nobody(tried) == 0
        assert found(cgroup) is None


def test_two_capabilities_are_enough_to_attach():
    with own_cgroup() as cgroup:

        def tried() -> int:
            with_capabilities(CAP_BPF, CAP_NET_ADMIN)
            attach(plan_attach(cgroup.name, within=20, pin=True))
            return 0

        assert in_child(tried) == 0
        seen = found(cgroup)
        assert seen is not None
        assert seen.terms.pin


@pytest.mark.parametrize("kept", [(CAP_BPF,), (CAP_NET_ADMIN,)])
def test_one_of_the_two_is_not(kept):
    with own_cgroup() as cgroup:

        def tried() -> int:
            with_capabilities(*kept)
            try:
                attach(plan_attach(cgroup.name, within=20))
            except AccessDenied:
                return 0
            return 1

        assert in_child(tried) == 0
        assert found(cgroup) is None


def test_telling_ours_from_others_takes_a_third():
    with own_cgroup() as cgroup:
        attach(plan_attach(cgroup.name, within=20))

        def tried() -> int:
            with_capabilities(CAP_BPF, CAP_NET_ADMIN)
            try:
                plan_detach(cgroup.name)
            except AccessDenied as error:
                return 0 if error.capability == "CAP_SYS_ADMIN" else 1
            return 2

        assert in_child(tried) == 0
        assert found(cgroup) is not None


OPTIONS = "[s.getsockopt(*o) for o in ((1, 9), (6, 4), (6, 5))]"
MAPPED = """
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
near = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
far = server.accept()[0]
"""


@pytest.mark.netns
def test_both_ends_of_every_family_are_covered():
    with own_cgroup() as cgroup, neighbour(namespace=True) as child:
        planned = plan_attach(cgroup.name, within=20)
        attach(planned)
        (cgroup.folder / "cgroup.procs").write_text(str(child.pid))
        wanted = planned.plan.keepalive
        for made in ("near, far = pair()", "near, far = pair('::1')", MAPPED):
            child.told(made)
            for end in ("near", "far"):
                values = child.told(f"s = {end}\n{OPTIONS}")
                assert values == [1, wanted.idle, wanted.interval]
        seen = found(cgroup)

        assert seen is not None
        assert seen.terms.counts == Counts(made=3, accepted=3)


@pytest.mark.netns
def test_a_listener_that_was_there_before_is_covered_and_its_connections_are_not():
    with own_cgroup() as cgroup, neighbour(namespace=True) as child:
        (cgroup.folder / "cgroup.procs").write_text(str(child.pid))
        child.told("server = socket.create_server(('127.0.0.1', 0))")
        connect = "socket.create_connection(server.getsockname())"
        child.told(f"old = {connect}\nold_far = server.accept()[0]")
        attach(plan_attach(cgroup.name, within=20))
        child.told(f"new = {connect}\nnew_far = server.accept()[0]")
        on = {
            name: child.told(f"{name}.getsockopt(1, 9)")
            for name in ("old", "old_far", "new", "new_far", "server")
        }

        assert on == {"old": 0, "old_far": 0, "new": 1, "new_far": 1, "server": 0}


def test_a_cgroup_that_is_gone_is_an_error():
    with own_cgroup() as cgroup:
        planned = plan_attach(cgroup.name, within=20)
    with pytest.raises(KernelRefused) as caught:
        attach(planned)

    assert caught.value.errno == errno.ENOENT


def test_it_is_not_kept_where_systemd_does_not_run(tmp_path: Path):
    with own_cgroup(".service") as cgroup:
        places = Places(bpf=tmp_path, units=tmp_path, systemd=tmp_path / "absent")
        planned = plan_attach(cgroup.name, within=20, places=places)

        assert planned.keeping is None
        assert "systemd does not run here" in planned.unkept
