"""Attaching and detaching in words: what is going to be done, and what is there."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from deadpeer.cli.attachment_data import promise
from deadpeer.cli.durations import in_words
from deadpeer.cli.harmless import harmless
from deadpeer.host.attach_plans import Attach, Detach
from deadpeer.host.attachments import Attachment
from deadpeer.kernel.inspection import describe

__all__ = ["attachment_lines", "detach_lines", "plan_lines"]

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
MEND = "complete it with attach, or take it off with detach"
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
    yield Text(f"{harmless(plan.cgroup.name)}: {many} now", style="bold")
    yield Text("Every TCP connection that they make or accept from now on gets")
    yield Text(f"  {describe(plan.terms.effective)}")
    yield Text(
        f"A dead peer is then reported within {in_words(made.within)}, at round trips"
        f" up to {made.rtt * 1000:g} ms."
    )
    yield Text(PINNED if plan.pin else FREE)
    if plan.before is not None and not plan.is_done:
        yield Text(f"This takes the place of {promise(plan.before)}.")
    for one in plan.relatives:
        yield Text(f"Also attached to {harmless(one.cgroup)}: {promise(one)}. {OUTER}")
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
            f"{harmless(plan.name)}: nothing of deadpeer's is attached.", style="bold"
        )
        return
    yield Text(harmless(plan.name), style="bold")
    if plan.before is not None:
        yield Text(f"  taken off: {promise(plan.before)}")
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
        yield Text(harmless(one.cgroup), style="bold")
        yield Text(f"  {promise(one)}")
        if not one.is_whole:
            yield Text(f"  {MEND}", style="red")
        yield Text(f"  so far {counts.made} made, {counts.accepted} accepted")
        if counts.swallowed:
            yield Text(f"  programs' own settings swallowed: {counts.swallowed}")
        if counts.refused:
            yield Text.assemble(
                ("  settings that the kernel refused: ", "red"), f"{counts.refused}"
            )
