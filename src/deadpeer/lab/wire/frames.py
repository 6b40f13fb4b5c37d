"""
TCP in an Ethernet frame: whose packet it is, and the reset that answers it.

Only as much as a box in the middle looks at: IPv4 and IPv6 without extension
headers. Anything else is none of its business.
"""

import struct
from dataclasses import dataclass
from typing import Self

from deadpeer.lab.wire.flows import FIN, RST, SYN, Flow

__all__ = ["VNET", "Segment"]

# Before each frame stands the header of virtual network cards.
# Source: linux/virtio_net.h, struct virtio_net_hdr.
VNET = 10

# Source: IEEE 802.3; linux/if_ether.h.
ETHERNET = 14
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD

# Source: RFC 791, RFC 8200, RFC 9293: lengths without options, in bytes.
IPV4, IPV6, TCP = 20, 40, 20
IPPROTO_TCP = 6
FRAGMENT = 0x1FFF
ACK = 0x10

# How far a reset may travel.
HOPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """
    A TCP segment, as the box sees it.

    Args:
        ethernet: The frame's own header.
        source: Whose it is: address and port, as on the wire.
        target: Whom it is for.
        flags: Its control bits.
        sequence: The number of its first byte.
        acknowledged: The number that its sender expects next.
        length: Bytes of data.
    """

    ethernet: bytes
    source: bytes
    target: bytes
    flags: int
    sequence: int
    acknowledged: int
    length: int

    @property
    def flow(self) -> Flow:
        """The connection that it belongs to."""
        return Flow.between(self.source, self.target)

    @classmethod
    def read(cls, frame: bytes) -> Self | None:
        """
        Return the segment in a frame; None if there is none.

        Args:
            frame: A whole frame, after its `VNET` bytes.
        """
        packet = memoryview(frame)[VNET + ETHERNET :]
        try:
            (kind,) = struct.unpack_from("!H", frame, VNET + ETHERNET - 2)
            found = FINDERS[kind](packet)
            if found is None:
                return None
            addresses, tcp = found
            half = len(addresses) // 2
            ports, sequence, acknowledged, offset, flags = struct.unpack_from(
                "!4sIIBB", tcp
            )
        except (KeyError, struct.error, IndexError):
            return None
        return cls(
            ethernet=frame[VNET : VNET + ETHERNET],
            source=addresses[:half] + ports[:2],
            target=addresses[half:] + ports[2:],
            flags=flags,
            sequence=sequence,
            acknowledged=acknowledged,
            length=max(0, len(tcp) - (offset >> 4) * 4),
        )

    def reset(self) -> bytes:
        """
        Return the frame that tells this one's sender that nobody knows it.

        Source:
            RFC 9293, section 3.5.2, group 1.
        """
        if self.flags & ACK:
            sequence, acknowledged, flags = self.acknowledged, 0, RST
        else:
            counted = self.length + sum(bool(self.flags & bit) for bit in (SYN, FIN))
            sequence, flags = 0, RST | ACK
            acknowledged = (self.sequence + counted) & 0xFFFFFFFF
        ports = self.target[-2:] + self.source[-2:]
        tcp = struct.pack(
            "!4sIIBBHHH", ports, sequence, acknowledged, (TCP // 4) << 4, flags, 0, 0, 0
        )
        addresses = self.target[:-2] + self.source[:-2]
        pseudo = addresses + struct.pack("!II", TCP, IPPROTO_TCP)
        tcp = tcp[:16] + checksum(pseudo + tcp) + tcp[18:]
        target, source, kind = (
            self.ethernet[:6],
            self.ethernet[6:12],
            self.ethernet[12:14],
        )
        header = header_4(addresses) if len(addresses) == 8 else header_6(addresses)  # noqa: PLR2004 - two of IPv4
        return bytes(VNET) + source + target + kind + header + tcp


def tcp_in_4(packet: memoryview) -> tuple[bytes, memoryview] | None:
    """Return both addresses and the TCP segment of an IPv4 packet, if it is one."""
    (fragment,) = struct.unpack_from("!H", packet, 6)
    if packet[9] != IPPROTO_TCP or fragment & FRAGMENT:
        return None
    (total,) = struct.unpack_from("!H", packet, 2)
    return bytes(packet[12:20]), packet[(packet[0] & 15) * 4 : total]


def tcp_in_6(packet: memoryview) -> tuple[bytes, memoryview] | None:
    """Return both addresses and the TCP segment of an IPv6 packet, if it is one."""
    if packet[6] != IPPROTO_TCP:
        return None
    (length,) = struct.unpack_from("!H", packet, 4)
    return bytes(packet[8:40]), packet[IPV6 : IPV6 + length]


FINDERS = {ETH_P_IP: tcp_in_4, ETH_P_IPV6: tcp_in_6}


def header_4(addresses: bytes) -> bytes:
    """Return the header of an IPv4 packet with a bare TCP header in it."""
    start = struct.pack("!BBHHHBB", 0x45, 0, IPV4 + TCP, 0, 0, HOPS, IPPROTO_TCP)
    return start + checksum(start + addresses) + addresses


def header_6(addresses: bytes) -> bytes:
    """Return the header of an IPv6 packet with a bare TCP header in it."""
    return struct.pack("!IHBB", 6 << 28, TCP, IPPROTO_TCP, HOPS) + addresses


def checksum(data: bytes) -> bytes:
    """
    Return the internet checksum.

    Source:
        RFC 1071.

    >>> checksum(bytes.fromhex("0001f203f4f5f6f7")).hex()
    '220d'
    """
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
