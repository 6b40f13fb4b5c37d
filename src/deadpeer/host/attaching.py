"""
Protecting every new connection of a cgroup, and taking that off again.

A change is whole or not at all. A cgroup's programs stay when the command ends: they
live with the cgroup. Programs of others, there or above, are left alone.

Only connections that are made or accepted afterwards are covered. Those that exist
are for ``deadpeer fix``.
"""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from deadpeer.errors import AccessDenied, DeadPeerError, KernelRefused
from deadpeer.host.attach_plans import Attach, Detach
from deadpeer.host.attachments import NAMES, Attachment, look, opened
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.bpf_programs import LICENCE, guard, keeper
from deadpeer.kernel.bpf_terms import TERMS, encode, settings
from deadpeer.kernel.cgroups import Cgroup
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.staging import locked

__all__ = ["attach", "detach"]

MAKERS = {Hook.SOCK_OPS: keeper, Hook.SETSOCKOPT: guard}


def attach(planned: Attach) -> Attachment:
    """
    Attach what was planned, in the place of what of ours is there.

    Args:
        planned: From ``plan_attach``.

    Returns:
        What is attached now.

    Raises:
        AccessDenied: A capability is missing; nothing was changed.
        UnsupportedError: This kernel cannot do it; nothing was changed.
        KernelRefused: The kernel refused; what had been changed was put back.
        ConfigError: A value is out of range.
    """
    if planned.is_done and planned.before is not None:
        return planned.before
    cgroup, keeping = planned.cgroup, planned.keeping
    with locked(cgroup.folder), opened(cgroup) as folder, ExitStack() as held:
        programs = _loaded(planned, held)
        before = look(cgroup)
        with ExitStack() as undo:
            if keeping is not None:
                undo.callback(keeping.discard)
                keeping.stage(programs)
            for hook in Hook:
                old = [_held(number, held) for number in before.ours[hook]]
                _exchange(folder, hook, old, programs.get(hook), undo)
            numbers = _confirmed(folder, programs, cgroup)
            if keeping is not None:
                keeping.publish()
            undo.pop_all()
    return Attachment(cgroup=cgroup.name, terms=planned.terms, programs=numbers)


def detach(planned: Detach) -> tuple[Path, ...]:
    """
    Remove what is ours, and nothing else.

    Args:
        planned: From ``plan_detach``.

    Returns:
        The files that were removed.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel cannot do it.
        KernelRefused: The kernel refused; what had been changed was put back.
    """
    with ExitStack() as held, ExitStack() as undo:
        if planned.cgroup is not None:
            held.enter_context(locked(planned.cgroup.folder))
            folder = held.enter_context(opened(planned.cgroup))
            for hook, numbers in look(planned.cgroup).ours.items():
                ours = [_held(number, held) for number in numbers]
                _exchange(folder, hook, ours, None, undo)
        removed = planned.keeping.remove() if planned.keeping is not None else ()
        undo.pop_all()
    return removed


def _loaded(planned: Attach, held: ExitStack) -> dict[Hook, int]:
    """Return descriptors of the programs, which *held* closes."""
    platform = this_platform()
    chosen = settings(planned.terms.keepalive, platform)
    record = bpf.create_record(encode(planned.terms, platform), name=TERMS)
    held.callback(os.close, record)
    programs = {}
    for hook in planned.hooks:
        code = MAKERS[hook](chosen, record, sys.byteorder)
        programs[hook] = bpf.load(hook, code, name=NAMES[hook], licence=LICENCE)
        held.callback(os.close, programs[hook])
    return programs


def _held(number: int, held: ExitStack) -> int:
    descriptor = bpf.program_by_id(number)
    held.callback(os.close, descriptor)
    return descriptor


def _exchange(
    folder: int, hook: Hook, old: list[int], new: int | None, undo: ExitStack
) -> None:
    """Put one program in the place of others of ours; *undo* puts them back."""
    if new is not None and old:
        bpf.attach(new, folder, hook, instead_of=old[0])
        undo.callback(_quietly, bpf.attach, old[0], folder, hook, instead_of=new)
        old = old[1:]
    elif new is not None:
        try:
            bpf.attach(new, folder, hook)
        except AccessDenied as error:
            # Who may load may attach: it is another program that forbids it.
            raise KernelRefused(
                f"a program on a cgroup above allows none of {hook.name} here",
                hint="attach to that cgroup's parent, or ask who attached it",
                operation="bpf(BPF_PROG_ATTACH)",
                errno=errno.EPERM,
            ) from error
        undo.callback(_quietly, bpf.detach, new, folder, hook)
    for one in old:
        bpf.detach(one, folder, hook)
        undo.callback(_quietly, bpf.attach, one, folder, hook)


def _confirmed(
    folder: int, programs: dict[Hook, int], cgroup: Cgroup
) -> tuple[int, ...]:
    """Return the numbers of programs that are on a cgroup, as the kernel tells it."""
    found = []
    for hook, program in programs.items():
        number = bpf.info_of(program).number
        if number not in bpf.attached_ids(folder, hook)[0]:
            raise KernelRefused(
                f"what was attached to {cgroup} is not there",
                hint="does somebody else change it at the same time?",
                operation="bpf(BPF_PROG_QUERY)",
            )
        found.append(number)
    return tuple(found)


def _quietly(action: Callable[..., object], *values: object, **more: object) -> None:
    # What led here is what has to be told.
    with suppress(DeadPeerError):
        action(*values, **more)
