"""
Both directions of one connection: bytes in, arrivals out; and what to send.

Theory of operation. A driver calls ``receive`` with what it read and ``expired`` when
``deadline`` has passed, and writes what the other methods return, in that order.
One of these lives in every connection, so an idle one is a handful of numbers: a
buffer exists only while a frame or message is incomplete, and equal HELLOs are shared.

An error comes after what arrived before it. ``receive`` returns the arrivals that were
complete, and sets ``error``; it raises when there is nothing left to return. So however
the bytes are cut into pieces, the arrivals and the error are the same::

    arrivals = conversation.receive(data, now=now)
    ...                                  # handle them
    if conversation.error:
        ...                              # say goodbye, and close

Whose fault was it? Before ``expired`` is believed, read what the kernel still
holds; and after a pause in reading call ``resumed``.
"""

from collections.abc import Iterator
from typing import Final

from deadpeer.core.breaches import local_breach
from deadpeer.core.frames import (
    Farewell,
    Kind,
    as_bytes,
    encode_beat,
    encode_bye,
    encode_data,
    encode_ping,
    encode_pong,
)
from deadpeer.core.hello import Hello, encode_hello
from deadpeer.core.limits import Limits
from deadpeer.core.reader import Reader
from deadpeer.core.stages import FRAMES, Stage
from deadpeer.errors import LocalProtocolError

__all__ = ["Conversation"]

# A look-up of a member costs more than the rest of a heartbeat.
SILENT: Final = Stage.SILENT
OPEN: Final = Stage.OPEN
GONE: Final = Stage.GONE


class Conversation(Reader):
    """
    The protocol's state for one connection, without its socket.

    Args:
        hello: What this end announces; its *largest_message* and
            *heartbeat_gap* are what the peer is held to. Share one among many.
        limits: What else the peer may ask for. Share one among many.
        now: When the connection was opened, in seconds of the driver's clock.

    Attributes:
        hello: What this end announces.
        limits: What the peer may ask for.
        theirs: The peer's ``Hello``, or None before it is here.
        sending: The stage of what this end sends.
        receiving: The stage of what the peer sends.
        error: How the peer broke the protocol, or None.

    >>> here = Conversation(Hello(), Limits(), now=0.0)
    >>> there = Conversation(Hello(), Limits(), now=0.0)
    >>> _ = there.receive(here.greeting(), now=0.0)
    >>> _ = here.receive(there.greeting(), now=0.0)
    >>> there.receive(here.ping(7), now=20.0)
    [Pinged(sequence=7)]
    >>> here.receive(there.pong(7), now=20.1)
    [Ponged(sequence=7)]
    """

    __slots__ = ("sending",)

    def __init__(self, hello: Hello, limits: Limits, *, now: float) -> None:
        super().__init__(hello, limits, now=now)
        self.sending = SILENT

    def greeting(self) -> bytes:
        """
        Return this end's HELLO, to be written first.

        Raises:
            LocalProtocolError: It was said already.
        """
        if self.sending is not SILENT:
            raise local_breach("second-hello")
        self.sending = FRAMES[SILENT][Kind.HELLO]
        return encode_hello(self.hello)

    def ping(self, sequence: int) -> bytes:
        """
        Return a question, three bytes.

        Args:
            sequence: 0 to 65535.

        Raises:
            LocalProtocolError: Not in this stage, or no such number.
        """
        if self.sending is not OPEN or self.receiving is not OPEN:
            raise self._not_open()
        frame = encode_ping(sequence)
        self._unanswered += 1
        return frame

    def pong(self, sequence: int) -> bytes:
        """
        Return the answer to a question, three bytes.

        It may also be said to a peer that has left meanwhile, but not after this
        end's own goodbye; see ``sending``.

        Args:
            sequence: The question's.

        Raises:
            LocalProtocolError: Not in this stage, or no such number.
        """
        if self.sending is not OPEN or self.receiving is SILENT:
            raise self._not_open()
        return encode_pong(sequence)

    def beat(self) -> bytes:
        """
        Return a beat, one byte.

        Raises:
            LocalProtocolError: Not in this stage.
        """
        self._require_open()
        return encode_beat()

    def fragments(self, message: object) -> Iterator[bytes]:
        """
        Return the DATA frames of one message, each at most 16387 bytes.

        Heartbeats may be written between them; another message's frames may not.

        Args:
            message: Its bytes; a copy is made of what can change.

        Raises:
            LocalProtocolError: Not in this stage, or larger than the peer takes.
            ConfigError: It is not bytes.
        """
        self._require_open()
        copy = as_bytes(message)
        if self.theirs is not None and len(copy) > self.theirs.largest_message:
            raise local_breach(
                "message-too-big",
                f"{len(copy)} bytes, the peer takes {self.theirs.largest_message}",
                hint="send it in parts, or let the peer announce a larger limit",
            )
        return encode_data(copy)

    def goodbye(self, reason: int = Farewell.DONE, text: str = "") -> bytes:
        """
        Return a BYE; this end sends nothing after it.

        It may also be said to a peer that broke the protocol, and to one that
        said goodbye itself.

        Args:
            reason: One of ``Farewell``, or an application's own, 128 to 255.
            text: For a person to read; cut to 255 bytes of UTF-8.

        Raises:
            LocalProtocolError: Before the greeting, twice, or with no such reason
                or no such text.
        """
        if self.sending is not OPEN:
            raise self._not_open()
        frame = encode_bye(reason, text)
        self.sending = FRAMES[OPEN][Kind.BYE]
        return frame

    def _require_open(self) -> None:
        if self.sending is not OPEN or self.receiving is not OPEN:
            raise self._not_open()

    def _not_open(self) -> LocalProtocolError:
        if self.sending is SILENT or self.receiving is SILENT:
            return local_breach("before-hello")
        if self.sending is GONE:
            return local_breach("after-goodbye", "this end has said it")
        if self.error is not None:
            return local_breach(self.error.breach, "the peer broke this rule first")
        return local_breach("after-goodbye", "the peer has said it")
