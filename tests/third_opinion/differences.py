"""Where network-config-analyzer 2.1.0 is known to say something else than the oracle, and why.

In all of these the oracle allows and the analyzer denies. Each is looked for in what decided the connection, so that
it excuses nothing else.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address, ip_network

from compiler.resources import NetworkPolicy, networkpolicy
from compiler.semantics.oracle import Oracle, namespace_of, sides
from compiler.semantics.packet import Packet
from compiler.semantics.reading import selects
from compiler.semantics.verdict import AnyPolicy, Because, Direction, Ruling


class Difference(Enum):
    """The value is the reason."""

    OWN_NODE = "it knows no nodes; a node always reaches its own pods"
    BLOCK_OF_PODS = "it knows no addresses of pods; an ipBlock matches addresses, whoever holds them"
    EXISTS_ABROAD = "with Exists or DoesNotExist a podSelector beside a namespaceSelector selects at home only"
    EMPTY_EGRESS = "without policyTypes it takes `egress: []` for Egress, the API only what has a rule"


def explain(packet: Packet, oracle: Oracle, policies: tuple[AnyPolicy, ...]) -> Difference | None:
    """Why the analyzer denies what the oracle allows; None: for no known reason."""
    found = oracle.connection(packet)
    if found.ingress.because is Because.OWN_NODE:
        return Difference.OWN_NODE
    for direction, ruling, other in (
        (Direction.EGRESS, found.egress, packet.dst),
        (Direction.INGRESS, found.ingress, packet.src),
    ):
        if ruling.because is Because.RULE:
            known = _of_rule(ruling, direction, other, oracle)
            if known is not None:
                return known
    if found.egress.because is Because.UNDECIDED and any(_is_empty(p, packet.src, oracle) for p in policies):
        return Difference.EMPTY_EGRESS
    return None


def _of_rule(ruling: Ruling, direction: Direction, other: str, oracle: Oracle) -> Difference | None:
    (policy,) = ruling.policies
    assert isinstance(policy, NetworkPolicy)
    assert ruling.rule is not None
    peers, _ = list(sides(policy.spec, direction))[ruling.rule]
    holder = oracle.holder(other)
    if holder is not None and any(_has(peer.ip_block, other) for peer in peers or ()):
        return Difference.BLOCK_OF_PODS
    if holder is not None and holder.namespace != namespace_of(policy) and any(map(_asks_for_keys, peers or ())):
        return Difference.EXISTS_ABROAD
    return None


def _has(block: networkpolicy.IPBlock | None, address: str) -> bool:
    return block is not None and ip_address(address) in ip_network(block.cidr)


def _asks_for_keys(peer: networkpolicy.Peer) -> bool:
    wanted = (peer.pod_selector and peer.pod_selector.match_expressions) or ()
    return peer.namespace_selector is not None and any(one.operator in ("Exists", "DoesNotExist") for one in wanted)


def _is_empty(policy: AnyPolicy, source: str, oracle: Oracle) -> bool:
    pod = oracle.holder(source)
    return (
        pod is not None
        and isinstance(policy, NetworkPolicy)
        and not policy.spec.policy_types
        and policy.spec.egress == ()
        and namespace_of(policy) == pod.namespace
        and selects(policy.spec.pod_selector, pod.labels, absent=True)
    )
