"""
Files that appear whole or not at all, also when the process is killed.

A change is a list of steps, each of which can be repeated. What is new is made
under a name that nothing else uses, and becomes visible by one rename: a file,
or the topmost directory that was missing with everything in it. Whatever a
killed process left behind therefore has such a name, and can be swept away.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deadpeer.errors import AccessDenied, DeadPeerError, KernelRefused
from deadpeer.kernel.descriptors import NONE_LEFT, no_descriptor_left

__all__ = [
    "Checkpoint",
    "NewFile",
    "Step",
    "leftover_name",
    "leftovers",
    "locked",
    "make_durable",
    "no_checkpoint",
    "perform",
    "refusal",
    "sweep",
]

Checkpoint = Callable[[str], None]
"""Is called before each step with the step's title."""

LEFTOVER = re.compile(r"\.deadpeer-[0-9a-f]{16}\.tmp")
DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step of a change.

    Args:
        title: What it does, in words.
        do: Does it; doing it again does no harm.
    """

    title: str
    do: Callable[[], object]


def no_checkpoint(title: str) -> None:
    """Do nothing before a step."""


def perform(steps: Iterable[Step], checkpoint: Checkpoint = no_checkpoint) -> None:
    """
    Do the steps in order.

    Args:
        steps: What to do.
        checkpoint: Is called before each step, with its title.

    Raises:
        OSError: A step failed; the later ones were not done.
    """
    for step in steps:
        checkpoint(step.title)
        step.do()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """
    A file that is to appear, with the directories that are missing above it.

    Args:
        target: Where it is to appear; an existing file is replaced.
        data: What it holds.
        mode: Its permissions.
        owner: Its user and group; None leaves them to the kernel.
    """

    target: Path
    data: bytes
    mode: int = 0o644
    owner: tuple[int, int] | None = None
    top: Path = field(init=False)
    temporary: Path = field(init=False)

    def __post_init__(self) -> None:
        above = [self.target, *self.target.parents]
        missing = [path for path in above if not path.is_dir() and path != self.target]
        top = missing[-1] if missing else self.target
        object.__setattr__(self, "top", top)
        object.__setattr__(self, "temporary", top.parent / leftover_name())

    @property
    def directories(self) -> tuple[Path, ...]:
        """The directories that are made for it, outermost first."""
        if self.top == self.target:
            return ()
        inner = self.target.parent.relative_to(self.top).parts
        return tuple(self.top.joinpath(*inner[:n]) for n in range(len(inner) + 1))

    def staged(self, final: Path) -> Path:
        """
        Return where something lies before it is published.

        Args:
            final: Where it will lie.
        """
        return self.temporary.joinpath(final.relative_to(self.top))

    def stage(self) -> list[Step]:
        """Return the steps after which everything is on the disk, unseen."""
        what = self.target.name
        made = [
            Step(f"make {path.name} for {what}", partial(self._mkdir, path))
            for path in self.directories
        ]
        return [
            *made,
            Step(f"create {what}, unseen", self._create),
            Step(f"write {what}, unseen", self._write),
        ]

    def publish(self) -> list[Step]:
        """Return the steps after which the file is where it belongs."""
        what = self.target.name
        return [
            Step(f"publish {what}", lambda: self.temporary.replace(self.top)),
            Step(f"make {what} durable", lambda: make_durable(self.top.parent)),
        ]

    def _mkdir(self, path: Path) -> None:
        staged = self.staged(path)
        staged.mkdir()
        staged.chmod(DIRECTORY_MODE)  # whatever the umask is

    def _create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(self.staged(self.target), flags, 0o600))

    def _write(self) -> None:
        path = self.staged(self.target)
        # Who owns the directory may have put a link there meanwhile.
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "r+b") as file:
            file.write(self.data)
            file.flush()
            if self.owner is not None:
                os.fchown(file.fileno(), *self.owner)
            os.fchmod(file.fileno(), self.mode)
            os.fsync(file.fileno())
        make_durable(path.parent)


def leftover_name() -> str:
    """Return a name that nothing else uses, and that `leftovers` finds."""
    import secrets  # late: who only reads settings has no use for it

    return f".deadpeer-{secrets.token_hex(8)}.tmp"


def make_durable(directory: Path) -> None:
    """
    Have a directory's entries written to the disk.

    Args:
        directory: The directory in which something appeared or went away.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems cannot, and need not
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(targets: Iterable[Path], *, root: Path) -> tuple[Path, ...]:
    """
    Return what a killed process left behind on the way to some files.

    Args:
        targets: The files. In the tree their directories and all above are
            looked at, outside of it only where something new would be made.
        root: The tree.
    """
    places = {place for target in targets for place in _on_the_way(target, root)}
    found: list[Path] = []
    for place in sorted(places):
        with suppress(OSError):
            found += [path for path in place.iterdir() if LEFTOVER.fullmatch(path.name)]
    return tuple(sorted(found))


def _on_the_way(target: Path, root: Path) -> list[Path]:
    within = [above for above in target.parents if above.is_relative_to(root)]
    return within or [next(above for above in target.parents if above.is_dir())]


def sweep(path: Path) -> None:
    """
    Remove one thing that `leftovers` found.

    Args:
        path: A temporary file or directory of ours.
    """
    if not LEFTOVER.fullmatch(path.name):
        raise ValueError(f"{path} is not a name that only we use")
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):  # most are empty, and this takes no descriptor
            path.rmdir()
            return
        import shutil  # late, for the same reason

        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """
    Keep other changes to a tree away; no lock file is made.

    Args:
        root: The tree.

    Raises:
        KernelRefused: Another change is under way.
        AccessDenied: The tree may not be read.
    """
    import fcntl  # not on Windows, where reading settings has to work all the same

    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise refusal(error, doing=f"read {root}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise KernelRefused(
            f"another change to the settings of {root} is under way",
            hint="try again when it has ended",
            operation=f"flock({root})",
            errno=error.errno,
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def refusal(error: OSError, *, doing: str, remedy: str = "") -> DeadPeerError:
    """
    Return what a failed step means for the user.

    Args:
        error: What the kernel said.
        doing: What was being done, as in "write /etc/x".
        remedy: What to do about it; a missing privilege has its own.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, PermissionError):
        return AccessDenied(
            f"this user may not {doing}",
            hint=remedy or "run it as root: sudo deadpeer system …",
            capability="CAP_DAC_OVERRIDE",
        )
    if error.errno in NONE_LEFT:
        return no_descriptor_left(error.errno, doing)
    return KernelRefused(
        f"cannot {doing}: {reason}", hint=remedy, operation=doing, errno=error.errno
    )
