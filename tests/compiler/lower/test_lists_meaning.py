"""Lists with their sets filled by hand, as their comments say, mean what the policies say of those pods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.ir.check import check
from compiler.ir.match import Field
from compiler.ir.ruleset import Hook, Ruleset, Set
from compiler.lower.lists import lower_lists
from compiler.net import PROTOCOLS, Family, parse_address
from compiler.policy import NamedPort, PodSelector, Policy, Requirement, Selector
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import ContainerPort
from compiler.snapshot import build
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.lower.test_pods import expected, pairs_of
from tests.compiler.meaning import Meaning
from tests.compiler.models import block, network_policy, pods, ports, rule
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


@settings(deadline=None, max_examples=50)
@given(
    worlds(),
    st.sampled_from(list(Backend)),
    st.sampled_from(list(Family)),
    st.sampled_from((Hook.FORWARD, Hook.INPUT, Hook.OUTPUT)),
)
def test_lists_mean_what_the_policies_say(world: World, backend: Backend, family: Family, hook: Hook) -> None:
    """The compile knows namespaces and nodes, and no pod. Without sets of pairs, a pod needs a policy to reach
    itself (the ruleset's own note says so)."""
    known = build((), world.snapshot.namespaces.values(), world.snapshot.nodes.values())
    ruleset = lower_lists(world.policies, Inventory(known), Target(backend))
    check(ruleset)
    walker, meaning = Walker(filled(ruleset, world)), Meaning(world.policies, world.snapshot)
    for source, destination in pairs_of(world, family):
        if source == destination and backend is Backend.IPTABLES:
            continue
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
