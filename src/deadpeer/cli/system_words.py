"""What a system's settings mean, as sentences: odd values, warnings, whose they are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deadpeer.cli.durations import in_words
from deadpeer.kernel.sysctl.order import ConfigFile, Rule
from deadpeer.kernel.sysctl.rules import Assignment, Outcome
from deadpeer.kernel.sysctl.survey import Survey, Surveyed
from deadpeer.kernel.sysctl.table import KEEPALIVE, Setting
from deadpeer.kernel.sysctl.values import defaults_from, timer_ticks
from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy import Bound, Keepalive, State, predict
from deadpeer.policy.timers import give_up_after

__all__ = [
    "READS",
    "Unnoticed",
    "about_value",
    "in_force",
    "place_line",
    "unnoticed",
    "warnings",
    "where",
    "winner_line",
]

READS = {
    Rule.SYSTEMD: "systemd-sysctl",
    Rule.PROCPS: "sysctl --system",
    Rule.ALPINE: "Alpine's boot script",
}

# RFC 1122, 4.2.3.5: the time before data is given up should be 100 s or more.
LEAST_PATIENCE = 100.0

ODD: tuple[tuple[str, Callable[[int], bool], str], ...] = (
    (
        "time",
        lambda value: value < 0,
        "negative: the first probe waits 50 days or more, so keepalive is off",
    ),
    (
        "time",
        lambda value: value == 0,
        "zero: probes start at once and go on, one an interval",
    ),
    (
        "interval",
        lambda value: value < 0,
        "negative: the second probe waits 50 days or more",
    ),
    (
        "interval",
        lambda value: value == 0,
        "zero: all probes go out at once, with no time to answer",
    ),
    (
        "probes",
        lambda value: value == 0,
        "zero: keepalive ends every idle connection, alive or dead",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnoticed:
    """
    How long a death goes unnoticed under a system's settings.

    Args:
        idle: For an idle peer, from when it was last heard, where the program
            turned SO_KEEPALIVE on. Where it did not: for ever.
        busy: For one that owes an acknowledgement.
        connecting: For one that never answered.
    """

    idle: Bound
    busy: Bound
    connecting: Bound


def in_force(picture: Survey, wanted: Mapping[str, int] | None = None) -> Defaults:
    """
    Return the settings that deaths are judged by: the tree's, and its timers'.

    Only the running system tells how late its timers may be; for another tree the
    worst is assumed. So this says what ``deadpeer explain`` says of the same system.

    Args:
        picture: The tree.
        wanted: Numbers by our names that replace the tree's, in the kernel's units.
    """
    here = picture.root == Path("/")
    defaults = defaults_from({**picture.in_force, **(wanted or {})})
    return replace(defaults, hz=timer_ticks() if here else None)


def unnoticed(defaults: Defaults) -> Unnoticed:
    """
    Return how long a death goes unnoticed.

    Args:
        defaults: The system's settings.
    """
    trusting = Keepalive(on=True)
    return Unnoticed(
        idle=predict(trusting, State.IDLE, defaults=defaults, silence=(0.0, 0.0)),
        busy=predict(trusting, State.UNACKNOWLEDGED, defaults=defaults),
        connecting=predict(trusting, State.CONNECTING, defaults=defaults),
    )


def about_value(row: Setting, value: int) -> str:
    """
    Return what is odd about a running value; empty if nothing is.

    Args:
        row: The setting.
        value: Its number, in its own unit.

    Source:
        net/ipv4/tcp_timer.c, tcp_keepalive_timer(); each of the effects was
        measured on Linux 6.18.
    """
    if row.name == "retries2":
        return _about_patience(value)
    for name, is_so, meaning in ODD:
        if row.name == name and is_so(value):
            return meaning
    if row in KEEPALIVE and value > row.highest:
        return f"more than a program can set on a socket ({row.highest})"
    return ""


def _about_patience(retries: int) -> str:
    patience = give_up_after(retries, LINUX.defaults.rto_max)
    if patience >= LEAST_PATIENCE:
        return ""
    return (
        f"gives up after {in_words(patience)}; RFC 1122 (4.2.3.5) asks for"
        f" {in_words(LEAST_PATIENCE)} or more, and this is for every connection"
    )


def where(said: Assignment) -> str:
    """
    Return a line's place, as editors take it; and the real file behind a link.

    Args:
        said: A line of a configuration file.
    """
    real = f" (a link to {said.real})" if said.real else ""
    return f"{said.path}:{said.line}{real}"


def winner_line(found: Outcome, row: Setting) -> str:
    """
    Return which line decides under one rule.

    Args:
        found: What the files make of a setting.
        row: The setting.
    """
    if found.winner is None:
        return f"no file; the kernel's own {row.default}"
    if not found.taken:
        return f"{where(found.winner)} = {found.winner.value}, which the kernel refuses"
    return f"{where(found.winner)} = {found.winner.value}"


def place_line(picture: Survey) -> str:
    """
    Return whose settings these are.

    Args:
        picture: The tree.
    """
    here = picture.place
    if here is None:
        return f"The image {picture.root}: what its files give; nothing runs there."
    if here.sandbox:
        return "A gVisor sandbox shows stubs here: its own stack uses 7200/75/9."
    if not here.running:
        return f"The tree {picture.root}: files, not a running kernel."
    if picture.root != Path("/"):
        return (
            f"The tree {picture.root}, with the running kernel's /proc: the values"
            " are those of this process's own network namespace."
        )
    kind = f", in a {here.container} container" if here.container else ""
    if here.initial:
        return f"The system's first network namespace{kind}."
    return (
        f"Network namespace {here.namespace}{kind}: not the host's values; a new"
        " namespace starts with the kernel's own."
    )


def warnings(picture: Survey) -> Iterator[str]:
    """
    Yield what a careful administrator would want to know.

    Args:
        picture: The tree.
    """
    if picture.place and picture.place.sandbox:
        yield "nothing can be set in this sandbox; set options on each socket"
    else:
        for item in picture.settings:
            yield from _about_setting(item, picture)
        if picture.defaults.probes == 1 and picture.values.get("probes"):
            yield (
                "probes is 1: one lost packet ends a live connection; RFC 1122"
                " (4.2.3.6) forbids taking it for a death"
            )
    if picture.readers.at_boot is None:
        yield "nothing in this system reads the files when it starts"
    yield from _about_files(picture)


def _about_setting(item: Surveyed, picture: Survey) -> Iterator[str]:
    key = item.setting.key
    if item.value is not None:
        odd = about_value(item.setting, item.value)
        if odd:
            yield f"{key} is {item.value}, {odd}"
        yield from _about_boot(item, picture)
    if item.differs:
        said = "; ".join(
            f"{READS[found.rule]}: {winner_line(found, item.setting)}"
            for found in item.outcomes
        )
        yield f"{key} depends on who reads the files: {said}"


def _about_boot(item: Surveyed, picture: Survey) -> Iterator[str]:
    boot, here = picture.readers.at_boot, picture.place
    if boot is None or (here and here.initial is False):
        return
    then = item.after_boot(boot)
    if then != item.value:
        yield (
            f"{item.setting.key} is {item.value} now and would be {then} after a"
            f" reboot: {_boot_reason(item, boot)}"
        )


def _boot_reason(item: Surveyed, boot: Rule) -> str:
    found = next(found for found in item.outcomes if found.rule is boot)
    return winner_line(found, item.setting)


def _about_files(picture: Survey) -> Iterator[str]:
    names = [item.setting.key.rpartition(".")[2] for item in picture.settings]
    told: set[str] = set()
    for file in picture.files:
        if file.problem and file.name.endswith(".conf"):
            yield f"{file.path} cannot be read ({file.problem}); what it sets is unknown"
        real = file.real or file.path
        if real not in told:  # a link would say it twice
            yield from _about_lines(file, names)
        told.add(real)


def _about_lines(file: ConfigFile, names: list[str]) -> Iterator[str]:
    for bad in file.parsed.malformed:
        if any(name in bad.text for name in names):
            yield f"{file.path}:{bad.number} is no setting and is skipped: {bad.text}"
