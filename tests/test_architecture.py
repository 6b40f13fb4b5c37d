"""
The layers of docs/explanation/architecture.md, as a test.

The rules are functions of a folder, so that the same rules which hold for the
package are shown to catch a bad file in a folder of their own.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import deadpeer

PACKAGE = Path(deadpeer.__file__).parent

# Each layer, and the layers right below it. It may import those, whatever is
# below them, and itself. Siblings (host and lab, say) do not see each other.
RIGHT_BELOW: dict[str, tuple[str, ...]] = {
    "errors": (),
    "platforms": ("errors",),
    "policy": ("platforms",),
    "core": ("policy",),
    "kernel": ("core",),
    "aio": ("kernel",),
    "sync": ("aio",),
    "fleet": ("kernel",),
    "adapters": ("sync", "fleet"),
    "host": ("sync", "fleet"),
    "lab": ("sync", "fleet"),
    "testing": ("sync", "fleet"),
    "cli": ("adapters", "host", "lab", "testing"),
    "__main__": ("cli",),
    "__init__": ("sync", "fleet"),  # the front door: re-exports for users
}

# Files and folders that only compute. Same arguments, same answer.
PURE = (
    "errors.py",
    "platforms",
    "policy/",
    "core/",
    "host/addresses.py",
    "host/changes.py",
    "host/filters.py",
    "host/judgement.py",
    "host/sampling.py",
    "host/space_watch.py",
    "host/verdicts.py",
    "kernel/call_filter.py",
    "kernel/classic_bpf.py",
    "kernel/bpf_instructions.py",
    "kernel/bpf_programs.py",
    "kernel/bpf_terms.py",
    "kernel/diag_dumps.py",
    "kernel/diag_messages.py",
    "kernel/diag_rows.py",
    "kernel/json_values.py",
    "kernel/sysctl/files.py",
    "kernel/sysctl/order.py",
    "kernel/sysctl/plan.py",
    "kernel/sysctl/rules.py",
    "kernel/sysctl/table.py",
    "kernel/tcp_info.py",
    "kernel/tcp_table.py",
    "lab/forecast.py",
    "lab/heartbeats/",
    "lab/plain.py",
    "lab/rendering/",
    "lab/scenario.py",
    "lab/selection.py",
    "lab/terms.py",
    "lab/wire/flows.py",
    "lab/wire/frames.py",
    "lab/wire/lane.py",
    "lab/wire/precision.py",
    "lab/wire/weather.py",
    "testing/detectors.py",
    "testing/drivers.py",
    "testing/far_end.py",
    "testing/kernel_model.py",
    "testing/known_scripts.py",
    "testing/link_model.py",
    "testing/replay.py",
    "testing/scripts.py",
    "testing/simulated.py",
    "testing/traces.py",
    "cli/snippets",
    "cli/target.py",
)

# What a pure file has no business with: I/O, clocks, chance, logs, processes.
IMPURE_MODULES = {
    "asyncio", "click", "concurrent", "ctypes", "datetime", "fcntl", "glob",
    "http", "io", "logging", "mmap", "multiprocessing", "os", "pathlib",
    "pyroute2", "queue", "random", "resource", "rich", "sched", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "socketserver", "ssl",
    "subprocess", "tempfile", "threading", "time", "urllib", "uuid", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
# A path may be computed with; only the file system itself is out of bounds.
HARMLESS = {"pathlib.PurePath", "pathlib.PurePosixPath", "io.StringIO"}

MOST_LINES = 400


def below(layer: str) -> set[str]:
    """Return the layers that a layer may import."""
    found = {layer}
    for lower in RIGHT_BELOW[layer]:
        found |= below(lower)
    return found


def layer_of(path: Path, package: Path) -> str:
    return path.relative_to(package).with_suffix("").parts[0]


def is_pure(path: Path, package: Path) -> bool:
    return path.relative_to(package).as_posix().startswith(PURE)


def imports(tree: ast.AST) -> Iterator[str]:
    """
    Yield the full names that a file imports, wherever in the file.

    ``from deadpeer.kernel import options`` gives ``deadpeer.kernel.options``.
    An import by a name in quotes is an import too.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def home_of(name: str, package: Path) -> Path | None:
    """Return the file that an import of ``deadpeer.x.y`` reads, if it is ours."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    path = package
    for part in rest:
        if (path / part).with_suffix(".py").exists():
            return (path / part).with_suffix(".py")
        if not (path / part).is_dir():
            break
        path = path / part
    return path / "__init__.py"


def broken_rules(path: Path, package: Path) -> Iterator[str]:
    """Yield a sentence for each rule that a file breaks."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    layer = layer_of(path, package)
    if layer not in RIGHT_BELOW:
        yield f"{layer} is no layer: give it a place in RIGHT_BELOW"
        return
    if len(text.splitlines()) > MOST_LINES:
        yield f"more than {MOST_LINES} lines: which two ideas live here?"
    if not ast.get_docstring(tree):
        yield "no docstring that says which idea lives here"
    yield from wrong_imports(tree, path, package)
    if is_pure(path, package):
        yield from impurities(tree)


def wrong_imports(tree: ast.AST, path: Path, package: Path) -> Iterator[str]:
    layer = layer_of(path, package)
    for name in imports(tree):
        if name.startswith("."):
            yield f"{name}: imports are absolute"
            continue
        home = home_of(name, package)
        if home is None:
            continue  # not ours
        target = layer_of(home, package)
        if target == "__init__":
            yield f"{name}: the front door is for users; import it from its home"
        elif target not in below(layer):
            yield f"{name}: {layer} may not import {target}"
        elif is_pure(path, package) and not is_pure(home, package):
            yield f"{name}: a pure file imports pure files only"


def impurities(tree: ast.AST) -> Iterator[str]:
    for name in imports(tree):
        if name.split(".")[0] in IMPURE_MODULES and name not in HARMLESS:
            yield f"{name}: a pure file touches no I/O, clock, chance or log"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in IMPURE_CALLS:
            yield f"{node.func.id}(): a pure file only computes"


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_keeps_the_rules_of_the_house(path):
    assert list(broken_rules(path, PACKAGE)) == []


def test_the_walk_finds_the_package():
    assert {"__init__", "errors", "platforms", "policy"} <= {
        layer_of(path, PACKAGE) for path in MODULES
    }


def test_no_layer_is_below_itself():
    assert all(
        layer not in below(lower)
        for layer in RIGHT_BELOW
        for lower in RIGHT_BELOW[layer]
    )


def test_siblings_are_not_below_each_other():
    siblings = ["adapters", "host", "lab", "testing"]

    assert not any(
        one in below(other) for one in siblings for other in siblings if one != other
    )
    assert "fleet" not in below("sync")
    assert "aio" not in below("fleet")


def test_the_front_door_defines_nothing_itself():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    # What is imported late (PEP 562), and what type checkers see in its place.
    late = ("def __getattr__(", "def __dir__(", "if TYPE_CHECKING:")

    assert [
        ast.unparse(node)
        for node in tree.body
        if not isinstance(node, allowed) and not ast.unparse(node).startswith(late)
    ] == []


BAD_FILES = {
    "a layer that looks up": (
        "policy/wide.py",
        "from deadpeer.kernel.options import apply",
        "policy may not import kernel",
    ),
    "a lazy import that looks up": (
        "kernel/late.py",
        "def f():\n    import deadpeer.cli",
        "kernel may not import cli",
    ),
    "an import by its name in quotes": (
        "kernel/quoted.py",
        "import importlib\nimportlib.import_module('deadpeer.lab.rendering.report')",
        "kernel may not import lab",
    ),
    "a sibling": (
        "lab/nosy.py",
        "from deadpeer.host import ls",
        "lab may not import host",
    ),
    "the package from inside": (
        "kernel/roundabout.py",
        "from deadpeer import protect",
        "the front door is for users",
    ),
    "a relative import": (
        "policy/near.py",
        "from .plans import plan",
        "imports are absolute",
    ),
    "a clock in a pure layer": (
        "core/clock.py",
        "from time import monotonic",
        "touches no I/O, clock",
    ),
    "a path that is opened": (
        "policy/path.py",
        "from pathlib import Path",
        "touches no I/O, clock",
    ),
    "a print in a pure file": (
        "lab/scenario.py",
        "print('hello')",
        "a pure file only computes",
    ),
    "a pure file that leans on an impure one": (
        "lab/scenario.py",
        "from deadpeer.kernel.options import apply",
        "a pure file imports pure files only",
    ),
    "a file of many ideas": ("errors.py", "\n" * 400 + "x = 1", "more than 400 lines"),
    "a stranger": ("utils.py", "x = 1", "utils is no layer"),
}


@pytest.mark.parametrize(
    ("name", "code", "sentence"), BAD_FILES.values(), ids=list(BAD_FILES)
)
def test_a_file_that_breaks_a_rule_is_caught(tmp_path, name, code, sentence):
    package = tmp_path / "deadpeer"
    for known in (
        "kernel/options.py",
        "host/ls.py",
        "lab/rendering/report.py",
        "cli/root.py",
    ):
        (package / known).parent.mkdir(parents=True, exist_ok=True)
        (package / known).touch()
    bad = package / name
    bad.parent.mkdir(exist_ok=True)
    bad.write_text(f'"""One idea."""\n{code}\n', encoding="utf-8")

    assert any(sentence in said for said in broken_rules(bad, package))


def test_a_file_that_keeps_the_rules_is_left_in_peace(tmp_path):
    package = tmp_path / "deadpeer"
    good = package / "kernel" / "options.py"
    good.parent.mkdir(parents=True)
    (package / "errors.py").touch()
    good.write_text(
        '"""One idea."""\nimport socket\nfrom deadpeer.errors import ConfigError\n',
        encoding="utf-8",
    )

    assert list(broken_rules(good, package)) == []
