"""
The test vectors of the wire format, made from the code that they check.

``python -m tests.core.wire_vectors`` writes docs/reference/wire-vectors.json anew.
A change of that file is a change of the format: nobody's peers would understand it.
"""

import json
import re
from pathlib import Path
from typing import Any

from deadpeer.core import frames
from deadpeer.core.agreement import agree, promise
from deadpeer.core.arrivals import Arrival, Greeted, Message
from deadpeer.core.conversation import Conversation
from deadpeer.core.hello import VERSION, Hello, encode_hello
from deadpeer.core.limits import Limits
from deadpeer.errors import RemoteProtocolError
from deadpeer.policy.heartbeat import Heartbeat

FILE = Path(__file__).parents[2] / "docs" / "reference" / "wire-vectors.json"

DEFAULT = Hello()
RICH = Hello(
    interval=0.25,
    time_to_live=90.0,
    heartbeat_gap=0.01,
    largest_message=65536,
    offers_beats=False,
    wants_beats=True,
    version=2,
    extensions=((1, b"of a later version"), (200, b""), (200, b"\x00\xff")),
)

# The end that hears the streams: it takes 32 KiB, and a heartbeat each second.
HEARER = Hello(largest_message=32768, heartbeat_gap=1.0)
LIMITS = Limits(largest_message=32768, largest_hello=256, heartbeat_gap=1.0)

H = encode_hello(DEFAULT)


def hexed(data: bytes) -> str:
    """Return bytes in hex; ``(00*64)`` stands for 64 zeros."""
    # Zeros are looked for in the bytes: in hex a run could begin in half a byte.
    parts = re.split(b"(\x00{64,})", data)
    return "".join(
        f"(00*{len(part)})" if len(part) >= 64 and not any(part) else part.hex()
        for part in parts
    )


def fragment(first: int, length: int, payload: bytes = b"") -> bytes:
    return bytes((first,)) + length.to_bytes(2, "big") + payload


# What is sent, and how many pings the hearer has sent before.
STREAMS: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 0),
    "half a magic": (b"\xde\xad", 0),
    "a greeting": (H, 0),
    "a greeting with extensions that nobody knows": (encode_hello(RICH), 0),
    "every frame": (
        H
        + frames.encode_beat()
        + frames.encode_ping(0)
        + frames.encode_pong(65535)
        + b"".join(frames.encode_data(b"hello"))
        + frames.encode_bye(frames.Farewell.DONE, "see you"),
        1,
    ),
    "an empty message": (H + fragment(0x41, 0), 0),
    "a heartbeat between two fragments": (
        H + fragment(0x40, 3, b"one") + b"\x20\x00\x07" + fragment(0x41, 3, b"two"),
        0,
    ),
    "a last fragment that is empty": (
        H + fragment(0x40, 3, b"one") + fragment(0x41, 0),
        0,
    ),
    "a frame that is not whole": (H + fragment(0x41, 5, b"hell"), 0),
    "a goodbye between two fragments": (
        H + fragment(0x40, 3, b"one") + frames.encode_bye(1),
        0,
    ),
    "a goodbye with a reason of its application": (
        H + frames.encode_bye(200, "Zeit für heute \N{CRESCENT MOON}"),
        0,
    ),
    "as many heartbeats at once as are forgiven": (H + b"\x10" * 3, 0),
    "http": (b"GET / HTTP/1.1\r\n", 0),
    "http/2": (b"PRI * HTTP/2.0\r\n", 0),
    "tls": (b"\x16\x03\x01\x02\x00\x01", 0),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", 0),
    "a greeting that is too big": (H[:6] + (249).to_bytes(2, "big"), 0),
    "a greeting that is too small": (H[:6] + (15).to_bytes(2, "big"), 0),
    "version 0": (H[:4] + b"\x00" + H[5:], 0),
    "a reserved flag": (H[:5] + b"\x08" + H[6:], 0),
    "an interval of zero": (H[:8] + bytes(4) + H[12:], 0),
    "a gap longer than the interval": (H[:16] + H[8:11] + b"\xff" + H[20:], 0),
    "an extension cut short": (H[:7] + b"\x13" + H[8:] + b"\x01\x02\x00", 0),
    "half an extension's head": (H[:7] + b"\x11" + H[8:] + b"\x01", 0),
    "two greetings": (H + H, 0),
    "a kind that does not exist": (H + b"\x60", 0),
    "a reserved bit of a ping": (H + b"\x21\x00\x00", 0),
    "a reserved bit of data": (H + b"\x43\x00\x00", 0),
    "a fragment that is too big": (H + fragment(0x40, 16385), 0),
    "an empty fragment that is not the last": (H + fragment(0x40, 0), 0),
    "a message that is too big": (
        H + 2 * fragment(0x40, 16384, bytes(16384)) + fragment(0x41, 1),
        0,
    ),
    "a ping too many": (H + b"\x20\x00\x01" * 4, 0),
    "a beat too many": (H + b"\x10" * 4, 0),
    "as many pings and beats at once": (H + b"\x20\x00\x01\x10" * 3, 0),
    "an answer to no question": (H + b"\x30\x00\x01", 0),
    "two answers to one question": (H + b"\x30\x00\x01\x30\x00\x01", 1),
    "a goodbye that is no text": (H + b"\x50\x00\x02\xc3\x28", 0),
    "a word after goodbye": (H + frames.encode_bye(0) + b"\x10", 0),
    "a message, and then nonsense": (
        H + b"".join(frames.encode_data(b"kept")) + b"\xff",
        0,
    ),
}

WISHES: tuple[tuple[str, Heartbeat, Hello], ...] = (
    ("both wish the same", Heartbeat(), DEFAULT),
    (
        "it asks for patience",
        Heartbeat(interval=2, timeout=1),
        Hello(time_to_live=60),
    ),
    (
        "it takes few questions",
        Heartbeat(interval=0.5, timeout=5),
        Hello(heartbeat_gap=3),
    ),
    (
        "beats, at the larger period",
        Heartbeat(interval=10, timeout=5, one_way=True),
        Hello(interval=30, time_to_live=10),
    ),
    (
        "beats are wanted and not offered",
        Heartbeat(interval=10, timeout=5, one_way=True),
        Hello(offers_beats=False),
    ),
    ("it neither answers nor beats", Heartbeat(), Hello(answers_pings=False)),
    ("it asks for a day", Heartbeat(), Hello(time_to_live=86400)),
)


def described(hello: Hello) -> dict[str, Any]:
    return {
        "version": hello.version,
        "offers_beats": hello.offers_beats,
        "wants_beats": hello.wants_beats,
        "answers_pings": hello.answers_pings,
        "interval_ms": round(hello.interval * 1000),
        "time_to_live_ms": round(hello.time_to_live * 1000),
        "heartbeat_gap_ms": round(hello.heartbeat_gap * 1000),
        "largest_message": hello.largest_message,
        "extensions": [[kind, value.hex()] for kind, value in hello.extensions],
    }


def told(arrival: Arrival) -> list[Any]:
    """Return an arrival as JSON has it."""
    name = type(arrival).__name__.lower()
    if isinstance(arrival, Greeted):
        return [name, described(arrival.hello)]
    if isinstance(arrival, Message):
        return [name, hexed(arrival.data)]
    return [name, *arrival]


def hear(pieces: list[bytes], asked: int) -> tuple[list[Arrival], str]:
    """Return what the hearer makes of the pieces, all at one instant, and the breach."""
    conversation = Conversation(HEARER, LIMITS, now=0.0)
    conversation.greeting()
    conversation._unanswered = asked
    heard: list[Arrival] = []
    for piece in pieces:
        try:
            heard += conversation.receive(piece, now=0.0)
        except RemoteProtocolError:
            break
    return heard, conversation.error.breach if conversation.error else ""


def stream_vectors() -> list[dict[str, Any]]:
    vectors = []
    for name, (data, asked) in STREAMS.items():
        heard, breach = hear([data], asked)
        vectors.append(
            {
                "name": name,
                "hex": hexed(data),
                "pings_sent": asked,
                "arrivals": [told(arrival) for arrival in heard],
                "breach": breach,
            }
        )
    return vectors


def frame_vectors() -> list[dict[str, Any]]:
    def vector(data: bytes, kind: str, **fields: Any) -> dict[str, Any]:
        return {"frame": kind, **fields, "hex": hexed(data)}

    return [
        *(
            vector(encode_hello(h), "hello", hello=described(h))
            for h in (DEFAULT, RICH, Hello(heartbeat_gap=1e-3, interval=4294967.295))
        ),
        vector(frames.encode_beat(), "beat"),
        *(
            vector(frames.encode_ping(n), "ping", sequence=n)
            for n in (0, 1, 258, 65535)
        ),
        *(
            vector(frames.encode_pong(n), "pong", sequence=n)
            for n in (0, 1, 258, 65535)
        ),
        *(
            vector(
                b"".join(frames.encode_data(message)), "message", message=hexed(message)
            )
            for message in (b"", b"hello", bytes(16384), bytes(16385))
        ),
        *(
            vector(frames.encode_bye(reason, text), "bye", reason=reason, text=text)
            for reason, text in ((0, ""), (2, "bad-hello"), (255, "gute Nacht, Jürgen"))
        ),
    ]


def agreement_vectors() -> list[dict[str, Any]]:
    vectors = []
    for name, mine, theirs in WISHES:
        wish = {
            "interval": mine.interval,
            "timeout": mine.timeout,
            "one_way": mine.one_way,
        }
        try:
            agreed = agree(mine, theirs, Limits())
            outcome: dict[str, Any] = {
                "interval": agreed.interval,
                "timeout": agreed.timeout,
                "one_way": agreed.one_way,
            }
        except RemoteProtocolError as error:
            outcome = {"breach": error.breach}
        mine_said = Hello(
            interval=mine.interval, wants_beats=mine.one_way, heartbeat_gap=0.1
        )
        vectors.append(
            {
                "name": name,
                "wish": wish,
                "theirs": described(theirs),
                "agreed": outcome,
                "it_promises_a_beat_every": promise(theirs, mine_said),
            }
        )
    return vectors


def vectors() -> dict[str, Any]:
    """Return all vectors, as the file has them."""
    return {
        "version": VERSION,
        "frames": frame_vectors(),
        "hearer": {
            "largest_message": HEARER.largest_message,
            "heartbeat_gap_ms": round(HEARER.heartbeat_gap * 1000),
            "largest_hello": LIMITS.largest_hello,
            "strikes": LIMITS.strikes,
        },
        "streams": stream_vectors(),
        "longest_patience": Limits().longest_patience,
        "agreements": agreement_vectors(),
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(vectors(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
