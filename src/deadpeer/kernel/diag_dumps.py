"""
What a dump of sockets is: its rows, and the bytes that said so.

Source: Linux sock_diag(7), netlink(7).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from deadpeer.kernel.diag_messages import DumpReader
from deadpeer.kernel.diag_rows import DiagRow

__all__ = ["Dump", "RawDump", "add_rows", "decode_dump"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawDump:
    """
    The datagrams that answered one request, as they came.

    Args:
        family: What was asked for, ``INET`` or ``INET6``.
        protocol: ``TCP`` or ``MPTCP``.
        sequence: The number of the request.
        datagrams: All of them, in order.
    """

    family: int
    protocol: int
    sequence: int
    datagrams: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """
    The sockets of a network namespace at one moment.

    Args:
        rows: One for each socket; a connection of Multipath TCP and its
            subflows are rows of their own.
        raw: The datagrams that say so, for a recording.
        repeats: How often a part had to be asked for again.
        is_whole: Whether the kernel vouches for the last answer. If not, a
            socket may be missing that was there all the time.
        missing: What this kernel cannot list, such as ``mptcp``.
    """

    rows: tuple[DiagRow, ...]
    raw: tuple[RawDump, ...] = ()
    repeats: int = 0
    is_whole: bool = True
    missing: tuple[str, ...] = ()


def decode_dump(
    raw: Iterable[RawDump],
    *,
    repeats: int = 0,
    is_whole: bool = True,
    missing: tuple[str, ...] = (),
) -> Dump:
    """
    Return the dump that recorded datagrams make.

    Args:
        raw: As they once came.
        repeats: As the dump once said.
        is_whole: As the dump once said.
        missing: As the dump once said.

    Raises:
        UnsupportedError: They are not of the form that is known.
    """
    raw = tuple(raw)
    rows: dict[bytes, DiagRow] = {}
    for answer in raw:
        reader = DumpReader(sequence=answer.sequence, protocol=answer.protocol)
        for datagram in answer.datagrams:
            reader.feed(datagram)
        add_rows(rows, reader.rows)
    return Dump(
        rows=tuple(rows.values()),
        raw=raw,
        repeats=repeats,
        is_whole=is_whole,
        missing=missing,
    )


def add_rows(rows: dict[bytes, DiagRow], more: list[DiagRow]) -> None:
    """
    Add sockets, each once, by cookie.

    One that moved while the tables were walked comes twice; the later is newer.

    Args:
        rows: What is added to.
        more: What is added.
    """
    rows.update((row[4][40:], row) for row in more)
