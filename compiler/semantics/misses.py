"""Why a rule is not about a connection: what of its peers and ports does not fit, in words.

Nothing here decides. The oracle has said that a peer or a port list misses; this names the first thing that does not
fit, in the order in which the oracle looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.resources import clusterpolicy, networkpolicy
from compiler.resources.cluster import Pod
from compiler.resources.labels import LabelSelector
from compiler.semantics.packet import SCTP, TCP, UDP
from compiler.semantics.reading import (
    EgressPeer,
    EgressRule,
    IngressPeer,
    IngressRule,
    cluster_port_test,
    port_test,
    selects,
    within,
)

_NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
NetworkRule = networkpolicy.IngressRule | networkpolicy.EgressRule
AnyRule = NetworkRule | IngressRule | EgressRule


def network_peer_miss(
    peer: networkpolicy.Peer, other: str, pod: Pod | None, labels: Mapping[str, str], namespace: str
) -> str:
    """Why a peer of a NetworkPolicy in `namespace` is not the other end: an address, which `pod` may hold, in a
    namespace with these labels."""
    if peer.ip_block is not None:
        for cut in peer.ip_block.except_ or ():
            if within(other, peer.ip_block.cidr) and within(other, cut):
                return f"{other} is in {cut}, which {peer.ip_block.cidr} excepts"
        return f"{other} is not in {peer.ip_block.cidr}"
    if pod is None:
        return f"{other} is no pod's address"
    if peer.namespace_selector is None:
        if pod.namespace != namespace:
            return f"a podSelector alone means pods of {namespace}, not of {pod.namespace}"
    elif not selects(peer.namespace_selector, labels):
        return f"namespace {pod.namespace} has {_unmet(peer.namespace_selector, labels)}"
    return f"{pod.namespace}/{pod.name} has {_unmet(peer.pod_selector, pod.labels)}"


def cluster_peer_miss(peer: IngressPeer | EgressPeer, other: str, pod: Pod | None, labels: Mapping[str, str]) -> str:
    """The same for a peer of the admin or baseline tier."""
    if isinstance(peer, EgressPeer):
        if peer.nodes is not None:
            return f"{other} is no address of a node that it selects"
        if peer.networks is not None:
            return f"{other} is not in {', '.join(peer.networks)}"
        if peer.domain_names is not None:
            return "domainNames match nothing: files hold no DNS answers"
    if pod is None:
        return f"{other} is no pod's address"
    spaces = peer.namespaces if peer.pods is None else peer.pods.namespace_selector
    if not selects(spaces, labels, absent=True):
        return f"namespace {pod.namespace} has {_unmet(spaces, labels)}"
    assert peer.pods is not None, "a peer of namespaces alone would have matched"
    return f"{pod.namespace}/{pod.name} has {_unmet(peer.pods.pod_selector, pod.labels)}"


def _unmet(selector: LabelSelector | None, labels: Mapping[str, str]) -> str:
    """The first requirement that labels do not meet."""
    assert selector is not None, "an absent selector has no requirement"
    for key, value in (selector.match_labels or {}).items():
        if key not in labels:
            return f"no label {key}={value}"
        if labels[key] != value:
            return f"{key}={labels[key]}, not {key}={value}"
    for wanted in selector.match_expressions or ():
        if not selects(LabelSelector.model_construct(match_expressions=(wanted,)), labels):
            values = f" ({', '.join(wanted.values)})" if wanted.values else ""
            found = f"{wanted.key}={labels[wanted.key]}" if wanted.key in labels else f"no label {wanted.key}"
            return f"{found}, not {wanted.key} {wanted.operator}{values}"
    raise AssertionError("the selector selects these labels")


def ports_of(rule: AnyRule, server: Pod | None) -> tuple[str, ...]:
    """The entries of a rule's port list, each as it reads where `server` is the pod that names are looked up on."""
    if isinstance(rule, NetworkRule):
        return tuple(
            _entry(port.port if isinstance(port.port, str) else None, port_test((port,), server).spans, server)
            for port in rule.ports or ()
        )
    return tuple(_cluster_ports(rule, server))


def _cluster_ports(rule: IngressRule | EgressRule, server: Pod | None) -> Iterator[str]:
    if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
        for wanted in rule.protocols or ():
            spans = cluster_port_test(rule.model_copy(update={"protocols": (wanted,)}), server).spans
            yield _entry(wanted.destination_named_port, spans, server)
    else:
        for port in rule.ports or ():
            spans = cluster_port_test(rule.model_copy(update={"ports": (port,)}), server).spans
            yield _entry(port.named_port, spans, server)


def _entry(name: str | None, spans: tuple[tuple[int, int, int], ...], server: Pod | None) -> str:
    if name is not None and not spans:
        if server is None:
            return f"{name} (only pods matched by a selector have named ports)"
        return f"{name} (no such port on {server.namespace}/{server.name})"
    shown = ", ".join(map(_span, spans))
    return shown if name is None else f"{name} ({shown})"


def _span(span: tuple[int, int, int]) -> str:
    protocol, first, last = span
    if (first, last) == (0, 65535):
        return f"all of {_NAMES[protocol]}"
    return f"{first}/{_NAMES[protocol]}" if first == last else f"{first}-{last}/{_NAMES[protocol]}"
