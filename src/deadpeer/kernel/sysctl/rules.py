"""
Who wins: which line of which file decides a setting, and which lines are shadowed.

The programs that read the files also disagree about the lines:

* **systemd** keeps one entry a key, the last, and writes that. A line that names
  the key goes before patterns; ``-key`` takes the key away from all lines before.
* **procps** writes every line in turn, so where the kernel refuses the last value
  the one before stays. ``-key`` takes the key away from patterns only, and may
  itself be a pattern (since 4.0.5).
* **alpine**'s busybox writes in turn too, and knows neither patterns nor ``-``.

Source:
    systemd src/sysctl/sysctl.c, parse_file() and apply_all(); procps
    src/sysctl.c, write_setting_list(); busybox procps/sysctl.c. The first two
    programs were run against the same trees, and agree with this file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from deadpeer.kernel.sysctl.files import matches
from deadpeer.kernel.sysctl.order import ConfigFile, Rule, reading_order

__all__ = ["Assignment", "Outcome", "Shadowed", "outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """
    A line of a file that concerns a key.

    Args:
        path: The file's name in the tree.
        real: Where the file really is, if *path* is a symlink.
        line: The line's number, from 1.
        key: What stands there as the key, with slashes; may be a pattern.
        value: What stands there as the value; None excludes the key.
        tolerant: It starts with ``-``.
    """

    path: str
    real: str = ""
    line: int
    key: str
    value: str | None
    tolerant: bool = False

    @property
    def place(self) -> tuple[str, int]:
        """Where the line really stands."""
        return self.real or self.path, self.line


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """
    A line that says something about a key and does not decide.

    Args:
        assignment: The line.
        why: Why it does not decide, in words.
    """

    assignment: Assignment
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What the files make of one key under one rule.

    Args:
        key: The path under ``/proc/sys``, with slashes.
        rule: Whose reading.
        winner: The line that decides; None if none does.
        shadowed: The lines that do not, in the order of reading.
        taken: The kernel takes the winner's value.
    """

    key: str
    rule: Rule
    winner: Assignment | None
    shadowed: tuple[Shadowed, ...] = ()
    taken: bool = True

    @property
    def text(self) -> str | None:
        """The value that the kernel ends up with, as written; None if untouched."""
        if self.winner is None or not self.taken:
            return None
        return self.winner.value


def outcome(
    key: str,
    files: Sequence[ConfigFile],
    rule: Rule,
    *,
    takes: Callable[[str], bool] = lambda _: True,
) -> Outcome:
    """
    Return which line decides a key, and which do not and why.

    Args:
        key: The path under ``/proc/sys``, with slashes.
        files: All files of the tree, in any order.
        rule: Whose reading.
        takes: Tells if the kernel takes a value.
    """
    read, passed_over = reading_order(files, rule)
    reading = _Reading(key, tuple(_about(key, read, rule)), rule, takes)
    winner = reading.winner()
    unread = sorted(
        (file for file in files if file.path in passed_over), key=lambda f: f.path
    )
    why = [(said, reading.why(said, winner)) for said in reading.said]
    why += [(said, passed_over[said.path]) for said in _about(key, unread, rule)]
    return Outcome(
        key=key,
        rule=rule,
        winner=winner,
        shadowed=tuple(
            Shadowed(assignment=said, why=reason)
            for said, reason in why
            if winner is None or said.place != winner.place
        ),
        taken=winner is None or takes(winner.value or ""),
    )


def _about(key: str, files: Iterable[ConfigFile], rule: Rule) -> Iterator[Assignment]:
    """Yield the lines that say something about a key, in the order of reading."""
    for file in files:
        for line in file.parsed.lines:
            across = rule is Rule.PROCPS and line.value is None
            if line.key == key or matches(line.key, key, across=across):
                yield Assignment(
                    path=file.path,
                    real=file.real,
                    line=line.number,
                    key=line.key,
                    value=line.value,
                    tolerant=line.tolerant,
                )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read about one key, in order."""

    key: str
    said: tuple[Assignment, ...]
    rule: Rule
    takes: Callable[[str], bool]

    def winner(self) -> Assignment | None:
        match self.rule:
            case Rule.SYSTEMD:
                return self.last_entry()
            case Rule.PROCPS:
                return self.last_taken(self.for_procps())
            case Rule.ALPINE:
                return self.last_taken(s for s in self.said if self.for_busybox(s))

    def last_entry(self) -> Assignment | None:
        named = [said for said in self.said if said.key == self.key]
        if named:
            return named[-1] if named[-1].value is not None else None
        # Patterns apply in the order of their entries. One that is repeated with
        # the same value keeps its place, with another value it moves to the end.
        entries: dict[str, Assignment] = {}
        for said in self.said:
            before = entries.get(said.key)
            if before is not None and before.value != said.value:
                del entries[said.key]
            entries[said.key] = said
        return self.last_taken(s for s in entries.values() if s.value is not None)

    def for_procps(self) -> Iterable[Assignment]:
        named = [s for s in self.said if s.key == self.key and s.value is not None]
        if named:
            return named
        excluded = any(said.value is None for said in self.said)
        return () if excluded else self.said

    def for_busybox(self, said: Assignment) -> bool:
        return said.key == self.key and said.value is not None and not said.tolerant

    def last_taken(self, written: Iterable[Assignment]) -> Assignment | None:
        kept = [said for said in written if self.takes(said.value or "")]
        return kept[-1] if kept else None

    def why(self, said: Assignment, winner: Assignment | None) -> str:
        """Say why a line that is read does not decide."""
        if said.value is None:
            return "excludes the key from patterns, sets nothing"
        if self.rule is Rule.ALPINE and not self.for_busybox(said):
            return "busybox knows neither patterns nor a leading -"
        if not self.takes(said.value):
            return "the kernel refuses this value"
        return self.beaten(said, winner)

    def beaten(self, said: Assignment, winner: Assignment | None) -> str:
        if winner is None:
            return "excluded by a line that starts with -"
        if said.key != self.key and winner.key == self.key:
            return "a pattern; a line that names the key goes before it"
        if said.path == winner.path:
            return "a later line of the same file"
        return f"{winner.path} is read later"
