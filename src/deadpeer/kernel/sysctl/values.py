"""
Reading and writing single settings under ``/proc/sys``, of this system or of a tree.

Everything under ``/proc/sys/net`` belongs to the network namespace of the
process that opens it.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.kernel.staging import refusal
from deadpeer.kernel.sysctl.table import (
    SETTINGS,
    Setting,
    number_as_kernel_reads,
)
from deadpeer.platforms import LINUX, Defaults

__all__ = [
    "defaults_from",
    "effective_defaults",
    "proc_path",
    "read_all",
    "read_setting",
    "read_text",
    "shows_stubs",
    "timer_ticks",
    "write_text",
]

# A negative time of keepalive makes Linux wait 2^32 ticks: 50 days at HZ=1000,
# 199 at HZ=250. The shorter is what can be promised.
# Source: net/ipv4/tcp_timer.c, tcp_keepalive_timer(), u32 elapsed.
WRAPPED_TIMER = 2**32 / 1000

# Not in Python's time module. Source: Linux include/uapi/linux/time.h.
CLOCK_MONOTONIC_COARSE = 6

# A timer that is due at once fires at the next tick.
TICK = 0.001

# What gVisor shows, read-only, whatever its own stack uses (which is 7200/75/9).
# Source: gVisor, pkg/sentry/fsimpl/proc/tasks_sys.go.
GVISOR_STUBS = (7200, 0, 0)
ANYBODY_WRITES = 0o222


def proc_path(key: str, *, root: str | os.PathLike[str] = "/") -> Path:
    """
    Return the file under ``/proc/sys`` that holds a setting.

    Args:
        key: The kernel's name, with dots.
        root: The tree to look in.

    >>> str(proc_path("net.ipv4.tcp_retries2"))
    '/proc/sys/net/ipv4/tcp_retries2'
    """
    path = "/proc/sys/" + key.replace(".", "/")
    if Path(root) == Path("/"):
        return Path(path)
    # Late: a look at this system, which has to be quick, needs no trees.
    from deadpeer.kernel.sysctl.tree import inside

    return inside(root, path)


def read_text(key: str, *, root: str | os.PathLike[str] = "/") -> str | None:
    """
    Return what ``/proc/sys`` holds for a key, as text; None if it is absent.

    Args:
        key: The kernel's name, with dots.
        root: The tree to look in.

    Raises:
        AccessDenied: The file may not be read.
        KernelRefused: Reading failed in another way.
    """
    try:
        path = proc_path(key, root=root)
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise refusal(error, doing=f"read the value of {key}") from error


def write_text(path: Path, text: str) -> None:
    """
    Write a value to ``/proc/sys`` in one system call, as the kernel wants it.

    Args:
        path: The file.
        text: The value and a line break.

    Raises:
        OSError: The kernel refused it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        # Files under the real /proc have no size; those of a tree do.
        if os.fstat(descriptor).st_size > len(text):
            os.ftruncate(descriptor, len(text))
    finally:
        os.close(descriptor)


def read_setting(setting: Setting, *, root: str | os.PathLike[str] = "/") -> int | None:
    """
    Return the running value of a setting, in its own unit; None if absent.

    Args:
        setting: The row.
        root: The tree to look in.

    Raises:
        AccessDenied: The file may not be read.
        KernelRefused: Reading failed in another way.
        ConfigError: The file (of a tree) holds no number.
    """
    text = read_text(setting.key, root=root)
    if text is None:
        return None
    number = number_as_kernel_reads(text)
    if number is None:
        raise ConfigError(
            f"{proc_path(setting.key, root=root)} holds no number: {text[:40]!r}",
            hint="is --root the tree that you meant?",
            field=setting.key,
            value=text,
        )
    return number


def read_all(*, root: str | os.PathLike[str] = "/") -> dict[str, int]:
    """
    Return the running values of all settings that are present, by our names.

    Args:
        root: The tree to look in.

    Raises:
        UnsupportedError: There is no ``/proc/sys/net/ipv4`` with any of them.
        AccessDenied: They may not be read.
        KernelRefused: Reading failed in another way.
        ConfigError: A file of the tree holds no number.
    """
    values = {row.name: read_setting(row, root=root) for row in SETTINGS}
    present = {name: value for name, value in values.items() if value is not None}
    if not present:
        raise UnsupportedError(
            f"there are no TCP settings under {proc_path('net.ipv4', root=root)}",
            hint="is this Linux, with /proc mounted and the right --root?",
            option="net.ipv4.tcp_keepalive_time",
        )
    return present


def shows_stubs(values: dict[str, int], *, root: str | os.PathLike[str] = "/") -> bool:
    """
    Tell if these are the numbers that gVisor shows in place of its real ones.

    It shows them in files that nobody may write, which Linux never does.

    Args:
        values: Running values by our names, as from `read_all`.
        root: The tree that they were read from.
    """
    shown = tuple(values.get(name) for name in ("time", "interval", "probes"))
    if shown != GVISOR_STUBS:
        return False
    path = proc_path("net.ipv4.tcp_keepalive_intvl", root=root)
    return not path.stat().st_mode & ANYBODY_WRITES


def effective_defaults(root: str | os.PathLike[str] = "/") -> Defaults:
    """
    Return the running settings as the policy layer wants them.

    A setting that the kernel does not have counts as the kernel's built-in
    default, and a sandbox's stubs count as what its stack really uses. On a
    system without ``/proc/sys`` these are Linux's defaults.

    Args:
        root: The tree whose ``proc/sys`` is read; ``/`` is this process's own
            network namespace.

    Raises:
        AccessDenied: A file may not be read.
        ConfigError: A file of the tree holds no number.
    """
    here = Path(root) == Path("/")
    try:
        values = read_all(root=root)
    except UnsupportedError:
        return LINUX.defaults
    if shows_stubs(values, root=root):
        values = {k: v for k, v in values.items() if k not in ("interval", "probes")}
    return replace(defaults_from(values), hz=timer_ticks() if here else None)


def timer_ticks() -> int | None:
    """
    Return the ticks a second that this kernel's timers go by (``CONFIG_HZ``).

    Returns:
        Ticks a second; None if the system does not tell.

    Source:
        clock_getres(2), CLOCK_MONOTONIC_COARSE: its resolution is one tick;
        Linux include/linux/time.h, KTIME_LOW_RES.
    """
    try:
        return round(1 / time.clock_getres(CLOCK_MONOTONIC_COARSE))
    except (OSError, AttributeError, ZeroDivisionError):
        return None


def defaults_from(values: dict[str, int]) -> Defaults:
    """
    Return the policy layer's form of some values.

    Linux takes numbers that no socket option takes. They become what they do: a
    time of zero is one tick, a negative one 50 days, and no probes at all (the
    connection ends when the first would be due) one probe with no time to answer.

    Args:
        values: Numbers in the kernel's units, by our names; what is missing is
            the kernel's default.

    Source:
        net/ipv4/tcp_timer.c, tcp_keepalive_timer(); each measured on Linux 6.18.

    >>> defaults_from({"time": 5, "interval": 1, "probes": 1}).idle
    5.0
    """
    full = {row.name: row.default for row in SETTINGS} | values
    return Defaults(
        idle=_seconds(full["time"]),
        interval=_seconds(full["interval"]) if full["probes"] else TICK,
        probes=full["probes"] or 1,
        retries=full["retries2"],
        # Kernels before 6.5 have no linear part, and not the file either.
        syn_retries=full["syn-retries"],
        syn_linear=values.get("syn-linear-timeouts", 0),
        rto_min=full["rto-min"] / 1_000_000,
        rto_max=full["rto-max"] / 1000,
    )


def _seconds(value: int) -> float:
    return WRAPPED_TIMER if value < 0 else max(TICK, float(value))
