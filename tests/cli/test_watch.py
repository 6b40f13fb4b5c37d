"""``deadpeer watch`` without a terminal: a real process, real namespaces, a real cable."""

import contextlib
import http.server
import json
import os
import queue
import shutil
import signal
import socket
import threading
import time
import urllib.request
from typing import Any

import pytest
from tests.cli.watched import GUARDED, guarded_pair, pull_the_cable_under_load, watching
from tests.neighbours import as_nobody

# Imported here: an unprivileged child may not be able to read the files.
import deadpeer.cli.watch
import deadpeer.cli.watch_daemon  # noqa: F401
from deadpeer.cli.root import run

pytestmark = pytest.mark.netns


@pytest.fixture
def child():
    with guarded_pair() as made:
        yield made


def pull_the_cable(child) -> None:
    child.told("loopback(False)")


def test_a_pulled_cable_makes_a_suspect_then_a_dead_one(child):
    with watching(child) as daemon:
        assert "watching 2 connections: 0 unprotected, 0 suspect" in daemon.begun
        pull_the_cable(child)
        suspect = daemon.change("suspect")
        dead = daemon.change("dead")

        assert suspect["schema"] == dead["schema"] == "deadpeer-watch/1"
        assert suspect["evidence"]["probes"] == 2
        assert suspect["pid"] == dead["pid"] == child.pid
        assert dead["reason"] == "timed_out"
        assert 0 < dead["suspect_for"] < 3
        assert daemon.ends() == 0


def test_a_cable_that_is_mended_in_time_lets_the_suspect_recover(child):
    child.told("[s.setsockopt(6, 18, 15_000) for s in a]")
    with watching(child) as daemon:
        pull_the_cable(child)
        suspect = daemon.change("suspect")
        child.told("loopback(True)")
        recovered = daemon.change("recovered")

        assert suspect["state"] == recovered["state"] == "ESTABLISHED"
        assert daemon.ends() == 0
        assert '"change": "dead"' not in "".join(daemon.lines.queue)


def test_a_connection_that_appears_unprotected_is_told_and_a_protected_one_is_not(
    child,
):
    with watching(child) as daemon:
        child.told("b = pair(); " + GUARDED.format("b"))
        child.told("c = pair()")
        ports = {child.told(f"c[{n}].getsockname()[1]") for n in (0, 1)}
        found = [daemon.change("unprotected") for _ in ports]

        assert {data["local"]["port"] for data in found} == ports
        assert {data["protected"] for data in found} == {False}
        assert {data["unnoticed_idle"] for data in found} == {None}
        assert daemon.ends() == 0
        assert daemon.lines.empty()


def test_a_filter_and_a_process_choose_what_is_watched(child):
    port = child.told("a[0].getsockname()[1]")
    with watching(child, "sport", "=", f":{port}", "--process", "pyth*") as daemon:
        assert "watching 1 connections" in daemon.begun
        pull_the_cable_under_load(child)

        assert daemon.change("dead")["local"]["port"] == port
        assert daemon.ends() == 0
    with watching(child, "--process", "nobody") as daemon:
        assert "watching 0 connections" in daemon.begun


def test_after_a_hangup_the_output_is_opened_anew_and_the_rules_are_read_again(
    child, tmp_path
):
    out, rules = tmp_path / "out.json", tmp_path / "rules.toml"
    rules.write_text('filter = "dport = :9"\n')
    with watching(child, "--output", str(out), "--rules", str(rules)) as daemon:
        assert "watching 0 connections" in daemon.begun
        out.rename(tmp_path / "out.json.1")
        rules.write_text("within = 60\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert "watching 2 connections" in daemon.said("reloaded;")
        assert out.exists()

        wrong = {"within = 'long'": "within:", "on.dead = ' '": "a command is empty"}
        for text, why in wrong.items():
            rules.write_text(text)
            daemon.process.send_signal(signal.SIGHUP)
            assert why in daemon.said("not reloaded")

        pull_the_cable_under_load(child)
        child.told(
            "a[0].settimeout(9)\n"
            "try:\n    a[0].recv(1)\nexcept OSError as e:\n    failed = e.errno"
        )
        assert daemon.ends() == 0
    told = [json.loads(line)["change"] for line in out.read_text().splitlines()]
    assert told[:2] == ["suspect"] * 2
    assert (tmp_path / "out.json.1").read_text() == ""


class Hook(http.server.ThreadingHTTPServer):
    """A server that fails twice, and then takes what it gets."""

    def __init__(self) -> None:
        self.answers = [503, 500]
        self.bodies: queue.Queue[dict[str, Any]] = queue.Queue()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Hook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = self.server.answers.pop(0) if self.server.answers else 204
        if code == 204:
            self.server.bodies.put(json.loads(body))
        self.send_response(code)
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def hook():
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_command_is_run_and_a_webhook_that_fails_twice_is_called_again(
    child, tmp_path
):
    told = tmp_path / "told"
    command = f'echo "$DEADPEER_CHANGE $DEADPEER_REASON $(cat)" >> {told}; echo done'
    with hook() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        with watching(child, "--on", "dead", command, "--webhook", url) as daemon:
            pull_the_cable_under_load(child)
            daemon.change("dead")
            daemon.change("dead")
            assert daemon.ends() == 0
            lines = list(daemon.lines.queue)
        assert server.answers == []
        changes = []
        while not server.bodies.empty():
            changes += server.bodies.get()["changes"]

    assert sorted(one["change"] for one in changes) == ["dead"] * 2 + ["suspect"] * 2
    assert lines == []  # what a command prints is not among the changes
    written = told.read_text().splitlines()
    assert [line.split(" {")[0] for line in written] == ["dead timed_out"] * 2
    assert json.loads(written[0].split(" ", 2)[2])["change"] == "dead"


def test_a_command_and_a_webhook_that_hang_hold_up_neither_looks_nor_a_reload(
    child, tmp_path
):
    rules, begun = tmp_path / "rules.toml", tmp_path / "begun"
    os.mkfifo(begun)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        slow = f"on.unprotected = 'echo $$ > {begun}; exec sleep 60'\nwebhook = '{url}'"
        rules.write_text(slow)
        with watching(child, "--rules", str(rules)) as daemon:
            child.told("c = pair()")
            daemon.change("unprotected")
            slept = int(begun.read_text())
            rules.write_text("")
            asked_at = time.monotonic()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.said("reloaded;")
            child.told("d = pair()")
            daemon.change("unprotected")

            # Last deliveries have five seconds, each; nothing waited for them.
            assert time.monotonic() - asked_at < 4
            os.kill(slept, signal.SIGKILL)


def test_metrics_are_there_to_be_scraped(child):
    with watching(child, "--metrics", "127.0.0.1:0") as daemon:
        url = daemon.metrics.split()[-1]
        pull_the_cable_under_load(child)
        daemon.change("dead")
        daemon.change("dead")
        with urllib.request.urlopen(url) as answer:  # noqa: S310
            text = answer.read().decode()
        assert daemon.ends() == 0

    lines = text.splitlines()
    assert 'deadpeer_deaths_total{reason="timed_out"} 2.0' in lines
    assert 'deadpeer_changes_total{change="suspect"} 2.0' in lines
    assert "deadpeer_suspect_connections 0.0" in lines
    assert 'deadpeer_rtt_seconds_bucket{le="+Inf"} 0.0' in lines
    assert any(line.startswith("process_cpu_seconds_total") for line in lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_two_capabilities_are_enough_and_a_command_gets_neither(child):
    """So the service has them: PTRACE and DAC_READ_SEARCH, as ambient ones."""
    child.told("os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234)")
    only = "-all,+sys_ptrace,+dac_read_search"
    less = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    less += [f"--{kind}={only}" for kind in ("inh-caps", "ambient-caps")]
    less += [f"--bounding-set={only}", "--no-new-privs"]
    inside = ["nsenter", f"--target={child.pid}", "--net", "--", *less]
    told = ["--on", "unprotected", "grep CapEff /proc/self/status"]
    with watching(None, *told, prefix=inside) as daemon:
        child.told("c = pair(); [s.setsockopt(1, 9, 1) for s in c]")

        # That keepalive is slow is seen in the socket only, and nowhere else.
        found = daemon.change("unprotected")
        assert found["pid"] == child.pid
        assert 7000 < found["unnoticed_idle"] < 10_000
        assert daemon.said("CapEff").split()[-1] == "0" * 16
        assert daemon.ends() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_another_user_is_told_what_it_takes(child, capfd):
    assert as_nobody(lambda: run(["watch", "--json", "--netns", str(child.pid)])) == 4
    assert "CAP_SYS_PTRACE" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--every", "0"], "every"),
        (["--metrics", "9109"], "write :9109"),
        (["--webhook", "ftp://x"], "no URL"),
        (["--on", "dead", " "], "a command is empty"),
        (["--rules", "/nonexistent"], "/nonexistent"),
        (["dport", "="], "dport"),
        (["--on", "ill", "x"], "ill"),
        (["--output", "/nonexistent/x"], "cannot be written"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(words, said, capsys):
    assert run(["watch", "--json", *words]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
