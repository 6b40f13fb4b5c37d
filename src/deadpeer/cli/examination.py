"""Gathering what ``deadpeer check`` judges: a process's connections, or a fresh one."""

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from deadpeer.cli.diagnosis import (
    Connection,
    Finding,
    Problem,
    Severity,
    elsewhere,
)
from deadpeer.cli.target import Address
from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    KernelRefused,
    NotTcp,
    PeerTimedOut,
    UnsupportedError,
)
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.inspection import Inspection, inspect
from deadpeer.kernel.namespaces import in_namespace_of
from deadpeer.kernel.procfs import namespace_of, socket_inodes, tcp_rows
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import TcpRow
from deadpeer.kernel.verdicts import verdict_on
from deadpeer.platforms import Defaults

__all__ = ["Examination", "examine_address", "examine_process"]

# There is, or soon will be, a peer that can die.
WITH_PEER = (
    TcpState.ESTABLISHED,
    TcpState.SYN_SENT,
    TcpState.FIN_WAIT1,
    TcpState.FIN_WAIT2,
    TcpState.CLOSE_WAIT,
    TcpState.LAST_ACK,
    TcpState.CLOSING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """
    What was seen.

    Args:
        connections: Each connection.
        listening: How many sockets wait for connections.
        findings: What goes for all of them.
    """

    connections: tuple[Connection, ...]
    listening: int
    findings: tuple[Finding, ...]


def examine_process(pid: int) -> Examination:
    """
    Look at every TCP connection of a process; changes nothing.

    Args:
        pid: The process.

    Raises:
        ConfigError: There is no such process.
        AccessDenied: It may not be looked into.
        UnsupportedError: This is not Linux 5.6 or later.
    """
    with Lender(pid) as lender:
        inodes = socket_inodes(pid)
        seen = {
            inode: found
            for inode, descriptor in inodes.items()
            if (found := _look(lender, descriptor, inode)) is not None
        }
        # After the options: what connects meanwhile has a row by now.
        rows = {row.inode: row for row in tcp_rows(pid)}
    defaults, findings = _surroundings(pid)
    multipath = sum(found is _MULTIPATH for found in seen.values())
    tcp = {
        inode: found for inode, found in seen.items() if isinstance(found, Inspection)
    }
    connections = tuple(
        _connection(found, rows.get(inode), defaults)
        for inode, found in tcp.items()
        if found.evidence and found.evidence.state in WITH_PEER
    )
    astray = sum(connection.row is None for connection in connections)
    return Examination(
        connections=connections,
        listening=sum(found.listening for found in tcp.values()),
        findings=(*findings, *_multipath(multipath), *_astray(astray)),
    )


class _Multipath:
    """A socket that cannot be judged: the kernel keeps its paths to itself."""


_MULTIPATH = _Multipath()


def _look(
    lender: Lender, descriptor: int, inode: int
) -> Inspection | _Multipath | None:
    try:
        with lender.borrowed(descriptor) as copy:
            if os.fstat(copy).st_ino != inode:
                return None  # closed meanwhile, and its number used again
            return inspect(copy)
    except NotTcp:
        return None
    except UnsupportedError as error:
        if error.platform != "mptcp":
            raise
        return _MULTIPATH
    except KernelRefused as error:
        if error.errno != errno.EBADF:
            raise
        return None  # closed meanwhile


def _connection(
    found: Inspection, row: TcpRow | None, defaults: Defaults | None
) -> Connection:
    evidence = found.evidence
    rtt_us = (evidence.rtt_us if evidence else 0) or 0
    return Connection(
        local=found.local,
        peer=found.peer,
        state=TcpState(evidence.state) if evidence else TcpState.ESTABLISHED,
        keepalive=found.keepalive,
        # A socket that is not in its process's table lives elsewhere, where
        # other settings hold.
        defaults=defaults if row else None,
        rtt=rtt_us / 1_000_000,
        row=row,
    )


def _surroundings(pid: int) -> tuple[Defaults | None, tuple[Finding, ...]]:
    """Return the sysctls that a process sees, and whether they are not ours."""
    here = effective_defaults()
    namespace = namespace_of(pid)
    if namespace == namespace_of(os.getpid()):
        return here, ()
    try:
        there: Defaults | None = in_namespace_of(pid, effective_defaults)
    except AccessDenied:
        there = None
    return there, (elsewhere(pid, here=here, there=there, namespace=namespace),)


def _multipath(count: int) -> Iterator[Finding]:
    if count:
        yield Finding(
            problem=Problem.MULTIPATH,
            severity=Severity.DEFECT,
            evidence=f"{count} sockets speak Multipath TCP, which takes no"
            " TCP_USER_TIMEOUT: a death with data in flight takes some 15 min",
            remedy="have the program use plain TCP (Go: GODEBUG=multipathtcp=0), or"
            " heartbeats",
        )


def _astray(count: int) -> Iterator[Finding]:
    if count:
        yield Finding(
            problem=Problem.OTHER_NAMESPACE,
            severity=Severity.NOTE,
            evidence=f"{count} of its connections were made in another network"
            " namespace than its own, where other sysctls hold",
            remedy="",
        )


def examine_address(address: Address, *, timeout: float) -> Examination:
    """
    Make a connection, look at it, turn its keepalive on, look again.

    Only this one connection is touched. Shown are the settings that a program
    gets which turns SO_KEEPALIVE on and sets nothing else.

    Args:
        address: Where to connect to.
        timeout: How many seconds to wait for the connection.

    Raises:
        ConfigError: The name is unknown.
        PeerDead: Nobody answers there.
        KernelRefused: The connection was refused.
    """
    with _connected(address, timeout) as sock:
        fresh = inspect(sock)
        if not fresh.keepalive.on:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        asked = inspect(sock)
        connection = _connection(asked, _own_row(sock), effective_defaults())
    note = Finding(
        problem=Problem.KEEPALIVE_OFF,
        severity=Severity.NOTE,
        evidence="a fresh connection has SO_KEEPALIVE off, whatever the sysctls say:"
        " nobody notices an idle peer's death",
        remedy="programs have to turn it on; what follows is for one that does that"
        " and sets nothing else",
    )
    return Examination(
        connections=(connection,),
        listening=0,
        findings=() if fresh.keepalive.on else (note,),
    )


def _connected(address: Address, timeout: float) -> socket.socket:
    try:
        return socket.create_connection((address.host, address.port), timeout)
    except socket.gaierror as error:
        raise ConfigError(
            f"the name {address.host!r} is not known: {error.strerror}",
            hint="check the name, or give the address",
            field="target",
            value=str(address),
        ) from error
    except OSError as error:
        raise _no_connection(error, address, timeout) from error


def _no_connection(error: OSError, address: Address, timeout: float) -> Exception:
    hint = "is the port right, and something listening there?"
    kind = verdict_on(error, established=False)
    if kind is None and isinstance(error, TimeoutError):
        return PeerTimedOut(
            f"{address} did not answer within {timeout:g} s",
            hint=hint,
            peer=str(address),
        )
    reason = error.strerror or str(error)
    if kind is None:
        return KernelRefused(
            f"no connection to {address}: {reason}",
            hint=hint,
            operation=f"connect({address})",
            errno=error.errno,
        )
    return kind(
        f"no connection to {address}: {reason}",
        hint=hint,
        peer=str(address),
        errno=error.errno,
    )


def _own_row(sock: socket.socket) -> TcpRow | None:
    inode = os.fstat(sock.fileno()).st_ino
    try:
        rows = tcp_rows(os.getpid())
    except UnsupportedError:
        return None  # not Linux: the timer cannot be seen
    return next((row for row in rows if row.inode == inode), None)
