"""Which pods share a class, which policies it has, and what its rules say of ports."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import ALL_PORTS, TCP, UDP, Family, PortSet, parse_address
from compiler.policy import Action, Direction, NamedPort, PodSelector, Policy, Ports, Selector, Tier
from compiler.resolve.classes import PodClass, classes
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Pod
from compiler.snapshot import Snapshot, build
from tests.compiler.meaning import Meaning
from tests.compiler.models import ANYONE, network_policy, pod, pods, ports, rule, tier_policy
from tests.compiler.worlds import NODES, World, worlds


def found(snapshot: Snapshot, *policies: Policy, node: str | None = None) -> tuple[PodClass, ...]:
    return classes(Inventory(snapshot), sorted(policies, key=lambda p: p.order), node)


def members(one: PodClass) -> list[str]:
    return [p.name for p in one.pods]


EVERYWHERE = PodSelector(Selector(), Selector())


class TestMembership:
    def test_pods_with_the_same_policies_share_a_class(self) -> None:
        snapshot = build([pod("a", "app=web,v=1", "10.0.0.1"), pod("b", "app=web,v=2", "10.0.0.2"), pod("c", "")])
        (one,) = found(snapshot, network_policy("p", pods("app=web"), ingress=()))
        assert members(one) == ["a", "b"]
        assert one.isolated
        assert one.direction is Direction.INGRESS

    def test_its_pods_are_in_order_of_their_names(self) -> None:
        snapshot = build([pod(name, f"v={n % 2}", f"10.0.0.{n}") for n, name in enumerate("dacb")])
        (one,) = found(snapshot, network_policy("p", pods(), ingress=()))
        assert members(one) == ["a", "b", "c", "d"]

    def test_one_network_policy_among_others_isolates(self) -> None:
        snapshot = build([pod("a", "", "10.0.0.1")])
        top = tier_policy(Tier.ADMIN, 1, EVERYWHERE, ingress=(rule(*ANYONE),))
        (one,) = found(snapshot, top, network_policy("p", pods(), ingress=()))
        assert one.isolated

    def test_another_policy_makes_another_class(self) -> None:
        snapshot = build([pod("a", "app=web,v=1", "10.0.0.1"), pod("b", "app=web,v=2", "10.0.0.2")])
        both = network_policy("p", pods("app=web"), ingress=())
        more = network_policy("q", pods("v=2"), ingress=())
        assert [(members(c), [p.origin.name for p in c.policies]) for c in found(snapshot, both, more)] == [
            (["a"], ["p"]),
            (["b"], ["p", "q"]),
        ]

    def test_a_policy_counts_in_the_directions_that_it_isolates(self) -> None:
        """policyTypes: ["Egress"] leaves ingress alone, whatever ingress rules say."""
        snapshot = build([pod("a", "app=web", "10.0.0.1")])
        policy = network_policy("p", pods(), egress=())
        policy = replace(policy, ingress=(rule(*ANYONE),))
        assert [c.direction for c in found(snapshot, policy)] == [Direction.EGRESS]

    def test_a_tier_policy_counts_in_the_directions_that_it_has_rules_for(self) -> None:
        snapshot = build([pod("a", "app=web", "10.0.0.1")])
        policy = tier_policy(Tier.ADMIN, 1, EVERYWHERE, ingress=(rule(*ANYONE, action=Action.DENY),))
        (one,) = found(snapshot, policy)
        assert one.direction is Direction.INGRESS
        assert not one.isolated

    def test_only_pods_of_the_node(self) -> None:
        snapshot = build(
            [pod("a", "", "10.0.0.1"), pod("b", "", "10.0.0.2", node="n2"), pod("c", "", "10.0.0.3", node="")]
        )
        policy = network_policy("p", pods(), ingress=())
        assert [members(c) for c in found(snapshot, policy, node="n1")] == [["a"]]
        assert [members(c) for c in found(snapshot, policy, node="n2")] == [["b"]]
        assert found(snapshot, policy, node="n3") == ()
        assert [members(c) for c in found(snapshot, policy)] == [["a", "b", "c"]]

    def test_subjects_of_a_namespace_and_of_namespaces(self) -> None:
        snapshot = build([pod("a", "", "10.0.0.1"), pod("b", "", "10.0.0.2", namespace="dev")])
        assert [members(c) for c in found(snapshot, network_policy("p", pods(), ingress=()))] == [["a"]]
        denied = rule(*ANYONE, action=Action.DENY)
        assert [members(c) for c in found(snapshot, tier_policy(Tier.ADMIN, 1, EVERYWHERE, ingress=(denied,)))] == [
            ["b", "a"]
        ], "in order of namespace and name"

    def test_host_network_and_finished_pods_are_no_subjects(self) -> None:
        snapshot = build(
            [
                Pod("shop", "host", {}, ("192.0.2.1",), "n1", host_network=True),
                Pod("shop", "done", {}, ("10.0.0.1",), "n1", phase="Failed"),
                pod("alive", "", "10.0.0.1"),
            ]
        )
        assert [members(c) for c in found(snapshot, network_policy("p", pods(), ingress=(), egress=()))] == [
            ["alive"],
            ["alive"],
        ]

    @settings(deadline=None, max_examples=40)
    @given(worlds(), st.sampled_from((*NODES, None)))
    def test_everyone_whom_policies_concern_is_in_one_class_with_them(self, world: World, node: str | None) -> None:
        meaning = Meaning(world.policies, world.snapshot)
        of_all = classes(Inventory(world.snapshot), world.policies, node)
        seen = {(c.direction, p.name): c.policies for c in of_all for p in c.pods}
        assert len(seen) == sum(len(c.pods) for c in of_all), "somebody is in two classes"
        expected = {}
        for direction in Direction:
            for p in world.snapshot.pods:
                subject_to = tuple(meaning.subject_to(p, direction))
                if subject_to and any(meaning.holder(ip) is p for ip in p.ips) and node in (None, p.node):
                    expected[direction, p.name] = subject_to
        assert seen == expected
        assert len({c.key for c in of_all}) == len(of_all)


class TestClauses:
    def test_keep_the_order_of_evaluation(self) -> None:
        snapshot = build([pod("a", "", "10.0.0.1")])
        late = tier_policy(Tier.BASELINE, 1, EVERYWHERE, ingress=(rule(*ANYONE),), name="late")
        mine = network_policy("mine", pods(), ingress=(rule(pods("x=1")), rule(pods("x=2"))))
        early = tier_policy(Tier.ADMIN, 9, EVERYWHERE, ingress=(rule(pods("x=3")),), name="early")
        (one,) = found(snapshot, late, mine, early)
        assert [c.tier for c in one.clauses] == [Tier.ADMIN, Tier.APPLICATION, Tier.APPLICATION, Tier.BASELINE]
        assert [c.rule.peers for c in one.clauses] == [
            (pods("x=3"),),
            (pods("x=1"),),
            (pods("x=2"),),
            ANYONE,
        ]

    def test_ports(self) -> None:
        snapshot = build([pod("a", "", "10.0.0.1")])
        policy = network_policy("p", pods(), ingress=(rule(*ANYONE), rule(*ANYONE, to=ports("tcp/80", "udp/5-9"))))
        (one,) = found(snapshot, policy)
        assert [c.ports for c in one.clauses] == [ALL_PORTS, PortSet(tcp=((80, 80),), udp=((5, 9),))]

    def test_named_ports_of_ingress_are_the_class_s_own(self) -> None:
        """Pods that serve a name on different numbers are in different classes, though their policies agree."""
        snapshot = build(
            [
                pod("a", "app=web", "10.0.0.1", serves=("tcp/80/http",)),
                pod("b", "app=web", "10.0.0.2", serves=("tcp/8080/http",)),
                pod("c", "app=web", "10.0.0.3", serves=("udp/80/http",)),
                pod("d", "app=web,v=2", "10.0.0.4", serves=("tcp/80/http", "tcp/9/other")),
            ]
        )
        policy = network_policy("p", pods(), ingress=(rule(*ANYONE, to=ports("tcp/http", "tcp/7")),))
        of_all = found(snapshot, policy)
        assert [(members(c), c.clauses[0].ports) for c in of_all] == [
            (["a", "d"], PortSet(tcp=((7, 7), (80, 80)))),
            (["b"], PortSet(tcp=((7, 7), (8080, 8080)))),
            (["c"], PortSet(tcp=((7, 7),))),
        ]
        assert all(not c.clauses[0].named for c in of_all)
        assert len({c.key for c in of_all}) == 3, "names of chains are made from the key"

    def test_named_ports_of_egress_stay_open(self) -> None:
        snapshot = build([pod("a", "", "10.0.0.1", serves=("tcp/80/http",))])
        named = Ports(spans=((UDP, 53, 53),), named=(NamedPort("http", TCP),))
        (one,) = found(snapshot, network_policy("p", pods(), egress=(rule(*ANYONE, to=named),)))
        assert one.clauses[0].ports == PortSet(udp=((53, 53),))
        assert one.clauses[0].named == (NamedPort("http", TCP),)


class TestKeysAndAddresses:
    def test_names_and_namespaces_cannot_be_mistaken_for_each_other(self) -> None:
        """A known defect of other tools: `a-b`/`c` and `a`/`b-c` got one chain."""
        one = pod("p", "", "10.0.0.1", namespace="a-b")
        two = pod("q", "", "10.0.0.2", namespace="a")
        first = network_policy("c", pods(namespace="a-b"), ingress=())
        second = network_policy("b-c", pods(namespace="a"), ingress=())
        first = replace(first, origin=replace(first.origin, namespace="a-b"))
        second = replace(second, origin=replace(second.origin, namespace="a"))
        of_all = found(build([one, two]), first, second)
        assert len({c.key for c in of_all}) == 2

    def test_directions_have_keys_of_their_own(self) -> None:
        ingress, egress = found(build([pod("a", "", "10.0.0.1")]), network_policy("p", pods(), ingress=(), egress=()))
        assert ingress.key != egress.key

    def test_addresses_are_sorted_by_number_and_family(self) -> None:
        snapshot = build([pod("a", "", "10.0.0.10", "fd00::2"), pod("b", "", "10.0.0.9"), pod("c", "", "fd00::1")])
        (one,) = found(snapshot, network_policy("p", pods(), ingress=()))
        assert one.addresses(Family.IPV4) == (parse_address("10.0.0.9")[1], parse_address("10.0.0.10")[1])
        assert one.addresses(Family.IPV6) == (parse_address("fd00::1")[1], parse_address("fd00::2")[1])
