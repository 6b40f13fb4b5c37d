"""The whole picture of a tree: each setting, its running value and its files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deadpeer.kernel.sysctl.files import file_text
from deadpeer.kernel.sysctl.order import ConfigFile, Rule
from deadpeer.kernel.sysctl.place import Place, place
from deadpeer.kernel.sysctl.record import OWN_FILE
from deadpeer.kernel.sysctl.rules import Outcome, outcome
from deadpeer.kernel.sysctl.table import SETTINGS, Setting, number_as_kernel_reads
from deadpeer.kernel.sysctl.tree import Readers, read_files, readers
from deadpeer.kernel.sysctl.values import defaults_from, read_all
from deadpeer.platforms import Defaults

__all__ = ["Survey", "Surveyed", "lost", "survey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """
    One setting of a tree.

    Args:
        setting: Its row.
        value: The running value, in the setting's unit; None if there is none.
        outcomes: What the files make of it, for each rule that holds here.
    """

    setting: Setting
    value: int | None
    outcomes: tuple[Outcome, ...]

    def from_files(self, rule: Rule) -> int | None:
        """
        Return the number that the files give; None if they leave it alone.

        Args:
            rule: Whose reading.
        """
        for found in self.outcomes:
            if found.rule is rule and found.text is not None:
                return number_as_kernel_reads(found.text)
        return None

    def after_boot(self, rule: Rule) -> int:
        """
        Return the number that a boot would give: the files', else the kernel's.

        Args:
            rule: Whose reading.
        """
        number = self.from_files(rule)
        return self.setting.default if number is None else number

    @property
    def differs(self) -> bool:
        """The rules give it different numbers."""
        return len({self.after_boot(found.rule) for found in self.outcomes}) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """
    Everything about a tree's settings.

    Args:
        root: The tree.
        settings: The settings that the kernel has, or an image's files set.
        readers: Who reads the files here.
        files: The files.
        place: Whose running values these are; None for an image without any.
    """

    root: Path
    settings: tuple[Surveyed, ...]
    readers: Readers
    files: tuple[ConfigFile, ...] = field(repr=False)
    place: Place | None

    @property
    def values(self) -> dict[str, int]:
        """The running values by our names."""
        return {
            found.setting.name: found.value
            for found in self.settings
            if found.value is not None
        }

    @property
    def in_force(self) -> dict[str, int]:
        """The values that count: running, or what an image's files give at boot."""
        if self.place is None:
            rule = self.readers.rules[0]
            return {item.setting.name: item.after_boot(rule) for item in self.settings}
        if self.place.sandbox:
            shown = self.values.items()
            return {name: n for name, n in shown if name not in ("interval", "probes")}
        return self.values

    @property
    def defaults(self) -> Defaults:
        """The values that count as the policy layer wants them."""
        return defaults_from(self.in_force)


def survey(root: str | os.PathLike[str] = "/", *, image: bool = False) -> Survey:
    """
    Return the whole picture of a tree.

    Args:
        root: The tree.
        image: A tree without running values will do.

    Raises:
        UnsupportedError: There are no settings in the tree.
        AccessDenied: They may not be read.
        KernelRefused: Reading failed in another way.
        ConfigError: A file of the tree's proc holds no number.
    """
    base = Path(root).resolve()
    has_values = not image or Path(base, "proc/sys/net/ipv4").is_dir()
    values = read_all(root=base) if has_values else {}
    files = read_files(base)
    who = readers(base)
    return Survey(
        root=base,
        settings=tuple(
            Surveyed(
                setting=row,
                value=values.get(row.name),
                outcomes=tuple(_outcome(row, files, rule) for rule in who.rules),
            )
            for row in SETTINGS
            if row.name in values or not has_values
        ),
        readers=who,
        files=files,
        place=place(base) if has_values else None,
    )


def _outcome(row: Setting, files: tuple[ConfigFile, ...], rule: Rule) -> Outcome:
    return outcome(row.key.replace(".", "/"), files, rule, takes=row.takes)


def lost(picture: Survey, values: Mapping[str, int]) -> tuple[Outcome, ...]:
    """
    Return where our configuration file would not decide, however it is named.

    Args:
        picture: The tree as it is.
        values: What the file would hold: numbers by the kernel's names.

    Returns:
        The outcomes, each with the line that wins, that differ from our file's.
    """
    ours = ConfigFile(path=OWN_FILE, text=file_text(dict(values)))
    others = tuple(file for file in picture.files if file.path != OWN_FILE)
    found = [
        _outcome(item.setting, (*others, ours), rule)
        for item in picture.settings
        if item.setting.key in values
        for rule in picture.readers.rules
    ]
    return tuple(
        result
        for result in found
        if result.winner is None or result.winner.path != OWN_FILE
    )
