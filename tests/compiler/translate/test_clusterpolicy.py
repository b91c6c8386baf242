"""The admin and baseline tiers. Quotations are the field documentation of network-policy-api v0.2.0 (v1alpha2) and
v0.1.8 (v1alpha1)."""

from __future__ import annotations

import pytest

from compiler.net import SCTP, TCP, UDP, parse_prefix
from compiler.policy import (
    Action,
    Anyone,
    Block,
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
from compiler.sources.manifests import load
from compiler.translate import closed
from tests.compiler.translate.written import cluster_policy, translated

CNP, ANP, BANP = "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"
HEADS = {
    CNP: "tier: Admin, priority: 7, subject: {namespaces: {}}",
    ANP: "priority: 7, subject: {namespaces: {}}",
    BANP: "subject: {namespaces: {}}",
}
ALLOW = {CNP: "Accept", ANP: "Allow", BANP: "Allow"}
EVERYTHING = Ports(everything=True)
EVERYBODY = PodSelector(Selector(), Selector())


def of(kind: str, rest: str = "") -> Policy:
    return cluster_policy(f"{HEADS[kind]}{', ' if rest else ''}{rest}", kind, "default" if kind == BANP else "p")


def ingress(kind: str, rule: str) -> Rule:
    (found,) = of(kind, f"ingress: [{{{rule}}}]").ingress
    return found


def egress(kind: str, rule: str) -> Rule:
    (found,) = of(kind, f"egress: [{{{rule}}}]").egress
    return found


def app(value: str) -> Selector:
    return Selector((Requirement("app", "In", (value,)),))


class TestTiers:
    def test_of_a_cluster_network_policy_is_its_own(self) -> None:
        admin = cluster_policy("tier: Admin, priority: 0, subject: {namespaces: {}}")
        baseline = cluster_policy("tier: Baseline, priority: 1000, subject: {namespaces: {}}")
        assert (admin.tier, admin.priority) == (Tier.ADMIN, 0)
        assert (baseline.tier, baseline.priority) == (Tier.BASELINE, 1000)

    def test_of_v1alpha1_is_its_kind_s(self) -> None:
        assert (of(ANP).tier, of(ANP).priority) == (Tier.ADMIN, 7)
        assert of(BANP).tier is Tier.BASELINE

    def test_a_baseline_admin_policy_comes_last(self) -> None:
        last = cluster_policy("tier: Baseline, priority: 1000, subject: {namespaces: {}}", name="z")
        assert max(last, of(BANP), key=lambda policy: policy.order) == of(BANP)

    @pytest.mark.parametrize("kind", HEADS)
    def test_they_isolate_nobody(self, kind: str) -> None:
        assert of(kind, f"ingress: [{{action: {ALLOW[kind]}, from: [{{namespaces: {{}}}}]}}]").isolates == frozenset()

    @pytest.mark.parametrize("kind", HEADS)
    @pytest.mark.parametrize("rest", ["", "ingress: [], egress: []", "ingress: null"])
    def test_without_rules_they_have_no_effect(self, kind: str, rest: str) -> None:
        """ingress: "ClusterNetworkPolicies with no ingress rules do not affect ingress traffic." """
        assert (of(kind, rest).ingress, of(kind, rest).egress) == ((), ())

    def test_origin(self) -> None:
        found = ingress(ANP, "action: Deny, from: [{namespaces: {}}]").origin
        assert str(found) == "AdminNetworkPolicy p ingress[0] (0.yaml:1)"


class TestSubjects:
    @pytest.mark.parametrize("kind", HEADS)
    @pytest.mark.parametrize(
        ("subject", "expected"),
        [
            # namespaces: "used to select pods via namespace selectors"; an empty selector selects all
            ("namespaces: {}", EVERYBODY),
            ("namespaces: {matchLabels: {app: x}}", PodSelector(app("x"), Selector())),
            (
                "pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}",
                PodSelector(Selector(), app("db")),
            ),
            (
                "pods: {namespaceSelector: {matchLabels: {app: x}}, podSelector: {matchLabels: {app: db}}}",
                PodSelector(app("x"), app("db")),
            ),
        ],
    )
    def test_select_pods(self, kind: str, subject: str, expected: PodSelector) -> None:
        spec = HEADS[kind].replace("namespaces: {}", subject)
        assert cluster_policy(spec, kind, "default").subject == expected
        peer = ingress(kind, f"action: {ALLOW[kind]}, from: [{{{subject}}}]")
        assert peer.peers == (expected,), "an ingress peer reads the same"
        assert egress(kind, f"action: {ALLOW[kind]}, to: [{{{subject}}}]").peers == (expected,)

    def test_an_absent_namespace_selector_of_v1alpha2_selects_all(self) -> None:
        spec = HEADS[CNP].replace("namespaces: {}", "pods: {podSelector: {matchLabels: {app: db}}}")
        assert cluster_policy(spec).subject == PodSelector(Selector(), app("db"))


class TestActions:
    @pytest.mark.parametrize(
        ("kind", "word", "action"),
        [
            (CNP, "Accept", Action.ALLOW),
            (CNP, "Deny", Action.DENY),
            (CNP, "Pass", Action.PASS),
            (ANP, "Allow", Action.ALLOW),
            (ANP, "Deny", Action.DENY),
            (ANP, "Pass", Action.PASS),
            (BANP, "Allow", Action.ALLOW),
            (BANP, "Deny", Action.DENY),
        ],
    )
    def test_of_both_directions(self, kind: str, word: str, action: Action) -> None:
        assert ingress(kind, f"action: {word}, from: [{{namespaces: {{}}}}]").action is action
        assert egress(kind, f"action: {word}, to: [{{namespaces: {{}}}}]").action is action

    def test_rules_keep_their_order(self) -> None:
        """ "A rule that appears at the top of the ingress rules would take the highest precedence." """
        rules = ", ".join(f"{{action: {word}, from: [{{namespaces: {{}}}}]}}" for word in ("Deny", "Accept", "Pass"))
        assert [r.action for r in of(CNP, f"ingress: [{rules}]").ingress] == [Action.DENY, Action.ALLOW, Action.PASS]


class TestEgressPeers:
    @pytest.mark.parametrize("kind", HEADS)
    @pytest.mark.parametrize(
        ("peer", "expected"),
        [
            ("nodes: {}", (NodeSelector(Selector()),)),
            ("nodes: {matchLabels: {app: x}}", (NodeSelector(app("x")),)),
            ('networks: ["10.0.0.0/8"]', (Block(parse_prefix("10.0.0.0/8")),)),
            (
                'networks: ["10.0.0.0/8", "fd00::/8", "0.0.0.0/0"]',
                tuple(Block(parse_prefix(text)) for text in ("10.0.0.0/8", "fd00::/8", "0.0.0.0/0")),
            ),
            ('networks: ["10.1.2.3/8"]', (Block(parse_prefix("10.0.0.0/8")),)),  # isCIDR takes host bits
        ],
    )
    def test_addresses(self, kind: str, peer: str, expected: tuple[Peer, ...]) -> None:
        assert egress(kind, f"action: Deny, to: [{{{peer}}}]").peers == expected

    @pytest.mark.parametrize("kind", [CNP, ANP])
    def test_domains(self, kind: str) -> None:
        found = egress(kind, f'action: {ALLOW[kind]}, to: [{{domainNames: ["a.example", "*.b.example"]}}]')
        assert found.peers == (Domains(("a.example", "*.b.example")),)

    def test_several_peers_are_alternatives(self) -> None:
        found = egress(CNP, 'action: Accept, to: [{namespaces: {}}, {networks: ["10.0.0.0/8"]}, {nodes: {}}]')
        assert found.peers == (EVERYBODY, Block(parse_prefix("10.0.0.0/8")), NodeSelector(Selector()))


class TestPortsOfV1Alpha2:
    """protocols: "If not specified, all traffic is matched" in the sense of ports and protocols."""

    @pytest.mark.parametrize(
        ("protocols", "expected"),
        [
            ("null", EVERYTHING),
            ("[{tcp: {destinationPort: {number: 80}}}]", Ports(spans=((TCP, 80, 80),))),
            ("[{udp: {destinationPort: {range: {start: 5, end: 9}}}}]", Ports(spans=((UDP, 5, 9),))),
            (
                "[{sctp: {destinationPort: {number: 9}}}, {tcp: {destinationPort: {number: 1}}}]",
                Ports(spans=((SCTP, 9, 9), (TCP, 1, 1))),
            ),
            ("[{destinationNamedPort: http}]", Ports(named=(NamedPort("http"),))),
            (
                "[{destinationNamedPort: http}, {udp: {destinationPort: {number: 53}}}]",
                Ports(spans=((UDP, 53, 53),), named=(NamedPort("http"),)),
            ),
        ],
    )
    def test_of_both_directions(self, protocols: str, expected: Ports) -> None:
        assert ingress(CNP, f"action: Accept, from: [{{namespaces: {{}}}}], protocols: {protocols}").ports == expected
        assert egress(CNP, f"action: Accept, to: [{{namespaces: {{}}}}], protocols: {protocols}").ports == expected

    def test_absent(self) -> None:
        assert ingress(CNP, "action: Accept, from: [{namespaces: {}}]").ports == EVERYTHING


class TestPortsOfV1Alpha1:
    """ports: "If Ports is not set then the rule does not filter traffic via port." """

    @pytest.mark.parametrize("kind", [ANP, BANP])
    @pytest.mark.parametrize(
        ("ports", "expected"),
        [
            ("null", EVERYTHING),
            # protocol: "If not specified, this field defaults to TCP."
            ("[{portNumber: {port: 80}}]", Ports(spans=((TCP, 80, 80),))),
            ("[{portNumber: {protocol: UDP, port: 80}}]", Ports(spans=((UDP, 80, 80),))),
            ("[{portRange: {start: 5, end: 9}}]", Ports(spans=((TCP, 5, 9),))),
            ("[{portRange: {protocol: SCTP, start: 5, end: 5}}]", Ports(spans=((SCTP, 5, 5),))),
            ("[{namedPort: http}]", Ports(named=(NamedPort("http"),))),
            (
                "[{namedPort: http}, {portNumber: {port: 1}}, {portRange: {start: 2, end: 3}}]",
                Ports(spans=((TCP, 1, 1), (TCP, 2, 3)), named=(NamedPort("http"),)),
            ),
        ],
    )
    def test_of_both_directions(self, kind: str, ports: str, expected: Ports) -> None:
        assert ingress(kind, f"action: Allow, from: [{{namespaces: {{}}}}], ports: {ports}").ports == expected
        assert egress(kind, f"action: Allow, to: [{{namespaces: {{}}}}], ports: {ports}").ports == expected


#: What the schemas let in although no text gives it a meaning.
UNKNOWN_SELECTORS = {
    "operator in lower case": "matchExpressions: [{key: a, operator: exists}]",
    "operator of another API": "matchExpressions: [{key: a, operator: Gt, values: ['1']}]",
    "In without values": "matchExpressions: [{key: a, operator: In}]",
    "NotIn with an empty list": "matchExpressions: [{key: a, operator: NotIn, values: []}]",
    "Exists with values": "matchExpressions: [{key: a, operator: Exists, values: [x]}]",
    "DoesNotExist with values": "matchExpressions: [{key: a, operator: DoesNotExist, values: [x]}]",
    "one of several": (
        "matchLabels: {app: x}, matchExpressions: [{key: a, operator: In, values: [x]}, {key: b, operator: in}]"
    ),
}
UNKNOWN_PORTS = {
    "protocol in lower case": "portNumber: {protocol: tcp, port: 80}",
    "protocol without ports": "portNumber: {protocol: ICMP, port: 80}",
    "range of an unknown protocol": "portRange: {protocol: QUIC, start: 1, end: 2}",
    "range that ends before it starts": "portRange: {start: 90, end: 80}",
}


class TestFailingClosed:
    """ "In that case it should fail closed": "For "Accept" rules ... treat the rule as matching no traffic. For
    "Deny" and "Pass" rules ... treat the rule as a "Deny all" rule"."""

    NOTHING = ((), Ports())
    DENY_ALL = ((Anyone(),), EVERYTHING)

    def assert_closed(self, rule: Rule, word: str) -> None:
        if word in ("Accept", "Allow"):
            assert rule.action is Action.ALLOW
            assert not rule.peers, "no peer at all matches nothing"
        else:
            assert (rule.action, rule.peers, rule.ports) == (Action.DENY, *self.DENY_ALL)

    @pytest.mark.parametrize("word", ["Accept", "Deny", "Pass"])
    @pytest.mark.parametrize("case", UNKNOWN_SELECTORS)
    def test_selectors_of_peers(self, case: str, word: str) -> None:
        chosen = UNKNOWN_SELECTORS[case]
        for peer in (
            f"namespaces: {{{chosen}}}",
            f"pods: {{namespaceSelector: {{{chosen}}}, podSelector: {{}}}}",
            f"pods: {{namespaceSelector: {{}}, podSelector: {{{chosen}}}}}",
        ):
            self.assert_closed(ingress(CNP, f"action: {word}, from: [{{{peer}}}]"), word)
            self.assert_closed(egress(CNP, f"action: {word}, to: [{{namespaces: {{}}}}, {{{peer}}}]"), word)
        self.assert_closed(egress(CNP, f"action: {word}, to: [{{nodes: {{{chosen}}}}}]"), word)

    @pytest.mark.parametrize("kind", [ANP, BANP])
    @pytest.mark.parametrize("word", ["Allow", "Deny"])
    @pytest.mark.parametrize("case", UNKNOWN_PORTS)
    def test_ports(self, case: str, word: str, kind: str) -> None:
        ports = f"ports: [{{portNumber: {{port: 1}}}}, {{{UNKNOWN_PORTS[case]}}}]"
        self.assert_closed(ingress(kind, f"action: {word}, from: [{{namespaces: {{}}}}], {ports}"), word)
        self.assert_closed(egress(kind, f"action: {word}, to: [{{namespaces: {{}}}}], {ports}"), word)

    def test_the_other_rules_of_the_policy_are_read(self) -> None:
        broken = "{action: Accept, from: [{namespaces: {matchExpressions: [{key: a, operator: x}]}}]}"
        found = of(CNP, f"ingress: [{broken}, {{action: Accept, from: [{{namespaces: {{}}}}]}}]").ingress
        assert [rule.peers for rule in found] == [(), (EVERYBODY,)]

    def test_a_subject_is_closed_for_whom_the_rest_of_it_selects(self) -> None:
        """Whom it meant is unknown; of whom it may have meant nobody is let through by it (decision)."""
        spec = HEADS[CNP].replace("namespaces: {}", f"namespaces: {{{UNKNOWN_SELECTORS['one of several']}}}")
        rules = ", ".join(f"{{action: {word}, from: [{{namespaces: {{}}}}]}}" for word in ("Accept", "Deny", "Pass"))
        found = cluster_policy(f"{spec}, ingress: [{rules}]")
        both = Selector((Requirement("a", "In", ("x",)), Requirement("app", "In", ("x",))))
        assert found.subject == PodSelector(both, Selector())
        for rule, word in zip(found.ingress, ("Accept", "Deny", "Pass"), strict=True):
            self.assert_closed(rule, word)


class TestWhatFailedClosed:
    """`closed` names the rules, so that the user is told."""

    BAD = "{action: Deny, from: [{namespaces: {matchExpressions: [{key: a, operator: x}]}}]}"
    GOOD = "{action: Deny, from: [{namespaces: {}}]}"

    def closed(self, spec: str) -> list[str]:
        head = "apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: p}"
        own = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: q}, spec: {}}"
        return [
            str(o) for o in closed(load([("a.yaml", f"{{{head}, spec: {{{spec}}}}}\n---\n{own}".encode())]).policies)
        ]

    def test_rules_that_cannot_be_read(self) -> None:
        egress = self.BAD.replace("from", "to")
        spec = f"{HEADS[CNP]}, ingress: [{self.GOOD}, {self.BAD}], egress: [{egress}]"
        assert self.closed(spec) == [
            "ClusterNetworkPolicy p ingress[1] (a.yaml:1)",
            "ClusterNetworkPolicy p egress[0] (a.yaml:1)",
        ]
        assert self.closed(f"{HEADS[CNP]}, ingress: [{self.GOOD}]") == []

    def test_every_rule_of_a_subject_that_cannot_be_read(self) -> None:
        head = HEADS[CNP].replace("namespaces: {}", "namespaces: {matchExpressions: [{key: a, operator: x}]}")
        assert len(self.closed(f"{head}, ingress: [{self.GOOD}, {self.GOOD}]")) == 2


def test_all_kinds_are_put_in_order_of_evaluation() -> None:
    def text(kind: str, version: str, name: str, spec: str) -> str:
        return f"{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}}}, spec: {{{spec}}}}}"

    alpha2, alpha1 = "policy.networking.k8s.io/v1alpha2", "policy.networking.k8s.io/v1alpha1"
    subject = "subject: {namespaces: {}}"
    found = translated(
        text(BANP, alpha1, "default", subject),
        text(CNP, alpha2, "late", f"tier: Baseline, priority: 5, {subject}"),
        text("NetworkPolicy", "networking.k8s.io/v1", "mine", "podSelector: {}"),
        text(CNP, alpha2, "z", f"tier: Admin, priority: 3, {subject}"),
        text(ANP, alpha1, "a", f"priority: 3, {subject}"),
        text(ANP, alpha1, "first", f"priority: 1, {subject}"),
    )
    assert [policy.origin.name for policy in found] == ["first", "a", "z", "mine", "late", "default"]
