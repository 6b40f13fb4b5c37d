"""
What is done to a network, one function a fault, and how it is put right.

Each returns when it has happened. Nothing here reaches beyond the lab's own
namespaces and processes.
"""

import time
from collections.abc import Callable

from deadpeer.errors import LabError
from deadpeer.lab.peer import Peer
from deadpeer.lab.terms import Fault
from deadpeer.lab.topology import AF, CLIENT, LINK, SERVER, Topology

__all__ = ["apply_fault", "heal", "return_without_state"]

WHOLE = {4: 32, 6: 128}

# Source: linux/if.h, IF_OPER_UP.
UP = "UP"

# How long the router may take to see that a link is gone: its kernel gathers
# such news for up to a second (net/core/link_watch.c, linkwatch_nextevent).
PATIENCE = 2.0


def apply_fault(fault: Fault, topology: Topology, peer: Peer) -> None:
    """
    Do it.

    Args:
        fault: What.
        topology: To which network.
        peer: To which peer.
    """
    FAULTS[fault](topology, peer)


def pull_cable(topology: Topology, peer: Peer) -> None:
    """Take the link from the peer's card, and wait until the router knows."""
    del peer
    server, router = topology.server.links, topology.router.links
    number = topology.router.index("far")
    server.link("set", index=topology.server.index(LINK), state="down")
    give_up_at = time.monotonic() + PATIENCE
    while router.get_links(number)[0].get_attr("IFLA_OPERSTATE") == UP:
        if time.monotonic() > give_up_at:
            raise LabError("the lab's router does not see that its cable is pulled")


def drop_silently(topology: Topology, peer: Peer) -> None:
    """Let the router drop what comes from either side, without a word."""
    del peer
    swallow(topology, SERVER)
    swallow(topology, CLIENT)


def drop_to_peer(topology: Topology, peer: Peer) -> None:
    """Let the router drop what goes to the peer."""
    del peer
    swallow(topology, SERVER)


def drop_from_peer(topology: Topology, peer: Peer) -> None:
    """Let the router drop what comes from the peer."""
    del peer
    swallow(topology, CLIENT)


def swallow(topology: Topology, addresses: dict[int, str]) -> None:
    """Let the router drop what is for these addresses."""
    for version, address in addresses.items():
        topology.router.links.route(
            "add",
            dst=f"{address}/{WHOLE[version]}",
            type="blackhole",
            family=AF[version],
        )


def heal(topology: Topology) -> None:
    """Undo what `drop_silently` did."""
    for addresses in (SERVER, CLIENT):
        for version, address in addresses.items():
            topology.router.links.route(
                "del",
                dst=f"{address}/{WHOLE[version]}",
                type="blackhole",
                family=AF[version],
            )


def crash(topology: Topology, peer: Peer) -> None:
    """Take the peer's host off the network; see `return_without_state`."""
    pull_cable(topology, peer)


def return_without_state(topology: Topology) -> None:
    """Bring the host back up, its memory empty."""
    topology.replace_server()


def switch_off_own_card(topology: Topology, peer: Peer) -> None:
    """Switch the client's card off."""
    del peer
    topology.client.links.link("set", index=topology.client.index(LINK), state="down")


def kill_process(topology: Topology, peer: Peer) -> None:
    """Kill the peer's process (SIGKILL)."""
    del topology
    peer.kill()


def stop_process(topology: Topology, peer: Peer) -> None:
    """Stop the peer's process (SIGSTOP); its kernel lives."""
    del topology
    peer.stop()


def forget_flows(topology: Topology, peer: Peer) -> None:
    """
    Let the box on the client's wire forget all connections with the server.

    `Wire.remember` puts it there, before there are connections.
    """
    del peer
    if topology.wire is None:
        raise LabError("only a wire has a box that forgets; give the lab's hop weather")
    topology.wire.forget(*SERVER.values())


def hang_up(topology: Topology, peer: Peer) -> None:
    """Let the peer close its connections."""
    del topology
    peer.hang_up()


def do_nothing(topology: Topology, peer: Peer) -> None:
    """Leave everything as it is."""
    del topology, peer


FAULTS: dict[Fault, Callable[[Topology, Peer], None]] = {
    Fault.CABLE: pull_cable,
    Fault.SILENT_DROP: drop_silently,
    Fault.LOSS_TO_PEER: drop_to_peer,
    Fault.LOSS_FROM_PEER: drop_from_peer,
    Fault.REBOOT: crash,
    Fault.OWN_NIC_DOWN: switch_off_own_card,
    Fault.PROCESS_KILLED: kill_process,
    Fault.PROCESS_STOPPED: stop_process,
    Fault.FORGOTTEN: forget_flows,
    Fault.FORGOTTEN_WITH_RESETS: forget_flows,
    Fault.NORMAL_CLOSE: hang_up,
    Fault.OUTAGE: drop_silently,
    Fault.NONE: do_nothing,
}
