"""
What is public is what an ``__all__`` says, here and at the front door.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import deadpeer
from deadpeer import errors

FOUND = [
    found
    for found in pkgutil.walk_packages(deadpeer.__path__, "deadpeer.")
    if not found.name.endswith("__main__")  # importing it runs it
]
NAMES = ["deadpeer", *(found.name for found in FOUND)]
FOLDERS = ["deadpeer", *(found.name for found in FOUND if found.ispkg)]

# What a reader of the README reaches for. Adding is easy, taking away is not.
FRONT_DOOR = {"Keepalive", "create_connection", "inspect", "plan", "protect"}

# Importing the library must stay quick, and free of what it does not require.
HEAVY = ("asyncio", "click", "rich", "pyroute2", "subprocess")
START_UP = 0.05  # seconds that the import may add to Python's own start


def ruff_order(name: str) -> tuple[int, list[str | int]]:
    """CONSTANTS, then Classes, then functions; numbers in a name count as such."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    parts = re.split(r"(\d+)", name)
    return kind, [int(part) if part.isdigit() else part for part in parts]


def exported(name: str) -> set[str]:
    return set(getattr(importlib.import_module(name), "__all__", ()))


def imported_names(module: ModuleType) -> set[str]:
    """Return the names that a module takes from this package at its top level."""
    tree = ast.parse(inspect.getsource(module))
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("deadpeer")
        for alias in node.names
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_module_says_what_is_public_and_means_it(name):
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        # The empty __init__.py of a folder has nothing to say.
        assert hasattr(module, "__path__")
        assert imported_names(module) == set()
        return

    public = list(module.__all__)

    assert public == sorted(public, key=ruff_order)
    assert len(set(public)) == len(public)
    assert [n for n in public if not hasattr(module, n)] == []
    assert [n for n in public if n.startswith("_") and n != "__version__"] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_hands_on_exactly_what_it_imports(name):
    module = importlib.import_module(name)
    names = imported_names(module)
    own_files = {n for n in names if inspect.ismodule(getattr(module, n))}

    assert names - own_files <= exported(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_handed_on_is_public_at_home(name):
    module = importlib.import_module(name)
    for public in exported(name):
        thing = getattr(module, public)
        if not inspect.isclass(thing) and not inspect.isroutine(thing):
            continue  # a value has the home of its class
        home = getattr(thing, "__module__", None)
        if home is not None and home.startswith("deadpeer"):
            assert public in importlib.import_module(home).__all__


def test_the_front_door_has_what_the_readme_promises():
    assert exported("deadpeer") >= FRONT_DOOR


def test_every_error_can_be_caught_at_the_front_door():
    assert set(errors.__all__) <= exported("deadpeer")
    assert all(getattr(deadpeer, n) is getattr(errors, n) for n in errors.__all__)


def test_importing_the_library_brings_nothing_heavy():
    script = f"import sys, deadpeer; print(*(set({HEAVY!r}) & set(sys.modules)))"

    assert run(script).split() == []


def test_importing_the_library_is_quick():
    script = (
        "from time import perf_counter as now; began = now(); import deadpeer;"
        "print(now() - began)"
    )

    # A busy machine makes some tries slow; that the code is quick is proven by
    # the first one that is.
    assert any(float(run(script)) < START_UP for _ in range(20))


def run(script: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout


def test_the_order_is_the_one_that_ruff_keeps():
    names = ["plan", "PeerDead", "A2", "A10", "LINUX", "inspect"]

    assert sorted(names, key=ruff_order) == [
        "A2",
        "A10",
        "LINUX",
        "PeerDead",
        "inspect",
        "plan",
    ]
