"""
The tree of errors is the one drawn at the head of errors.py.

The drawing is read, so that it cannot drift from the classes.
"""

import builtins
import copy
import errno
import inspect
import itertools
import pickle
import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    name: str
    parent: str
    builtin: str
    exit_code: int


def read_drawing(text: str) -> dict[str, Drawn]:
    """Read the lines of the drawing: depth, name, (builtin), exit code."""
    drawn: dict[str, Drawn] = {}
    above: dict[int, str] = {}
    for line in text.splitlines():
        found = re.match(r"(\W*)([A-Z]\w+)(?: *\((\w+)\))?", line)
        code = re.search(r" exit (\d+)", line)
        if not found or not (drawn or code):
            continue  # prose, before the root
        if not found[1].strip() and drawn:
            break  # the prose below the drawing starts at the margin
        depth, name = (len(found[1]) - 4) // 4, found[2]
        parent = above.get(depth - 1, "")
        above[depth] = name
        drawn[name] = Drawn(
            name=name,
            parent=parent,
            builtin=found[3] or "",
            exit_code=int(code[1]) if code else drawn[parent].exit_code,
        )
    return drawn


assert errors.__doc__ is not None
DRAWING = read_drawing(errors.__doc__)
KINDS: list[type[errors.DeadPeerError]] = [
    getattr(errors, name) for name in errors.__all__
]
# Every fact that an error may carry, by its keyword.
FACTS: dict[str, st.SearchStrategy[object]] = {
    "breach": st.text(),
    "capability": st.text(),
    "errno": st.sampled_from([None, *errno.errorcode]),
    "evidence": st.none() | st.tuples(st.floats(0, 1e9)),
    "extra": st.text(),
    "field": st.text(),
    "operation": st.text(),
    "option": st.text(),
    "peer": st.text(),
    "pid": st.none() | st.integers(1),
    "platform": st.text(),
    "reason": st.text(),
    "silence": st.none() | st.floats(0, 1e9),
    "waiting": st.lists(st.text()).map(tuple),
    "value": st.none() | st.integers() | st.text(),
}


def facts_of(kind: type[errors.DeadPeerError]) -> set[str]:
    """Return the keywords that a kind of error takes, beside the hint."""
    return set(inspect.signature(kind).parameters) - {"message", "hint"}


@st.composite
def any_error(draw: st.DrawFn) -> errors.DeadPeerError:
    kind = draw(st.sampled_from(KINDS))
    facts = {name: draw(FACTS[name]) for name in sorted(facts_of(kind))}
    return kind(draw(st.text()), hint=draw(st.text()), **facts)


def test_every_error_is_drawn_and_exported():
    assert sorted(DRAWING) == sorted(errors.__all__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_has_the_bases_that_are_drawn(kind):
    drawn = DRAWING[kind.__name__]
    parents = [base.__name__ for base in kind.__mro__ if base in KINDS and base != kind]

    assert parents[:1] == ([drawn.parent] if drawn.parent else [])
    if drawn.builtin:
        assert issubclass(kind, getattr(builtins, drawn.builtin))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_has_the_exit_code_that_is_drawn(kind):
    assert kind.exit_code == DRAWING[kind.__name__].exit_code


def test_a_family_has_an_exit_code_of_its_own():
    families = [d for d in DRAWING.values() if d.parent in ("", "DeadPeerError")]
    codes = [family.exit_code for family in families]

    assert len(set(codes)) == len(codes)
    assert 0 not in codes


def test_a_verdict_is_told_from_every_failure_of_ours():
    verdict, destroyed = errors.PeerDead, errors.ConnectionDestroyed

    assert not issubclass(destroyed, verdict)
    assert verdict.exit_code != destroyed.exit_code
    assert min(verdict.exit_code, destroyed.exit_code) >= 10


def test_no_error_hides_a_builtin_of_the_same_name():
    assert not set(errors.__all__) & set(dir(builtins))


@given(any_error())
def test_an_error_survives_pickling_with_all_its_facts(error):
    for remade in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(remade) is type(error)
        assert remade.args == error.args
        assert str(remade) == str(error)
        assert {n: getattr(remade, n) for n in facts_of(type(error))} == {
            n: getattr(error, n) for n in facts_of(type(error))
        }
        assert (remade.message, remade.hint) == (error.message, error.hint)


@given(any_error())
def test_an_error_says_what_was_wrong_and_then_what_to_do(error):
    assert str(error).startswith(error.message)
    assert str(error).endswith(error.hint)
    assert ("; " in str(error)) or not error.hint


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_can_be_raised_with_nothing_to_say(kind):
    assert str(kind()) == ""
    assert kind().hint == ""


def test_code_that_catches_a_builtin_goes_on_working():
    caught = {
        errors.ConfigError: ValueError,
        errors.AccessDenied: PermissionError,
        errors.KernelRefused: OSError,
        errors.MissingExtra: ImportError,
        errors.PeerTimedOut: TimeoutError,
        errors.PeerReset: ConnectionResetError,
        errors.PeerUnreachable: ConnectionError,
        errors.PeerSilent: ConnectionError,
        errors.ConnectionDestroyed: ConnectionAbortedError,
    }

    for kind, builtin in caught.items():
        with pytest.raises(builtin):
            raise kind


def test_a_drawing_that_lies_would_be_seen():
    lying = (errors.__doc__ or "").replace("exit 10 ", "exit 11 ", 1)
    pairs = itertools.combinations(read_drawing(lying).values(), 2)

    assert any(
        one.exit_code == other.exit_code
        for one, other in pairs
        if one.parent == other.parent
    )
