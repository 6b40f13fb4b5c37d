"""docs/reference/cli.md against the program: verbs, options, exit codes, JSON."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.neighbours import neighbour

from deadpeer import errors
from deadpeer.cli.diagnosis import Finding, Problem
from deadpeer.cli.ls import EXIT_FOUND
from deadpeer.cli.root import (
    EXIT_BROKEN_PIPE,
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    root,
    run,
)
from deadpeer.cli.snippets import TARGETS
from deadpeer.policy import Keepalive

PAGE = (Path(__file__).parents[1] / "docs/reference/cli.md").read_text("utf-8")


def verbs(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below one, by what has to be typed for it."""
    context = click.Context(command, info_name=path, parent=parent)
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from verbs(below, f"{path} {name}", context)


VERBS = dict(verbs(root, "deadpeer", None))


def section(heading: str) -> str:
    """Return what stands under a heading, up to the next of its rank or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", PAGE, re.MULTILINE)
    assert found, f"no heading {heading!r}"
    rest = PAGE[found.end() :]
    return re.split(rf"^#{{1,{len(found[1])}}} ", rest, flags=re.MULTILINE)[0]


def fields(heading: str) -> set[str]:
    """Return every word in the first column of the table of fields."""
    table = section(heading).split("| field | meaning |")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if "`" in line]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("path", VERBS)
def test_every_verb_has_a_section_and_stands_in_the_overview(path):
    anchor = path.replace(" ", "-")

    assert f"[`{path}`](#{anchor})" in PAGE.split("## Exit codes")[0]
    assert f"\n{path}" in section(path), "no example"


@pytest.mark.parametrize("path", VERBS)
def test_every_option_stands_in_the_section_of_its_verb_and_no_other(path):
    rows = [x.split(" | ")[0] for x in section(path).splitlines() if x[:5] == "| `--"]
    documented = set(re.findall(r"(--[a-z0-9-]+)", " ".join(rows)))
    options = {
        name
        for parameter in VERBS[path].params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--") and name != "--help"
    }

    assert documented == options


@pytest.mark.parametrize("path", VERBS)
def test_help_is_laid_out_as_it_was_written(path, capsys):
    assert run([*path.split()[1:], "--help"]) == 0
    assert "\\b" not in capsys.readouterr().out


def test_every_exit_code_has_its_row_and_no_other():
    kinds = [getattr(errors, name) for name in errors.__all__]
    codes = {kind.exit_code for kind in kinds}
    written = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)

    assert set(map(int, written)) == codes | {
        *(0, EXIT_FOUND, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE, EXIT_TERMINATED)
    }


def test_every_language_is_named():
    row = next(x for x in PAGE.splitlines() if x.startswith("| `--code"))

    assert re.findall(r"`(\w+)`", row) == list(TARGETS)


def test_every_problem_of_the_check_has_its_row():
    rows = re.findall(r"^\| `([a-zA-Z ]+)` \|", section("deadpeer check"), re.MULTILINE)

    assert set(Problem) <= set(rows)


def test_the_objects_that_all_verbs_share_are_described():
    shared = section("JSON")

    for kind in (Keepalive, Finding):
        for name in kind.__dataclass_fields__:
            assert f"`{name}`" in shared


def printed(capsys, *words: str) -> set[str]:
    run([*words, "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["verb"] == " ".join(word for word in words if word.isalpha())
    return set(data) - {"schema", "verb"}


def test_the_fields_of_explain(capsys):
    assert printed(capsys, "explain") | {"code"} == fields("deadpeer explain")


def test_the_fields_of_a_state_and_of_the_traffic(capsys):
    run(["explain", "--json"])
    data = json.loads(capsys.readouterr().out)
    text = section("deadpeer explain")

    for name in {*data["states"][0], *data["traffic"]}:
        assert f"`{name}`" in text


def test_the_fields_of_check(capsys):
    found = printed(capsys, "check", str(os.getpid()))

    assert found == fields("deadpeer check")


RECORDING = Path(__file__).parent / "recordings" / "linux-6.18.recording"


def test_the_fields_of_ls(capsys):
    words = ["ls", "--json", "--replay", str(RECORDING), "state", "all"]
    run(words)
    data = json.loads(capsys.readouterr().out)
    run([*words, "--summary"])
    summary = json.loads(capsys.readouterr().out)

    assert data["schema"] == "deadpeer-ls/1"
    both = set(data) | set(summary)
    assert both - {"schema", "verb"} == fields("deadpeer ls")
    rows = section("deadpeer ls").split("| field of a connection |")[1]
    said = {
        name
        for line in rows.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert {name for row in data["connections"] for name in row} == said
    for name in {*data["namespaces"][0], *summary["processes"][0], "error"}:
        assert f"`{name}`" in section("deadpeer ls")
    verdicts = section("deadpeer ls").split("| verdict | meaning |")[1]
    assert re.findall(r"^\| `(\w+)` \|", verdicts, re.MULTILINE)[:5] == list(
        data["verdicts"]
    )


@pytest.mark.parametrize("verb", ["show", "set --within 30", "undo"])
def test_the_fields_of_system(verb, capsys, tmp_path):
    words = ["system", *verb.split()]
    if "show" not in words:
        words += ["--record-dir", str(tmp_path)]
    run([*words, "--json"])
    data = json.loads(capsys.readouterr().out)

    name = f"deadpeer {data['verb']}"
    assert set(data) - {"schema", "verb"} == fields(name)


@pytest.mark.netns
def test_the_fields_of_fix_undo_and_kill(capsys, tmp_path):
    record = tmp_path / "record.json"
    with neighbour(namespace=True) as child:
        child.told("a, b = pair()")
        whose = ("--pid", str(child.pid), "--yes")
        fix = ("fix", *whose, "--within", "8", "--record", str(record))
        lists = {"connections", "sockets"}
        for words in (fix, ("undo", str(record), "--yes"), ("kill", *whose)):
            assert run([*words, "--json"]) == 0
            data = json.loads(capsys.readouterr().out)
            heading = f"deadpeer {words[0]}"
            assert data["schema"] == f"deadpeer-{words[0]}/1"
            (rows,) = lists.intersection(data)
            told = f"{section('deadpeer fix')}{section(heading)}"
            for name in data[rows][0]:
                assert f"`{name}`" in told
            known = set(re.findall(r"^\| (`.*?`) \| ", told, re.MULTILINE))
            assert set(data) - {"schema", "verb"} <= {
                name for cell in known for name in re.findall(r"`(\w+)`", cell)
            }
