"""Ctrl+C in a thread that waits, and again while the first is being dealt with."""

import signal
import sys
import textwrap

import pytest
from tests.sync.stories import WAIT, child, run

from deadpeer.errors import PeerClosed
from deadpeer.sync import connect_peer


def test_an_interrupt_cancels_and_a_result_that_was_there_is_rescued():
    """Ctrl+C in a thread that waits, in a process of its own."""
    code = """
        import asyncio, os, signal, sys, threading
        from deadpeer.sync.background import background
        home, rescued = background(), []

        async def story(answers):
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if answers:
                    return "answer"  # as a queue does that was quicker
                print("cancelled")
                raise

        for answers in (False, True):
            try:
                home.call(lambda: story(answers), rescue=rescued.append)
            except KeyboardInterrupt:
                print("interrupted")
        print(rescued)
    """

    assert run(code).split() == [
        "cancelled",
        "interrupted",
        "interrupted",
        "['answer']",
    ]


needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's tcp_info"
)

# Sends an interrupt as soon as the main thread is inside calls of certain names.
INTERRUPTING = """
import os, signal, socket, threading
from tests.sync.stories import Doing, is_in, wait_until
from deadpeer.sync import connect_peer, guard, serve_peers, watch
from deadpeer.sync.background import background

home, gate = background(), threading.Event()

def interrupt_in(*names):
    wait_until(lambda: is_in(threading.main_thread(), *names))
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_an_interrupt_that_wakes_nobody_is_heard_all_the_same():
    """It may come just before the wait, or be given to another thread, as here."""
    out = run(
        INTERRUPTING
        + textwrap.dedent(
            """
            def interrupt_unheard():
                wait_until(lambda: is_in(threading.main_thread(), "recv", "wait"))
                signal.raise_signal(signal.SIGINT)

            with serve_peers(None, "127.0.0.1", 0) as server:
                with connect_peer("127.0.0.1", server.port) as peer:
                    interrupting = Doing(interrupt_unheard)
                    try:
                        peer.recv()
                    except KeyboardInterrupt:
                        print("heard")
            """
        )
    )

    assert out == "heard\n"


def test_two_interrupts_at_once_leave_all_messages_in_their_order():
    """The second comes while the message of the interrupted wait is being rescued."""
    out = run(
        INTERRUPTING
        + textwrap.dedent(
            """
            def when_a_message_is_taken_and_not_handed_over(number, frame):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                assert other.send_nowait(b"one") and other.send_nowait(b"two")
                wait_until(lambda: peer.stats().unread_messages == 1)
                home.tell(gate.wait)
                raise KeyboardInterrupt

            def interrupt_twice():
                interrupt_in("recv", "wait")
                interrupt_in("recv", "give_up", "wait")
                wait_until(is_again.is_set)
                wait_until(lambda: is_in(threading.main_thread(), "recv", "wait"))
                gate.set()

            is_again = threading.Event()
            with serve_peers(None, "127.0.0.1", 0) as server:
                with connect_peer("127.0.0.1", server.port) as peer:
                    wait_until(lambda: len(server.registry) == 1)
                    (other,) = server.registry
                    signal.signal(
                        signal.SIGINT, when_a_message_is_taken_and_not_handed_over
                    )
                    interrupting = Doing(interrupt_twice)
                    try:
                        peer.recv()
                    except KeyboardInterrupt as second:
                        print(type(second.__context__).__name__)
                    is_again.set()
                    print(peer.recv(), peer.recv())
                    interrupting.outcome()
            """
        )
    )

    assert out.splitlines() == ["KeyboardInterrupt", "b'one' b'two'"]


def test_a_guard_is_stopped_at_the_end_of_its_block_although_that_was_interrupted():
    out = run(
        INTERRUPTING
        + textwrap.dedent(
            """
            near, far = socket.socketpair()
            interrupting = Doing(interrupt_in, "__exit__", "stop", "wait")
            try:
                with guard(near, send_ping=print) as guarded:
                    home.tell(gate.wait)
            except KeyboardInterrupt:
                gate.set()
            interrupting.outcome()
            wait_until(lambda: guarded.state == "closed")
            near.close(), far.close()
            print("closed")
            """
        )
    )

    assert out == "closed\n"


@needs_linux
@pytest.mark.parametrize("doing", ["watch", "__enter__"])
def test_a_watch_that_was_interrupted_while_it_began_leaves_nothing_set(doing):
    out = run(
        INTERRUPTING
        + f"doing = {doing!r}"
        + textwrap.dedent(
            """
            def probes():
                return near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

            server = socket.create_server(("127.0.0.1", 0))
            near = socket.create_connection(server.getsockname())
            made = watch(near, within=30)
            interrupting = Doing(interrupt_in, doing, "wait")
            home.tell(gate.wait)
            try:
                if doing == "watch":
                    watch(near, within=30)
                else:
                    made.__enter__()
            except KeyboardInterrupt:
                gate.set()
            interrupting.outcome()
            home.ask(print, "asked after it")
            print(probes())
            with watch(near, within=30):
                print(probes())
            near.close(), server.close()
            """
        )
    )

    assert out.splitlines() == ["asked after it", "0", "1"]


SERVER = """
import threading
from deadpeer.sync import serve_peers

server = serve_peers(lambda peer: threading.Event().wait(), "127.0.0.1", 0)
print(server.port, flush=True)
try:
    server.serve_forever()
finally:
    server.close(within=3600)  # for a handler that never ends
"""


def test_a_second_interrupt_ends_a_server_whose_handlers_do_not_end():
    with (
        child(SERVER) as process,
        connect_peer("127.0.0.1", int(process.stdout.readline())) as peer,
    ):
        process.send_signal(signal.SIGINT)
        with pytest.raises(PeerClosed) as told:
            peer.recv(WAIT)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT)
    assert told.value.reason == "going-away"
    assert said.count("KeyboardInterrupt") == 2
    assert process.returncode == -signal.SIGINT
