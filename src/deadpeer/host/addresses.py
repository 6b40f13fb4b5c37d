"""
Addresses and ports in filters: read from words, and held against rows. Pure.

An address is compared as the kernel sent it, 16 bytes, so that tens of thousands of
rows need no text. A mapped address (``::ffff:10.0.0.1``) is the IPv4 address that
it stands for, and matches its networks.

Source: Linux ss(8), HOST SYNTAX; RFC 4291, section 2.5.5.2.
"""

import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

from deadpeer.errors import ConfigError
from deadpeer.kernel.diag_rows import INET, INET6, MAPPED, DiagRow

__all__ = ["Place", "Services", "has_port", "is_at", "parse_host", "parse_port"]

HIGHEST_PORT = 0xFFFF
MOST_DIGITS = 5  # Python refuses to read very many
IPV4 = 4
DOTTED_PARTS = 4
ANYTHING = ("", "*")
PREFIX_OF_MAPPED = 96  # bits in front of the IPv4 address
FAMILIES = {"inet": INET, "inet6": INET6}

# Where the ends are in the kernel's name for a socket, struct inet_diag_sockid.
LOCAL_PORT, PEER_PORT = 0, 2
LOCAL_HOST, PEER_HOST = 4, 20

Services = Callable[[str], int | None]
Test = Callable[[DiagRow], bool]

COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Place(NamedTuple):
    """
    An end, or a set of ends.

    Attributes:
        family: ``INET`` or ``INET6`` to ask for one of them; None for both.
        network: The address as a number of 128 bits, a mapped one for IPv4; what
            lies below the prefix is 0.
        prefix: How many bits of it count; 0 for any address.
        port: The port; None for any.
    """

    family: int | None
    network: int
    prefix: int
    port: int | None


def parse_host(word: str, services: Services) -> Place:
    """
    Return what ``[FAMILY:]ADDRESS[/PREFIX][:PORT]`` means.

    Args:
        word: One word. ``*`` is any address or port; an IPv6 address with a port
            stands in brackets.
        services: The port of a service by its name, or None.

    Raises:
        ConfigError: It is none.
    """
    family: int | None = None
    kind, colon, rest = word.partition(":")
    if colon and kind in FAMILIES:
        family, word = FAMILIES[kind], rest
    if not word or (word.endswith(":") and (word[0] == "[" or word.count(":") == 1)):
        # For ss it is any. `kill dst ":$PORT"` would end all where PORT is empty.
        raise ConfigError(
            f"`{word or kind + colon}` leaves open what is meant",
            hint="write * for any",
        )
    host, port = _split(word)
    number = None if port in ANYTHING else parse_port(port, services)
    if host in ANYTHING:
        return Place(family, 0, 0, number)
    version, network, prefix = _network(host, word)
    if version == IPV4:
        mapped = int.from_bytes(MAPPED, "big") << 32 | network
        return Place(family, mapped, PREFIX_OF_MAPPED + prefix, number)
    # Written as IPv6, a mapped address means those that IPv6 sockets have.
    return Place(family or INET6, network, prefix, number)


def parse_port(word: str, services: Services) -> int:
    """
    Return the port that ``:5432``, ``5432`` or ``:postgresql`` means.

    Args:
        word: One word.
        services: The port of a service by its name, or None.

    Raises:
        ConfigError: It is none.
    """
    host, colon, name = word.rpartition(":")
    if colon and host not in ("", "*", *FAMILIES):
        raise ConfigError(
            f"`{word}` is more than a port", hint="for an address use dst or src"
        )
    if name.isascii() and name.isdecimal():
        digits = name.lstrip("0") or "0"
        port = int(digits) if len(digits) <= MOST_DIGITS else None
    else:
        port = services(name) if name else None
    if port is not None and port > HIGHEST_PORT:
        port = None
    if port is None:
        raise ConfigError(
            f"`{word}` is no port",
            hint=f"a number up to {HIGHEST_PORT}, or a name of /etc/services",
        )
    return port


def is_at(place: Place, *, local: bool) -> Test:
    """
    Return the test whether an end of a row is at a place.

    Args:
        place: Where.
        local: Whether this end is meant, or the peer's.
    """
    host_at, port_at = (LOCAL_HOST, LOCAL_PORT) if local else (PEER_HOST, PEER_PORT)
    family, network, prefix, port = place
    shift = 128 - prefix
    wanted = network >> shift
    wanted_port = None if port is None else port.to_bytes(2, "big")

    def test(row: DiagRow) -> bool:
        raw, its_family = row.id, row.family
        if family is not None and its_family != family:
            return False
        if wanted_port is not None and raw[port_at : port_at + 2] != wanted_port:
            return False
        if not prefix:
            return True
        host = raw[host_at : host_at + 16]
        if its_family == INET:
            host = MAPPED + host[:4]
        return int.from_bytes(host, "big") >> shift == wanted

    return test


def has_port(comparison: str, port: int, *, local: bool) -> Test:
    """
    Return the test whether a port of a row compares to another.

    Args:
        comparison: ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        port: The other.
        local: Whether this end's port is meant, or the peer's.
    """
    compare = COMPARE[comparison]
    at = LOCAL_PORT if local else PEER_PORT
    return lambda row: compare(row.id[at] << 8 | row.id[at + 1], port)


def _split(word: str) -> tuple[str, str]:
    """Return address (with its prefix) and port, as text."""
    if word.startswith("["):
        inside, bracket, tail = word[1:].partition("]")
        prefix, _, port = tail.partition(":")
        if not bracket or (prefix and not prefix.startswith("/")):
            raise ConfigError(
                f"`{word}` is no address",
                hint="an IPv6 address as in: [2001:db8::1]:443",
            )
        return inside + prefix, port
    # Without brackets several colons are an IPv6 address, and no port.
    if word.count(":") > 1:
        return word, ""
    host, _, port = word.partition(":")
    return host, port


def _network(host: str, word: str) -> tuple[int, int, int]:
    """Return the version, the address as a number, and the prefix."""
    import ipaddress  # late: most filters have none

    address, slash, prefix = host.partition("/")
    parts = address.split(".")
    if slash and ":" not in address and len(parts) < DOTTED_PARTS:
        # 193.233.7/24: what is not written is 0.
        address = ".".join(parts + ["0"] * (DOTTED_PARTS - len(parts)))
    if "." in prefix:  # a mask, which ipaddress would take and ss does not
        prefix = ""
    try:
        network = ipaddress.ip_network(f"{address}{slash}{prefix}", strict=False)
    except ValueError as error:
        raise ConfigError(
            f"`{word}` is no address",
            hint="10.0.0.1, 10.0.0.0/8, [2001:db8::1]:443 or *:443; names are not"
            " looked up",
        ) from error
    return network.version, int(network.network_address), network.prefixlen
