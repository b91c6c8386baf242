"""Every default of NetworkPolicy. Quotations are the field documentation of networking.k8s.io/v1."""

from __future__ import annotations

import pytest

from compiler.net import SCTP, TCP, UDP, parse_prefix
from compiler.policy import (
    Action,
    Anyone,
    Block,
    Direction,
    NamedPort,
    Peer,
    PodSelector,
    Ports,
    Requirement,
    Rule,
    Selector,
    Tier,
)
from tests.compiler.translate.written import network_policy, translated

IN, OUT = Direction.INGRESS, Direction.EGRESS
EVERYTHING = Ports(everything=True)


def app(value: str) -> Selector:
    return Selector((Requirement("app", "In", (value,)),))


class TestPolicyTypes:
    """ "If this field is not specified, it will default based on the existence of ingress or egress rules; policies
    that contain an egress section are assumed to affect egress, and all policies (whether or not they contain an
    ingress section) are assumed to affect ingress." """

    @pytest.mark.parametrize(
        ("spec", "isolates"),
        [
            ("podSelector: {}", {IN}),
            ("podSelector: {}, policyTypes: null", {IN}),
            ("podSelector: {}, policyTypes: []", {IN}),
            ("podSelector: {}, ingress: [{}]", {IN}),
            ("podSelector: {}, egress: []", {IN}),  # no section: the server looks at the number of rules
            ("podSelector: {}, egress: [{}]", {IN, OUT}),
            ("podSelector: {}, policyTypes: [], egress: [{}]", {IN, OUT}),
            ("podSelector: {}, policyTypes: [Egress]", {OUT}),
            ("podSelector: {}, policyTypes: [Egress], ingress: [{}]", {OUT}),
            ("podSelector: {}, policyTypes: [Ingress], egress: [{}]", {IN}),
            ("podSelector: {}, policyTypes: [Ingress, Egress]", {IN, OUT}),
        ],
    )
    def test_which_directions_a_policy_isolates(self, spec: str, isolates: set[Direction]) -> None:
        assert network_policy(spec).isolates == isolates


class TestSubject:
    """podSelector: "selects the pods to which this NetworkPolicy object applies ... An empty selector matches all
    pods in the policy's namespace." """

    @pytest.mark.parametrize("spec", ["podSelector: {}", "podSelector: {matchLabels: {}}", "policyTypes: [Ingress]"])
    def test_everybody(self, spec: str) -> None:
        assert network_policy(spec).subject == PodSelector("shop", Selector())

    def test_some(self) -> None:
        assert network_policy("podSelector: {matchLabels: {app: web}}").subject == PodSelector("shop", app("web"))

    def test_a_policy_without_namespace_is_in_default(self) -> None:
        """As kubectl applies it where the context names none."""
        policy = network_policy("podSelector: {}, ingress: [{from: [{podSelector: {}}]}]", namespace="")
        assert policy.subject.namespaces == "default"
        assert policy.origin.namespace == "default"
        assert policy.ingress[0].peers == (PodSelector("default", Selector()),)

    def test_tier(self) -> None:
        policy = network_policy("podSelector: {}")
        assert (policy.tier, policy.priority) == (Tier.APPLICATION, 0)


def ingress(rule: str) -> Rule:
    (found,) = network_policy(f"podSelector: {{}}, ingress: [{rule}]").ingress
    return found


def egress(rule: str) -> Rule:
    (found,) = network_policy(f"podSelector: {{}}, egress: [{rule}]").egress
    return found


class TestRules:
    @pytest.mark.parametrize(
        "spec", ["podSelector: {}", "podSelector: {}, ingress: []", "podSelector: {}, ingress: null"]
    )
    def test_none_allow_nothing(self, spec: str) -> None:
        """ "If this field is empty then this NetworkPolicy does not allow any traffic (and serves solely to ensure
        that the pods it selects are isolated by default)." """
        assert network_policy(spec).ingress == ()

    @pytest.mark.parametrize("rule", ["{}", "{from: []}", "{from: null}", "{ports: []}", "null"])
    def test_an_empty_ingress_rule_matches_all_sources_and_ports(self, rule: str) -> None:
        """from: "If this field is empty or missing, this rule matches all sources (traffic not restricted by
        source)." """
        found = ingress(rule)
        assert found.peers == (Anyone(),)
        assert found.ports == EVERYTHING
        assert found.action is Action.ALLOW

    @pytest.mark.parametrize("rule", ["{}", "{to: []}", "{to: null}", "{ports: null}"])
    def test_an_empty_egress_rule_matches_all_destinations_and_ports(self, rule: str) -> None:
        """to: "If this field is empty or missing, this rule matches all destinations (traffic not restricted by
        destination)." """
        assert (egress(rule).peers, egress(rule).ports) == ((Anyone(),), EVERYTHING)

    def test_keep_their_order_and_number(self) -> None:
        policy = network_policy(
            "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}, {}], egress: [{}, {}, {}]"
        )
        assert [rule.peers for rule in policy.ingress] == [(PodSelector("shop", app("a")),), (Anyone(),)]
        assert len(policy.egress) == 3

    def test_of_a_direction_that_the_policy_does_not_isolate_are_still_written_down(self) -> None:
        """They count for nothing (`resolve.classes`), but explanations may name them."""
        assert len(network_policy("podSelector: {}, policyTypes: [Egress], ingress: [{}]").ingress) == 1


class TestPeers:
    @pytest.mark.parametrize(
        ("peer", "expected"),
        [
            # podSelector: "Otherwise it selects the pods matching podSelector in the policy's own namespace."
            ("podSelector: {matchLabels: {app: web}}", PodSelector("shop", app("web"))),
            ("podSelector: {}", PodSelector("shop", Selector())),
            # namespaceSelector: "Otherwise it selects all pods in the namespaces selected by namespaceSelector";
            # "if present but empty, it selects all namespaces"
            ("namespaceSelector: {}", PodSelector(Selector(), Selector())),
            ("namespaceSelector: {matchLabels: {app: x}}", PodSelector(app("x"), Selector())),
            # "If podSelector is also set, then the NetworkPolicyPeer as a whole selects the pods matching
            # podSelector in the namespaces selected by namespaceSelector."
            (
                "namespaceSelector: {matchLabels: {app: x}}, podSelector: {matchLabels: {app: db}}",
                PodSelector(app("x"), app("db")),
            ),
            ("namespaceSelector: {}, podSelector: {}", PodSelector(Selector(), Selector())),
            ("namespaceSelector: null, podSelector: {}", PodSelector("shop", Selector())),
            # ipBlock
            ("ipBlock: {cidr: 10.0.0.0/8}", Block(parse_prefix("10.0.0.0/8"))),
            ("ipBlock: {cidr: 10.0.0.0/8, except: []}", Block(parse_prefix("10.0.0.0/8"))),
            (
                'ipBlock: {cidr: "fd00::/16", except: ["fd00:2::/32", "fd00:1::/32"]}',
                Block(parse_prefix("fd00::/16"), (parse_prefix("fd00:2::/32"), parse_prefix("fd00:1::/32"))),
            ),
        ],
    )
    def test_of_both_directions(self, peer: str, expected: Peer) -> None:
        assert ingress(f"{{from: [{{{peer}}}]}}").peers == (expected,)
        assert egress(f"{{to: [{{{peer}}}]}}").peers == (expected,)

    def test_are_alternatives(self) -> None:
        """ "Items in this list are combined using a logical OR operation." """
        found = ingress("{from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}]}")
        assert found.peers == (PodSelector("shop", Selector()), Block(parse_prefix("10.0.0.0/8")))


class TestPorts:
    @pytest.mark.parametrize(
        ("port", "expected"),
        [
            # protocol: "If not specified, this field defaults to TCP."
            ("port: 80", (TCP, 80, 80)),
            ("port: 80, protocol: null", (TCP, 80, 80)),
            ("port: 80, protocol: UDP", (UDP, 80, 80)),
            ("port: 80, protocol: SCTP", (SCTP, 80, 80)),
            # port: "If this field is not provided, this matches all port names and numbers."
            ("protocol: UDP", (UDP, 0, 65535)),
            ("", (TCP, 0, 65535)),
            # endPort: "indicates that the range of ports from port to endPort if set, inclusive"
            ("port: 80, endPort: 90", (TCP, 80, 90)),
            ("port: 80, endPort: 80", (TCP, 80, 80)),
            ("port: 1, endPort: 65535, protocol: UDP", (UDP, 1, 65535)),
        ],
    )
    def test_numbers(self, port: str, expected: tuple[int, int, int]) -> None:
        for found in (ingress(f"{{ports: [{{{port}}}]}}"), egress(f"{{ports: [{{{port}}}]}}")):
            assert found.ports == Ports(spans=(expected,))

    def test_names(self) -> None:
        found = ingress("{ports: [{port: http}, {port: dns, protocol: UDP}, {port: 80}]}").ports
        assert found == Ports(spans=((TCP, 80, 80),), named=(NamedPort("http", TCP), NamedPort("dns", UDP)))

    @pytest.mark.parametrize("ports", ["[]", "null"])
    def test_none_are_every_port_and_protocol(self, ports: str) -> None:
        """ports: "If this field is empty or missing, this rule matches all ports (traffic not restricted by port)." """
        assert ingress(f"{{ports: {ports}}}").ports == EVERYTHING


class TestSelectors:
    """metav1.LabelSelector: "matchLabels is a map of {key,value} pairs. A single {key,value} in the matchLabels map
    is equivalent to an element of matchExpressions, whose key field is "key", the operator is "In", and the values
    array contains only "value". The requirements are ANDed." """

    def selector(self, text: str) -> Selector:
        return network_policy(f"podSelector: {{{text}}}").subject.pods

    def test_equal_ones_are_equal_values_however_they_are_written(self) -> None:
        written = [
            "matchLabels: {a: x, b: db}",
            "matchLabels: {b: db, a: x}",
            "matchLabels: {a: x}, matchExpressions: [{key: b, operator: In, values: [db]}]",
            "matchExpressions: [{key: b, operator: In, values: [db, db]}, {key: a, operator: In, values: [x]}]",
            "matchLabels: {a: x, b: db}, matchExpressions: [{key: b, operator: In, values: [db]}]",
        ]
        expected = Selector((Requirement("a", "In", ("x",)), Requirement("b", "In", ("db",))))
        assert [self.selector(text) for text in written] == [expected] * len(written)

    def test_values_are_sorted(self) -> None:
        one = self.selector("matchExpressions: [{key: a, operator: NotIn, values: [z, x, w]}]")
        assert one == Selector((Requirement("a", "NotIn", ("w", "x", "z")),))

    def test_every_operator(self) -> None:
        found = self.selector(
            "matchExpressions: [{key: a, operator: Exists}, {key: b, operator: DoesNotExist, values: []},"
            " {key: c, operator: NotIn, values: [x]}, {key: a, operator: In, values: [db]}]"
        )
        assert found == Selector(
            (
                Requirement("a", "Exists"),
                Requirement("a", "In", ("db",)),
                Requirement("b", "DoesNotExist"),
                Requirement("c", "NotIn", ("x",)),
            )
        )


class TestOrigins:
    TEXT = """\
        # a comment
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: web, namespace: shop}
        spec:
          podSelector: {}
          ingress:
          - from: [{podSelector: {}}]
          - ports: [{port: 80}]
          egress:
          - {}
        """

    def test_say_object_rule_and_line(self) -> None:
        (policy,) = translated(self.TEXT)
        assert str(policy.origin) == "shop/web (0.yaml:2)"
        assert [str(rule.origin) for rule in policy.ingress] == [
            "shop/web ingress[0] (0.yaml:8)",
            "shop/web ingress[1] (0.yaml:9)",
        ]
        assert [str(rule.origin) for rule in policy.egress] == ["shop/web egress[0] (0.yaml:11)"]
        assert policy.origin.kind == "NetworkPolicy"

    def test_no_rule_has_a_weight_yet(self) -> None:
        (policy,) = translated(self.TEXT)
        assert all(rule.weight is None for rule in (*policy.ingress, *policy.egress))
