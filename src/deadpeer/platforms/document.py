r"""
The platform table as a page of the reference.

A test holds ``docs/reference/platforms.md`` to it. To write it anew::

    python -c "from deadpeer.platforms.document import page; print(page(), end='')" \
        > docs/reference/platforms.md
"""

from collections.abc import Iterator
from typing import get_args

from deadpeer.platforms.directory import PLATFORMS
from deadpeer.platforms.rows import Defaults, Name, Option, Platform

__all__ = ["page"]

NAMES: tuple[Name, ...] = get_args(Name)

LABELS: dict[str, str] = {
    "on": "the switch",
    "idle": "idle",
    "interval": "interval",
    "probes": "probes",
    "user_timeout": "user timeout",
    "rto_max": "rto max",
}

ABOVE = """\
<!-- Made from src/deadpeer/platforms by deadpeer.platforms.document; do not edit. -->

# Platforms and their options

What each system calls the settings of TCP keepalive, which numbers it knows
them by, and what it takes. Durations are given to this library in seconds and
rounded up to the unit that is shown here.

Every row is tested as data on every system. Those that were not run on their own
system say so: their numbers come from the sources named below each.
"""


def page() -> str:
    """Return the whole page, in Markdown."""
    parts = [ABOVE, *_matrix()]
    for row in PLATFORMS:
        parts += [f"## {row.title}", *_section(row)]
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _matrix() -> Iterator[str]:
    yield "## At a glance"
    lines = [
        _line("platform", *(LABELS[name] for name in NAMES), "run on"),
        _line(*["---"] * (len(NAMES) + 2)),
    ]
    for row in PLATFORMS:
        cells = [_cell(row, name) for name in NAMES]
        lines.append(_line(_linked(row), *cells, row.ran or "not run"))
    yield "\n".join(lines)


def _linked(row: Platform) -> str:
    kept = (c for c in row.title.lower() if c.isalnum() or c in " -")
    return f"[{row.title}](#{''.join(kept).replace(' ', '-')})"


def _cell(row: Platform, name: Name) -> str:
    option = row.options.get(name)
    if option is not None:
        return f"`{option.name}`"
    if name == "probes" and row.fixed_probes:
        return f"always {row.fixed_probes}"
    return "–"


def _section(row: Platform) -> Iterator[str]:
    yield f"Name of the row: `{row.name}`. " + (
        f"Run on {row.ran}." if row.ran else "**Not run on its own system.**"
    )
    yield "\n".join(
        [
            _line("setting", "option", "level", "number", "unit", "range", "since"),
            _line(*["---"] * 7),
            *(_row(row, name) for name in NAMES if name in row.options),
            _option_line("on", row.switch, "0 or 1", "–"),
        ]
    )
    yield "\n".join(_facts(row))
    if row.notes:
        yield "\n".join(f"- {note}" for note in row.notes)
    yield "Sources: " + "; ".join(row.sources) + "."


def _row(row: Platform, name: Name) -> str:
    option = row.options[name]
    off = ", 0 is off" if option.zero_is_off else ""
    return _option_line(
        name,
        option,
        f"{option.lowest} to {option.highest}{off}",
        "count" if name == "probes" else _unit(option),
    )


def _option_line(key: str, option: Option, takes: str, unit: str) -> str:
    # A level below zero is no level: the option is an ioctl.
    level = "ioctl" if option.level < 0 else f"{option.level:#x}"
    number = f"{option.number} ({option.number:#x})"
    return _line(
        LABELS[key],
        f"`{option.name}`",
        level,
        number,
        unit,
        takes,
        option.since or "always",
    )


def _unit(option: Option) -> str:
    return "s" if option.unit == 1.0 else "ms"


def _facts(row: Platform) -> Iterator[str]:
    yield f"- Where nothing is set: {_defaults(row.defaults)}."
    taken = [LABELS[key] for key in ("on", *NAMES) if key in row.inherited]
    yield f"- An accepted socket takes over: {', '.join(taken) or 'not known'}."
    if row.harms_listener:
        yield "- Keepalive on a listening socket ends the listener."
    pinned = [LABELS[n] for n in NAMES if n in row.options and row.options[n].pins]
    if pinned:
        yield (
            f"- Once set, a socket keeps its own, whatever the system's become: {', '.join(pinned)}."
        )
    if row.probes_yield:
        yield "- A user timeout makes the kernel ignore the number of probes."
    for name, instead in row.absent.items():
        yield f"- No option for {LABELS[name]}. In its place: {instead}."
    if row.unreadable:
        names = [LABELS[name] for name in NAMES if name in row.unreadable]
        yield f"- Not read back everywhere: {', '.join(names)}."
    if row.whole:
        yield (
            "- Written together only:"
            f" {' and '.join(LABELS[name] for name in row.whole)}."
        )


def _defaults(defaults: Defaults) -> str:
    return (
        f"idle {defaults.idle:g} s, interval {defaults.interval:g} s,"
        f" {defaults.probes} probe{'' if defaults.probes == 1 else 's'}"
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
