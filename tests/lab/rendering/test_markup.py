"""Elements: what is text stays text, whatever it holds."""

from hypothesis import given
from hypothesis import strategies as st
from tests.lab.parsed import parsed

from deadpeer.lab.rendering.markup import Markup, element, joined


@given(st.text(), st.text())
def test_any_text_comes_back_from_an_element_as_text(text, value):
    read = parsed(element("p", text, title=value))

    assert read.tag == "p"
    assert list(read) == []
    if text.isprintable():
        assert (read.text or "") == text
    if value.isprintable():
        assert read.get("title") == value


def test_what_is_markup_already_is_not_escaped_again():
    inner = element("b", "a < b")

    assert element("p", inner, " & c") == "<p><b>a &lt; b</b> &amp; c</p>"
    assert isinstance(joined(["x"]), Markup)


def test_an_attribute_without_a_value_is_left_out():
    assert element("p", class_=None, aria_label="x") == '<p aria-label="x"></p>'


def test_numbers_in_attributes_are_short():
    assert element("rect", x=1.0, y=2.25, width=1 / 3) == (
        '<rect x="1" y="2.2" width="0.3"/>'
    )
