"""What a run showed, in a few plain sentences."""

from collections.abc import Iterator

from deadpeer.lab.heartbeats.forecast import SLACK
from deadpeer.lab.rendering.report import glance, headline, sections
from deadpeer.lab.rendering.row import Row
from deadpeer.lab.rendering.words import DONE, about, exactly, only_when, used
from deadpeer.lab.scenario import Measurement, Run
from deadpeer.lab.terms import Fault

__all__ = ["summary"]


def summary(run: Run) -> tuple[str, ...]:
    """
    Return what a run showed, in a few plain sentences.

    Args:
        run: What was measured.
    """
    return (
        *_about_faults(run),
        *_about_protected(run),
        *_about_others(run),
        *_about_heartbeats(run),
        *_about_stopped(run),
        *_about_live(run),
        f"{headline(run)}.",
    )


def _about_faults(run: Run) -> Iterator[str]:
    made = {m.cell.fault for m in run.measurements if not m.cell.peer_lives}
    if not made:
        return
    first, *others = (DONE[fault] for fault in Fault if fault in made)
    done = first.capitalize()
    if len(others) == 1:
        done = f"{done} (elsewhere: {others[0]})"
    elif others:
        done = f"{done} (elsewhere: one of {len(others)} other faults)"
    yield f"{done} at 0 s."


def _about_protected(run: Run) -> Iterator[str]:
    """Yield a sentence on those that were promised something."""
    protected = [m for m in run.measurements if _is_promised(m)]
    if not protected:
        return
    setting = protected[0].cell.setting
    promise = setting.promise or 0.0
    reports = sorted(m.at for m in protected if m.at is not None)
    in_time = sum(at <= promise for at in reports)
    who = f"Connections {used(setting)}"
    sentence = f"{who}: {in_time} of {len(protected)} reported within {about(promise)}"
    if reports:
        sentence += f", the latest after {exactly(reports[-1])}"
    silent = len(protected) - len(reports)
    if silent:
        sentence += f", {silent} not at all"
    yield f"{sentence}."


def _is_promised(m: Measurement) -> bool:
    # A kernel that answers for a stopped process was never promised to be seen.
    told = m.cell.fault.says_goodbye or m.cell.fault is Fault.PROCESS_STOPPED
    dies = not (m.cell.peer_lives or told)
    return dies and m.cell.setting.promise is not None


def _about_others(run: Run) -> Iterator[str]:
    """Yield a sentence on those that noticed too little."""
    compared = glance(run)
    if compared is None:
        return
    parts: list[str] = []
    for setting in compared.settings:
        rows = [r for (_, name), r in compared.rows.items() if name == setting.name]
        missed = [row for row in rows if not row.is_noticed]
        if missed and setting.promise is None:
            states = "" if parts else " states"
            share = f"{len(missed)} of {len(rows)}{states}"
            parts.append(f"{share} {used(setting)}{_when(missed)}")
    if parts:
        for_long = max(row.observed_for for row in compared.rows.values())
        yield f"Unnoticed for {about(for_long)}: {', '.join(parts)}."


def _when(missed: list[Row]) -> str:
    when = only_when(row.cell.situation for row in missed)
    return f" ({when})" if when else ""


def _about_heartbeats(run: Run) -> Iterator[str]:
    """Yield a sentence on those whose application asks."""
    asked = [m for m in run.measurements if _is_asked(m)]
    if not asked:
        return
    in_time = sum(m.at is not None and m.at <= m.cell.latest for m in asked)
    yield (
        f"Connections with heartbeats: {in_time} of {len(asked)} deaths known within"
        f" interval and timeout after the last byte heard, and {SLACK * 1e3:.0f} ms;"
        " a watcher that stood still counts from its waking."
    )
    within = run.scenario.within
    beyond = {
        fault: max(m.cell.latest for m in asked if m.cell.fault is fault)
        for fault in Fault
        if any(m.cell.fault is fault for m in asked)
    }
    parts = [
        f"{DONE[fault]} (up to {exactly(latest)})"
        for fault, latest in beyond.items()
        if latest > within + SLACK
    ]
    if parts:
        yield (
            f"Beyond the promised {about(within)}, as predicted: {', '.join(parts)};"
            " the link or the watcher allows no less."
        )


def _is_asked(m: Measurement) -> bool:
    dies = not (m.cell.peer_lives or m.cell.fault.says_goodbye)
    return dies and m.cell.setting.heartbeat is not None


def _about_stopped(run: Run) -> Iterator[str]:
    """Yield a sentence on what only an answer of the peer's program tells."""
    stopped = [
        m
        for m in run.measurements
        if m.cell.fault is Fault.PROCESS_STOPPED and not m.cell.peer_lives
    ]
    kernel = [m for m in stopped if m.cell.setting.heartbeat is None]
    found = [m.at for m in stopped if _is_asked(m) and m.at is not None]
    if not (kernel and found):
        return
    noticed = sum(m.at is not None for m in kernel)
    yield (
        f"Peer's process stopped: noticed by {noticed} of {len(kernel)} connections"
        f" that rely on the kernel, and with heartbeats after {exactly(max(found))} at"
        " the latest."
    )


def _about_live(run: Run) -> Iterator[str]:
    live = [row for s in sections(run) for row in s.rows if row.is_live]
    count = sum(len(row.measurements) for row in live)
    if not count:
        return
    alone = count - sum(len(row.reports) for row in live)
    yield f"Live peers: {alone} of {count} left alone."
