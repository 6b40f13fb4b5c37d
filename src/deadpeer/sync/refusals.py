"""Why a call cannot be made on this thread, in this process or at this time."""

from deadpeer.errors import LocalProtocolError

__all__ = ["blocks_a_loop", "is_over", "is_the_parents", "waits_for_itself"]


def waits_for_itself() -> LocalProtocolError:
    """Return the error of a callback that waits for the thread it runs on."""
    return LocalProtocolError(
        "this call waits for the background thread, and was made on it",
        hint="callbacks run on that thread: use send_nowait or abort there, or hand "
        "the work to a thread of yours",
        breach="waits-for-itself",
    )


def blocks_a_loop() -> LocalProtocolError:
    """Return the error of a coroutine that waits without ``await``."""
    return LocalProtocolError(
        "this call waits, and the event loop that runs on this thread would stand "
        "still meanwhile",
        hint="await the same name of deadpeer.aio there, or hand the call to a "
        "thread: await asyncio.to_thread(...)",
        breach="blocks-a-loop",
    )


def is_the_parents() -> LocalProtocolError:
    """Return the error of a child of fork that uses what its parent has made."""
    return LocalProtocolError(
        "this belongs to the process that this one was forked from",
        hint="connect, serve or guard anew in the child; only the parent can use "
        "what it has made",
        breach="used-after-fork",
    )


def is_over() -> LocalProtocolError:
    """Return the error of what comes after the interpreter's end."""
    return LocalProtocolError(
        "the interpreter is ending, and the background thread has ended",
        hint="end what uses connections before that, with `with`",
        breach="after-the-end",
    )
