"""The summary: plain sentences, each of which is true of its run."""

from dataclasses import replace

from tests.lab.made_run import by_hand, failed, made_run

from deadpeer.lab.rendering.summary import summary
from deadpeer.lab.scenario import Scenario
from deadpeer.policy.keepalive import Keepalive


def test_a_good_run_in_five_sentences():
    assert summary(by_hand()) == (
        "Cable pulled (elsewhere: closed by the peer) at 0 s.",
        (
            "Connections with the plan: 4 of 4 reported within 10 s, the latest after"
            " 7.80 s."
        ),
        (
            "Unnoticed for 15 s: 3 of 3 states with nothing set, 2 of 3 with keepalive"
            " alone (as soon as data is in flight)."
        ),
        "Live peers: 2 of 2 left alone.",
        "All 13 measurements lie within their predictions.",
    )


def test_what_was_late_or_never_reported_is_said():
    run = failed(by_hand(), "cable/idle/plan/v4", at=12.5, note="late")
    run = failed(run, "cable/unacknowledged/plan/v4", at=None, note="never")

    assert (
        "Connections with the plan: 2 of 4 reported within 10 s, the latest after"
        " 12.50 s, 1 not at all." in summary(run)
    )


def test_a_live_peer_that_was_given_up_is_counted():
    run = failed(by_hand(), "none/idle/plan/v4", at=5.0, note="given up")

    assert "Live peers: 1 of 2 left alone." in summary(run)


def test_nothing_is_said_of_what_was_not_tried():
    live = made_run(Scenario(only=("outage",)))
    assert summary(live) == (
        "Live peers: 11 of 11 left alone.",
        "All 11 measurements lie within their predictions.",
    )

    nothing = replace(by_hand(), measurements=())
    assert summary(nothing) == ("Nothing was measured.",)


def test_settings_under_test_are_named_as_such():
    run = made_run(Scenario(custom=Keepalive(idle=2, interval=1, user_timeout=5)))

    assert any(
        line.startswith("Connections with your settings: ") for line in summary(run)
    )


def test_bounds_that_are_not_the_promise_are_named():
    run = made_run(Scenario(heartbeats=True, lacks=("libfaketime",)))
    (line,) = (line for line in summary(run) if "Beyond" in line)

    assert line == (
        "Beyond the promised 10 s, as predicted: 30 % lost (up to 15.78 s), watcher"
        " stopped (up to 18.48 s); the link or the watcher allows no less."
    )


def test_where_the_promise_is_the_bound_nothing_is_said_of_others():
    run = made_run(Scenario(heartbeats=True, only=("cable,process stopped",)))

    assert any("with heartbeats" in line for line in summary(run))
    assert not any("Beyond" in line for line in summary(run))
