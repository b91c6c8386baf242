"""Random programs of the policy language as values, and packets that they ask about; `reading` says what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Literal

from hypothesis import strategies as st

from compiler.net import Family, parse_address
from compiler.resources.labels import LabelSelector, LabelSelectorRequirement
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Item,
    Less,
    Log,
    Marked,
    MessageType,
    NamedPort,
    Nodes,
    Pods,
    PolicyBlock,
    PortRange,
    PortSpec,
    Program,
    Rate,
    Routed,
    Rule,
    ThisNode,
    WholeProtocol,
    Within,
)
from compiler.semantics.packet import ICMPV6, PORTED, Packet
from grammar.source import Span
from tests.compiler.worlds import UNIVERSE

#: Names of interfaces that packets come and go by.
NAMES = ("eth0", "eth1", "eth", "wg0", "wg10", "wg1", "lo")
PATTERNS = (*NAMES, "eth*", "wg*", "wg1*", "*")


def every_rule(items: Iterable[Item]) -> Iterator[Rule]:
    """Every rule of a list, those of lists inside of it in their places."""
    for item in items:
        if isinstance(item, Rule):
            yield item
        elif isinstance(item, Within):
            yield from every_rule(item.items)


def selector(**labels: str) -> LabelSelector:
    wanted = [LabelSelectorRequirement(key=key, operator="In", values=(value,)) for key, value in labels.items()]
    return LabelSelector(matchExpressions=wanted)


@st.composite
def ranges(draw: st.DrawFn) -> Addresses:
    family = draw(st.sampled_from(list(Family)))
    low, high = sorted(parse_address(draw(st.sampled_from(UNIVERSE[family])))[1] for _ in range(2))
    kind = type(ip_address("::" if family is Family.IPV6 else "0.0.0.0"))
    return Addresses(first=kind(low), last=kind(high))


selectors = st.sampled_from([LabelSelector(), selector(app="a"), selector(app="b"), selector(role="a")])
named = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(lambda names: Interfaces(names=tuple(names)))
pods = st.builds(lambda space, labels: Pods(namespaces=space, labels=labels), st.sampled_from([None, "x"]), selectors)
leaves: st.SearchStrategy[End] = st.one_of(
    ranges(),
    ranges(),
    st.just(Anyone()),
    st.just(ThisNode()),
    named,
    pods,
    st.builds(lambda labels: Nodes(labels=labels), selectors),
)
ends: st.SearchStrategy[End] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda found: Either(ends=tuple(found)), st.lists(inner, max_size=3)),
        st.builds(lambda found: Both(ends=tuple(found)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda end, cut: Less(end=end, without=cut), inner, inner),
    ),
    max_leaves=5,
)
#: More often wide than not: rules that match nothing test nothing.
some_ends = st.just(Anyone()) | st.builds(lambda end: Less(end=Anyone(), without=end), leaves) | ends

_ported = st.sampled_from((6, 6, 17, 132))
_named_ports = st.builds(
    lambda proto, name: NamedPort(protocol=proto, name=name), _ported, st.sampled_from(("http", "dns"))
)
port_specs: st.SearchStrategy[PortSpec] = st.one_of(
    st.builds(
        lambda protocol, low, more: PortRange(protocol=protocol, first=low, last=low + more),
        _ported,
        st.integers(0, 5),
        st.sampled_from((0, 0, 1, 3)),
    ),
    _named_ports,
    _named_ports,
    st.builds(lambda kind: MessageType(protocol=1, type=kind), st.sampled_from((8, 0))),
    st.builds(lambda kind: MessageType(protocol=58, type=kind), st.sampled_from((128, 135))),
    st.builds(lambda protocol: WholeProtocol(protocol=protocol), st.sampled_from((1, 6, 17, 47, 58))),
)


@st.composite
def rules(draw: st.DrawFn, number: int, source: End | None = None, target: End | None = None) -> Rule:
    """A rule whose text and log prefix are its number."""
    verb: Literal["allow", "deny", "reject", "pass"] = draw(
        st.sampled_from(("allow", "deny", "deny", "reject", "pass"))
    )
    ports = draw(st.none() | st.lists(port_specs, min_size=1, max_size=draw(st.sampled_from((1, 2, 6)))).map(tuple))
    answers = ("icmp-admin-prohibited", "icmp-host-prohibited", "icmp-proto-unreachable", None)
    limit = st.none() | st.just(Rate(count=5, unit="minute"))
    log = draw(st.none() | st.none() | st.builds(lambda at: Log(prefix=f"<{number}>", limit=at), limit))
    return Rule(
        verb=verb,
        source=draw(some_ends) if source is None else source,
        target=draw(some_ends) if target is None else target,
        ports=ports,
        unless=draw(st.none() | st.none() | ends),
        log=log,
        answer=draw(st.sampled_from(answers)) if verb == "reject" else None,
        text=f"{verb} {number}",
        span=Span("p.np", number + 1, 1, number + 1, 2),
    )


#: Ends of the baseline tier, which has nothing in front of the policies of pods.
addressed = st.recursive(
    st.one_of(ranges(), ranges(), st.just(Anyone()), pods, st.builds(lambda labels: Nodes(labels=labels), selectors)),
    lambda inner: st.one_of(
        st.builds(lambda found: Either(ends=tuple(found)), st.lists(inner, max_size=3)),
        st.builds(lambda found: Both(ends=tuple(found)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda end, cut: Less(end=end, without=cut), inner, inner),
    ),
    max_leaves=4,
)


@st.composite
def baseline_blocks(draw: st.DrawFn) -> list[PolicyBlock]:
    """Of the priorities that objects of the tier have in `worlds`, and around them."""
    blocks = []
    for n in draw(st.permutations(range(draw(st.integers(0, 2))))):
        rules = []
        for i in range(draw(st.integers(1, 3))):
            verb: Literal["allow", "deny", "pass"] = draw(st.sampled_from(("allow", "deny", "deny", "pass")))
            rule = Rule(
                verb=verb,
                source=draw(st.just(Anyone()) | addressed),
                target=draw(st.just(Anyone()) | addressed),
                ports=draw(st.none() | st.lists(port_specs, min_size=1, max_size=2).map(tuple)),
                unless=draw(st.none() | st.none() | addressed),
                text=f"{verb} d{n}.{i}",
                span=Span("p.np", 600 + 10 * n + i, 1, 600 + 10 * n + i, 2),
            )
            rules.append(rule)
        place = Span("p.np", 700 + n, 1, 700 + n, 2)
        priority = draw(st.integers(0, 4))
        blocks.append(
            PolicyBlock(name=f"d{n}", tier="baseline", priority=priority, rules=tuple(rules), text="", span=place)
        )
    return blocks


@st.composite
def programs(draw: st.DrawFn, baseline: bool = False) -> Program:
    """Blocks in no order, and a node's list in both directions."""
    number = 0
    blocks = draw(baseline_blocks()) if baseline else []
    for n in draw(st.permutations(range(draw(st.integers(0, 3))))):
        inner = [draw(rules(number + i)) for i in range(draw(st.integers(1, 3)))]
        number += len(inner)
        blocks.append(_block(draw, n, tuple(inner)))
    own = []
    for _ in range(draw(st.integers(0 if blocks else 1, 4))):
        own.append(_of_node(draw, draw(rules(number))))
        number += 1
    return Program(policies=tuple(blocks), node=tuple(own))


def _block(draw: st.DrawFn, n: int, items: tuple[Item, ...]) -> PolicyBlock:
    priority, place = draw(st.integers(0, 2)), Span("p.np", 500 + n, 1, 500 + n, 2)
    return PolicyBlock(name=f"b{n}", tier="admin", priority=priority, rules=items, text="", span=place)


def _of_node(draw: st.DrawFn, rule: Rule) -> Rule:
    """The rule with the node as one of its ends."""
    us: End = ThisNode() if draw(st.integers(0, 2)) else Both(ends=(ThisNode(), draw(leaves)))
    return rule.model_copy(update={draw(st.sampled_from(("source", "target"))): us})


_kinds = st.builds(lambda kind: Routed(kind=kind), st.sampled_from(("local", "broadcast", "multicast")))
_marks = st.sampled_from([Marked(value=1, mask=1), Marked(value=0, mask=2), Marked(value=2, mask=3)])


class Lists:
    """Draws lists in lists, each rule with a number of its own."""

    def __init__(self, draw: st.DrawFn, chance: bool) -> None:
        self._draw, self._chance, self._number = draw, chance, 0

    def program(self, blocks: Sequence[PolicyBlock]) -> Program:
        some = st.sampled_from((0, 0, 1, 2))
        admin = [_block(self._draw, n, self.items(self._draw(st.integers(1, 3)))) for n in range(self._draw(some))]
        return Program(
            policies=(*blocks, *admin),
            node=self.items(self._draw(some), of_node=True),
            forward=self.items(self._draw(some)),
            node_packets=self.items(self._draw(some), of_node=True, packets=True),
            forward_packets=self.items(self._draw(some), packets=True),
        )

    def items(self, count: int, of_node: bool = False, packets: bool = False, depth: int = 0) -> tuple[Item, ...]:
        return tuple(self._item(of_node, packets, depth) for _ in range(count))

    def _item(self, of_node: bool, packets: bool, depth: int) -> Item:
        rule = self._rule(packets)
        rule = _of_node(self._draw, rule) if of_node else rule
        if depth > 2 or self._draw(st.integers(0, 3)):
            return rule
        inner = self.items(self._draw(st.integers(1, 3)), of_node and self._draw(st.booleans()), packets, depth + 1)
        asked = {name: getattr(rule, name) for name in (*Within.model_fields,) if name in type(rule).model_fields}
        return Within(**asked | {"items": inner, "text": f"within {rule.text}"})

    def _rule(self, packets: bool) -> Rule:
        draw, number = self._draw, self._number
        self._number += 1
        rule = draw(rules(number))
        changed: dict[str, object] = {}
        if draw(st.integers(0, 3)) == 0:
            changed = {"verb": "leave", "answer": None, "log": None}
        elif draw(st.integers(0, 5)) == 0:
            changed = {"verb": "log", "answer": None, "log": Log(prefix=f"<{number}>")}
        if draw(st.integers(0, 5)) == 0:
            end = draw(st.sampled_from(("source", "target")))
            changed[end] = draw(_kinds | st.builds(lambda a, b: Less(end=a, without=b), some_ends, _kinds))
        if draw(st.integers(0, 4)) == 0:
            states = ("new", "invalid", "untracked", *(("established", "related") * packets))
            changed["states"] = tuple(draw(st.sets(st.sampled_from(states), min_size=1)))
        if draw(st.integers(0, 5)) == 0:
            changed["marked"] = draw(_marks)
        if draw(st.integers(0, 5)) == 0:
            changed["source_ports"] = draw(st.sampled_from((((4000, 4000),), ((1, 3999), (4001, 4001)))))
            changed["ports"] = (PortRange(protocol=draw(_ported), first=0, last=draw(st.sampled_from((3, 65535)))),)
        if self._chance and draw(st.integers(0, 5)) == 0:
            changed["chance"] = draw(st.sampled_from((1, 2, 7)))
        return rule.model_copy(update=changed)


@st.composite
def programs_of_lists(draw: st.DrawFn, chance: bool = True) -> Program:
    """With lists in lists, conditions, and every list that there is."""
    return Lists(draw, chance).program(draw(baseline_blocks()))


@st.composite
def packets(draw: st.DrawFn, family: Family, sources: Sequence[str], targets: Sequence[str]) -> Packet:
    """Of every protocol that `port_specs` can ask for."""
    source, target = draw(st.sampled_from(sources)), draw(st.sampled_from(targets))
    proto = draw(st.sampled_from((6, 6, 17, 132, 1, 58, 47)))
    if proto in PORTED:
        return Packet(source, target, proto, 4000, draw(st.integers(0, 6)))
    if proto == ICMPV6 and family is Family.IPV6 and draw(st.booleans()):
        return Packet(source, target, ICMPV6, icmp_type=135, hop_limit=draw(st.sampled_from((255, 64))))
    return Packet(source, target, proto)
