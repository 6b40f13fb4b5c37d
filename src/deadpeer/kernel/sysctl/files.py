"""
The text of sysctl configuration files: what each line says, and how one is written.

One grammar serves all readers. Where systemd, procps and busybox read the same
line differently, the line keeps what they need to differ about, and
``rules`` decides.
"""

import re
from dataclasses import dataclass

from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.table import SETTINGS

__all__ = [
    "HEADER",
    "Line",
    "Malformed",
    "Parsed",
    "canonical_key",
    "dotted_key",
    "file_text",
    "is_pattern",
    "matches",
    "parse",
    "values_of",
]

WHITE = " \t\r\n\v\f"
COMMENTS = "#;"
WILDCARDS = "*?["
# What a file of ours may set.
OUR_KEYS = frozenset(row.key for row in SETTINGS if row.settable)
SWAPPED = str.maketrans("./", "/.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    One line that says something.

    Args:
        number: Where it stands, from 1.
        key: The path under ``/proc/sys``, with slashes; may be a pattern.
        value: What to write there. None excludes *key* from patterns.
        tolerant: It starts with ``-``: a failure does not matter.
    """

    number: int
    key: str
    value: str | None
    tolerant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """
    A line that every reader skips with a complaint.

    Args:
        number: Where it stands, from 1.
        text: What stands there.
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """
    A file's text, understood.

    Args:
        lines: What it says, in order.
        malformed: What says nothing.
    """

    lines: tuple[Line, ...]
    malformed: tuple[Malformed, ...] = ()


def canonical_key(written: str) -> str:
    """
    Return the path under ``/proc/sys`` that a key means, with slashes.

    If the first separator is a slash, dots are parts of names. If it is a dot,
    dots and slashes are exchanged.

    Args:
        written: A key as it stands in a file.

    Source:
        sysctl.d(5); procps src/sysctl.c, slashdot().

    >>> canonical_key("net.ipv4.conf.eth0/100.forwarding")
    'net/ipv4/conf/eth0.100/forwarding'
    >>> canonical_key("net/ipv4/conf/eth0.100/forwarding")
    'net/ipv4/conf/eth0.100/forwarding'
    """
    first = re.search(r"[./]", written)
    path = written.translate(SWAPPED) if first and first[0] == "." else written
    return "/".join(part for part in path.split("/") if part)


def dotted_key(key: str) -> str:
    """
    Return a path under ``/proc/sys`` as people write it, with dots.

    >>> dotted_key("net/ipv4/conf/eth0.100/forwarding")
    'net.ipv4.conf.eth0/100.forwarding'
    """
    return key.translate(SWAPPED)


def is_pattern(key: str) -> bool:
    """
    Tell if a key is a pattern for many.

    >>> is_pattern("net/ipv4/tcp_keepalive_*")
    True
    """
    return any(character in key for character in WILDCARDS)


def matches(pattern: str, key: str, *, across: bool = False) -> bool:
    """
    Tell if a pattern means a key, both with slashes.

    Args:
        pattern: As glob(7) has it: ``*``, ``?``, ``[abc]``, ``[!abc]``.
        key: The path of one setting under ``/proc/sys``.
        across: A wildcard may stand for a slash too, as procps' exclusions have
            it (fnmatch with no flags).

    >>> matches("net/ipv4/tcp_*", "net/ipv4/tcp_retries2"), matches("net/*", "net/a/b")
    (True, False)
    """
    return _compiled(pattern, across=across).fullmatch(key) is not None


def _compiled(pattern: str, *, across: bool) -> re.Pattern[str]:
    anything = "." if across else "[^/]"
    regex, rest = "", pattern
    while rest:
        character, rest = rest[0], rest[1:]
        if character == "*":
            regex += f"{anything}*"
        elif character == "?":
            regex += anything
        elif character == "[" and (bracket := re.match(r"(!?+)(\]?+[^]]*)\]", rest)):
            regex += _set(bracket[2], negated=bool(bracket[1]))
            rest = rest[bracket.end() :]
        else:
            regex += re.escape(character)
    return re.compile(regex, re.DOTALL)


def _set(inside: str, *, negated: bool) -> str:
    """Return the regular expression of what stands between brackets."""
    members, rest = "", inside
    while rest:
        first, dash, last = rest[:1], rest[1:2], rest[2:3]
        if dash == "-" and last:
            # A range that runs backwards has no members.
            members += f"{re.escape(first)}-{re.escape(last)}" if first <= last else ""
            rest = rest[3:]
        else:
            members += re.escape(first)
            rest = rest[1:]
    if not members:
        return "[^/]" if negated else "(?!)"
    return f"[^{members}]" if negated else f"[{members}]"


def parse(text: str) -> Parsed:
    r"""
    Return what the text of a configuration file says.

    Args:
        text: The whole file.

    Raises:
        ConfigError: *text* is no text file: it has NUL characters.

    Source:
        systemd src/sysctl/sysctl.c, parse_file(); procps src/sysctl.c,
        parse_setting_line(); sysctl.d(5), sysctl.conf(5).

    >>> parse("# slower\nnet.ipv4.tcp_retries2 = 8\n").lines
    (Line(number=2, key='net/ipv4/tcp_retries2', value='8', tolerant=False),)
    """
    if "\0" in text:
        raise ConfigError(
            "that is no text: it has NUL characters",
            hint="look at the file with: file, hexdump -C",
            field="text",
        )
    lines: list[Line] = []
    malformed: list[Malformed] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        said = raw.strip(WHITE)
        if not said or said[0] in COMMENTS:
            continue
        line = _understood(number, said)
        if line is None:
            malformed.append(Malformed(number=number, text=said))
        else:
            lines.append(line)
    return Parsed(lines=tuple(lines), malformed=tuple(malformed))


def _understood(number: int, said: str) -> Line | None:
    written, equals, value = said.partition("=")
    dash = written.startswith("-")
    if not equals and not dash:
        return None
    key = canonical_key(written.removeprefix("-").strip(WHITE))
    if not key:
        return None
    if not equals:
        return Line(number=number, key=key, value=None)
    return Line(number=number, key=key, value=value.strip(WHITE), tolerant=dash)


HEADER = """\
# Made by deadpeer. The whole file is rewritten by: deadpeer system set --persist
# To undo: deadpeer system undo
# Lines of your own belong in another file, whose name sorts after this one.
"""


def file_text(values: dict[str, int]) -> str:
    """
    Return the text of our own configuration file.

    The same values always make the same text, so a file that somebody else has
    touched can be told from one that nobody has.

    Args:
        values: Numbers by the kernel's names, with dots.

    >>> print(file_text({"net.ipv4.tcp_retries2": 8}).splitlines()[-1])
    net.ipv4.tcp_retries2 = 8
    """
    return HEADER + "".join(f"{key} = {values[key]}\n" for key in sorted(values))


def values_of(text: str) -> dict[str, int] | None:
    """
    Return the values in a file of ours, or None if it is not ours alone.

    >>> values_of(file_text({"net.ipv4.tcp_retries2": 8}))
    {'net.ipv4.tcp_retries2': 8}
    >>> values_of("net.ipv4.tcp_retries2 = 8") is None
    True
    """
    if not text.startswith(HEADER):
        return None
    pairs = re.findall(r"^([a-z0-9_.]+) = (-?[0-9]+)$", text, re.MULTILINE)
    values = {key: int(value) for key, value in pairs}
    if not values.keys() <= OUR_KEYS:
        return None
    return values if file_text(values) == text else None
