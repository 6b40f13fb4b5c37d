"""No verb touches a socket outside its target, whatever the target looks like."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.host.strangers import fingerprints, prepare
from tests.host.telling import told
from tests.neighbours import Neighbour, neighbour

from deadpeer.cli.root import run

pytestmark = [pytest.mark.netns]

# The same in two namespaces and in two processes of the first: the same addresses, the
# same ports, the same descriptors. Only one connection of one of them is meant.
SOCKETS = """
server = socket.create_server(("127.0.0.1", 7010 + shift))
six = socket.create_server(("::1", 7020 + shift), family=socket.AF_INET6)
def connected(to, family=socket.AF_INET):
    s = socket.socket(family)
    s.setsockopt(1, 2, 1)
    s.bind((to.getsockname()[0], 7100 + shift + len(all_of_them)))
    s.connect(to.getsockname()[:2])
    t, _ = to.accept()
    all_of_them.extend((s, t))
    return s, t
all_of_them = []
a, b = connected(server)
c, d = connected(server)
e, f = connected(six, socket.AF_INET6)
g, h = connected(server)
g.setsockopt(1, 9, 1); g.setsockopt(6, 4, 77)
i, j = connected(server)
i.shutdown(1)
k, l = connected(server)
k.send(b"unread")
m = socket.socket()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 7010 + shift))
"""
OTHERS = ("b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "server", "six")


def inhabited(child: Neighbour, *, shift: int = 0) -> Neighbour:
    prepare(child)
    child.told(f"shift = {shift}\n{SOCKETS}")
    return child


@contextlib.contextmanager
def neighbourhood() -> Any:
    """Yield the child that is meant, one beside it, and one that looks the same."""
    with (
        neighbour(namespace=True) as meant,
        neighbour() as beside,
        neighbour(namespace=True) as twin,
    ):
        enter = f"fd = os.open('/proc/{meant.pid}/ns/net', os.O_RDONLY)"
        beside.told(f"import ctypes\n{enter}\nctypes.CDLL(None).setns(fd, 0)")
        yield inhabited(meant), inhabited(beside, shift=1000), inhabited(twin)


def strangers(meant: Neighbour, beside: Neighbour, twin: Neighbour) -> list[Any]:
    """Return all that can be seen of every socket that is not meant."""
    return [
        fingerprints(meant, *OTHERS),
        fingerprints(beside, "a", *OTHERS),
        fingerprints(twin, "a", *OTHERS),
    ]


def ways_to_say_it(meant: Neighbour) -> list[tuple[str, ...]]:
    port = meant.told("a.getsockname()[1]")
    pid = str(meant.pid)
    return [
        ("sport", "=", f":{port}", "--pid", pid),
        ("sport", "=", f":{port}", "--netns", pid),
        (f"src 127.0.0.1:{port}", "--netns", f"/proc/{pid}/ns/net"),
        ("state", "established", "and", "sport", "=", f":{port}", "--pid", pid),
    ]


@pytest.mark.parametrize("way", range(4))
def test_no_verb_touches_a_socket_outside_its_target(way, capsys, tmp_path):
    with neighbourhood() as children:
        meant = children[0]
        target = ways_to_say_it(meant)[way]
        own = meant.told("a.getsockopt(1, 57, 8)")
        record = tmp_path / "record.json"
        before = strangers(*children)
        held = fingerprints(meant, "a")

        done = told(
            capsys,
            *("fix", *target, "--within", "8", "--listening"),
            *("--yes", "--record", str(record)),
        )

        (only,) = done["sockets"]
        assert only["cookie"].to_bytes(8, "little") == own
        assert only["outcome"] == "done"
        assert strangers(*children) == before
        assert fingerprints(meant, "a") != held
        assert len(json.loads(Path(record).read_text())["sockets"]) == 1

        assert told(capsys, "undo", str(record), "--yes")["counts"] == {"done": 1}
        assert strangers(*children) == before
        assert fingerprints(meant, "a") == held

        # The other end of what is ended gets a reset: it was meant, too.
        alive = tuple(name for name in OTHERS if name != "b")
        assert told(capsys, "kill", *target, "--yes")["counts"] == {"done": 1}
        rest = {k: v for k, v in before[0].items() if not k.startswith("b ")}
        assert fingerprints(meant, *alive) == rest
        assert [fingerprints(child, "a", *OTHERS) for child in children[1:]] == before[
            1:
        ]
        assert meant.told("k.send(b'!'); l.recv(7)") == b"unread!"


@pytest.mark.parametrize("verb", [("fix", "--within", "8"), ("kill",)])
@pytest.mark.parametrize("extra", [(), ("--netns", "all"), ("--json",)])
def test_a_verb_that_is_told_no_target_is_a_wrong_command_line(verb, extra, capsys):
    assert run([*verb, "--yes", *extra]) == 2

    answer = capsys.readouterr()
    assert answer.out == ""
    assert "has to be said which" in answer.err
    assert "--pid" in answer.err


def test_without_yes_no_verb_changes_anything(capsys, tmp_path):
    with neighbourhood() as children:
        meant = children[0]
        target = ways_to_say_it(meant)[0]
        before = strangers(*children), fingerprints(meant, "a")

        told(capsys, "fix", *target, "--within", "8")
        told(capsys, "kill", *target)
        told(capsys, "kill", "--pid", str(meant.pid))
        assert (strangers(*children), fingerprints(meant, "a")) == before

        record = ("--record", str(tmp_path / "record.json"))
        told(capsys, "fix", *target, "--within", "8", "--yes", *record)
        fixed = strangers(*children), fingerprints(meant, "a")
        told(capsys, "undo", record[1])
        assert (strangers(*children), fingerprints(meant, "a")) == fixed
