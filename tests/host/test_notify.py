"""Commands and webhooks: what they are told, and what happens when they fail."""

import http.server
import json
import os
import queue
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.host.looks import about, unheard

from deadpeer.errors import ConfigError
from deadpeer.host.changes import Change, ChangeKind, DeathReason, as_data
from deadpeer.host.notify import Command, Webhook, environment, require_url
from deadpeer.host.outbox import Outbox
from deadpeer.policy.backoff import Backoff

QUICK = Backoff(first=0.001, cap=0.002)
PATIENCE = 10.0


def item(cookie: int = 1, process: str = "game"):
    change = Change(
        kind=ChangeKind.DEAD,
        at=1.0,
        namespace=4,
        row=unheard(cookie),
        about=about(process=process),
        reason=DeathReason.TIMED_OUT,
        suspect_for=2.0,
    )
    return as_data(change, time="2026-01-01T00:00:00.000Z")


class Server(http.server.ThreadingHTTPServer):
    """Answers with these codes, then with 204; keeps what was accepted."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.calls = 0
        self.bodies: queue.Queue[dict[str, object]] = queue.Queue()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=secret"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls += 1
        code = self.server.codes.pop(0) if self.server.codes else 204
        if code == 204:
            self.server.bodies.put(json.loads(body))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def serving():
    servers = []

    def make(*codes: int) -> Server:
        server = Server(*codes)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server

    yield make
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_that_fails_twice_is_called_a_third_time(serving):
    said: list[str] = []
    server = serving(503, 429)
    hook = Webhook(server.url, report=said.append, backoff=QUICK)
    hook.tell(item(7))
    body = server.bodies.get(timeout=PATIENCE)
    hook.close()

    assert body["schema"] == "deadpeer-watch/1"
    assert [change["cookie"] for change in body["changes"]] == [7]
    assert said == []
    assert hook.failed == 0


@pytest.mark.parametrize(("code", "calls"), [(404, 1), (302, 1), (500, 3)])
def test_a_webhook_is_given_up_at_once_where_another_call_changes_nothing(
    serving, code, calls
):
    said: queue.Queue[str] = queue.Queue()
    server = serving(*[code] * 9)
    hook = Webhook(server.url, report=said.put, backoff=QUICK, attempts=3)
    hook.tell(item())
    line = said.get(timeout=PATIENCE)
    hook.close()

    assert server.calls == calls
    assert hook.failed == 1
    assert str(code) in line
    assert "secret" not in line  # a URL may hold one


def test_a_webhook_that_nobody_serves_holds_nobody_up():
    said: queue.Queue[str] = queue.Queue()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        hook = Webhook(url, report=said.put, backoff=QUICK, attempts=2, most=3)
        for number in range(10):
            hook.tell(item(number))
        hook.close()

    assert hook.failed + hook.dropped == 10
    assert "refused" in said.get(timeout=PATIENCE)


def test_what_waits_is_bounded_and_the_oldest_goes():
    started, go_on = threading.Event(), threading.Event()
    got: list[int] = []

    def deliver(some):
        got.extend(one["n"] for one in some)
        started.set()
        go_on.wait(PATIENCE)

    box = Outbox(deliver, name="slow", batch=2, most=3)
    box.put({"n": 0})
    assert started.wait(PATIENCE)
    for number in range(1, 7):
        box.put({"n": number})
    go_on.set()

    assert box.close(patience=PATIENCE) == 0
    assert box.dropped == 3
    assert got == [0, 4, 5, 6]


def test_one_that_hangs_is_left_when_the_watch_ends():
    hung = threading.Event()
    box = Outbox(lambda _: hung.wait(PATIENCE) and None, name="hung")
    box.put({})
    box.put({})

    assert box.close(patience=0.05) == 2
    hung.set()


def test_a_command_gets_the_change_and_its_output_is_not_ours(tmp_path, capfd):
    said: list[str] = []
    got = tmp_path / "got"
    command = Command(
        f'cat > {got}; echo "$DEADPEER_PEER died of $DEADPEER_REASON"',
        report=said.append,
    )
    command.tell(item())
    command.close(patience=PATIENCE)

    assert json.loads(got.read_text())["change"] == "dead"
    out, err = capfd.readouterr()
    assert (out, err) == ("", "198.51.100.7:2 died of timed_out\n")
    assert said == []


def test_the_name_of_a_process_is_never_run(tmp_path):
    got, trap = tmp_path / "got", tmp_path / "trap"
    command = Command(f'echo "$DEADPEER_PROCESS" > {got}', report=lambda _: None)
    name = f'$(touch {trap})"; touch {trap}; "'
    command.tell(item(process=name))
    command.close(patience=PATIENCE)

    assert got.read_text() == f"{name}\n"
    assert not trap.exists()


def test_a_command_that_fails_or_hangs_is_told_and_the_next_one_runs(tmp_path):
    said: list[str] = []
    command = Command("exit 3", report=said.append)
    command.tell(item())
    command.close(patience=PATIENCE)
    slow = Command("sleep 60 & wait", report=said.append, timeout=0.05)
    slow.tell(item())
    slow.close(patience=PATIENCE)

    assert "exit code 3" in said[0]
    assert "ended after 0.05 s" in said[1]
    assert (command.failed, slow.failed) == (1, 1)


@pytest.mark.parametrize(("text", "why"), [(" ", "empty"), ("a\0b", "NUL")])
def test_a_command_that_no_shell_can_run_is_refused(text, why):
    with pytest.raises(ConfigError, match=why):
        Command(text, report=print)


@given(st.text(min_size=1))
def test_any_name_can_be_handed_on(name):
    found = environment(item(process=name))

    assert found["DEADPEER_PROCESS"] == name.replace("\0", "")
    assert "\0" not in "".join(found.values())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://x/",
        "http://",
        "http://x:99999/",
        "http://a b/",
        "http://a..b/",
        "file:///etc/x",
    ],
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ConfigError):
        require_url(url)


@pytest.mark.parametrize("url", ["http://ann:s3cret@x/", "http://ann:s3cret@x:80/"])
def test_a_password_in_a_url_is_refused_and_not_told(url):
    """The library would take it for a port, and say so."""
    with pytest.raises(ConfigError, match="for x has a user in it") as caught:
        Webhook(url, report=print)
    assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.value}"


def test_a_command_that_runs_on_is_ended_with_the_watch(tmp_path):
    """With all that it started: each holds the other end of a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said: list[str] = []
    command = Command(f"exec 7> {pipe}; sleep 60 & wait", report=said.append)
    command.tell(item())
    with pipe.open("rb") as reading:  # once it has begun
        command.close(patience=0.05)

        assert reading.read() == b""  # nobody holds the other end
    assert len(said) == 1
    assert "1 changes were not told" in said[0]
