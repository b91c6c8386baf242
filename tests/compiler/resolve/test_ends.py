"""Ends as alternatives, against the sets that their expressions say, point by point."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import Family, parse_address
from compiler.resolve.ends import Alternative, Ends, Here, Side
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Node, Pod
from compiler.resources.labels import LabelSelector, LabelSelectorRequirement
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    Nodes,
    Pods,
    ThisNode,
)
from compiler.snapshot import Snapshot, build
from tests.compiler.worlds import UNIVERSE, worlds

NAMES = ("eth0", "eth1", "eth", "wg0", "wg10", "wg1", "lo")
PATTERNS = (*NAMES, "eth*", "wg*", "wg1*", "*")
SIDES = [Side(here, interfaces) for here in Here for interfaces in (True, False)]


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
leaves: st.SearchStrategy[End] = st.one_of(
    ranges(),
    ranges(),
    st.just(Anyone()),
    st.just(ThisNode()),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(lambda names: Interfaces(names=tuple(names))),
    st.builds(lambda space, labels: Pods(namespaces=space, labels=labels), st.sampled_from([None, "x"]), selectors),
    st.builds(lambda labels: Nodes(labels=labels), selectors),
)
ends: st.SearchStrategy[End] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda found: Either(ends=tuple(found)), st.lists(inner, max_size=3)),
        st.builds(lambda found: Both(ends=tuple(found)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda end, cut: Less(end=end, without=cut), inner, inner),
    ),
    max_leaves=6,
)


def named(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def is_at(end: End, address: str, name: str, own: bool, side: Side, cluster: Snapshot) -> bool:
    """What the expression says of one point."""

    def ask(one: End) -> bool:
        match one:
            case Addresses(first=first, last=last):
                here = ip_address(address)
                return here.version == first.version and int(first) <= int(here) <= int(last)
            case Anyone():
                return True
            case ThisNode():
                return own if side.here is Here.ASKED else side.here is Here.ALWAYS
            case Interfaces(names=names):
                return side.interfaces and any(named(pattern, name) for pattern in names)
            case Pods(namespaces=space, labels=labels):
                holders = [pod for pod in cluster.pods if pod.holds_addresses and address in pod.ips]
                return any(space in (None, pod.namespace) and has(pod.labels, labels) for pod in holders)
            case Nodes(labels=labels):
                known = {name: (node.labels, set(node.own_ips)) for name, node in cluster.nodes.items()}
                for pod in cluster.pods:
                    if pod.host_network and pod.phase == "Running":
                        known.setdefault(pod.node, ({}, set()))[1].update(pod.ips)
                return any(address in ips and has(own, labels) for own, ips in known.values())
            case Either(ends=inner):
                return any(map(ask, inner))
            case Both(ends=inner):
                return all(map(ask, inner))
            case Less(end=whole, without=cut):
                return ask(whole) and not ask(cut)

    return ask(end)


def has(labels: object, wanted: LabelSelector) -> bool:
    assert isinstance(labels, dict)
    return all(labels.get(one.key) in (one.values or ()) for one in wanted.match_expressions or ())


def holds(one: Alternative, address: str, name: str, own: bool, side: Side) -> bool:
    value = parse_address(address)[1]
    by = one.interface is None or (side.interfaces and named(one.interface, name))
    cut = any(named(pattern, name) for pattern in one.outside)
    return by and not cut and one.local in (None, own) and any(low <= value <= high for low, high in one.addresses)


@settings(deadline=None, max_examples=300)
@given(world=worlds(), end=ends, side=st.sampled_from(SIDES), data=st.data())
def test_alternatives_are_what_the_expression_says(world, end, side, data) -> None:  # type: ignore[no-untyped-def]
    cluster = world.snapshot
    resolved = Ends(Inventory(cluster), None)
    for family in Family:
        found = resolved.alternatives(end, family, side)
        for address in data.draw(st.lists(st.sampled_from(UNIVERSE[family]), min_size=8, max_size=8, unique=True)):
            for name in NAMES:
                for own in (True, False):
                    expected = is_at(end, address, name, own, side, cluster)
                    assert any(holds(one, address, name, own, side) for one in found) is expected


class TestFew:
    """What rules are made of is as little as can be."""

    resolved = Ends(Inventory(build()), None)
    side = Side(Here.ASKED)

    def few(self, end: End) -> list[tuple[str | None, tuple[str, ...], bool | None]]:
        return [(a.interface, a.outside, a.local) for a in self.resolved.alternatives(end, Family.IPV4, self.side)]

    def test_nothing_is_asked_of_anyone(self) -> None:
        assert self.few(Anyone()) == [(None, (), None)]
        assert self.few(Either(ends=())) == []
        assert self.few(Either(ends=(Anyone(), Interfaces(names=("eth0",))))) == [(None, (), None)]

    def test_patterns_inside_of_patterns(self) -> None:
        assert self.few(Interfaces(names=("wg0", "wg*", "eth0"))) == [("wg*", (), None), ("eth0", (), None)]
        cut = Less(end=Interfaces(names=("wg*",)), without=Interfaces(names=("wg1*",)))
        assert self.few(cut) == [("wg*", ("wg1*",), None)]

    def test_exceptions(self) -> None:
        assert self.few(Less(end=Anyone(), without=Interfaces(names=("eth0",)))) == [(None, ("eth0",), None)]
        assert self.few(Less(end=Anyone(), without=ThisNode())) == [(None, (), False)]
        assert self.few(Less(end=Anyone(), without=Interfaces(names=("*",)))) == []


def test_pods_of_this_node() -> None:
    pods = [
        Pod("x", "a", ips=("10.0.0.2", "fd00::2"), node="n1"),
        Pod("x", "b", ips=("10.0.0.1",), node="n2"),
        Pod("x", "c", ips=("10.0.0.9",), node="n1", host_network=True),
        Pod("x", "d", ips=("10.0.0.7",), node="n1"),
        Pod("x", "e", ips=("10.0.0.7",), node="n1"),
    ]
    inventory = Inventory(build(pods, nodes=[Node("n1")]))
    assert Ends(inventory, "n1").own_pods(Family.IPV4) == (parse_address("10.0.0.2")[1],)
    assert len(Ends(inventory, None).own_pods(Family.IPV4)) == 2
