"""``deadpeer explain``: golden words for fixed settings, and every wrong turn."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.cli.explanation import Explanation, as_data, headline, print_text
from deadpeer.cli.output import print_json
from deadpeer.cli.root import run
from deadpeer.cli.snippets import TARGETS, settings_for
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.platforms import LINUX, PLATFORMS, Defaults, platform_named
from deadpeer.policy import Assessment, Bound, Keepalive, State, Traffic, assess, plan

OLDER = replace(
    LINUX, options={k: v for k, v in LINUX.options.items() if k != "rto_max"}
)

# The kernel's own settings, whatever this machine's are.
FIXED = Defaults()


def planned(within: float, **more) -> Explanation:
    found = plan(within=within, defaults=FIXED, **more)
    return Explanation(
        within=within, origin="plan", platform=LINUX, assessment=found.assessment
    )


def given_settings(**settings) -> Explanation:
    return Explanation(
        within=None,
        origin="given",
        platform=LINUX,
        assessment=assess(Keepalive(**settings), defaults=FIXED),
    )


def printed(explanation: Explanation, capsys) -> str:
    print_text(explanation)
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line.rstrip() for line in lines)


# Made by hand, so that the words are compared and not the arithmetic.
BY_HAND = Explanation(
    within=None,
    origin="given",
    platform=LINUX,
    assessment=Assessment(
        keepalive=Keepalive(idle=4, interval=1, probes=3),
        effective=Keepalive(
            idle=4, interval=1, probes=3, user_timeout=0.0, rto_max=120.0, on=True
        ),
        platform="linux",
        rtt=0.25,
        bounds=(
            Bound(
                state=State.IDLE,
                earliest=2.999,
                latest=7.501,
                survives=1.999,
                why="3 unanswered probes",
            ),
            Bound(
                state=State.UNACKNOWLEDGED,
                earliest=924.6,
                latest=1058.2,
                survives=math.inf,
                why="15 retries",
            ),
        ),
        traffic=Traffic(
            every=4.25, packets=1694.1, ipv4_bytes=999.4, ipv6_bytes=1.01e6
        ),
        longest_pause=math.inf,
        warnings=("one thing", "another"),
    ),
)

GOLDEN = """\
A dead peer is reported after 17 min 39 s at the latest, at round trips of up to 0.25 s.

setting        value  meaning                               from
SO_KEEPALIVE   on     whether idle peers are probed at all  given
TCP_KEEPIDLE   4 s    silence before the first probe        given
TCP_KEEPINTVL  1 s    between probes                        given
TCP_KEEPCNT    3      unanswered probes end the connection  given

state           detected after  at the latest  survives    decided by
idle            2.99 s          7.51 s         1.99 s      3 unanswered probes
unacknowledged  15 min 24 s     17 min 39 s    any outage  15 retries
(survives: the longest outage that a live peer is sure to survive)

Probes on an idle connection: one every 4.25 s; 1694 packets an hour, 999 B on IPv4, 1.01 MB on IPv6.
A live peer may stop reading for as long as it likes.

warning: one thing
warning: another"""


def test_an_explanation_in_words(capsys):
    assert printed(BY_HAND, capsys) == GOLDEN


def test_one_lost_probe_that_kills_is_said(capsys):
    words = printed(given_settings(idle=5, interval=1, probes=1), capsys)

    assert "warning: one lost probe ends a live connection" in words
    assert re.search(r"^idle .* 0 s +1 unanswered probe$", words, re.MULTILINE)


def test_a_single_packet_is_no_plural(capsys):
    words = printed(given_settings(idle=7200, interval=75, probes=9), capsys)

    assert "one every 2 h; 1 packet an hour" in words


def test_a_user_timeout_alone_leaves_idle_deaths_unnoticed(capsys):
    words = printed(given_settings(user_timeout=3), capsys)

    assert words.startswith(
        "A dead peer may never be noticed."
        " States without bound: idle, idle then a write, half closed.\n"
    )
    assert re.search(
        r"^SO_KEEPALIVE +off .+ every system's default$", words, re.MULTILINE
    )
    assert re.search(
        r"^idle +never +never +any outage +no keepalive", words, re.MULTILINE
    )
    assert "Probes: none." in words
    assert "may stop reading, its window closed, for 3 s; then it is ended" in words


@pytest.mark.parametrize("within", [6.5, 10, 30, 3600])
def test_a_plan_begins_with_its_promise_and_shows_its_settings(within, capsys):
    explanation = planned(within)
    words = printed(explanation, capsys)

    assert words.startswith("A dead peer is reported within ")
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"):
        assert re.search(rf"^{name} ", words, re.MULTILINE)
    for state in State:
        assert re.search(rf"^{state} +\d.* s +\d.* s? +\d", words, re.MULTILINE)
    for warning in explanation.assessment.warnings:
        assert f"warning: {warning}" in words


def test_middleboxes_that_forget_before_the_first_probe_are_named(capsys):
    assert "Azure" in printed(given_settings(idle=300), capsys)
    assert "Azure" not in printed(given_settings(idle=30), capsys)


def test_what_was_never_measured_is_not_called_never(capsys):
    macos = platform_named("macos")
    explanation = Explanation(
        within=None,
        origin="assumed",
        platform=macos,
        assessment=assess(Keepalive(on=True), platform=macos),
    )
    words = printed(explanation, capsys)

    assert words.startswith("When a dead peer is noticed is not known in the states:")
    assert re.search(
        r"^unacknowledged +not known +not known +not known", words, re.MULTILINE
    )
    assert "never" not in words.partition("warning")[0]


@given(st.floats(0.01, 30_000), st.floats(0.01, 30_000), st.integers(1, 127))
def test_any_settings_are_explained_in_one_sentence(idle, interval, probes):
    sentence = headline(given_settings(idle=idle, interval=interval, probes=probes))

    assert sentence.startswith("A dead peer is reported after ")
    assert sentence.endswith(" at the latest.")


def test_json_has_every_number_of_the_text(capsys):
    explanation = planned(30, allow_stalled_reader=True)
    print_json("explain", as_data(explanation, {"c": "code"}))
    data = json.loads(capsys.readouterr().out)

    assert list(data) == [
        *("schema", "verb", "platform", "within", "rtt", "settings", "options"),
        *("effective", "worst", "survives", "longest_pause", "states", "traffic"),
        *("warnings", "code"),
    ]
    assert data["within"] == 30
    assert data["worst"] <= 30
    assert data["longest_pause"] is None
    assert [bound["state"] for bound in data["states"]] == [str(s) for s in State]
    assert set(data["states"][0]) == {"state", "earliest", "latest", "survives", "why"}
    assert set(data["traffic"]) == {"every", "packets", "ipv4_bytes", "ipv6_bytes"}
    assert data["options"]["TCP_KEEPIDLE"] == data["settings"]["idle"]
    assert data["options"]["SO_KEEPALIVE"] == 1
    assert "TCP_RTO_MAX_MS" in data["options"]
    assert data["code"] == {"c": "code"}


def test_never_is_null_in_json(capsys):
    print_json("explain", as_data(given_settings(user_timeout=3)))
    data = json.loads(capsys.readouterr().out)

    idle = next(bound for bound in data["states"] if bound["state"] == "idle")
    assert idle["earliest"] is idle["latest"] is idle["survives"] is None
    assert data["worst"] is None
    assert "code" not in data


# -- the verb ----------------------------------------------------------------------


def asked(capsys, *arguments: str) -> dict[str, Any]:
    assert run(["explain", *arguments, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_alone_it_judges_this_systems_own_settings(capsys):
    data = asked(capsys)

    defaults = effective_defaults()
    assert data["settings"]["on"] is True
    assert data["effective"]["idle"] == defaults.idle
    assert data["worst"] == assess(Keepalive(on=True), defaults=defaults).worst


def test_what_is_not_given_comes_from_the_system(capsys):
    data = asked(capsys, "--time", "5")

    assert data["settings"]["idle"] == 5
    assert data["settings"]["interval"] is None
    assert data["effective"]["interval"] == effective_defaults().interval


def test_units_of_time_are_understood(capsys):
    data = asked(capsys, "--time", "2min", "--user-timeout", "1500ms")

    assert data["settings"]["idle"] == 120
    assert data["settings"]["user_timeout"] == 1.5


def test_judged_are_the_values_that_the_kernel_will_hold(capsys):
    assert asked(capsys, "--time", "1.2")["settings"]["idle"] == 2


def test_a_plan_is_made_for_the_round_trip_given(capsys):
    assert asked(capsys, "--within", "20", "--rtt", "600ms")["rtt"] == 0.6


def test_another_platform_is_judged_by_its_row(capsys):
    data = asked(capsys, "--platform", "macos", "--time", "10")

    assert data["platform"] == "macos"
    assert data["effective"]["probes"] == platform_named("macos").defaults.probes
    assert data["options"] == {"SO_KEEPALIVE": 1, "TCP_KEEPALIVE": 10}


@pytest.mark.parametrize("platform", [row.name for row in PLATFORMS])
def test_every_platform_can_be_explained_in_words_too(platform, capsys):
    assert run(["explain", "--platform", platform]) == 0
    assert "SO_KEEPALIVE" in capsys.readouterr().out


def test_the_code_of_one_language_is_printed_alone(capsys):
    assert run(["explain", "--within", "10", "--code", "c"]) == 0

    settings = settings_for(
        plan(within=10, defaults=effective_defaults(), platform=OLDER).keepalive,
        within=10,
    )
    assert capsys.readouterr().out == TARGETS["c"].text(settings)


@pytest.mark.parametrize("within", ["10", "60", "3600"])
def test_code_is_for_kernels_that_are_older_than_this_one_too(within, capsys):
    code = asked(capsys, "--within", within, "--code")["code"]

    assert not any("RTO_MAX" in text or "rto_max" in text for text in code.values())
    assert f"noticed within {within} s" in code["python"]


def test_code_for_stalled_readers_needs_what_newer_kernels_have(capsys):
    words = ["--within", "30", "--allow-stalled-reader", "--code", "python"]

    assert "TCP_RTO_MAX_MS, Linux 6.15" in asked(capsys, *words)["code"]["python"]


def test_without_a_language_all_are_printed_each_with_a_heading(capsys):
    assert run(["explain", "--within", "10", "--code"]) == 0

    text = capsys.readouterr().out
    for target in TARGETS.values():
        assert f"{target.comment} -- {target.title} --\n" in text


def test_code_is_part_of_json_if_asked_for(capsys):
    data = asked(capsys, "--within", "10", "--rtt", "0.1", "--code", "deadpeer", "c")

    assert list(data["code"]) == ["deadpeer", "c"]
    assert "protect(sock, within=10, rtt=0.1)\n" in data["code"]["deadpeer"]


WRONG = {
    "--within 0": (2, "within=0.0 is not a duration"),
    "--within -5": (2, "within=-5.0 is not a duration"),
    "--within 3": (2, "the smallest promise is"),
    "--within 100000": (2, "longer than a day"),
    "--within nan": (2, "'nan' is not a duration"),
    "--within ten": (2, "'ten' is not a duration"),
    "--within 10 --rtt -1": (2, "rtt=-1.0 is not a duration"),
    "--within 10 --rtt 1": (2, "at a round trip of 1 s"),
    "--within 10 --time 5": (2, "not both"),
    "--within 10 --allow-stalled-reader": (2, "smallest promise"),
    "--allow-stalled-reader": (2, "give --within too"),
    "--time 0": (2, "idle=0.0 is not a duration"),
    "--time 32768": (2, "TCP_KEEPIDLE, 1 s to 32767 s"),
    "--interval 40000": (2, "TCP_KEEPINTVL, 1 s to 32767 s"),
    "--probes 0": (2, "probes=0 is not a count"),
    "--probes 128": (2, "TCP_KEEPCNT, 1 to 127"),
    "--probes x": (2, "'x' is not a valid integer"),
    "--user-timeout 3000000": (2, "TCP_USER_TIMEOUT"),
    "--platform beos": (2, "'beos' is not one of"),
    "--platform openbsd --within 10": (3, "OpenBSD"),
    "--platform openbsd --time 10": (3, "OpenBSD"),
    "c": (2, "a language comes after --code"),
    "--code cobol": (2, "'cobol' is not one of"),
    "--code --user-timeout 3": (2, "leave keepalive off"),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_turn_is_one_line_and_its_exit_code(words, capsys):
    code, sentence = WRONG[words]

    assert run(["explain", *words.split()]) == code

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert "; " in err  # and what to do
