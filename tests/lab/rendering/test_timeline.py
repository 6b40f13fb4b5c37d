"""The picture: well-formed, whole, readable in the light and in the dark."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from tests.lab.made_run import by_hand, failed, made_run
from tests.lab.parsed import parsed

from deadpeer.lab.rendering.digest import digest
from deadpeer.lab.rendering.looks import COLOURS, PICTURE
from deadpeer.lab.rendering.page import poster
from deadpeer.lab.rendering.report import one_by_one, sections
from deadpeer.lab.rendering.timeline import NARROW, WIDE, Layout, Picture, inline
from deadpeer.lab.scenario import Run, Scenario

SVG = "{http://www.w3.org/2000/svg}"
SMALL = 40_000  # bytes that a picture in a README may have


def picture(run: Run, name: str = "it") -> Picture:
    return Picture(
        name=name,
        title="who notices",
        description="a few bars",
        sections=one_by_one(sections(run)),
        fault="cable pulled",
        promise=10.0,
        cut=1.25,
    )


def drawn(run: Run, layout: Layout = WIDE) -> ET.Element:
    return parsed(inline(picture(run), layout))


def of_class(root: ET.Element, kind: str) -> list[ET.Element]:
    return [e for e in root.iter() if kind in (e.get("class") or "").split()]


def texts(root: ET.Element) -> list[str]:
    return ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("text")]


def test_a_picture_for_the_readme_is_small_and_needs_nothing_else():
    text = poster(made_run())
    root = parsed(text)

    assert len(text.encode()) < SMALL
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert (
        re.findall(r'(?:href|src)=|@import|https?://(?!www\.w3\.org/2000/svg")', text)
        == []
    )
    assert "prefers-color-scheme:dark" in text


def test_a_picture_says_in_words_what_it_shows():
    root = parsed(poster(by_hand()))
    named = {e.get("id"): "".join(e.itertext()) for e in root if e.get("id")}
    title, description = (root.get("aria-labelledby") or "").split()

    assert named[title] == "A cable is pulled. Who notices, and when?"
    assert (
        "Connections with the plan: 4 of 4 reported within 10 s" in named[description]
    )


def test_every_connection_has_a_bar_a_label_and_a_value():
    run = by_hand()
    found = texts(drawn(run))

    for label, value in (
        ("idle, then a write at 3.5 s", "7.80 s"),
        ("unacknowledged", "not in 15 s"),
        ("outage 1.25 s: idle", "alive"),
    ):
        assert label in found
        assert value in found
    reported = [m for m in run.measurements if m.at is not None]
    # One more in the legend.
    assert len(of_class(drawn(run), "m")) == len(reported) + 1


def test_marks_stand_where_the_reports_came_and_frames_where_they_should():
    run = by_hand()
    root = drawn(run)
    row = next(
        g
        for g in root.iter("g")
        if (g.findtext("title") or "").startswith("idle, then a write at 3.5 s")
    )
    (frame,) = of_class(row, "p")
    (mark,) = of_class(row, "m")
    left, width = float(frame.attrib["x"]), float(frame.attrib["width"])
    middle = float(re.findall(r"[\d.]+", mark.attrib["d"])[0]) + 4

    # 7.6 s to 8.0 s, and reported in the middle.
    assert middle == pytest.approx(left + width / 2, abs=0.2)
    assert row.findtext("title") == (
        "idle, then a write at 3.5 s: predicted 7.60 to 8.00 s; 7.80 s"
    )


def test_what_failed_is_marked_by_shape_and_word():
    run = failed(by_hand(), "cable/idle/plan/v4", at=2.5, note="early")
    run = failed(run, "cable/unacknowledged/plan/v4", at=None, note="never")
    root = drawn(run)

    assert {"FAILED: 2.50 s", "FAILED: not in 15 s"} <= set(texts(root))
    assert len(of_class(root, "f")) == 2 + 1  # and the legend
    assert of_class(drawn(by_hand()), "f") == []


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(),
        Scenario(within=30.0),
        Scenario(full=True, families=(4, 6)),
        Scenario(only=("outage",)),
    ],
)
def test_everything_lies_within_the_picture(layout, scenario):
    root = drawn(made_run(scenario), layout)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    drawing = [e for e in root if e.tag != "defs"]

    for shape in drawing:
        for e in shape.iter():
            x = float(e.get("x", 0))
            y = float(e.get("y", 0))
            assert 0 <= x + float(e.get("width", 0)) <= width
            assert -8 <= y + float(e.get("height", 0)) <= height
    # Words that begin at the left edge end before the right one.
    for e in root.iter("text"):
        if not e.get("text-anchor"):
            room = width - float(e.attrib["x"])
            assert 5.5 * len("".join(e.itertext())) <= room


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_words_of_a_failure_have_room(layout):
    run = failed(by_hand(), "none/idle/plan/v4", at=6.1, note="given up")
    run = failed(run, "cable/idle/plan/v4", at=None, note="never")
    root = drawn(run, layout)
    width = float(root.attrib["viewBox"].split()[2])
    words = of_class(root, "v")

    assert {"FAILED: given up", "FAILED: not in 15 s"} <= {e.text for e in words}
    for e in words:
        x, wide = float(e.attrib["x"]), 6.9 * len(e.text or "")
        left = x - wide if e.get("text-anchor") == "end" else x
        assert left >= 0
        assert left + wide <= width


def test_parts_of_two_pictures_on_one_page_have_names_of_their_own():
    one = parsed(inline(picture(by_hand(), "one"), WIDE))
    two = parsed(inline(picture(by_hand(), "two"), NARROW))
    names = [e.get("id") for root in (one, two) for e in root.iter() if e.get("id")]

    assert len(names) == len(set(names)) == 6
    for root in (one, two):
        own = {f"url(#{e.get('id')})" for e in root.iter("pattern")}
        assert {e.get("fill") for e in root.iter() if e.get("fill")} == own


def test_the_digest_has_one_section_for_settings_that_miss_the_same():
    titles = [section.title for section in digest(made_run())]

    assert titles == [
        "Nothing set, or the system's keepalive",
        "Keepalive alone",
        "User timeout alone",
        "The plan",
        "The plan, peer's process stopped",
        "Heartbeats",
        "Heartbeats, peer's process stopped",
        "Live peers",
        "Live peers, judged by heartbeats",
    ]


def test_the_digest_hides_no_failure():
    run = failed(made_run(), "cable/idle/system/v4", at=3.0, note="early")

    assert [section.title for section in digest(run)][:2] == [
        "Nothing set",
        "The system's keepalive",
    ]


def test_a_run_without_measurements_has_a_picture_too():
    parsed(poster(replace(by_hand(), measurements=())))


def schemes() -> list[dict[str, str]]:
    return [
        dict(re.findall(r"--(\w+):(#\w+)", block))
        for block in re.findall(r":root\{([^}]*)\}", COLOURS)
    ]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = (int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4))
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", schemes(), ids=["light", "dark"])
def test_words_and_shapes_stand_out_from_their_ground(scheme):
    # WCAG 2.2: 4.5 to 1 for words (1.4.3), 3 to 1 for shapes (1.4.11).
    for ground in ("bg", "panel", "warn"):
        for ink in ("ink", "soft", "promise", "good", "bad"):
            assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
    for shape in ("alive", "dead"):
        assert contrast(scheme[shape], scheme["panel"]) >= 3, shape
    assert contrast(scheme["dead"], scheme["pale"]) >= 3


def test_every_colour_that_is_used_is_there_in_both_schemes():
    used = set(re.findall(r"var\(--(\w+)\)", PICTURE))

    assert len(schemes()) == 2
    assert all(used <= set(scheme) for scheme in schemes())
