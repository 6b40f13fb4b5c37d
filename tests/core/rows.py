"""What a row holds, by name, in the interpreter and compiled."""

from deadpeer.core.judge import Row

# Read through a property, and no number of its own.
DERIVED = {"covered"}

NAMES = [name for name in dir(Row) if not name.startswith("_") and name not in DERIVED]


def numbers_of(row):
    """Return all that is remembered of a peer."""
    return {name: getattr(row, name) for name in NAMES}
