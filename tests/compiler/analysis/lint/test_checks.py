"""Every check: what it finds, where, and what it must not find."""

from __future__ import annotations

import pytest

from compiler.analysis.lint import CODES, lint
from compiler.analysis.lint.findings import Finding, Level
from compiler.snapshot import build
from compiler.sources.manifests import load

CLUSTER = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: blue}}}
- {apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
- apiVersion: v1
  kind: Pod
  metadata: {namespace: shop, name: web, labels: {app: frontend}}
  spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
  status: {podIP: 10.0.0.1}
- apiVersion: v1
  kind: Pod
  metadata: {namespace: shop, name: db, labels: {app: database, app.kubernetes.io/name: db}}
  spec: {containers: [{name: c, ports: [{name: sql, containerPort: 5432}]}]}
  status: {podIP: 10.0.0.2}
- apiVersion: v1
  kind: Pod
  metadata: {namespace: kube-system, name: dns, labels: {k8s-app: kube-dns}}
  spec: {containers: [{name: c, ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}
  status: {podIP: 10.0.0.53}
---
"""


def network(name: str, spec: str, annotations: str = "{}") -> str:
    return f"""
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: shop, name: {name}, annotations: {annotations}}}
spec: {spec}
"""


def cluster(name: str, rules: str, priority: int = 5, subject: str = "{namespaces: {}}", tier: str = "Admin") -> str:
    return f"""
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {{name: {name}}}
spec: {{tier: {tier}, priority: {priority}, subject: {subject}, {rules}}}
"""


def found(text: str, *, pods: bool = True) -> list[Finding]:
    loaded = load([("p.yaml", ((CLUSTER if pods else "") + text).encode())])
    referred = {p.value.metadata.namespace or "default" for p in loaded.policies}
    snapshot = build((*loaded.pods, *loaded.templates), loaded.namespaces, loaded.nodes, referred)
    return list(lint(loaded.policies, snapshot, loaded.spaces))


def messages(text: str, code: str, *, pods: bool = True) -> list[str]:
    assert code in CODES
    return [one.flaw.message for one in found(text, pods=pods) if one.flaw.code == code]


ALL = "podSelector: {}"
FROM_WEB = "from: [{podSelector: {matchLabels: {app: frontend}}}]"


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        ("selects-nothing", network("a", "{podSelector: {matchLabels: {app: x}}}"), "pods(app=x) in shop"),
        (
            "peer-selects-nobody",
            network("a", f"{{{ALL}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: x}}}}}}]}}]}}"),
            "pods(app=x) in shop",
        ),
        (
            "unused-direction",
            network("a", f"{{{ALL}, policyTypes: [Ingress], egress: [{{}}]}}"),
            "policyTypes does not list Egress",
        ),
        ("port-not-served", network("a", f"{{{ALL}, ingress: [{{ports: [{{port: 81}}]}}]}}"), "serves 81/TCP"),
        (
            "port-not-served",
            network("a", f"{{{ALL}, ingress: [{{ports: [{{port: 53, protocol: TCP}}]}}]}}"),
            "serves 53/TCP",
        ),
        (
            "port-not-served",
            network("a", f"{{{ALL}, egress: [{{to: [{{{ALL}}}], ports: [{{port: 1, endPort: 99}}]}}]}}"),
            "serves 1-99/TCP",
        ),
        ("named-port-unknown", network("a", f"{{{ALL}, ingress: [{{ports: [{{port: grpc}}]}}]}}"), "port named grpc"),
        (
            "named-port-unknown",
            network(
                "a", f"{{{ALL}, egress: [{{to: [{{ipBlock: {{cidr: 192.0.2.0/24}}}}], ports: [{{port: http}}]}}]}}"
            ),
            "only pods matched by a selector have named ports",
        ),
        (
            "block-over-pods",
            network("a", f"{{{ALL}, egress: [{{to: [{{ipBlock: {{cidr: 10.0.0.0/24}}}}]}}]}}"),
            "10.0.0.2 (shop/db)",
        ),
        (
            "label-typo",
            network("a", "{podSelector: {matchLabels: {app: frontent}}}"),
            "app=frontent: did you mean app=frontend?",
        ),
        (
            "label-typo",
            network(
                "a",
                f"{{{ALL}, ingress: [{{from: [{{namespaceSelector: "
                "{matchLabels: {kubernetes.io/metadata.nam: shop}}}]}]}",
            ),
            "did you mean kubernetes.io/metadata.name?",
        ),
        (
            "label-typo",
            network("a", "{podSelector: {matchLabels: {app.kubernetes.io/nane: db}}}"),
            "did you mean app.kubernetes.io/name?",
        ),
        (
            "egress-without-dns",
            network("a", f"{{{ALL}, egress: [{{to: [{{{ALL}}}]}}]}}"),
            "may not ask for names",
        ),
        ("no-default-deny", network("a", "{podSelector: {matchLabels: {app: frontend}}}"), "1 of 2 pods"),
        (
            "fails-closed",
            cluster(
                "a", "egress: [{action: Deny, to: [{namespaces: {matchExpressions: [{key: a, operator: exists}]}}]}]"
            ),
            "not all of this can be read",
        ),
        (
            "domains-unknown",
            cluster("a", "egress: [{action: Accept, to: [{domainNames: [example.org]}]}]"),
            "files hold no DNS answers",
        ),
        ("nodes-unknown", cluster("a", "egress: [{action: Deny, to: [{nodes: {}}]}]"), "no Node objects"),
        (
            "bad-suppression",
            network("a", f"{{{ALL}}}", '{netpolc.io/lint-ignore: "selects-nothing"}'),
            "without a reason",
        ),
        (
            "bad-suppression",
            network("a", f"{{{ALL}}}", '{netpolc.io/lint-ignore: "nonsense why"}'),
            "no check nonsense",
        ),
        (
            "bad-suppression",
            network("a", f"{{{ALL}}}", '{netpolc.io/lint-ignore: "label-typo why"}'),
            "nothing is found",
        ),
    ],
)
def test_is_found(code: str, text: str, said: str) -> None:
    told = messages(text, code)
    assert any(said in one for one in told), told


def test_every_code_is_tested_and_documented() -> None:
    from pathlib import Path

    page = (Path(__file__).resolve().parents[4] / "docs/LINT.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []
    here = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in CODES if f'"{code}"' not in here] == []


CLEAN = (
    network("deny", f"{{{ALL}, policyTypes: [Ingress, Egress]}}")
    + network(
        "web", f"{{podSelector: {{matchLabels: {{app: database}}}}, ingress: [{{{FROM_WEB}, ports: [{{port: sql}}]}}]}}"
    )
    + network(
        "dns",
        f"{{{ALL}, policyTypes: [Egress], egress: [{{to: [{{namespaceSelector: {{matchLabels: "
        "{kubernetes.io/metadata.name: kube-system}}}], ports: [{port: 53, protocol: UDP}]}]}",
    )
    + network("world", f"{{{ALL}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: 192.0.2.0/24}}}}]}}]}}")
)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """But for the namespace of DNS, which anybody may ask."""
    assert [(one.flaw.code, one.flaw.span.line) for one in found(CLEAN)] == [("no-default-deny", 6)]


def test_policies_alone_are_not_held_against_nobody() -> None:
    """Without pods in the input nothing is said about who is missing."""
    text = network(
        "a", f"{{podSelector: {{matchLabels: {{app: x}}}}, ingress: [{{{FROM_WEB}, ports: [{{port: 99}}]}}]}}"
    )
    assert found(text, pods=False) == []


def test_a_finding_reads_like_every_diagnostic() -> None:
    (one,) = found("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"
                   "spec:\n  podSelector: {}\n  policyTypes: [Ingress]\n  egress: [{}]\n", pods=False)  # fmt: skip
    assert one.render() == (
        "p.yaml:7:3: error: the egress rules of default/a never count: policyTypes does not list Egress"
        " [unused-direction]\n    7 |   egress: [{}]\n      |   ^^^^^^"
    )


def test_a_suppression_with_a_reason_takes_a_finding_back() -> None:
    text = network("a", "{podSelector: {matchLabels: {app: x}}}", '{netpolc.io/lint-ignore: "selects-nothing soon"}')
    assert {one.flaw.code for one in found(text)} == {"no-default-deny"}


OPEN = "{apiVersion: v1, kind: Namespace, metadata: {name: open, annotations: {netpolc.io/lint-ignore: %s}}}"
OPEN_POD = """
---
{apiVersion: v1, kind: Pod, metadata: {namespace: open, name: web}, spec: {}, status: {podIP: 10.0.0.9}}
---
"""


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        ("no-default-deny it is a playground", []),
        ("no-default-deny", ["no-default-deny", "bad-suppression"]),
        ("no-default-deny it is a playground\\nlabel-typo why", ["bad-suppression"]),
        ("nonsense why", ["no-default-deny", "bad-suppression"]),
    ],
)
def test_suppressions_on_a_namespace(said: str, codes: list[str]) -> None:
    lines = [one.render().splitlines()[0] for one in found(OPEN_POD + OPEN % f'"{said}"', pods=False)]
    assert [line.rpartition("[")[2].rstrip("]") for line in lines] == codes
    assert all(line.startswith("p.yaml:5:") for line in lines)


def test_a_namespace_speaks_for_itself_alone() -> None:
    """Neither for another one nor for its policies."""
    annotation = '"no-default-deny why\\nunused-direction why"'
    policy = network("a", f"{{{ALL}, policyTypes: [Ingress], egress: [{{}}]}}").replace("shop", "open")
    codes = [one.flaw.code for one in found(policy + OPEN_POD.replace("open", "other") + OPEN % annotation, pods=False)]
    assert sorted(codes) == [
        "bad-suppression",
        "bad-suppression",
        "no-default-deny",
        "selects-nothing",
        "unused-direction",
    ]


# Rules over rules


def redundant(*specs: str) -> list[str]:
    return messages("".join(network(f"p{n}", spec) for n, spec in enumerate(specs)), "redundant-rule", pods=False)


def block(cidr: str, ports: str = "", excepts: str = "") -> str:
    cut = f", except: [{excepts}]" if excepts else ""
    return f"{{from: [{{ipBlock: {{cidr: {cidr}{cut}}}}}]{f', ports: [{ports}]' if ports else ''}}}"


def spec(*rules: str, selector: str = ALL) -> str:
    return f"{{{selector}, ingress: [{', '.join(rules)}]}}"


def test_a_union_of_blocks_and_ports_covers() -> None:
    told = redundant(
        spec(block("10.0.0.0/9"), block("10.128.0.0/9", "{port: 1, endPort: 99}")),
        spec(block("10.128.0.0/9", "{port: 100, endPort: 200}"), block("10.192.0.0/10", "{port: 7}")),
        spec(block("10.0.0.0/8", "{port: 80, endPort: 120}"), selector="podSelector: {matchLabels: {a: b}}"),
    )
    assert sorted(told, key=len) == [
        "this rule adds nothing: what it allows is allowed by ingress[1] of shop/p0 (p.yaml:6)",
        "this rule adds nothing: what it allows is allowed by "
        "ingress[0] of shop/p0 (p.yaml:6), ingress[1] of shop/p0 (p.yaml:6), ingress[0] of shop/p1 (p.yaml:12)",
    ]


@pytest.mark.parametrize(
    "specs",
    [
        (spec(block("10.0.0.0/8", "", "10.1.0.0/16")), spec(block("10.0.0.0/8"))),
        (spec(block("10.0.0.0/8", "{port: 80}")), spec(block("10.0.0.0/8", "{port: 80}, {port: 81}"))),
        (spec(block("10.0.0.0/8"), selector="podSelector: {matchLabels: {a: b}}"), spec(block("10.0.0.0/9"))),
        (spec(block("0.0.0.0/0")), spec("{}")),
        (spec("{from: [{podSelector: {matchLabels: {a: b}}}]}"), spec("{from: [{podSelector: {}}]}")),
        (spec("{ports: [{port: http}]}"), spec("{ports: [{port: 8080}]}")),
        ("{podSelector: {}, policyTypes: [Egress], ingress: [{}]}", spec("{}")),
    ],
)
def test_what_is_not_covered_is_not_told(specs: tuple[str, str]) -> None:
    """Of the second one; it may well cover the first."""
    assert [told for told in redundant(*specs) if "shop/p0" in told] == []


@pytest.mark.parametrize(
    "specs",
    [
        (spec("{}"), spec("{from: [{podSelector: {}}], ports: [{port: http}]}")),
        (spec(block("10.0.0.0/8", "", "10.1.0.0/16"), block("10.1.0.0/16")), spec(block("10.0.0.0/8"))),
        (spec("{from: [{podSelector: {}}]}"), spec("{from: [{podSelector: {matchLabels: {a: b}}}]}")),
        (spec(block("0.0.0.0/0"), block("'::/0'")), spec("{ports: [{port: 80}]}")),
        (spec("{ports: [{protocol: TCP}]}"), spec("{ports: [{port: http}]}")),
        (
            spec("{from: [{podSelector: {matchExpressions: [{key: a, operator: In, values: [v, w]}]}}]}"),
            spec("{from: [{podSelector: {matchLabels: {a: v, b: c}}}]}"),
        ),
    ],
)
def test_what_is_covered_is_told(specs: tuple[str, str]) -> None:
    told = redundant(*specs)
    assert len(told) == 1
    assert "shop/p0" in told[0]


def test_equal_rules_are_told_once() -> None:
    assert len(redundant(spec("{}"), spec("{}"))) == 1


DENY_ALL = "egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"


def test_first_match_shadows() -> None:
    text = cluster("b", "egress: [{action: Accept, to: [{networks: [10.1.0.0/16, 10.2.0.0/16]}]}]", 6) + cluster(
        "a", DENY_ALL
    )
    (told,) = messages(text, "shadowed-rule")
    assert "egress[0] of ClusterNetworkPolicy a" in told
    for other in (
        cluster("a", DENY_ALL, 7),
        cluster("a", DENY_ALL, 5, "{namespaces: {matchLabels: {team: blue}}}"),
        cluster("a", DENY_ALL, 5, tier="Baseline"),
    ):
        assert messages(text.split("---")[1] + "---" + other.partition("---")[2], "shadowed-rule") == []


def test_equal_priorities_with_different_actions() -> None:
    accept = "egress: [{action: Accept, to: [{namespaces: {}}]}]"
    assert len(messages(cluster("a", DENY_ALL) + cluster("b", accept), "priority-tie")) == 1
    for other in (
        cluster("b", accept, 6),
        cluster("b", DENY_ALL),
        cluster("b", accept, tier="Baseline"),
        cluster("b", "egress: [{action: Accept, to: [{networks: [192.0.2.0/24]}]}]"),
    ):
        assert messages(cluster("a", DENY_ALL) + other, "priority-tie") == []


def test_levels() -> None:
    levels = {one.flaw.code: one.level for one in found(network("a", spec(block("0.0.0.0/0"))))}
    assert levels == {"block-over-pods": Level.INFO, "no-default-deny": Level.INFO}
