"""The page about the wire format says what the code holds."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from deadpeer.core import breaches
from deadpeer.core.breaches import BREACHES, local_breach, remote_breach
from deadpeer.core.frames import Farewell, Kind, farewell_word
from deadpeer.core.limits import Limits
from deadpeer.core.stages import FRAMES
from deadpeer.errors import LocalProtocolError, RemoteProtocolError

HOUSE = Path(__file__).parents[2]
PAGE = (HOUSE / "docs" / "reference" / "wire-format.md").read_text(encoding="utf-8")
CORE = Path(breaches.__file__).parent  # the sources, wherever they are installed


def table(name):
    """Return the rows between the page's two comments, without the head."""
    text = PAGE.split(f"<!-- {name} -->\n")[1].split("\n<!-- end -->")[0]
    return text.splitlines()[2:]


def test_the_page_lists_every_breach():
    assert table("breaches") == [f"| `{w}` | {rule} |" for w, rule in BREACHES.items()]


def test_the_page_lists_every_reason_of_a_goodbye():
    assert table("farewells") == [
        f"| {code:d} | `{farewell_word(code)}` |" for code in Farewell
    ]


def test_the_page_lists_what_each_state_allows():
    kinds = sorted(
        Kind,
        key=lambda kind: (
            kind is Kind.HELLO,
            "DATA PING PONG BEAT BYE".find(kind.name),
        ),
    )

    assert table("frames") == [
        f"| {stage} | {' | '.join(row.get(kind, '') for kind in kinds)} |"
        for stage, row in FRAMES.items()
    ]


def test_the_page_lists_every_limit_with_its_default():
    rows = [row.split(" | ") for row in table("limits")]
    defaults = {field.name: field.default for field in fields(Limits)}

    assert {row[0].strip("| `") for row in rows} == set(defaults)
    for name, default, breach in rows:
        number = float(default.split()[0])
        assert number == defaults[name.strip("| `")]
        assert breach.strip(" |`") in BREACHES


def test_a_word_is_a_word_and_a_rule_a_sentence():
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", word) for word in BREACHES)
    assert len(set(BREACHES.values())) == len(BREACHES)


def test_every_word_is_used_and_no_other():
    source = "".join(path.read_text("utf-8") for path in sorted(CORE.glob("*.py")))
    calls = re.findall(r"(?:local|remote)_breach\(\s*\"([a-z-]+)\"", source)
    returned = {
        "spoke-http",
        "spoke-tls",
        "wrong-magic",
    }  # by the one who names strangers

    assert set(calls) | returned == set(BREACHES)


@pytest.mark.parametrize("word", BREACHES)
def test_each_side_is_blamed_by_its_own_error(word):
    theirs = remote_breach(word, "17 bytes", hint="look there")
    ours = local_breach(word)

    assert isinstance(theirs, RemoteProtocolError)
    assert isinstance(ours, LocalProtocolError)
    assert theirs.breach == ours.breach == word
    assert BREACHES[word] in str(theirs)
    assert str(theirs).endswith("(17 bytes); look there")
