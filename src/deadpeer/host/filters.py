"""
The filters that people know from ``ss``, as a test of rows: pure.

``state established and dport = :5432``, ``not dst 10.0.0.0/8``, ``( sport = :ssh or
sport = :http )``: the words of a command line become a ``Filter``. What ``ss`` takes
means the same here; beyond it, ``state`` may stand wherever a condition may, and
words need no blanks around brackets and comparisons. A filter that is not
understood is an error that shows the place.

Source: Linux ss(8), STATE-FILTER, EXPRESSION and HOST SYNTAX.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import NamedTuple, TypeVar

from deadpeer.errors import ConfigError
from deadpeer.host.addresses import Services, has_port, is_at, parse_host, parse_port
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.tcp_info import TcpState

__all__ = ["CONNECTIONS", "EVERYTHING", "STATES", "Filter", "parse_filter"]


def _bits(*states: TcpState) -> int:
    return sum(1 << state for state in states)


# A socket that is bound and no more is asked for under one number, and comes
# under the other.
CLOSED = _bits(TcpState.CLOSE, TcpState.BOUND_INACTIVE)
SYN_RECV = _bits(TcpState.SYN_RECV, TcpState.NEW_SYN_RECV)
ALL = sum(1 << state for state in TcpState)
LISTENING = _bits(TcpState.LISTEN)
BUCKET = SYN_RECV | _bits(TcpState.TIME_WAIT)

CONNECTIONS = ALL & ~(CLOSED | LISTENING | BUCKET)
"""The states that are meant where a filter names none, as in ``ss``."""

STATES: Mapping[str, int] = {
    "established": _bits(TcpState.ESTABLISHED),
    "syn-sent": _bits(TcpState.SYN_SENT),
    "syn-recv": SYN_RECV,
    "syn-rcv": SYN_RECV,
    "fin-wait-1": _bits(TcpState.FIN_WAIT1),
    "fin-wait-2": _bits(TcpState.FIN_WAIT2),
    "time-wait": _bits(TcpState.TIME_WAIT),
    "close": CLOSED,
    "closed": CLOSED,
    "unconnected": CLOSED,
    "close-wait": _bits(TcpState.CLOSE_WAIT),
    "last-ack": _bits(TcpState.LAST_ACK),
    "listen": LISTENING,
    "listening": LISTENING,
    "closing": _bits(TcpState.CLOSING),
    "bound-inactive": CLOSED,
    "all": ALL,
    "connected": ALL & ~(CLOSED | LISTENING),
    "synchronized": ALL & ~(CLOSED | LISTENING | _bits(TcpState.SYN_SENT)),
    "bucket": BUCKET,
    "big": ALL & ~BUCKET,
}
"""The names of states and of groups of states: one bit for each ``TcpState``."""

OR = ("or", "|", "||")
AND = ("and", "&", "&&")
NOT = ("not", "!")
COMPARISONS = {
    "=": "=", "==": "=", "eq": "=",
    "!=": "!=", "ne": "!=", "neq": "!=",
    "<": "<", "lt": "<",
    "<=": "<=", "le": "<=", "leq": "<=",
    ">": ">", "gt": ">",
    ">=": ">=", "ge": ">=", "geq": ">=",
}  # fmt: skip
ABSENT = {
    "dev": "the interface is not among the conditions; filter by address",
    "cgroup": "use --process, --user or --pid",
    "autobound": "the kernel does not tell; filter by port, as in: sport ge :32768",
}
CONDITIONS = "state, exclude, dst, src, dport, sport or fwmark"

TOKEN = re.compile(r"\s*(&&|\|\||!=|==|<=|>=|[()!=<>&|]|[^\s()!=<>&|]+)")
DEEPEST = 100  # brackets within brackets

Test = Callable[[DiagRow], bool]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """
    A test of rows.

    Args:
        text: How it was written; empty for the one that lets every connection pass.
        states: The states that can pass, one bit for each number of ``TcpState``:
            what has to be asked of the kernel.
        test: Whether a row of one of these states passes; None if each does.
    """

    text: str
    states: int
    test: Test | None = field(default=None, repr=False, compare=False)

    def matches(self, row: DiagRow) -> bool:
        """
        Return whether a row passes.

        Args:
            row: A socket, as a dump tells of it (``Seen.row``).
        """
        if not self.states >> row.state & 1:
            return False
        return self.test is None or self.test(row)


class _Part(NamedTuple):
    """
    A part of a filter.

    Attributes:
        test: Whether a row passes.
        may: The states of which a row may pass.
        must: Those of which every row passes.
        names_states: Whether it says anything of states.
    """

    test: Test
    may: int = ALL
    must: int = 0
    names_states: bool = False


class _Token(NamedTuple):
    text: str
    at: int


EVERYTHING = Filter(text="", states=CONNECTIONS)
"""What an empty filter is: every connection."""


def parse_filter(
    words: Iterable[str], *, services: Services = lambda _: None
) -> Filter:
    """
    Return the filter that words of a command line make.

    Args:
        words: One word each, or several in one.
        services: The port of a service by its name, or None.

    Raises:
        ConfigError: The words make no filter; the message shows the place.

    >>> parse_filter(["state", "listening"]).states == STATES["listening"]
    True
    >>> parse_filter("dport = :5432 and ( dst 10.0.0.0/8".split())
    Traceback (most recent call last):
    deadpeer.errors.ConfigError: the filter ends where `)` is expected: dport = :5432 and ( dst 10.0.0.0/8 >><<; close the bracket
    """
    text = " ".join(words)
    if not text.strip():
        return EVERYTHING
    part = _Parser(text, services).whole()
    states = part.may if part.names_states else CONNECTIONS
    return Filter(text=text.strip(), states=states, test=part.test)


class _Parser:
    """One pass over one text: a method for each rule of the grammar."""

    def __init__(self, text: str, services: Services) -> None:
        self._text = text
        self._services = services
        self._tokens = [_Token(m[1], m.start(1)) for m in TOKEN.finditer(text)]
        self._at = 0
        self._depth = 0

    def whole(self) -> _Part:
        part = self._either()
        if self._at < len(self._tokens):
            raise self._wrong("here nothing more is expected", "open a bracket first")
        return part

    def _either(self) -> _Part:
        parts = [self._both()]
        while self._taken(OR):
            parts.append(self._both())
        return _joined(parts, any, or_)

    def _both(self) -> _Part:
        parts = [self._one()]
        while True:
            # Between two conditions "and" may be left out.
            if not self._taken(AND) and self._peek() in (None, ")", *OR):
                return _joined(parts, all, and_)
            parts.append(self._one())

    def _one(self) -> _Part:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong("too many brackets within brackets", "write it shorter")
        try:
            if self._taken(NOT):
                return _not(self._one())
            if self._taken(("(",)):
                part = self._either()
                if not self._taken((")",)):
                    raise self._wrong("`)` is expected", "close the bracket")
                return part
            return self._condition()
        finally:
            self._depth -= 1

    def _condition(self) -> _Part:
        match self._peek():
            case "state" | "exclude" | "excl":
                return self._states()
            case "dst" | "src" as side:
                return self._address(side)
            case "dport" | "sport" as side:
                return self._port(side)
            case "fwmark":
                return self._mark()
            case str(word) if word in ABSENT:
                raise self._wrong(f"`{word}` is not known here", ABSENT[word])
            case str(word) if word.lower() in STATES:
                raise self._wrong("a condition is expected", f"write: state {word}")
        raise self._wrong("a condition is expected", f"one starts with {CONDITIONS}")

    def _states(self) -> _Part:
        """``state A state B`` is A or B; ``exclude C`` takes C away again."""
        mask: int | None = None
        while True:
            if self._taken(("state",)):
                mask = (mask or 0) | self._state()
            elif self._taken(("exclude", "excl")):
                mask = (ALL if mask is None else mask) & ~self._state()
            else:
                break
        chosen = mask or 0
        return _Part(
            lambda row: bool(chosen >> row.state & 1), chosen, chosen, names_states=True
        )

    def _state(self) -> int:
        name = (self._peek() or "").lower()
        if name not in STATES:
            raise self._wrong("the name of a state is expected", ", ".join(STATES))
        self._at += 1
        return STATES[name]

    def _address(self, side: str) -> _Part:
        self._at += 1
        comparison = self._comparison(("=", "!="))
        word = self._value("an address", "as in: dst 10.0.0.0/8, dst [2001:db8::1]:443")
        place = self._understood(lambda: parse_host(word, self._services))
        test = is_at(place, local=side == "src")
        return _Part(test) if comparison == "=" else _not(_Part(test))

    def _port(self, side: str) -> _Part:
        self._at += 1
        comparison = self._comparison(tuple(COMPARISONS.values()))
        word = self._value("a port", f"as in: {side} = :5432, {side} ge :1024")
        number = self._understood(lambda: parse_port(word, self._services))
        return _Part(has_port(comparison, number, local=side == "sport"))

    def _mark(self) -> _Part:
        self._at += 1
        comparison = self._comparison(("=", "!="))
        word = self._value("a mark", "as in: fwmark = 0x01/0x03")
        value, slash, mask_word = word.partition("/")
        try:
            mark = int(value, 0)
            mask = int(mask_word, 0) if slash else 0xFFFFFFFF
        except ValueError as error:
            self._at -= 1
            example = "as in: fwmark = 0x01/0x03"
            raise self._wrong(f"`{word}` is no mark", example) from error
        part = _Part(lambda row: row.mark & mask == mark)
        return part if comparison == "=" else _not(part)

    def _comparison(self, allowed: tuple[str, ...]) -> str:
        word = self._peek()
        meant = COMPARISONS.get(word or "")
        if meant is None:
            return "="
        if meant not in allowed:
            raise self._wrong(f"`{word}` compares ports only", "use = or !=")
        self._at += 1
        return meant

    def _value(self, what: str, example: str) -> str:
        word = self._peek()
        if word is None or word in ("(", ")", *COMPARISONS, *OR, *AND, *NOT):
            raise self._wrong(f"{what} is expected", example)
        self._at += 1
        return word

    def _understood(self, read: Callable[[], T]) -> T:
        """Return what the word before was read as, or point at it."""
        try:
            return read()
        except ConfigError as error:
            self._at -= 1
            raise self._wrong(error.message, error.hint) from error

    def _peek(self) -> str | None:
        tokens = self._tokens
        return tokens[self._at].text if self._at < len(tokens) else None

    def _taken(self, words: tuple[str, ...]) -> bool:
        if self._peek() not in words:
            return False
        self._at += 1
        return True

    def _wrong(self, what: str, hint: str) -> ConfigError:
        text = self._text
        if self._at < len(self._tokens):
            word, at = self._tokens[self._at]
            place = f"{text[:at]}>>{word}<<{text[at + len(word) :]}"
            message = f"the filter is wrong at `{word}`: {what}: {place.strip()}"
        else:
            message = f"the filter ends where {what}: {text.strip()} >><<"
        return ConfigError(message, hint=hint, field="filter", value=text)


def _joined(
    parts: list[_Part],
    holds: Callable[[Iterable[bool]], bool],
    mixed: Callable[[int, int], int],
) -> _Part:
    """Return one part of several: ``all`` and ``and_``, or ``any`` and ``or_``."""
    if len(parts) == 1:
        return parts[0]
    # One after the other, not each within the next: there may be thousands.
    tests = tuple(part.test for part in parts)
    return _Part(
        lambda row: holds(test(row) for test in tests),
        reduce(mixed, (part.may for part in parts)),
        reduce(mixed, (part.must for part in parts)),
        any(part.names_states for part in parts),
    )


def _not(part: _Part) -> _Part:
    test = part.test
    return _Part(
        lambda row: not test(row), ALL & ~part.must, ALL & ~part.may, part.names_states
    )
