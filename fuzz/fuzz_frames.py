"""Nonsense for the wire format: bytes in pieces, and what two ends say to each other."""

import random
import struct
from typing import Any

from target import run

from deadpeer.core.arrivals import Beat, Greeted, Message, Pinged, Ponged
from deadpeer.core.breaches import BREACHES
from deadpeer.core.conversation import Conversation
from deadpeer.core.frames import Kind, encode_bye, encode_data
from deadpeer.core.hello import Hello, decode_hello, encode_hello
from deadpeer.core.limits import Limits
from deadpeer.core.stages import Stage
from deadpeer.errors import DeadPeerError, RemoteProtocolError

LIMITS = Limits(largest_message=64, largest_hello=64, heartbeat_gap=1.0)
HELLO = Hello(largest_message=64, heartbeat_gap=1.0)
HELLOS = (
    encode_hello(HELLO),
    encode_hello(Hello(version=9, wants_beats=True, extensions=((200, b"x"),))),
    encode_hello(Hello(extensions=((1, b"0123456789"), (1, b"")))),
)
FRAMES = (
    *(b"\x10", b"\x20\x00\x01", b"\x20\xff\xff", b"\x30\x00\x01", b"\x30\x01\x00"),
    *encode_data(b""),
    *encode_data(b"hello"),
    *encode_data(b"\x10" * 40),
    b"\x40\x00\x05first",
    b"\x40\x00\x20" + b"f" * 32,
    encode_bye(0),
    encode_bye(200, "good night \N{CRESCENT MOON}"),
)
BROKEN = (
    *(b"\x00", b"\x11", b"\x21", b"\x42", b"\x4f", b"\x51", b"\x60", b"\xde", b"\xff"),
    *(b"\x40\x00\x00", b"\x41\x00\x41", b"\x41\x40\x01", b"\x41\xff\xff", b"\x40\x00"),
    *(b"\x50\x00\x01\xff", b"\x50\x00\xff", b"\x20\x00", b"\x30"),
)
STRANGERS = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n")
ALLOWED = 1 + 1 + LIMITS.strikes  # in the second that passes
MOST_HELD = 64 + 258  # a message but for its end, and a BYE but for its end
PINGS = 3  # asked before anything is heard, so that answers may come


def stream(rng: random.Random) -> bytes:
    """Return what a peer, a broken peer or a stranger might send."""
    chance = rng.random()
    if chance < 0.05:
        return rng.choice(STRANGERS) + rng.randbytes(4)
    if chance < 0.1:
        return rng.randbytes(rng.randrange(12))
    parts = [HELLOS[int(rng.random() * len(HELLOS))] if chance < 0.98 else b""]
    parts += [
        FRAMES[int(rng.random() * len(FRAMES))] for _ in range(int(rng.random() * 6))
    ]
    chance = rng.random()
    if chance < 0.3:
        parts.append(rng.choice(BROKEN))
    elif chance < 0.4:
        parts.append(rng.randbytes(rng.randrange(8)))
    elif chance < 0.6:
        noisy = bytearray(b"".join(parts))
        if noisy:
            noisy[int(rng.random() * len(noisy))] = int(rng.random() * 256)
        return bytes(noisy)
    elif chance < 0.7:
        return b"".join(parts)[: -1 - int(rng.random() * 6)]
    return b"".join(parts)


def hear(pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], str, str]:
    """Return what a conversation makes of the pieces, and check what it holds."""
    conversation = Conversation(HELLO, LIMITS, now=0.0)
    conversation.greeting()
    conversation._unanswered = PINGS  # noqa: SLF001 - asked before the HELLO was here
    heard: list[tuple[Any, ...]] = []
    for piece in pieces:
        try:
            arrivals = conversation.receive(piece, now=1.0)
        except RemoteProtocolError:
            assert conversation.error is not None
            break
        except DeadPeerError as error:
            raise AssertionError("blames the wrong end") from error
        heard += [(type(arrival), *arrival) for arrival in arrivals]
        held = sum(
            len(buffer)
            for buffer in (conversation._buffer, conversation._message)  # noqa: SLF001
            if buffer is not None
        )
        assert held <= MOST_HELD
        assert conversation.error is not None or (held > 0) <= (
            conversation.deadline < 1000
        )
    kinds = [kind for kind, *_ in heard]
    assert kinds.count(Ponged) <= PINGS
    assert kinds.count(Pinged) + kinds.count(Beat) <= ALLOWED
    assert all(len(said[0]) <= 64 for kind, *said in heard if kind is Message)
    error = conversation.error
    if error is None:
        return heard, "", conversation.receiving
    assert error.breach in BREACHES
    assert conversation.receiving is Stage.BROKEN
    return heard, error.breach, str(error)


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """Return the same bytes in a few pieces, some of them empty."""
    at = sorted(int(rng.random() * (len(data) + 1)) for _ in range(3))
    return [data[: at[0]], data[at[0] : at[1]], data[at[1] : at[2]], data[at[2] :]]


def whole(rng: random.Random, data: bytes) -> None:
    """Whatever is sent, in whatever pieces: the same is heard."""
    at_once = hear([data])
    assert at_once == hear(cut(rng, data))
    assert at_once == hear([bytes((byte,)) for byte in data])
    for kind, *values in at_once[0]:
        if kind is Greeted:
            hello = values[0]
            assert decode_hello(encode_hello(hello)) is decode_hello(
                encode_hello(hello)
            )
            assert decode_hello(encode_hello(hello)) == hello


def hello(rng: random.Random) -> None:
    """Whatever stands in the fields of a HELLO: it is read, or blamed."""
    tail = rng.randbytes(rng.randrange(12))
    numbers = [
        rng.choice((0, 1, 1000, 20_000, 2**31, 2**32 - 1, rng.getrandbits(32)))
        for _ in range(4)
    ]
    flags = rng.randrange(8) if rng.random() < 0.9 else rng.randrange(256)
    version = rng.choice((0, 1, 2, 255))
    head = struct.pack(
        ">4sBBH4I", b"\xde\xadPR", version, flags, 16 + len(tail), *numbers
    )
    heard, breach, _ = hear([head + tail])
    if breach:
        assert breach in {"bad-hello", "reserved-bits"}
        return
    [(_, greeted)] = heard
    assert isinstance(greeted, Hello)
    assert encode_hello(greeted) == head + tail


def dialogue(rng: random.Random) -> None:
    """What one end sends, the other hears."""
    one = Conversation(HELLO, LIMITS, now=0.0)
    other = Conversation(Hello(largest_message=100_000), LIMITS, now=0.0)
    other.receive(one.greeting(), now=0.0)
    one.receive(other.greeting(), now=0.0)
    message = rng.randbytes(rng.randrange(64)) * rng.choice((1, 1, 600))
    if rng.random() < 0.2:
        message = bytes(16384 * rng.randrange(3))
    sequence = rng.randrange(65536)
    frames = list(one.fragments(message))
    frames.insert(rng.randrange(len(frames) + 1), one.ping(sequence))
    frames.append(one.goodbye(rng.randrange(256), "so long" * rng.randrange(40)))
    data = b"".join(frames)
    at = rng.randrange(len(data) + 1)
    arrivals = [*other.receive(data[:at], now=1.0), *other.receive(data[at:], now=1.0)]
    kinds = sorted(type(arrival).__name__ for arrival in arrivals)
    assert kinds == ["Goodbye", "Message", "Pinged"]
    assert (message,) in arrivals
    assert (sequence,) in arrivals
    assert other.error is None


def check(rng: random.Random) -> None:
    """Try one thing."""
    chance = rng.random()
    if chance < 0.9:
        whole(rng, stream(rng))
    elif chance < 0.97:
        hello(rng)
    else:
        dialogue(rng)


assert all(frame[0] & ~1 in set(Kind) for frame in FRAMES)

if __name__ == "__main__":
    run(check)
