"""One loop in its thread: what waits for it, what interrupts that, fork, and the end."""

import asyncio
import os
import sys
import textwrap
import threading

import pytest
from tests.sync.stories import WAIT, Doing, child, run, wait_until

from deadpeer.errors import LocalProtocolError
from deadpeer.sync import serve_peers
from deadpeer.sync.background import background
from deadpeer.sync.workers import Workers


async def seven():
    return 7


def test_there_is_one_loop_however_many_threads_ask_first():
    threads = [Doing(background) for _ in range(20)]

    assert {id(one.outcome()) for one in threads} == {id(background())}


def test_a_coroutine_has_its_result_and_its_error():
    async def fail():
        raise ValueError("why")

    assert background().call(seven) == 7
    with pytest.raises(ValueError, match="why"):
        background().call(fail)


def test_a_timeout_cancels_and_says_after_how_long():
    cancelled = threading.Event()

    async def wait():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        background().call(wait, 0.01)
    assert cancelled.is_set()


def test_a_timeout_of_zero_takes_what_is_there():
    assert background().call(seven, 0) == 7


def test_to_wait_for_oneself_is_refused():
    home = background()

    def on_the_loop():
        with pytest.raises(LocalProtocolError, match="waits for the background"):
            home.call(seven)
        return home.ask(lambda: 7)

    assert home.ask(on_the_loop) == 7


def test_a_callback_that_exits_ends_neither_the_loop_nor_who_waits_for_it():
    home = background()
    exited = threading.Event()

    def leave():
        home.loop.call_soon(exited.set)
        sys.exit(3)

    home.tell(leave)

    assert exited.wait(WAIT)
    assert home.call(seven, WAIT) == 7


LIVE = """
    import atexit, sys, threading
    from deadpeer.policy.heartbeat import Heartbeat
    from deadpeer.sync import connect_peer, guard, serve_peers
    import socket

    def handler(peer):
        for message in peer:
            peer.send(message)

    server = serve_peers(handler, "127.0.0.1", 0)
    peers = [connect_peer("127.0.0.1", server.port) for _ in range(5)]
    for peer in peers:
        peer.send(b"hello")
        assert peer.recv() == b"hello"
    def wait(peer):
        try:
            peer.recv()
        except ConnectionError:
            pass
    for peer in peers:
        threading.Thread(target=wait, args=(peer,), daemon=True).start()
    near, far = socket.socketpair()
    atexit.register(lambda: (near.close(), far.close()))
    guarded = guard(near, send_ping=near.sendall)
    guarded.start()
"""


@pytest.mark.parametrize(
    "ending", ["", "del server, peers", "sys.exit(0)", "server.close()"]
)
def test_the_interpreter_ends_quietly_with_live_connections(ending):
    run(textwrap.dedent(LIVE) + ending)


def test_the_interpreter_ends_while_a_callback_blocks_and_a_ping_waits():
    run(
        """
        import socket, threading
        from deadpeer.policy.heartbeat import Heartbeat
        from deadpeer.sync import guard
        near, far = socket.socketpair()
        asked = threading.Event()
        def ask(number):
            asked.set()
            threading.Event().wait()
        quick = Heartbeat(interval=0.01, timeout=60)
        guarded = guard(near, send_ping=ask, heartbeat=quick)
        guarded.start()
        asked.wait()
        near.close(), far.close()
        """
    )


def test_a_peer_is_told_when_this_interpreter_ends():
    seen = []
    came = threading.Event()

    def handler(peer):
        came.set()
        try:
            peer.recv()
        except ConnectionError as error:
            seen.append(getattr(error, "reason", error))
            raise

    with serve_peers(handler, "127.0.0.1", 0) as server:
        run(
            """
            import sys
            from deadpeer.sync import connect_peer
            peer = connect_peer("127.0.0.1", int(sys.argv[1]))
            """,
            server.port,
        )
        assert came.is_set()
        wait_until(lambda: seen)
    assert seen == ["going-away"]


needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system has no fork"
)

FORKED = """
    import os, sys, socket, warnings
    from deadpeer.errors import LocalProtocolError
    from deadpeer.sync import connect_peer, guard, serve_peers
    from deadpeer.sync.background import background
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads

    def handler(peer):
        for message in peer:
            peer.send(message)

    server = serve_peers(handler, "127.0.0.1", 0)
    peer = connect_peer("127.0.0.1", server.port)
    near, far = socket.socketpair()
    guarded = guard(near, send_ping=near.sendall)
    guarded.start()
    home = background()
    read, write = os.pipe()
    port = server.port

    def refused(call):
        try:
            call()
        except LocalProtocolError as error:
            assert error.breach == "used-after-fork", error
            return
        raise AssertionError(f"{call} went through")

    child = os.fork()
    if child == 0:
        for call in (
            lambda: peer.send(b"from the child"), peer.recv, lambda: peer.state,
            lambda: peer.send_nowait(b""), peer.stats, peer.close, peer.abort,
            lambda: next(peer.changes()), server.close, server.serve_forever,
            guarded.wait_dead, guarded.stop, lambda: list(server.registry),
            lambda: server.port,
        ):
            refused(call)
        guarded.heard()
        with server, peer:
            pass
        assert background() is not home
        # What the child makes itself works.
        with serve_peers(handler, "127.0.0.1", 0) as own:
            with connect_peer("127.0.0.1", own.port) as mine:
                mine.send(b"own")
                assert mine.recv() == b"own"
        # And the parent's server goes on accepting from it.
        with connect_peer("127.0.0.1", port) as mine:
            mine.send(b"theirs")
            assert mine.recv() == b"theirs"
        os.write(write, b"x")
        import gc
        del peer, server, guarded
        gc.collect()
        sys.exit(0)
    os.close(write)
    assert os.read(read, 1)
    # The child lives on; a close here reaches the peer all the same.
    peer.send(b"parent")
    assert peer.recv() == b"parent"
    (other,) = [one for one in server.registry]
    peer.close()
    assert other.wait_dead(10) is None
    assert other.error.reason == "done", other.error
    server.close()
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    near.close(), far.close()
"""


@needs_fork
def test_a_child_of_fork_has_its_own_loop_and_none_of_the_parents_connections():
    run(FORKED)


@needs_fork
def test_a_close_in_the_parent_reaches_the_peer_while_the_child_lives():
    """A child that kept a copy of the socket would keep the connection open."""
    code = """
        import os, sys, warnings
        from deadpeer.sync import connect_peer
        warnings.simplefilter("ignore", DeprecationWarning)
        peer = connect_peer("127.0.0.1", int(sys.argv[1]))
        child = os.fork()
        if child == 0:
            sys.stdin.read()
            os._exit(0)
        peer.abort()
        peer.wait_closed()
        print("aborted", flush=True)
        sys.stdin.read()
        os.waitpid(child, 0)
    """
    ended = threading.Event()

    def handler(peer):
        peer.wait_closed()
        ended.set()

    with (
        serve_peers(handler, "127.0.0.1", 0) as server,
        child(textwrap.dedent(code), server.port) as process,
    ):
        assert process.stdout.readline() == "aborted\n"
        assert ended.wait(WAIT)
        process.communicate()
        assert process.returncode == 0


def test_a_worker_that_is_blocked_keeps_nobody_waiting_and_free_ones_are_used_again():
    workers = Workers()
    gate = threading.Event()
    seen: list[int] = []
    done = threading.Semaphore(0)

    def blocked():
        gate.wait(WAIT)
        done.release()

    def quick():
        seen.append(threading.get_ident())
        done.release()

    for _ in range(5):
        workers.do(blocked)
    workers.do(quick)
    assert done.acquire(timeout=WAIT)
    wait_until(lambda: workers._free == 1)
    workers.do(quick)
    assert done.acquire(timeout=WAIT)
    gate.set()
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_what_is_used_after_the_interpreters_end_is_an_error_not_a_hang():
    out = run(
        """
        import atexit
        from deadpeer.sync import connect_peer, serve_peers

        def late():
            for call in (lambda: peer.send(b""), lambda: serve_peers(None, "127.0.0.1", 0)):
                try:
                    call()
                except Exception as error:
                    print(type(error).__name__, error.breach)

        atexit.register(late)  # before ours: it runs after
        server = serve_peers(None, "127.0.0.1", 0)
        peer = connect_peer("127.0.0.1", server.port)
        import deadpeer.sync.background as home
        atexit.unregister(home.end), atexit.register(home.end)
        """
    )
    assert out.split() == ["LocalProtocolError", "after-the-end"] * 2


def test_what_is_used_after_an_end_that_a_callback_held_up_is_no_hang_either():
    out = run(
        """
        import atexit, threading
        def late():
            try:
                peer.close()
            except Exception as error:
                print(type(error).__name__, error.breach)
        atexit.register(late)  # before ours: it runs after
        from deadpeer.sync import connect_peer, serve_peers
        from deadpeer.sync.background import background
        server = serve_peers(None, "127.0.0.1", 0)
        peer = connect_peer("127.0.0.1", server.port)
        background().tell(threading.Event().wait)
        """
    )
    assert out.split() == ["LocalProtocolError", "after-the-end"]
