"""Filters in the grammar of ss: what they mean, and what is said of wrong ones."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.diag_samples import row
from tests.neighbours import neighbour

from deadpeer.errors import ConfigError
from deadpeer.host.filters import CONNECTIONS, EVERYTHING, STATES, parse_filter
from deadpeer.host.listing import survey
from deadpeer.host.selection import Selection, service_port
from deadpeer.kernel.tcp_info import TcpState

HERE = ("10.1.2.3", 40_000)
THERE = ("192.0.2.7", 5432)
SEEN = row(local=HERE, remote=THERE)
SIX = row(local=("2001:db8::1", 40_000), remote=("2001:db8::7", 443))
MAPPED = row(local=("::ffff:10.1.2.3", 80), remote=("::ffff:192.0.2.7", 50_000))


def passes(text: str, one=SEEN) -> bool:
    return parse_filter(text.split(), services=service_port).matches(one)


# -- what they mean ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "state established and dport = :5432",
        "state established dport = :5432",
        "state connected",
        "state synchronized",
        "state big",
        "state listening state established",
        "exclude listening",
        "not state listening",
        "dport = 5432",
        "dport == :postgresql",
        "dport eq :5432",
        "dport 5432",
        "dport != :80 and dport ne :81 and dport neq :82",
        "dport > 5431 && dport < 5433",
        "dport gt 5431 & dport lt 5433",
        "dport >= 5432 dport <= 5432",
        "dport ge 5432 and dport geq 5432 and dport le 5432 and dport leq 5432",
        "dst 192.0.2.7",
        "dst = 192.0.2.7",
        "dst 192.0.2.7:5432",
        "dst 192.0.2.0/24:postgresql",
        "dst 192.0.2/24",
        "dst 192/8",
        "dst 0.0.0.0/0",
        "dst *",
        "dst *:5432",
        "dst :5432",
        "dst inet:*",
        "src 10.0.0.0/8",
        "src 10.1.2.3:40000",
        "! dst 10.0.0.0/8",
        "dst != 10.0.0.0/8",
        "( sport = :1 or sport = :40000 ) and dst 192.0.2.7",
        "(sport=:1|sport=:40000)&&dst=192.0.2.7",
        "sport = :1 || dport = :5432",
        "not ( not ( dport = :5432 ) )",
        "fwmark = 0x0",
        "fwmark = 0/0xff",
        "fwmark != 1",
    ],
)
def test_a_connection_passes(text):
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "state listening",
        "state bucket",
        "exclude established",
        "state all exclude established",
        "not state established",
        "dport = :5433",
        "dport != :5432",
        "dport < 5432",
        "sport > :40000",
        "dst 192.0.2.8",
        "dst 192.0.2.7:80",
        "dst inet6:*",
        "dst [::ffff:192.0.2.7]",
        "dst [::]/0",
        "src 192.0.2.7",
        "not dst 192.0.0.0/16",
        "fwmark = 1",
        # As the manual says: "and" binds more than "or".
        "( dport = :5432 or dport = :1 ) and sport = :2",
    ],
)
def test_a_connection_does_not_pass(text):
    assert not passes(text)


def test_and_binds_more_than_or():
    assert passes("dport = :5432 or dport = :1 and sport = :2")


@pytest.mark.parametrize(
    "place", [":", "inet:", "inet6:", "192.0.2.7:", "inet:192.0.2.7:", "[::1]:"]
)
@pytest.mark.parametrize("side", ["src", "dst", "not dst ="])
def test_what_an_empty_variable_leaves_is_refused_and_is_not_any(side, place):
    """Ending all connections is what `dst ":$PORT"` must not come to."""
    with pytest.raises(ConfigError, match=r"write \* for any") as caught:
        parse_filter([side, place])

    assert f">>{place}<<" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("not dst 2001:db8::", SIX),
        ("dst [2001:db8::7]:443", SIX),
        ("dst [2001:db8::]/32", SIX),
        ("dst [2001:db8::/32]:443", SIX),
        ("dst 2001:db8::/32", SIX),
        ("src inet6:*", SIX),
        ("not dst 192.0.2.7", SIX),
        ("not dst 0.0.0.0/0", SIX),
        ("dst 192.0.2.0/24", MAPPED),
        ("dst [::ffff:192.0.2.7]", MAPPED),
        ("src [::ffff:0:0]/96", MAPPED),
        ("src inet6:10.1.2.3", MAPPED),
    ],
)
def test_addresses_of_ipv6(text, one):
    assert passes(text, one)


def test_where_no_state_is_named_connections_are_meant():
    assert EVERYTHING.states == parse_filter(["dport = :1"]).states == CONNECTIONS
    assert EVERYTHING.matches(SEEN)
    assert not EVERYTHING.matches(row(state=TcpState.LISTEN))
    assert parse_filter([" "]) == EVERYTHING


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("state listening", STATES["listening"]),
        ("state listening dport = :1", STATES["listening"]),
        ("state listening or state closed", STATES["listening"] | STATES["closed"]),
        ("state all exclude listening", STATES["all"] & ~STATES["listening"]),
        ("not state listening", STATES["all"] & ~STATES["listening"]),
        ("state listening or dport = :1", STATES["all"]),
        ("not ( state listening and dport = :1 )", STATES["all"]),
    ],
)
def test_only_the_states_that_can_pass_are_asked_for(text, states):
    assert parse_filter(text.split()).states == states


conditions = st.sampled_from(
    [
        "state listening",
        "state connected",
        "dport > :1000",
        "sport = :1",
        "dst 10.0.0.0/8",
        "src [::]/0",
        "fwmark != 0",
    ]
)
expressions = st.recursive(
    conditions,
    lambda inner: st.one_of(
        inner.map("not ( {} )".format),
        st.tuples(inner, inner).map(lambda both: "( {} ) or ( {} )".format(*both)),
        st.tuples(inner, inner).map(lambda both: "( {} ) ( {} )".format(*both)),
    ),
    max_leaves=6,
)


sockets = st.builds(
    row,
    state=st.sampled_from(TcpState),
    local=st.sampled_from([HERE, ("10.9.9.9", 1), ("::1", 1), ("::ffff:10.1.1.1", 9)]),
    remote=st.sampled_from([THERE, ("10.0.0.1", 999), ("2001:db8::1", 1000)]),
    mark=st.integers(0, 1),
)


@given(one=expressions, other=expressions, socket=sockets)
def test_and_or_and_not_are_those_of_logic(one, other, socket):
    def test(text: str) -> bool:
        # Every state is named, or connections alone would be meant.
        return passes(f"state all and ( {text} )", socket)

    assert test(f"( {one} ) and ( {other} )") == (test(one) and test(other))
    assert test(f"( {one} ) or ( {other} )") == (test(one) or test(other))
    assert test(f"not ( {one} )") == (not test(one))


@given(text=expressions, socket=sockets)
def test_what_is_not_asked_for_would_not_have_passed(text, socket):
    chosen = parse_filter([text])

    if chosen.test is not None and not chosen.states >> socket.state & 1:
        assert not chosen.matches(socket)


# -- wrong ones --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("state established and dprt = :1", ">>dprt<<", "one starts with"),
        ("state establishd", ">>establishd<<", "established"),
        ("state", ">><<", "established"),
        ("listening", ">>listening<<", "state listening"),
        ("dport = :port-of-nobody", ">>:port-of-nobody<<", "/etc/services"),
        ("dport = :99999", ">>:99999<<", "65535"),
        ("dport = :" + "9" * 5000, "9<<", "65535"),
        ("dport = :\udcff", ">>", "/etc/services"),
        ("dport = 10.0.0.1:80", ">>10.0.0.1:80<<", "dst or src"),
        ("dport =", ">><<", "dport = :5432"),
        ("dport = and sport = 1", ">>and<<", "dport = :5432"),
        ("dst host.example", ">>host.example<<", "not looked up"),
        ("dst 10.0.0.0/33", ">>10.0.0.0/33<<", "10.0.0.0/8"),
        ("dst 10.0.0.0/255.0.0.0", ">>10.0.0.0/255.0.0.0<<", "10.0.0.0/8"),
        ("dst [::1", ">>[::1<<", "[2001:db8::1]:443"),
        ("dst < 10.0.0.1", ">><<<", "use = or !="),
        ("( dport = :1", ">><<", "close the bracket"),
        ("dport = :1 )", ">>)<<", "open a bracket"),
        ("or dport = :1", ">>or<<", "one starts with"),
        ("dport = :1 or", ">><<", "one starts with"),
        ("not", ">><<", "one starts with"),
        ("autobound", ">>autobound<<", "sport ge"),
        ("dev eth0", ">>dev<<", "filter by address"),
        ("cgroup = /x", ">>cgroup<<", "--process"),
        ("fwmark = blue", ">>blue<<", "0x01"),
        ("( " * 200 + "dport 1", ">>(<<", "shorter"),
    ],
)
def test_a_wrong_one_is_refused_and_the_place_is_shown(text, place, hint):
    with pytest.raises(ConfigError) as caught:
        parse_filter(text.split(), services=service_port)

    assert place in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.field == "filter"


@pytest.mark.parametrize("word", ["or", "and"])
def test_thousands_of_conditions_are_no_deeper_than_two(word):
    condition = "dport = :1" if word == "or" else "dport != :1"
    text = f" {word} ".join([condition] * 5000)

    assert passes(text) is (word == "and")


def refusal(words: list[str]) -> ConfigError | None:
    try:
        parse_filter(words).matches(SEEN)
    except ConfigError as error:
        return error
    return None


@given(words=st.lists(st.sampled_from(["state", "all", "dst", "(", ")", "!", "and"])))
def test_any_words_make_a_filter_or_are_refused(words):
    refused = refusal(words)

    assert refused is None or re.search(">>.*<<", refused.message)


@given(text=st.text(max_size=30))
def test_any_text_makes_a_filter_or_is_refused(text):
    refused = refusal([text])

    assert refused is None or refused.hint


# -- beside ss ---------------------------------------------------------------------

SERVE = """
def serve(host, port, dual=False):
    f = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=f, dualstack_ipv6=dual)
four = serve("127.0.0.1", 4001); six = serve("::1", 4002); both = serve("::", 4003, True)
kept = [socket.create_connection(a) for a in (("127.0.0.1", 4001), ("::1", 4002),
                                              ("127.0.0.1", 4003), ("127.0.0.1", 4001),
                                              ("127.0.0.1", 4001))]
taken = [s.accept()[0] for s in (four, six, both, four, four)]
kept[3].close(); kept[4].close(); taken[4].close()
"""

SAME = """
state established
state connected
state synchronized
state bucket
state big
state listening
state closed
exclude established
state all exclude time-wait
state established state listening
state all dst 127.0.0.1
state all src 127.0.0.0/8
state all dst 127/8
state all dst [::1]
state all dst [::1]:4002
state all dst [::1/64]:4002
state all dst [::ffff:127.0.0.1]
state all dst 127.0.0.1/32:4001
state all dst *:4001
state all dst 0.0.0.0/0
state all src inet:*
state all src inet6:*
state all sport = 4001
state all sport neq :4001 dport neq :4001
state all sport ge :4002 and sport lt :5000
state all sport gt :4000 sport < :4002
state all not sport le :4001
state all ( sport = :4001 or dport = :4002 )
state all ! ( dst 127.0.0.1 )
"""


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ss") is None, reason="there is no ss to compare with")
def test_ss_selects_the_same():
    with neighbour(namespace=True) as child:
        child.told(SERVE)
        for text in ["", *SAME.strip().splitlines()]:
            words = text.split()
            theirs = subprocess.run(
                ["nsenter", "-t", str(child.pid), "-n", "ss", "-tnHO", *words],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            ends = [line.split()[-2:] for line in theirs.splitlines()]
            seen = survey(Selection(words=tuple(words), netns=(str(child.pid),))).rows

            assert sorted((one.local.port, one.peer.port) for one in seen) == sorted(
                (_port(local), _port(peer)) for local, peer in ends
            ), text


def _port(end: str) -> int:
    return int(end.rpartition(":")[2].replace("*", "0"))
