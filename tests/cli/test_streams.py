"""The program with streams that are closed, or that cannot take every character."""

import os
import subprocess
import sys

import pytest

PROGRAM = (sys.executable, "-m", "deadpeer")
EXPLAIN = ("explain", "--within", "10")


def without(*numbers: int, words: tuple[str, ...] = EXPLAIN) -> tuple[int, str, str]:
    """Run the program with some of its standard descriptors closed."""
    closed = " ".join(f"{number}>&-" for number in numbers)
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', *PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=os.environ | {"NO_COLOR": "1"},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [EXPLAIN, ("listen", "127.0.0.1:0", "--json")])
def test_a_closed_output_is_told_in_one_line(words):
    code, _, told = without(1, words=words)

    assert code == 1
    assert told.startswith("error: standard output is closed; ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("number", [0, 2])
def test_without_input_or_messages_it_does_its_work(number):
    code, printed, _ = without(number)

    assert code == 0
    assert "10 s" in printed


@pytest.mark.parametrize("number", [0, 2])
def test_no_socket_gets_the_number_of_a_closed_stream(number):
    # The port is taken by nobody: the loop is up, and then there is no connection.
    code, printed, _ = without(number, words=("dial", "127.0.0.1:1", "--json"))

    assert code == 1
    assert "dialling" in printed


def test_with_nothing_open_it_still_ends_with_an_exit_code():
    assert without(0, 1, 2) == (1, "", "")
