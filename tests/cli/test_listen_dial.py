"""``deadpeer listen`` and ``deadpeer dial``: two real programs, one real connection."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from deadpeer.cli.beat_log import entry_of, rtt_in_words, sentence
from deadpeer.cli.listen import refused
from deadpeer.cli.root import run
from deadpeer.cli.target import Address, parse_listening
from deadpeer.core.events import (
    Closed,
    Died,
    Evidence,
    Online,
    Reason,
    Recovered,
    Slept,
    Suspected,
    WatcherLate,
)
from deadpeer.errors import AccessDenied, ConfigError

PROGRAM = (sys.executable, "-m", "deadpeer")
QUICK = ("--interval", "0.3", "--timeout", "0.4")
PATIENCE = 30.0


@contextmanager
def program(*words: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the program; end it, and only it, whatever happens."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen(
        [*PROGRAM, *words], stdin=subprocess.DEVNULL, text=True, **(piped | more)
    )
    # Whoever waits for a word that never comes fails, and does not wait for ever.
    bound = threading.Timer(PATIENCE, started.kill)
    bound.start()
    try:
        yield started
    finally:
        bound.cancel()
        if started.poll() is None:
            os.kill(started.pid, signal.SIGCONT)
            started.kill()
        started.communicate()


@contextmanager
def listening() -> Iterator[tuple[subprocess.Popen[str], int]]:
    with program("listen", "127.0.0.1:0", "--json", *QUICK) as server:
        port = int(entry(server)["address"].rpartition(":")[2])
        yield server, port


def entry(started: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next line that a program prints."""
    assert started.stdout is not None
    line = started.stdout.readline()
    assert line, started.stderr and started.stderr.read()
    said: dict[str, Any] = json.loads(line)
    return said


def until(started: subprocess.Popen[str], event: str) -> dict[str, Any]:
    while (said := entry(started))["event"] != event:
        pass
    return said


@pytest.mark.slow
def test_a_stopped_peer_is_told_dead_with_its_evidence_and_exit_code_10():
    with listening() as (server, port):
        address = f"127.0.0.1:{port}"
        with program("dial", address, "--json", *QUICK) as client:
            assert until(client, "online")["peer"] == address
            until(server, "online")
            os.kill(server.pid, signal.SIGSTOP)
            assert until(client, "suspect")["evidence"]["covered"]
            dead = until(client, "dead")
            assert dead["reason"] == "silent"
            assert dead["evidence"]["waited"] >= 0.4
            _, err = client.communicate(timeout=20)
            assert client.returncode == 10
            assert re.fullmatch(r"error: 127\.0\.0\.1:\d+ does not answer .*\n", err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_listener_that_is_ended_says_goodbye_and_the_dialler_ends_well(told, code):
    with listening() as (server, port):
        with program("dial", f"127.0.0.1:{port}", "--json", *QUICK) as client:
            until(client, "online")
            server.send_signal(told)
            assert until(client, "closed")["reason"] == "going-away"
            client.communicate(timeout=20)
            assert client.returncode == 0
        server.communicate(timeout=20)
        assert server.returncode == code


@pytest.mark.slow
def test_a_log_tells_the_round_trip_now_and_then():
    with listening() as (_, port):
        words = ("dial", f"127.0.0.1:{port}", "--json", "--every", "0.2", *QUICK)
        with program(*words) as client:
            said = until(client, "rtt")
            assert 0 < said["rtt"]["smallest"] <= said["rtt"]["last"]


@pytest.mark.slow
def test_a_dialler_that_shall_go_on_dials_again():
    with listening() as (server, port):
        words = ("dial", f"127.0.0.1:{port}", "--json", "--again", *QUICK)
        with program(*words) as client:
            until(client, "online")
            server.send_signal(signal.SIGINT)
            assert until(client, "retry")["delay"] >= 0
            assert until(client, "dialling")


@pytest.mark.slow
def test_what_cannot_work_is_not_tried_again():
    with program("dial", "127.0.0.1:1", "--again", "--interval", "1e8") as client:
        _, told = client.communicate(timeout=20)
        assert client.returncode == 2
        assert "interval=100000000.0" in told


class Terminal:
    """What a program writes to a terminal, read as it comes."""

    def __init__(self, ours: int) -> None:
        self.ours = ours
        self.seen = ""

    def until(self, pattern: str) -> None:
        while not re.search(pattern, self.seen):
            self.seen += os.read(self.ours, 65536).decode(errors="replace")

    def rest(self) -> str:
        """Return what is written from now on until the program has ended."""
        written = b""
        with suppress(OSError):  # a terminal that nobody has open any more
            while data := os.read(self.ours, 65536):
                written += data
        return written.decode()


@contextmanager
def on_a_terminal(*words: str, **environment: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    usual = {"TERM": "xterm", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    streams = {"stdout": theirs, "stderr": subprocess.DEVNULL}
    with program(*words, env=env | usual | environment, **streams):
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            os.close(ours)


STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.slow
def test_on_a_terminal_the_state_is_shown_live_until_the_peer_is_dead():
    with listening() as (server, port):
        words = ("dial", f"127.0.0.1:{port}", *QUICK)
        with on_a_terminal(*words) as screen:
            screen.until(r"alive.*\d ms")
            assert "round trip" in screen.seen
            assert STYLE.search(screen.seen)
            os.kill(server.pid, signal.SIGSTOP)
            screen.until("dead: ")
            # What was last seen of it is not the last word.
            _, _, after = (screen.seen + screen.rest()).partition("dead: ")
            assert "\x1b[2K" in after.rpartition("alive")[2]


@pytest.mark.slow
def test_without_colour_nothing_is_bold_or_dim_either():
    with listening() as (_, port):
        words = ("dial", f"127.0.0.1:{port}", *QUICK)
        with on_a_terminal(*words, NO_COLOR="1") as screen:
            screen.until(r"alive.*\d ms")
            assert STYLE.findall(screen.seen) == []


@pytest.mark.slow
def test_on_a_narrow_terminal_the_peer_and_its_state_are_whole():
    with listening() as (_, port):
        words = ("dial", f"127.0.0.1:{port}", *QUICK)
        with on_a_terminal(*words, COLUMNS="40", NO_COLOR="1") as screen:
            screen.until(rf"127\.0\.0\.1:{port} +alive +\d+\.\d ms")
            assert "smallest" not in screen.seen


@pytest.mark.slow
def test_a_log_goes_on_where_a_character_cannot_be_written():
    with listening() as (_, port):
        words = ("dial", f"127.0.0.1:{port}", "--every", "0.1", *QUICK)
        ascii_alone = os.environ | {"PYTHONIOENCODING": "ascii"}
        with program(*words, env=ascii_alone) as client:
            assert client.stdout is not None
            while "round trip" not in (line := client.stdout.readline()):
                assert line, client.communicate()
            assert r"\xb1" in line


def test_a_refused_connection_stays_a_refused_connection(capsys):
    assert run(["dial", "127.0.0.1:1"]) == 1
    assert "refused" in capsys.readouterr().err.lower()


def test_within_chooses_the_two_others_itself(capsys):
    words = ["dial", "127.0.0.1:1", "--within", "5", "--interval", "1"]

    assert run(words) == 2
    assert "--within chooses" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nowhere", "host:", "::1:5", "a b:7000", ""])
def test_an_address_that_is_none_is_refused(address, capsys):
    assert run(["dial", address]) == 2
    assert run(["listen", address]) == 2


def test_where_nobody_can_listen_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        assert run(["listen", address]) == 1
        told = capsys.readouterr().err
        assert told == f"error: {address}: Address already in use\n"


def test_a_missing_privilege_is_named_and_how_to_do_without():
    found = refused(PermissionError(13, "no"), Address(host="", port=80))

    assert isinstance(found, AccessDenied)
    assert (found.capability, found.exit_code) == ("CAP_NET_BIND_SERVICE", 4)
    assert ":80" in found.message
    assert "1024" in found.hint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":7000", "", 7000),
        ("7000", "", 7000),
        ("[::1]:0", "::1", 0),
        ("192.0.2.1:80", "192.0.2.1", 80),
        (":0", "", 0),
        ("localhost:00", "localhost", 0),
    ],
)
def test_where_to_listen_may_be_everywhere_and_any_port(text, host, port):
    assert parse_listening(text) == Address(host=host, port=port)


def test_a_host_name_with_a_bad_port_is_refused():
    with pytest.raises(ConfigError, match="port") as caught:
        parse_listening(":70000")
    assert ":PORT" in caught.value.hint


def test_what_is_wrong_is_shown_as_it_was_written():
    with pytest.raises(ConfigError, match=r"'a\.\.b:0' has no host name"):
        parse_listening("a..b:0")


CHANGES = (
    Online(1.0),
    Suspected(1.0, Evidence(heard_at=0.0, silence=1.0)),
    Recovered(1.0, 0.5),
    Died(1.0, Reason.BACKPRESSURED, Evidence(heard_at=0.0, silence=1.0)),
    Closed(1.0, "done"),
    WatcherLate(1.0, 2.0),
    Slept(1.0, 3600.0),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_each_change_has_a_name_of_its_own_and_a_sentence(change):
    said = entry_of(change)

    assert [entry_of(other)["event"] for other in CHANGES].count(said["event"]) == 1
    assert sentence(said)


def test_no_round_trip_is_said_as_such():
    assert rtt_in_words(None) == "no round trip yet"


def test_an_error_names_the_address_and_the_option(capsys):
    assert run(["dial", "127.0.0.1:1"]) == 1
    assert "error: 127.0.0.1:1: Connection refused" in capsys.readouterr().err
    assert run(["dial", "127.0.0.1:1", "--connect-timeout", "0"]) == 2
    assert "connect-timeout=0" in capsys.readouterr().err
    assert run(["listen", ":0", "--every", "-1"]) == 2
    assert "every=-1" in capsys.readouterr().err


def test_a_host_without_a_port_is_told_so(capsys):
    assert run(["dial", "localhost"]) == 2
    told = capsys.readouterr().err
    assert "'localhost' has no port" in told
    assert "PID" not in told


@pytest.mark.slow
def test_a_stranger_is_told_by_the_rule_that_it_broke():
    with listening() as (server, port):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            dead = until(server, "dead")
        assert dead["breach"] == "spoke-http"
        assert sentence(dead) == (
            "dead: protocol violated: HTTP came where a HELLO was due"
        )


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_it_ends_when_nobody_reads_what_it_tells(form):
    with listening() as (_, port):
        words = ("dial", f"127.0.0.1:{port}", "--every", "0.1", *form, *QUICK)
        with program(*words) as client:
            assert client.stdout is not None
            assert "dialling" in client.stdout.readline()
            client.stdout.close()
            assert client.wait(timeout=20) == 141
