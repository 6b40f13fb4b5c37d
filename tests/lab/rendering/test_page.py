"""The page: well-formed, self-contained, safe with any text, and readable back."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from tests.lab.made_run import by_hand, failed, made_run
from tests.lab.parsed import parsed

from deadpeer.lab.rendering.page import MARK, page
from deadpeer.lab.rendering.page_style import STYLE
from deadpeer.lab.rendering.words import DONE, FAULTS, SITUATIONS, state_label
from deadpeer.lab.scenario import Run, Scenario
from deadpeer.lab.terms import Fault, Situation

EVIL = "</script><script>alert(1)</script><b onclick='x()'>&amp; \x1b[31m"


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += data


def with_text(run: Run, text: str) -> Run:
    """Return the run with this in every place where text comes from outside."""
    m = replace(
        run.measurements[0],
        note=text,
        error=text,
        ok=False,
        cell=replace(run.measurements[0].cell, id=text, why=text),
    )
    settings = tuple(replace(s, name=text) for s in run.settings[:1])
    return replace(
        run,
        kernel=text,
        started=text,
        settings=settings,
        measurements=(m, *run.measurements[1:]),
    )


@pytest.mark.parametrize(
    "run",
    [
        by_hand(),
        made_run(Scenario(families=(4, 6))),
        with_text(by_hand(), EVIL),
        replace(by_hand(), measurements=()),
    ],
    ids=["by hand", "both families", "evil", "empty"],
)
def test_a_page_is_well_formed_as_html_and_as_xml(run):
    text = page(run)
    root = parsed(text)

    assert text.startswith("<!DOCTYPE html>\n")
    assert root.get("lang") == "en"
    assert root.findtext("head/title")
    assert Elements(text).open == []


def test_a_page_asks_for_nothing_from_anywhere():
    found = Elements(page(made_run())).found
    asked = [
        (tag, name, value)
        for tag, attributes in found
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    policy = next(a for _, a in found if a.get("http-equiv"))

    assert asked == [("link", "href", "data:,")]
    assert re.findall(r"https?:|@import|url\((?!#)", page(made_run())) == []
    assert "default-src 'none'" in (policy["content"] or "")


def test_text_from_outside_stays_text():
    elements = Elements(page(with_text(by_hand(), EVIL)))

    assert [a.get("type") for tag, a in elements.found if tag == "script"] == [
        "application/json"
    ]
    assert not any("onclick" in attributes for _, attributes in elements.found)
    assert "</script><script>alert(1)</script>" in elements.words
    assert "\x1b" not in page(with_text(by_hand(), EVIL))


def test_a_page_says_what_it_is_near_its_beginning():
    assert MARK in page(by_hand())[:1024]


def test_a_page_tells_the_whole_story():
    run = failed(by_hand(), "cable/idle/plan/v4", at=2.5, note="reported 1.40 s early")
    words = Elements(page(run)).words

    for told in (
        "A cable is pulled. Who notices, and when?",
        "1 of 13 measurements lie outside their prediction",
        "The promise: ",
        "Connections with the plan: 4 of 4 reported within 10 s",
        "reported 1.40 s early; predicted 3.90 to 4.30 s; measured ETIMEDOUT",
        "TCP_USER_TIMEOUT",
        "Linux 6.18.5",
        "2026-03-01T12:00:00+00:00",
        "34.2 s",
    ):
        assert told in words


def test_what_was_done_and_what_connections_did_is_explained():
    run = made_run()
    words = Elements(page(run)).words

    for fault in {m.cell.fault for m in run.measurements}:
        assert FAULTS[fault] in words
        assert DONE[fault] in words
    for situation in {m.cell.situation for m in run.measurements}:
        assert SITUATIONS[situation] in words
        assert state_label(situation) in words


def test_everything_that_is_done_and_every_state_has_its_words():
    assert set(FAULTS) == set(DONE) == set(Fault)
    assert set(SITUATIONS) == set(Situation)


def test_tables_have_captions_and_headers_for_those_who_only_hear_them():
    root = parsed(page(by_hand()))
    tables = list(root.iter("table"))

    assert len(tables) == 3
    for table in tables:
        assert table.findtext("caption")
        assert all(th.get("scope") for th in table.iter("th"))
    regions = [e for e in root.iter("div") if e.get("role") == "region"]
    assert all(e.get("tabindex") == "0" and e.get("aria-label") for e in regions)


def test_both_pictures_are_there_for_wide_and_narrow_screens():
    root = parsed(page(by_hand()))
    kinds = [e.get("class") for e in root.iter("div") if e.find("svg") is not None]

    assert kinds == ["wide", "narrow", "wide", "narrow"]
    names = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(names) == len(set(names))
    assert "@media (max-width:720px)" in STYLE
