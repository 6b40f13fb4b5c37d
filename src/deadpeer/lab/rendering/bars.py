"""
One row of the timeline: a connection's life as a bar with marks.

The bar is solid while the peer lives and hatched from its death until the death
is known. A frame stands where the report was predicted, a diamond where it came.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from deadpeer.lab.rendering.markup import Markup, element
from deadpeer.lab.rendering.row import Row
from deadpeer.lab.rendering.scale import Scale
from deadpeer.lab.rendering.words import about, exactly
from deadpeer.lab.terms import Fault

__all__ = ["Pen", "bar", "diamond", "in_brief"]

# How far the frame of a prediction stands out above and below its bar, pixels.
FRAME = 3.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """
    What all bars of a picture have in common.

    Args:
        scale: Where an instant is.
        height: How high a bar is, in pixels.
        hatch: The name of the picture's hatching.
        cut: For how many seconds the outages of live peers last.
    """

    scale: Scale
    height: float
    hatch: str
    cut: float


def bar(row: Row, pen: Pen, top: float) -> Iterator[Markup]:
    """
    Yield the parts of one bar, those in front last.

    Args:
        row: What was measured.
        pen: How to draw.
        top: Where the bar's upper edge is, in pixels.
    """
    draw = _living if row.is_live else _dying
    yield from draw(row, pen, top)
    middle = top + pen.height / 2
    failed = {m.at for m in row.failures}
    for at in row.reports:
        mark = _cross if at in failed else diamond
        yield mark(pen.scale.at(at), middle)
    if None in failed:
        yield _cross(pen.scale.right, middle)


def in_brief(row: Row) -> str:
    """Return what came of a row, in two or three words."""
    if row.is_live:
        brief = "given up" if row.reports else "alive"
    elif not row.is_noticed:
        brief = f"not in {about(row.observed_for)}"
    else:
        upto = "up to " if exactly(row.reports[0]) != exactly(row.reports[-1]) else ""
        brief = f"{upto}{exactly(row.reports[-1])}"
    return f"FAILED: {brief}" if row.failures else brief


def diamond(x: float, y: float) -> Markup:
    """
    Return the mark of a report.

    Args:
        x: Its middle, in pixels.
        y: Its middle, in pixels.
    """
    return element("path", class_="m", d=f"M{x - 4:.1f} {y:.1f}l4-4.5 4 4.5-4 4.5z")


def _dying(row: Row, pen: Pen, top: float) -> Iterator[Markup]:
    scale = pen.scale
    ends = row.reports[-1] if row.is_noticed else math.inf
    yield _stretch("a", scale.left, scale.zero, pen, top)
    right = scale.at(ends)
    yield _stretch("d", scale.zero, right, pen, top, fill=f"url(#{pen.hatch})")
    if math.isinf(ends):
        yield _arrow("r", right, pen, top)
    if row.earliest < scale.end:
        yield _prediction(row, pen, top)
    for at in sorted({c.write_at for c in row.cells if c.write_at is not None}):
        if 0 < at <= scale.end:
            x = scale.at(at)
            yield element("path", class_="w", d=f"M{x - 3:.1f} {top - 4:.1f}h6l-3 5z")


def _living(row: Row, pen: Pen, top: float) -> Iterator[Markup]:
    scale = pen.scale
    ends = row.reports[0] if row.reports else row.observed_for
    right = scale.at(ends)
    yield _stretch("a", scale.left, right, pen, top)
    if row.cell.fault is Fault.OUTAGE:
        yield _stretch("o", scale.zero, scale.at(pen.cut), pen, top)
    if not row.reports:
        yield _arrow("a", right, pen, top)


def _prediction(row: Row, pen: Pen, top: float) -> Markup:
    left, right = pen.scale.at(row.earliest), pen.scale.at(row.latest)
    return element(
        "rect",
        class_="p",
        x=left,
        y=top - FRAME,
        width=max(3.0, right - left),
        height=pen.height + 2 * FRAME,
        rx=2,
    )


def _stretch(
    kind: str, left: float, right: float, pen: Pen, top: float, **style: str
) -> Markup:
    return element(
        "rect",
        class_=kind,
        x=left,
        y=top,
        width=max(0.0, right - left),
        height=pen.height,
        **style,
    )


def _arrow(kind: str, x: float, pen: Pen, top: float) -> Markup:
    """Return the sign that it goes on like this."""
    half = pen.height / 2
    return element("path", class_=kind, d=f"M{x:.1f} {top:.1f}l7 {half:g}-7 {half:g}z")


def _cross(x: float, y: float) -> Markup:
    """Return the mark of what is outside its prediction."""
    return element("path", class_="f", d=f"M{x - 5:.1f} {y - 5:.1f}l10 10m0-10l-10 10")
