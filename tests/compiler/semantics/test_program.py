"""What a program means for one packet, case by case, and which texts are proved to mean it."""

from __future__ import annotations

import pytest

from compiler.analysis.proof import NotProved, Prover
from compiler.resources import ClusterNetworkPolicy, NetworkPolicy
from compiler.resources.cluster import ContainerPort, Node, Pod
from compiler.resources.language import Program
from compiler.semantics.diagrams.space import Path
from compiler.semantics.packet import ICMPV6, Packet
from compiler.semantics.proof.case import Case
from compiler.semantics.proof.program import ProgramOracle, Unordered
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.snapshot import Snapshot, build
from compiler.sources import manifests
from compiler.sources.language import load

FORWARD, INPUT, OUTPUT = Path.FORWARD, Path.INPUT, Path.OUTPUT
WORLD, WEB, DB, HOST, NODE = "198.51.100.7", "10.0.1.1", "10.0.1.2", "192.0.2.1", "n"
CLUSTER = build(
    [
        Pod("shop", "web", {"app": "web"}, (WEB, "fd00::1"), NODE, ports=(ContainerPort(8080, "TCP", "http"),)),
        Pod("shop", "db", {"app": "db"}, (DB,), NODE, ports=(ContainerPort(5432, "TCP", "http"),)),
        Pod("shop", "host", {"app": "web"}, ("192.0.2.9",), NODE, host_network=True),
        Pod("shop", "done", {"app": "web"}, ("10.0.1.77",), NODE, phase="Succeeded"),
    ],
    nodes=[
        Node(NODE, {"role": "edge"}, (HOST, "203.0.113.1"), external=("203.0.113.1",)),
        Node("m", {}, ("192.0.2.2",)),
    ],
)
#: Nobody may connect to the database.
CLOSED = NetworkPolicy.model_validate(
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress", "Egress"]},
    }
)
SERVICE = "zone web = pods(app=web)  zone db = pods(app=db)  zone world = iface eth0\n"


def program(text: str) -> Program:
    return load([("edge.np", (SERVICE + text).encode())], lambda _, name: f"no file {name}")


def says(text: str, case: Case, *policies: NetworkPolicy | ClusterNetworkPolicy, node: str | None = NODE) -> str:
    """The verdict, and the lists that decided."""
    said = ProgramOracle(program(text), policies, CLUSTER, node).said(case)
    word = "allow" if said.allowed else f"reject {said.answer}" if said.answer else "deny"
    return " ".join([word, *(f"{one.where}[{one.index}]" for one in said.decided)])


def tcp(src: str, dst: str, port: int = 80, path: Path = FORWARD, **more: object) -> Case:
    return Case(path, Packet(src, dst, 6, 40000, port), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "case", "wanted"),
    [
        # The first rule of all blocks decides, in the order of priority and name.
        (
            "policy b priority 1 { deny any -> any } policy a priority 1 { allow any -> any }",
            tcp(WORLD, WEB),
            "allow policy a[0]",
        ),
        (
            "policy a priority 2 { allow any -> any } policy b priority 1 { deny any -> any }",
            tcp(WORLD, WEB),
            "deny policy b[0]",
        ),
        # allow: Kubernetes is not asked. pass: it is, and no further block. No match: it is.
        ("policy a { allow any -> db }", tcp(WEB, DB), "allow policy a[0]"),
        ("policy a { pass any -> db } policy b { allow any -> db }", tcp(WEB, DB), "deny policy a[0]"),
        ("policy a { deny any -> web }", tcp(WEB, DB), "deny"),
        # Transit is asked of blocks alone.
        ("policy a { deny 10.9.0.0/16 -> any }", tcp("10.9.0.1", "10.8.0.1"), "deny policy a[0]"),
        ("policy a { deny 10.9.0.0/16 -> any }", tcp("10.7.0.1", "10.8.0.1"), "allow"),
        # Replies pass; a pod reaches itself; neighbour discovery is the link's.
        ("policy a { deny any -> any }", tcp(WORLD, WEB, state=State.ESTABLISHED), "allow"),
        ("policy a { deny any -> any }", tcp(WORLD, WEB, state=State.INVALID), "deny policy a[0]"),
        ("policy a { deny any -> any }", tcp(WEB, WEB), "allow"),
        ("policy a { deny any -> any }", Case(FORWARD, Packet("fd00::9", "fd00::1", 58, 0, 0, 135, 0, 255)), "allow"),
        (
            "policy a { deny any -> any }",
            Case(FORWARD, Packet("fd00::9", "fd00::1", ICMPV6, 0, 0, 135, 0, 254)),
            "deny policy a[0]",
        ),
        # INPUT: blocks are for pods of this node, the list comes behind them.
        ("policy a { deny any -> any }", tcp(WEB, HOST, path=INPUT), "deny policy a[0]"),
        ("policy a { deny any -> any }", tcp(WORLD, HOST, path=INPUT), "allow"),
        (
            "policy a { allow web -> any } node { deny any -> self }",
            tcp(WEB, HOST, path=INPUT),
            "deny node[0]",
        ),
        ("node { allow any -> self }", tcp(DB, HOST, path=INPUT), "deny"),
        (
            "policy a { allow db -> any } node { allow db -> self }",
            tcp(DB, HOST, path=INPUT),
            "allow policy a[0] node[0]",
        ),
        ("node { allow any -> self : tcp/22  deny any -> self }", tcp(WORLD, HOST, 22, INPUT), "allow node[0]"),
        ("node { deny self -> any }", tcp(WORLD, HOST, 22, INPUT), "allow"),
        ("node { pass any -> self  deny any -> self }", tcp(WORLD, HOST, 22, INPUT), "allow node[0]"),
        ("node { deny any -> self : tcp/10250 unless from nodes }", tcp("192.0.2.2", HOST, 10250, INPUT), "allow"),
        ("node { deny any -> self : tcp/10250 unless from nodes }", tcp(WORLD, HOST, 10250, INPUT), "deny node[0]"),
        # OUTPUT: blocks are for sources that are not the node's own.
        (
            "policy a { deny any -> any }",
            tcp(HOST, WEB, path=OUTPUT, source_type=AddressType.LOCAL),
            "allow",
        ),
        ("policy a { deny any -> any }", tcp(WORLD, WEB, path=OUTPUT), "deny policy a[0]"),
        ("node { deny self -> any : tcp/25 }", tcp(HOST, WORLD, 25, OUTPUT), "deny node[0]"),
        ("node { deny any -> self }", tcp(HOST, WORLD, 25, OUTPUT), "allow"),
        # Ends.
        ("policy a { deny world -> any }", tcp(WORLD, WEB, input="eth0"), "deny policy a[0]"),
        ("policy a { deny world -> any }", tcp(WORLD, WEB, input="eth01"), "allow"),
        ("policy a { deny any -> world }", tcp(WEB, WORLD, output="eth0"), "deny policy a[0]"),
        ("policy a { deny any -> world }", tcp(WEB, HOST, path=INPUT), "allow"),
        ("policy a { deny any -> any except world }", tcp(WEB, HOST, path=INPUT), "deny policy a[0]"),
        ("policy a { deny iface wg* -> any }", tcp(WORLD, WEB, input="wg12"), "deny policy a[0]"),
        ("policy a { deny web -> any }", tcp("192.0.2.9", WORLD), "allow"),
        ("policy a { deny web -> any }", tcp("10.0.1.77", WORLD), "allow"),
        ("policy a { deny nodes -> any }", tcp("192.0.2.9", WORLD), "deny policy a[0]"),
        ("policy a { deny nodes -> any }", tcp("203.0.113.1", WORLD), "allow"),
        ("policy a { deny nodes(role=edge) -> any }", tcp("192.0.2.2", WORLD), "allow"),
        ("policy a { deny any -> pods : tcp/http }", tcp(WORLD, WEB, 8080), "deny policy a[0]"),
        ("policy a { deny any -> pods : tcp/http }", tcp(WORLD, WEB, 5432), "allow"),
        # Answers.
        ("policy a { reject any -> web }", tcp(WORLD, WEB), "reject port unreachable policy a[0]"),
        ("policy a { reject any -> web : tcp/80 with tcp-reset }", tcp(WORLD, WEB), "reject tcp reset policy a[0]"),
        (
            "policy a { reject any -> web with icmp-host-prohibited }",
            tcp("fd00::9", "fd00::1"),
            "reject admin prohibited policy a[0]",
        ),
    ],
)
def test_verdicts(text: str, case: Case, wanted: str) -> None:
    assert says(text, case, CLOSED) == wanted


def test_pods_of_other_nodes_are_forwarded_to_this_one() -> None:
    """Their packets are no concern of blocks in INPUT."""
    assert says("policy a { deny any -> any }", tcp(WEB, "192.0.2.2", path=INPUT), node="m") == "allow"
    assert says("policy a { deny any -> any }", tcp(WEB, "192.0.2.2", path=INPUT), node=None) == "deny policy a[0]"


def tiered(tier: str, priority: int, action: str) -> ClusterNetworkPolicy:
    """For all pods of all namespaces, both ways."""
    everyone: dict[str, object] = {"namespaces": {}}
    rules = {"ingress": [{"action": action, "from": [everyone]}], "egress": [{"action": action, "to": [everyone]}]}
    return ClusterNetworkPolicy.model_validate(
        {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": tier.lower()},
            "spec": {"tier": tier, "priority": priority, "subject": everyone, **rules},
        }
    )


ACCEPTS, BASE = tiered("Admin", 5, "Accept"), "policy base tier baseline priority 5 "


@pytest.mark.parametrize(
    ("text", "case", "policies", "wanted"),
    [
        # Asked in each direction, where a pod of the node is the subject; of transit and of others' pods never.
        (BASE + "{ deny any -> any }", tcp(WORLD, WEB), (), "deny policy base[0]"),
        (BASE + "{ deny any -> any }", tcp(WEB, WORLD), (), "deny policy base[0]"),
        (BASE + "{ deny any -> any }", tcp(WORLD, "10.9.0.1"), (), "allow"),
        (BASE + "{ deny 10.0.1.0/24 -> any : tcp/80 }", tcp(WEB, WORLD, 81), (), "allow"),
        (BASE + "{ deny web -> nodes }", tcp(WEB, HOST, path=INPUT), (), "deny policy base[0]"),
        (BASE + "{ deny any -> web : tcp/http }", tcp(WORLD, WEB, 8080), (), "deny policy base[0]"),
        (BASE + "{ deny any -> web : tcp/http }", tcp(WORLD, DB, 8080), (), "allow"),
        # The first of its rules that matches; pass leaves it to the default.
        (
            BASE + "{ allow web -> any  deny any -> any }",
            tcp(WEB, WORLD),
            (),
            "allow policy base[0]",
        ),
        (BASE + "{ pass web -> any  deny any -> any }", tcp(WEB, WORLD), (), "allow"),
        (BASE + "{ deny any -> any unless from 198.51.100.0/24 }", tcp(WORLD, WEB), (), "allow"),
        # Only where neither the admin tier nor a NetworkPolicy decides that direction.
        (BASE + "{ allow any -> any }", tcp(WORLD, DB), (CLOSED,), "deny"),
        (BASE + "{ deny any -> db }", tcp(WEB, DB), (ACCEPTS,), "allow"),
        (BASE + "{ deny any -> db }", tcp(WORLD, DB), (ACCEPTS,), "deny policy base[0]"),
        (
            "policy a priority 1 { allow any -> any } " + BASE + "{ deny any -> any }",
            tcp(WORLD, WEB),
            (),
            "allow policy a[0]",
        ),
        (
            "policy a priority 1 { pass any -> any } " + BASE + "{ deny any -> any }",
            tcp(WORLD, WEB),
            (),
            "deny policy a[0] policy base[0]",
        ),
        # Among objects of the tier by priority, before those of the same one.
        (BASE + "{ allow any -> any }", tcp(WEB, DB), (tiered("Baseline", 5, "Deny"),), "allow policy base[0]"),
        (BASE + "{ allow any -> any }", tcp(WEB, DB), (tiered("Baseline", 4, "Deny"),), "deny"),
        (BASE + "{ pass any -> any }", tcp(WEB, DB), (tiered("Baseline", 6, "Deny"),), "allow"),
        (
            "policy b tier baseline { deny any -> any } policy c tier baseline { allow any -> any }",
            tcp(WEB, DB),
            (),
            "deny policy b[0]",
        ),
        # As any policy: replies, a pod to itself, a node to its own pods.
        (BASE + "{ deny any -> any }", tcp(WORLD, WEB, state=State.RELATED), (), "allow"),
        (BASE + "{ deny any -> any }", tcp(WEB, WEB), (), "allow"),
        (BASE + "{ deny any -> any }", tcp(HOST, WEB), (), "allow"),
        (BASE + "{ deny any -> any }", tcp(HOST, WEB, path=OUTPUT, source_type=AddressType.LOCAL), (), "allow"),
        (BASE + "{ deny any -> any }", tcp(WORLD, HOST, path=INPUT), (), "allow"),
    ],
)
def test_the_baseline_tier(
    text: str, case: Case, policies: tuple[NetworkPolicy | ClusterNetworkPolicy, ...], wanted: str
) -> None:
    assert says(text, case, *policies) == wanted


@pytest.mark.parametrize(("priority", "kept"), [(4, False), (5, False), (6, True)])
def test_kubernetes_comes_behind_or_not_at_all(priority: int, kept: bool) -> None:
    policy = ClusterNetworkPolicy.model_validate(
        {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "first"},
            "spec": {"tier": "Admin", "priority": priority, "subject": {"namespaces": {}}},
        }
    )
    text = "policy a priority 5 { deny any -> any }"
    if kept:
        assert says(text, tcp(WORLD, WEB), policy) == "deny policy a[0]"
    else:
        with pytest.raises(Unordered, match=r"edge.np:2: policy a has priority 5 .* ClusterNetworkPolicy first"):
            says(text, tcp(WORLD, WEB), policy)


ROUTER = """
policy edge {
  allow world -> 10.0.0.9 : tcp/80,443          log "web" limit 5/min
  pass  10.1.0.0/16 -> any
  reject any -> 10.0.0.0/8 with icmp-admin-prohibited
}
node { deny any -> self : tcp/22  unless from 10.0.0.4 }
"""
RIGHT = """table inet router {
  chain forward { type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname "eth0" ip daddr 10.0.0.9 tcp dport { 80, 443 } limit rate 5/minute log prefix "web"
    iifname "eth0" ip daddr 10.0.0.9 tcp dport { 80, 443 } accept
    ip saddr 10.1.0.0/16 accept
    ip daddr 10.0.0.0/8 reject with icmp type admin-prohibited
  }
  chain input { type filter hook input priority filter; policy accept;
    ct state established,related accept
    ip saddr 10.0.0.4 accept
    tcp dport 22 drop
  }
  chain output { type filter hook output priority filter; policy accept;
    ct state established,related accept
    fib saddr type local accept
    ip saddr 10.1.0.0/16 accept
    ip daddr 10.0.0.0/8 reject with icmp type admin-prohibited
  }
}
"""


def proved(text: str, source: str = ROUTER) -> tuple[str, ...]:
    return Prover([], Snapshot(), program(source)).prove(None, [("rules.nft", text)]).witnesses


def test_a_text_by_hand_is_proved() -> None:
    assert proved(RIGHT) == ()


@pytest.mark.parametrize(
    ("part", "mistake", "told"),
    [
        (
            "{ 80, 443 } accept",
            "{ 80, 444 } accept",
            "policy edge rule[0] (edge.np:4): allow world -> 10.0.0.9 : tcp/80,443",
        ),
        (
            'iifname "eth0" ip daddr 10.0.0.9 tcp dport { 80, 443 } accept',
            "ip daddr 10.0.0.9 tcp dport { 80, 443 } accept",
            "rule[2]",
        ),
        (
            "10.1.0.0/16 accept\n    ip daddr",
            "10.0.0.0/15 accept\n    ip daddr",
            "policy edge rule[2] (edge.np:6): reject any",
        ),
        ("reject with icmp type admin-prohibited", "drop", "policies: rejected, with admin prohibited"),
        ("admin-prohibited", "host-unreachable", "rules: rejected, with host unreachable"),
        ('limit rate 5/minute log prefix "web"', "limit rate 5/minute drop", "policy edge rule[0]"),
        ("tcp dport 22 drop", "tcp dport 22 reject", "node rule[0] (edge.np:8): deny any -> self : tcp/22"),
        ("    fib saddr type local accept\n", "", "policies: allowed: the node itself"),
        ("ct state established,related accept\n    ip saddr 10.0.0.4", "ip saddr 10.0.0.4", "state established"),
    ],
)
def test_a_planted_mistake_is_found(part: str, mistake: str, told: str) -> None:
    assert part in RIGHT
    witnesses = proved(RIGHT.replace(part, mistake, 1))
    assert any(told in witness for witness in witnesses), witnesses


def test_what_is_not_proved_yet_is_refused() -> None:
    for rule in ("deny world -> any", "deny any -> any unless from world", "reject any -> any", "deny any -> any log"):
        with pytest.raises(NotProved, match=rf"edge.np:2: {rule}: not in the baseline tier"):
            proved(RIGHT, f"policy a tier baseline {{ {rule} }}")
    located = manifests.load(
        [("closed.yaml", CLOSED.model_dump_json(by_alias=True, exclude_none=True).encode())]
    ).policies
    with pytest.raises(NotProved, match="no pod with an address"):
        Prover(located, Snapshot(), program(ROUTER)).prove(None, [("rules.nft", RIGHT)])


def test_without_rules_a_program_changes_nothing() -> None:
    text = "table inet t { chain f { type filter hook forward priority 0; ip daddr 10.0.1.2 reject } }"
    expecting = program("expect { world can reach web }")
    assert Prover([], CLUSTER, expecting).prove(NODE, [("rules.nft", text)]).witnesses == (
        Prover([], CLUSTER).prove(NODE, [("rules.nft", text)]).witnesses
    )
