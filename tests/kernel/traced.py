"""The tracer beside the kernel: reads what was loaded, or what the kernel shows of it, and asks it about packets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from compiler.semantics.packet import Packet
from compiler.semantics.rules import reads_ipset, reads_iptables, reads_nftables
from compiler.semantics.rules.journey import Route, Situation, Trace
from compiler.semantics.rules.netfilter import Ruleset, State, Table
from compiler.semantics.rules.trace import Tracer
from grammar.source import Source
from tests.kernel.pools import UDPLITE
from tests.kernel.rig import NODE, Rig

_FAMILIES = {"iptables.save": 4, "ip6tables.save": 6}
#: Where the rig puts packets in, by the name of its method, and what it marks those of the node's own with.
ROUTES = {"forwarded": Route.ARRIVES, "delivered": Route.ARRIVES, "sent": Route.SENT}
_RIG_MARK = 0x7267


def tables(files: Mapping[str, str]) -> tuple[Table, ...]:
    """What files of the names that the rig loads say."""
    sets = reads_ipset.read(Source("ipset.save", files.get("ipset.save", "")))
    found: list[Table] = []
    for name, text in files.items():
        if name in _FAMILIES:
            found += reads_iptables.read(Source(name, text), _FAMILIES[name], sets)
        elif name != "ipset.save":
            found += reads_nftables.read(Source(name, text))
    return tuple(found)


def beside(rig: Rig) -> dict[str, str]:
    """What the rig itself has loaded, which keeps the node's own stack quiet."""
    return {"rig.nft": rig.namespace.run("nft", "list", "table", "inet", "rig")}


def shown(rig: Rig, flavour: str, numeric: bool = False) -> dict[str, str]:
    """What the kernel has, as the tools print it; all of it. `numeric`: nft in numbers, with handles."""
    run = rig.namespace.run
    if flavour == "nftables":
        return {"netpolc.nft": run("nft", *(("-nn", "-a") if numeric else ()), "list", "ruleset")}
    variant = flavour.removeprefix("iptables-")
    return {
        **beside(rig),
        "ipset.save": run("ipset", "save"),
        "iptables.save": run(f"iptables-{variant}-save", "-c"),
        "ip6tables.save": run(f"ip6tables-{variant}-save"),
    }


class Traced:
    """Answers as the rig does: one for each packet."""

    def __init__(self, files: Mapping[str, str], own: Iterable[str] = NODE, *, limits: bool | None = None) -> None:
        """`limits`: what every match that counts says; None when the rules have none."""
        answers = None if limits is None else lambda _, __: limits
        self._tracer = Tracer(Ruleset(tables(files)), answers)
        self._own = frozenset(own)

    def verdicts(self, way: str, packets: Sequence[Packet]) -> list[bool]:
        return [self.trace(way, packet).passed for packet in packets]

    def trace(self, way: str, packet: Packet) -> Trace:
        sent = ROUTES[way] is Route.SENT
        found = Situation(
            packet,
            ROUTES[way],
            self._own,
            input="" if sent else "tin",
            output="" if way == "delivered" else "tout",
            # The rig's UDP-Lite has no checksum, which conntrack does not take.
            state=State.INVALID if packet.proto == UDPLITE else None,
            mark=_RIG_MARK if sent else 0,
        )
        return self._tracer.trace(found)


def explained(trace: Trace) -> str:
    """For messages of tests: every chain on the way, and the rules that did something."""
    lines = []
    for stop in trace.stops:
        lines.append(f"{stop.hook.value} {stop.chain.name}: {'passed' if stop.passed else 'dropped'}")
        for step in stop.steps:
            found = f"  [{step.element.place.text}]" if step.element else ""
            lines.append(f"    {step.rule.place.span}: {step.rule.place.text}{found}")
    return "\n".join(lines)
