"""What surrounds the code, the runner and CI, keeps its word."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
WORKFLOWS = sorted(HOUSE.glob(".github/workflows/*.yml"))
MAKEFILE = (HOUSE / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))

README_COMMANDS = ("make demo", "make test")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_with_its_release_beside_it(path):
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))

    assert used
    assert [
        line
        for line in used
        if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_tests_that_exist(path):
    named = re.findall(r"\btests/[\w/.]+", path.read_text(encoding="utf-8"))

    assert [name for name in named if not (HOUSE / name).exists()] == []


def test_every_verb_of_the_makefile_says_what_it_does():
    verbs = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE)) - {"ip"}
    explained = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))

    assert verbs == explained
    assert {"demo", "test", "prove", "fuzz", "lint", "wheel"} <= verbs


def test_nothing_is_needed_or_compiled_unless_somebody_asks_for_it():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert PROJECT["project"]["dependencies"] == []
    assert [name.partition(">")[0] for name in PROJECT["build-system"]["requires"]] == [
        "hatchling"
    ]
    assert {
        name: hook["enable-by-default"] for name, hook in wheel["hooks"].items()
    } == {"mypyc": False}
    lines = MAKEFILE.splitlines()
    assert {
        line.split(":")[0] for line in lines if "$(COMPILED)/.ready  ##" in line
    } == {
        "compiled",
        "test-compiled",
        "bench",
    }


def test_each_hot_path_that_is_compiled_exists():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = wheel["hooks"]["mypyc"]["include"]

    # With the slash at the head a pattern is one file, and not one of its name.
    assert all(path.startswith("/src/deadpeer/") for path in named)
    assert [path for path in named if not (HOUSE / path[1:]).is_file()] == []


def test_what_ci_runs_is_what_the_readme_says():
    readme = (HOUSE / "README.md").read_text(encoding="utf-8")
    script = (HOUSE / ".ci" / "run").read_text(encoding="utf-8")

    assert all(command in readme for command in README_COMMANDS)
    assert script.rstrip().endswith("make test")


def test_a_machine_without_the_right_python_gets_one_line_that_helps(tmp_path):
    ended = subprocess.run(
        ["make", "--no-print-directory", "PYTHON=false", f"VENV={tmp_path}/v", "test"],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode != 0
    assert "Python 3.11" in ended.stdout
    assert "PYTHON=/path/to" in ended.stdout
    assert not (tmp_path / "v").exists()
