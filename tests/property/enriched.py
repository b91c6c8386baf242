"""Random programs made richer, as values: lists in lists, conditions, statements that decide nothing, other lists."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from compiler.resources.language import (
    Both,
    End,
    Interfaces,
    Item,
    Less,
    Log,
    Marked,
    Opaque,
    PortRange,
    Program,
    Routed,
    Rule,
    ThisNode,
    Within,
)
from compiler.semantics.proof.program_ends import every_part, names
from grammar.source import Span

#: What a text of iptables asks, with and without matches that depend on more than the packet.
AS_WRITTEN = {
    "iptables": (
        "-p tcp -m tcp --dport 80 -m recent --name n --update --seconds 60 -j DROP",
        "-p tcp -m tcp --dport 80 -m recent --name n --update --seconds 60 -j DROP",
        "-m length --length 100:200 -j DROP",
        "-m length --length 100:200 -j RETURN",
        "-m limit --limit 25/sec -j RETURN",
        "-m hashlimit --hashlimit-name h --hashlimit-upto 5/sec -j ACCEPT",
        "-p udp -j REJECT",
        "-m recent --name n --set",
        "-j DROP",
    ),
    "nft": (
        "tcp dport { 80, 443 } limit rate over 5/second drop",
        "tcp dport { 80, 443 } limit rate over 5/second drop",
        "ip length 100-200 drop",
        "ip length 100-200 return",
        "limit rate 25/second return",
        "meta l4proto udp limit rate 5/second accept",
        "meta l4proto udp reject",
        "quota over 1 mbytes drop",
        "counter",
    ),
}
_MASKS = ((0x10, 0x10), (0x0, 0xF0), (0x2, 0x3))


class Enricher:
    """`tool`: whose rules are among those of node and forward lists ("": none)."""

    def __init__(self, random: Random, tool: str = "iptables") -> None:
        self._random, self._tool = random, tool
        self._lines = 10_000

    def often(self, share: float) -> bool:
        return self._random.random() < share

    def program(self, program: Program) -> Program:
        """The node's rules become lists of the node and of what it forwards, and packets lists of both."""
        own = [item for item in program.node if isinstance(item, Rule)]
        rules = [rule for b in program.policies for rule in b.rules if isinstance(rule, Rule) and b.tier == "admin"]
        policies = [
            b.model_copy(update={"rules": self._items(self._rules(b.rules), False, "")}) if b.tier == "admin" else b
            for b in program.policies
        ]
        some = [rule for rule in (*rules, *own) if self.often(0.5) and not _says_self(rule)]
        others = [rule for rule in (*rules, *own) if self.often(0.3) and not _says_self(rule)]
        mine = [rule for rule in own if self.often(0.5)]
        lists = {
            "policies": tuple(policies),
            "node": self._items(own, False, "node"),
            "forward": self._items(some, False, "forward"),
            "node_packets": self._items(mine, True, "node"),
            "forward_packets": self._items(others, True, "forward"),
        }
        return program.model_copy(update=lists)

    def _rules(self, items: Sequence[Item]) -> list[Rule]:
        return [item for item in items if isinstance(item, Rule)]

    def _items(self, rules: Sequence[Rule], packets: bool, of: str, depth: int = 0) -> tuple[Item, ...]:
        found: list[Item] = []
        at = 0
        while at < len(rules):
            if depth < 3 and at + 1 < len(rules) and self.often(0.3):
                head, many = rules[at], self._random.randint(1, 4)
                inner = [self._inside(rule, head) for rule in rules[at + 1 : at + 1 + many]]
                asked = {name: getattr(head, name) for name in ("source", "target", "ports", "unless")}
                asked |= self._asks(packets, _is_plain(head))
                items = self._items(inner, packets, of, depth + 1)
                found.append(Within(items=items, text="within", span=self._place(), **asked))
                at += 1 + many
            else:
                found.append(self._changed(rules[at], packets))
                at += 1
            if self._tool and of and self.often(0.1):
                texts = [one for one in AS_WRITTEN[self._tool] if not (packets and one.lower().endswith("accept"))]
                hooks = {"node": self._random.choice(("input", "output"))}
                text, hook = self._random.choice(texts), None if depth else hooks.get(of)
                found.append(
                    Opaque(name="x", tool=self._tool, hook=hook, rule=text, text=text, span=self._place())  # type: ignore[arg-type]
                )
        return tuple(found)

    def _inside(self, rule: Rule, head: Rule) -> Rule:
        """What a head says of `self` need not be said again."""
        if names(head.target, ThisNode) and self.often(0.5):
            return rule.model_copy(update={"source": head.source if self.often(0.5) else rule.source})
        return rule

    def _changed(self, rule: Rule, packets: bool) -> Rule:
        verb = rule.verb
        if self.often(0.25):
            verb = self._random.choice(("log", "leave", "leave"))
        more: dict[str, object] = {"verb": verb, "answer": rule.answer if verb == "reject" else None}
        if verb == "log":
            more["log"] = Log(prefix="met", kernel=self.often(0.5))
        if self.often(0.1):
            more["source"] = self._routed(rule.source)
        if self.often(0.1):
            more["target"] = self._routed(rule.target)
        asked = self._asks(packets, _is_plain(rule) and not more.keys() & {"source", "target"})
        return rule.model_copy(update={**more, **asked, "span": self._place()})

    def _routed(self, end: End) -> End:
        kind = Routed(kind=self._random.choice(("local", "broadcast", "multicast")))
        return Both(ends=(end, kind)) if self.often(0.5) else Less(end=end, without=kind)

    def _asks(self, packets: bool, plain: bool) -> dict[str, object]:
        """What a rule asks beside ends and ports; `plain`: it may be left to chance."""
        found: dict[str, object] = {}
        if self.often(0.2):
            states = ("new", "invalid", "untracked", *(("established", "related") * packets))
            found["states"] = tuple(self._random.sample(states, 2))
        if self.often(0.15):
            value, mask = self._random.choice(_MASKS)
            found["marked"] = Marked(value=value, mask=mask)
        if self.often(0.15):
            found["source_ports"] = ((40000, 40010),)
            found["ports"] = (PortRange(protocol=6, first=0, last=65535),)
        if plain and self.often(0.15):
            found["chance"] = self._random.choice((2, 3, 10))
        return found

    def _place(self) -> Span:
        self._lines += 1
        return Span("rich.np", self._lines, 1, self._lines, 2)


def _is_plain(rule: Rule) -> bool:
    """Whether each end is addresses alone, so that a packet can be of it in one way only."""
    ends = (rule.source, rule.target, *([] if rule.unless is None else [rule.unless]))
    return not any(isinstance(one, Interfaces) for end in ends for one in every_part(end))


def _says_self(rule: Rule) -> bool:
    return names(rule.target, ThisNode) or names(rule.source, ThisNode)
