"""Looks at made-up connections, for the tests of a watch."""

from tests.kernel.diag_samples import row

from deadpeer.host.changes import About, Who
from deadpeer.host.judgement import Judgement, Verdict
from deadpeer.kernel.diag_rows import COOKIE_AT, DiagRow
from deadpeer.kernel.tcp_table import Timer

__all__ = ["PROTECTED", "UNKNOWN", "UNPROTECTED", "about", "look", "quiet", "unheard"]

PROTECTED = Judgement(Verdict.PROTECTED, 8.0, 9.0, protected=True)
UNPROTECTED = Judgement(Verdict.UNPROTECTED, float("inf"), 1000.0, protected=False)
UNKNOWN = Judgement(Verdict.UNKNOWN, None, None, "its settings were not seen")


def quiet(cookie: int, **fields) -> DiagRow:
    """A connection on which all is well."""
    return row(cookie=cookie, **{"inode": cookie, "info": bytes(232), **fields})


def unheard(cookie: int, probes: int = 2, **fields) -> DiagRow:
    """A connection on which so many probes were not answered."""
    info = bytes([1, 0, 0, probes]) + bytes(228)
    return quiet(
        cookie, timer=Timer.KEEPALIVE, retransmits=probes, **{"info": info, **fields}
    )


def look(*rows: DiagRow) -> dict[bytes, DiagRow]:
    return {one.id[COOKIE_AT:]: one for one in rows}


def about(judgement: Judgement = PROTECTED, process: str = "game") -> About:
    return About(Who(7, process, "ann", ""), 5, judgement)
