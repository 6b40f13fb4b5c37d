"""
What a peer's bytes turn out to be: one value for each frame, or whole message.

They are tuples because one is made for every heartbeat. So compare their types too:
``Pinged(5) == Ponged(5)``, and ``Beat()`` is empty.
"""

from typing import NamedTuple

from deadpeer.core.hello import Hello

__all__ = [
    "Arrival",
    "Beat",
    "Goodbye",
    "Greeted",
    "Message",
    "Pinged",
    "Ponged",
]


class Greeted(NamedTuple):
    """
    The peer's HELLO is here; both sides may send.

    Attributes:
        hello: What it announces.
    """

    hello: Hello


class Message(NamedTuple):
    """
    A whole message.

    Attributes:
        data: Its bytes; may be empty.
    """

    data: bytes


class Pinged(NamedTuple):
    """
    A question; answer it with ``pong``.

    Attributes:
        sequence: What the answer has to repeat.
    """

    sequence: int


class Ponged(NamedTuple):
    """
    The answer to a question.

    Attributes:
        sequence: The question's.
    """

    sequence: int


class Beat(NamedTuple):
    """A promised sign of life; nothing is to be done."""


class Goodbye(NamedTuple):
    """
    The peer leaves, and sends nothing more.

    Attributes:
        reason: A number, see ``Farewell``.
        text: For a person to read.
    """

    reason: int
    text: str


Arrival = Greeted | Message | Pinged | Ponged | Beat | Goodbye
