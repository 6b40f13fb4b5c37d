"""What a word of the command line names: a process, or an address and port."""

import ipaddress
import re
from dataclasses import dataclass

from deadpeer.errors import ConfigError

__all__ = ["Address", "Process", "parse_address", "parse_listening", "parse_target"]

HIGHEST_PID = 2**22  # include/linux/threads.h, PID_MAX_LIMIT
HIGHEST_PORT = 65535
MOST_DIGITS = 9
# RFC 1123, section 2.1, and RFC 5891; underscores are used in the wild.
LONGEST_NAME = 253
_NAME = re.compile(r"[^\W-](?:[\w.-]*[^\W-])?\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """
    A running process.

    Args:
        pid: Its number.
    """

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """
    Where to connect to.

    Args:
        host: A name or an address, without brackets.
        port: The TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_target(text: str) -> Process | Address:
    """
    Return what a word of the command line names.

    Args:
        text: ``PID``, ``HOST:PORT``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``.

    Raises:
        ConfigError: It is none of these; says what is wrong with it.

    >>> parse_target("[::1]:5432")
    Address(host='::1', port=5432)
    >>> parse_target("4711")
    Process(pid=4711)
    """
    try:
        if _is_number(text):
            return Process(pid=_number(text, 1, HIGHEST_PID, "process id", text))
        if ":" not in text:
            raise _wrong(text, "is neither a process id nor HOST:PORT")
        return parse_address(text)
    except ConfigError as error:
        error.hint = (
            "write PID, HOST:PORT or [IPV6]:PORT, such as 4711 or db.example:5432"
        )
        raise


def parse_address(text: str) -> Address:
    """
    Return where to connect to.

    Args:
        text: ``HOST:PORT``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``.

    Raises:
        ConfigError: It is none of these; says what is wrong with it.

    >>> parse_address("db.example:5432")
    Address(host='db.example', port=5432)
    """
    return _address(text, lowest=1)


def parse_listening(text: str) -> Address:
    """
    Return where to listen; an empty host is everywhere.

    Args:
        text: ``PORT``, ``:PORT``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``; port 0
            is a free one.

    Raises:
        ConfigError: It is none of these; says what is wrong with it.

    >>> parse_listening(":7000")
    Address(host='', port=7000)
    """
    try:
        host, _, port = text.rpartition(":")
        if not host:
            return Address(host="", port=_port(port, text, lowest=0))
        return _address(text, lowest=0)
    except ConfigError as error:
        error.hint = "write :PORT for everywhere, ADDRESS:PORT or [IPV6]:PORT"
        raise


def _address(text: str, *, lowest: int) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon:
        raise _wrong(text, "has no port")
    if host.startswith("[") or host.endswith("]"):
        host = _address_in_brackets(host, text)
    elif ":" in host:
        raise _wrong(text, "is an IPv6 address without brackets, or has two ports")
    else:
        _require_host(host, text)
    try:
        host.encode("idna")  # as whoever looks it up will do
    except UnicodeError:
        raise _wrong(text, f"has no host name: {host!r}") from None
    return Address(host=host, port=_port(port, text, lowest=lowest))


def _address_in_brackets(host: str, text: str) -> str:
    inside = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.IPv6Address(inside)
    except ValueError:
        raise _wrong(text, "has no IPv6 address between its brackets") from None
    if host != f"[{inside}]":
        raise _wrong(text, "has only one bracket")
    return inside


def _require_host(host: str, text: str) -> None:
    if not host:
        raise _wrong(text, "names no host")
    if len(host) > LONGEST_NAME or ".." in host or not _NAME.fullmatch(host):
        raise _wrong(text, f"has no host name or address: {host!r}")


def _port(port: str, text: str, *, lowest: int) -> int:
    if not _is_number(port):
        raise _wrong(text, f"has no port number: {port!r}")
    return _number(port, lowest, HIGHEST_PORT, "port", text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str, lowest: int, highest: int, what: str, text: str) -> int:
    # Python refuses to convert thousands of digits, with an error of its own.
    significant = digits.lstrip("0") or "0"
    value = int(significant) if len(significant) <= MOST_DIGITS else highest + 1
    if not lowest <= value <= highest:
        raise _wrong(text, f"has no {what}: it is {lowest} to {highest}")
    return value


def _wrong(text: str, what: str) -> ConfigError:
    shown = text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
    return ConfigError(
        f"{shown!r} {what}",
        hint="write HOST:PORT or [IPV6]:PORT, such as db.example:5432",
        field="target",
        value=text,
    )
