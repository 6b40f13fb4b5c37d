"""
The timeline: a picture, in SVG, of when each death became known.

Seconds run to the right, from a little before the fault. Every row is a bar;
rows stand in panels, one for each section of the report.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from deadpeer.lab.rendering.bars import Pen, bar, diamond, in_brief
from deadpeer.lab.rendering.looks import COLOURS, PICTURE
from deadpeer.lab.rendering.markup import Markup, element, joined
from deadpeer.lab.rendering.report import Section
from deadpeer.lab.rendering.row import Row
from deadpeer.lab.rendering.scale import Scale, scale_for
from deadpeer.lab.rendering.words import about, settings_in_words

__all__ = ["NARROW", "WIDE", "Layout", "Picture", "inline", "standalone"]

# How wide a letter is at most, on the average, at 12 pixels: no font can be
# measured here.
LETTER = 6.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """
    The measures of a picture, all in pixels.

    Args:
        width: Of the whole.
        beside: Room for labels beside the bars, at the most; 0 puts them above.
        values: Room for values beside the bars; 0 puts them above.
        row: The height of a row.
        bar: The height of a bar.
    """

    width: float
    beside: float
    values: float
    row: float
    bar: float


WIDE = Layout(width=920, beside=300, values=152, row=16.5, bar=9)
NARROW = Layout(width=360, beside=0, values=0, row=34, bar=10)

EDGE = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """
    What a picture shows.

    Args:
        name: Unique in its page; names its parts.
        title: What it is.
        description: What it shows, for those who cannot see it.
        sections: The panels.
        fault: What happened at 0 s, in two words.
        promise: The promise, in seconds; None draws none.
        cut: For how many seconds the outages of live peers last.
    """

    name: str
    title: str
    description: str
    sections: tuple[Section, ...]
    fault: str
    promise: float | None = None
    cut: float = 0.0


def standalone(picture: Picture) -> Markup:
    """Return a whole SVG file, with its title, ground and colours."""
    canvas = _Canvas(picture, WIDE)
    style = element("style", Markup(COLOURS + PICTURE))
    title = element("text", picture.title, class_="t", x=EDGE, y=28)
    body = canvas.body(top=44)
    ground = element("rect", class_="b", width=WIDE.width, height=canvas.bottom, rx=8)
    return canvas.svg(
        joined([style, ground, title, *body]),
        xmlns="http://www.w3.org/2000/svg",
        data_by="deadpeer lab",
    )


def inline(picture: Picture, layout: Layout) -> Markup:
    """
    Return an SVG element for a page that has the style.

    Args:
        picture: What to show.
        layout: For which width.
    """
    canvas = _Canvas(picture, layout)
    return canvas.svg(joined(list(canvas.body(top=6))))


class _Canvas:
    """A picture while it is drawn, from the top to the bottom."""

    def __init__(self, picture: Picture, layout: Layout) -> None:
        self.picture = picture
        self.layout = layout
        self.bottom = 0.0
        self.scale = self._scale()
        self.pen = Pen(
            scale=self.scale,
            height=layout.bar,
            hatch=f"{picture.name}-hatch",
            cut=picture.cut,
        )

    def _scale(self) -> Scale:
        layout = self.layout
        labels = [r.label for section in self.picture.sections for r in section.rows]
        wanted = EDGE * 2 + LETTER * max(map(len, labels), default=0)
        left = min(layout.beside, wanted) or EDGE
        right = layout.width - max(layout.values, EDGE + 8)
        return scale_for(self.picture.sections, left, right)

    def svg(self, body: Markup, **attributes: str) -> Markup:
        name = self.picture.name
        return element(
            "svg",
            element("title", self.picture.title, id=f"{name}-title"),
            element("desc", self.picture.description, id=f"{name}-desc"),
            self._hatching(),
            body,
            viewBox=f"0 0 {self.layout.width:g} {self.bottom:g}",
            class_="dp",
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
            **attributes,
        )

    def _hatching(self) -> Markup:
        pattern = element(
            "pattern",
            element("rect", class_="e", width=5, height=5),
            element("rect", class_="k", width=1.6, height=5),
            id=self.pen.hatch,
            width=5,
            height=5,
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        )
        return element("defs", pattern)

    def body(self, top: float) -> list[Markup]:
        self.bottom = top
        parts = [*self._legend(), *self._names(), *self._numbers()]
        for section in self.picture.sections:
            parts += self._panel(section)
        parts += self._numbers()
        return parts

    def _legend(self) -> Iterator[Markup]:
        """Yield what each shape means, in as many lines as it takes."""
        x, y = EDGE, self.bottom + 8
        for name, sample in self._samples():
            wide = 34 + LETTER * len(name) + 12
            if x + wide > self.layout.width:
                x, y = EDGE, y + 20
            yield element("g", *sample, transform=f"translate({x:g} {y:g})")
            yield element("text", name, x=x + 34, y=y + 4)
            x += wide
        self.bottom = y + 14

    def _samples(self) -> Iterator[tuple[str, tuple[Markup, ...]]]:
        def block(kind: str, **style: str) -> Markup:
            return element("rect", class_=kind, y=-4.5, width=26, height=9, **style)

        rows = [r for section in self.picture.sections for r in section.rows]
        yield "peer alive", (block("a"),)
        yield "dead, unnoticed", (block("d", fill=f"url(#{self.pen.hatch})"),)
        yield "reported", (diamond(13, 0),)
        yield (
            "predicted",
            (element("rect", class_="p", x=5, y=-7, width=16, height=14, rx=2),),
        )
        if any(c.write_at for r in rows for c in r.cells):
            yield "we write", (element("path", class_="w", d="M9 -3h8l-4 7z"),)
        if any(r.failures for r in rows):
            cross = element("path", class_="f", d="M8 -5l10 10m0-10l-10 10")
            yield "outside the prediction", (cross,)

    def _names(self) -> Iterator[Markup]:
        """Yield the names of the upright lines, above the first panel."""
        y = self.bottom + 12
        yield self._above(self.picture.fault, "h", self.scale.zero, y)
        promise = self.picture.promise
        if promise is not None and self._shows_promise():
            name = f"promise: {about(promise)}"
            yield self._above(name, "n", self.scale.at(promise), y)
        self.bottom = y + 6

    def _above(self, text: str, kind: str, x: float, y: float) -> Markup:
        """Return a name above its line, or as near as the edges allow."""
        half = LETTER * len(text) / 2
        inside = min(max(x, EDGE + half), self.layout.width - EDGE - half)
        return self._text(text, kind, y, x=inside, anchor="middle")

    def _shows_promise(self) -> bool:
        promise = self.picture.promise
        return promise is not None and promise < self.scale.end

    def _panel(self, section: Section) -> Iterator[Markup]:
        yield from self._heading(section)
        top, step, scale = self.bottom, self.layout.row, self.scale
        height = step * len(section.rows) + 6
        yield self._ground("g", top, height)
        for tick in scale.ticks():
            yield _upright("l", scale.at(tick), top, height)
        placed = [(row, top + 3 + n * step) for n, row in enumerate(section.rows)]
        for row, y in placed:
            yield self._bar(row, y)
        yield _upright("c", scale.zero, top, height)
        if self._shows_promise() and section.settings:
            yield _upright("q", scale.at(self.picture.promise or 0.0), top, height)
        # Words last: they may stand on a line.
        for row, y in placed:
            yield from self._words(row, y)
        self.bottom = top + height + 4

    def _heading(self, section: Section) -> Iterator[Markup]:
        right = self.layout.width - EDGE
        y = self.bottom + 17
        if self.layout.beside:
            verdict = element("tspan", section.verdict, class_="s", dx=10)
            yield self._text(section.title, "h", y, verdict)
            values = ", or ".join(map(settings_in_words, section.settings))
            yield self._text(values, "s", y, x=right, anchor="end")
        else:
            yield self._text(section.title, "h", y)
            for line in wrap(section.verdict, int((right - EDGE) / LETTER)):
                y += 16
                yield self._text(line, "s", y)
        self.bottom = y + 8

    def _ground(self, kind: str, top: float, height: float) -> Markup:
        width = self.layout.width - EDGE
        return element(
            "rect", class_=kind, x=EDGE / 2, y=top, width=width, height=height, rx=4
        )

    def _bar(self, row: Row, top: float) -> Markup:
        layout = self.layout
        above = (layout.row - layout.bar) / 2 if layout.beside else 18.0
        parts = [
            element("title", f"{row.label}: predicted {row.predicted}; {row.measured}")
        ]
        if row.failures:
            parts.append(self._ground("x", top, layout.row))
        return element("g", *parts, *bar(row, self.pen, top + above))

    def _words(self, row: Row, top: float) -> Iterator[Markup]:
        """Yield a row's label, and what came of it in brief."""
        layout, kind = self.layout, "v" if row.failures else "z"
        if layout.beside:
            y = top + layout.row / 2 + 4
            yield self._text(row.label, kind, y)
            yield self._text(in_brief(row), kind, y, x=self.scale.right + EDGE)
        else:
            y, right = top + 12, layout.width - EDGE
            yield self._text(row.label, kind, y)
            yield self._text(in_brief(row), kind, y, x=right, anchor="end")

    def _numbers(self) -> Iterator[Markup]:
        y = self.bottom + 10
        for tick in self.scale.ticks():
            x = self.scale.at(tick)
            yield self._text(f"{tick:g} s", "s", y, x=x, anchor="middle")
        self.bottom = y + 10

    def _text(
        self,
        text: str,
        kind: str | None,
        y: float,
        *more: Markup,
        x: float = EDGE,
        anchor: str | None = None,
    ) -> Markup:
        return element("text", text, *more, class_=kind, x=x, y=y, text_anchor=anchor)


def _upright(kind: str, x: float, top: float, height: float) -> Markup:
    return element("path", class_=kind, d=f"M{x:.1f} {top:.1f}v{height:.1f}")
