"""How a node is wired, and what of it keeps policies from holding: pure, from texts that somebody else has read
(`wiring_read`).

Policies are rules of netfilter's FORWARD, INPUT and OUTPUT hooks. Whatever takes packets past these hooks, or shows
them there with other addresses than the pods', is found here and said, with what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from compiler.net import Prefix, parse_prefix
from enforcer.node.choose import NFTABLES, Use
from enforcer.node.cni import Network, NotRead, chosen, flannel

#: Plugins whose pods are behind a bridge, and those whose packets netfilter of the node never sees.
BRIDGES = frozenset({"bridge", "flannel", "antrea"})
PAST_NETFILTER = frozenset(
    {"macvlan", "ipvlan", "host-device", "sriov", "vlan", "cilium-cni", "antrea", "ovn-k8s-cni-overlay"}
)
#: Plugins, and owners of rules (`agents`), that enforce NetworkPolicy by themselves.
ENFORCERS = frozenset(
    {"calico", "cilium-cni", "antrea", "ovn-k8s-cni-overlay", "weave-net", "kube-router", "aws-cni"}
    | {"Calico", "Cilium", "Antrea", "Weave Net"}
)
#: Kinds of devices (IFLA_INFO_KIND) that packets to other nodes go through.
_OVERLAYS = {
    "vxlan": "VXLAN",
    "geneve": "Geneve",
    "ipip": "IP in IP",
    "sit": "IPv6 in IP",
    "wireguard": "WireGuard",
    "tun": "TUN",
}
#: Of conntrack's table: fuller than that, connections are about to be refused.
_NEARLY_FULL = 0.9


class Severity(Enum):
    """ERROR: some policies do not hold. WARNING: they may not hold, or more is denied than they say. INFO: to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about`: a file, a device, a setting. `remedy`: what to do, empty when nothing is wrong."""

    severity: Severity
    code: str
    about: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.about}: {self.text} [{self.code}]" + (
            f"; {self.remedy}" * bool(self.remedy)
        )


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. `kind` is rtnetlink's, empty for hardware; `master` the name of its bridge."""

    name: str
    kind: str = ""
    master: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader found. `cni`: texts of /etc/cni/net.d by file name; `settings`: sysctls that are there, by name;
    `containers`: Docker's network mode by container; `uses`: who else has rules here; `pod_cidrs`: of the Node
    object."""

    cni: Mapping[str, str] = field(default_factory=dict)
    flannel: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    containers: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    pod_cidrs: tuple[str, ...] = ()


class Proxy(Enum):
    """Who translates services."""

    IPTABLES = "kube-proxy, iptables"
    NFTABLES = "kube-proxy, nftables"
    IPVS = "kube-proxy, IPVS"
    NONE = "none found"


@dataclass(frozen=True, slots=True)
class Wiring:
    """`pod_ranges`: sorted, of the Node object and the CNI configuration; `bridges`: those with ports; `overlays`:
    devices by what they are."""

    pod_ranges: tuple[Prefix, ...]
    network: str
    plugins: tuple[str, ...]
    bridges: tuple[str, ...]
    bridged_seen: bool
    overlays: Mapping[str, str]
    proxy: Proxy
    findings: tuple[Finding, ...]


def interpret(read: Read) -> Wiring:
    """All there is to say."""
    network, unread = chosen(read.cni)
    found = flannel(read.flannel)
    ranges = {*map(parse_prefix, read.pod_cidrs), *network.ranges, *found.ranges}
    seen = all(read.settings.get(f"net.bridge.bridge-nf-call-{tool}") == "1" for tool in ("iptables", "ip6tables"))
    ports = {link.master for link in read.links if link.master}
    bridges = tuple(sorted(link.name for link in read.links if link.kind == "bridge" and link.name in ports))
    wired = Wiring(
        tuple(sorted(ranges)),
        network.name,
        network.plugins,
        bridges,
        seen,
        {link.name: _OVERLAYS[link.kind] for link in read.links if link.kind in _OVERLAYS},
        _proxy(read),
        (),
    )
    findings = [
        *_of_files(unread),
        *_of_pods(read, network, wired),
        *_of_bridges(network, wired),
        *_of_masquerade(network, found.masquerades),
        *_of_settings(read.settings),
        *_of_proxy(wired.proxy),
        *_of_containers(read.containers),
    ]
    order = list(Severity)
    findings.sort(key=lambda one: (order.index(one.severity), one.code, one.about))
    return Wiring(
        wired.pod_ranges, wired.network, wired.plugins, bridges, seen, wired.overlays, wired.proxy, tuple(findings)
    )


def _proxy(read: Read) -> Proxy:
    if any(link.name == "kube-ipvs0" for link in read.links):
        return Proxy.IPVS
    for use in read.uses:
        if use.who == "kube-proxy":
            return Proxy.NFTABLES if use.backend == NFTABLES else Proxy.IPTABLES
    return Proxy.NONE


def _of_files(unread: Iterable[NotRead]) -> Iterator[Finding]:
    for one in unread:
        yield Finding(
            Severity.WARNING, "cni-unreadable", one.where, one.why, "correct it; what it says is not known here"
        )


def _of_pods(read: Read, network: Network, wired: Wiring) -> Iterator[Finding]:
    if not wired.pod_ranges:
        yield Finding(
            Severity.WARNING,
            "no-pod-range",
            "the node",
            "neither its Node object nor the CNI configuration names the addresses of its pods",
            "set podCIDRs on the node, or no pod is denied before it is known",
        )
    given = tuple(map(parse_prefix, read.pod_cidrs))
    for inner in network.ranges if given else ():
        if not any(outer.covers(inner) or inner.covers(outer) for outer in given):
            yield Finding(
                Severity.WARNING,
                "other-range",
                network.where,
                f"pods get addresses of {inner}, the Node object says {', '.join(read.pod_cidrs)}",
                "let both say the same",
            )
    for plugin in dict.fromkeys(network.plugins):
        if plugin in PAST_NETFILTER:
            yield Finding(
                Severity.ERROR,
                "past-netfilter",
                network.where,
                f"packets of pods of {plugin} do not pass netfilter of this node: no policy of netpolc holds for them",
                "use a plugin that routes or bridges pods on the node (ptp, bridge, flannel, calico)",
            )
    owners = {use.who: use.sign for use in reversed(read.uses)}
    for who, where in {**dict.fromkeys(network.plugins, network.where), **owners}.items():
        if who in ENFORCERS:
            text = f"{who} may enforce NetworkPolicy itself: what either denies is denied"
            yield Finding(Severity.INFO, "enforced-twice", where, text)


def _of_bridges(network: Network, wired: Wiring) -> Iterator[Finding]:
    if wired.bridged_seen:
        return
    configured = [plugin for plugin in network.plugins if plugin in BRIDGES - PAST_NETFILTER]
    for about in wired.bridges or ((network.where,) if configured else ()):
        yield Finding(
            Severity.ERROR,
            "bridged-unseen",
            about,
            "pods on one bridge reach each other past every policy: bridged packets do not pass netfilter's hooks",
            "modprobe br_netfilter and set net.bridge.bridge-nf-call-iptables and -ip6tables to 1,"
            " or netpolc enforce --enable-bridge-nf",
        )


def _of_masquerade(network: Network, flannel_masquerades: bool) -> Iterator[Finding]:
    if network.masquerades and "flannel" not in network.plugins and not flannel_masquerades:
        yield Finding(
            Severity.WARNING,
            "masqueraded",
            network.where,
            "ipMasq gives packets to pods of other nodes the address of this node: policies there do not know the pod",
            "set ipMasq to false and masquerade only what leaves the cluster",
        )


def _of_settings(settings: Mapping[str, str]) -> Iterator[Finding]:
    for name, family in (("net.ipv4.ip_forward", "IPv4"), ("net.ipv6.conf.all.forwarding", "IPv6")):
        if settings.get(name) == "0":
            severity = Severity.WARNING if family == "IPv4" else Severity.INFO
            yield Finding(
                severity, "no-forwarding", name, f"pods have no {family} beyond their node", f"sysctl -w {name}=1"
            )
    count, most = (settings.get(f"net.netfilter.nf_conntrack_{name}", "") for name in ("count", "max"))
    if count.isdigit() and most.isdigit() and int(count) > _NEARLY_FULL * int(most):
        yield Finding(
            Severity.WARNING,
            "conntrack-full",
            "net.netfilter.nf_conntrack_max",
            f"{count} of {most} connections: the kernel is about to drop new ones, allowed or not",
            "raise it",
        )


def _of_proxy(proxy: Proxy) -> Iterator[Finding]:
    if proxy is Proxy.IPVS:
        yield Finding(
            Severity.WARNING,
            "ipvs",
            "kube-ipvs0",
            "a pod's packet to a service comes to INPUT with the service's address, not with that of the pod behind it:"
            " egress policies have to allow both",
            "use kube-proxy's iptables or nftables mode, or allow the service range as an ipBlock",
        )


def _of_containers(containers: Mapping[str, str]) -> Iterator[Finding]:
    for name, mode in sorted(containers.items()):
        if mode == "host":
            text = "is in the network of the node: policies of pods do not mean it, and to pods it is the node"
            yield Finding(Severity.INFO, "host-network", f"container {name}", text)
        elif mode.startswith("container:"):
            text = f"shares the addresses of {mode[10:]}: policies of that one hold for both"
            yield Finding(Severity.INFO, "shared-network", f"container {name}", text)
        elif mode == "none":
            yield Finding(Severity.INFO, "no-network", f"container {name}", "has no network")
