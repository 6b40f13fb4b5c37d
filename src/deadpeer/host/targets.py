"""
The sockets that a verb which changes something is told to change, and no others.

Such a verb has to be told which connections are meant: "all" by omission is how
somebody else's socket gets changed. Every target carries its namespace, its inode
and its cookie, so that whoever acts on it later acts on that socket or on none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from deadpeer.errors import AccessDenied, ConfigError, DeadPeerError
from deadpeer.host.judgement import Verdict
from deadpeer.host.listing import Listing, Seen, survey
from deadpeer.host.selection import Selection
from deadpeer.kernel.diag import Diag
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.namespaces import Namespace, in_namespace
from deadpeer.kernel.owners import Holder
from deadpeer.kernel.processes import process_facts
from deadpeer.kernel.snapshot import Space
from deadpeer.kernel.sockets import text_of
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.platforms import Defaults

__all__ = ["NEEDS_PTRACE", "Target", "choose_targets", "rows_now", "unreachable"]

NEEDS_PTRACE = (
    "it needs CAP_SYS_PTRACE; run the command with sudo, or name fewer sockets"
)

# Connections that no program has accepted yet.
NEW = (TcpState.SYN_RECV, TcpState.NEW_SYN_RECV)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    A socket that somebody named, and where it was found.

    Args:
        namespace: The network namespace that it is in.
        row: What the kernel told of it; its inode and cookie are its identity.
        holders: The descriptors by which programs hold it.
        process: The name of the first program that does; empty if unknown.
        hidden: Some programs could not be looked into, and one of them may hold it.
        defaults: The settings of its namespace.
        reason: Why its peer seems dead, if it does.
    """

    namespace: Namespace
    row: DiagRow
    holders: tuple[Holder, ...] = ()
    process: str = ""
    hidden: bool = False
    defaults: Defaults = field(default_factory=Defaults, repr=False)
    reason: str = ""

    @property
    def pid(self) -> int | None:
        """The first process that holds it, if any was found."""
        return self.holders[0].pid if self.holders else None

    @property
    def is_listening(self) -> bool:
        """Whether it waits for connections."""
        return self.row.state == TcpState.LISTEN

    @property
    def is_closed(self) -> bool:
        """Whether its program has closed it, and the kernel ends it by itself."""
        accepted = self.row.state not in (TcpState.ESTABLISHED, *NEW)
        return not self.row.inode and accepted

    @property
    def local(self) -> str:
        """This end, as text."""
        return text_of(self.row.ends[:2])

    @property
    def peer(self) -> str:
        """The other end, as text; empty without one."""
        return text_of(self.row.ends[2:]) if self.row.ends.remote_port else ""

    def __str__(self) -> str:
        who = f"{self.process or '?'}[{self.pid}] " if self.pid else ""
        if self.is_listening:
            return f"{who}{self.local} (listening)"
        return who + " → ".join(end for end in (self.local, self.peer) if end)


def choose_targets(
    selection: Selection, *, listening: bool = False
) -> tuple[Target, ...]:
    """
    Return the sockets that are meant; nothing is changed.

    Args:
        selection: Which ones; it has to say something about which.
        listening: Listening sockets, too.

    Raises:
        ConfigError: The selection names nothing in particular, or its filter is
            none, or a namespace or process is not there.
        AccessDenied: What is meant, or part of it, may not be looked at.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """
    if selection.is_everything:
        raise ConfigError(
            "it has to be said which connections are meant",
            hint="give a filter such as `dport = :5432`, or --pid, --process, --user;"
            " deadpeer ls shows what it selects",
            field="filter",
            value="",
        )
    listings = [survey(selection)]
    if listening:
        listings.append(survey(_listeners(selection)))
    found: dict[tuple[int, bytes], Target] = {}
    for listing in listings:
        _require_seen(listing, selection)
        spaces = {space.namespace.inode: space for space in listing.snapshot.spaces}
        hidden = bool(listing.snapshot.owners.unreadable)
        for seen in listing.rows:
            target = _target(seen, spaces[seen.netns], hidden=hidden)
            if listening or not target.is_listening:
                found[seen.netns, seen.row.cookie_bytes] = target
    return tuple(found.values())


def _listeners(selection: Selection) -> Selection:
    words: tuple[str, ...] = ("state", "listening")
    if any(word.strip() for word in selection.words):
        words += ("and", "(", *selection.words, ")")
    return replace(selection, words=words, unprotected=False, suspect=False)


def _target(seen: Seen, space: Space, *, hidden: bool) -> Target:
    return Target(
        namespace=space.namespace,
        row=seen.row,
        holders=seen.holders,
        process=seen.process_name,
        hidden=hidden,
        defaults=space.defaults,
        reason=seen.judgement.reason if seen.verdict is Verdict.SUSPECT else "",
    )


def _require_seen(listing: Listing, selection: Selection) -> None:
    """Refuse to change a part of what is meant because the rest is hidden."""
    snapshot = listing.snapshot
    for _, error in snapshot.closed_spaces:
        if isinstance(error, AccessDenied):
            raise error
    hidden = [pid for pid in snapshot.owners.unreadable if _is_meant(pid, selection)]
    if hidden:
        raise AccessDenied(
            f"process {hidden[0]} may not be looked into",
            hint=NEEDS_PTRACE,
            capability="CAP_SYS_PTRACE",
            pid=hidden[0],
        )


def _is_meant(pid: int, selection: Selection) -> bool:
    """Tell whether a process whose sockets are hidden is one that was named."""
    if selection.pids and pid not in selection.pids:
        return False
    names, users = selection.processes, selection.users
    if not (names or users):
        return bool(selection.pids)
    process = process_facts(pid)  # its name and user are there for everybody
    return (
        not names or any(fnmatchcase(process.name, pattern) for pattern in names)
    ) and (not users or bool({process.user, str(process.uid)}.intersection(users)))


def unreachable(target: Target) -> DeadPeerError | str:
    """
    Say why a socket without a known holder cannot be borrowed.

    Args:
        target: The socket.

    Returns:
        The error if a program that may not be looked into can be its holder;
        else the reason in words.
    """
    if target.row.inode and target.hidden:
        return AccessDenied(
            f"no program that may be looked into holds {target}",
            hint=NEEDS_PTRACE,
            capability="CAP_SYS_PTRACE",
        )
    if target.row.inode:
        return "no program was found that holds it"
    return "its program has not accepted it yet"


def rows_now(namespaces: Mapping[int, Namespace]) -> dict[tuple[int, bytes], DiagRow]:
    """
    Look again: the sockets of some namespaces, by namespace and cookie.

    Args:
        namespaces: By number (inode).

    Returns:
        What is there; nothing of a namespace that is gone.

    Raises:
        AccessDenied: One may not be entered.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """

    def look() -> tuple[DiagRow, ...]:
        with Diag() as diag:
            return diag.dump().rows

    found: dict[tuple[int, bytes], DiagRow] = {}
    for inode, namespace in namespaces.items():
        try:
            rows = in_namespace(namespace, look)
        except ConfigError:
            continue
        found |= {(inode, row.cookie_bytes): row for row in rows}
    return found
