"""
What a change of the system's settings would do, with everything checked.

Nothing is changed here; ``apply`` does that.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.kernel.staging import NewFile, refusal
from deadpeer.kernel.sysctl.files import file_text, values_of
from deadpeer.kernel.sysctl.place import is_running_system
from deadpeer.kernel.sysctl.record import (
    OWN_FILE,
    FileChange,
    LiveChange,
    OldFile,
    own_path,
    record_directory,
)
from deadpeer.kernel.sysctl.table import (
    Setting,
    number_as_kernel_reads,
    setting_named,
)
from deadpeer.kernel.sysctl.values import proc_path, read_text

__all__ = ["Change", "checked", "own_file_now", "plan_change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    What would be changed, fully checked.

    Args:
        root: The tree.
        records: Where the record will be kept.
        live: The running values that change.
        file: Our configuration file, if it changes.
    """

    root: Path
    records: Path
    live: tuple[LiveChange, ...]
    file: FileChange | None

    @property
    def is_empty(self) -> bool:
        """Everything is already as it was asked for."""
        return not self.live and self.file is None


def checked(
    wanted: Mapping[str, int], *, any_value: bool = False
) -> dict[Setting, int]:
    """
    Return the wanted numbers by the settings' rows, or refuse them all.

    Args:
        wanted: Whole numbers by our names, in the setting's own unit.
        any_value: Take whatever the kernel takes, not only what makes sense.

    Raises:
        ConfigError: A name or a number is not one to set.

    >>> list(checked({"probes": 3}).values())
    [3]
    """
    if not wanted:
        raise ConfigError(
            "there is nothing to set",
            hint="give --within, or --time, --interval, --probes",
            field="wanted",
        )
    found = {}
    for name, number in wanted.items():
        row = _settable(name)
        if isinstance(number, bool) or not isinstance(number, int):
            raise ConfigError(
                f"{name}={number!r} is not a whole number",
                hint=f"give {_range(row, any_value=any_value)}",
                field=name,
                value=number,
            )
        low, high = _limits(row, any_value=any_value)
        if not low <= number <= high:
            raise ConfigError(
                f"{name}={number} is out of range",
                hint=f"give {_range(row, any_value=any_value)}",
                field=name,
                value=number,
            )
        found[row] = number
    return found


def _settable(name: str) -> Setting:
    try:
        row = setting_named(name)
    except KeyError:
        row = None
    if row is None or not row.settable:
        raise ConfigError(
            f"{name!r} is not a setting that can be set here",
            hint="there are time, interval, probes, retries2 and syn-retries",
            field=name,
        )
    return row


def _limits(row: Setting, *, any_value: bool) -> tuple[int, int]:
    if any_value:
        return row.kernel_lowest, row.kernel_highest
    return row.lowest, row.highest


def _range(row: Setting, *, any_value: bool) -> str:
    low, high = _limits(row, any_value=any_value)
    unit = " seconds" if row.unit == "s" else ""
    return f"{low} to {high}{unit}"


def plan_change(
    wanted: Mapping[str, int],
    *,
    root: str | os.PathLike[str] = "/",
    persist: bool = False,
    records: str | os.PathLike[str] | None = None,
    any_value: bool = False,
) -> Change:
    """
    Return what would be changed; nothing is changed yet.

    Args:
        wanted: Whole numbers by our names (``time``, ``probes``, …).
        root: The tree; one without ``/proc/sys``, an image, has only files.
        persist: Keep the values in a configuration file, for the next boot.
        records: The directory for the record; ``/var/lib/deadpeer`` if None.
        any_value: Take whatever the kernel takes, not only what makes sense.

    Raises:
        ConfigError: A number is out of range, or our configuration file was
            edited by somebody.
        UnsupportedError: The kernel has no such setting, or the tree has none of
            its own.
        AccessDenied: The settings may not be read.
        KernelRefused: No descriptor is left to work with.
    """
    rows = checked(wanted, any_value=any_value)
    base = Path(root).resolve()
    if base != Path("/") and is_running_system(base):
        raise UnsupportedError(
            f"the /proc in {base} is the running kernel's, and shows the values of"
            " this process's own network namespace",
            hint="enter that system first, with nsenter -t PID -n -m, and leave out"
            " --root",
            option="--root",
        )
    is_image = base != Path("/") and not proc_path("net.ipv4", root=base).is_dir()
    if is_image and not persist:
        raise UnsupportedError(
            f"{base} has no /proc/sys, so it has no running values to change",
            hint="add --persist to write its configuration file",
            option="/proc/sys/net/ipv4",
        )
    live = () if is_image else tuple(_live_changes(rows, base))
    return Change(
        root=base,
        records=record_directory(base, records),
        live=live,
        file=_file_change(rows, base) if persist else None,
    )


def _live_changes(rows: Mapping[Setting, int], root: Path) -> list[LiveChange]:
    changes = []
    for row, number in rows.items():
        text = read_text(row.key, root=root)
        if text is None:
            raise UnsupportedError(
                f"this kernel has no {row.key}",
                hint="is /proc mounted, and is --root the tree that you meant?",
                option=row.key,
            )
        if number_as_kernel_reads(text) != number:
            changes.append(LiveChange(key=row.key, old=text, new=number))
    return changes


def own_file_now(root: Path) -> OldFile | None:
    """
    Return our configuration file as it is; None if there is none.

    Args:
        root: The tree.

    Raises:
        ConfigError: There is something that we did not write, or did not write
            alone.
        AccessDenied: It may not be read.
    """
    path = own_path(root)
    try:
        about = path.lstat()
        is_file = stat.S_ISREG(about.st_mode)
        text = path.read_text(encoding="utf-8", errors="replace") if is_file else ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise refusal(error, doing=f"read {path}") from error
    if values_of(text) is None:
        raise ConfigError(
            f"{OWN_FILE} is not as deadpeer wrote it",
            hint="move your lines to a file of your own and remove this one",
            field="persist",
            value=str(path),
        )
    return OldFile(
        text=text,
        mode=stat.S_IMODE(about.st_mode),
        owner=about.st_uid,
        group=about.st_gid,
    )


def _file_change(rows: Mapping[Setting, int], root: Path) -> FileChange | None:
    old = own_file_now(root)
    kept = (values_of(old.text) or {}) if old else {}
    new = file_text(kept | {row.key: number for row, number in rows.items()})
    if old and old.text == new:
        return None
    made = len(NewFile(target=own_path(root), data=b"").directories)
    return FileChange(path=OWN_FILE, new=new, made=made, old=old)
