"""Changing and undoing: whole or not at all, whenever the process is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sysctl_trees import LAYOUTS, PROC, plant, snapshot, value
from tests.unprivileged import GIVE_UP

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    DeadPeerError,
    KernelRefused,
    UnsupportedError,
)
from deadpeer.kernel.staging import LEFTOVER, leftovers, locked, sweep
from deadpeer.kernel.sysctl.apply import apply
from deadpeer.kernel.sysctl.change import checked, plan_change
from deadpeer.kernel.sysctl.files import file_text
from deadpeer.kernel.sysctl.put_back import undo
from deadpeer.kernel.sysctl.record import OWN_FILE, load, newest_first
from deadpeer.kernel.sysctl.undo import Found, choose_record, plan_undo

TIME = "net.ipv4.tcp_keepalive_time"
PROBES = "net.ipv4.tcp_keepalive_probes"
WANTED = {"time": 5, "interval": 1, "probes": 3}
BOOT_ID = "proc/sys/kernel/random/boot_id"


@pytest.fixture
def root(tmp_path):
    return plant(tmp_path / "root", LAYOUTS["debian-12"])


def change(root, wanted=WANTED, **options):
    return apply(plan_change(wanted, root=root, **options))


def restore(root, record=None, *, force=False):
    """Undo the newest record, or the one given."""
    chosen = choose_record(record, root=root, force=force)
    plan = plan_undo(chosen, root=root)
    if not plan.is_empty:
        undo(plan, force=force)
    return plan


# -- a change ------------------------------------------------------------------


def test_a_change_is_in_force_at_once(root):
    change(root)

    assert [value(root, key) for key in (TIME, PROBES)] == ["5", "3"]
    assert not (root / OWN_FILE[1:]).exists()


def test_a_persistent_change_writes_one_file_of_our_own(root):
    before = snapshot(root)
    change(root, persist=True)
    added = snapshot(root).keys() - before.keys()

    assert added == {
        OWN_FILE[1:],
        "var",
        "var/lib",
        "var/lib/deadpeer",
        "var/lib/deadpeer/set-0001.json",
    }
    assert (root / OWN_FILE[1:]).read_text().splitlines()[-3:] == [
        "net.ipv4.tcp_keepalive_intvl = 1",
        "net.ipv4.tcp_keepalive_probes = 3",
        "net.ipv4.tcp_keepalive_time = 5",
    ]


def test_planning_changes_nothing(root):
    before = snapshot(root)
    plan = plan_change(WANTED, root=root, persist=True)

    assert snapshot(root) == before
    assert [item.new for item in plan.live] == [5, 1, 3]


def test_the_record_is_written_before_anything_is_changed(root):
    titles = []

    def look(title):
        titles.append(
            (title, value(root, TIME), newest_first(root / "var/lib/deadpeer"))
        )

    apply(plan_change(WANTED, root=root, persist=True), checkpoint=look)

    for title, time, records in titles:
        if records:
            assert load(records[0]).live[0].old == "7200\n"
        else:
            assert time == "7200"
            assert "set net" not in title
    assert titles[-1][1] == "5"


def test_what_is_so_already_is_no_change(root):
    change(root, persist=True)
    plan = plan_change(WANTED, root=root, persist=True)

    assert plan.is_empty


def test_only_what_differs_is_recorded(root):
    record = load(change(root, {"time": 7200, "probes": 3}))

    assert [item.key for item in record.live] == [PROBES]


def test_a_second_persistent_change_keeps_the_values_of_the_first(root):
    change(root, {"time": 5}, persist=True)
    change(root, {"probes": 3}, persist=True)

    assert (root / OWN_FILE[1:]).read_text() == file_text({TIME: 5, PROBES: 3})


def test_the_mode_of_our_file_is_kept(root):
    change(root, {"time": 5}, persist=True)
    (root / OWN_FILE[1:]).chmod(0o600)
    change(root, {"time": 6}, persist=True)

    assert (root / OWN_FILE[1:]).stat().st_mode & 0o777 == 0o600


def test_the_mode_of_what_is_made_does_not_hang_on_the_umask(root):
    old = os.umask(0o077)
    try:
        record = change(root, persist=True)
    finally:
        os.umask(old)

    assert (root / OWN_FILE[1:]).stat().st_mode & 0o777 == 0o644
    assert record.parent.stat().st_mode & 0o777 == 0o755


def test_an_image_without_proc_gets_only_its_file(tmp_path):
    root = plant(tmp_path / "root", {"etc/os-release": "ID=x\n"})
    before = snapshot(root)

    with pytest.raises(UnsupportedError, match="no /proc/sys"):
        plan_change(WANTED, root=root)
    record = load(change(root, persist=True))
    assert record.live == ()
    assert record.file is not None
    assert record.file.made == 1
    restore(root)
    assert snapshot(root) == before


# -- what is refused, with nothing changed ------------------------------------

BAD = [
    {},
    {"time": 0},
    {"time": -1},
    {"time": 32768},
    {"time": 10**30},
    {"time": float("nan")},
    {"time": 1.5},
    {"time": True},
    {"time": "5"},
    {"interval": 0},
    {"interval": 32768},
    {"probes": 0},
    {"probes": 128},
    {"retries2": 0},
    {"retries2": 256},
    {"syn-retries": 0},
    {"syn-retries": 128},
    {"rto-max": 1000},
    {"colour": 5},
    {"time": 5, "probes": 0},
]


@pytest.mark.parametrize("wanted", BAD, ids=str)
def test_a_bad_value_is_refused_before_anything_is_done(root, wanted):
    before = snapshot(root)

    with pytest.raises(ConfigError) as refused:
        plan_change(wanted, root=root, persist=True)
    assert refused.value.hint
    assert snapshot(root) == before


def test_what_only_the_kernel_takes_is_taken_when_asked_for():
    assert list(checked({"time": 100_000, "probes": 0}, any_value=True).values())
    with pytest.raises(ConfigError, match="out of range"):
        checked({"time": 10**9}, any_value=True)


@given(st.integers())
def test_every_number_is_taken_or_refused_by_its_range(number):
    if 1 <= number <= 32767:
        assert list(checked({"time": number}).values()) == [number]
    else:
        with pytest.raises(ConfigError, match=f"time={number} is out of range"):
            checked({"time": number})


def test_a_missing_setting_is_unsupported(root):
    (root / "proc/sys/net/ipv4/tcp_keepalive_probes").unlink()
    before = snapshot(root)

    with pytest.raises(UnsupportedError, match=r"has no net.*tcp_keepalive_probes"):
        plan_change(WANTED, root=root)
    assert snapshot(root) == before


@pytest.mark.parametrize(
    "text",
    [
        "net.ipv4.tcp_keepalive_time = 9\n",
        file_text({TIME: 5}) + "vm.swappiness = 1\n",
        "",
        "-> /dev/null",
        "-> ../sysctl.conf",
    ],
)
def test_a_file_that_is_not_ours_alone_is_never_touched(tmp_path, text):
    root = plant(tmp_path / "root", LAYOUTS["debian-12"] | {OWN_FILE[1:]: text})
    before = snapshot(root)

    with pytest.raises(ConfigError, match="not as deadpeer wrote it"):
        plan_change(WANTED, root=root, persist=True)
    assert snapshot(root) == before


def test_a_failure_at_the_third_of_three_values_puts_back_the_first_two(root):
    before = snapshot(root)

    def refuse(title):
        if title == f"set {PROBES} to 3":
            assert value(root, TIME) == "5"
            raise OSError(22, "Invalid argument")

    with pytest.raises(DeadPeerError):
        apply(plan_change(WANTED, root=root, persist=True), checkpoint=refuse)
    assert snapshot(root) == before


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_failure_at_any_step_puts_everything_back(root, error):
    before = snapshot(root)
    plan = plan_change(WANTED, root=root, persist=True)
    for step in range(count_steps(plan, root)):
        seen = iter(range(step + 1))

        def fail(_title, seen=seen):
            if next(seen, None) is None or next(seen, "end") == "end":
                raise error

        expected = KernelRefused if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            apply(plan_change(WANTED, root=root, persist=True), checkpoint=fail)
        assert snapshot(root) == before


def count_steps(plan, root):
    titles: list[str] = []
    apply(plan, checkpoint=titles.append)
    restore(root)
    return len(titles)


def test_a_record_that_cannot_be_written_is_refused_with_another_place(root):
    (root / "var").write_text("a file")
    before = snapshot(root)

    with pytest.raises(KernelRefused, match="cannot write the record") as refused:
        change(root)
    assert "--record-dir" in refused.value.hint
    assert snapshot(root) == before


def test_a_configuration_file_that_cannot_be_written_puts_the_values_back(root):
    plan = plan_change(WANTED, root=root, persist=True)

    def break_directory(title):
        if title == "publish zzz-deadpeer.conf":
            (root / OWN_FILE[1:]).mkdir()

    with pytest.raises(KernelRefused, match=r"cannot write /etc/sysctl\.d/zzz"):
        apply(plan, checkpoint=break_directory)
    assert value(root, TIME) == "7200"
    assert not newest_first(root / "var/lib/deadpeer")


def test_a_plan_that_time_has_overtaken_is_refused(root):
    plan = plan_change(WANTED, root=root)
    (root / "proc/sys/net/ipv4/tcp_keepalive_time").write_text("60\n")
    before = snapshot(root)

    with pytest.raises(KernelRefused, match="changed by somebody else just now"):
        apply(plan)
    assert snapshot(root) == before


def test_two_changes_at_a_time_are_one_too_many(root):
    before = snapshot(root)

    with locked(root), pytest.raises(KernelRefused, match="under way"):
        change(root)
    assert snapshot(root) == before


# -- undo ----------------------------------------------------------------------

UPDATED = "our file is there"
SCENES = {
    "everything is there": LAYOUTS["debian-12"]
    | {"var/lib/deadpeer/keep": "somebody's", "var/lib/dpkg/status": ""},
    "no records yet": LAYOUTS["debian-12"] | {"var/lib/dpkg/status": ""},
    "no var and no sysctl.d": PROC | {"etc/hostname": "x\n"},
    "no etc at all": PROC,
    "an image": {"etc/hostname": "x\n"},
    UPDATED: LAYOUTS["rhel-9"] | {OWN_FILE[1:]: file_text({TIME: 60})},
    "sysctl.d is a link": PROC | {"etc/sysctl.d": "-> ../data", "data/a.conf": ""},
}


@pytest.mark.parametrize("scene", SCENES)
def test_undo_leaves_the_tree_byte_for_byte_as_it_was(tmp_path, scene):
    root = plant(tmp_path / "root", SCENES[scene])
    before = snapshot(root)

    change(root, persist=True)
    assert snapshot(root) != before
    restore(root)
    assert snapshot(root) == before


def test_repeated_changes_are_undone_newest_first(root):
    states = [snapshot(root)]
    for time in (10, 20, 30):
        change(root, {"time": time}, persist=True)
        states.append(snapshot(root))

    while len(states) > 1:
        states.pop()
        restore(root)
        assert snapshot(root) == states[-1]


def test_an_older_record_is_not_undone_before_a_newer_one(root):
    first = change(root, {"time": 10})
    change(root, {"time": 20})

    with pytest.raises(ConfigError, match="not the newest"):
        restore(root, first)


def test_nothing_to_undo_is_no_error(root):
    before = snapshot(root)

    assert restore(root).is_empty
    assert snapshot(root) == before


def test_a_record_that_is_not_there_is_named(root):
    with pytest.raises(ConfigError, match="there is no record"):
        choose_record(root / "set-0009.json", root=root)


def test_a_value_changed_by_somebody_since_is_shown_and_needs_force(root):
    before = snapshot(root)
    change(root)
    (root / "proc/sys/net/ipv4/tcp_keepalive_time").write_text("60\n")
    changed = snapshot(root)

    with pytest.raises(ConfigError, match="tcp_keepalive_time is 60 now, not the 5"):
        restore(root)
    assert snapshot(root) == changed
    restore(root, force=True)
    assert snapshot(root) == before


@pytest.mark.parametrize("edit", ["edited", "removed", "linked"])
def test_a_file_changed_by_somebody_since_is_shown_and_needs_force(root, edit):
    change(root, {"time": 60}, persist=True)
    before = snapshot(root)
    change(root, persist=True)
    ours = root / OWN_FILE[1:]
    text = ours.read_text()
    ours.unlink()
    if edit == "edited":
        ours.write_text(f"{text}# mine\n")
    elif edit == "linked":
        ours.symlink_to("../sysctl.conf")
    changed = snapshot(root)

    with pytest.raises(ConfigError, match="not as it was written"):
        restore(root)
    assert snapshot(root) == changed
    restore(root, force=True)
    assert snapshot(root) == before


def test_a_value_that_somebody_has_put_back_already_is_left(root):
    change(root)
    (root / "proc/sys/net/ipv4/tcp_keepalive_time").write_text("7200\n")
    plan = restore(root)

    assert [item.found for item in plan.live] == [
        Found.BEFORE,
        Found.OURS,
        Found.OURS,
    ]


def test_after_a_reboot_only_the_disk_is_undone(root):
    change(root, persist=True)
    (root / BOOT_ID).write_text("99999999-2222-3333-4444-555555555555\n")
    (root / "proc/sys/net/ipv4/tcp_keepalive_time").write_text("5\n")
    plan = restore(root)

    assert "started anew" in plan.live_left
    assert value(root, TIME) == "5"
    assert not (root / OWN_FILE[1:]).exists()
    assert not (root / "var").exists()


def test_somebodys_files_in_our_directories_stay(root):
    change(root, persist=True)
    (root / "var/lib/deadpeer/note").write_text("mine")
    restore(root)

    assert (root / "var/lib/deadpeer/note").read_text() == "mine"
    assert not newest_first(root / "var/lib/deadpeer")


def test_records_can_be_kept_elsewhere(root, tmp_path):
    records = tmp_path / "my" / "records"
    plan = plan_change(WANTED, root=root, records=records)
    record = apply(plan)

    assert record == records / "set-0001.json"
    assert choose_record(None, root=root, records=records) == record
    undo(plan_undo(record, root=root, records=records))
    assert not (tmp_path / "my").exists()


FORGED = [
    "",
    "null",
    "[]",
    "{}",
    "[" * 100_000,
    {"schema": 2},
    {"live": [{"key": "kernel.core_pattern", "old": "|/bin/x", "new": 1}]},
    {"live": [{"key": "../../etc/passwd", "old": "x", "new": 1}]},
    {"live": [{"key": TIME, "old": 5, "new": 1}]},
    {"file": {"path": "/etc/passwd", "new": file_text({}), "made": 0, "old": None}},
    {"file": {"path": OWN_FILE, "new": "root::0", "made": 0, "old": None}},
    {"file": {"path": OWN_FILE, "new": file_text({}), "made": -1, "old": None}},
    {"made": "all"},
]


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
def test_a_record_that_we_cannot_have_written_is_not_carried_out(root, forged):
    record = change(root, persist=True)
    real = json.loads(record.read_text())
    record.write_text(json.dumps(real | forged) if isinstance(forged, dict) else forged)
    before = snapshot(root)

    with pytest.raises(ConfigError, match="no record of a change"):
        restore(root)
    assert snapshot(root) == before


# -- killed --------------------------------------------------------------------


def run_killed(action, step):
    """Do something in a child that kills itself before a step; tell if it did."""
    child = os.fork()
    if child == 0:
        left = [step]

        def checkpoint(_title):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        try:
            action(checkpoint)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


# A fork of a process with threads is deprecated; there are none here.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "persist"),
    [*((scene, True) for scene in SCENES), ("no etc at all", False)],
)
def test_a_change_killed_at_any_step_is_undone_byte_for_byte(tmp_path, scene, persist):
    root = plant(tmp_path / "root", SCENES[scene])
    before = snapshot(root)

    def act(checkpoint):
        apply(plan_change(WANTED, root=root, persist=persist), checkpoint=checkpoint)

    step = 0
    while run_killed(act, step):
        restore(root)
        assert snapshot(root) == before, step
        step += 1
    assert step >= 5 + persist
    restore(root)
    assert snapshot(root) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_a_second_change_killed_at_any_step_is_undone_to_the_first(root):
    change(root, {"time": 60}, persist=True)
    first = snapshot(root)

    def act(checkpoint):
        apply(plan_change(WANTED, root=root, persist=True), checkpoint=checkpoint)

    step = 0
    while run_killed(act, step):
        if len(newest_first(root / "var/lib/deadpeer")) > 1:
            restore(root)
        else:  # killed before there was a record: only its leftovers
            for path in leftovers(
                [root / OWN_FILE[1:], root / "var/lib/deadpeer/x"], root=root
            ):
                sweep(path)
        assert snapshot(root) == first, step
        step += 1
    restore(root)
    assert snapshot(root) == first


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("scene", ["everything is there", "no etc at all", UPDATED])
def test_an_undo_killed_at_any_step_is_finished_by_the_next(tmp_path, scene):
    root = plant(tmp_path / "root", SCENES[scene])
    before = snapshot(root)

    def act(checkpoint):
        undo(
            plan_undo(choose_record(None, root=root), root=root), checkpoint=checkpoint
        )

    step = 0
    killed = True
    while killed:
        change(root, persist=True)
        killed = run_killed(act, step)
        restore(root)
        assert snapshot(root) == before, step
        step += 1


def test_leftovers_have_names_that_nobody_else_uses(tmp_path):
    (tmp_path / ".deadpeer-0123456789abcdef.tmp").touch()
    (tmp_path / ".deadpeer-notes.tmp").touch()

    (found,) = leftovers([tmp_path / "x"], root=tmp_path)
    assert LEFTOVER.fullmatch(found.name)
    with pytest.raises(ValueError, match="not a name that only we use"):
        sweep(tmp_path / ".deadpeer-notes.tmp")


def test_nothing_outside_the_tree_is_swept(root):
    outside = root.parent / ".deadpeer-0123456789abcdef.tmp"
    outside.touch()
    inside = root / "var/.deadpeer-0123456789abcdef.tmp"
    inside.parent.mkdir()
    inside.touch()
    restore(root)

    assert outside.exists()
    assert not inside.exists()


def test_a_tree_with_the_running_kernels_proc_is_not_changed(tmp_path):
    boot_id = Path("/", BOOT_ID).read_text()
    root = plant(tmp_path / "root", PROC | {BOOT_ID: boot_id})
    before = snapshot(root)

    with pytest.raises(UnsupportedError, match="this process's own network namespace"):
        plan_change(WANTED, root=root)
    assert snapshot(root) == before


# -- a running kernel, in a namespace of its own --------------------------------

LIVE = """
import os, subprocess, sys
from pathlib import Path
from deadpeer.errors import DeadPeerError
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.kernel.sysctl.apply import apply
from deadpeer.kernel.sysctl.change import plan_change
from deadpeer.kernel.sysctl.place import network_namespace
from deadpeer.kernel.sysctl.put_back import undo
from deadpeer.kernel.sysctl.undo import choose_record, plan_undo

records = Path(sys.argv[1])
assert network_namespace() != int(sys.argv[2]), "this is the machine's own"
wanted = {"time": 5, "interval": 1, "probes": 3}

def change():
    return apply(plan_change(wanted, records=records))

def restore():
    return undo(plan_undo(choose_record(None, records=records), records=records))

def failure(action):
    try:
        action()
    except DeadPeerError as error:
        print(type(error).__name__, getattr(error, "capability", ""), error.message)
"""


def in_a_namespace(tmp_path, code, *unshare):
    own = str(Path("/proc/thread-self/ns/net").stat().st_ino)
    done = subprocess.run(
        [
            "unshare",
            "--net",
            *unshare,
            sys.executable,
            "-c",
            LIVE + code,
            str(tmp_path / "records"),
            own,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.netns
def test_a_running_kernel_takes_the_values_and_gets_the_old_ones_back(tmp_path):
    code = (
        "change(); print(effective_defaults().idle, effective_defaults().probes)\n"
        "restore(); print(effective_defaults().idle, effective_defaults().probes)\n"
    )

    assert in_a_namespace(tmp_path, code) == "5.0 3\n7200.0 9\n"
    assert not (tmp_path / "records").exists()


@pytest.mark.netns
def test_a_socket_made_after_the_change_has_the_new_times(tmp_path):
    code = (
        "import socket\n"
        "change()\n"
        "s = socket.socket()\n"
        "print(s.getsockopt(6, 4), s.getsockopt(6, 5), s.getsockopt(6, 6))\n"
    )

    assert in_a_namespace(tmp_path, code) == "5 1 3\n"


@pytest.mark.netns
def test_in_another_namespace_the_running_values_are_left_alone(tmp_path):
    in_a_namespace(tmp_path, "change()\n")
    code = "plan = restore(); print(plan.live_left); print(effective_defaults().idle)\n"
    said, idle = in_a_namespace(tmp_path, code).splitlines()

    assert "the running values belong to network namespace" in said
    assert idle == "7200.0"
    # The record stays for the namespace that it belongs to.
    assert newest_first(tmp_path / "records")


@pytest.mark.netns
def test_without_privilege_it_is_said_which_one_is_missing(tmp_path):
    code = GIVE_UP + (
        "plan = plan_change(wanted, records=records)\n"
        "give_up_privileges()\n"
        "if os.geteuid() == 0: raise SystemExit(print('still the owner'))\n"
        "failure(lambda: apply(plan))\n"
        "print(effective_defaults().idle)\n"
    )
    said = in_a_namespace(tmp_path, code)
    if said.startswith("still the owner"):
        pytest.skip("a user namespace with one user has nobody to be denied")
    denied, idle = said.splitlines()

    assert denied.startswith("AccessDenied CAP_NET_ADMIN net.ipv4.tcp_keepalive_time")
    assert idle == "7200.0"
    assert AccessDenied.exit_code == 4


@pytest.mark.netns
def test_a_read_only_proc_is_refused_with_nothing_changed(tmp_path):
    code = (
        "for how in (['--bind'], ['-o', 'remount,bind,ro']):\n"
        "    subprocess.run(['mount', *how, '/proc/sys', '/proc/sys'], check=True)\n"
        "failure(change)\n"
    )
    said = in_a_namespace(tmp_path, code, "--mount")

    assert said.startswith("KernelRefused")
    assert "Read-only file system" in said
    assert not (tmp_path / "records").exists()


@pytest.mark.netns
@pytest.mark.parametrize(
    ("behind", "problem"),
    [
        # A setting that takes no number above 1.
        ("/proc/sys/net/ipv4/icmp_echo_ignore_all", "Invalid argument"),
        # A sandbox in which nothing that is written has an effect.
        ("/dev/null", "reads '' all the same"),
    ],
)
def test_a_third_value_that_fails_puts_back_the_two_before(tmp_path, behind, problem):
    code = (
        "third = '/proc/sys/net/ipv4/tcp_keepalive_probes'\n"
        f"subprocess.run(['mount', '--bind', '{behind}', third], check=True)\n"
        "wanted['probes'] = 100\n"
        "failure(change)\n"
        "subprocess.run(['umount', third], check=True)\n"
        "print(effective_defaults().idle, effective_defaults().probes)\n"
    )
    failed, after = in_a_namespace(tmp_path, code, "--mount").splitlines()

    assert failed.startswith("KernelRefused")
    assert problem in failed
    assert after == "7200.0 9"
    assert not (tmp_path / "records").exists()
