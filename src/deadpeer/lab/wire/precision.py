"""How well a wire keeps time: what it was asked for, against what it did."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

__all__ = ["Precision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """
    How late packets were put on their way, and how many there were.

    A packet's delay counts from the instant at which the kernel had it, so what
    the wire's own process sleeps is in here.

    Args:
        p50: Seconds, at least this much for half of them.
        p99: Seconds, at least this much for one in a hundred.
        worst: Seconds.
        measured: Of how many packets this is said, the last ones.
        forwarded: Packets that went on.
        lost: Packets that the weather took.
        overflowed: Packets for which a queue had no room.
        forgotten: Packets of connections that the box did not know.
        refused: Packets that the next interface did not take.
    """

    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    measured: int = 0
    forwarded: int = 0
    lost: int = 0
    overflowed: int = 0
    forgotten: int = 0
    refused: int = 0

    @classmethod
    def of(cls, lateness: Iterable[float], **counts: int) -> Self:
        """
        Return the precision of measured packets.

        Args:
            lateness: Seconds, for each.
            counts: The other fields.
        """
        late = sorted(lateness)
        if not late:
            return cls(**counts)
        return cls(
            p50=late[len(late) // 2],
            p99=late[len(late) * 99 // 100],
            worst=late[-1],
            measured=len(late),
            **counts,
        )

    @classmethod
    def together(cls, several: Iterable["Precision"]) -> Self | None:
        """
        Return what can be said of several wires: counts of all, the worst times.

        Args:
            several: Theirs; without any, there is nothing to say.
        """
        found = tuple(several)
        if not found:
            return None
        merge = dict.fromkeys(("p50", "p99", "worst"), max)
        return cls(
            **{
                field.name: merge.get(field.name, sum)(
                    [getattr(one, field.name) for one in found]
                )
                for field in fields(cls)
            }
        )

    @property
    def dropped(self) -> int:
        """How many packets went no further, for whatever reason."""
        return self.lost + self.overflowed + self.forgotten + self.refused

    def __str__(self) -> str:
        return (
            f"{self.forwarded} packets forwarded, {self.dropped} dropped; late by"
            f" {self.p50 * 1e3:.2f} ms (median), {self.p99 * 1e3:.2f} ms (99 %),"
            f" {self.worst * 1e3:.2f} ms (worst)"
        )
