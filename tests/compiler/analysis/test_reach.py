"""Who reaches whom: what the property over random clusters does not look at by name."""

from __future__ import annotations

from compiler.analysis.outside import holds
from compiler.analysis.reach import By, Connection, Reach, reach
from compiler.analysis.standins import with_stand_ins
from compiler.analysis.survey import Kind
from compiler.net import Family, parse_address
from compiler.policy import Policy
from compiler.resources.cluster import Node, Pod
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import load
from compiler.translate import translate

HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: a, name: p}\nspec:\n"


def policies(*specs: str) -> tuple[Policy, ...]:
    texts = [(f"p{n}.yaml", (HEAD.replace("name: p", f"name: p{n}") + spec).encode()) for n, spec in enumerate(specs)]
    return translate(load(texts).policies)


def pod(name: str, address: str, node: str = "n1", **labels: str) -> Pod:
    return Pod("a", name, labels, (address,), node)


def cluster(*pods: Pod) -> Snapshot:
    return build(pods, [], [Node("n1", {}, ("192.0.2.1",)), Node("n2", {}, ("192.0.2.2",))])


def between(found: Reach, source: str, target: str) -> Connection | None:
    return next((one for one in found.connections if (one.source.name, one.target.name) == (source, target)), None)


def test_what_pods_differ_in_is_partly_open() -> None:
    """An ipBlock holds one of two replicas."""
    snapshot = cluster(pod("web-0", "10.0.0.1", app="web"), pod("web-1", "10.0.0.2", app="web"), pod("db", "10.0.0.9"))
    spec = "  podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}\n"
    spec += "  ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/32}}], ports: [{port: 80}]}]\n"
    found = between(reach(policies(spec), snapshot), "a/web", "a/db")
    assert found is not None
    assert (str(found.ports), str(found.partly)) == ("nothing", "tcp 80")
    single = reach(policies(spec), snapshot, By.POD)
    assert between(single, "a/web-0", "a/db") is not None
    assert between(single, "a/web-1", "a/db") is None


def test_a_block_that_changes_nothing_cuts_nothing() -> None:
    """Everyone may on port 80, and so may the block."""
    snapshot = cluster(pod("web", "10.0.0.1", app="web"), pod("db", "10.0.0.9", app="db"))
    spec = "  podSelector: {matchLabels: {app: db}}\n"
    spec += "  ingress: [{ports: [{port: 80}]}, {from: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: 80}]}]\n"
    found = reach(policies(spec), snapshot)
    outside = [one for one in found.parties if one.kind is Kind.OUTSIDE]
    assert [one.name for one in outside] == ["0.0.0.0/0 and ::/0"]


def test_a_block_that_changes_nothing_outside_may_tell_pods_apart() -> None:
    """Egress is open but to web pods, and to one of them it is open before that: nothing outside is cut."""
    snapshot = cluster(pod("web-0", "10.0.0.1", app="web"), pod("web-1", "10.0.0.2", app="web"), pod("db", "10.0.0.9"))
    text = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: one}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - {action: Accept, to: [{networks: [10.0.0.1/32]}]}
  - {action: Deny, to: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}]}
"""
    found = between(reach(translate(load([("p.yaml", text.encode())]).policies), snapshot), "a/db", "a/web")
    assert found is not None
    assert (str(found.ports), str(found.partly)) == ("nothing", "everything")


def test_a_pod_to_itself_and_a_node_to_its_own_pods_are_not_listed() -> None:
    snapshot = cluster(pod("web", "10.0.0.1"), pod("far", "10.0.0.2", node="n2", app="far"))
    found = reach(policies("  podSelector: {}\n"), snapshot, By.POD)
    assert between(found, "a/web", "a/web") is None
    assert not [one for one in found.connections if one.source.kind is Kind.NODES]
    open_ = reach((), snapshot, By.POD)
    assert between(open_, "node n1", "a/web") is None
    assert between(open_, "node n1", "a/far") is not None
    assert between(open_, "node n1", "node n2") is None


def test_every_address_has_one_party() -> None:
    snapshot = cluster(pod("web", "10.0.0.1"))
    spec = "  podSelector: {}\n  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]\n"
    found = reach(policies(spec), snapshot)
    for text in ("0.0.0.0", "10.0.0.0", "10.0.255.255", "10.1.0.0", "10.2.0.0", "255.255.255.255"):
        at = parse_address(text)
        assert sum(any(holds(member.ranges, *at) for member in one.members) for one in found.parties) == 1, text


def test_the_result_does_not_depend_on_order() -> None:
    pods = [pod("web-0", "10.0.0.1", app="web"), pod("db", "10.0.0.9"), pod("web-1", "10.0.0.2", app="web")]
    specs = ("  podSelector: {}\n", "  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.2/32}}]}]\n")

    def shape(found: Reach) -> list[object]:
        return [(c.source.name, c.target.name, c.families, c.ports, c.partly) for c in found.connections]

    one = shape(reach(policies(*specs), cluster(*pods)))
    assert one == shape(reach(policies(*reversed(specs)), cluster(*reversed(pods))))
    assert one


def test_stand_ins_are_where_the_fewest_blocks_are() -> None:
    template = Pod("a", "web", {"app": "web"}, template_of="Deployment")
    spec = "  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]\n"
    snapshot, count = with_stand_ins(policies(spec), build([template]))
    made = [one for one in snapshot.pods if one.holds_addresses]
    assert count == 1
    assert [one.name for one in made] == ["web-1", "web-2"]
    assert [one.ips[0] for one in made] == ["10.0.0.1", "10.0.0.2"]
    assert len({ip for one in made for ip in one.ips}) == 4
    assert {parse_address(ip)[0] for ip in made[0].ips} == set(Family)


def test_a_workload_with_pods_needs_no_stand_in() -> None:
    template = Pod("a", "web", {"app": "web"}, template_of="Deployment")
    living = pod("web-6d8f7c9b5-4kqzx", "10.0.0.1", app="web", extra="label")
    assert with_stand_ins((), build([template, living])) == (build([template, living]), 0)
