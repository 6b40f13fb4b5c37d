"""Reading the settings: of trees, of network namespaces, of sandboxes."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sysctl_trees import LAYOUTS, PROC, plant
from tests.unprivileged import GIVE_UP

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.kernel.sysctl.order import Rule
from deadpeer.kernel.sysctl.place import boot_id, network_namespace, place
from deadpeer.kernel.sysctl.plan import plan_idle
from deadpeer.kernel.sysctl.survey import lost, survey
from deadpeer.kernel.sysctl.table import KEEPALIVE, SETTINGS, setting_named
from deadpeer.kernel.sysctl.values import (
    defaults_from,
    effective_defaults,
    proc_path,
    read_all,
    read_setting,
    shows_stubs,
    write_text,
)
from deadpeer.platforms import LINUX
from deadpeer.policy import Keepalive, State, assess

TIME = "proc/sys/net/ipv4/tcp_keepalive_time"
INTERVAL = "proc/sys/net/ipv4/tcp_keepalive_intvl"
PROBES = "proc/sys/net/ipv4/tcp_keepalive_probes"


def tree(tmp_path, **changed):
    names = {"time": TIME, "interval": INTERVAL, "probes": PROBES}
    return plant(
        tmp_path / "root",
        PROC | {names[name]: f"{number}\n" for name, number in changed.items()},
    )


def in_a_namespace(code, *arguments):
    """Run Python code in a new network namespace, and return what it prints."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert not done.returncode, done.stderr
    return done.stdout.split()


# -- the table ----------------------------------------------------------------


def test_the_rows_have_the_defaults_of_the_policy_layer():
    values = {row.name: row.default for row in SETTINGS}

    assert defaults_from(values) == LINUX.defaults


def test_the_keepalive_rows_take_what_a_socket_option_takes():
    options = (LINUX.options[name] for name in ("idle", "interval", "probes"))
    for row, option in zip(KEEPALIVE, options, strict=True):
        assert (row.lowest, row.highest) == (option.lowest, option.highest)


@pytest.mark.netns
def test_the_kernel_takes_what_the_rows_say_and_starts_with_their_defaults():
    code = (
        "from deadpeer.kernel.sysctl.values import *\n"
        "from deadpeer.kernel.sysctl.table import SETTINGS\n"
        "for row in SETTINGS:\n"
        "    path, now = proc_path(row.key), read_setting(row)\n"
        "    if now is None: continue\n"
        "    assert now == row.default, row\n"
        # How far below zero depends on the kernel's ticks a second.
        "    for number in (row.lowest, row.highest, max(-1, row.kernel_lowest)):\n"
        "        write_text(path, f'{number}\\n')\n"
        "        assert read_setting(row) == number, row\n"
        "    try:\n"
        "        write_text(path, f'{2**31}\\n')\n"
        "    except OSError:\n"
        "        continue\n"
        "    raise SystemExit(row)\n"
    )

    assert in_a_namespace(code) == []


# -- reading ------------------------------------------------------------------


def test_the_running_values_of_a_tree_are_read(tmp_path):
    values = read_all(root=tree(tmp_path, time=5, interval=1, probes=3))

    assert (values["time"], values["interval"], values["probes"]) == (5, 1, 3)


def test_a_setting_that_the_kernel_lacks_is_left_out(tmp_path):
    root = tree(tmp_path)
    (root / "proc/sys/net/ipv4/tcp_rto_max_ms").unlink()

    assert "rto-max" not in read_all(root=root)
    assert read_setting(setting_named("rto-max"), root=root) is None


def test_a_tree_without_settings_is_unsupported(tmp_path):
    with pytest.raises(UnsupportedError, match="no TCP settings"):
        read_all(root=tmp_path)


def test_a_value_that_is_no_number_is_refused_with_its_place(tmp_path):
    root = tree(tmp_path, time="soon")

    with pytest.raises(ConfigError, match="holds no number: 'soon"):
        read_all(root=root)


def test_a_link_in_a_tree_does_not_lead_out_of_it(tmp_path):
    root = tree(tmp_path)
    (root / TIME).unlink()
    (root / TIME).symlink_to("/proc/sys/net/ipv4/tcp_retries2")

    assert read_setting(setting_named("time"), root=root) == 15
    assert str(proc_path("net.ipv4.tcp_keepalive_time", root=root)).startswith(
        str(root)
    )


def test_a_directory_in_the_place_of_a_value_is_an_error_of_ours(tmp_path):
    root = tree(tmp_path)
    (root / TIME).unlink()
    (root / TIME).mkdir()

    with pytest.raises(OSError, match="cannot read the value"):
        read_all(root=root)


def test_writing_a_shorter_value_leaves_nothing_of_the_longer_one(tmp_path):
    path = tree(tmp_path) / TIME
    write_text(path, "5\n")

    assert path.read_text() == "5\n"


# -- what the policy layer gets ------------------------------------------------


def test_this_systems_settings_can_be_judged():
    judged = assess(Keepalive(on=True), defaults=effective_defaults())

    assert judged.worst > 0


def test_the_defaults_are_in_seconds(tmp_path):
    found = effective_defaults(tree(tmp_path, time=5, interval=1, probes=3))

    assert (found.idle, found.interval, found.probes) == (5.0, 1.0, 3)
    assert (found.rto_min, found.rto_max, found.retries) == (0.2, 120.0, 15)


def test_where_nothing_can_be_read_the_kernels_own_defaults_hold(tmp_path):
    assert effective_defaults(tmp_path) == LINUX.defaults


def test_a_kernel_without_linear_syn_timeouts_has_none(tmp_path):
    root = tree(tmp_path)
    (root / "proc/sys/net/ipv4/tcp_syn_linear_timeouts").unlink()

    assert effective_defaults(root).syn_linear == 0


numbers = st.fixed_dictionaries(
    {row.name: st.integers(row.kernel_lowest, row.kernel_highest) for row in SETTINGS}
)


@given(numbers)
def test_whatever_the_kernel_takes_can_be_judged(values):
    defaults = defaults_from(values)

    for keepalive in (Keepalive(), Keepalive(on=True)):
        assert assess(keepalive, defaults=defaults).worst > 0


def test_a_negative_time_is_as_good_as_never():
    assert defaults_from({"time": -1}).idle > 49 * 86400


def test_no_probes_at_all_end_the_connection_when_the_first_would_be_due():
    found = assess(
        Keepalive(on=True), defaults=defaults_from({"time": 60, "probes": 0})
    )

    assert found.bound(State.IDLE).survives == 0
    assert 60 < found.bound(State.IDLE).latest < 75


# -- whose settings they are ---------------------------------------------------


def test_a_tree_of_files_is_no_running_system(tmp_path):
    found = place(tree(tmp_path))

    assert (found.running, found.initial, found.namespace) == (False, None, None)
    assert network_namespace(tree(tmp_path)) is None


def test_this_process_stands_in_a_namespace_of_a_running_system():
    found = place()

    assert found.running
    assert found.namespace == Path("/proc/thread-self/ns/net").stat().st_ino
    assert boot_id()


@pytest.mark.netns
def test_a_new_namespace_is_not_the_first_and_has_the_kernels_values():
    code = (
        "from deadpeer.kernel.sysctl.place import place\n"
        "from deadpeer.kernel.sysctl.values import effective_defaults\n"
        "from deadpeer.platforms import LINUX\n"
        "print(place().initial, place().namespace, effective_defaults().idle)\n"
    )
    initial, namespace, idle = in_a_namespace(code)

    assert (initial, idle) == ("False", "7200.0")
    assert int(namespace) != network_namespace()


@pytest.mark.parametrize(
    ("mark", "name"), [(".dockerenv", "docker"), ("run/.containerenv", "podman")]
)
def test_a_container_is_known_by_its_mark(tmp_path, mark, name):
    root = plant(tmp_path / "root", PROC | {mark: ""})

    assert place(root).container == name


def test_the_stubs_of_a_sandbox_are_seen_through(tmp_path):
    root = tree(tmp_path, time=7200, interval=0, probes=0)
    (root / INTERVAL).chmod(0o444)

    assert place(root).sandbox == "gvisor"
    assert effective_defaults(root) == LINUX.defaults


def test_the_same_numbers_in_files_that_can_be_written_are_meant(tmp_path):
    root = tree(tmp_path, time=7200, interval=0, probes=0)

    assert not shows_stubs(read_all(root=root), root=root)
    assert effective_defaults(root).probes == 1


# -- the whole picture ---------------------------------------------------------


def test_a_survey_has_every_setting_with_an_outcome_for_each_reader(tmp_path):
    picture = survey(plant(tmp_path / "root", LAYOUTS["rhel-9"]))

    assert [item.setting for item in picture.settings] == list(SETTINGS)
    for item in picture.settings:
        assert [found.rule for found in item.outcomes] == [Rule.SYSTEMD, Rule.PROCPS]
        assert item.after_boot(Rule.SYSTEMD) == item.value == item.setting.default
        assert not item.differs


def test_a_survey_tells_what_the_files_would_give(tmp_path):
    layout = LAYOUTS["debian-13"] | {
        "etc/sysctl.d/50-a.conf": "net.ipv4.tcp_keepalive_time = 60\n",
        "etc/sysctl.conf": "net.ipv4.tcp_keepalive_time = 0x1e\n",
    }
    item = survey(plant(tmp_path / "root", layout)).settings[0]

    assert item.after_boot(Rule.SYSTEMD) == 60
    assert item.after_boot(Rule.PROCPS) == 30
    assert item.differs


def test_an_image_without_proc_is_surveyed_by_its_files(tmp_path):
    files = {k: v for k, v in LAYOUTS["rhel-9"].items() if not k.startswith("proc")}
    root = plant(tmp_path / "root", files)

    with pytest.raises(UnsupportedError):
        survey(root)
    picture = survey(root, image=True)
    assert picture.place is None
    assert [item.value for item in picture.settings] == [None] * len(SETTINGS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_file_wins_on_a_fresh_installation(tmp_path, layout):
    picture = survey(plant(tmp_path / "root", LAYOUTS[layout]))

    assert lost(picture, {"net.ipv4.tcp_keepalive_time": 5}) == ()


@pytest.mark.parametrize(
    ("layout", "path", "losers"),
    [
        ("debian-13", "etc/sysctl.conf", ["procps"]),
        ("alpine", "etc/sysctl.conf", ["alpine"]),
        ("alpine", "run/sysctl.d/00-a.conf", ["alpine"]),
        ("rhel-9", "etc/sysctl.d/zzzz.conf", ["systemd", "procps"]),
        ("rhel-9", "etc/sysctl.d/k8s.conf", []),
        ("rhel-9", "run/sysctl.d/zzz-deadpeer.conf", []),
    ],
)
def test_where_our_file_cannot_win_it_is_said_who_does(tmp_path, layout, path, losers):
    layout = LAYOUTS[layout] | {path: "\nnet.ipv4.tcp_keepalive_time = 9\n"}
    picture = survey(plant(tmp_path / "root", layout))
    found = lost(picture, {"net.ipv4.tcp_keepalive_time": 5})

    assert [result.rule.value for result in found] == losers
    for result in found:
        assert result.winner is not None
        assert result.winner.place == (f"/{path}", 2)


# -- one promise for idle peers -----------------------------------------------


@settings(max_examples=40)
@given(st.floats(3.4, 86_400))
def test_a_plan_for_idle_peers_keeps_its_promise_and_probes_the_least(within):
    plan = plan_idle(within)

    def bound(time):
        keepalive = Keepalive(
            idle=time, interval=plan["interval"], probes=plan["probes"]
        )
        return assess(keepalive, rtt=0.2).bound(State.IDLE)

    assert plan["probes"] >= 2
    assert bound(plan["time"]).survives >= within / 8
    assert bound(plan["time"]).latest <= within
    assert bound(plan["time"] + 1).latest > within or plan["time"] == 32767


@pytest.mark.parametrize("within", [0, -1, 3.3, 86_401, float("nan"), float("inf")])
def test_a_promise_that_cannot_be_kept_is_refused(within):
    with pytest.raises(ConfigError) as refused:
        plan_idle(within)

    assert refused.value.hint


def test_a_value_that_may_not_be_read_is_access_denied(tmp_path):
    root = tree(tmp_path)
    (root / TIME).chmod(0)
    code = GIVE_UP + (
        "import os, sys\n"
        "from deadpeer.kernel.sysctl.values import read_all\n"
        "from deadpeer.errors import AccessDenied\n"
        "give_up_privileges()\n"
        "try: read_all(root=sys.argv[1])\n"
        "except AccessDenied as error: print(error.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.stdout.split() == ["4"], done.stderr
