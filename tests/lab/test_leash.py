import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from deadpeer.errors import LabError
from deadpeer.lab.leash import Child, Lines, child_channel

# A child of the lab that answers each order with its own number, and one that
# has been told to hang.
ECHO = """
import os, sys, time
from deadpeer.lab.leash import child_channel
lines, rest = child_channel(sys.argv)
lines.send({"pid": os.getpid(), "rest": rest})
while (message := lines.wait()) is not None:
    if message.get("hang"):
        while True:
            time.sleep(60)
    lines.send(message)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "echoing.py").write_text(ECHO, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "echoing"


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until_gone(pid):
    descriptor = os.pidfd_open(pid)
    try:
        import select

        assert select.select([descriptor], [], [], 10)[0], f"{pid} is still there"
    finally:
        os.close(descriptor)


def test_a_child_says_who_it_is_and_does_what_it_is_told(module):
    with Child(module, arguments=["a", "b"]) as child:
        assert child.hear() == {"pid": child.pid, "rest": ["a", "b"]}
        assert child.ask(text="é", number=1.5) == {"text": "é", "number": 1.5}


def test_answers_that_come_together_are_heard_one_by_one(module):
    with Child(module) as child:
        child.hear()
        for number in range(5):
            child.tell(number=number)

        assert [child.hear()["number"] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_child_ends_with_its_channel(module):
    with Child(module) as child:
        child.hear()
        child.lines.close()

        assert child.process.wait(timeout=10) == 0


@pytest.mark.parametrize("order", [{}, {"hang": True}])
def test_closing_ends_it_whatever_it_does(module, order):
    child = Child(module)
    child.hear()
    child.tell(**order)
    child.close()

    assert not is_running(child.pid)
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_is_gone_is_missed(module):
    with Child(module) as child:
        child.hear()
        os.kill(child.pid, signal.SIGKILL)

        with pytest.raises(LabError, match="ended before its time"):
            child.ask(text="are you there?")


def test_a_child_that_hangs_is_not_waited_for_for_ever(module):
    with Child(module) as child:
        child.hear()
        child.tell(hang=True)

        with pytest.raises(LabError, match="does not answer"):
            child.hear(patience=0.2)


def test_a_child_dies_with_its_parent_even_if_it_hangs(module):
    parent = textwrap.dedent(
        f"""
        import os, signal
        from deadpeer.lab.leash import Child
        child = Child({module!r})
        child.hear()
        child.tell(hang=True)
        print(child.pid, flush=True)
        os.read(0, 1)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert is_running(pid)
        process.kill()
        wait_until_gone(pid)


def test_who_has_lost_its_parent_already_does_not_start():
    ours, theirs = socket.socketpair()
    seen: list[int] = []
    stranger = 1  # not the one that started this process
    with ours:
        lines, _ = child_channel_of(theirs, stranger, seen)
        lines.close()

    assert seen == [1]


def child_channel_of(sock, parent, seen):
    """Call it in this process, and undo what it does to a process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        return child_channel(["x", str(sock.detach()), str(parent)], fatal=seen.append)
    finally:
        signal.signal(signal.SIGINT, handler)
        from deadpeer.lab.leash import PR_SET_PDEATHSIG, libc

        libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)


def test_messages_arrive_whole_however_they_are_cut():
    ours, theirs = socket.socketpair()
    with ours:
        lines = Lines(theirs)
        for byte in b'{"a": 1}\n{"b"':
            ours.sendall(bytes([byte]))
        assert lines.wait() == {"a": 1}
        ours.sendall(b": 2}\n")
        assert lines.wait() == {"b": 2}
        ours.close()
        assert lines.wait() is None
        lines.close()


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0]


def test_a_child_can_be_stopped_and_goes_on_where_it_was(module):
    with Child(module) as child:
        child.hear()
        for round_number in range(2):
            child.stop()
            assert state_of(child.pid) == "T"
            child.tell(round=round_number)
            with pytest.raises(LabError, match="does not answer"):
                child.hear(patience=0.2)
            child.resume()

            assert child.hear() == {"round": round_number}


def test_a_stopped_child_is_ended_like_any_other(module):
    with Child(module) as child:
        child.hear()
        child.stop()

    assert child.process.returncode == -signal.SIGKILL


def test_who_is_gone_cannot_be_stopped(module):
    with Child(module) as child:
        child.kill()

        with pytest.raises(LabError, match="before its time"):
            child.stop()
        with pytest.raises(LabError, match="before its time"):
            child.resume()


def test_a_child_has_the_surroundings_it_is_given(tmp_path, monkeypatch):
    code = "import os, sys; from deadpeer.lab.leash import child_channel\n"
    code += "child_channel(sys.argv)[0].send({'weather': os.environ['WEATHER']})"
    (tmp_path / "surrounded.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Child("surrounded", surroundings={"WEATHER": "fair"}) as child:
        assert child.hear() == {"weather": "fair"}
