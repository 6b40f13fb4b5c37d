"""The house rules for tests, tried on a house of their own."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

RULES = Path(__file__).parent / "conftest.py"

FILES = {
    "test_call.py": "import pytest\ndef test_it():\n    pytest.skip('no cable')\n",
    "test_mark.py": (
        "import pytest\n"
        "@pytest.mark.skipif(True, reason='no cable')\n"
        "def test_it():\n    pass\n"
    ),
    "test_fixture.py": (
        "import pytest\n"
        "@pytest.fixture\n"
        "def cable():\n    pytest.skip('no cable')\n"
        "def test_it(cable):\n    pass\n"
    ),
    "test_module.py": (
        "import pytest\npytest.skip('no cable', allow_module_level=True)\n"
    ),
    "test_import.py": "import pytest\npytest.importorskip('no_cable')\n",
    "test_excused.py": (
        "import pytest\n"
        "@pytest.mark.parametrize('metres', [1, 2])\n"
        "def test_it(metres):\n    pytest.skip('no cable')\n"
    ),
    "test_expected.py": (
        "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"
    ),
    "test_pass.py": "def test_it():\n    pass\n",
}


def outcomes(folder: Path, *, ci: str) -> dict[str, set[str]]:
    """Run FILES under the rules; return what became of each file."""
    rules = RULES.read_text(encoding="utf-8")
    empty, excused = (
        f"EXCEPTIONS: dict[str, str] = {{{entry}"
        for entry in ("", "'test_excused.py::test_it': 'no cable here',")
    )
    assert empty in rules
    (folder / "conftest.py").write_text(rules.replace(empty, excused), encoding="utf-8")
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")
    command = ["-m", "pytest", "-p", "no:cacheprovider", "-rA", "-c", os.devnull]
    ended = subprocess.run(
        [sys.executable, *command, "--continue-on-collection-errors", str(folder)],
        cwd=folder,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    # Lines as pytest writes them: FAILED file::test … or, with a count before
    # the file and a line number after it, SKIPPED.
    said = re.findall(
        r"^([A-Z]+) (?:\[\d+\] )?(?:\S*/)?(\w+\.py)", ended.stdout, re.MULTILINE
    )
    became: dict[str, set[str]] = {name: set() for name in FILES}
    for word, name in said:
        became[name].add(word)
    return became


@pytest.mark.skipif(sys.platform != "linux", reason="CI is strict on Linux")
def test_in_ci_every_kind_of_skip_is_a_failure(tmp_path):
    assert outcomes(tmp_path, ci="true") == {
        "test_call.py": {"FAILED"},
        "test_mark.py": {"ERROR"},
        "test_fixture.py": {"ERROR"},
        "test_module.py": {"ERROR"},
        "test_import.py": {"ERROR"},
        "test_excused.py": {"SKIPPED"},
        "test_expected.py": {"XFAIL"},
        "test_pass.py": {"PASSED"},
    }


def test_on_a_users_machine_a_skip_is_a_skip(tmp_path):
    kept = {"test_expected.py": {"XFAIL"}, "test_pass.py": {"PASSED"}}

    assert outcomes(tmp_path, ci="") == {name: {"SKIPPED"} for name in FILES} | kept


def test_side_by_side_the_lab_is_never_in_its_own_way(tmp_path):
    code = textwrap.dedent(
        """
        import os
        from pathlib import Path

        def test_it():
            worker = os.environ["PYTEST_XDIST_WORKER"]
            Path(__file__).with_suffix(".worker").write_text(worker)
        """
    )
    names = ["lab/test_one", "lab/wire/test_two", "test_three", "test_four"]
    files = [tmp_path / "tests" / f"{name}.py" for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    rules = tmp_path / "tests" / "conftest.py"
    rules.write_bytes(RULES.read_bytes())
    command = ["-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull]
    subprocess.run(
        [
            sys.executable,
            *command,
            "--rootdir",
            tmp_path,
            "-n",
            "2",
            tmp_path / "tests",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    one, two, *others = (
        file.with_suffix(".worker").read_text(encoding="utf-8") for file in files
    )

    assert one == two
    assert set(others) - {one}
