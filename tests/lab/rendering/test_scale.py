"""From seconds to places: in order, inside the picture, round on the axis."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.made_run import by_hand, failed

from deadpeer.lab.rendering.report import sections
from deadpeer.lab.rendering.scale import Scale, scale_for

SCALES = st.builds(
    Scale,
    left=st.floats(0, 300),
    right=st.floats(430, 2000),
    end=st.floats(0.01, 90_000),
)
INSTANTS = st.floats(allow_nan=False)


@given(SCALES, INSTANTS, INSTANTS)
def test_places_keep_the_order_of_instants_and_stay_in_the_picture(scale, one, other):
    first, second = sorted((one, other))

    assert scale.left <= scale.at(first) <= scale.at(second) <= scale.right
    assert scale.left < scale.zero == scale.at(0.0)


@given(SCALES)
def test_the_axis_starts_at_the_fault_and_has_room_for_its_numbers(scale):
    ticks = scale.ticks()
    places = [scale.at(tick) for tick in ticks]

    assert ticks[0] == 0
    assert max(ticks) <= scale.end * (1 + 1e-9)
    assert all(b - a >= 20 for a, b in itertools.pairwise(places))


@pytest.mark.parametrize(
    ("end", "ticks"),
    [(15.0, [0, 2, 4, 6, 8, 10, 12, 14]), (3.0, [0, 0.5, 1, 1.5, 2, 2.5, 3])],
)
def test_the_numbers_on_the_axis_are_round(end, ticks):
    assert Scale(left=0, right=400, end=end).ticks() == pytest.approx(ticks)


def test_the_scale_ends_where_the_last_death_was_watched():
    run = by_hand()

    assert scale_for(sections(run), 0, 100).end == 15.0


def test_a_report_after_the_observation_is_still_in_the_picture():
    run = failed(by_hand(), "cable/idle/plan/v4", at=17.5, note="late")

    assert scale_for(sections(run), 0, 100).end == 17.5


def test_a_run_of_live_peers_alone_has_a_scale():
    run = by_hand()
    live = tuple(m for m in run.measurements if m.cell.peer_lives)

    assert scale_for(sections(replace(run, measurements=live)), 0, 100).end == 15.0
    assert scale_for((), 0, 100).end > 0
