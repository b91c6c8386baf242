"""Lists with their sets filled by hand, as their comments say, mean what the policies say of those pods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.ir.check import check
from compiler.ir.match import Field, InPrefix, InSet, ToPorts
from compiler.ir.ruleset import Goto, Hook, Return, Rule, Ruleset, Set
from compiler.lower.lists import lower_lists
from compiler.net import PROTOCOLS, Family, parse_address
from compiler.policy import Action, NamedPort, PodSelector, Policy, Requirement, Selector, Tier
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import ContainerPort
from compiler.snapshot import build
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.lower.test_pods import expected, pairs_of
from tests.compiler.meaning import Meaning
from tests.compiler.models import ANYONE, block, network_policy, pods, ports, rule, tier_policy
from tests.compiler.worlds import POINTS, World, worlds

FILLED = "to be filled: "


def filled(ruleset: Ruleset, world: World) -> Ruleset:
    """The ruleset after somebody has read the comments: every set by hand holds what its comment asks for."""
    meaning = Meaning(world.policies, world.snapshot)
    peers = [peer for policy in world.policies for r in (*policy.ingress, *policy.egress) for peer in r.peers]
    chosen = {str(s): s for s in (*(p.subject for p in world.policies), *peers) if isinstance(s, PodSelector)}
    names = [n for policy in world.policies for r in (*policy.ingress, *policy.egress) for n in r.ports.named]
    named = {f"pods that serve {n}, with protocol and port": n for n in names}
    living = [p for p in world.snapshot.pods if any(meaning.holder(ip) is p for ip in p.ips)]

    def elements(found: Set) -> set[tuple[int, ...]]:
        assert found.by_hand
        assert not found.elements
        (note,) = found.notes
        who = note.removeprefix(FILLED)
        members: set[tuple[int, ...]] = set()
        for pod in living:
            for family, address in map(parse_address, pod.ips):
                if family is not found.family:
                    continue
                if who in chosen and meaning.selects(chosen[who], pod):
                    members.add((address,))
                elif who in named:
                    members |= {(address, *point) for point in served(named[who], pod.ports)}
                elif note.startswith("a pod always reaches itself"):
                    members.add((address, address))
        assert who in chosen or who in named or who.startswith(("domains(", "a pod always")), note
        return members

    return replace(
        ruleset, sets=tuple(replace(s, elements=tuple(sorted(elements(s)))) for s in ruleset.sets if isinstance(s, Set))
    )


def served(named: NamedPort, declared: Iterable[ContainerPort]) -> set[tuple[int, int]]:
    found = [p for p in declared if p.name == named.name]
    return {(PROTOCOLS[p.protocol], p.port) for p in found if named.protocol in (None, PROTOCOLS[p.protocol])}


@settings(deadline=None, max_examples=35)
@given(
    worlds(),
    st.sampled_from(list(Backend)),
    st.sampled_from(list(Family)),
    st.sampled_from((Hook.FORWARD, Hook.INPUT, Hook.OUTPUT)),
)
def test_lists_mean_what_the_policies_say(world: World, backend: Backend, family: Family, hook: Hook) -> None:
    """The compile knows namespaces and nodes, and no pod."""
    known = build((), world.snapshot.namespaces.values(), world.snapshot.nodes.values())
    ruleset = lower_lists(world.policies, Inventory(known), Target(backend))
    check(ruleset)
    walker, meaning = Walker(filled(ruleset, world)), Meaning(world.policies, world.snapshot)
    for source, destination in pairs_of(world, family):
        for protocol, port in POINTS[::3]:
            packet = Seen(family, parse_address(source)[1], parse_address(destination)[1], protocol, port)
            wanted = expected(meaning, None, hook, packet, source, destination)
            assert walker.accepts(packet, hook) is wanted, (source, destination, protocol, port)


def lists(*policies: Policy) -> Ruleset:
    return lower_lists(policies, Inventory(build(referred=["shop"])), Target())


def test_empty_sets_deny_whom_nobody_named_yet_nothing() -> None:
    """Before somebody fills the sets no pod is isolated, and nothing is allowed that isolation would deny."""
    ruleset = lists(network_policy("p", pods("app=web"), ingress=(rule(pods("app=api")),)))
    assert Walker(ruleset).accepts(Seen(Family.IPV4, 1, 2, 6, 80))


def test_selectors_that_print_alike_have_sets_of_their_own() -> None:
    named_all = PodSelector("shop", Selector((Requirement("all", "Exists"),)))
    ruleset = lists(network_policy("p", pods(), ingress=(rule(named_all),)))
    of_one_family = [s for s in ruleset.sets if s.family is Family.IPV4 and s.notes[0].startswith(FILLED)]
    assert len(of_one_family) == 2


def test_a_named_port_is_one_of_the_pods_meant_not_of_a_block() -> None:
    """SEMANTICS: a named port "towards an ipBlock ... matches nothing"."""
    out = network_policy("p", pods("app=web"), egress=(rule(block("10.0.0.0/8"), to=ports("tcp/http")),))
    assert not [s for s in lists(out).sets if isinstance(s, Set) and Field.PORT in s.key]
    come_in = network_policy("p", pods("app=web"), ingress=(rule(block("10.0.0.0/8"), to=ports("tcp/http")),))
    assert [s for s in lists(come_in).sets if isinstance(s, Set) and Field.PORT in s.key]


class TestChains:
    """One chain a direction, two where the admin tier may pass to what is below."""

    ADMIN = tier_policy(Tier.ADMIN, 1, pods(), ingress=(rule(pods(), action=Action.PASS),), name="top")
    BASE = tier_policy(Tier.BASELINE, 1, pods(), ingress=(rule(pods(), action=Action.PASS),), name="base")

    def names(self, *policies: Policy) -> dict[str, tuple[str, ...]]:
        own = ("forward", "input", "output", "deny")
        return {chain.name: chain.notes for chain in lists(*policies).chains if chain.name not in own}

    def test_without_admin_tier(self) -> None:
        closed = network_policy("p", pods(), ingress=(), egress=())
        assert self.names(closed) == {"ingress": ("what pods may receive",), "egress": ("what pods may send",)}
        assert self.names(network_policy("p", pods(), egress=())) == {"egress": ("what pods may send",)}

    def test_with_admin_tier(self) -> None:
        assert self.names(self.ADMIN) == {
            "ingress": ("what pods may receive: admin tier",),
            "ingress-below": ("what pods may receive: NetworkPolicies, then baseline tier",),
        }

    def test_pass_leads_below_and_in_the_last_tier_out(self) -> None:
        ruleset = lists(self.ADMIN, self.BASE)
        check(ruleset)
        assert {r.verdict for r in ruleset.chain("ingress").rules} == {Goto("ingress-below")}  # type: ignore[union-attr]
        assert {r.verdict for r in ruleset.chain("ingress-below").rules} == {Return()}  # type: ignore[union-attr]

    def test_rules_of_a_direction_that_a_policy_does_not_isolate_are_none(self) -> None:
        """Else they would open what another policy isolates."""
        deaf = replace(network_policy("p", pods(), egress=()), ingress=(rule(pods("app=api")),))
        assert "ingress" not in self.names(deaf)
        both = lists(deaf, network_policy("q", pods(), ingress=()))
        assert [r.verdict for r in both.chain("ingress").rules] == [Goto("deny")] * 2  # type: ignore[union-attr]

    def test_a_block_is_of_its_family(self) -> None:
        found = lists(network_policy("p", pods(), ingress=(rule(block("fd00::/16", "fd00:1::/32")),)))
        blocks = [
            (r.family, str(m.prefix))
            for r in found.chain("ingress").rules
            if isinstance(r, Rule)
            for m in r.matches
            if isinstance(m, InPrefix)
        ]
        assert {family for family, _ in blocks} == {Family.IPV6}
        assert len(blocks) == 16, "sixteen halves from /17 to /32, and not the last"

    def test_anyone_needs_no_match_on_the_other_end(self) -> None:
        found = lists(network_policy("p", pods("app=web"), ingress=(rule(*ANYONE, to=ports("tcp/80")),)))
        first = found.chain("ingress").rules[0]
        assert isinstance(first, Rule)
        assert [type(match) for match in first.matches] == [InSet, ToPorts]
