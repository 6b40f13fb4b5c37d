"""
The package that is imported is the compiled one; ``make test-compiled`` begins so.

No part of the whole suite, which needs no compiler and tests the pure package.
"""

import importlib
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

PROJECT = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)
HOOKS = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
MODULES = [
    path.removeprefix("/src/").removesuffix(".py").replace("/", ".")
    for path in HOOKS["mypyc"]["include"]
]


@pytest.mark.parametrize("name", MODULES)
def test_a_hot_module_is_compiled(name):
    made = importlib.import_module(name).__file__

    assert made is not None
    assert made.endswith(tuple(EXTENSION_SUFFIXES))
