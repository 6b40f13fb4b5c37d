"""
The report as one HTML page that needs nothing else, on- or offline.

It is well-formed XML too. The run itself is inside, as JSON, so that the page
can be read back (see ``replay``).
"""

import json
from collections.abc import Iterator
from itertools import chain

from deadpeer.lab.rendering.digest import digest
from deadpeer.lab.rendering.markup import Markup, element, joined
from deadpeer.lab.rendering.page_style import STYLE
from deadpeer.lab.rendering.page_tables import (
    failures_list,
    glance_table,
    heartbeats_table,
    measurements_table,
    settings_table,
)
from deadpeer.lab.rendering.report import (
    Section,
    glance,
    headline,
    one_by_one,
    outside,
    sections,
)
from deadpeer.lab.rendering.summary import summary
from deadpeer.lab.rendering.timeline import NARROW, WIDE, Picture, inline, standalone
from deadpeer.lab.rendering.words import DONE, FAULTS, SITUATIONS, about, state_label
from deadpeer.lab.scenario import Run
from deadpeer.lab.selection import outage
from deadpeer.lab.terms import Fault, Situation

__all__ = ["DATA_CLOSES", "DATA_OPENS", "MARK", "page", "poster"]

MARK = '<meta name="generator" content="deadpeer lab"/>'
"""Stands near the beginning of every page, and of no other program's file."""

DATA_OPENS = '<script type="application/json" id="deadpeer-run">'
DATA_CLOSES = "</script>"
"""What stands around the run; its JSON holds no ``<``."""

# The page asks for nothing; this makes the browser hold it to that.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

READING = (
    "A bar is a connection. It is solid while the peer lives, and hatched from the"
    " peer's death until the death is reported: in that time the connection believes"
    " in a peer that is gone. The frame was drawn before the fault and says when the"
    " report should come; the diamond says when it came. An arrow: nothing came for"
    " as long as was watched."
)


def page(run: Run) -> str:
    """
    Return the report on a run as a whole HTML document.

    Args:
        run: What was measured.
    """
    title = _title(run)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(MARK),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{headline(run)} - deadpeer lab"),
        element("style", Markup(STYLE)),
    )
    main = element(
        "main",
        element("h1", title),
        *_verdict(run),
        *_pictures(run),
        *_tables(run),
        *_background(run),
    )
    body = element("body", main, _data(run))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def poster(run: Run) -> str:
    """
    Return the timeline of a run in few rows, as an SVG file.

    Args:
        run: What was measured.
    """
    return f"{standalone(_picture(run, 'dp', digest(run)))}\n"


def _title(run: Run) -> str:
    pulled = any(m.cell.fault is Fault.CABLE for m in run.measurements)
    what = "A cable is pulled" if pulled else "The network fails"
    return f"{what}. Who notices, and when?"


def _verdict(run: Run) -> Iterator[Markup]:
    kind = "good" if run.ok else "bad"
    yield element("p", headline(run), class_=f"stamp {kind}")
    promises = {s.promise for s in run.settings if s.promise is not None}
    for promise in sorted(promises):
        yield element(
            "p",
            element("b", "The promise: "),
            "whatever a connection is doing when its peer dies, the death is"
            f" reported within {about(promise)}.",
        )
    yield element("ul", *(element("li", line) for line in summary(run)[:-1]))
    failures = outside(run)
    if failures:
        yield element("h2", "Outside the prediction")
        yield failures_list(failures)


def _pictures(run: Run) -> Iterator[Markup]:
    short, whole = digest(run), one_by_one(sections(run))
    yield element("h2", "At a glance")
    yield from _at_both_widths(run, "glance", short)
    yield element("p", READING, class_="soft")
    compared = glance(run)
    if compared:
        caption = f"When it was noticed: {DONE[compared.fault]}"
        yield glance_table(compared, caption)
    if len(list(_rows(whole))) == len(list(_rows(short))):
        return
    # Heartbeats are watched for much longer, so they have a scale of their own.
    kernel = tuple(s for s in whole if not _beats(s))
    asked = tuple(s for s in whole if _beats(s))
    if kernel:
        yield element("h2", "Every connection")
        yield from _at_both_widths(run, "every", kernel)
    if asked:
        yield element("h2", "Every connection with heartbeats")
        yield from _at_both_widths(run, "asked", asked)


def _beats(section: Section) -> bool:
    return section.rows[0].cell.setting.heartbeat is not None


def _rows(found: tuple[Section, ...]) -> Iterator[object]:
    return chain.from_iterable(section.rows for section in found)


def _at_both_widths(
    run: Run, name: str, found: tuple[Section, ...]
) -> Iterator[Markup]:
    for layout, kind in ((WIDE, "wide"), (NARROW, "narrow")):
        picture = _picture(run, f"{name}-{kind}", found)
        yield element("div", inline(picture, layout), class_=kind)


def _picture(run: Run, name: str, found: tuple[Section, ...]) -> Picture:
    rows = [row for section in found for row in section.rows]
    faults = {row.cell.fault for row in rows if not row.is_live}
    promises = [row.cell.setting.promise for row in rows]
    return Picture(
        name=name,
        title=_title(run),
        description=" ".join(summary(run)),
        sections=found,
        fault=DONE[faults.pop()] if len(faults) == 1 else "the fault",
        promise=next((p for p in promises if p is not None), None),
        cut=outage(run.scenario),
    )


def _tables(run: Run) -> Iterator[Markup]:
    found = sections(run)
    yield element("h2", "Predicted and measured")
    caption = "Times run from the fault. Each prediction was written down before it."
    yield measurements_table(found, caption)
    yield element("h2", "The settings compared")
    yield settings_table(run.settings, "What is in force on each socket")
    if any(m.cell.setting.heartbeat for m in run.measurements):
        caption = "The heartbeats: silence before a question, time for the answer"
        yield heartbeats_table(run.measurements, caption)


def _background(run: Run) -> Iterator[Markup]:
    yield element("h2", "What was done")
    faults = {m.cell.fault for m in run.measurements}
    yield _definitions((DONE[f], FAULTS[f]) for f in Fault if f in faults)
    yield element("h2", "What the connections were doing")
    met = {m.cell.situation for m in run.measurements}
    yield _definitions((state_label(s), SITUATIONS[s]) for s in Situation if s in met)
    yield element("h2", "The machine")
    yield _definitions(_machine(run))
    yield element("h2", "The numbers")
    yield element(
        "p",
        "This page holds the whole run as JSON. ",
        element("code", "deadpeer lab --from FILE --json"),
        " prints it again, where FILE is this page.",
    )


def _machine(run: Run) -> Iterator[tuple[str, str]]:
    scenario = run.scenario
    yield "Kernel", f"Linux {run.kernel}"
    yield "Rights", "a user namespace" if run.rootless else "root"
    yield "Started", run.started
    yield "Took", about(round(run.took, 1))
    yield "IP versions", " and ".join(f"IPv{family}" for family in scenario.families)
    yield "Round trip", about(scenario.rtt) if scenario.rtt else "a plain cable"
    if any(m.cell.setting.heartbeat for m in run.measurements):
        yield "Heartbeats run on", scenario.loop
    if run.precision:
        yield "The lab's wires", str(run.precision)
    yield "Connections", str(len(run.measurements))


def _definitions(pairs: Iterator[tuple[str, str]]) -> Markup:
    return element(
        "dl",
        *(
            joined([element("dt", term), element("dd", meaning)])
            for term, meaning in pairs
        ),
    )


def _data(run: Run) -> Markup:
    text = json.dumps(run.to_json(), separators=(",", ":"), allow_nan=False)
    # No < ends the element, and no & means anything where XML is read.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(f"{DATA_OPENS}{text}{DATA_CLOSES}")
