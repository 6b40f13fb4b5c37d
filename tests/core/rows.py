"""What a row holds, by name: in the interpreter, compiled, and while it is mutated."""

from inspect import isdatadescriptor

from deadpeer.core.judge import Row

# Read through a property, and no number of its own.
DERIVED = {"covered"}

# What can be set. The functions that a mutated class has beside cannot.
NAMES = [
    name
    for name in dir(Row)
    if isdatadescriptor(getattr(Row, name))
    and not name.startswith("_")
    and name not in DERIVED
]


def numbers_of(row):
    """Return all that is remembered of a peer."""
    return {name: getattr(row, name) for name in NAMES}
