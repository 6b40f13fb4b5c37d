"""An attachment in words, and as the objects of ``--json``."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from deadpeer.cli.durations import in_words
from deadpeer.host.attach_plans import Attach, Detach
from deadpeer.host.attachments import Attachment
from deadpeer.host.keeping import Keeping
from deadpeer.kernel.bpf_terms import Terms
from deadpeer.kernel.inspection import describe

__all__ = [
    "attachment_data",
    "attachment_lines",
    "detach_lines",
    "keeping_data",
    "plan_lines",
    "promise",
    "shown",
]

FUTURE = (
    "Connections that exist now are not covered, and stay as they are: for those,"
    " deadpeer fix."
)
PINNED = (
    "What programs set themselves of these is swallowed; they are told that it worked."
)
FREE = (
    "A program that sets these options after connecting has its own values; --pin"
    " swallows them."
)
OUTER = "Where both cover a connection, the outer one's values count."
RELOAD = "systemd reads it after: systemctl daemon-reload"
AFTER_BOOT = "A boot empties the BPF file system: attach again after it."


def plan_lines(plan: Attach) -> Iterator[Text]:
    """
    Yield what attaching does, line by line.

    Args:
        plan: From ``plan_attach``.
    """
    made = plan.plan
    many = f"{plan.processes} process{'' if plan.processes == 1 else 'es'}"
    yield Text(f"{shown(plan.cgroup.name)}: {many} now", style="bold")
    yield Text("Every TCP connection that they make or accept from now on gets")
    yield Text(f"  {describe(plan.terms.effective)}")
    yield Text(
        f"A dead peer is then reported within {in_words(made.within)}, at round trips"
        f" up to {made.rtt * 1000:g} ms."
    )
    yield Text(PINNED if plan.pin else FREE)
    if plan.before is not None and not plan.is_done:
        yield Text(f"This takes the place of {promise(plan.before.terms)}.")
    for one in plan.relatives:
        yield Text(
            f"Also attached to {shown(one.cgroup)}: {promise(one.terms)}. {OUTER}"
        )
    if plan.others:
        yield Text(f"BPF programs of others that are there, and stay: {plan.others}.")
    yield from map(Text, _kept_lines(plan))
    yield Text(FUTURE)
    for warning in made.assessment.warnings:
        yield Text.assemble(("warning: ", "yellow"), warning)


def _kept_lines(plan: Attach) -> Iterator[str]:
    yield "It stays when this command ends, for as long as the cgroup does."
    if plan.keeping is None:
        yield f"It is not kept for the next start: {plan.unkept}."
        return
    yield f"It is kept for each start of {plan.keeping.unit}, by {plan.keeping.drop_in}"
    yield f"  and programs in {plan.keeping.pins}. {RELOAD}. {AFTER_BOOT}"


def detach_lines(plan: Detach) -> Iterator[Text]:
    """
    Yield what detaching does, line by line.

    Args:
        plan: From ``plan_detach``.
    """
    if plan.is_done:
        yield Text(
            f"{shown(plan.name)}: nothing of deadpeer's is attached.", style="bold"
        )
        return
    yield Text(shown(plan.name), style="bold")
    if plan.before is not None:
        yield Text(f"  taken off: {promise(plan.before.terms)}")
    if plan.keeping is not None:
        yield Text(f"  removed: {plan.keeping.drop_in}, {plan.keeping.pins}")
        yield Text(f"  {RELOAD}")
    yield Text("Connections that exist now keep the values that they have.")


def attachment_lines(found: Sequence[Attachment]) -> Iterator[Text]:
    """
    Yield what is attached, line by line.

    Args:
        found: From ``attached``.
    """
    if not found:
        yield Text("Nothing of deadpeer's is attached to a control group.")
    for one in found:
        counts = one.terms.counts
        yield Text(shown(one.cgroup), style="bold")
        yield Text(f"  {promise(one.terms)}")
        yield Text(f"  so far {counts.made} made, {counts.accepted} accepted")
        if counts.swallowed:
            yield Text(f"  programs' own settings swallowed: {counts.swallowed}")
        if counts.refused:
            yield Text.assemble(
                ("  settings that the kernel refused: ", "red"), f"{counts.refused}"
            )


def shown(name: str) -> str:
    r"""
    Return a name without anything that a terminal would obey.

    Args:
        name: Of a cgroup: whoever makes one may give it any.

    >>> shown("/a\x1b[2J")
    '/a\\x1b[2J'
    """
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)


def promise(terms: Terms) -> str:
    """
    Return what is promised, in one line.

    Args:
        terms: Of an attachment.
    """
    within = f"within {in_words(terms.within)}, " if terms.within else ""
    pinned = ", pinned" if terms.pin else ""
    return f"{within}{describe(terms.effective)}{pinned}"


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
        "settings": terms.effective,
        "pin": terms.pin,
        "programs": found.programs,
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
