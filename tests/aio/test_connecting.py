import asyncio
import contextlib
import errno
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
from tests.loopback import listener

import deadpeer
from deadpeer.aio.connecting import open_connection

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="counts on Linux's full backlog"
)
KEEPALIVE = deadpeer.Keepalive(idle=5, interval=1, probes=3)


def loops():
    yield pytest.param(asyncio.new_event_loop, id="asyncio")
    with contextlib.suppress(ImportError):
        import uvloop

        yield pytest.param(uvloop.new_event_loop, id="uvloop")


@pytest.fixture(params=loops())
def run(request):
    """Run a coroutine on each kind of loop, and see that no descriptor is left."""

    def run(main):
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.sleep(0))
            before = open_sockets()
            try:
                return runner.run(main)
            finally:
                runner.run(settled())
                assert open_sockets() == before

    async def settled():
        # Lookups have left threads that wait for more, and no descriptors.
        for _ in range(5):
            await asyncio.sleep(0)

    return run


def open_sockets():
    """Return which sockets are open. Loops open other things when they need them."""
    folder = Path("/proc/self/fd")
    links = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # the one that reads the folder
            links.append(str(entry.readlink()))
    return sorted(link for link in links if link.startswith("socket:"))


@contextlib.contextmanager
def silent(family=socket.AF_INET):
    """Yield the address of a listener that never answers: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(family, backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)  # noqa: FBT003 - its name
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()


def finding(*addresses):
    """As a resolver would: each address in a form that connect takes."""

    async def getaddrinfo(*_args, **_kwargs):
        return [
            (
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                address,
            )
            for address in addresses
        ]

    return getaddrinfo


@pytest.fixture
def found(monkeypatch):
    """Have any name looked up as these addresses."""

    def found(*addresses):
        looked_up = finding(*addresses)
        monkeypatch.setattr(
            "deadpeer.aio.connecting._looked_up", lambda *_, **__: looked_up()
        )

    return found


async def closed(writer):
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_is_protected_and_carries_bytes(run, family):
    async def main(server):
        host, port = server.getsockname()[:2]
        reader, writer = await open_connection(host, port, within=10)
        accepted, _ = server.accept()
        with accepted:
            in_force = deadpeer.inspect(writer).keepalive
            assert in_force.on
            assert in_force.idle == deadpeer.plan(within=10).keepalive.idle
            assert in_force.user_timeout is not None
            accepted.sendall(b"hello\n")
            assert await reader.readline() == b"hello\n"
            await closed(writer)

    with listener(family) as server:
        run(main(server))


def test_own_values_take_the_place_of_a_promise(run):
    async def main(server):
        _, writer = await open_connection(*server.getsockname(), keepalive=KEEPALIVE)
        assert deadpeer.inspect(writer).keepalive.idle == 5
        await closed(writer)

    with listener() as server:
        run(main(server))


def test_the_settings_are_there_before_the_first_packet(run, monkeypatch):
    seen = []

    async def main(server):
        loop = asyncio.get_running_loop()

        class Loop:
            async def sock_connect(self, sock, address):
                seen.append(deadpeer.inspect(sock).keepalive.idle)
                await loop.sock_connect(sock, address)

            def __getattr__(self, name):
                return getattr(loop, name)

        monkeypatch.setattr(asyncio, "get_running_loop", Loop)
        try:
            _, writer = await open_connection(
                *server.getsockname(), keepalive=KEEPALIVE
            )
        finally:
            monkeypatch.undo()
        await closed(writer)

    with listener() as server:
        run(main(server))
    assert seen == [5]


def test_a_name_without_an_address_is_no_verdict(run, found):
    async def main():
        found()
        with pytest.raises(OSError, match="has no address"):
            await open_connection("x", 0, within=10)

    run(main())


def test_a_refused_connect_stays_refused(run):
    with listener() as server:
        address = server.getsockname()

    async def main():
        with pytest.raises(ConnectionRefusedError) as caught:
            await open_connection(*address, within=10)
        assert not isinstance(caught.value, deadpeer.PeerDead)

    run(main())


@linux
@pytest.mark.parametrize("delay", [None, 0.01])
def test_silence_is_a_dead_peer_at_the_deadline(run, delay):
    async def main(address):
        began = time.monotonic()
        with pytest.raises(deadpeer.PeerTimedOut) as caught:
            await open_connection(
                *address, within=10, timeout=0.2, happy_eyeballs_delay=delay
            )
        assert 0.2 <= time.monotonic() - began < 5
        assert caught.value.peer == "{}:{}".format(*address)

    with silent() as address:
        run(main(address))


@linux
def test_an_address_that_never_answers_leaves_time_for_the_next(run, found):
    async def main(dead, alive):
        found(dead, alive)
        began = time.monotonic()
        _, writer = await open_connection("x", 0, within=10, timeout=0.4)
        assert 0.2 <= time.monotonic() - began < 5  # half of it was the first one's
        assert writer.get_extra_info("peername") == alive
        await closed(writer)

    with silent() as dead, listener() as server:
        run(main(dead, server.getsockname()))


@linux
def test_in_a_race_the_one_that_answers_wins_at_once(run, found):
    async def main(dead, alive):
        found(dead, dead, alive)
        began = time.monotonic()
        _, writer = await open_connection("x", 0, within=60, happy_eyeballs_delay=0.01)
        assert time.monotonic() - began < 20  # a third of the time is the first one's
        assert writer.get_extra_info("peername") == alive
        await closed(writer)

    with silent() as dead, listener() as server:
        run(main(dead, server.getsockname()))


def test_in_a_race_a_refusal_starts_the_next_at_once(run, found):
    with listener() as gone:
        refusing = gone.getsockname()

    async def main(alive):
        found(refusing, alive)
        began = time.monotonic()
        _, writer = await open_connection("x", 0, within=60, happy_eyeballs_delay=50)
        assert time.monotonic() - began < 25
        await closed(writer)

    with listener() as server:
        run(main(server.getsockname()))


def test_in_a_race_that_two_win_one_connection_stays(run, found):
    async def main(one, other):
        found(one, other, one, other)
        _, writer = await open_connection("x", 0, within=60, happy_eyeballs_delay=0)
        await closed(writer)

    with listener() as one, listener() as other:
        run(main(one.getsockname(), other.getsockname()))


@linux
@pytest.mark.parametrize("delay", [None, 0.0])
def test_each_address_has_its_error(run, found, delay):
    with listener() as gone:
        refusing = gone.getsockname()

    async def main(dead):
        found(refusing, dead)
        with pytest.raises(ExceptionGroup) as caught:
            await open_connection(
                "x",
                0,
                within=10,
                timeout=0.2,
                happy_eyeballs_delay=delay,
                all_errors=True,
            )
        refused, silence = caught.value.exceptions
        assert isinstance(refused, ConnectionRefusedError)
        assert isinstance(silence, deadpeer.PeerTimedOut)

    with silent() as dead:
        run(main(dead))


@linux
@pytest.mark.parametrize("delay", [None, 0.0])
def test_a_cancelled_connect_leaves_nothing_and_the_loop_goes_on(run, found, delay):
    async def main(*dead):
        found(*dead)
        task = asyncio.create_task(
            open_connection("x", 0, within=60, happy_eyeballs_delay=delay)
        )
        before = open_sockets()
        for _ in range(1000):  # it runs, and does not block us
            await asyncio.sleep(0)
            if open_sockets() != before:
                break
        else:
            raise AssertionError("it has not begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with silent() as one, silent(socket.AF_INET6) as other:
        run(main(one, other))


def test_cancelled_at_any_step_it_leaves_no_descriptor(run):
    async def main(server):
        # Lookups and plans are made in threads; then they are known.
        await closed((await open_connection(*server.getsockname(), within=10))[1])
        for steps in range(12):
            task = asyncio.create_task(
                open_connection(*server.getsockname(), within=10)
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closed((await task)[1])

    with listener() as server:
        run(main(server))


def test_a_tls_handshake_that_nobody_answers_is_a_dead_peer(run):
    async def main(server):
        with pytest.raises(deadpeer.PeerTimedOut, match=r"TLS handshake in 0\.1 s"):
            await open_connection(
                *server.getsockname(),
                within=10,
                ssl=ssl.create_default_context(),
                ssl_handshake_timeout=0.1,
            )

    with listener() as server:
        run(main(server))


def test_what_does_not_speak_tls_is_refused_and_closed(run):
    async def main(server):
        task = asyncio.create_task(
            open_connection(*server.getsockname(), within=10, ssl=True)
        )
        accepted, _ = await asyncio.to_thread(server.accept)
        with accepted:
            accepted.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            with pytest.raises(ssl.SSLError):
                await task

    with listener() as server:
        run(main(server))


def test_it_connects_from_where_it_is_told(run):
    async def main(server):
        with socket.socket() as spare:
            spare.bind(("127.0.0.1", 0))
            here = spare.getsockname()
        _, writer = await open_connection(
            *server.getsockname(), within=10, local_addr=here
        )
        assert writer.get_extra_info("sockname") == here
        await closed(writer)

    with listener() as server:
        run(main(server))


def test_a_local_address_that_is_not_here_is_no_verdict(run):
    async def main(server, local):
        with pytest.raises(OSError) as caught:
            await open_connection(*server.getsockname(), within=10, local_addr=local)
        assert not isinstance(caught.value, deadpeer.DeadPeerError)
        return caught.value.errno

    with listener() as server:
        assert run(main(server, ("192.0.2.1", 0))) == errno.EADDRNOTAVAIL
        assert run(main(server, ("::1", 0))) is None  # of the other family


def test_a_path_that_is_longer_than_usual_is_planned_for(run, monkeypatch):
    monkeypatch.setattr("deadpeer.aio.connecting.longer_path", lambda *_: 0.25)

    async def main(server):
        _, writer = await open_connection(*server.getsockname(), within=20)
        planned = deadpeer.plan(within=20, rtt=0.25).keepalive
        assert deadpeer.inspect(writer).keepalive.user_timeout == planned.user_timeout
        await closed(writer)
        with pytest.raises(deadpeer.ConfigError, match="smallest promise"):
            await open_connection(*server.getsockname(), within=7)

    with listener() as server:
        run(main(server))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("within", {}),
        ("within", {"within": 10, "keepalive": KEEPALIVE}),
        ("within", {"within": 0.01}),
        ("timeout", {"within": 10, "timeout": 0}),
        ("address", {"within": 10, "port": 70_000}),
        ("address", {"within": 10, "host": "a" * 64 + ".example"}),
        ("local_addr", {"within": 10, "local_addr": "here"}),
        ("happy_eyeballs_delay", {"within": 10, "happy_eyeballs_delay": -1}),
        ("ssl", {"within": 10, "ssl": "yes"}),
        ("server_hostname", {"within": 10, "ssl": True, "host": None}),
    ],
)
def test_an_argument_that_cannot_work_is_named(run, field, values):
    async def main():
        with pytest.raises(deadpeer.ConfigError) as caught:
            await open_connection(**{"host": "127.0.0.1", "port": 1, **values})
        assert caught.value.field == field
        assert caught.value.hint

    run(main())
