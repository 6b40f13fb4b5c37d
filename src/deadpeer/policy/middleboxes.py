"""Boxes between the ends that forget an idle connection, and after how long."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["MIDDLEBOXES", "Middlebox", "forgetful"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Middlebox:
    """
    A kind of box that keeps state of connections.

    Args:
        name: What its makers call it.
        idle_timeout: Seconds of silence after which it forgets, by default.
        forgets: Whether later packets vanish or are answered with a reset.
        source: Where that is written.
        note: What can be configured, if anything.
    """

    name: str
    idle_timeout: float
    forgets: Literal["silently", "with a reset"]
    source: str
    note: str = ""


MIDDLEBOXES: tuple[Middlebox, ...] = (
    Middlebox(
        name="home and mobile NAT with a short memory",
        idle_timeout=60,
        forgets="silently",
        source="field reports of 60 to 300 s; RFC 5382 (REQ-5) asks for 2 h 4 min",
    ),
    Middlebox(
        name="Azure Load Balancer and NAT",
        idle_timeout=240,
        forgets="silently",
        source="learn.microsoft.com/azure/load-balancer/load-balancer-tcp-reset",
        note="4 to 100 min; answers with a reset where TCP Reset is enabled",
    ),
    Middlebox(
        name="AWS Network Load Balancer",
        idle_timeout=350,
        forgets="with a reset",
        source="docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html",
        note="60 to 6000 s on TCP listeners, fixed on TLS listeners",
    ),
    Middlebox(
        name="AWS NAT Gateway and VPC endpoints",
        idle_timeout=350,
        forgets="with a reset",
        source="docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html; botocore#3140",
        note="fixed",
    ),
    Middlebox(
        name="AWS EC2 connection tracking on Nitro v6",
        idle_timeout=350,
        forgets="silently",
        source="docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ConnectionTrackingConfiguration.html",
        note="60 to 432000 s; 432000 s on older instance types",
    ),
    Middlebox(
        name="AWS Network Firewall",
        idle_timeout=350,
        forgets="silently",
        source="docs.aws.amazon.com/network-firewall/latest/APIReference/API_FlowTimeouts.html",
        note="60 to 6000 s",
    ),
    Middlebox(
        name="Google Cloud VPC connection tracking",
        idle_timeout=600,
        forgets="silently",
        source="cloud.google.com/compute/docs/troubleshooting/general-tips",
    ),
    Middlebox(
        name="Kubernetes kube-proxy in IPVS mode",
        idle_timeout=900,
        forgets="silently",
        source="ipvsadm(8), --set; moby/moby#31208",
        note="ipvsadm --set, or kube-proxy's --ipvs-tcp-timeout",
    ),
    Middlebox(
        name="Google Cloud NAT, established",
        idle_timeout=1200,
        forgets="silently",
        source="cloud.google.com/nat/docs/tune-nat-configuration",
        note="configurable",
    ),
    Middlebox(
        name="Linux netfilter",
        idle_timeout=432_000,
        forgets="silently",
        source="nf_conntrack_tcp_timeout_established, read on Linux 6.18",
        note="86400 s where Kubernetes' kube-proxy sets it",
    ),
)


def forgetful(silence: float) -> tuple[Middlebox, ...]:
    """
    Return the boxes that forget a connection which is silent for *silence*.

    Args:
        silence: The longest silence on a live connection, in seconds.

    >>> [box.idle_timeout for box in forgetful(300)]
    [60, 240]
    """
    return tuple(box for box in MIDDLEBOXES if box.idle_timeout <= silence)
