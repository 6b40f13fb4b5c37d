"""``deadpeer attach`` and ``detach``: what people see, and what a script relies on."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from tests.neighbours import as_nobody
from tests.own_cgroups import needs_cgroups, own_cgroup, take_off

from deadpeer.cli.root import run
from deadpeer.host.attach_plans import plan_attach
from deadpeer.host.attaching import attach
from deadpeer.host.attachments import attached, look
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.cgroups import Cgroup

__all__ = ["needs_cgroups"]


@pytest.fixture
def cgroup(needs_cgroups):
    with own_cgroup() as made:
        yield made


def said(capsys, *words: str) -> str:
    """Run a command that has to succeed; return what it printed."""
    assert run(words) == 0
    return " ".join(capsys.readouterr().out.split())


def told(capsys, *words: str) -> dict[str, Any]:
    assert run([*words, "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["verb"]) == (f"deadpeer-{words[0]}/1", words[0])
    return data


def is_attached(cgroup: Cgroup) -> bool:
    return any(one.cgroup == cgroup.name for one in attached())


def test_without_yes_it_is_only_shown(cgroup, capsys):
    shown = said(capsys, "attach", cgroup.name, "--within", "20")

    assert "Nothing was changed. Do it with --yes." in shown
    assert "keepalive on, idle" in shown
    assert "reported within 20 s" in shown
    assert "Connections that exist now are not covered" in shown
    assert "deadpeer fix" in shown
    assert not is_attached(cgroup)


def test_with_yes_it_is_done_and_stays(cgroup, capsys):
    shown = said(capsys, "attach", cgroup.name, "--within", "20", "--pin", "--yes")

    assert f"deadpeer detach --yes {cgroup.name}" in shown
    assert is_attached(cgroup)
    assert cgroup.name in said(capsys, "attach")
    assert "pinned" in said(capsys, "attach")


def test_the_same_again_is_already_so(cgroup, capsys):
    words = "attach", cgroup.name, "--within", "20", "--yes"
    run(words)
    before = look(cgroup).ours

    assert "It is so already; nothing was changed." in said(capsys, *words)
    assert look(cgroup).ours == before


def test_other_values_take_the_place_of_ours(cgroup, capsys):
    run(["attach", cgroup.name, "--within", "20", "--yes"])
    shown = said(capsys, "attach", cgroup.name, "--within", "30", "--yes")

    assert "This takes the place of within 20 s, keepalive on" in shown
    assert "within 30 s" in said(capsys, "attach")


def test_the_objects_of_json(cgroup, capsys):
    plan = told(capsys, "attach", cgroup.name, "--within", "20")
    done = told(capsys, "attach", cgroup.name, "--within", "20", "--yes")
    [listed] = [
        one
        for one in told(capsys, "attach")["attached"]
        if one["cgroup"] == cgroup.name
    ]

    assert (plan["applied"], plan["now"], plan["before"]) == (False, None, None)
    assert done["applied"]
    assert done["now"] == listed
    assert listed["within"] == 20
    assert listed["settings"] == plan["settings"]
    assert listed["settings"]["on"] is True
    assert [listed[name] for name in ("made", "accepted", "refused")] == [0, 0, 0]
    gone = told(capsys, "detach", cgroup.name, "--yes")
    assert (gone["applied"], gone["before"]) == (True, listed)


def test_a_half_of_an_attachment_is_not_told_as_a_whole(cgroup, capsys):
    attach(plan_attach(cgroup.name, within=20, pin=True))
    take_off(cgroup, Hook.SETSOCKOPT)
    words = "attach", cgroup.name, "--within", "20", "--pin"

    assert "pinned (only in part" in said(capsys, "attach")
    assert "complete it with attach" in said(capsys, "attach")
    assert told(capsys, *words)["before"]["whole"] is False
    assert "takes the place of within 20 s" in said(capsys, *words, "--yes")
    assert "only in part" not in said(capsys, "attach")


def test_a_change_that_is_under_way_is_not_said_to_be_broken_off(
    cgroup, capsys, monkeypatch
):
    meanwhile, real = [], bpf.attach

    def watched(*values, **more):
        meanwhile.append(said(capsys, "attach"))
        return real(*values, **more)

    monkeypatch.setattr(bpf, "attach", watched)
    attach(plan_attach(cgroup.name, within=20, pin=True))

    assert "only in part: a change was broken off, or is under way" in meanwhile[1]


def test_detach_shows_first_and_then_takes_off(cgroup, capsys):
    run(["attach", cgroup.name, "--within", "20", "--pin", "--yes"])
    capsys.readouterr()

    assert "Do it with --yes" in said(capsys, "detach", cgroup.name)
    assert is_attached(cgroup)
    assert "Done." in said(capsys, "detach", cgroup.name, "--yes")
    assert look(cgroup).ours == dict.fromkeys(Hook, ())
    assert "nothing of deadpeer's is attached" in said(
        capsys, "detach", cgroup.name, "--yes"
    )


def test_a_process_stands_for_its_cgroup(cgroup, capsys):
    script = 'echo $$ > "$0/cgroup.procs" && echo ready && exec cat'
    with subprocess.Popen(
        ["sh", "-c", script, str(cgroup.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        shown = said(capsys, "attach", str(process.pid), "--within", "20")
        assert process.stdin
        process.stdin.close()

    assert f"{cgroup.name}: 1 process now" in shown


def test_the_outer_one_is_named(cgroup, capsys):
    with own_cgroup(inside=cgroup) as inner:
        run(["attach", cgroup.name, "--within", "30", "--yes"])
        shown = said(capsys, "attach", inner.name, "--within", "20")

    assert f"Also attached to {cgroup.name}: within 30 s" in shown
    assert "the outer one's values count" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["x"], "Missing option '--within'"),
        (["--within", "20"], "--within needs something to attach to"),
        (["--rtt", "0"], "--rtt needs something to attach to"),
        (["--yes"], "--yes needs something to attach to"),
        (["no-such-thing", "--within", "20"], "there is no control group"),
        (["/", "--within", "20"], "the root of all control groups"),
    ],
)
@pytest.mark.usefixtures("needs_cgroups")
def test_what_cannot_be_is_refused_in_one_line(words, sentence, capsys):
    assert run(["attach", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["attach", "detach"])
def test_without_privileges_the_capability_is_named_with_its_exit_code(
    cgroup, verb, capfd
):
    words = [verb, cgroup.name]
    if verb == "attach":
        words += ["--within", "20"]
    run(words)  # what is imported late is there then
    words.append("--yes")

    def tried() -> int:
        code = run(words)
        sys.stderr.flush()
        return code

    assert as_nobody(tried) == 4
    assert "CAP_BPF and CAP_NET_ADMIN" in capfd.readouterr().err
    assert not is_attached(cgroup)


def test_a_name_that_a_terminal_would_obey_is_shown_harmless(needs_cgroups, capsys):
    with own_cgroup("\x1b[2J") as cgroup:
        for words in (["attach", cgroup.name, "--within", "20", "--yes"], ["attach"]):
            assert run(words) == 0
            shown = capsys.readouterr().out
            assert "\x1b" not in shown
            assert "\\x1b[2J" in shown


def test_a_listing_of_connections_shows_what_is_attached(cgroup, capsys):
    one_process = "ls", "--pid", str(os.getpid())

    assert cgroup.name not in said(capsys, *one_process)
    run(["attach", cgroup.name, "--within", "20", "--yes"])
    capsys.readouterr()
    shown = said(capsys, *one_process)
    assert f"attached to {cgroup.name}: within 20 s, keepalive on" in shown


@pytest.mark.parametrize("words", [[], ["--summary"]])
def test_a_listing_as_json_has_what_is_attached(cgroup, words, capsys):
    words = "ls", "--json", "--pid", str(os.getpid()), *words

    assert json.loads(said(capsys, *words))["attached"] == []
    run(["attach", cgroup.name, "--within", "20", "--yes"])
    capsys.readouterr()
    listed = json.loads(said(capsys, *words))["attached"]
    assert listed == json.loads(said(capsys, "attach", "--json"))["attached"]
    assert [one["cgroup"] for one in listed] == [cgroup.name]


def test_it_is_attached_when_the_command_has_ended(cgroup):
    words = ["attach", cgroup.name, "--within", "20", "--yes"]
    subprocess.run([sys.executable, "-m", "deadpeer", *words], check=True, timeout=30)

    assert is_attached(cgroup)
    assert plan_attach(cgroup.name, within=20).is_done
