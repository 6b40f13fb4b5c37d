"""Where a watch writes its lines: a full disk, a file that was renamed."""

import os

import pytest

from deadpeer.cli.watch_output import Output
from deadpeer.errors import ConfigError


def test_a_full_disk_is_told_once_and_ends_nothing():
    said: list[str] = []
    with Output("/dev/full", report=said.append) as out:
        out.write("a\n")
        out.write("b\n")

    assert said == ["/dev/full: No space left on device"]


def test_half_a_line_stays_alone_and_how_many_are_lost_is_told(tmp_path, monkeypatch):
    """A file system that takes three bytes, and is full for a while."""
    said: list[str] = []
    path, write, room = tmp_path / "out", os.write, [3, 0, 0]

    def narrow(fd, data):
        if not room:
            return write(fd, data)
        left = room.pop(0)
        if not left:
            raise OSError(28, os.strerror(28))
        return write(fd, data[:left])

    with Output(str(path), report=said.append) as out:
        monkeypatch.setattr(os, "write", narrow)
        for line in ("first\n", "second\n", "third\n", "fourth\n"):
            out.write(line)

    assert path.read_text() == "fir\nthird\nfourth\n"
    assert said[0].endswith("No space left on device")
    assert said[1:] == [f"{path}: it is written again; 2 lines lost"]


def test_what_was_renamed_is_opened_anew_and_what_cannot_be_stays_open(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "out"
    with Output(str(path), report=print) as out:
        path.rename(folder / "out.1")
        out.reopen()
        out.write("new\n")
        moved = folder.rename(tmp_path / "gone")
        with pytest.raises(ConfigError, match="cannot be written"):
            out.reopen()
        out.write("old\n")

    assert (moved / "out").read_text() == "new\nold\n"
    assert (moved / "out.1").read_text() == ""


def test_a_named_pipe_that_nobody_reads_is_refused_and_waits_for_nobody(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="nobody reads it"):
        Output(str(path), report=print)

    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with (
        os.fdopen(reading, "rb") as reader,
        Output(str(path), report=print) as out,
    ):
        out.write("a\n")
        assert os.get_blocking(out.fileno)
        assert reader.readline() == b"a\n"
