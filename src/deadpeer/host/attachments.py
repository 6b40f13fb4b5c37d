"""
What is attached to control groups: programs of ours, and those of others.

Ours are known by their name and by the record in their map, which also says what
they promise. A program with our name and no such record is somebody else's, or of
a version that this one does not understand; it is left alone.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deadpeer.errors import AccessDenied, KernelRefused
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.bpf_terms import GUARD, KEEPER, Terms, decode
from deadpeer.kernel.cgroups import Cgroup, all_cgroups, hierarchy
from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.staging import refusal

__all__ = [
    "NAMES",
    "Attachment",
    "Look",
    "attached",
    "attachment_of",
    "hooks_of",
    "look",
    "opened",
]

NAMES = {Hook.SOCK_OPS: KEEPER, Hook.SETSOCKOPT: GUARD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """
    Programs of ours on a cgroup.

    Args:
        cgroup: The cgroup's path, as ``/proc/PID/cgroup`` has it.
        terms: What they promise, with which values, and what they did so far.
        programs: The programs' numbers.
        is_whole: These are all that the terms ask for, and of one making. If not, a
            change was broken off in the middle, its command killed; or one is under
            way at this moment.
    """

    cgroup: str
    terms: Terms
    programs: tuple[int, ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    What was found on one cgroup.

    Args:
        cgroup: The cgroup.
        ours: The numbers of our programs, for each hook.
        others: The numbers of other programs on the same hooks.
        terms: What ours promise; None if there are none.
        records: The numbers of the maps that ours work by.
        alone: Hooks on which another program sits that allows no company.
    """

    cgroup: Cgroup
    ours: dict[Hook, tuple[int, ...]]
    others: tuple[int, ...]
    terms: Terms | None
    records: frozenset[int]
    alone: tuple[Hook, ...]

    @property
    def attachment(self) -> Attachment | None:
        """Our programs, as something to show; None if there are none."""
        if self.terms is None:
            return None
        programs = tuple(number for hook in Hook for number in self.ours[hook])
        there = tuple(hook for hook in Hook for _ in self.ours[hook])
        return Attachment(
            cgroup=self.cgroup.name,
            terms=self.terms,
            programs=programs,
            # What is attached at one time shares its record.
            is_whole=there == hooks_of(self.terms) and len(self.records) == 1,
        )


def hooks_of(terms: Terms) -> tuple[Hook, ...]:
    """
    Return where programs are attached that keep some terms.

    Args:
        terms: What they promise.
    """
    return tuple(Hook) if terms.pin else (Hook.SOCK_OPS,)


def attached(top: Path | None = None) -> tuple[Attachment, ...]:
    """
    Return every cgroup that programs of ours are attached to.

    Args:
        top: Where the hierarchy is mounted; it is looked up if None.

    Returns:
        One for each cgroup, by its path. What is attached to a cgroup counts for
        those below it, which are not listed for it.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF programs on cgroups, or no
            control groups of version 2 are mounted.
        KernelRefused: The kernel refused in another way.
    """
    top = hierarchy() if top is None else top
    # A host has few programs, and may have thousands of cgroups.
    if not any(_has_our_name(number) for number in bpf.program_ids()):
        return ()
    found = filter(None, map(attachment_of, all_cgroups(top)))
    return tuple(sorted(found, key=lambda one: one.cgroup))


def attachment_of(cgroup: Cgroup) -> Attachment | None:
    """
    Return our programs on a cgroup; None if there are none, or the cgroup is gone.

    Args:
        cgroup: One that was found a moment ago.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF programs on cgroups.
        KernelRefused: The kernel refused in another way.
    """
    try:
        return look(cgroup).attachment
    except KernelRefused as error:
        if error.errno != errno.ENOENT:
            raise
        return None


def look(cgroup: Cgroup) -> Look:
    """
    Return what is attached to one cgroup itself.

    Args:
        cgroup: The cgroup.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF programs on cgroups.
        KernelRefused: The cgroup is gone: errno ENOENT; or the kernel refused
            in another way.
    """
    ours: dict[Hook, tuple[int, ...]] = {}
    others: list[int] = []
    alone: list[Hook] = []
    terms = None
    records: set[int] = set()
    with opened(cgroup) as descriptor:
        for hook in Hook:
            numbers, flags = bpf.attached_ids(descriptor, hook)
            known = {number: _terms_of(number, hook) for number in numbers}
            ours[hook] = tuple(n for n in numbers if known[n] is not None)
            others += [n for n in numbers if known[n] is None]
            for record, promised in filter(None, known.values()):
                terms = terms or promised
                records.add(record)
            if numbers and not flags & bpf.MULTI:
                alone.append(hook)
    return Look(
        cgroup=cgroup,
        ours=ours,
        others=tuple(others),
        terms=terms,
        records=frozenset(records),
        alone=tuple(alone),
    )


@contextmanager
def opened(cgroup: Cgroup) -> Iterator[int]:
    """
    Give a descriptor of a cgroup's folder.

    Args:
        cgroup: The cgroup.

    Yields:
        The descriptor, closed again afterwards.

    Raises:
        AccessDenied: The folder may not be opened.
        KernelRefused: The cgroup is gone: errno ENOENT.
    """
    try:
        descriptor = os.open(cgroup.folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        doing = f"open {cgroup.folder}"
        raise refusal(error, doing=doing, remedy="run it with sudo") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _has_our_name(number: int) -> bool:
    try:
        return _info(number).name in NAMES.values()
    except KernelRefused as error:
        require_descriptors(error)
        return False  # it was unloaded meanwhile


def _info(number: int) -> bpf.ProgramInfo:
    program = bpf.program_by_id(number)
    try:
        return bpf.info_of(program)
    finally:
        os.close(program)


def _terms_of(number: int, hook: Hook) -> tuple[int, Terms] | None:
    """Return the record of a program of ours, and what it says; None of another's."""
    try:
        info = _info(number)
    except KernelRefused as error:
        require_descriptors(error)
        return None  # it was taken off meanwhile
    except AccessDenied as error:
        raise AccessDenied(
            f"there is a BPF program, number {number}, that this user may not look at",
            hint="telling ours from others needs CAP_SYS_ADMIN; run it with sudo",
            capability=error.capability,
        ) from error
    if info.name != NAMES[hook]:
        return None
    for number_of_map in info.maps:
        try:
            found = _record(number_of_map)
        except KernelRefused as error:
            require_descriptors(error)
            continue
        if found is not None:
            return number_of_map, found
    return None


def _record(number: int) -> Terms | None:
    descriptor = bpf.map_by_id(number)
    try:
        return decode(bpf.read_record(descriptor))
    finally:
        os.close(descriptor)
