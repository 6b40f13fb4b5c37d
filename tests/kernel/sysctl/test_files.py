"""The text of sysctl files: what a line says, and how ours is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.files import (
    HEADER,
    Line,
    canonical_key,
    dotted_key,
    file_text,
    is_pattern,
    matches,
    parse,
    values_of,
)
from deadpeer.kernel.sysctl.table import SETTINGS, number_as_kernel_reads

KEY = "net/ipv4/tcp_retries2"


def only(text):
    (line,) = parse(text).lines
    return line


@pytest.mark.parametrize(
    "text",
    [
        "net.ipv4.tcp_retries2=8",
        "net.ipv4.tcp_retries2 = 8",
        "  net/ipv4/tcp_retries2\t=\t8  ",
        "net.ipv4.tcp_retries2 = 8\r\n",
        "# a comment\n; another\n\n net.ipv4.tcp_retries2=8",
    ],
)
def test_a_setting_is_read_however_it_is_spaced(text):
    line = only(text)

    assert (line.key, line.value, line.tolerant) == (KEY, "8", False)


def test_a_leading_dash_forgives_failures():
    assert only("-net.ipv4.tcp_retries2 = 8").tolerant


def test_a_dash_without_a_value_excludes_the_key():
    assert only("-net.ipv4.tcp_retries2") == Line(
        number=1, key=KEY, value=None, tolerant=False
    )


def test_lines_are_numbered_from_one_as_an_editor_does():
    assert [line.number for line in parse("\na=1\n#\nb=2").lines] == [2, 4]


def test_what_follows_the_first_equals_sign_is_the_value():
    assert only("kernel.x = a = b").value == "a = b"


def test_a_hash_after_a_value_is_no_comment_but_the_kernel_stops_before_it():
    line = only("net.ipv4.tcp_retries2 = 8 # fewer")

    assert line.value == "8 # fewer"
    assert number_as_kernel_reads(line.value) == 8


@pytest.mark.parametrize("text", ["net.ipv4.tcp_retries2 8", "=8", "- = 8", "..=8"])
def test_a_line_that_is_no_setting_is_reported_and_skipped(text):
    parsed = parse(f"{text}\nnet.ipv4.tcp_retries2=8")

    assert [bad.number for bad in parsed.malformed] == [1]
    assert [line.value for line in parsed.lines] == ["8"]


def test_a_file_with_nul_characters_is_no_text():
    with pytest.raises(ConfigError, match="no text"):
        parse("net.ipv4.tcp_retries2=8\0")


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    try:
        parsed = parse(text)
    except ConfigError:
        assert "\0" in text
    else:
        assert len(parsed.lines) + len(parsed.malformed) <= text.count("\n") + 1


names = st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,7}", fullmatch=True)
parts = st.from_regex(r"[a-z0-9_.]{1,8}", fullmatch=True)


@given(names, st.lists(parts, min_size=1, max_size=5))
def test_a_key_keeps_its_meaning_when_it_is_written_with_dots(first, rest):
    # A first name with a dot in it cannot be written at all; the kernel has none.
    key = "/".join([first, *rest])

    assert canonical_key(dotted_key(key)) == key
    assert canonical_key(key) == key


@given(
    names, st.lists(names, min_size=1, max_size=4), st.sampled_from("./"), st.booleans()
)
def test_separators_and_spaces_make_no_difference(first, rest, separator, dash):
    key = separator.join([first, *rest])
    line = only(f"{'-' * dash}{key} =  7 ")

    assert line.key == "/".join([first, *rest])
    assert (line.value, line.tolerant) == ("7", dash)


@given(
    st.dictionaries(
        st.sampled_from([row.key for row in SETTINGS if row.settable]),
        st.integers(-9, 10**6),
    )
)
def test_our_file_is_read_back_as_it_was_written(values):
    text = file_text(values)

    assert values_of(text) == values
    assert {dotted_key(x.key): int(x.value) for x in parse(text).lines} == values
    assert not parse(text).malformed


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "vm.swappiness = 1\n",
        lambda text: text + "# mine\n",
        lambda text: text.replace("= 8", "=8"),
        lambda text: text.removeprefix(HEADER),
        lambda text: text[:-1],
    ],
)
def test_a_file_that_somebody_edited_is_no_longer_ours(change):
    text = file_text({"net.ipv4.tcp_retries2": 8})
    edited = change(text)

    assert edited != text
    assert values_of(edited) is None


def test_our_file_says_what_made_it_and_how_to_undo_it():
    assert "Made by deadpeer" in HEADER
    assert "deadpeer system undo" in HEADER


@pytest.mark.parametrize(
    ("pattern", "is_meant"),
    [
        ("net/ipv4/*", True),
        ("net/ipv4/tcp_retries?", True),
        ("net/*/tcp_retries2", True),
        ("*/*/tcp_[rs]*", True),
        ("net/ipv4/tcp_[!a-q]etries2", True),
        ("net/ipv4/tcp_[!r]etries2", False),
        ("net/*", False),
        ("net/ipv4/tcp_retries", False),
        ("net/ipv4/tcp_retries2[", False),
        ("net/ipv4/tcp_[z-a]etries2", False),
    ],
)
def test_a_pattern_means_what_a_shell_would_find(pattern, is_meant):
    assert is_pattern(pattern) or not is_meant
    assert matches(pattern, KEY) is is_meant


def test_a_wildcard_reaches_over_slashes_only_where_it_is_told_to():
    assert matches("net/*", KEY, across=True)
    assert not matches("net/*", KEY)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_pattern_can_be_matched_with_any_key(pattern, key):
    assert matches(pattern, key) in (True, False)


@given(st.text(alphabet="abc/._-", max_size=12))
def test_a_key_without_wildcards_means_itself_and_nothing_else(key):
    assert matches(key, key)
    assert not matches(key, key + "x")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7200\n", 7200),
        ("\t 16", 16),
        ("017", 15),
        ("0x1f", 31),
        ("-5", -5),
        ("0", 0),
        ("9 junk", 9),
        ("14\t15\n", 14),
        ("08", None),
        ("0x", None),
        ("12,", None),
        ("10#c", None),
        ("5.5", None),
        ("1e3", None),
        ("+5", None),
        ("- 3", None),
        ("٣", None),
        ("", None),
        (" \n", None),
        ("18\0 19", None),
    ],
)
def test_numbers_are_read_as_the_kernel_reads_them(text, number):
    # Each was written to /proc/sys/net/ipv4/tcp_keepalive_time of Linux 6.18.
    assert number_as_kernel_reads(text) == number


@given(st.text())
def test_any_text_is_a_number_or_none(text):
    assert number_as_kernel_reads(text) is None or number_as_kernel_reads(
        text
    ) < 16 ** (len(text) + 1)
