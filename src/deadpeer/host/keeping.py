"""
What makes an attachment outlive the restart of a service.

A service that is restarted gets a new cgroup, and what was attached to the old one
is gone. So the programs are pinned, which keeps them loaded, and a drop-in tells
systemd to attach them to each new cgroup before the service starts.

systemd does so since version 249, where there are control groups of version 2
only. The BPF file system is empty after a boot: then ``attach`` has to be run again.

Source: systemd.resource-control(5), BPFProgram=; systemd.unit(5) on drop-ins; Linux
bpf(2) and kernel/bpf/inode.c for the file system, whose names have no dots.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deadpeer.errors import DeadPeerError
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.cgroups import Cgroup, is_there, is_unified
from deadpeer.kernel.mounts import all_mounts
from deadpeer.kernel.staging import NewFile, perform, refusal, sweep

__all__ = ["Keeping", "Places", "drop_in_text", "keeping_for", "why_not_kept"]

REMEDY = "run it with sudo"
DROP_IN = "50-deadpeer.conf"
PIN_NAMES = {Hook.SOCK_OPS: "keeper", Hook.SETSOCKOPT: "guard"}
SYSTEMD_NAMES = {Hook.SOCK_OPS: "sock_ops", Hook.SETSOCKOPT: "setsockopt"}
SECTIONS = {".service": "Service", ".socket": "Socket", ".slice": "Slice"}
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """
    Where things are kept; another tree, for a test.

    Args:
        bpf: The BPF file system.
        units: Where an administrator's units are.
        systemd: What is there where systemd runs the system: sd_booted(3).
        mounts: What ``/proc/self/mountinfo`` says; it is read if None.
    """

    bpf: Path = Path("/sys/fs/bpf")
    units: Path = Path("/etc/systemd/system")
    systemd: Path = Path("/run/systemd/system")
    mounts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """
    The pins and the drop-in of one unit.

    Args:
        unit: The unit's name.
        pins: The folder of the pins.
        drop_in: The drop-in's file.
    """

    unit: str
    pins: Path
    drop_in: Path

    @property
    def exists(self) -> bool:
        """Whether there is anything of it."""
        return is_there(self.drop_in) or is_there(self.pins)

    def holds(self, hooks: Sequence[Hook]) -> bool:
        """
        Tell whether just these programs are kept; a boot leaves only the drop-in.

        Args:
            hooks: Where the programs belong.
        """
        try:
            # Somebody may have put anything there.
            written = self.drop_in.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        pinned = [hook for hook in Hook if self.pin_of(hook).exists()]
        return written == drop_in_text(self, hooks) and pinned == list(hooks)

    def pin_of(self, hook: Hook) -> Path:
        """
        Return the file of a pinned program.

        Args:
            hook: Where the program belongs.
        """
        return self.pins / PIN_NAMES[hook]

    def stage(self, programs: Mapping[Hook, int]) -> None:
        """
        Pin programs under names that nobody reads yet.

        Args:
            programs: Their descriptors.

        Raises:
            AccessDenied: The file system may not be written.
            KernelRefused: It could not be done.
            UnsupportedError: This kernel has no BPF.
        """
        try:
            self.pins.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Of one that was killed; all of them, for what lies there is published.
            for hook in Hook:
                self._unseen(hook).unlink(missing_ok=True)
        except OSError as error:
            doing = f"make {self.pins}"
            raise refusal(error, doing=doing, remedy=REMEDY) from error
        for hook, program in programs.items():
            bpf.pin(program, str(self._unseen(hook)))

    def publish(self) -> None:
        """
        Put what was staged, and the drop-in, where systemd finds them.

        Raises:
            AccessDenied: A file may not be written.
            KernelRefused: It could not be done.
        """
        staged = [hook for hook in Hook if self._unseen(hook).exists()]
        file = NewFile(target=self.drop_in, data=drop_in_text(self, staged).encode())
        try:
            # The file first: it may fail, where two names in one folder will not.
            perform([*file.stage(), *file.publish()])
            for hook in Hook:
                if hook in staged:
                    self._unseen(hook).replace(self.pin_of(hook))
                else:
                    self.pin_of(hook).unlink(missing_ok=True)
        except OSError as error:
            if isinstance(error, DeadPeerError):
                raise
            doing = f"write {self.drop_in}"
            raise refusal(error, doing=doing, remedy=REMEDY) from error
        finally:
            sweep(file.temporary)

    def discard(self) -> None:
        """Remove what was staged and not published."""
        for hook in Hook:
            self._unseen(hook).unlink(missing_ok=True)
        _remove_if_empty(self.pins, self.pins.parent)

    def remove(self) -> tuple[Path, ...]:
        """
        Remove the pins and the drop-in.

        Returns:
            What was removed.

        Raises:
            AccessDenied: A file may not be removed.
            KernelRefused: It could not be done.
        """
        # The drop-in first: it must not name what is gone.
        pins = [place(hook) for hook in Hook for place in (self.pin_of, self._unseen)]
        files = [self.drop_in, *pins]
        removed = tuple(path for path in files if path.exists())
        try:
            for path in removed:
                path.unlink()
        except OSError as error:
            doing = f"remove {path}"
            raise refusal(error, doing=doing, remedy=REMEDY) from error
        _remove_if_empty(self.drop_in.parent, self.pins, self.pins.parent)
        return removed

    def _unseen(self, hook: Hook) -> Path:
        return self.pins / f"{PIN_NAMES[hook]}-new"


def keeping_for(unit: str, places: Places) -> Keeping:
    """
    Return where the pins and the drop-in of a unit are, or would be.

    Args:
        unit: The unit's name.
        places: Where things are kept.
    """
    return Keeping(
        unit=unit,
        pins=places.bpf / "deadpeer" / _pin_folder(unit),
        drop_in=places.units / f"{unit}.d" / DROP_IN,
    )


def why_not_kept(cgroup: Cgroup, places: Places) -> str:
    """
    Return why an attachment ends with its cgroup; empty if it can be kept.

    Args:
        cgroup: The cgroup.
        places: Where things are kept.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    if not places.systemd.is_dir():
        return "systemd does not run here, which would attach the programs again"
    if not _section(cgroup.unit) or "/user@" in cgroup.name:
        return "it is no unit of the system's that a drop-in could be written for"
    if not is_unified(places.mounts):
        return "systemd attaches programs only where all control groups are version 2"
    if not _is_bpf(places):
        return f"no BPF file system is mounted: mount -t bpf bpf {places.bpf}"
    return ""


def drop_in_text(keeping: Keeping, hooks: Sequence[Hook]) -> str:
    """
    Return what a drop-in says.

    Args:
        keeping: Where the pins are.
        hooks: Which programs there are.
    """
    lines = [
        f"BPFProgram={SYSTEMD_NAMES[hook]}:{keeping.pin_of(hook)}" for hook in hooks
    ]
    return "\n".join(
        [
            "# Written by deadpeer attach; deadpeer detach removes it.",
            f"[{_section(keeping.unit)}]",
            *lines,
            "",
        ]
    )


def _section(unit: str) -> str:
    return SECTIONS.get(Path(unit).suffix, "")


def _pin_folder(unit: str) -> str:
    """
    Return a unit's name without what the BPF file system does not take.

    >>> _pin_folder("web@1.service")
    'web_401_2eservice'
    """
    return NOT_IN_A_NAME.sub(
        # Names of files are bytes, and Python has what is no UTF-8 as surrogates.
        lambda found: "".join(
            f"_{b:02x}" for b in found[0].encode("utf-8", "surrogateescape")
        ),
        unit,
    )


def _is_bpf(places: Places) -> bool:
    return any(
        mount.kind == "bpf" and mount.place == places.bpf
        for mount in all_mounts(places.mounts)
    )


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
