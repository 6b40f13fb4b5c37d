"""
Everything public says what it does, in which units, and what it raises.

Three rules, each of which a reader would miss: a docstring on every public
thing; a unit with every float; every error of ours that a caller can meet is
named, also where a helper raises it. The last two hold where users program
against it: nobody calls into the workings of the lab or of the command line, nor the
methods of a class that no folder hands on. What a style checker can see is left to it.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.source_reading import Documented, Source, ancestors, section, sections

import deadpeer

PACKAGE = Path(deadpeer.__file__).parent
SOURCE = Source(PACKAGE)
THINGS = list(SOURCE.documented())

# What some folder's __init__ hands on to its users.
HANDED_ON = {
    name
    for folder in SOURCE.modules.values()
    if (PACKAGE.parent / folder.name.replace(".", "/")).is_dir()
    for name in folder.public
}

UNIT = re.compile(
    r"second|millisecond|\bms\b|\bs\b|hour|\bday|byte|microsecond|instant"
    r"|fraction|share|ratio|per cent|probability|number of|part in|hertz|0 to 1",
    re.IGNORECASE,
)
# An entry this short may lean on the one before.
SHORT = 40
# A name that is its own unit; an instant is one of the caller's clock, in seconds.
UNIT_NAME = re.compile(r"seconds|_us$|_ms$|_hz$|_at$|^now$")


def complaints(thing: Documented, source: Source) -> Iterator[str]:
    """Yield a sentence for each thing that a reader would miss."""
    if not thing.doc:
        yield "has no docstring"
        return
    if thing.name.startswith(("deadpeer.cli.", "deadpeer.lab.")):
        return  # in the first, the docstring is the help text
    if thing.owner and thing.owner.name not in HANDED_ON:
        return
    stale = set(section(thing.doc, "Args")) - set(thing.parameters)
    if stale:
        yield f"describes parameters that it does not have: {sorted(stale)}"
    yield from missing_units(thing)
    missing = {
        name
        for name in source.raised(thing)
        if not documented_raises(thing) & ancestors(name)
    }
    if missing:
        yield f"raises {sorted(missing)} and does not list it under Raises"


def missing_units(thing: Documented) -> Iterator[str]:
    described = section(thing.doc, "Args") | field_strings(thing)
    measured = False  # the entry right before had a unit
    for name, annotation in thing.parameters.items():
        said = described.get(name, "")
        # "The earliest report, in seconds", and then just "The latest".
        measured = bool(UNIT.search(said)) or (measured and len(said) < SHORT)
        is_number = re.search(r"\bfloat\b", annotation)
        if is_number and not measured and not UNIT_NAME.search(name):
            yield f"gives no unit for {name}"
    if re.search(r"\bfloat\b", thing.returns) and not thing.name.endswith("seconds"):
        parts = sections(thing.doc)
        if not UNIT.search(parts.get("Returns", "") + parts[""]):
            yield "gives no unit for what it returns"


def field_strings(thing: Documented) -> dict[str, str]:
    """A dataclass may document a field by the string under it."""
    return {
        str(one.target.id): two.value.value
        for one, two in itertools.pairwise(thing.node.body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(two, ast.Expr)
        and isinstance(two.value, ast.Constant)
        and isinstance(two.value.value, str)
    }


def documented_raises(thing: Documented) -> set[str]:
    named = set(section(thing.doc, "Raises"))
    # The root says nothing about what to do.
    return named - {"DeadPeerError"}


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.name)
def test_a_public_thing_says_what_a_reader_needs(thing):
    assert list(complaints(thing, SOURCE)) == []


def test_the_walk_finds_public_things():
    names = {thing.name for thing in THINGS}

    assert "deadpeer.errors.ConfigError" in names
    assert "deadpeer.policy.keepalive.Keepalive.in_units" in names


HEAD = (
    '"""One idea."""\n'
    "from dataclasses import dataclass\n"
    "from deadpeer.errors import ConfigError, NotTcp\n"
    "__all__ = ['thing']\n"
)
BAD = {
    "has no docstring": "def thing():\n    return 1\n",
    "describes parameters that it does not have": (
        'def thing(size):\n    """Do it.\n\n    Args:\n        length: How long.\n    """\n'
    ),
    "gives no unit for pause": (
        'def thing(pause: float | None):\n    """Do it.\n\n    Args:\n'
        '        pause: How long.\n    """\n'
    ),
    "gives no unit for what it returns": (
        'def thing() -> float:\n    """Return how long."""\n'
    ),
    "gives no unit for rest": (
        '@dataclass\nclass thing:\n    """A value.\n\n    Args:\n'
        '        rest: How long.\n    """\n'
        "    rest: float = 1.0\n    seconds: float = 1.0\n"
    ),
    "raises ['ConfigError']": (
        'def thing():\n    """Do it."""\n    _check()\n'
        "def _check():\n    raise _wrong()\n"
        "def _wrong() -> ConfigError:\n    return ConfigError('no')\n"
    ),
    "raises ['NotTcp']": (
        "@dataclass\n"
        'class thing:\n    """A value."""\n'
        "    def __post_init__(self):\n        self.check()\n"
        "    def check(self):\n        '''Check.\n\n        Raises:\n"
        "            NotTcp: Always.\n        '''\n        raise NotTcp\n"
    ),
}


def check(tmp_path: Path, code: str) -> list[str]:
    package = tmp_path / "deadpeer"
    package.mkdir()
    (package / "policy.py").write_text(HEAD + code, encoding="utf-8")
    source = Source(package)
    return [said for thing in source.documented() for said in complaints(thing, source)]


@pytest.mark.parametrize("sentence", BAD)
def test_what_a_reader_would_miss_is_noticed(tmp_path, sentence):
    assert [said for said in check(tmp_path, BAD[sentence]) if sentence in said]


GOOD = {
    "a helper's error, caught": (
        'def thing():\n    """Do it."""\n'
        "    try:\n        _check()\n    except ConfigError:\n        pass\n"
        "def _check():\n    raise NotTcp\n"
    ),
    "a helper's error, caught as what it also is": (
        'def thing():\n    """Do it."""\n'
        "    try:\n        _check()\n    except (OSError, ValueError):\n        pass\n"
        "def _check():\n    raise NotTcp\n"
    ),
    "a parent of the error is listed": (
        'def thing():\n    """Do it.\n\n    Raises:\n        ConfigError: No.\n    """\n'
        "    raise NotTcp\n"
    ),
    "a name that is its own unit": (
        'def thing(seconds: float):\n    """Wait for *seconds*."""\n'
    ),
    "a field with its unit among the arguments": (
        '@dataclass\nclass thing:\n    """A value.\n\n    Args:\n'
        '        pause: Seconds, two lines\n            long.\n    """\n'
        "    pause: float = 1.0\n    seconds: float = 1.0\n"
    ),
    "a field with a string under it": (
        '@dataclass\nclass thing:\n    """A value."""\n    pause: float\n'
        '    """How long, in seconds."""\n'
    ),
}


@pytest.mark.parametrize("code", GOOD.values(), ids=list(GOOD))
def test_what_is_well_said_is_left_in_peace(tmp_path, code):
    assert check(tmp_path, code) == []
