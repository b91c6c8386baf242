"""Groups of pods, and who a selector means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from compiler.net import SCTP, TCP, UDP, Family, Prefix, parse_address
from compiler.policy import NamedPort, NodeSelector, PodSelector, Requirement, Selector
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.snapshot import build
from tests.compiler.meaning import Meaning
from tests.compiler.models import labels, namespace, pod, pods
from tests.compiler.worlds import World, pod_selectors, worlds


def number(text: str) -> int:
    return parse_address(text)[1]


class TestGroups:
    def test_pods_with_equal_labels_and_ports_share_one(self) -> None:
        inventory = Inventory(
            build(
                [
                    pod("a", "app=web,tier=x", "10.0.0.2", serves=("tcp/80/http",)),
                    pod("b", "tier=x,app=web", "10.0.0.1", node="n2", serves=("tcp/80/http",)),
                ]
            )
        )
        (group,) = inventory.groups
        assert [p.name for p in group.pods] == ["a", "b"]
        assert group.addresses(Family.IPV4) == (number("10.0.0.1"), number("10.0.0.2"))
        assert group.addresses(Family.IPV6) == ()

    def test_addresses_are_sorted_by_number(self) -> None:
        (group,) = Inventory(build([pod(f"p{n}", "", f"10.0.0.{n}") for n in (10, 7, 9, 8)])).groups
        assert group.addresses(Family.IPV4) == tuple(number(f"10.0.0.{n}") for n in (7, 8, 9, 10))

    def test_namespace_labels_and_ports_tell_pods_apart(self) -> None:
        like = pod("a", "app=web", "10.0.0.1", serves=("tcp/80/http",))
        others = [
            pod("b", "app=web", "10.0.0.2", namespace="dev", serves=("tcp/80/http",)),
            pod("c", "app=api", "10.0.0.3", serves=("tcp/80/http",)),
            pod("d", "app=web", "10.0.0.4", serves=("tcp/81/http",)),
            pod("e", "app=web", "10.0.0.5", serves=("udp/80/http",)),
            pod("f", "app=web", "10.0.0.6", serves=("tcp/80",)),
            pod("g", "app=web", "10.0.0.7"),
        ]
        inventory = Inventory(build([like, *others]))
        assert len(inventory.groups) == 7
        assert [group.number for group in inventory.groups] == list(range(7))

    def test_only_pods_that_hold_addresses_are_in_any(self) -> None:
        """SEMANTICS: "A pod without an address is in no set"; finished and host-network pods neither."""
        inventory = Inventory(
            build(
                [
                    Pod("shop", "host", labels("app=web"), ("192.0.2.1",), host_network=True),
                    Pod("shop", "done", labels("app=web"), ("10.0.0.1",), phase="Succeeded"),
                    Pod("shop", "dead", labels("app=web"), ("10.0.0.1",), phase="Failed"),
                    Pod("shop", "new", labels("app=web")),
                    Pod("shop", "web", labels("app=web"), template_of="Deployment"),
                ]
            )
        )
        assert inventory.groups == []
        assert inventory.symbolic
        assert inventory.members(pods("app=web")) == ()

    def test_one_pod_with_an_address_is_enough_not_to_be_symbolic(self) -> None:
        assert not Inventory(build([pod("a", "", "fd00::1")])).symbolic

    def test_a_dual_stack_pod_has_addresses_of_both_families(self) -> None:
        (group,) = Inventory(build([pod("a", "", "10.0.0.1", "fd00::1")])).groups
        assert group.addresses(Family.IPV4) == (number("10.0.0.1"),)
        assert group.addresses(Family.IPV6) == (number("fd00::1"),)


class TestNamedPorts:
    """SEMANTICS: "resolved on the destination pod, per pod, protocol must agree"."""

    def test_resolve(self) -> None:
        serves = ("tcp/80/http", "udp/53/dns", "tcp/54/dns", "sctp/9/http", "tcp/99")
        (group,) = Inventory(build([pod("a", "", "10.0.0.1", serves=serves)])).groups
        assert group.resolve(NamedPort("dns", UDP)) == [(UDP, 53, 53)]
        assert group.resolve(NamedPort("dns", TCP)) == [(TCP, 54, 54)]
        assert group.resolve(NamedPort("dns", SCTP)) == []
        assert group.resolve(NamedPort("http")) == [(TCP, 80, 80), (SCTP, 9, 9)]
        assert group.resolve(NamedPort("")) == [], "schemas of custom resources take an empty name"
        assert group.resolve(NamedPort("HTTP")) == []

    def test_serving(self) -> None:
        inventory = Inventory(
            build(
                [
                    pod("a", "", "10.0.0.1", serves=("tcp/80/http", "udp/80/http")),
                    pod("b", "", "10.0.0.2", serves=("tcp/81/http",)),
                    pod("c", "", "10.0.0.3", serves=("tcp/80",)),
                ]
            )
        )
        assert [g.pods[0].name for g in inventory.serving("http")] == ["a", "b"]
        assert inventory.serving("dns") == ()


class TestSelectors:
    def test_of_one_namespace(self) -> None:
        inventory = Inventory(
            build([pod("a", "app=web", "10.0.0.1"), pod("b", "app=web", "10.0.0.2", namespace="dev")])
        )
        assert [g.pods[0].name for g in inventory.members(pods("app=web"))] == ["a"]
        assert inventory.members(pods("app=web", "nowhere")) == ()

    def test_namespaces_by_label_and_by_name(self) -> None:
        found = [pod("a", "", "10.0.0.1"), pod("b", "", "10.0.0.2", namespace="dev")]
        inventory = Inventory(build(found, [namespace("dev", "env=test"), Namespace("empty", labels("env=test"))]))
        by_label = PodSelector(Selector((Requirement("env", "In", ("test",)),)), Selector())
        by_name = PodSelector(Selector((Requirement("kubernetes.io/metadata.name", "In", ("shop",)),)), Selector())
        without = PodSelector(Selector((Requirement("env", "NotIn", ("test",)),)), Selector())
        assert [g.namespace for g in inventory.members(by_label)] == ["dev"]
        assert [g.namespace for g in inventory.members(by_name)] == ["shop"]
        assert [g.namespace for g in inventory.members(without)] == ["shop"]

    @pytest.mark.parametrize(
        ("requirements", "names"),
        [
            ((Requirement("app", "In", ("web",)),), ["web"]),
            ((Requirement("app", "In", ("api", "web")),), ["api", "web"]),
            ((Requirement("app", "NotIn", ("web",)),), ["api", "none"]),
            ((Requirement("app", "NotIn", ("api", "web")),), ["none"]),
            ((Requirement("app", "Exists"),), ["api", "web"]),
            ((Requirement("app", "DoesNotExist"),), ["none"]),
            ((Requirement("v", "NotIn", ("2",)), Requirement("app", "In", ("web",))), ["web"]),
            ((Requirement("app", "In", ("web",)), Requirement("v", "In", ("2",))), []),
            ((Requirement("app", "In", ("unheard-of",)),), []),
        ],
    )
    def test_every_operator(self, requirements: tuple[Requirement, ...], names: list[str]) -> None:
        """However the candidates are found."""
        found = [
            pod("web", "app=web,v=1", "10.0.0.1"),
            pod("api", "app=api,v=2", "10.0.0.2"),
            pod("none", "", "10.0.0.3"),
        ]
        members = Inventory(build(found)).members(PodSelector("shop", Selector(requirements)))
        assert sorted(p.name for group in members for p in group.pods) == names

    def test_size_counts_pods(self) -> None:
        found = [pod(f"p{n}", "app=web", f"10.0.0.{n}") for n in range(1, 6)]
        inventory = Inventory(build([*found, pod("q", "app=api", "10.0.0.9")]))
        assert inventory.size(pods("app=web")) == 5
        assert inventory.size(pods()) == 6
        assert inventory.numbers(pods()) == {0, 1}

    def test_workloads(self) -> None:
        found = [
            Pod("shop", "web", labels("app=web"), template_of="Deployment"),
            Pod("dev", "web", labels("app=web"), template_of="Deployment"),
            Pod("shop", "api", labels("app=api"), template_of="Job"),
            pod("web", "app=web", "10.0.0.1"),
        ]
        inventory = Inventory(build(found))
        assert inventory.workloads(pods("app=web")) == (found[0],)
        everywhere = PodSelector(Selector(), Selector())
        assert len(inventory.workloads(everywhere)) == 3

    def test_nodes(self) -> None:
        inventory = Inventory(
            build(
                nodes=[
                    Node("n1", labels("role=db"), ("192.0.2.1", "2001:db8::1")),
                    Node("n2", {}, ("192.0.2.2",)),
                ]
            )
        )
        db = NodeSelector(Selector((Requirement("role", "Exists"),)))
        assert inventory.nodes(db, Family.IPV4) == (Prefix(4, number("192.0.2.1"), 32),)
        assert inventory.nodes(db, Family.IPV6) == (Prefix(6, number("2001:db8::1"), 128),)
        assert len(inventory.nodes(NodeSelector(Selector()), Family.IPV4)) == 2

    @settings(deadline=None, max_examples=50)
    @given(worlds(), pod_selectors)
    def test_members_are_those_that_a_slow_reading_selects(self, world: World, chosen: PodSelector) -> None:
        inventory, meaning = Inventory(world.snapshot), Meaning((), world.snapshot)
        found = sorted(p.name for group in inventory.members(chosen) for p in group.pods)
        holding = [p for p in world.snapshot.pods if any(meaning.holder(ip) is p for ip in p.ips)]
        assert found == sorted(p.name for p in holding if meaning.selects(chosen, p))
        assert inventory.size(chosen) == len(found)
