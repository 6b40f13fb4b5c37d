"""
Every way to break the wire protocol: one word each, and a sentence.

The word is what programs compare and what a BYE carries to the one who broke the
rule; docs/reference/wire-format.md lists the same table.
"""

from collections.abc import Mapping
from types import MappingProxyType

from deadpeer.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["BREACHES", "local_breach", "remote_breach"]

BREACHES: Mapping[str, str] = MappingProxyType(
    {
        "spoke-http": "HTTP came where a HELLO was due",
        "spoke-tls": "TLS came where a HELLO was due",
        "wrong-magic": "the first bytes are not those of a HELLO",
        "hello-too-big": "the HELLO is larger than this end takes",
        "bad-hello": "the HELLO contradicts itself or is cut short",
        "second-hello": "there is one HELLO, and it comes first",
        "unacceptable-heartbeat": "what the HELLO announces cannot be agreed to",
        "handshake-too-slow": "the HELLO did not arrive in time",
        "frame-too-slow": "a frame or message was begun and not finished in time",
        "unknown-frame": "there is no frame of this kind",
        "reserved-bits": "a bit is set that has no meaning yet",
        "fragment-too-big": "a fragment holds more than 16384 bytes",
        "empty-fragment": "a fragment that is not the last has to hold something",
        "message-too-big": "the message is larger than the receiver said it takes",
        "too-many-heartbeats": "heartbeats come faster than the receiver said it takes",
        "unasked-pong": "there are more answers than questions",
        "bad-goodbye": "the reason or the text of the BYE cannot be read",
        "after-goodbye": "nothing may follow a BYE",
        "before-hello": "only HELLO and BYE may be sent before the peer's HELLO is here",
        "bad-sequence": "a sequence number is a whole number from 0 to 65535",
    }
)
"""The words for what can be broken, each with the rule in a sentence."""


def remote_breach(
    breach: str, detail: str = "", *, hint: str = ""
) -> RemoteProtocolError:
    """
    Return the error that blames the peer.

    Args:
        breach: A word of the table.
        detail: What was seen, with its value.
        hint: What to do about it.
    """
    return RemoteProtocolError(
        f"the peer broke the protocol: {_sentence(breach, detail)}",
        hint=hint,
        breach=breach,
    )


def local_breach(
    breach: str, detail: str = "", *, hint: str = ""
) -> LocalProtocolError:
    """
    Return the error that blames this end; nothing was sent.

    Args:
        breach: A word of the table.
        detail: What was asked for, with its value.
        hint: What to do about it.
    """
    return LocalProtocolError(
        f"not sent: {_sentence(breach, detail)}", hint=hint, breach=breach
    )


def _sentence(breach: str, detail: str) -> str:
    return BREACHES[breach] + (f" ({detail})" if detail else "")
