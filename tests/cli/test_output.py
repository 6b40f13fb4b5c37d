"""Data to stdout, messages to stderr, and JSON that every parser takes."""

import io
import json
import math
import os
import subprocess
import sys
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from deadpeer.cli.output import SCHEMA, messages, plain, print_json, stdout
from deadpeer.policy import Keepalive

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.builds(Keepalive, idle=st.none() | st.integers(1, 100)),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
    ),
)


class Colour(Enum):
    RED = "red"


@given(values)
def test_whatever_is_made_plain_is_json(value):
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)


def test_a_value_becomes_an_object_and_never_becomes_null():
    assert plain(Keepalive(idle=5)) == {
        "idle": 5,
        "interval": None,
        "probes": None,
        "user_timeout": None,
        "rto_max": None,
        "on": None,
    }
    assert plain({Colour.RED: {Colour.RED}, "latest": math.inf}) == {
        "Colour.RED": ["red"],
        "latest": None,
    }


def test_what_is_no_number_is_a_mistake_of_ours(capsys):
    with pytest.raises(ValueError, match="JSON"):
        print_json("odd", {"latest": math.nan})
    assert capsys.readouterr().out == ""


def test_json_names_its_schema_and_its_verb(capsys):
    print_json("odd", {"é": 1})

    printed = capsys.readouterr().out
    assert json.loads(printed) == {"schema": SCHEMA, "verb": "odd", "é": 1}
    assert printed.isascii()


def test_data_and_messages_go_different_ways(capsys):
    stdout().print("data")
    messages().print("message")

    assert capsys.readouterr() == ("data\n", "message\n")


def test_outside_a_terminal_nothing_is_wrapped_or_styled(capsys):
    table = Table(box=None)
    table.add_column("long", style="red")
    table.add_row("x" * 500)

    stdout().print(table)
    stdout().print("[red]markup[/] is data, as in [::1]:80 :smile: " + "y" * 300)

    rows = capsys.readouterr().out.splitlines()
    assert rows[1].strip() == "x" * 500
    assert rows[2] == "[red]markup[/] is data, as in [::1]:80 :smile: " + "y" * 300


def test_forced_colours_are_the_wish_of_a_terminal_not_of_a_pipe():
    code = "from deadpeer.cli.output import stdout; stdout().print('x', style='red')"

    output = subprocess.check_output(
        [sys.executable, "-c", code], env=os.environ | {"TERM": "xterm"}
    )

    assert output == b"x\n"


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("no_color", "styled"), [("", True), ("1", False)])
def test_no_color_leaves_no_style_at_all(monkeypatch, no_color, styled):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    stdout().print("x", style="bold dim red")

    assert ("\x1b[" in screen.getvalue()) == styled
