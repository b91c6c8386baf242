"""Ports that nobody serves. Only where the pods at the destination say what they serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.analysis.lint.findings import Entry, Finding, Level, World, listed
from compiler.net import PROTOCOL_NAMES, PROTOCOLS
from compiler.policy import Anyone, Direction, NamedPort, PodSelector, Rule
from compiler.resources.cluster import Pod


def port_not_served(world: World) -> Iterator[Finding]:
    """A port or range of which no pod at the destination declares any, though all of them declare ports."""
    for entry in world.entries:
        for direction, index, rule in entry.rules():
            pods = _servers(world, entry, direction, rule)
            if not pods or not all(pod.ports for pod in pods):
                continue
            for protocol, first, last in rule.ports.spans:
                served = ((PROTOCOLS[p.protocol], p.port) for pod in pods for p in pod.ports)
                if not any(number == protocol and first <= port <= last for number, port in served):
                    span = f"{first}" if first == last else f"{first}-{last}"
                    text = f"no pod at the destination serves {span}/{PROTOCOL_NAMES[protocol].upper()}: {_shown(pods)}"
                    yield entry.finding(Level.WARNING, "port-not-served", text, _path(entry, direction, index))


def named_port_unknown(world: World) -> Iterator[Finding]:
    """A port name that no pod at the destination has, or that stands beside blocks alone, where names mean nothing."""
    for entry in world.entries:
        for direction, index, rule in entry.rules():
            pods = _servers(world, entry, direction, rule)
            for wanted in rule.ports.named:
                path = _path(entry, direction, index)
                if direction is Direction.EGRESS and not any(isinstance(p, PodSelector | Anyone) for p in rule.peers):
                    text = f"the {wanted} matches nothing: only pods matched by a selector have named ports"
                    yield entry.finding(Level.ERROR, "named-port-unknown", text, path)
                elif pods and not any(_has(pod, wanted) for pod in pods):
                    text = f"no pod at the destination has a {wanted}: {_shown(pods)}"
                    yield entry.finding(Level.ERROR, "named-port-unknown", text, path)


def _has(pod: Pod, wanted: NamedPort) -> bool:
    return any(port.name == wanted.name and wanted.protocol in (None, PROTOCOLS[port.protocol]) for port in pod.ports)


def _servers(world: World, entry: Entry, direction: Direction, rule: Rule) -> Sequence[Pod]:
    """The kinds of pods at the destination of a rule; none where others than pods may be there."""
    if direction is Direction.INGRESS:
        return world.members(entry.model.subject)
    if not all(isinstance(peer, PodSelector) for peer in rule.peers):
        # Names are looked up on pods alone, so that addresses beside them do not matter to names.
        only_names = not rule.ports.spans and not rule.ports.everything
        if not only_names or any(isinstance(peer, Anyone) for peer in rule.peers):
            return world.kinds if only_names else ()
    return tuple(pod for peer in rule.peers if isinstance(peer, PodSelector) for pod in world.members(peer))


def _shown(pods: Sequence[Pod]) -> str:
    served = dict.fromkeys(
        f"{p.port}/{p.protocol}" + (f" ({p.name})" if p.name else "") for pod in pods for p in pod.ports
    )
    names = listed(sorted({f"{pod.namespace}/{pod.name}" for pod in pods}))
    return f"{names} serve {listed(list(served), 8) or 'nothing'}"


def _path(entry: Entry, direction: Direction, index: int) -> tuple[str | int, ...]:
    field = "protocols" if entry.model.origin.kind == "ClusterNetworkPolicy" else "ports"
    return ("spec", direction.value, index, field)
