"""
Three hosts and two cables: ``client ── router ── server``.

Each host is a network namespace. What is done to the network is done on the far
side of the router, so that the watched end keeps its carrier, as in life. The
client's hop can be given a round-trip time, or any weather; frames then pass a
wire of ours. Beside the server a bystander can be had: a host behind a cable of
its own, which lives through whatever is done to the server.
"""

from contextlib import ExitStack
from functools import cached_property

from deadpeer.lab.closing import Closing
from deadpeer.lab.namespaces import Namespace
from deadpeer.lab.wire.cable import Wire
from deadpeer.lab.wire.weather import Weather
from deadpeer.platforms import LINUX, Defaults

__all__ = [
    "BYSTANDER",
    "CLIENT",
    "CLIENT_TOO",
    "LINK",
    "PREFIX",
    "SERVER",
    "Topology",
]

# Source: RFC 5737 and RFC 3849, addresses for documentation.
CLIENT = {4: "192.0.2.2", 6: "2001:db8:1::2"}
CLIENT_SIDE = {4: "192.0.2.1", 6: "2001:db8:1::1"}
SERVER_SIDE = {4: "198.51.100.1", 6: "2001:db8:2::1"}
SERVER = {4: "198.51.100.2", 6: "2001:db8:2::2"}
BYSTANDER_SIDE = {4: "203.0.113.1", 6: "2001:db8:3::1"}
BYSTANDER = {4: "203.0.113.2", 6: "2001:db8:3::2"}
# What the client is called where it talks to the bystander, so that a route to
# it can be cut for the server alone.
CLIENT_TOO = {4: "192.0.2.3", 6: "2001:db8:1::3"}
PREFIX = {4: 24, 6: 64}
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
AF = {4: 2, 6: 10}

# What a host calls its only card.
LINK = "eth0"

# Source: linux/if_addr.h. Our addresses are known to be unique; looking for
# others with the same one takes a second.
IFA_F_NODAD = 0x02

# Source: net/addrconf.h, INFINITY_LIFE_TIME.
FOR_EVER = 0xFFFFFFFF

# Hosts that keep silent when nothing is done: no router advertisements, and
# nobody is asked whether packets came the right way (a cut may be one-way).
QUIET = {
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv6/conf/all/accept_ra": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/all/router_solicitations": 0,
    "ipv6/conf/default/router_solicitations": 0,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/dad_transmits": 0,
}
# Where IPv6 is switched off by default, the lab still has it; and a host that
# comes back says so, as real ones do (with DHCP if not with this).
PRESENT = {
    "ipv6/conf/all/disable_ipv6": 0,
    "ipv6/conf/default/disable_ipv6": 0,
    "ipv4/conf/all/arp_notify": 1,
    "ipv4/conf/default/arp_notify": 1,
    "ipv6/conf/all/ndisc_notify": 1,
    "ipv6/conf/default/ndisc_notify": 1,
}
# A router says what it cannot deliver every time, and not once a second and host
# or fifty times in all: the lab's hosts are many connections each. The masks name
# the kinds of message that are limited: none, and one that nobody sends.
ROUTING = {
    "ipv6/conf/all/forwarding": 1,
    "ipv4/icmp_ratemask": 0,
    "ipv6/icmp/ratelimit": 0,
    "ipv6/icmp/ratemask": 255,
}
# How a router asks for a neighbour that does not answer: three times, a second
# apart, while everything for it waits. The kernel's own values, but for the
# room, which has to do for the first packets of many connections; written down
# because they are taken from the machine that the lab runs on.
# Source: ip-sysctl, neigh/default.
NEIGHBOURS = {
    "mcast_solicit": 3,
    "retrans_time_ms": 1000,
    "unres_qlen_bytes": 1 << 24,
}


class Topology(Closing):
    """
    The three hosts, built and linked.

    Args:
        rtt: The round-trip time of the client's hop, in seconds; 0 is a plain
            cable.
        defaults: The TCP settings of the client's system.
        weather: The weather on the client's hop, each way, in place of *rtt*;
            None is what *rtt* says.

    Attributes:
        client: Where the watched sockets are.
        router: In the middle.
        server: Where the peer is. Replaced when the peer reboots.
        wire: The client's hop if it takes its time, else None.

    Raises:
        LabError: The kernel refuses a part of it.
    """

    def __init__(
        self,
        *,
        rtt: float = 0.0,
        defaults: Defaults = LINUX.defaults,
        weather: Weather | None = None,
    ) -> None:
        if rtt and weather is None:
            weather = Weather(delay=rtt / 2)
        self.owned = ExitStack()
        self.wire: Wire | None = None
        with ExitStack() as undo:
            undo.callback(self.close)
            self.client = self._host("client")
            self.router = self._host("router", ROUTING)
            self.router.set_sysctl("ipv4/ip_forward", 1)
            self.server = self._host("server")
            set_defaults(self.client, defaults)
            if weather:
                self._stretch(weather)
            else:
                self._cable(self.client, LINK, self.router, "near")
            self._far(self.server, "far", SERVER_SIDE)
            configure(self.router, "near", CLIENT_SIDE)
            configure(self.client, LINK, CLIENT, gateway=CLIENT_SIDE)
            configure(self.server, LINK, SERVER, gateway=SERVER_SIDE)
            undo.pop_all()

    def close(self) -> None:
        """Take it all down."""
        self.owned.close()

    def replace_server(self) -> None:
        """
        Give the server's card to a host that knows nothing.

        The old host is left without a card, its sockets with it.
        """
        fresh, number = self.spare, self.server.index(LINK)
        self.server.links.link("set", index=number, net_ns_fd=fresh.fd)
        self.server = fresh
        configure(fresh, LINK, SERVER, gateway=SERVER_SIDE)

    @cached_property
    def spare(self) -> Namespace:
        """A host that knows nothing yet; made ahead of time, it comes up quickly."""
        return self._host("server")

    @cached_property
    def bystander(self) -> Namespace:
        """A host beside the server, which nothing is done to; made when asked for."""
        host = self._host("bystander")
        self._far(host, "beside", BYSTANDER_SIDE)
        configure(host, LINK, BYSTANDER, gateway=BYSTANDER_SIDE)
        number = self.client.index(LINK)
        add_addresses(self.client, number, CLIENT_TOO, preferred=0, valid=FOR_EVER)
        return host

    def _host(self, name: str, settings: dict[str, int] | None = None) -> Namespace:
        host = self.owned.enter_context(Namespace(name))
        for key, value in (QUIET | PRESENT | (settings or {})).items():
            host.set_sysctl_if_present(key, value)
        host.links.link("set", index=host.index("lo"), state="up")
        return host

    def _cable(self, one: Namespace, name: str, other: Namespace, far: str) -> None:
        peer = {"ifname": far, "net_ns_fd": other.fd}
        one.links.link("add", ifname=name, kind="veth", peer=peer)

    def _far(self, host: Namespace, link: str, side: dict[int, str]) -> None:
        """Lay a cable from the router to a host behind it."""
        self._cable(host, LINK, self.router, link)
        for version in PREFIX:
            for name, value in NEIGHBOURS.items():
                key = f"ipv{version}/neigh/{link}/{name}"
                self.router.set_sysctl_if_present(key, value)
        configure(self.router, link, side)

    def _stretch(self, weather: Weather) -> None:
        """Lay the client's cable through a host that is nothing but wire."""
        middle = self.owned.enter_context(Namespace("wire"))
        middle.set_sysctl_if_present("ipv6/conf/default/disable_ipv6", 1)
        self._cable(self.client, LINK, middle, "a")
        self._cable(self.router, "near", middle, "b")
        for name in ("a", "b"):
            middle.links.link("set", index=middle.index(name), state="up", arp=False)
        # One packet a frame, as on a real cable: weather is for packets, and a card
        # that leaves segmentation to hardware hands over 64 KiB as one.
        for host, link in ((self.client, LINK), (self.router, "near")):
            host.links.link("set", index=host.index(link), gso_max_segs=1)
        self.wire = self.owned.enter_context(Wire(middle, "a", "b", weather=weather))


def configure(
    host: Namespace,
    link: str,
    addresses: dict[int, str],
    *,
    gateway: dict[int, str] | None = None,
) -> None:
    """
    Bring a host's card up, with its addresses and its way out.

    Args:
        host: Whose.
        link: The card.
        addresses: By IP version.
        gateway: Where everything else goes, by IP version.
    """
    number = host.index(link)
    add_addresses(host, number, addresses)
    # Only now: a card that comes up with its addresses announces them.
    host.links.link("set", index=number, state="up")
    for version, address in (gateway or {}).items():
        host.links.route(
            "add", dst=EVERYWHERE[version], gateway=address, family=AF[version]
        )


def add_addresses(
    host: Namespace, number: int, addresses: dict[int, str], **lifetime: int
) -> None:
    """
    Give a card of a host more addresses.

    Args:
        host: Whose.
        number: The card's.
        addresses: By IP version.
        lifetime: ``preferred`` and ``valid`` seconds; one that is preferred for
            none is used only where it is asked for.
    """
    for version, address in addresses.items():
        flags = {"flags": IFA_F_NODAD} if version == 6 else {}  # noqa: PLR2004
        host.links.addr(
            "add",
            index=number,
            address=address,
            prefixlen=PREFIX[version],
            **flags,
            **lifetime,
        )


def set_defaults(host: Namespace, defaults: Defaults) -> None:
    """
    Give a host the TCP settings of a system.

    A new namespace starts with the kernel's own and not with its maker's.
    """
    values = {
        "tcp_keepalive_time": round(defaults.idle),
        "tcp_keepalive_intvl": round(defaults.interval),
        "tcp_keepalive_probes": defaults.probes,
        "tcp_retries2": defaults.retries,
        "tcp_syn_retries": defaults.syn_retries,
        "tcp_syn_linear_timeouts": defaults.syn_linear,
        "tcp_rto_min_us": round(defaults.rto_min * 1e6),
        "tcp_rto_max_ms": round(defaults.rto_max * 1e3),
    }
    for name, value in values.items():
        host.set_sysctl_if_present(f"ipv4/{name}", value)
