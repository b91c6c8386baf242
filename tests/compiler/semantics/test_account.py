"""What became of every rule: the oracle's account."""

from __future__ import annotations

from compiler.semantics.account import Account, Outcome, account
from compiler.semantics.verdict import Because
from tests.compiler.semantics.world import World, pod

PODS = (
    pod("shop/web", "10.0.0.1", labels={"app": "web"}),
    pod("shop/db", "10.0.0.2", labels={"app": "db"}, ports=("sql=tcp/5432",)),
    pod("other/db", "10.0.0.3", labels={"app": "db"}, ports=("sql=tcp/5432",)),
)
TIER = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {}}
  egress:
"""
ISOLATE = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
"""


def told(text: str, what: str = "tcp/5432", to: str = "shop/db") -> Account:
    world = World(PODS, text)
    return account(world.oracle, world.packet("shop/web", to, what))[0]


def outcomes(found: Account) -> list[tuple[str, int, Outcome]]:
    return [
        (one.policy.metadata.name, rule.index, rule.outcome)
        for tier in found.tiers
        for one in tier.policies
        for rule in one.rules
    ]


def test_misses_say_what_misses() -> None:
    found = told(
        ISOLATE
        + """
  - {to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 80}]}
  - {to: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: sql}]}
  - {to: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.2/31]}}, {namespaceSelector: {matchLabels: {a: b}}}]}
  - {to: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}}], ports: [{port: nix}]}
"""
    )
    assert (found.ruling.allowed, found.ruling.because) == (False, Because.ISOLATED)
    assert [one for *_, one in outcomes(found)] == [Outcome.PORT, Outcome.PEER, Outcome.PEER, Outcome.BOTH]
    rules = found.tiers[1].policies[0].rules
    assert rules[0].ports == ("80/TCP",)
    assert rules[1].peers == ("shop/db has app=db, not app=api",)
    assert rules[2].peers == (
        "10.0.0.2 is in 10.0.0.2/31, which 10.0.0.0/24 excepts",
        "namespace shop has no label a=b",
    )
    assert rules[3].peers == ("shop/db has app=db, not app NotIn (db)",)
    assert rules[3].ports == ("nix (no such port on shop/db)",)


def test_a_pod_selector_alone_says_its_namespace() -> None:
    found = told(ISOLATE + "\n  - {to: [{podSelector: {}}]}\n", to="other/db")
    assert found.tiers[1].policies[0].rules[0].peers == ("a podSelector alone means pods of shop, not of other",)


def test_named_ports_towards_a_block_say_so() -> None:
    found = told(ISOLATE + "\n  - {to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: sql}]}\n")
    rule = found.tiers[1].policies[0].rules[0]
    assert rule.outcome is Outcome.PORT
    assert rule.ports == ("sql (only pods matched by a selector have named ports)",)


def test_first_match_decides_and_later_ones_stand_behind() -> None:
    found = told(
        TIER
        + """
  - {action: Deny, to: [{networks: [192.0.2.0/24]}]}
  - {action: Deny, to: [{namespaces: {}}], protocols: [{destinationNamedPort: sql}]}
  - {action: Accept, to: [{namespaces: {}}]}
"""
        + ISOLATE
        + "\n  - {}\n"
    )
    assert outcomes(found) == [
        ("guard", 0, Outcome.PEER),
        ("guard", 1, Outcome.DECIDES),
        ("guard", 2, Outcome.BEHIND),
        ("web", 0, Outcome.UNASKED),
    ]
    assert [tier.asked for tier in found.tiers] == [True, False, False]
    assert [index for _, index in found.removals] == [1]
    assert found.after is not None
    assert found.after.allowed


def test_pass_goes_on_and_every_matching_rule_is_to_be_removed() -> None:
    found = told(TIER + "\n  - {action: Pass, to: [{namespaces: {}}]}\n" + ISOLATE + "\n  - {}\n  - {}\n")
    assert [one for *_, one in outcomes(found)] == [Outcome.PASSES, Outcome.DECIDES, Outcome.ALSO]
    assert [(p.metadata.name, n) for p, n in found.removals] == [("web", 0), ("web", 1)]
    assert found.after is not None
    assert (found.after.allowed, found.after.because) == (False, Because.ISOLATED)


def test_what_fails_closed_is_told() -> None:
    unreadable = "to: [{namespaces: {matchExpressions: [{key: a, operator: exists}]}}]"
    found = told(TIER + f"\n  - {{action: Accept, {unreadable}}}\n  - {{action: Pass, {unreadable}}}\n")
    rules = found.tiers[0].policies[0].rules
    assert [rule.outcome for rule in rules] == [Outcome.CLOSED, Outcome.DECIDES]
    assert rules[1].closed
    assert not found.ruling.allowed


def test_where_policies_have_no_say_there_is_nothing_to_tell() -> None:
    found = told(ISOLATE + "\n  - {}\n", to="shop/web")
    assert (found.ruling.because, found.tiers, found.after) == (Because.ITSELF, (), None)
