"""Without its privilege each verb names the capability and changes nothing."""

import contextlib
import io
import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from tests.host.strangers import fingerprints, prepare
from tests.loopback import pair
from tests.neighbours import as_nobody, neighbour

from deadpeer.cli.root import run
from deadpeer.kernel.namespaces import find_namespace, in_namespace

pytestmark = pytest.mark.netns

DENIED = 4


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        prepare(made)
        made.told("a, b = pair(); port = a.getsockname()[1]")
        yield made


def refused(child, words: list[str], capability: str, *, inside: bool = True) -> int:
    """Return 0 if a verb, run as nobody, named the capability and exited with 4."""

    # Once as ourselves, and nothing is changed: an unprivileged child may not be able
    # to read the files that an import needs.
    run([word for word in words if word != "--yes"])

    def attempt() -> int:
        said, shown = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
            code = run(words)
        if code == DENIED and capability in said.getvalue():
            return 0
        os.write(2, f"{code}: {said.getvalue()}{shown.getvalue()}".encode())
        return 1

    if inside:
        space = find_namespace(str(child.pid))
        return in_namespace(space, lambda: as_nobody(attempt))
    return as_nobody(attempt)


@pytest.mark.parametrize("yes", [[], ["--yes"]])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_fix_names_the_capability_and_changes_nothing(child, tmp_path, yes, form):
    port = child.told("port")
    seen = fingerprints(child, "a", "b")
    record = ["--record", f"{tmp_path}/record.json"]
    words = ["fix", "sport", "=", f":{port}", "--within", "8", *yes, *form, *record]

    assert refused(child, words, "CAP_SYS_PTRACE") == 0

    assert fingerprints(child, "a", "b") == seen
    assert not list(tmp_path.iterdir())


def test_fix_of_somebody_elses_process_names_the_capability(child):
    words = ["fix", "--pid", str(child.pid), "--within", "8", "--yes"]
    seen = fingerprints(child, "a", "b")

    assert refused(child, words, "CAP_SYS_PTRACE") == 0
    assert refused(child, words, "CAP_", inside=False) == 0

    assert fingerprints(child, "a", "b") == seen


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_kill_names_the_capability_and_ends_nothing(child, form):
    words = ["kill", "sport", "=", f":{child.told('port')}", "--yes", *form]

    assert refused(child, words, "CAP_NET_ADMIN") == 0

    assert child.told("a.send(b'x'); b.recv(1)") == b"x"


@pytest.mark.parametrize("verb", [["kill"], ["fix", "--within", "8"]])
def test_another_namespace_takes_a_capability(child, verb):
    words = [*verb, "state", "established", "--netns", str(child.pid), "--yes"]

    assert refused(child, words, "CAP_", inside=False) == 0

    assert child.told("a.send(b'x'); b.recv(1)") == b"x"


def test_undo_names_the_capability_and_changes_nothing(child, tmp_path):
    record = tmp_path / "record.json"
    words = ["sport", "=", f":{child.told('port')}", "--pid", str(child.pid)]
    assert run(["fix", *words, "--within", "8", "--yes", "--record", str(record)]) == 0
    seen = fingerprints(child, "a", "b")
    copy = os.open(record, os.O_RDONLY)  # the record itself is its maker's alone

    try:
        told = ["undo", f"/proc/self/fd/{copy}", "--yes"]
        os.fchmod(copy, 0o644)
        for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            folder.chmod(0o755)
        assert refused(child, told, "CAP_SYS_PTRACE") == 0
    finally:
        os.close(copy)

    assert fingerprints(child, "a", "b") == seen


def test_a_record_of_somebody_else_may_not_be_read(child, tmp_path):
    record = tmp_path / "record.json"
    words = ["sport", "=", f":{child.told('port')}", "--pid", str(child.pid)]
    run(["fix", *words, "--within", "8", "--yes", "--record", str(record)])

    assert refused(child, ["undo", str(record), "--yes"], "") == 0


def test_where_no_record_can_be_written_nothing_is_changed(child, capsys):
    words = ["sport", "=", f":{child.told('port')}", "--pid", str(child.pid)]
    seen = fingerprints(child, "a", "b")

    code = run(["fix", *words, "--within", "8", "--yes", "--record", "/proc/x/y.json"])

    assert code in (4, 5)
    assert "nothing was changed" in capsys.readouterr().err
    assert fingerprints(child, "a", "b") == seen


def test_ones_own_connections_take_no_privilege(child, capfd):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)

    def attempt() -> int:
        with pair() as (near, _):
            port = near.getsockname()[1]
            words = ["sport", "=", f":{port}"]
            record = ["--record", f"{folder}/record.json"]
            code = run(["fix", *words, "--within", "8", "--yes", *record])
            on = near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            undone = run(["undo", record[1], "--yes"])
            off = near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            return code or undone or on != 1 or off != 0

    try:
        in_namespace(find_namespace(str(child.pid)), attempt)  # for its imports
        (folder / "record.json").unlink()
        space = find_namespace(str(child.pid))
        assert in_namespace(space, lambda: as_nobody(attempt)) == 0, capfd.readouterr()
    finally:
        shutil.rmtree(folder)


def test_where_one_of_several_takes_a_privilege_none_is_changed(child, capfd):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    other = child.told("port")
    numbers = (
        "os.fstat(a.fileno()).st_ino, int.from_bytes(a.getsockopt(1, 57, 8), {!r})"
    )
    inode, cookie = child.told(numbers.format(sys.byteorder))

    fix = ["fix", "--within", "8", "--yes", "--record"]

    def attempt() -> int:
        with pair() as (near, _):

            def is_on() -> bool:
                return bool(near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

            own, path = near.getsockname()[1], folder / "own.json"
            mine = ["sport", "=", f":{own}"]
            both = [*mine, "or", "sport", "=", f":{other}"]
            run([*fix, str(path), *mine])
            record = json.loads(path.read_text())
            [one] = record["sockets"]
            two = {**one, "inode": inode, "cookie": cookie}
            path.write_text(json.dumps({**record, "sockets": [one, two]}))
            undone = run(["undo", str(path), "--yes"]), is_on()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
            fixed = run([*fix, f"{folder}/both.json", *both]), is_on()
            written = (folder / "both.json").exists()
            said = f"{undone} {fixed} {written}\n"
            os.write(2, said.encode())
            return said != "(4, True) (4, False) False\n"

    try:
        space = find_namespace(str(child.pid))
        in_namespace(space, attempt)  # for its imports
        for left in folder.iterdir():
            left.unlink()
        seen = fingerprints(child, "a", "b")
        assert in_namespace(space, lambda: as_nobody(attempt)) == 0, capfd.readouterr()
        assert fingerprints(child, "a", "b") == seen
    finally:
        shutil.rmtree(folder)
