"""An attachment as an object of JSON and in one line, with little to import."""

from dataclasses import asdict
from typing import Any

from deadpeer.cli.durations import in_words
from deadpeer.host.attachments import Attachment
from deadpeer.host.keeping import Keeping
from deadpeer.kernel.inspection import describe

__all__ = ["attachment_data", "keeping_data", "promise"]

HALF = "only in part: a change was broken off, or is under way"


def promise(found: Attachment) -> str:
    """
    Return what is promised, and whether that is all there, in one line.

    Args:
        found: What is attached.
    """
    terms = found.terms
    within = f"within {in_words(terms.within)}, " if terms.within else ""
    pinned = ", pinned" if terms.pin else ""
    half = "" if found.is_whole else f" ({HALF})"
    return f"{within}{describe(terms.effective)}{pinned}{half}"


def attachment_data(found: Attachment | None) -> dict[str, Any] | None:
    """
    Return an attachment as an object of JSON.

    Args:
        found: It, if there is one.
    """
    if found is None:
        return None
    terms, counts = found.terms, found.terms.counts
    return {
        "cgroup": found.cgroup,
        "within": terms.within,
        "settings": asdict(terms.effective),
        "pin": terms.pin,
        "programs": found.programs,
        "whole": found.is_whole,
        "made": counts.made,
        "accepted": counts.accepted,
        "refused": counts.refused,
        "swallowed": counts.swallowed,
    }


def keeping_data(keeping: Keeping | None) -> dict[str, Any] | None:
    """
    Return where an attachment is kept, as an object of JSON.

    Args:
        keeping: The places, if there are any.
    """
    if keeping is None:
        return None
    return {
        "unit": keeping.unit,
        "drop_in": str(keeping.drop_in),
        "pins": str(keeping.pins),
    }
