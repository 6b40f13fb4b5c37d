"""
What attaching to a cgroup, or detaching from it, is going to do.

A plan changes nothing. It says what each new connection gets and is promised, what
is there already, and whether it outlives the restart of a service.
"""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from deadpeer.errors import ConfigError, DeadPeerError, KernelRefused
from deadpeer.host.attachments import Attachment, attachment_of, hooks_of, look
from deadpeer.host.keeping import Keeping, Places, keeping_for, why_not_kept
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.bpf_terms import Counts, Terms, encode
from deadpeer.kernel.cgroups import (
    UNITS,
    Cgroup,
    all_cgroups,
    find_cgroup,
    hierarchy,
    processes_in,
)
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.inspection import system_defaults
from deadpeer.kernel.namespaces import in_namespace_of
from deadpeer.platforms import Defaults, Platform
from deadpeer.policy import Plan, plan

__all__ = ["Attach", "Detach", "plan_attach", "plan_detach", "promise_the_same"]

HERE = Places()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """
    What is going to be attached.

    Args:
        cgroup: To which cgroup.
        processes: How many processes it has now, those below it included.
        plan: The settings, and what they promise.
        pin: Programs cannot set values of their own.
        before: What of ours is attached there now; None if nothing.
        others: How many programs of others are there, and stay.
        relatives: Cgroups above or below it to which ours are attached, too.
        keeping: Where it is kept for the next start of the unit; None if it ends
            with the cgroup.
        unkept: Why it is not kept; empty if it is.
    """

    cgroup: Cgroup
    processes: int
    plan: Plan
    pin: bool
    before: Attachment | None
    others: int
    relatives: tuple[Attachment, ...]
    keeping: Keeping | None
    unkept: str

    @property
    def terms(self) -> Terms:
        """What the programs will promise."""
        return Terms(
            keepalive=self.plan.keepalive, within=self.plan.within, pin=self.pin
        )

    @property
    def is_done(self) -> bool:
        """Whether just this is attached already, and kept if it can be."""
        if self.before is None or not self.before.is_whole:
            return False
        kept = self.keeping is None or self.keeping.holds(self.hooks)
        return kept and promise_the_same(self.before.terms, self.terms)

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Where programs are attached."""
        return hooks_of(self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """
    What is going to be removed.

    Args:
        name: The cgroup, or the unit if it does not run.
        cgroup: The cgroup; None if there is none now.
        before: What of ours is attached there now; None if nothing.
        keeping: What is kept for the next start of the unit; None if nothing.
    """

    name: str
    cgroup: Cgroup | None
    before: Attachment | None
    keeping: Keeping | None

    @property
    def is_done(self) -> bool:
        """Whether nothing of ours is there."""
        return self.before is None and self.keeping is None


def plan_attach(
    target: str,
    *,
    within: float,
    rtt: float | None = None,
    pin: bool = False,
    places: Places = HERE,
) -> Attach:
    """
    Return what attaching would do; nothing is changed.

    Args:
        target: A cgroup, a service, a container or a process; see
            ``find_cgroup``.
        within: Seconds from a peer's death to the error.
        rtt: The longest round trip of the path, in seconds; a usual one if None.
        pin: Swallow what programs set themselves.
        places: Where pins and drop-ins are kept.

    Raises:
        ConfigError: There is no such cgroup, or it is the root; or the promise
            cannot be kept.
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel cannot do it.
        KernelRefused: The kernel refused, or another program allows no company.
    """
    cgroup = _not_root(find_cgroup(target))
    seen = look(cgroup)
    if seen.alone:
        raise _alone(cgroup, seen.alone[0])
    platform = this_platform()
    members = processes_in(cgroup)
    made = plan(
        within=within,
        rtt=rtt,
        platform=platform,
        defaults=_defaults_of(members, platform),
    )
    unkept = why_not_kept(cgroup, places)
    return Attach(
        cgroup=cgroup,
        processes=len(members),
        plan=made,
        pin=pin,
        before=seen.attachment,
        others=len(seen.others),
        relatives=tuple(_relatives(cgroup)),
        keeping=None if unkept else keeping_for(cgroup.unit, places),
        unkept=unkept,
    )


def plan_detach(target: str, *, places: Places = HERE) -> Detach:
    """
    Return what detaching would remove; nothing is changed.

    Args:
        target: As for ``plan_attach``; also a service that does not run now.
        places: Where pins and drop-ins are kept.

    Raises:
        ConfigError: There is no such cgroup.
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel cannot do it.
        KernelRefused: The kernel refused.
    """
    try:
        cgroup = find_cgroup(target)
    except ConfigError:
        kept = _kept(target, places)
        if kept is None:
            raise
        return Detach(name=kept.unit, cgroup=None, before=None, keeping=kept)
    return Detach(
        name=cgroup.name,
        cgroup=cgroup,
        before=look(cgroup).attachment,
        keeping=_kept(cgroup.unit, places) if cgroup.unit else None,
    )


def promise_the_same(one: Terms, other: Terms) -> bool:
    """
    Tell whether two promise the same, in the kernel's units.

    Args:
        one: Terms.
        other: Others; what was counted makes no difference.
    """
    bare = [encode(replace(terms, counts=Counts())) for terms in (one, other)]
    return bare[0] == bare[1]


def _not_root(cgroup: Cgroup) -> Cgroup:
    if cgroup.is_root:
        raise ConfigError(
            "that is the root of all control groups: it holds every process",
            hint="give a cgroup of its own; to put a process into one, as root:"
            " mkdir FOLDER && echo PID > FOLDER/cgroup.procs",
            field="target",
            value=cgroup.name,
        )
    return cgroup


def _alone(cgroup: Cgroup, hook: Hook) -> KernelRefused:
    return KernelRefused(
        f"a program of {hook.name} is attached to {cgroup} that allows none beside it",
        hint="nothing was changed; bpftool cgroup show lists it",
        operation="bpf(BPF_PROG_QUERY)",
        errno=errno.EPERM,
    )


def _relatives(cgroup: Cgroup) -> Iterator[Attachment]:
    for one in all_cgroups(hierarchy()):
        above = one.folder in cgroup.folder.parents
        below = cgroup.folder in one.folder.parents
        if above or below:
            found = attachment_of(one)
            if found is not None:
                yield found


def _defaults_of(members: tuple[int, ...], platform: Platform) -> Defaults:
    """Return what a socket of theirs has that sets nothing: by their namespace."""
    for pid in filter(None, members[:1]):
        with suppress(DeadPeerError):
            return in_namespace_of(pid, partial(system_defaults, platform))
    return system_defaults(platform)


def _kept(target: str, places: Places) -> Keeping | None:
    name = PurePosixPath(target).name
    for unit in (name, f"{name}.service"):
        if unit.endswith(UNITS):
            keeping = keeping_for(unit, places)
            if keeping.exists:
                return keeping
    return None
