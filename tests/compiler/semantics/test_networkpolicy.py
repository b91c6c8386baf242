"""NetworkPolicy v1, point by point as in docs/SEMANTICS.md. Each test asks both sides: what passes, what must not."""

from __future__ import annotations

import pytest

from compiler.semantics.verdict import Because
from tests.compiler.semantics.world import World, pod

A, B = pod("x/a", "10.0.1.1", node="n1"), pod("x/b", "10.0.1.2", node="n2")
C = pod("y/c", "10.0.2.1", node="n1", labels={"app": "c", "team": "red"})
OUT = "203.0.113.9"


def policy(spec: str, name: str = "p", namespace: str = "x") -> str:
    """A NetworkPolicy with this spec, whose lines are indented by two."""
    head = (
        f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    )
    return f"---\n{head}spec:\n{spec}\n"


def world(*specs: str, **changes: object) -> World:
    return World([A, B, C], "".join(policy(spec, f"p{n}") for n, spec in enumerate(specs)), **changes)  # type: ignore[arg-type]


def test_without_policies_everything_passes() -> None:
    found = world()
    assert found.allows("y/c", "x/a")
    assert found.ask("y/c", "x/a").ingress.because is Because.UNDECIDED
    assert found.allows("x/a", OUT, "icmp")


def test_isolation_is_for_selected_pods_in_one_direction() -> None:
    found = world("  podSelector: {matchLabels: {app: a}}\n  policyTypes: [Ingress]")
    assert not found.allows("x/b", "x/a")
    assert found.allows("x/a", "x/b"), "the other direction"
    assert found.allows("x/a", "y/c"), "a pod that is not selected"


def test_isolation_stays_in_the_policys_namespace() -> None:
    found = world("  podSelector: {}\n  policyTypes: [Ingress]")
    assert not found.allows("y/c", "x/a")
    assert found.allows("x/a", "y/c")


def test_isolated_names_every_policy_that_isolates() -> None:
    found = world(
        "  podSelector: {}", "  podSelector: {matchLabels: {app: a}}", "  podSelector: {matchLabels: {app: b}}"
    )
    ruling = found.ask("y/c", "x/a").ingress
    assert (ruling.because, ruling.rule) == (Because.ISOLATED, None)
    assert [p.metadata.name for p in ruling.policies] == ["p0", "p1"]


def test_namespace_of_a_policy_defaults_to_default() -> None:
    text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n"
    found = World([pod("default/a", "10.0.9.1"), A], text)
    assert [found.allows(OUT, end) for end in ("default/a", "x/a")] == [False, True]


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ("  podSelector: {}", False, True),
        ("  podSelector: {}\n  egress: []", False, True),
        ("  podSelector: {}\n  egress: [{to: [{podSelector: {}}]}]", False, False),
        ("  podSelector: {}\n  policyTypes: [Egress]", True, False),
        ("  podSelector: {}\n  policyTypes: [Egress]\n  ingress: [{from: [{podSelector: {}}]}]", True, False),
        ("  podSelector: {}\n  policyTypes: [Ingress, Egress]", False, False),
        ("  podSelector: {}\n  policyTypes: []\n  egress: [{to: [{podSelector: {}}]}]", False, False),
    ],
)
def test_policy_types(spec: str, ingress: bool, egress: bool) -> None:
    found = world(spec)
    assert (found.allows("y/c", "x/a"), found.allows("x/a", "y/c")) == (ingress, egress)


@pytest.mark.parametrize("rules", ["ingress: []", "policyTypes: [Ingress]"])
def test_no_rule_accepts_nothing(rules: str) -> None:
    found = world(f"  podSelector: {{}}\n  {rules}")
    assert not any(found.allows(source, "x/a", what) for source in ("x/b", "y/c", OUT) for what in ("tcp/80", "icmp"))


@pytest.mark.parametrize("rule", ["{}", "{from: []}", "{ports: []}", "{from: [], ports: []}"])
def test_empty_rule_allows_any_source_and_port(rule: str) -> None:
    found = world(f"  podSelector: {{}}\n  ingress: [{rule}]")
    whats = ("tcp/1", "udp/65535", "sctp/9", "icmp", "udplite")
    assert all(found.allows(source, "x/a", what) for source in ("x/b", OUT) for what in whats)


def test_empty_egress_rule_allows_any_destination() -> None:
    found = world("  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{}]")
    assert found.allows("x/a", OUT, "icmp")
    assert found.ask("x/a", OUT, "icmp").egress.rule == 0


def test_rules_of_all_policies_add_up() -> None:
    found = world(
        "  podSelector: {}\n  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}, {ports: [{port: 443}]}]",
        "  podSelector: {matchLabels: {app: a}}\n  ingress: [{ports: [{port: 80}]}]",
        "  podSelector: {}\n  ingress: []",
    )
    assert found.allows("x/b", "x/a", "tcp/1"), "first rule"
    assert found.allows("y/c", "x/a", "tcp/443"), "second rule"
    assert found.allows("y/c", "x/a", "tcp/80"), "another policy"
    assert not found.allows("y/c", "x/b", "tcp/80"), "a policy for other pods"
    decided = found.ask("y/c", "x/a", "tcp/443").ingress
    assert (decided.policies[0].metadata.name, decided.rule) == ("p0", 1)


def test_except_cuts_its_own_block_only() -> None:
    cut = "{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}"
    alone = world(f"  podSelector: {{matchLabels: {{app: a}}}}\n  ingress: [{{from: [{cut}]}}]")
    assert not alone.allows("x/b", "x/a")
    assert alone.allows("y/c", "x/a")
    for sibling in ("{podSelector: {}}", "{ipBlock: {cidr: 10.0.1.2/32}}"):
        both = world(f"  podSelector: {{matchLabels: {{app: a}}}}\n  ingress: [{{from: [{cut}, {sibling}]}}]")
        assert both.allows("x/b", "x/a"), sibling


def test_rules_of_one_direction_never_satisfy_the_other() -> None:
    found = world("  podSelector: {}\n  policyTypes: [Ingress, Egress]\n  egress: [{to: [{podSelector: {}}]}]")
    verdict = found.ask("x/a", "x/b")
    assert (verdict.egress.allowed, verdict.ingress.allowed) == (True, False)
    found = world("  podSelector: {}\n  policyTypes: [Ingress, Egress]\n  ingress: [{from: [{podSelector: {}}]}]")
    verdict = found.ask("x/a", "x/b")
    assert (verdict.egress.allowed, verdict.ingress.allowed) == (False, True)


def test_pod_selector_alone_means_the_own_namespace() -> None:
    found = world("  podSelector: {}\n  ingress: [{from: [{podSelector: {}}]}]")
    assert found.allows("x/b", "x/a")
    assert not found.allows("y/c", "x/a")
    assert not found.allows(OUT, "x/a"), "pods, not addresses"


def test_namespace_selector_alone_means_all_their_pods() -> None:
    found = world(
        "  podSelector: {}\n  ingress: [{from: [{namespaceSelector: {matchLabels: {env: test}}}]}]",
        namespaces={"y": {"env": "test"}},
    )
    assert found.allows("y/c", "x/a")
    assert not found.allows("x/b", "x/a")


def test_both_selectors_hold_together_and_two_peers_do_not() -> None:
    both = "namespaceSelector: {matchLabels: {env: test}}"
    spaces = {"y": {"env": "test"}, "x": {"env": "test"}}
    found = world(
        f"  podSelector: {{}}\n  ingress: [{{from: [{{{both}, podSelector: {{matchLabels: {{team: red}}}}}}]}}]",
        namespaces=spaces,
    )
    assert found.allows("y/c", "x/a")
    assert not found.allows("x/b", "x/a")
    apart = "[{namespaceSelector: {matchLabels: {env: prod}}}, {podSelector: {matchLabels: {app: b}}}]"
    found = world(f"  podSelector: {{}}\n  ingress: [{{from: {apart}}}]", namespaces=spaces)
    assert found.allows("x/b", "x/a")
    assert not found.allows("y/c", "x/a")


def test_namespaces_carry_their_name_as_a_label() -> None:
    found = world(
        "  podSelector: {}\n  ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]}]"
    )
    assert found.allows("y/c", "x/a")
    assert not found.allows("x/b", "x/a")


@pytest.mark.parametrize(
    ("expression", "red", "plain"),
    [
        ("{key: team, operator: In, values: [red, blue]}", True, False),
        ("{key: team, operator: NotIn, values: [red]}", False, True),
        ("{key: team, operator: NotIn, values: [blue]}", True, True),
        ("{key: team, operator: Exists}", True, False),
        ("{key: team, operator: DoesNotExist}", False, True),
    ],
)
def test_match_expressions(expression: str, red: bool, plain: bool) -> None:
    """`y/c` has team: red, `y/d` has no team."""
    peer = f"{{namespaceSelector: {{}}, podSelector: {{matchExpressions: [{expression}]}}}}"
    text = policy(f"  podSelector: {{}}\n  ingress: [{{from: [{peer}]}}]")
    found = World([A, C, pod("y/d", "10.0.2.2")], text)
    assert (found.allows("y/c", "x/a"), found.allows("y/d", "x/a")) == (red, plain)


def test_labels_and_expressions_are_anded() -> None:
    peer = (
        "{matchLabels: {app: c}, matchExpressions: [{key: team, operator: Exists}, {key: old, operator: DoesNotExist}]}"
    )
    text = policy(f"  podSelector: {{}}\n  ingress: [{{from: [{{namespaceSelector: {{}}, podSelector: {peer}}}]}}]")
    others = [
        pod("y/d", "10.0.2.2", labels={"app": "c"}),
        pod("y/e", "10.0.2.3", labels={"app": "c", "team": "", "old": ""}),
    ]
    found = World([A, C, *others], text)
    assert [found.allows(f"y/{name}", "x/a") for name in "cde"] == [True, False, False]


def test_ip_block_matches_addresses_whoever_holds_them() -> None:
    found = world("  podSelector: {matchLabels: {app: a}}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.1.2/31}}]}]")
    assert found.allows("x/b", "x/a"), "a pod's address"
    assert found.allows("10.0.1.3", "x/a"), "nobody's address"
    assert not found.allows("10.0.1.4", "x/a")
    assert not found.allows("10.0.1.0", "x/a")


def test_ip_block_of_everything_matches_pods_too() -> None:
    found = world("  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]")
    assert found.allows("x/a", "y/c")
    assert found.allows("x/a", OUT)


def test_ip_block_of_one_family_says_nothing_of_the_other() -> None:
    text = policy("  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]")
    found = World([pod("x/a", "10.0.1.1", "fd00::1")], text)
    assert found.allows(OUT, "x/a")
    assert not found.allows("2001:db8::1", "x/a")


def test_except_nests_in_its_block() -> None:
    block = "{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.1.2.0/24, 10.255.255.255/32]}}"
    found = world(f"  podSelector: {{}}\n  ingress: [{{from: [{block}]}}]")
    inside = ("10.0.255.255", "10.2.0.0", "10.255.255.254")
    outside = ("10.1.0.0", "10.1.2.5", "10.1.255.255", "10.255.255.255", "11.0.0.0", "9.255.255.255")
    assert [found.allows(ip, "x/a") for ip in (*inside, *outside)] == [True] * 3 + [False] * 6


def test_protocol_absent_means_tcp() -> None:
    found = world("  podSelector: {}\n  ingress: [{ports: [{port: 80}]}]")
    assert [found.allows(OUT, "x/a", what) for what in ("tcp/80", "udp/80", "sctp/80")] == [True, False, False]


def test_port_absent_means_every_port_of_the_protocol() -> None:
    found = world("  podSelector: {}\n  ingress: [{ports: [{protocol: UDP}]}]")
    whats = ("udp/0", "udp/53", "udp/65535", "tcp/53", "icmp")
    assert [found.allows(OUT, "x/a", what) for what in whats] == [True] * 3 + [False] * 2


def test_a_port_entry_with_nothing_means_all_of_tcp() -> None:
    found = world("  podSelector: {}\n  ingress: [{ports: [{}]}]")
    assert [found.allows(OUT, "x/a", what) for what in ("tcp/1", "udp/1", "icmp")] == [True, False, False]


def test_end_port_is_inclusive() -> None:
    found = world(
        "  podSelector: {}\n  ingress: [{ports: [{port: 80, endPort: 90}, {port: 5, endPort: 5, protocol: UDP}]}]"
    )
    allowed = [port for port in range(75, 95) if found.allows(OUT, "x/a", f"tcp/{port}")]
    assert allowed == list(range(80, 91))
    assert [found.allows(OUT, "x/a", f"udp/{port}") for port in (4, 5, 6, 80)] == [False, True, False, False]


def test_a_rule_needs_both_its_peer_and_its_port() -> None:
    found = world("  podSelector: {}\n  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]")
    assert found.allows("x/b", "x/a", "tcp/80")
    assert not found.allows("x/b", "x/a", "tcp/81")
    assert not found.allows("y/c", "x/a", "tcp/80")


def test_sctp_rules_isolate_and_never_admit_tcp() -> None:
    found = world("  podSelector: {}\n  ingress: [{ports: [{protocol: SCTP, port: 80}]}]")
    assert [found.allows(OUT, "x/a", what) for what in ("sctp/80", "tcp/80", "sctp/81")] == [True, False, False]


SERVERS = [
    pod("x/a", "10.0.1.1", ports=("web=tcp/80", "dns=udp/53", "dns=tcp/5353")),
    pod("x/b", "10.0.1.2", ports=("web=tcp/8080", "web=udp/9090")),
    pod("x/c", "10.0.1.3", ports=("=tcp/80",)),
]


def test_named_ports_are_those_of_the_destination_pod() -> None:
    found = World(SERVERS, policy("  podSelector: {}\n  ingress: [{ports: [{port: web}]}]"))
    assert [found.allows(OUT, "x/a", f"tcp/{port}") for port in (80, 8080)] == [True, False]
    assert [found.allows(OUT, "x/b", f"tcp/{port}") for port in (80, 8080)] == [False, True]
    assert not found.allows(OUT, "x/c", "tcp/80"), "the number without the name"


def test_named_ports_on_egress_are_the_destinations_too() -> None:
    rule = "{to: [{podSelector: {}}], ports: [{port: web}]}"
    found = World(SERVERS, policy(f"  podSelector: {{}}\n  policyTypes: [Egress]\n  egress: [{rule}]"))
    assert [found.allows("x/c", "x/a", f"tcp/{port}") for port in (80, 8080)] == [True, False]
    assert [found.allows("x/a", "x/b", f"tcp/{port}") for port in (80, 8080)] == [False, True]


def test_a_named_ports_protocol_must_agree() -> None:
    found = World(
        SERVERS,
        policy("  podSelector: {}\n  ingress: [{ports: [{port: dns, protocol: UDP}, {port: web, protocol: SCTP}]}]"),
    )
    whats = ("udp/53", "tcp/53", "tcp/5353", "udp/5353", "sctp/80", "tcp/80")
    assert [found.allows(OUT, "x/a", what) for what in whats] == [True] + [False] * 5
    assert not found.allows(OUT, "x/b", "udp/9090")


def test_named_ports_towards_an_ip_block_match_nothing() -> None:
    rule = "{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: web}]}"
    found = World(SERVERS, policy(f"  podSelector: {{}}\n  policyTypes: [Egress]\n  egress: [{rule}]"))
    assert not found.allows("x/b", "x/a", "tcp/80"), "even if a pod holds the address"


def test_named_ports_from_an_ip_block_are_the_subjects() -> None:
    rule = "{from: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: web}]}"
    found = World(SERVERS, policy(f"  podSelector: {{}}\n  ingress: [{rule}]"))
    assert [found.allows(OUT, "x/b", f"tcp/{port}") for port in (80, 8080)] == [False, True]


def test_named_ports_towards_anyone_are_those_of_pods() -> None:
    found = World(SERVERS, policy("  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{ports: [{port: web}]}]"))
    assert found.allows("x/a", "x/b", "tcp/8080")
    assert not found.allows("x/a", OUT, "tcp/80")


def test_a_name_that_no_pod_serves_matches_nothing() -> None:
    found = World(SERVERS, policy("  podSelector: {}\n  ingress: [{ports: [{port: nobody}]}]"))
    assert not any(found.allows(OUT, "x/a", f"tcp/{port}") for port in (0, 80, 5353))


def test_other_protocols_pass_only_without_ports() -> None:
    every = "[{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]"
    found = world(f"  podSelector: {{}}\n  ingress: [{{ports: {every}}}]")
    assert found.allows(OUT, "x/a", "udp/136")
    assert not found.allows(OUT, "x/a", "icmp")
    assert not found.allows(OUT, "x/a", "udplite")
    assert world("  podSelector: {}\n  ingress: [{}]").allows(OUT, "x/a", "icmp")
