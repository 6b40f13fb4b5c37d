"""``deadpeer system``: what people see, and what a script can rely on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.sysctl_trees import LAYOUTS, PROC, plant, snapshot, value

from deadpeer.cli.root import run
from deadpeer.cli.system_change import Proposal
from deadpeer.cli.system_restore import undo_lines
from deadpeer.cli.system_words import about_value, place_line, warnings
from deadpeer.kernel.sysctl.change import plan_change
from deadpeer.kernel.sysctl.files import file_text
from deadpeer.kernel.sysctl.place import Place
from deadpeer.kernel.sysctl.record import OWN_FILE, LiveChange, Record
from deadpeer.kernel.sysctl.survey import survey
from deadpeer.kernel.sysctl.table import SETTINGS, setting_named
from deadpeer.kernel.sysctl.undo import Undo

TIME = "net.ipv4.tcp_keepalive_time"
TREE = LAYOUTS["rhel-9"] | {
    "etc/sysctl.d/k8s.conf": "net.ipv4.tcp_keepalive_time = 600\n",
    "etc/sysctl.conf": "# site\nnet.ipv4.tcp_keepalive_time = 300\n",
    "usr/lib/sysctl.d/50-redhat.conf": "net.ipv4.tcp_keepalive_* = 90\n",
    "etc/sysctl.d/99-forgotten": "net.ipv4.tcp_retries2 = 8\n",
}


@pytest.fixture
def root(tmp_path):
    return plant(tmp_path / "root", TREE)


@pytest.fixture
def system(root, capsys):
    """Run the program on the tree; return its exit code, output and messages."""

    def call(verb, *arguments, root=root):
        code = run(["system", verb, "--root", str(root), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def data(result):
    code, out, err = result
    assert (code, err) == (0, "")
    return json.loads(out)


# -- show ----------------------------------------------------------------------


def test_show_names_the_line_that_decides_and_those_that_do_not(system):
    code, out, err = system("show")

    assert (code, err) == (0, "")
    assert "systemd-sysctl: /etc/sysctl.d/k8s.conf:1 = 600" in out
    assert "sysctl --system: /etc/sysctl.conf:2 = 300" in out
    assert "not /usr/lib/sysctl.d/50-redhat.conf:1 = 90: a pattern" in out
    assert "not /etc/sysctl.d/99-forgotten:1 = 8: not read" in out
    for row in SETTINGS:
        assert row.meaning in out


def test_show_says_how_long_a_death_goes_unnoticed(system):
    _, out, _ = system("show")

    assert "2 h 11 min 15 s to 2 h 26 min 35 s" in out
    assert "for ever" in out
    assert "15 min 25 s" in out


@pytest.mark.skipif(sys.platform != "linux", reason="reads this system's settings")
def test_show_and_explain_say_the_same_of_the_running_system(capsys):
    assert run(["system", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["unnoticed"]
    assert run(["explain", "--json"]) == 0
    told = {row["state"]: row for row in json.loads(capsys.readouterr().out)["states"]}

    assert shown["idle"]["latest"] == told["idle"]["latest"]
    assert shown["connecting"]["latest"] == told["connecting"]["latest"]


def test_show_warns_of_what_a_reboot_would_change(system):
    _, out, _ = system("show")

    assert f"{TIME} is 7200 now and would be 600 after a reboot" in out
    assert f"{TIME} depends on who reads the files" in out
    assert "tcp_keepalive_intvl is 75 now and would be 90" in out


def test_show_on_a_fresh_installation_warns_of_nothing(tmp_path, system):
    for name, layout in LAYOUTS.items():
        _, out, _ = system("show", root=plant(tmp_path / name, layout))
        assert "warning" not in out, name


@pytest.mark.parametrize(
    ("name", "number", "meaning"),
    [
        ("time", -1, "keepalive is off"),
        ("time", 0, "probes start at once"),
        ("time", 40_000, "more than a program can set"),
        ("interval", -1, "50 days"),
        ("interval", 0, "no time to answer"),
        ("probes", 0, "alive or dead"),
        ("probes", 200, "more than a program can set"),
        ("retries2", 3, "RFC 1122"),
    ],
)
def test_odd_values_get_their_meaning(system, root, name, number, meaning):
    row = setting_named(name)
    assert meaning in about_value(row, number)
    (root / "proc/sys" / row.key.replace(".", "/")).write_text(f"{number}\n")

    code, out, _ = system("show")
    assert code == 0
    assert meaning in out


def test_usual_values_need_no_word():
    for row in SETTINGS:
        assert about_value(row, row.default) == ""


def test_show_json_has_a_schema_and_every_line(system):
    shown = data(system("show", "--json"))

    assert (shown["schema"], shown["verb"]) == (1, "system show")
    assert [item["key"] for item in shown["settings"]] == [row.key for row in SETTINGS]
    time = shown["settings"][0]
    assert (time["value"], time["default"], time["after_boot"]) == (7200, 7200, 600)
    systemd, procps = time["rules"]
    assert systemd["winner"] == {
        "path": "/etc/sysctl.d/k8s.conf",
        "real": "/etc/sysctl.d/k8s.conf",
        "line": 1,
        "key": TIME,
        "value": "600",
    }
    assert (systemd["gives"], procps["gives"]) == (600, 300)
    assert {"path", "real", "line", "key", "value", "why"} == set(procps["shadowed"][0])
    assert shown["readers"] == {"at_boot": "systemd", "by_hand": "procps"}
    assert shown["unnoticed"]["idle"]["earliest"] == 7875
    assert shown["unnoticed"]["idle_without_keepalive"]["latest"] is None
    assert 924 < shown["unnoticed"]["busy"]["earliest"] < 926
    assert set(shown["place"]) == {
        "running",
        "initial",
        "namespace",
        "container",
        "sandbox",
    }


def test_show_explains_an_image_by_its_files(tmp_path, system):
    files = {k: v for k, v in TREE.items() if not k.startswith("proc")}
    code, out, _ = system("show", root=plant(tmp_path / "image", files))

    assert code == 0
    assert "The image" in out
    assert "10 min" not in out.partition("How long")[0]
    assert "/etc/sysctl.d/k8s.conf:1 = 600" in out


def test_show_says_that_a_sandbox_shows_stubs(tmp_path, system):
    root = plant(
        tmp_path / "sandbox",
        PROC
        | {
            "proc/sys/net/ipv4/tcp_keepalive_intvl": "0\n",
            "proc/sys/net/ipv4/tcp_keepalive_probes": "0\n",
        },
    )
    (root / "proc/sys/net/ipv4/tcp_keepalive_intvl").chmod(0o444)
    _, out, _ = system("show", root=root)

    assert "gVisor" in out
    assert "2 h 11 min 15 s" in out


@pytest.mark.parametrize("width", [30, 40, 60, 89, 90, 200])
def test_show_fits_every_width(root, width):
    from rich.console import Console

    from deadpeer.cli.system_view import print_text

    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.capture() as captured:
        print_text(console, survey(root))
    lines = captured.get().splitlines()
    console.file.close()

    assert max(map(len, lines)) <= width
    everything = "".join("".join(lines).split())
    assert "tcp_keepalive_time" in everything
    assert "k8s.conf:1" in everything
    heading = next(line for line in lines if "Now" in line)
    assert heading.lstrip().startswith("Setting" if width >= 90 else "Now")


def test_a_tree_that_has_nothing_is_unsupported_only_where_it_must_run(tmp_path):
    assert run(["system", "show", "--root", str(tmp_path / "gone")]) == 2


# -- set -----------------------------------------------------------------------


def test_set_shows_old_and_new_and_changes_nothing(system, root):
    before = snapshot(root)
    code, out, err = system("set", "--time", 5, "--interval", 1, "--probes", 1)

    assert (code, err) == (0, "")
    assert snapshot(root) == before
    assert "7200 s   5 s" in out
    assert "one lost probe ends a live connection" in out
    assert "Programs must turn SO_KEEPALIVE on" in out
    assert "keeps its old time" in out
    assert "--persist keeps it" in out
    assert out.rstrip().endswith("Nothing was changed. Do it with --yes.")


def test_set_within_says_that_it_is_for_idle_connections_only(system):
    _, out, _ = system("set", "--within", 8)

    assert "This promises 8 s for idle connections, and nothing for others." in out
    assert "TCP_USER_TIMEOUT" in out
    assert "7 s to 7.53 s" in out


def test_set_yes_changes_and_tells_where_the_record_is(system, root):
    code, out, err = system("set", "--within", 8, "--yes")
    record = root / "var/lib/deadpeer/set-0001.json"

    assert code == 0
    assert value(root, TIME) == "4"
    assert record.is_file()
    assert err == f"record: {record}\n"
    assert f"deadpeer system undo --yes --root {root} {record}" in out


def test_set_and_undo_as_they_are_printed_leave_no_trace(system, root):
    before = snapshot(root)
    _, out, _ = system("set", "--within", 8, "--persist", "--yes")
    undo = out.rstrip().rpartition("deadpeer ")[2].split()

    assert (root / OWN_FILE[1:]).is_file()
    assert run(undo) == 0
    assert snapshot(root) == before


def test_set_says_who_wins_over_our_file(tmp_path, system):
    root = plant(tmp_path / "x", TREE | {"etc/sysctl.d/zzzz.conf": f"{TIME} = 9\n"})
    before = (root / "etc/sysctl.conf").read_bytes()
    _, out, _ = system("set", "--time", 5, "--persist", "--yes", root=root)

    assert "/etc/sysctl.conf:2 wins over ours where sysctl --system reads" in out
    assert "/etc/sysctl.d/zzzz.conf:1 wins over ours where systemd-sysctl" in out
    assert (root / "etc/sysctl.conf").read_bytes() == before


def test_set_of_what_is_so_already_does_nothing(system, root):
    before = snapshot(root)
    code, out, _ = system("set", "--time", "2h", "--yes")

    assert code == 0
    assert "Everything is so already" in out
    assert snapshot(root) == before


def test_set_json_says_what_it_would_do_and_what_it_did(system):
    proposed = data(system("set", "--within", 8, "--persist", "--json"))
    assert (proposed["schema"], proposed["applied"], proposed["record"]) == (
        1,
        False,
        None,
    )
    assert proposed["live"][0] == {"key": TIME, "old": "7200", "new": 4}
    assert proposed["file"]["path"] == OWN_FILE
    assert [(item["rule"], item["key"]) for item in proposed["lost"]] == [
        ("procps", TIME)
    ]
    assert proposed["unnoticed"]["after"]["idle"] < 8

    done = data(system("set", "--within", 8, "--persist", "--yes", "--json"))
    assert done["applied"]
    assert done["record"].endswith("set-0001.json")


WRONG = [
    (["--time", "0"], 2),
    (["--time=-1"], 2),
    (["--time", "32768"], 2),
    (["--time", "nan"], 2),
    (["--time", "inf"], 2),
    (["--time", "soon"], 2),
    (["--time", "1e30"], 2),
    (["--interval", "0"], 2),
    (["--probes", "0"], 2),
    (["--probes", "128"], 2),
    (["--probes", "2.5"], 2),
    (["--probes", "many"], 2),
    (["--retries2", "256"], 2),
    (["--syn-retries", "0"], 2),
    (["--within", "2"], 2),
    (["--within", "0"], 2),
    (["--within", "nan"], 2),
    (["--within=-8"], 2),
    (["--within", "2d"], 2),
    (["--within", "8", "--time", "5"], 2),
    ([], 2),
    (["--time", "5", "--root", "/nowhere/at/all"], 2),
]


@pytest.mark.parametrize(("arguments", "code"), WRONG, ids=str)
def test_a_wrong_command_line_changes_nothing_and_says_why(
    system, root, arguments, code
):
    before = snapshot(root)
    found, out, err = system("set", "--persist", "--yes", *arguments)

    assert found == code
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert snapshot(root) == before


def test_any_value_takes_what_only_the_kernel_takes(system, root):
    code, out, _ = system("set", "--time=-1", "--any-value", "--yes")

    assert code == 0
    assert "keepalive is off" in out
    assert value(root, TIME) == "-1"


def test_fractions_of_a_second_are_rounded_up(system, root):
    system("set", "--time", "4.2", "--yes")

    assert value(root, TIME) == "5"


def test_a_file_that_somebody_edited_is_left_alone(system, root):
    system("set", "--time", 5, "--persist", "--yes")
    (root / OWN_FILE[1:]).write_text("vm.swappiness = 1\n")
    before = snapshot(root)
    code, _, err = system("set", "--time", 6, "--persist", "--yes")

    assert code == 2
    assert "not as deadpeer wrote it" in err
    assert snapshot(root) == before


# -- undo ----------------------------------------------------------------------


def test_undo_shows_and_changes_nothing_without_yes(system, root):
    system("set", "--within", 8, "--persist", "--yes")
    before = snapshot(root)
    code, out, err = system("undo")

    assert (code, err) == (0, "")
    assert f"{TIME}: 4 → 7200" in out
    assert f"{OWN_FILE}: removed" in out
    assert out.rstrip().endswith("Do it with --yes.")
    assert snapshot(root) == before


def test_undo_without_anything_to_undo_says_so(system):
    assert system("undo", "--yes")[:2] == (0, "There is nothing to undo.\n")


def test_undo_shows_what_others_changed_and_asks_for_force(system, root):
    before = snapshot(root)
    system("set", "--within", 8, "--yes")
    (root / "proc/sys/net/ipv4/tcp_keepalive_time").write_text("60\n")

    _, out, _ = system("undo")
    assert f"{TIME} is 60 now, not the 4 that was set" in out
    assert "--yes --force" in out
    code, _, err = system("undo", "--yes")
    assert code == 2
    assert "somebody has changed it since" in err
    assert system("undo", "--yes", "--force")[0] == 0
    assert snapshot(root) == before


def test_undo_json_says_what_it_did(system, root):
    system("set", "--time", 5, "--persist", "--yes")
    undone = data(system("undo", "--yes", "--json"))

    assert (undone["schema"], undone["applied"]) == (1, True)
    assert undone["live"] == [{"key": TIME, "now": "5", "to": "7200", "found": "ours"}]
    assert undone["file"] == {"path": OWN_FILE, "found": "ours"}
    assert undone["conflicts"] == []


def test_undo_of_a_file_that_is_no_record_does_nothing(system, root):
    (root / "set-0001.json").write_text("{}")
    before = snapshot(root)
    code, _, err = system("undo", "--yes", root / "set-0001.json")

    assert code == 2
    assert "no record of a change" in err
    assert snapshot(root) == before


def test_undo_after_a_reboot_says_what_it_leaves_alone(system, root):
    system("set", "--time", 5, "--persist", "--yes")
    (root / "proc/sys/kernel/random/boot_id").write_text("another\n")
    _, out, _ = system("undo")

    assert "left alone: the system was started anew since" in out
    assert f"{OWN_FILE}: removed" in out


def test_undo_tells_what_is_so_already_and_what_a_killed_change_left(system, root):
    system("set", "--time", 60, "--persist", "--yes")
    system("set", "--time", 5, "--persist", "--yes")
    (root / OWN_FILE[1:]).write_text(file_text({TIME: 60}))
    (root / "proc/sys/net/ipv4/tcp_keepalive_time").write_text("60\n")
    (root / "etc/.deadpeer-0123456789abcdef.tmp").touch()
    _, out, _ = system("undo", "--yes")

    assert f"{TIME}: 60, as it was before" in out
    assert f"{OWN_FILE}: as it was before" in out
    assert "deadpeer-0123456789abcdef.tmp: removed, a change that was killed" in out
    assert not (root / "etc/.deadpeer-0123456789abcdef.tmp").exists()


def test_undo_puts_our_older_file_back_or_leaves_a_foreign_one_alone(system, root):
    system("set", "--time", 60, "--persist", "--yes")
    system("set", "--time", 5, "--persist", "--yes")
    assert f"{OWN_FILE}: put back as it was before" in system("undo")[1]

    (root / OWN_FILE[1:]).write_text("somebody's\n")
    assert f"{OWN_FILE}: left alone" in system("undo")[1]


def test_undo_in_another_namespace_keeps_the_record():
    change = LiveChange(key=TIME, old="7200\n", new=5)
    record = Record(
        made_at="now", boot_id="b", namespace=1, made=0, live=(change,), file=None
    )
    plan = Undo(
        root=Path("/"),
        records=Path("/r"),
        path=Path("/r/set-0001.json"),
        record=record,
        live_left="the running values belong to network namespace 1",
        keeps_record=True,
    )
    lines = [line.plain for line in undo_lines(plan, applied=True, force=False)]

    assert "left alone: the running values belong" in lines[1]
    assert "the record is kept" in lines[-1]


@pytest.mark.parametrize(
    ("initial", "container", "words"),
    [
        (True, "", "The system's first network namespace."),
        (True, "docker", "first network namespace, in a docker container."),
        (False, "", "Network namespace 7: not the host's values"),
        (False, "podman", "Network namespace 7, in a podman container: not"),
    ],
)
def test_it_is_said_whose_settings_these_are(root, initial, container, words):
    here = Place(
        running=True, initial=initial, namespace=7, container=container, sandbox=""
    )
    picture = replace(survey(root), root=Path("/"), place=here)
    assert words in place_line(picture)

    elsewhere = place_line(replace(picture, root=Path("/proc/9/root")))
    assert "this process's own network namespace" in elsewhere


def test_a_change_in_a_namespace_says_that_it_stays_there(root):
    here = Place(running=True, initial=False, namespace=7, container="", sandbox="")
    picture = replace(survey(root), place=here)
    proposal = Proposal(
        picture=picture,
        change=plan_change({"time": 5}, root=root),
        wanted={"time": 5},
        within=None,
    )

    assert any("for network namespace 7 alone" in note for note in proposal.notes)
    # What a reboot of the host would do says nothing about this namespace.
    assert not any("after a reboot" in warning for warning in warnings(picture))


def test_files_that_cannot_be_read_and_lines_that_say_nothing_are_told(
    tmp_path, system
):
    layout = TREE | {
        "etc/sysctl.d/gone.conf": "-> nowhere",
        "etc/sysctl.conf": "net.ipv4.tcp_retries2 8\nnet.ipv4.tcp_retries2 = soon\n",
        "etc/sysctl.d/50-x.conf": "-net.ipv4.tcp_retries2\n",
    }
    _, out, _ = system("show", root=plant(tmp_path / "x", layout))

    assert "/etc/sysctl.d/gone.conf cannot be read" in out
    assert out.count("is no setting and is skipped: net.ipv4.tcp_retries2 8") == 1
    assert "= soon, which the kernel refuses" in out


# -- the whole program on a running kernel, in a namespace of its own -----------


@pytest.mark.netns
@pytest.mark.slow
def test_the_program_changes_and_restores_a_running_kernel(tmp_path):
    program = f"{sys.executable} -m deadpeer system"
    where = f"--record-dir {tmp_path / 'records'}"
    script = (
        f'test "$(readlink /proc/self/ns/net)" != "$1" || exit 99\n'
        f"{program} set --within 8 --yes {where} >/dev/null 2>&1 || exit 1\n"
        "cat /proc/sys/net/ipv4/tcp_keepalive_time\n"
        f"{program} show | head -1\n"
        f"{program} undo --yes {where} >/dev/null || exit 2\n"
        "cat /proc/sys/net/ipv4/tcp_keepalive_time\n"
    )
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "sh",
            "-c",
            script,
            "sh",
            subprocess.check_output(
                ["readlink", "/proc/self/ns/net"], text=True
            ).strip(),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    new, whose, old = done.stdout.splitlines()
    assert (new, old) == ("4", "7200")
    assert "not the host's values" in whose
    assert not (tmp_path / "records").exists()
