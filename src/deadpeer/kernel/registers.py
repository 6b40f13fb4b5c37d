"""
One socket's settings as the kernel holds them: read, write, put back.

Everything here goes by a row of the platform table and an object with
``getsockopt`` and ``setsockopt``, so it is the same code for every system.
"""

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    DeadPeerError,
    KernelRefused,
    NotTcp,
    UnsupportedError,
)
from deadpeer.platforms import SIO_KEEPALIVE_VALS, Name, Option, Platform
from deadpeer.policy import Keepalive

__all__ = [
    "Conversation",
    "Reading",
    "Step",
    "change",
    "put_back",
    "read",
    "steps_for",
]

Key = Literal["on"] | Name

# The same refusal under the names that systems have for it; 10042 and 10045
# are Winsock's.
UNKNOWN_OPTION = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP, 10042, 10045})
FORBIDDEN = frozenset({errno.EPERM, errno.EACCES})
NO_SOCKET = frozenset({errno.EBADF, errno.ENOTSOCK, 10038})


class Conversation(Protocol):
    """What is needed of a socket, real or not."""

    def getsockopt(self, level: int, optname: int, /) -> int:
        """Return an option's value."""
        ...

    def setsockopt(self, level: int, optname: int, value: int, /) -> None:
        """Set an option."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    What a socket was found to hold.

    Args:
        on: Whether ``SO_KEEPALIVE`` is on.
        units: Values in the platform's own units, by our names.
        unread: What the platform has and does not let anybody read.
    """

    on: bool
    units: Mapping[Name, int]
    unread: tuple[Name, ...] = ()

    def keepalive(self, platform: Platform) -> Keepalive:
        """
        Return the settings as a value.

        What no setting can say is left out: an idle time of -1, say, which a
        socket shows that follows a system with ``tcp_keepalive_time=-1``.

        Args:
            platform: The row that the units are of.
        """
        sayable = {
            name: max(number, 0)
            for name, number in self.units.items()
            if number > 0 or name == "user_timeout"  # 0 and Windows' -1 are off
        }
        return Keepalive.from_units(sayable, platform=platform, on=self.on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One thing to write.

    Args:
        keys: Which settings it sets.
        options: Their rows.
        values: Their values, in the platform's own units.
        whole: Written by one ioctl, the switch's value in front.
    """

    keys: tuple[Key, ...]
    options: tuple[Option, ...]
    values: tuple[int, ...]
    whole: bool = False

    def __str__(self) -> str:
        if self.whole:
            return f"ioctl(SIO_KEEPALIVE_VALS, {self.values})"
        return f"setsockopt({self.options[0].name}, {self.values[0]})"


def steps_for(keepalive: Keepalive, platform: Platform) -> tuple[Step, ...]:
    """
    Return what has to be written, in order; checks everything first.

    The switch comes first: on Linux a socket that has been idle for long then
    sends its first probe at once, and not one idle time later. The idle time comes
    after everything that a probe goes by: its write arms the timer, which may fire
    before the next write, and then waits for as long as the interval was in that
    moment. What cannot be put back comes last.

    Args:
        keepalive: The settings to reach.
        platform: The row of the system that the socket is on.

    Raises:
        ConfigError: A value is out of range, or one of several is missing that
            can only be written together.
        UnsupportedError: The platform has no such option.

    Source: Linux net/ipv4/tcp.c, tcp_sock_set_keepidle_locked();
    net/ipv4/tcp_timer.c, tcp_keepalive_timer().
    """
    units = keepalive.in_units(platform)
    on = keepalive.wants_on
    steps = [
        Step(keys=(name,), options=(platform.options[name],), values=(value,))
        for name, value in sorted(units.items(), key=lambda unit: unit[0] == "idle")
        if name not in platform.whole
    ]
    if on is not None:
        steps.insert(
            0, Step(keys=("on",), options=(platform.switch,), values=(int(on),))
        )
    together = [name for name in platform.whole if name in units]
    if together:
        _require_all(together, platform)
        steps.append(
            Step(
                keys=platform.whole,
                options=tuple(platform.options[name] for name in platform.whole),
                values=(int(bool(on)), *(units[name] for name in platform.whole)),
                whole=True,
            )
        )
    return tuple(steps)


def read(sock: Conversation, platform: Platform) -> Reading:
    """
    Return everything that the row has an option for.

    Args:
        sock: The socket.
        platform: The row of the system that it is on.

    Raises:
        NotTcp: The socket was closed meanwhile.
        KernelRefused: The kernel does not let it be read.
    """
    units: dict[Name, int] = {}
    unread: list[Name] = []
    for name, option in platform.options.items():
        value = None if name in platform.whole else _get(sock, name, option, platform)
        if value is None:
            unread.append(name)
        else:
            units[name] = value
    # BSD answers with the option's own number where it is on.
    on = bool(_get(sock, "on", platform.switch, platform))
    return Reading(on=on, units=units, unread=tuple(unread))


def change(
    sock: Conversation, steps: Iterable[Step], platform: Platform, *, before: Reading
) -> None:
    """
    Write every step and read it back, or put everything back.

    Args:
        sock: The socket.
        steps: From ``steps_for``.
        platform: The row of the system that the socket is on.
        before: What to put back if a step fails.

    Raises:
        AccessDenied: A privilege is missing.
        UnsupportedError: This kernel does not know an option.
        KernelRefused: The kernel took no value, or holds another one.
        NotTcp: The socket was closed meanwhile.
    """
    begun: list[Step] = []
    try:
        for step in steps:
            begun.append(step)
            _write(sock, step, platform)
            _verify(sock, step, platform)
    except BaseException as error:
        lost = put_back(sock, begun, platform, before=before)
        if lost and isinstance(error, DeadPeerError):
            names = ", ".join(lost)
            error.hint = f"{error.hint}; could not put back {names}".lstrip("; ")
        raise


def put_back(
    sock: Conversation, steps: Iterable[Step], platform: Platform, *, before: Reading
) -> tuple[Key, ...]:
    """
    Write the old values of the steps' settings, the last one first.

    An old value that the kernel does not take (a system's setting may lie
    outside the range of the option) becomes the nearest that it takes.

    Args:
        sock: The socket.
        steps: What was written, or begun.
        platform: The row of the system that the socket is on.
        before: The old values.

    Returns:
        The settings that could not be put back exactly.
    """
    lost: list[Key] = []
    for step in reversed(tuple(steps)):
        for key, option in zip(step.keys, step.options, strict=True):
            if not _restore(sock, key, option, platform, before):
                lost.append(key)
    return tuple(lost)


def _restore(
    sock: Conversation, key: Key, option: Option, platform: Platform, before: Reading
) -> bool:
    old = int(before.on) if key == "on" else before.units.get(key)
    if old is None or key in platform.whole:
        return False
    # Below zero means "never" to the systems that have it.
    nearest = option.highest if old < 0 else max(old, option.lowest)
    for value in (old, min(nearest, option.highest)):
        try:
            sock.setsockopt(option.level, option.number, _signed(value))
        except OSError:
            continue
        return value == old
    return False


def _require_all(given: list[Name], platform: Platform) -> None:
    missing = [name for name in platform.whole if name not in given]
    if missing:
        raise ConfigError(
            f"{platform.title} writes {' and '.join(platform.whole)} together,"
            f" and {' and '.join(missing)} is missing",
            hint=f"give {' and '.join(platform.whole)}",
            field=missing[0],
        )


def _write(sock: Conversation, step: Step, platform: Platform) -> None:
    try:
        if step.whole:
            # Only Windows' sockets have it, and only its rows ask for it.
            sock.ioctl(SIO_KEEPALIVE_VALS, step.values)  # type: ignore[attr-defined]
            return
        (option,) = step.options
        sock.setsockopt(option.level, option.number, _signed(step.values[0]))
    except OSError as error:
        raise _refusal(error, step, platform) from error


def _verify(sock: Conversation, step: Step, platform: Platform) -> None:
    if step.whole:
        return
    (key,), (option,), (wanted,) = step.keys, step.options, step.values
    held = _get(sock, key, option, platform)
    if held is None:
        return
    if key == "on":
        held = int(bool(held))
    if not wanted <= held <= wanted + option.grain:
        raise KernelRefused(
            f"{option.name} was set to {wanted}, and the kernel holds {held}",
            hint="something between this program and the kernel changes options",
            operation=str(step),
        )


def _get(
    sock: Conversation, key: Key, option: Option, platform: Platform
) -> int | None:
    try:
        return sock.getsockopt(option.level, option.number)
    except OSError as error:
        if key in platform.unreadable and error.errno in UNKNOWN_OPTION:
            return None
        step = Step(keys=(key,), options=(option,), values=(0,))
        refused = _refusal(error, step, platform)
        if isinstance(refused, KernelRefused):
            refused.operation = f"getsockopt({option.name})"
        raise refused from error


def _refusal(
    error: OSError, step: Step, platform: Platform
) -> NotTcp | AccessDenied | UnsupportedError | KernelRefused:
    option, number = step.options[0], error.errno
    if number in NO_SOCKET:
        return NotTcp("the socket was closed meanwhile", field="sock")
    if number in FORBIDDEN:
        return AccessDenied(
            f"{step} is not permitted",
            hint="a sandbox forbids it: allow setsockopt there",
        )
    if number in UNKNOWN_OPTION:
        since = f"; it needs {option.since}" if option.since else ""
        return UnsupportedError(
            f"this kernel does not know {option.name}{since}",
            hint=f"leave {' and '.join(step.keys)} out here",
            option=option.name,
            platform=platform.name,
        )
    return KernelRefused(
        f"{step} was refused: {error.strerror or error}",
        hint=f"{platform.title} takes {option.lowest} to {option.highest}, while the"
        " connection stands",
        operation=str(step),
        errno=number,
    )


def _signed(value: int) -> int:
    """Python hands the kernel a signed 32-bit number."""
    return value - 2**32 if value >= 2**31 else value
