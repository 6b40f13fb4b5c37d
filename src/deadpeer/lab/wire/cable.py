"""A wire as the lab holds it: laid, changed, asked how well it keeps time."""

import socket
from socket import AF_INET, AF_INET6, inet_pton

from deadpeer.lab.leash import Child
from deadpeer.lab.namespaces import Namespace
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.wire.precision import Precision
from deadpeer.lab.wire.weather import CALM, Weather

__all__ = ["BACK", "BOTH", "FORTH", "Wire", "packet_socket"]

# Source: linux/if_ether.h, linux/socket.h, linux/if_packet.h.
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23

# Which ways a change is for.
FORTH = (0,)
BACK = (1,)
BOTH = (0, 1)


def packet_socket(namespace: Namespace, link: str) -> socket.socket:
    """
    Return a socket for the whole frames of one interface.

    Each frame comes and goes with the header of virtual network cards, which
    says what the sender left to the hardware (checksums, segmentation); passed
    on unchanged, it lets the other end finish the work.

    Source:
        packet(7); PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING (Linux 4.20).
    """
    with namespace.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind((link, ETH_P_ALL))
    sock.setblocking(False)  # noqa: FBT003
    return sock


class Wire(Child):
    """
    A running wire between two interfaces of a namespace.

    Args:
        namespace: Where both interfaces are.
        near: The name of one.
        far: The name of the other.
        weather: What it is at first, both ways.
        seed: Where chance begins: the same packets meet the same fate.

    """

    def __init__(
        self,
        namespace: Namespace,
        near: str,
        far: str,
        *,
        weather: Weather = CALM,
        seed: int = 0,
    ) -> None:
        with (
            packet_socket(namespace, near) as one,
            packet_socket(namespace, far) as other,
        ):
            fds = one.fileno(), other.fileno()
            super().__init__(
                "deadpeer.lab.wire.forwarder",
                pass_fds=fds,
                arguments=map(str, (*fds, seed)),
            )
        self.hear()  # it runs
        self.change(weather)

    def change(self, weather: Weather, *, ways: tuple[int, ...] = BOTH) -> None:
        """
        Change what happens to packets that come from now on.

        Args:
            weather: What it is then.
            ways: `FORTH` (near to far), `BACK` or `BOTH`.
        """
        self.ask(do="change", ways=ways, weather=to_plain(weather))

    def remember(self, *, idle: float, resets: bool = False) -> None:
        """
        Put a box on the way that forgets connections, see `FlowTable`.

        It knows those that begin from now on, and no others.

        Args:
            idle: Seconds of silence after which it forgets; ``math.inf`` never.
            resets: Whether it answers what it does not know, or keeps silent.
        """
        self.ask(do="remember", idle=to_plain(idle), resets=resets)

    def forget(self, *hosts: str) -> None:
        """
        Let the box forget connections now.

        Args:
            hosts: Whose, by their addresses; without any, everybody's.
        """
        families = [AF_INET6 if ":" in host else AF_INET for host in hosts]
        packed = [inet_pton(*end).hex() for end in zip(families, hosts, strict=True)]
        self.ask(do="forget", hosts=packed)

    def report(self) -> Precision:
        """Return how well it keeps time."""
        return from_plain(Precision, self.ask(do="report"))
