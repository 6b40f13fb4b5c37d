"""The file of rules of a watch: what it may be, and what it may say."""

import os
import threading

import pytest

from deadpeer.cli.selecting import Where
from deadpeer.cli.watch_rules import Rules, read_rules
from deadpeer.errors import ConfigError


def test_what_the_file_says_counts_and_what_it_leaves_out_is_as_it_was(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text("process = ['nginx', 'game']\npid = 7\n")
    rules = read_rules(str(path), Rules(where=Where(pids=(1, 2)), within=5.0))

    where = Where(pids=(7,), processes=("nginx", "game"))
    assert rules == Rules(where=where, within=5.0)


@pytest.mark.parametrize("key", ["process", "user"])
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused_as_on_the_command_line(tmp_path, key, name):
    path = tmp_path / "rules.toml"
    path.write_text(f"{key} = ['x', '{name}']\n")

    with pytest.raises(ConfigError, match=f"{key}: a name is empty"):
        read_rules(str(path), Rules(where=Where()))


def test_a_pipe_is_read_once_and_is_not_taken_for_no_rules_the_second_time():
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as writer:
        writer.write(b"within = 5\n")
        writer.close()
        path = f"/dev/fd/{reading}"  # as a shell has it: --rules <(command)

        assert read_rules(path, Rules(where=Where())).within == 5
        with pytest.raises(ConfigError, match="once only"):
            read_rules(path, Rules(where=Where()))


def test_a_named_pipe_without_a_writer_keeps_nobody_waiting(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="once only"):
        read_rules(str(path), Rules(where=Where()))


def test_a_pipe_whose_writer_is_slow_is_read_to_its_end():
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb", buffering=0) as writer:

        def write() -> None:
            for line in (b"within = 5\n", b"process = 'game'\n"):
                writer.write(line)
            writer.close()

        slow = threading.Timer(0.05, write)
        slow.start()
        rules = read_rules(f"/dev/fd/{reading}", Rules(where=Where()))
        slow.join()

    assert rules == Rules(where=Where(processes=("game",)), within=5.0)
