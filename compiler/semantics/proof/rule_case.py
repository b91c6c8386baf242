"""Whether a rule of a program is about one packet: ends, ports and what else it asks, one by one.

The same as `rule_diagram` for all packets.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import assert_never

from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    MessageType,
    NamedPort,
    Nodes,
    Pods,
    PortRange,
    PortSpec,
    Routed,
    Rule,
    ThisNode,
    WholeProtocol,
    Within,
)
from compiler.semantics.diagrams.space import Path
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet
from compiler.semantics.proof.case import Case, throw
from compiler.semantics.reading import selects
from compiler.semantics.rules.netfilter import WITH_PORTS, AddressType
from compiler.snapshot import Snapshot

_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_FAMILY = {ICMP: 4, ICMPV6: 6}
_ECHO = {ICMP: 8, ICMPV6: 128}
_TERMINAL = ("Succeeded", "Failed")


class RuleCases:
    """In a cluster. `holders` knows whose an address is."""

    def __init__(self, holders: Oracle, snapshot: Snapshot) -> None:
        self._holders, self._snapshot = holders, snapshot
        self._nodes = {name: set(node.own_ips) for name, node in snapshot.nodes.items()}
        for pod in (pod for pod in snapshot.pods if pod.host_network and pod.phase not in _TERMINAL):
            if pod.node:
                self._nodes.setdefault(pod.node, set()).update(pod.ips)

    def matches(self, rule: Rule | Within, case: Case) -> bool:
        """Whether the packet is of both ends and of the ports, and fares as the conditions want."""
        return (
            self._is(rule.source, case, source=True)
            and not (rule.unless is not None and self._is(rule.unless, case, source=True))
            and self._is(rule.target, case, source=False)
            and (rule.ports is None or any(self._at(port, case.packet) for port in rule.ports))
            and (not rule.states or case.state.name.lower() in rule.states)
            and (rule.marked is None or case.mark & rule.marked.mask == rule.marked.value)
            and (not rule.source_ports or _from(rule.source_ports, case.packet))
            and (rule.chance in (None, 1) or case.others.get(throw(rule), False))
        )

    def _is(self, end: End, case: Case, source: bool) -> bool:
        """Whether the packet's source, or its target, is of the end."""
        text = case.packet.src if source else case.packet.dst
        match end:
            case Anyone():
                return True
            case Addresses(first=first, last=last):
                address = ip_address(text)
                return address.version == first.version and int(first) <= int(address) <= int(last)
            case ThisNode():
                own = case.source_type if source else case.destination_type
                return case.path is (Path.OUTPUT if source else Path.INPUT) or own is AddressType.LOCAL
            case Pods():
                return self._is_pod(end, text)
            case Nodes(labels=labels):
                return any(text in self._nodes[name] and selects(labels, self._labels(name)) for name in self._nodes)
            case Interfaces(names=wanted):
                if case.path is (Path.OUTPUT if source else Path.INPUT):  # has none
                    return False
                name = case.input if source else case.output
                return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in wanted)
            case Routed(kind=kind):
                found = case.source_type if source else case.destination_type
                return found.name.lower() == kind
            case Either(ends=ends):
                return any(self._is(one, case, source) for one in ends)
            case Both(ends=ends):
                return all(self._is(one, case, source) for one in ends)
            case Less(end=inner, without=without):
                return self._is(inner, case, source) and not self._is(without, case, source)
            case _:
                assert_never(end)

    def _is_pod(self, end: Pods, address: str) -> bool:
        pod = self._holders.holder(address)
        if pod is None or not selects(end.labels, pod.labels):
            return False
        if isinstance(end.namespaces, str):
            return pod.namespace == end.namespaces
        return selects(end.namespaces, self._holders.namespace_labels(pod.namespace), absent=True)

    def _labels(self, node: str) -> dict[str, str]:
        found = self._snapshot.nodes.get(node)
        return dict(found.labels) if found else {}

    def _at(self, port: PortSpec, packet: Packet) -> bool:
        if packet.proto != port.protocol:
            return False
        match port:
            case PortRange(first=first, last=last):
                return first <= packet.dport <= last
            case NamedPort(name=name, protocol=protocol):
                pod = self._holders.holder(packet.dst)
                return pod is not None and any(
                    own.name == name and _PROTOCOLS[own.protocol] == protocol and own.port == packet.dport
                    for own in pod.ports
                )
            case MessageType(type=wanted, protocol=protocol):
                found = _ECHO[protocol] if packet.icmp_type is None else packet.icmp_type
                return packet.version == _FAMILY[protocol] and found == wanted
            case WholeProtocol():
                return True
            case _:
                assert_never(port)


def _from(ports: tuple[tuple[int, int], ...], packet: Packet) -> bool:
    return packet.proto in WITH_PORTS and any(first <= packet.sport <= last for first, last in ports)
