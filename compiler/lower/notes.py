"""What a reader of the script wants to know of a class: its pods, its policies, the rules behind it."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.net import PROTOCOL_NAMES, Family, address_text
from compiler.policy import Ports
from compiler.resolve.classes import Clause, PodClass

_SHOWN = 8  # pods or peers listed one by one before "and N more"


def class_notes(pods: PodClass, family: Family) -> tuple[str, ...]:
    """Lines without line breaks; no line depends on anything but the class."""
    return tuple(_lines(pods, family))


def _lines(pods: PodClass, family: Family) -> Iterator[str]:
    yield _title(pods)
    yield f"addresses {shortened([address_text(family, a) for a in pods.addresses(family)])}"
    for policy in pods.policies:
        rules = [clause for clause in pods.clauses if clause.rule in policy.rules(pods.direction)]
        tier = policy.tier.name.lower()
        yield f"{tier} {policy.origin}" + ("" if rules else ": no rule, allows nothing")
        yield from (f"  {_rule(clause)}" for clause in rules)


def set_notes(what: str, pods: PodClass) -> tuple[str, ...]:
    """For a set or map that one class asks: what it holds, whose it is, and by which policies."""
    return f"{_title(pods)}: {what}", f"by {shortened([str(policy.origin) for policy in pods.policies])}"


def _title(pods: PodClass) -> str:
    return f"{pods.direction.value} of {shortened([f'{pod.namespace}/{pod.name}' for pod in pods.pods])}"


def _rule(clause: Clause) -> str:
    rule = clause.rule
    peers = shortened([str(peer) for peer in rule.peers]) if rule.peers else "nobody"
    return f"{rule.origin.place} line {rule.origin.span.line}: {rule.action.value} {peers}, {ports_text(rule.ports)}"


def ports_text(ports: Ports) -> str:
    """What a rule says of ports, in few words."""
    if ports.everything:
        return "any port"
    shown = []
    for protocol, first, last in ports.spans:
        name = PROTOCOL_NAMES.get(protocol, f"protocol {protocol}")
        span = "" if (first, last) == (0, 65535) else f"/{first}" if first == last else f"/{first}-{last}"
        shown.append(f"{name}{span}")
    return shortened([*shown, *map(str, ports.named)])


def shortened(items: list[str]) -> str:
    """`a, b, c and 12 more`; "none" for no items."""
    if not items:
        return "none"
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
