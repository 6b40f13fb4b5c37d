"""
Everything that the kernel tells about the TCP sockets of a host, at one moment.

A snapshot is a value. It is taken here, or read from a recording; whoever lists
and judges connections takes it from either, so that what is seen on one machine
can be shown on another.

Source: Linux proc(5), /proc/sys/kernel/random/boot_id.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deadpeer.errors import DeadPeerError
from deadpeer.kernel.collecting import without_collecting
from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.diag import Diag
from deadpeer.kernel.diag_dumps import Dump
from deadpeer.kernel.diag_messages import ALL_STATES
from deadpeer.kernel.diag_rows import MPTCP, DiagRow
from deadpeer.kernel.namespaces import Namespace, in_namespace, own
from deadpeer.kernel.owners import Owners, find_owners
from deadpeer.kernel.processes import Process, process_facts
from deadpeer.kernel.second_process import can_share_work
from deadpeer.kernel.settings_of import SettingsOf, SocketSettings, Wanted, settings_of
from deadpeer.kernel.shared_work import OwnersFoundMeanwhile, settings_by_two
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.platforms import Defaults

__all__ = ["Asked", "Snapshot", "Space", "take_snapshot"]

Asked = Callable[[DiagRow, Owners], bool]
"""Whether a socket is to be asked for its settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """
    What one network namespace holds.

    Args:
        namespace: Which.
        dump: Its TCP sockets.
        defaults: Its settings, for sockets that set nothing themselves.
    """

    namespace: Namespace
    dump: Dump
    defaults: Defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    The TCP sockets of a host at one moment.

    Args:
        kernel: The release of the kernel, as ``uname -r`` tells it.
        boot_id: What tells this boot from every other; empty if unknown.
        spaces: The network namespaces that were looked at.
        owners: Which descriptors hold which sockets.
        settings: What the sockets have set, by cookie.
        processes: What the holders are, and the processes that may not be looked
            into and so may be holders too, by their numbers.
        closed_spaces: The namespaces that could not be looked at, and why.
    """

    kernel: str
    boot_id: str
    spaces: tuple[Space, ...]
    owners: Owners = field(default_factory=Owners)
    settings: SettingsOf = field(default_factory=SettingsOf)
    processes: Mapping[int, Process] = field(default_factory=dict)
    closed_spaces: tuple[tuple[Namespace, DeadPeerError], ...] = ()

    def settings_for(self, row: DiagRow) -> SocketSettings | None:
        """
        Return what a socket has set; None if that could not be asked.

        Args:
            row: Of one of the dumps.
        """
        return self.settings.settings.get(row.cookie_bytes)


def take_snapshot(
    namespaces: Iterable[Namespace] | None = None,
    *,
    states: int = ALL_STATES,
    processes: int = 1,
    search: OwnersFoundMeanwhile | None = None,
    asked: Asked | None = None,
) -> Snapshot:
    """
    Look at the sockets of this host; nothing is changed.

    What may not be looked at is absent, and said to be.

    Args:
        namespaces: Where to look; this thread's own if None.
        states: Which states, one bit for each number of ``TcpState``.
        processes: How many may work at it, 1 or 2. A second one, a copy of this
            process (``fork``) that ends again, nearly halves the time that
            thousands of sockets take; it is made only if this process has a
            single thread and the machine a second processor.
        search: The search for owners, if it was begun before; a socket that is
            newer than that may then seem to have none.
        asked: Which sockets to ask for their settings, by row and owners; all if
            None. The others are left in peace.

    Raises:
        UnsupportedError: The kernel cannot list TCP sockets.
        AccessDenied: It is not permitted, in this thread's own namespace.
        KernelRefused: It failed in another way, in this thread's own namespace.
        ConfigError: A namespace is gone.
    """
    here = own()
    wanted = (here,) if namespaces is None else tuple(namespaces)
    with without_collecting():
        shared = processes > 1 and can_share_work()
        if shared and search is None:
            search = OwnersFoundMeanwhile()
        if search is None:
            spaces, closed = _look_at_all(wanted, here, states)
            owners = find_owners()
        else:
            with search:
                spaces, closed = _look_at_all(wanted, here, states)
                owners = search.result()
        ask = settings_by_two if shared else settings_of
        settings = _settings(spaces, owners, ask, asked)
        return Snapshot(
            kernel=os.uname().release,
            boot_id=_boot_id(),
            spaces=tuple(spaces),
            owners=owners,
            settings=settings,
            processes={pid: process_facts(pid) for pid in _holders(spaces, owners)},
            closed_spaces=tuple(closed),
        )


def _look_at_all(
    wanted: Iterable[Namespace], here: Namespace, states: int
) -> tuple[list[Space], list[tuple[Namespace, DeadPeerError]]]:
    spaces: list[Space] = []
    closed: list[tuple[Namespace, DeadPeerError]] = []
    for namespace in wanted:
        try:
            spaces.append(in_namespace(namespace, partial(_look, namespace, states)))
        except DeadPeerError as error:
            if namespace.inode == here.inode:
                raise
            closed.append((namespace, error))
    return spaces, closed


def _look(namespace: Namespace, states: int) -> Space:
    with Diag() as diag:
        return Space(
            namespace=namespace,
            dump=diag.dump(states=states),
            defaults=effective_defaults(),
        )


def _holders(spaces: list[Space], owners: Owners) -> list[int]:
    """Return the processes that hold any of the sockets, or may do so."""
    inodes = {row.inode for space in spaces for row in space.dump.rows}
    pids = {pid for inode, (pid, _) in owners.first.items() if inode in inodes}
    for inode, others in owners.others.items():
        if inode in inodes:
            pids |= {pid for pid, _ in others}
    return sorted(pids.union(owners.unreadable))


def _settings(
    spaces: list[Space],
    owners: Owners,
    ask: Callable[[list[Wanted]], SettingsOf],
    asked: Asked | None,
) -> SettingsOf:
    """
    Ask every socket that is to be asked and has a holder.

    A subflow of Multipath TCP cannot be borrowed: its inode, and the descriptor
    found by that, are those of the whole connection, which hands its options on
    to the subflows.

    Source: Linux net/mptcp/subflow.c, mptcp_subflow_create_socket();
    net/mptcp/sockopt.c, sync_socket_options().
    """
    rows = [row for space in spaces for row in space.dump.rows]
    wanted: list[Wanted] = []
    subflows: list[DiagRow] = []
    first = owners.first
    for row in rows:
        holder = first.get(row.inode)
        if holder is None or not (asked is None or asked(row, owners)):
            continue
        if row.ulp_info and row.is_mptcp:
            subflows.append(row)
            continue
        wanted.append(Wanted(*holder, row.cookie_bytes))
    found = ask(wanted)
    if subflows:
        whole = {row.inode: row.cookie_bytes for row in rows if row.protocol == MPTCP}
        for row in subflows:
            settings = found.settings.get(whole.get(row.inode, b""))
            if settings is not None:
                found.settings[row.cookie_bytes] = settings
    return found


def _boot_id() -> str:
    try:
        path = Path("/proc/sys/kernel/random/boot_id")
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        require_descriptors(error)
        return ""
