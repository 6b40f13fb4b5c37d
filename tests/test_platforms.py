"""Every row, as data, on every system."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.platforms import LINUX, PLATFORMS, Name, platform_named
from deadpeer.platforms.document import page

NAMES = get_args(Name)
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "platforms.md"

by_row = pytest.mark.parametrize("row", PLATFORMS, ids=lambda row: row.name)


@by_row
def test_a_row_is_found_by_its_name_in_any_case(row):
    assert platform_named(row.name) is row
    assert platform_named(row.name.upper()) is row


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_any_other_name_is_refused_with_a_list_of_those_there_are(name):
    known = {row.name for row in PLATFORMS}
    if isinstance(name, str) and name.lower() in known:
        return
    with pytest.raises(ConfigError) as caught:
        platform_named(name)
    assert all(known_name in caught.value.hint for known_name in known)


def test_names_are_unique():
    assert len({row.name for row in PLATFORMS}) == len(PLATFORMS)
    assert len({row.title for row in PLATFORMS}) == len(PLATFORMS)


@by_row
def test_each_setting_has_an_option_or_says_what_stands_in_for_it(row):
    assert set(row.options) | set(row.absent) == set(NAMES)
    assert set(row.options) & set(row.absent) == set()


@by_row
def test_a_number_belongs_to_one_option(row):
    numbers = [
        (option.level, option.number)
        for name, option in row.options.items()
        if name not in row.whole
    ]
    assert len(set(numbers)) == len(numbers)
    assert (row.switch.level, row.switch.number) not in numbers


@by_row
def test_ranges_are_ranges_and_units_are_seconds_or_milliseconds(row):
    for name, option in row.options.items():
        assert 1 <= option.lowest < option.highest < 2**32
        assert option.unit in (1.0, 0.001)
        assert option.unit == 1.0 or name != "probes"
        # Zero would be below the range if it did not mean "off".
        assert not option.zero_is_off or name == "user_timeout"


@by_row
def test_the_number_of_probes_is_fixed_where_it_cannot_be_set(row):
    assert (row.fixed_probes is not None) == ("probes" not in row.options)
    if row.fixed_probes is not None:
        assert row.fixed_probes == row.defaults.probes


@by_row
def test_what_a_listener_hands_on_is_something_that_can_be_set(row):
    assert row.inherited <= {"on", *row.options}


@by_row
def test_what_is_written_whole_or_unreadable_has_an_option(row):
    assert set(row.whole) <= set(row.options)
    assert set(row.unreadable) <= set(row.options)


@by_row
def test_a_row_names_its_sources_and_where_it_was_run(row):
    assert row.sources
    assert row.ran or row is not LINUX


def test_the_numbers_are_those_of_the_socket_module_that_runs_this():
    socket = pytest.importorskip("socket")
    from deadpeer.kernel.current_platform import this_platform

    row = this_platform()
    named = {
        option.name: option.number
        for option in row.options.values()
        if hasattr(socket, option.name)
    }
    assert named
    assert {name: getattr(socket, name) for name in named} == named


def test_the_page_of_the_reference_is_made_from_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "python -c \"from deadpeer.platforms.document import page; print(page(), end='')\""
        " > docs/reference/platforms.md"
    )


@by_row
def test_the_page_has_each_rows_numbers_ranges_and_notes(row):
    (section,) = [
        part for part in page().split("\n## ") if part.startswith(f"{row.title}\n")
    ]
    for option in row.options.values():
        assert f"`{option.name}`" in section
        assert f"{option.lowest} to {option.highest}" in section
        assert f"{option.number:#x}" in section
    for note in (*row.notes, *row.sources):
        assert note in section
    assert ("Not run on its own system" in section) == (not row.ran)
