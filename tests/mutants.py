"""
Change the judge and the monitor in every small way: each change must fail a test.

mutmut makes the changes and runs the tests that reach them, in a copy of the
project. What it cannot tell are changes that mean the same; those are named
below, each with its reason. Any other survivor is an error, and so is a name that
stands for none any more.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[1]
COPIED = ("src", "tests", "pyproject.toml", "README.md")

CONFIG = """
[tool.mutmut]
source_paths = ["src/"]
only_mutate = [
    "src/deadpeer/core/judge.py",
    "src/deadpeer/core/monitor.py",
    "src/deadpeer/core/detectors/answers.py",
]
pytest_add_cli_args_test_selection = [
    "tests/core/test_judge.py",
    "tests/core/test_monitor.py",
    "tests/core/test_rules.py",
    "tests/core/test_delivery.py",
]
also_copy = ["README.md"]
"""

LIMIT = "at the limit both sides are the same number"

# What was changed (the line as it became) in which function, and why nothing can
# tell the difference.
EQUIVALENTS: dict[tuple[str, str], str] = {
    ("Monitor._measure", "if sample <= row.rtt_min:"): LIMIT,
    ("Monitor._measure", "usual = sample if sample >= row.srtt else row.srtt"): LIMIT,
    ("Monitor._measure", "if margin <= rules.floor:"): LIMIT,
    (
        "Monitor._measure",
        "row.margin = margin if margin <= rules.timeout else rules.timeout",
    ): LIMIT,
    ("ask", "if row.margin <= wait:"): LIMIT,
    ("ask", "if rules.interval <= wait:"): LIMIT,
    (
        "Monitor.advance",
        "if action == codes.NOTHING and row.stretched < stretched and not facts.slept:",
    ): "the rest of the function finds nothing to tell, too; only later",
}


def main() -> int:
    """Run mutmut in a copy, and say what survived."""
    with tempfile.TemporaryDirectory(prefix="deadpeer-mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            place = HOUSE / name
            if place.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(place, copy / name, ignore=skip)
            else:
                shutil.copy(place, copy / name)
        with (copy / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(CONFIG)
        print("changing the judge and the monitor; this takes some minutes")
        ran = mutmut(copy, "run")
        statuses = Counter(status for _, status in results(copy))
        if ran.returncode or statuses["killed"] < 100:
            print(ran.stdout[-3000:], ran.stderr[-3000:])
            print("mutmut itself failed")
            return 2
        survivors = [
            described(copy, name) for name, end in results(copy) if end != "killed"
        ]
    print(", ".join(f"{count} {status}" for status, count in statuses.items()))
    return judged(survivors)


def judged(survivors: list[tuple[str, str, str]]) -> int:
    """Hold the survivors against the equivalents, and return the exit code."""
    unknown = [one for one in survivors if one[:2] not in EQUIVALENTS]
    stale = EQUIVALENTS.keys() - {one[:2] for one in survivors}
    for function, _, change in unknown:
        print(f"\nno test notices this change of {function}:\n{change}")
    for function, line in stale:
        print(f"\nis no survivor any more, so take it off the list: {function}: {line}")
    if unknown or stale:
        return 1
    print(f"nothing survived but {len(EQUIVALENTS)} changes that mean the same")
    return 0


def mutmut(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("mutmut")), *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )


def results(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each mutant's name and its end."""
    for line in mutmut(folder, "results", "--all", "true").stdout.splitlines():
        found = re.fullmatch(r"\s*(\S+): (.+)", line)
        if found:
            yield found[1], found[2]


def described(folder: Path, name: str) -> tuple[str, str, str]:
    """Return a mutant's function, the line as it became, and both lines."""
    shown = mutmut(folder, "show", name).stdout.splitlines()
    change = [one for one in shown if re.match(r"[-+](?![-+]{2})", one)]
    became = " ".join(one[1:].strip() for one in change if one.startswith("+"))
    became = became.partition("  # noqa")[0]
    path = name.rpartition(".")[2].partition("__mutmut_")[0]
    function = path.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return function, became, "\n".join(change)


if __name__ == "__main__":
    sys.exit(main())
