"""The addresses and ports at which the verdicts of these policies on this cluster can change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.resources import NetworkPolicy, clusterpolicy
from compiler.semantics.packet import ICMP, OTHERS, PORTED, Boundaries, block_edges, in_order, port_edges
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot

#: Addresses for documentation (RFC 5737, RFC 3849), which stand for everyone that no policy names.
OUTSIDERS = ("198.51.100.77", "2001:db8:feed::77")
_PORTS = (0, 1, 65535)
_V1ALPHA1 = clusterpolicy.AdminIngressRule | clusterpolicy.AdminEgressRule | clusterpolicy.BaselineEgressRule


def boundaries(policies: Iterable[AnyPolicy], snapshot: Snapshot) -> Boundaries:
    """Edges of every block, except and network, every pod and node, two outsiders; edges of every port and range,
    container ports, all of them for TCP, UDP and SCTP alike; ICMP and protocols that no policy can name.

    Pods that hold no address any more count with the one that they had.
    """
    known = tuple(policies)
    addresses = {*OUTSIDERS, *(address for pod in snapshot.pods for address in pod.ips)}
    addresses.update(address for node in snapshot.nodes.values() for address in node.ips)
    addresses.update(edge for policy in known for cidr in _blocks(policy) for edge in block_edges(cidr))
    ports = {*_PORTS, *(port.port for pod in snapshot.pods for port in pod.ports)}
    ports.update(edge for policy in known for span in _spans(policy) for edge in port_edges(*span))
    points = [(proto, port) for proto in sorted(PORTED) for port in sorted(ports)]
    return Boundaries(in_order(addresses), (*points, (ICMP, 0), *((proto, 0) for proto in OTHERS)))


def _blocks(policy: AnyPolicy) -> Iterator[str]:
    if isinstance(policy, NetworkPolicy):
        peers = [peer for rule in policy.spec.ingress or () for peer in rule.from_ or ()]
        peers += [peer for rule in policy.spec.egress or () for peer in rule.to or ()]
        for block in (peer.ip_block for peer in peers if peer.ip_block is not None):
            yield block.cidr
            yield from block.except_ or ()
    else:
        for rule in policy.spec.egress or ():
            for peer in rule.to:
                yield from peer.networks or ()


def _spans(policy: AnyPolicy) -> Iterator[tuple[int, int]]:
    """Every number and range of ports that the policy names."""
    for rule in (*(policy.spec.ingress or ()), *(policy.spec.egress or ())):
        if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
            for wanted in rule.protocols or ():
                for match in (wanted.tcp, wanted.udp, wanted.sctp):
                    port = None if match is None else match.destination_port
                    if port is not None and port.number is not None:
                        yield port.number, port.number
                    if port is not None and port.range is not None:
                        yield port.range.start, port.range.end
        elif isinstance(rule, _V1ALPHA1):
            for listed in rule.ports or ():
                if listed.port_number is not None:
                    yield listed.port_number.port, listed.port_number.port
                if listed.port_range is not None:
                    yield listed.port_range.start, listed.port_range.end
        else:
            for listed_v1 in rule.ports or ():
                if isinstance(listed_v1.port, int):
                    yield listed_v1.port, listed_v1.end_port or listed_v1.port
