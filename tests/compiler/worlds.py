"""Random clusters and policies in a universe small enough to ask about all of it.

Addresses are those of two blocks of 32 and a few outside, ports a handful, labels two keys with two values: so that
selectors overlap, blocks nest and cut pods, ports adjoin, and a wrong answer cannot hide.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from compiler.net import SCTP, TCP, UDP, Family, Prefix, address_text, parse_address
from compiler.policy import (
    Action,
    Anyone,
    Block,
    Direction,
    Domains,
    NamedPort,
    NodeSelector,
    Peer,
    PodSelector,
    Policy,
    Ports,
    Requirement,
    Rule,
    Selector,
    Tier,
)
from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod
from compiler.snapshot import Snapshot, build
from tests.compiler.models import origin

ICMP = 1
_FIRST = {Family.IPV4: parse_address("10.0.0.0")[1], Family.IPV6: parse_address("fd00::")[1]}
_SIZE = 32
#: Every address that tests ask about, by family.
UNIVERSE = {
    family: tuple(
        address_text(family, value)
        for value in (*range(first - 1, first + _SIZE + 1), 0, (1 << family.bits) - 1)  # and outside on every side
    )
    for family, first in _FIRST.items()
}
#: Every (protocol, destination port) that tests ask about.
POINTS = (*((TCP, port) for port in (0, 1, 2, 3, 4, 5, 65535)), (UDP, 1), (UDP, 2), (UDP, 5), (SCTP, 2), (ICMP, 0))

NAMESPACES = ("x", "y")
NODES = ("n1", "n2")
_KEYS, _VALUES = ("app", "role"), ("a", "b")
_PROTOCOLS = (TCP, UDP, SCTP)
_PORT_NAMES = ("http", "dns")

labels = st.dictionaries(st.sampled_from(_KEYS), st.sampled_from(_VALUES))


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(("In", "In", "NotIn", "Exists", "DoesNotExist")))
    values = draw(st.sets(st.sampled_from(_VALUES), min_size=1)) if operator in ("In", "NotIn") else ()
    return Requirement(draw(st.sampled_from(_KEYS)), operator, tuple(sorted(values)))


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    found = draw(st.sets(requirements(), max_size=2))
    return Selector(tuple(sorted(found, key=lambda r: (r.key, r.operator, r.values))))


#: Everybody, more often than not: policies that select nobody test nothing.
wide_selectors = st.just(Selector()) | st.just(Selector()) | selectors()
pod_selectors = st.builds(PodSelector, st.sampled_from(NAMESPACES) | wide_selectors, wide_selectors)


@st.composite
def prefixes(draw: st.DrawFn, family: Family, shortest: int = 0) -> Prefix:
    """Of the universe; `shortest` is a length."""
    lengths = [n for n in (0, *range(family.bits - 5, family.bits + 1)) if n >= shortest]
    length = draw(st.sampled_from(lengths))
    shift = family.bits - length
    address = _FIRST[family] + draw(st.integers(0, _SIZE - 1))
    return Prefix(family.value, address >> shift << shift, length)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """ "Except values will be rejected if they are outside the cidr range"; they may nest and repeat."""
    family = draw(st.sampled_from(list(Family)))
    whole = draw(prefixes(family))
    cuts = draw(st.lists(prefixes(family, min(whole.length + 1, family.bits)), max_size=3))
    return Block(whole, tuple(cut for cut in cuts if whole.covers(cut) and cut != whole))


peers: st.SearchStrategy[Peer] = st.one_of(
    pod_selectors,
    pod_selectors,
    blocks(),
    blocks(),
    st.builds(NodeSelector, selectors()),
    st.just(Anyone()),
    st.just(Domains(("example.org",))),
)


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int, int]:
    low = draw(st.integers(1, 4))
    high = draw(st.sampled_from((low, low, low + 1, 4, 65535)))
    protocol = draw(st.sampled_from(_PROTOCOLS))
    return (protocol, 0, 65535) if draw(st.integers(0, 7)) == 0 else (protocol, low, max(low, high))


named_ports = st.builds(NamedPort, st.sampled_from(_PORT_NAMES), st.none() | st.sampled_from(_PROTOCOLS))
port_lists = st.one_of(
    st.just(Ports(everything=True)),
    st.builds(
        lambda spans, named: Ports(spans=tuple(spans), named=tuple(named)),
        st.lists(spans(), min_size=1, max_size=2),
        st.lists(named_ports, max_size=1),
    ),
    st.builds(lambda named: Ports(named=tuple(named)), st.lists(named_ports, min_size=1, max_size=2)),
)


@st.composite
def rules(draw: st.DrawFn, place: str, actions: tuple[Action, ...]) -> Rule:
    chosen = tuple(draw(st.lists(peers, min_size=1, max_size=2)))
    return Rule(draw(st.sampled_from(actions)), chosen, draw(port_lists), origin("p", place))


@st.composite
def policies(draw: st.DrawFn, number: int) -> Policy:
    """The policy of that number, which makes its name unique."""
    tier = draw(st.sampled_from((Tier.ADMIN, Tier.APPLICATION, Tier.APPLICATION, Tier.BASELINE)))
    application = tier is Tier.APPLICATION
    actions = (Action.ALLOW,) if application else tuple(Action)
    ingress, egress = (
        tuple(draw(rules(f"{field}[{n}]", actions)) for n in range(draw(st.sampled_from((0, 1, 1, 2, 2)))))
        for field in ("ingress", "egress")
    )
    namespace = draw(st.sampled_from(NAMESPACES))
    return Policy(
        tier=tier,
        priority=0 if application else draw(st.integers(1, 3)),
        subject=PodSelector(namespace if application else draw(wide_selectors), draw(wide_selectors)),
        isolates=frozenset(draw(st.sets(st.sampled_from(list(Direction)), min_size=1)) if application else ()),
        ingress=ingress,
        egress=egress,
        origin=origin(
            f"p{number}",
            kind="NetworkPolicy" if application else "ClusterNetworkPolicy",
            namespace=namespace if application else "",
        ),
    )


@st.composite
def pods(draw: st.DrawFn, number: int, offset: int) -> Pod:
    """The pod of that number, with the addresses at that offset."""
    held = draw(st.sampled_from(([4, 6], [4, 6], [4, 6], [4, 6], [4], [6], [])))
    kind = draw(st.sampled_from((*["own"] * 8, "host", "done")))
    declared = st.builds(
        ContainerPort,
        st.integers(1, 4),
        st.sampled_from(("TCP", "TCP", "UDP", "SCTP")),
        st.sampled_from((*_PORT_NAMES, "")),
    )
    return Pod(
        namespace=draw(st.sampled_from(NAMESPACES)),
        name=f"pod{number}",
        labels=draw(labels),
        ips=tuple(address_text(family, _FIRST[family] + offset) for family in Family if family.value in held),
        node=draw(st.sampled_from(NODES)),
        host_network=kind == "host",
        phase="Succeeded" if kind == "done" else "Running",
        ports=tuple(draw(st.lists(declared, max_size=2))),
    )


@dataclass(frozen=True, slots=True)
class World:
    """`policies` are in evaluation order."""

    policies: tuple[Policy, ...]
    snapshot: Snapshot


@st.composite
def worlds(draw: st.DrawFn, most_pods: int = 7, most_policies: int = 4) -> World:
    """Living pods never share an address; finished and host-network pods may have any."""
    offsets = draw(st.permutations(range(_SIZE)))
    found: list[Pod] = []
    for number in range(draw(st.integers(3, most_pods))):
        pod = draw(pods(number, offsets[number]))
        if not pod.holds_addresses and draw(st.booleans()):
            pod = draw(pods(number, offsets[0]).filter(lambda p: not p.holds_addresses))
        found.append(pod)
    node_labels = st.fixed_dictionaries(dict.fromkeys(NODES, labels))
    nodes = [
        Node(name, own, tuple(address_text(family, _FIRST[family] + offsets[-1 - n]) for family in Family))
        for n, (name, own) in enumerate(draw(node_labels).items())
    ]
    spaces = [Namespace(name, draw(labels)) for name in NAMESPACES]
    chosen = [draw(policies(number)) for number in range(draw(st.integers(2, most_policies)))]
    return World(tuple(sorted(chosen, key=lambda p: p.order)), build(found, spaces, nodes))
