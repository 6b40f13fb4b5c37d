"""
The judge's tests are tested: each branch is forced both ways, and one must fail.

This is the quick part of ``make mutants``, which changes much more.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import pytest
from tests.core import test_judge

from deadpeer.core import judge as judging

FUNCTIONS = [
    function
    for _, function in inspect.getmembers(judging, inspect.isfunction)
    if function.__module__ == judging.__name__
]
BRANCHES = (ast.If, ast.IfExp)


def cases() -> Iterator[Callable[[], Any]]:
    """Yield every test of the judge, with its parameters if it has some."""
    for name, test in inspect.getmembers(test_judge, inspect.isfunction):
        if name.startswith("test_"):
            rows = [list(parameters(mark)) for mark in getattr(test, "pytestmark", ())]
            for row in itertools.product(*rows):
                given = {key: value for part in row for key, value in part.items()}
                yield partial(test, **given)


def parameters(mark: pytest.Mark) -> Iterator[dict[str, Any]]:
    names, values = mark.args
    for value in values:
        yield (
            {names: value}
            if isinstance(names, str)
            else dict(zip(names, value, strict=True))
        )


CASES = list(cases())


def branches(function: FunctionType) -> int:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return sum(isinstance(node, BRANCHES) for node in ast.walk(tree))


def forced(function: FunctionType, number: int, way: bool) -> CodeType:  # noqa: FBT001
    """Return the function's code with one of its branches always going one way."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = [node for node in ast.walk(tree) if isinstance(node, BRANCHES)]
    found[number].test = ast.copy_location(ast.Constant(way), found[number].test)
    made: dict[str, Any] = {}
    exec(compile(tree, judging.__file__, "exec"), vars(judging).copy(), made)  # noqa: S102
    code: CodeType = made[function.__name__].__code__
    return code


def is_noticed() -> bool:
    for case in CASES:
        try:
            case()
        except (AssertionError, TypeError):
            return True
    return False


def test_the_tests_of_the_judge_are_all_found():
    assert len(CASES) >= 60
    assert len(FUNCTIONS) == 10
    assert not is_noticed()


@pytest.mark.parametrize("way", [True, False])
@pytest.mark.parametrize(
    ("function", "number"),
    [(one, number) for one in FUNCTIONS for number in range(branches(one))],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_branch_that_always_goes_one_way_is_noticed(function, number, way):
    code = function.__code__
    function.__code__ = forced(function, number, way)
    try:
        assert is_noticed()
    finally:
        function.__code__ = code
