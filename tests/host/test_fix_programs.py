"""
Programs that nobody changed, fixed while they run, and a cable that is pulled.

Each runs twice: one is fixed, its twin beside it is not, and must not change in
anything that can be seen.
"""

import contextlib
import select
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.host.programs import PROGRAMS, build_static, started, why_no
from tests.host.telling import told

from deadpeer.errors import NotTcp
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.inspection import inspect
from deadpeer.kernel.owners import find_owners
from deadpeer.lab.faults import pull_cable
from deadpeer.lab.topology import SERVER, Topology

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WITHIN = 8
FIXED, LEFT = 7001, 7002
PATIENCE = 20  # for programs to start, on a machine that is busy


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    if why := why_no("static"):
        pytest.skip(why)
    return build_static(tmp_path_factory.mktemp("static"))


def wait_for(condition: Any, what: str) -> Any:
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"no {what} in {PATIENCE} s")


def socket_of(process: subprocess.Popen[str]) -> int:
    """Return the descriptor of a program's one TCP connection; 0 before it is there."""
    for _, descriptor in find_owners([process.pid]).first.values():
        with (
            contextlib.suppress(NotTcp),
            Lender(process.pid) as lender,
            lender.borrowed(descriptor) as copy,
        ):
            if inspect(copy).peer:
                return descriptor
    return 0


def seen(process: subprocess.Popen[str], descriptor: int) -> tuple[Any, ...]:
    """Return the options of a program's socket, and its file's flags."""
    info = Path(f"/proc/{process.pid}/fdinfo/{descriptor}").read_text("ascii")
    with Lender(process.pid) as lender, lender.borrowed(descriptor) as copy:
        found = inspect(copy)
    return found.units, found.keepalive.on, info


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_here_to_be_fixed(name):
    if why := why_no(name):
        pytest.skip(why)


def test_each_sees_its_error_in_time_and_its_twin_nothing(static, tmp_path, capsys):
    present = [name for name in PROGRAMS if not why_no(name)]
    many = len(present)
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Topology())
        with network.server.entered():
            listeners = [
                stack.enter_context(socket.create_server((SERVER[4], port)))
                for port in (FIXED, LEFT)
            ]
        twins, peers = [], []
        for listener, port in zip(listeners, (FIXED, LEFT), strict=True):
            mine = []
            for name in present:
                with network.client.entered():
                    program = started(name, SERVER[4], port, static=static)
                    mine.append(stack.enter_context(program))
                listener.settimeout(PATIENCE)
                peers.append(stack.enter_context(listener.accept()[0]))
            twins.append(mine)
        fixed, left = twins
        descriptors = {
            one.pid: wait_for(lambda one=one: socket_of(one), "connection")
            for one in (*fixed, *left)
        }
        before = {one.pid: seen(one, descriptors[one.pid]) for one in (*fixed, *left)}
        record = tmp_path / "record.json"
        netns = ("--netns", str(fixed[0].pid))
        words = ("fix", "dport", "=", f":{FIXED}", *netns, "--within", str(WITHIN))

        assert told(capsys, *words)["counts"] == {"planned": many}
        assert before == {
            one.pid: seen(one, descriptors[one.pid]) for one in (*fixed, *left)
        }
        done = told(capsys, *words, "--yes", "--record", str(record))
        assert done["counts"] == {"done": many}
        assert {one["pid"] for one in done["sockets"]} == {one.pid for one in fixed}
        undone = told(capsys, "undo", str(record), "--yes")
        assert undone["counts"] == {"done": many}
        assert before == {
            one.pid: seen(one, descriptors[one.pid]) for one in (*fixed, *left)
        }
        assert told(capsys, *words, "--yes", "--record", f"{record}.2")["counts"] == {
            "done": many
        }
        for peer in peers:
            peer.sendall(b"still here\n")
        for one in (*fixed, *left):
            assert one.stdout
            assert one.stdout.readline() == "still here\n"

        pulled_at = time.monotonic()
        pull_cable(network, None)
        ends = {one.pid: ended_at(one, pulled_at + WITHIN) for one in fixed}

        late = {pid: at and at - pulled_at for pid, at in ends.items()}
        assert all(at is not None and at <= WITHIN for at in late.values()), late
        assert all(map(saw_an_error, present, fixed))
        for one in left:
            assert one.poll() is None
            assert seen(one, descriptors[one.pid]) == before[one.pid]


def ended_at(process: subprocess.Popen[str], give_up_at: float) -> float | None:
    """Return when a program ended its output, or None if it did not in time."""
    left = max(0.0, give_up_at - time.monotonic())
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], left)
    return time.monotonic() if ready else None


def saw_an_error(name: str, process: subprocess.Popen[str]) -> bool:
    """Tell whether a program ended, and said why; nc never does."""
    assert process.stderr
    code = process.wait(PATIENCE)
    return name == "nc" or (code != 0 and bool(process.stderr.read()))
