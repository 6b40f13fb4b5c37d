"""
Fixing and ending one connection from the screen: what would be done, then doing it.

It is what ``deadpeer fix`` and ``deadpeer kill`` do, for a single connection that was
chosen by its cookie, so never for another one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from deadpeer.cli.durations import in_words
from deadpeer.cli.outcomes import change_words
from deadpeer.host import fixing, killing
from deadpeer.host.outcomes import Outcome
from deadpeer.host.records import new_record_path, write_record
from deadpeer.host.targets import Target

__all__ = ["Deed", "plan_fix", "plan_kill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """
    Something that would be done to a connection.

    Args:
        question: What would be done, in words; or why nothing can be.
        act: Does it and returns what came of it, in words; None if nothing can be
            done. It may raise a ``DeadPeerError``.
    """

    question: str
    act: Callable[[], str] | None = None


def plan_fix(target: Target, within: float, changed: Callable[[], None]) -> Deed:
    """
    Plan to protect a connection.

    Args:
        target: Which.
        within: How soon its program is to learn of a death, in seconds.
        changed: Is called when it was changed.
    """
    goal = fixing.Goal(within=within)
    plan = fixing.plan_fixes([target], goal)
    (fix,) = plan
    if fix.outcome is not Outcome.PLANNED or not fix.before or not fix.after:
        return Deed(question=f"{target}: {fix.outcome}: {fix.why}")

    def act() -> str:
        path = new_record_path()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_record(fixing.record_of(plan, goal, made_at=now), path)
        (done,) = fixing.carry_out(plan)
        changed()
        said = f"{target}: {done.outcome}" + (f": {done.why}" if done.why else "")
        return f"{said}; to put it back: deadpeer undo --yes {path}"

    return Deed(
        question=f"Protect {target}, so that a death is noticed within"
        f" {in_words(within)}?\n{change_words(fix.before, fix.after)}",
        act=act,
    )


def plan_kill(target: Target, ended: Callable[[], None]) -> Deed:
    """
    Plan to end a connection.

    Args:
        target: Which.
        ended: Is called when it was ended.
    """
    plan = killing.plan_kills([target])
    if not plan or plan[0].outcome is not Outcome.PLANNED:
        return Deed(question=f"{target}: {plan[0].why if plan else 'it is listening'}")

    def act() -> str:
        (done,) = killing.carry_out(plan)
        if done.outcome is Outcome.DONE:
            ended()
        return f"{target}: {done.outcome}" + (f": {done.why}" if done.why else "")

    return Deed(
        question=f"End {target}?\nIts program gets ECONNABORTED. It cannot be undone.",
        act=act,
    )
