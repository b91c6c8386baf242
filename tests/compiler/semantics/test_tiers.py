"""Admin tier -> NetworkPolicy -> Baseline tier -> default, and what is special to the cluster's policies."""

from __future__ import annotations

import pytest

from compiler.resources import ClusterNetworkPolicy, clusterpolicy
from compiler.semantics.oracle import Oracle
from compiler.semantics.verdict import Because
from tests.compiler.semantics.test_networkpolicy import policy
from tests.compiler.semantics.world import World, pod

A, B = pod("x/a", "10.0.1.1", node="n1"), pod("x/b", "10.0.1.2", node="n2")
C = pod("y/c", "10.0.2.1", node="n1", ports=("web=tcp/8080", "dns=udp/53"))
OUT = "203.0.113.9"
ALL, TO_X, TO_Y = (
    "{namespaces: {}}",
    "{namespaces: {matchLabels: {kubernetes.io/metadata.name: x}}}",
    "{namespaces: {matchLabels: {kubernetes.io/metadata.name: y}}}",
)
CLOSED = policy("  podSelector: {}\n  policyTypes: [Ingress, Egress]", "closed")
OPEN = policy("  podSelector: {}\n  policyTypes: [Ingress, Egress]\n  ingress: [{}]\n  egress: [{}]", "open")


def cluster(tier: str, rules: str, priority: int = 10, name: str = "c", subject: str = ALL) -> str:
    """A ClusterNetworkPolicy; `rules` are its ingress and egress in flow style."""
    head = f"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n"
    return f"---\n{head}spec: {{tier: {tier}, priority: {priority}, subject: {subject}, {rules}}}\n"


def admin(rules: str, priority: int = 10, name: str = "a", subject: str = ALL) -> str:
    head = f"apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {{name: {name}}}\n"
    return f"---\n{head}spec: {{priority: {priority}, subject: {subject}, {rules}}}\n"


def baseline(rules: str, subject: str = ALL) -> str:
    head = (
        "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\n"
    )
    return f"---\n{head}spec: {{subject: {subject}, {rules}}}\n"


def ingress(action: str, peer: str = ALL, more: str = "") -> str:
    return f"{{action: {action}, from: [{peer}]{more}}}"


def egress(action: str, peer: str = ALL, more: str = "") -> str:
    return f"{{action: {action}, to: [{peer}]{more}}}"


def world(*texts: str) -> World:
    return World([A, B, C], "".join(texts))


@pytest.mark.parametrize("admin_tier", [lambda rules: cluster("Admin", rules), admin])
def test_admin_decides_before_network_policies(admin_tier) -> None:  # type: ignore[no-untyped-def]
    allow = "Accept" if "alpha2" in admin_tier("") else "Allow"
    opened = world(admin_tier(f"ingress: [{ingress(allow, TO_Y)}]"), CLOSED)
    assert opened.allows("y/c", "x/a")
    assert not opened.allows("x/b", "x/a"), "no rule of the tier: the NetworkPolicy decides"
    closed = world(admin_tier(f"ingress: [{ingress('Deny', TO_Y)}]"), OPEN)
    assert not closed.allows("y/c", "x/a")
    assert closed.allows("x/b", "x/a")


def test_pass_goes_on_at_the_next_tier() -> None:
    rules = f"ingress: [{ingress('Pass', TO_Y)}, {ingress('Deny')}]"
    for text in (cluster("Admin", rules), admin(rules)):
        assert world(text).allows("y/c", "x/a"), "nothing else decides"
        assert not world(text).allows("x/b", "x/a"), "the later rule"
        assert not world(text, CLOSED).allows("y/c", "x/a"), "the NetworkPolicy decides"
        assert world(text, OPEN).allows("y/c", "x/a")
        assert not world(text, baseline(f"ingress: [{ingress('Deny')}]")).allows("y/c", "x/a"), "the baseline decides"


def test_pass_skips_the_rest_of_the_tier_in_all_its_policies() -> None:
    first = cluster("Admin", f"ingress: [{ingress('Pass', TO_Y)}]", priority=1, name="first")
    second = cluster("Admin", f"ingress: [{ingress('Deny')}]", priority=2, name="second")
    assert world(first, second).allows("y/c", "x/a")
    assert not world(first, second).allows("x/b", "x/a")


def test_baseline_is_for_pods_that_no_network_policy_isolates() -> None:
    for text in (
        baseline(f"ingress: [{ingress('Deny')}], egress: [{egress('Deny')}]"),
        cluster("Baseline", f"ingress: [{ingress('Deny')}], egress: [{egress('Deny')}]"),
    ):
        assert not world(text).allows("y/c", "x/a")
        found = world(text, policy("  podSelector: {matchLabels: {app: a}}\n  ingress: [{}]"))
        assert found.ask("y/c", "x/a").ingress.allowed, "isolated: the NetworkPolicy alone decides"
        assert not found.ask("y/c", "x/b").ingress.allowed, "another pod"
        assert not found.ask("x/a", "x/b").egress.allowed, "isolated for ingress, not for egress"


def test_baseline_accept_and_default() -> None:
    rules = f"ingress: [{ingress('Allow', TO_Y)}, {ingress('Deny', TO_X)}]"
    found = world(baseline(rules))
    assert found.allows("y/c", "x/a")
    assert not found.allows("x/b", "x/a")
    assert found.allows(OUT, "x/a"), "no tier decides"


def test_pass_in_the_baseline_tier_is_the_default() -> None:
    found = world(cluster("Baseline", f"ingress: [{ingress('Pass', TO_Y)}, {ingress('Deny')}]"))
    assert found.allows("y/c", "x/a")
    assert not found.allows("x/b", "x/a")


def test_lower_priority_values_come_first() -> None:
    deny = cluster("Admin", f"ingress: [{ingress('Deny')}]", priority=2, name="a")
    accept = cluster("Admin", f"ingress: [{ingress('Accept')}]", priority=1, name="b")
    assert world(deny, accept).allows("y/c", "x/a")
    assert not world(deny.replace("priority: 2", "priority: 0"), accept).allows("y/c", "x/a")


def test_equal_priorities_go_by_name_then_kind() -> None:
    for order in (1, -1):
        texts = [
            cluster("Admin", f"ingress: [{ingress('Deny')}]", name="b"),
            cluster("Admin", f"ingress: [{ingress('Accept')}]", name="a"),
        ]
        assert world(*texts[::order]).allows("y/c", "x/a"), "a before b, however they are listed"
        texts = [
            cluster("Admin", f"ingress: [{ingress('Accept')}]", name="s"),
            admin(f"ingress: [{ingress('Deny')}]", name="s"),
        ]
        assert not world(*texts[::order]).allows("y/c", "x/a"), "AdminNetworkPolicy before ClusterNetworkPolicy"


def test_admin_and_cluster_policies_share_the_tier() -> None:
    texts = (
        admin(f"ingress: [{ingress('Deny', TO_Y)}]", priority=5),
        cluster("Admin", f"ingress: [{ingress('Accept')}]", priority=4),
    )
    assert world(*texts).allows("y/c", "x/a")


def test_the_baseline_admin_policy_comes_behind_every_priority() -> None:
    last = cluster("Baseline", f"ingress: [{ingress('Accept', TO_Y)}]", priority=1000, name="z")
    assert world(baseline(f"ingress: [{ingress('Deny')}]"), last).allows("y/c", "x/a")
    assert not world(baseline(f"ingress: [{ingress('Deny')}]"), last).allows("x/b", "x/a")


def test_rules_go_by_their_order() -> None:
    rules = f"ingress: [{ingress('Accept', TO_Y)}, {ingress('Deny')}, {ingress('Accept')}]"
    found = world(cluster("Admin", rules))
    assert found.allows("y/c", "x/a")
    assert not found.allows("x/b", "x/a")
    assert found.ask("x/b", "x/a").ingress.rule == 1


def test_a_rule_is_decided_by_its_ports_as_well() -> None:
    more = (
        ", protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: {start: 50, end: 60}}}}]"
    )
    found = world(cluster("Admin", f"ingress: [{ingress('Deny', ALL, more)}]"))
    whats = ("tcp/80", "udp/50", "udp/60", "tcp/81", "udp/49", "udp/61", "sctp/80", "icmp", "udplite")
    assert [found.allows("y/c", "x/a", what) for what in whats] == [False] * 3 + [True] * 6


@pytest.mark.parametrize("protocol", ["protocol: TCP, ", "protocol: '', ", ""])
def test_admin_ports_default_to_tcp(protocol: str) -> None:
    more = f", ports: [{{portNumber: {{{protocol}port: 80}}}}, {{portRange: {{{protocol}start: 90, end: 95}}}}]"
    found = world(admin(f"ingress: [{ingress('Deny', ALL, more)}]"))
    whats = ("tcp/80", "tcp/90", "tcp/95", "udp/90", "tcp/96", "tcp/89", "icmp")
    assert [found.allows("y/c", "x/a", what) for what in whats] == [False] * 3 + [True] * 4


def test_without_ports_a_rule_is_about_every_protocol() -> None:
    found = world(cluster("Admin", f"ingress: [{ingress('Deny')}]"))
    assert not any(found.allows("y/c", "x/a", what) for what in ("tcp/1", "sctp/2", "icmp", "udplite"))


@pytest.mark.parametrize(
    "ported",
    [
        ", protocols: [{destinationNamedPort: web}, {destinationNamedPort: dns}]",
        ", ports: [{namedPort: web}, {namedPort: dns}]",
    ],
)
def test_named_ports_of_the_cluster_tiers(ported: str) -> None:
    """A name stands for the protocol that the container port declares."""
    make = admin if "ports: [{named" in ported else lambda rules: cluster("Admin", rules)
    for rules in (f"ingress: [{ingress('Deny', ALL, ported)}]", f"egress: [{egress('Deny', ALL, ported)}]"):
        found = world(make(rules))
        whats = ("tcp/8080", "udp/53", "udp/8080", "tcp/53")
        assert [found.allows("x/a", "y/c", what) for what in whats] == [False, False, True, True]
        assert found.allows("y/c", "x/a", "tcp/8080"), "a pod without that name"


def test_subjects_by_namespaces_and_by_pods() -> None:
    rules = f"ingress: [{ingress('Deny')}]"
    spaces = world(cluster("Admin", rules, subject=TO_X))
    assert [spaces.allows("y/c", end) for end in ("x/a", "x/b")] == [False, False]
    assert spaces.allows("x/a", "y/c")
    chosen = "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: b}}}}"
    pods = world(cluster("Admin", rules, subject=chosen))
    assert [pods.allows("y/c", end) for end in ("x/a", "x/b")] == [True, False]


def test_peers_by_pods_need_both_selectors() -> None:
    spaces = "{matchLabels: {kubernetes.io/metadata.name: x}}"
    peer = f"{{pods: {{namespaceSelector: {spaces}, podSelector: {{matchLabels: {{app: b}}}}}}}}"
    found = World([A, B, C, pod("y/b", "10.0.2.2")], cluster("Admin", f"ingress: [{ingress('Deny', peer)}]"))
    assert [found.allows(source, "x/a") for source in ("x/b", "y/b", "y/c")] == [False, True, True]


def test_pod_peers_are_no_addresses() -> None:
    assert world(cluster("Admin", f"ingress: [{ingress('Deny')}]")).allows(OUT, "x/a")


def test_networks_match_pods_too() -> None:
    found = world(cluster("Admin", f"egress: [{egress('Deny', '{networks: [0.0.0.0/0]}')}]"))
    assert not found.allows("x/a", "x/b")
    assert not found.allows("x/a", OUT)
    narrow = world(cluster("Admin", f"egress: [{egress('Deny', '{networks: [10.0.2.0/24, 203.0.113.0/24]}')}]"))
    assert [narrow.allows("x/a", end) for end in ("y/c", OUT, "x/b", "203.0.114.0")] == [False, False, True, True]


def test_nodes_match_their_addresses_and_not_their_pods() -> None:
    text = cluster("Admin", f"egress: [{egress('Deny', '{nodes: {matchLabels: {role: edge}}}')}]")
    host = pod("x/h", "192.0.2.2", node="n2", host_network=True)
    nodes = {"n1": "192.0.2.1", "n2": ("192.0.2.2", {"role": "edge"})}
    found = World([A, B, host], text, nodes=nodes)  # type: ignore[arg-type]
    assert not found.allows("x/a", "node:n2")
    assert not found.allows("x/a", "x/h"), "a host-network pod's address is the node's"
    assert found.allows("x/a", "node:n1")
    assert found.allows("x/a", "x/b"), "a pod on that node"


def test_an_empty_node_selector_means_every_node() -> None:
    found = world(cluster("Admin", f"egress: [{egress('Deny', '{nodes: {}}')}]"))
    assert [found.allows("x/a", end) for end in ("node:n1", "node:n2", "x/b", OUT)] == [False, False, True, True]


def test_domain_names_without_answers_match_nothing() -> None:
    rules = f"egress: [{egress('Accept', '{domainNames: [example.org]}')}, {egress('Deny', '{networks: [0.0.0.0/0]}')}]"
    assert not world(cluster("Admin", rules)).allows("x/a", OUT)


def test_a_policy_without_rules_in_a_direction_says_nothing_of_it() -> None:
    found = world(cluster("Admin", "ingress: [], egress: []"), admin(""), baseline(""))
    assert found.ask("y/c", "x/a").ingress.because is Because.UNDECIDED


def test_a_peer_of_a_later_version_fails_closed() -> None:
    """No CRD of our versions lets such a peer in; one of a later version might, with a field that we do not know."""

    def allowed(action: str, *more: str) -> bool:
        found = world(cluster("Admin", f"ingress: [{ingress(action)}]"), *more)
        first, *rest = found.policies
        assert isinstance(first, ClusterNetworkPolicy)
        assert first.spec.ingress is not None
        (rule,) = first.spec.ingress
        unknown = clusterpolicy.IngressPeer.model_construct(namespaces=None, pods=None)
        strange = rule.model_copy(update={"from_": (*rule.from_, unknown)})
        spec = first.spec.model_copy(update={"ingress": (strange,)})
        oracle = Oracle([first.model_copy(update={"spec": spec}), *rest], found.snapshot)
        return oracle.connection(found.packet("y/c", "x/a", "tcp/80")).allowed

    assert [allowed("Deny"), allowed("Pass"), allowed("Pass", OPEN)] == [False, False, False]
    assert [allowed("Accept"), allowed("Accept", CLOSED)] == [True, False], "it matches nothing"


#: What the schemas of custom resources let in although the fields' texts rule it out.
UNREADABLE = [
    ingress("{0}", "{namespaces: {matchExpressions: [{key: a, operator: Near, values: [b]}]}}"),
    ingress("{0}", "{namespaces: {matchExpressions: [{key: a, operator: In}]}}"),
    ingress("{0}", "{namespaces: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}"),
    ingress("{0}", "{namespaces: {matchExpressions: [{key: a, operator: DoesNotExist, values: [b]}]}}"),
    ingress("{0}", ALL, ", ports: [{portNumber: {protocol: ICMP, port: 80}}]"),
    ingress("{0}", ALL, ", ports: [{portRange: {protocol: tcp, start: 80, end: 81}}]"),
    ingress("{0}", ALL, ", ports: [{portRange: {start: 81, end: 80}}]"),
]


@pytest.mark.parametrize("rule", UNREADABLE)
def test_what_a_field_cannot_mean_fails_closed(rule: str) -> None:
    def text(action: str) -> str:
        return admin(f"ingress: [{rule.replace('{0}', action)}]")

    assert not world(text("Deny")).allows("y/c", "x/a", "icmp")
    assert not world(text("Pass")).allows("y/c", "x/a", "icmp")
    assert not world(text("Allow"), CLOSED).allows("y/c", "x/a", "tcp/80")
    assert world(text("Allow")).allows("y/c", "x/a", "tcp/80"), "nothing else denies it"


def test_a_subject_that_cannot_be_read_in_full_fails_closed_for_the_rest() -> None:
    strange = "{matchLabels: {app: a}, matchExpressions: [{key: app, operator: Near}]}"
    subject = f"{{pods: {{namespaceSelector: {{}}, podSelector: {strange}}}}}"
    denied = world(cluster("Admin", f"ingress: [{ingress('Deny', TO_X)}]", subject=subject))
    assert [denied.allows("y/c", end) for end in ("x/a", "x/b")] == [False, True]
    accepted = world(cluster("Admin", f"ingress: [{ingress('Accept')}]", subject=subject), CLOSED)
    assert not accepted.allows("y/c", "x/a")


def test_an_empty_port_name_is_no_name() -> None:
    nameless = pod("x/n", "10.0.1.9", ports=("=tcp/80",))
    text = admin(f"ingress: [{ingress('Allow', ALL, ', ports: [{namedPort: ' + chr(39) * 2 + '}]')}]") + CLOSED
    assert not World([nameless, C], text).allows("y/c", "x/n", "tcp/80")


def test_an_absent_namespace_selector_means_every_namespace() -> None:
    peer = "{pods: {podSelector: {matchLabels: {app: b}}}}"
    found = World([A, B, C, pod("y/b", "10.0.2.2")], cluster("Admin", f"ingress: [{ingress('Deny', peer)}]"))
    assert [found.allows(source, "x/a") for source in ("x/b", "y/b", "y/c")] == [False, False, True]
