"""No descriptor left: told as such, and never taken for "it is not there"."""

import contextlib
import errno
import io
import os
import resource
import sys
from collections.abc import Callable
from functools import partial

import pytest
from tests.neighbours import neighbour
from tests.own_cgroups import needs_cgroups, own_cgroup

from deadpeer.cli import attach as attach_verb
from deadpeer.cli import fix, harmless, ls, ls_table
from deadpeer.cli.root import run
from deadpeer.errors import KernelRefused
from deadpeer.host.attach_plans import plan_attach
from deadpeer.host.attaching import attach
from deadpeer.host.records import FixRecord, load_record, write_record
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.cgroups import all_cgroups, cgroup_of, hierarchy
from deadpeer.kernel.descriptors import no_descriptor_left, require_descriptors
from deadpeer.kernel.diag import Diag
from deadpeer.kernel.namespaces import all_namespaces
from deadpeer.kernel.owners import find_owners
from deadpeer.kernel.planning import plan_here
from deadpeer.kernel.processes import process_facts
from deadpeer.kernel.procfs import socket_inodes, tcp_rows
from deadpeer.kernel.sysctl.place import boot_id
from deadpeer.policy import Plan

# What a verb imports is there before the last descriptor is gone.
__all__ = ["attach_verb", "fix", "harmless", "ls", "ls_table", "needs_cgroups"]

MOST = 64
# From one that Python needs to import what is used late, to enough for every verb.
SPARE = range(1, 12)
LIMIT = f"this process may have {MOST}; raise the limit (ulimit -n)"


def in_child_with(spare: int, action: Callable[[], bool]) -> bool:
    """Tell whether *action* is content with so many descriptors, in a child."""
    child = os.fork()
    if not child:
        content = False
        try:
            os.closerange(3, MOST)
            resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))
            with contextlib.suppress(OSError):
                while True:
                    os.dup(0)
            os.closerange(MOST - spare, MOST)
            content = action()
        finally:
            os._exit(0 if content else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def refuses(action: Callable[[], object]) -> bool:
    try:
        action()
    except KernelRefused as error:
        return error.errno == errno.EMFILE and LIMIT in str(error)
    return False


def answer(*words: str) -> tuple[int, str]:
    """Return the exit code of a verb, and what it printed."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = run(words)
    return code, out.getvalue() + err.getvalue()


def told(expected: str, *words: str) -> bool:
    """Tell whether a verb says the truth, or that there are too few."""
    code, said = answer(*words)
    return expected in said if code == 0 else code == 5 and LIMIT in said


ME = os.getpid()


@pytest.mark.parametrize(
    "look",
    [
        find_owners,
        all_namespaces,
        boot_id,
        Diag,
        hierarchy,
        lambda: Lender(ME),
        lambda: process_facts(ME),
        lambda: socket_inodes(ME),
        lambda: tcp_rows(ME),
        lambda: cgroup_of(ME),
    ],
)
def test_what_cannot_be_looked_at_for_want_of_descriptors_is_not_absent(look):
    assert in_child_with(0, lambda: refuses(look))


def test_a_tree_that_cannot_be_walked_is_not_empty(tmp_path):
    (tmp_path / "inner").mkdir()

    assert in_child_with(0, lambda: refuses(lambda: list(all_cgroups(tmp_path))))


@pytest.mark.parametrize("name", ["record.json", "new/record.json"])
def test_a_record_is_whole_or_nothing_of_it_is_there(tmp_path, name):
    record = FixRecord(made_at="", boot_id="", within=8.0, sockets=())
    for spare in range(4):
        place = tmp_path / str(spare)
        place.mkdir()
        path = place / name
        write = partial(write_record, record, path)
        if in_child_with(spare, partial(refuses, write)):
            assert not list(place.iterdir())
        else:
            assert load_record(path) == record


def test_settings_that_cannot_be_read_are_not_taken_for_the_kernels_own():
    def plan() -> Plan:
        return plan_here(within=10, rtt=None)

    right = plan()

    def content() -> bool:
        try:
            return plan() == right
        except KernelRefused as error:
            return LIMIT in str(error)

    for spare in (0, *SPARE):
        assert in_child_with(spare, content), spare


@pytest.mark.netns
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ls", "--netns"), "2 connections: 2 unprotected"),
        (("fix", "--within", "10", "--netns"), "2 planned"),
    ],
)
def test_verbs_say_the_truth_or_name_the_limit(words, expected):
    with neighbour(namespace=True) as child:
        child.told("a, b = pair()")
        chosen = (*words, str(child.pid), "--pid", str(child.pid))
        for spare in SPARE:
            assert in_child_with(spare, lambda: told(expected, *chosen)), spare
        code, said = answer(*chosen)

    assert (code, expected in said) == (0, True)


@pytest.mark.usefixtures("needs_cgroups")
def test_what_is_attached_is_listed_or_the_limit_named():
    with own_cgroup() as cgroup:
        attach(plan_attach(cgroup.name, within=20, pin=True))
        for spare in SPARE:
            assert in_child_with(spare, lambda: told(cgroup.name, "attach")), spare


def test_a_full_system_is_another_limit_and_other_errors_are_none():
    assert "fs.file-max" in no_descriptor_left(errno.ENFILE).hint
    with pytest.raises(KernelRefused, match="ulimit"):
        require_descriptors(OSError(errno.EMFILE, "said"))
    require_descriptors(OSError(errno.ENOENT, "said"))


def test_an_error_that_nobody_translated_is_told_by_the_command_line(monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(sys.modules["deadpeer.cli.root"], "_invoke", full)
    code, said = answer("ls")

    assert code == 5
    assert "ulimit -n" in said
