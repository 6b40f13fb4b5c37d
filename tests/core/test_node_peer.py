"""The client in another language, run against a conversation over a real socket."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from deadpeer.core.arrivals import Goodbye, Greeted, Message, Pinged, Ponged
from deadpeer.core.conversation import Conversation
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits

PEER = Path(__file__).parents[2] / "examples" / "node" / "peer.mjs"
QUIET = Hello(time_to_live=0.1)  # so that the client may be as quick as it wishes


@pytest.fixture
def met():
    """Yield the client, and its connection after both greetings."""
    if shutil.which("node") is None:
        pytest.skip("needs node: apt-get install nodejs")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen(
            ["node", PEER, "127.0.0.1", str(listener.getsockname()[1]), "0.2", "0.3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as client,
    ):
        listener.settimeout(30)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            yield client, Server(accepted)
        client.kill()


class Server:
    """A conversation that reads until it has heard what a test waits for."""

    def __init__(self, sock):
        self.sock = sock
        self.conversation = Conversation(QUIET, Limits(), now=time.monotonic())
        self.send(self.conversation.greeting())

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def wait_for(self, kind):
        """Return the next arrival of that kind; questions are left unanswered."""
        while True:
            data = self.sock.recv(65536)
            assert data, "the client left"
            for arrival in self.conversation.receive(data, now=time.monotonic()):
                if isinstance(arrival, kind):
                    return arrival


def printed(client):
    return [json.loads(line) for line in client.stdout]


def test_it_speaks_and_answers_and_says_goodbye(met):
    client, server = met
    client.stdin.write("x" * 40_000 + "\n")
    client.stdin.flush()

    assert server.wait_for(Message).data == b"x" * 40_000
    server.send(*server.conversation.fragments("grüß dich ".encode() * 4000))
    server.send(server.conversation.ping(513))
    assert server.wait_for(Ponged).sequence == 513
    client.stdin.close()
    assert server.wait_for(Goodbye).reason == 0
    said = printed(client)
    assert ["message", "grüß dich " * 4000] in said
    assert said[-1] == ["pinged", 513]
    assert client.wait(30) == 0


def test_it_asks_and_gives_up_who_does_not_answer(met):
    client, server = met
    server.wait_for(Greeted)
    server.wait_for(Pinged)

    assert server.wait_for(Goodbye).reason == 5
    [*_, (what, silence)] = printed(client)
    assert what == "dead"
    assert silence >= 0.5
    assert client.wait(30) == 10


def test_it_blames_who_breaks_the_protocol(met):
    client, server = met
    server.send(b"\x60")

    assert server.wait_for(Goodbye) == (2, "unknown-frame")
    assert printed(client)[-1] == ["broken", "unknown-frame"]
    assert client.wait(30) == 13


@pytest.mark.parametrize("words", ["here", "here x", "here 80 soon", "here 80 1 0"])
def test_what_it_cannot_do_is_told_in_a_line(words):
    if shutil.which("node") is None:
        pytest.skip("needs node: apt-get install nodejs")
    ended = subprocess.run(
        ["node", PEER, *words.split()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")
