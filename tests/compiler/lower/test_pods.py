"""Classes and reaches as a ruleset: every packet of a small universe gets the verdict that the policies give it, on
every hook and for both kinds of back end."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.analysis.layout import longest_paths
from compiler.backends.target import Backend, Target
from compiler.ir.check import check
from compiler.ir.match import Field, InPrefix, InSet, LocalSource, Replies
from compiler.ir.ruleset import Chain, Goto, Hook, Jump, Lookup, Return, Rule, Ruleset, Set
from compiler.lower.pods import lower
from compiler.net import Family, parse_address, parse_prefix
from compiler.passes.expand_maps import expand_maps
from compiler.policy import Direction, PodSelector, Policy, Requirement, Selector, Tier
from compiler.resolve import reach as reach_module
from compiler.resolve.classes import classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reacher
from compiler.snapshot import Snapshot, build
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.meaning import Meaning
from tests.compiler.models import ANYONE, block, network_policy, pod, pods, ports, rule, tier_policy
from tests.compiler.worlds import NODES, POINTS, UNIVERSE, World, worlds

NFTABLES, IPTABLES = Backend.NFTABLES, Backend.IPTABLES
BOTH = (Family.IPV4, Family.IPV6)


def number(text: str) -> int:
    return parse_address(text)[1]


def lowered(snapshot: Snapshot, *policies: Policy, target: Target | None = None) -> Ruleset:
    """What lowering makes, checked; before any pass."""
    target = target or Target()
    inventory = Inventory(snapshot)
    ordered = sorted(policies, key=lambda p: p.order)
    found = lower(classes(inventory, ordered, target.node), Reacher(inventory), target)
    check(found)
    return found


def expected(meaning: Meaning, node: str | None, hook: Hook, packet: Seen, source: str, destination: str) -> bool:
    """The verdict of SEMANTICS for the first packet of a connection on one hook of one node."""
    here = [
        pod if pod is not None and node in (None, pod.node) else None
        for pod in (meaning.holder(source), meaning.holder(destination))
    ]
    if source == destination and any(here):
        return True  # "pod to itself: always allowed"
    if hook is Hook.OUTPUT and packet.local:
        return True  # "node to its own pods: always allowed"
    sends = here[0] is None or meaning.allows(Direction.EGRESS, here[0], destination, packet.protocol, packet.port)
    if hook is Hook.INPUT:
        return sends
    return sends and (
        here[1] is None or meaning.allows(Direction.INGRESS, here[1], source, packet.protocol, packet.port)
    )


def pairs_of(world: World, family: Family) -> Iterator[tuple[str, str]]:
    """Every pod's address with every address, both ways."""
    own = [ip for p in world.snapshot.pods for ip in p.ips if (":" in ip) is (family is Family.IPV6)]
    for one in dict.fromkeys(own):
        for other in UNIVERSE[family]:
            yield one, other
            yield other, one


def assert_means(world: World, ruleset: Ruleset, node: str | None, hook: Hook, family: Family) -> None:
    meaning, walker = Meaning(world.policies, world.snapshot), Walker(ruleset)
    (base,) = (chain for chain in ruleset.chains if chain.hook is hook)
    most = longest_paths(ruleset, family)[base.name]
    for source, destination in pairs_of(world, family):
        if hook is Hook.INPUT and meaning.holder(destination) is not None:
            continue  # what is delivered to the node goes to no pod
        for protocol, port in POINTS[1::2] if hook is Hook.FORWARD else POINTS[:2]:
            packet = Seen(family, number(source), number(destination), protocol, port)
            walked = walker.walk(packet, hook)
            wanted = expected(meaning, node, hook, packet, source, destination)
            assert walked.accepted is wanted, (source, destination, protocol, port)
            assert walked.passed <= most


@pytest.mark.parametrize("backend", list(Backend))
@settings(deadline=None, max_examples=30)
@given(
    world=worlds(),
    node=st.sampled_from((*NODES, None)),
    hook=st.sampled_from((Hook.FORWARD, Hook.FORWARD, Hook.INPUT, Hook.OUTPUT)),
    family=st.sampled_from(BOTH),
    minimum=st.sampled_from((1, 2, 1024)),
)
def test_a_ruleset_means_what_the_policies_say(
    backend: Backend, world: World, node: str | None, hook: Hook, family: Family, minimum: int
) -> None:
    target = Target(backend, node)
    with patch.object(reach_module, "SHARED_MINIMUM", minimum):
        ruleset = lowered(world.snapshot, *world.policies, target=target)
    assert_means(world, ruleset, node, hook, family)
    expanded = expand_maps(ruleset, target.capabilities)
    check(expanded)
    assert_means(world, expanded, node, hook, family)


@settings(deadline=None, max_examples=15)
@given(worlds(), st.sampled_from(BOTH))
def test_replies_pass_after_one_rule(world: World, family: Family) -> None:
    walker = Walker(lowered(world.snapshot, *world.policies))
    for hook in (Hook.FORWARD, Hook.INPUT, Hook.OUTPUT):
        for source, destination in list(pairs_of(world, family))[::17]:
            reply = Seen(family, number(source), number(destination), 6, 1, reply=True)
            walked = walker.walk(reply, hook)
            assert walked.accepted
            assert walked.passed == 1


@settings(deadline=None, max_examples=15)
@given(worlds(), st.sampled_from(BOTH))
def test_a_family_left_out_is_let_alone(world: World, family: Family) -> None:
    """`--family ipv4` says nothing of IPv6, and the other way round."""
    (other,) = (f for f in BOTH if f is not family)
    ruleset = lowered(world.snapshot, *world.policies, target=Target(families=(family,)))
    walker = Walker(ruleset)
    for source, destination in list(pairs_of(world, other))[::7]:
        assert walker.accepts(Seen(other, number(source), number(destination), 6, 1))
    assert all(found.family in (family, None) for found in (*ruleset.sets, *ruleset.maps, *ruleset.chains))


class TestLayout:
    SNAPSHOT = build(
        [
            pod("web", "app=web", "10.0.0.1", "fd00::1"),
            pod("api", "app=api", "10.0.0.2"),
            pod("far", "app=api", "10.0.0.3", node="n2"),
        ]
    )
    POLICY = network_policy("web-policy", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80-81")),))

    def test_dispatch_leads_pods_of_the_node_to_their_class(self) -> None:
        ruleset = lowered(self.SNAPSHOT, self.POLICY, target=Target(node="n1"))
        (found,) = (m for m in ruleset.maps if m.name == "ingress4")
        ((prefix, verdict),) = found.elements
        assert str(prefix) == "10.0.0.1/32"
        chain = ruleset.chain(verdict.chain)  # type: ignore[union-attr]
        assert chain.family is Family.IPV4
        assert not any(m.name.startswith("egress") for m in ruleset.maps)

    def test_a_node_without_concerned_pods_has_no_dispatch(self) -> None:
        ruleset = lowered(self.SNAPSHOT, self.POLICY, target=Target(node="n2"))
        assert ruleset.maps == ()
        assert ruleset.sets == ()
        assert {chain.name for chain in ruleset.chains} == {"forward", "input", "output", "deny"}

    def test_pods_whose_policies_allow_everything_cost_nothing(self) -> None:
        ruleset = lowered(self.SNAPSHOT, network_policy("p", pods(), ingress=(rule(*ANYONE),)))
        assert ruleset.maps == ()

    def test_a_class_asks_addresses_sets_prefixes_and_the_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reach_module, "SHARED_MINIMUM", 2)
        db = build([*self.SNAPSHOT.pods, pod("db", "app=db", "10.0.0.9")])
        policy = network_policy(
            "p",
            pods("app=web"),
            ingress=(
                rule(pods("app=db"), to=ports("tcp/1")),
                rule(pods("app=api"), to=ports("tcp/2")),
                rule(block("10.0.0.0/8", "10.9.0.0/16"), block("10.9.1.0/24"), to=ports("tcp/3")),
            ),
        )
        ruleset = lowered(db, policy, target=Target(families=(Family.IPV4,)))
        (chain,) = (c for c in ruleset.chains if c.name.startswith("in4"))
        kinds = [
            "address" if isinstance(r, Lookup) else (type(r.matches[0]).__name__ if r.matches else "rest")
            for r in chain.rules
        ]
        assert kinds == ["address", "InSet", "InPrefix", "InPrefix", "InPrefix", "rest"]
        prefixes = [m.prefix for r in chain.rules if isinstance(r, Rule) for m in r.matches if isinstance(m, InPrefix)]
        assert [p.length for p in prefixes] == [24, 16, 8], "the longest first"
        assert isinstance(chain.rules[-1], Rule)
        assert chain.rules[-1].verdict == Goto("deny")

    @pytest.mark.parametrize(("count", "lookup"), [(8, False), (9, True)])
    def test_many_prefixes_are_a_map(self, count: int, lookup: bool) -> None:
        """`Capabilities.inline_prefixes` is 8 for nftables."""
        blocks = [block(f"10.{n * 2}.0.0/16") for n in range(count)]
        ruleset = lowered(
            self.SNAPSHOT,
            network_policy("p", pods("app=web"), ingress=(rule(*blocks),)),
            target=Target(families=(Family.IPV4,)),
        )
        assert any(m.name.endswith("-n") for m in ruleset.maps) is lookup
        (chain,) = (c for c in ruleset.chains if c.name.startswith("in4"))
        assert len(chain.rules) == (2 if lookup else count + 1)
        assert Walker(ruleset).accepts(Seen(Family.IPV4, number("10.4.1.1"), number("10.0.0.1"), 6, 1))
        assert not Walker(ruleset).accepts(Seen(Family.IPV4, number("10.5.1.1"), number("10.0.0.1"), 6, 1))

    def test_shared_sets_are_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reach_module, "SHARED_MINIMUM", 2)
        one = network_policy("p", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/1")),))
        two = network_policy("q", pods("app=api"), egress=(rule(pods("app=api"), to=ports("tcp/2")),))
        ruleset = lowered(self.SNAPSHOT, one, two, target=Target(families=(Family.IPV4,)))
        (found,) = (s for s in ruleset.sets if s.notes == ("pods(app=api) in shop",))
        asked = {
            m.fields
            for c in ruleset.chains
            for r in c.rules
            if isinstance(r, Rule)
            for m in r.matches
            if isinstance(m, InSet) and m.set == found.name
        }
        assert asked == {(Field.SOURCE,), (Field.DESTINATION,)}

    def test_selectors_that_print_alike_have_sets_of_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A label may be called `all`; a custom resource may select a value of `b,role=c`."""
        monkeypatch.setattr(reach_module, "SHARED_MINIMUM", 1)
        snapshot = build([pod("web", "app=web", "10.0.0.1"), pod("x", "all=1", "10.0.0.2"), pod("api", "", "10.0.0.3")])
        named_all = PodSelector("shop", Selector((Requirement("all", "Exists"),)))
        policies = (
            network_policy("p", pods("app=web"), ingress=(rule(named_all, to=ports("tcp/80")),)),
            network_policy("q", pods("all=1"), ingress=(rule(pods(), to=ports("tcp/81")),)),
        )
        walker = Walker(lowered(snapshot, *policies))
        web, x, api = (number(f"10.0.0.{n}") for n in (1, 2, 3))
        assert walker.accepts(Seen(Family.IPV4, x, web, 6, 80))
        assert not walker.accepts(Seen(Family.IPV4, api, web, 6, 80))
        assert walker.accepts(Seen(Family.IPV4, api, x, 6, 81))

    def test_chains_are_named_after_the_network_policy(self) -> None:
        ruleset = lowered(self.SNAPSHOT, self.POLICY)
        assert any(chain.name.startswith("in4-webpolic-") for chain in ruleset.chains)

    def test_a_class_in_which_others_rule_as_well_keeps_that_name(self) -> None:
        top = tier_policy(Tier.ADMIN, 1, PodSelector(Selector(), Selector()), ingress=(rule(pods()),), name="top")
        ruleset = lowered(self.SNAPSHOT, top, self.POLICY)
        assert any(chain.name.startswith("in4-webpolic") for chain in ruleset.chains)

    def test_pods_without_an_address_in_a_family_have_no_chain_in_it(self) -> None:
        somebody = network_policy("p", pods("app=api"), ingress=(rule(block("fd00::/16"), block("10.0.0.0/8")),))
        ruleset = lowered(self.SNAPSHOT, somebody)
        assert [chain.name[:3] for chain in ruleset.chains if chain.name.startswith("in")] == ["inp", "in4"]

    @pytest.mark.parametrize("backend", list(Backend))
    def test_a_class_that_pairs_answer_has_no_chain_and_its_notes_stay(self, backend: Backend) -> None:
        target = Target(backend, families=(Family.IPV4,))
        policy = network_policy("closed", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80")),))
        ruleset = lowered(self.SNAPSHOT, policy, target=target)
        assert not [chain for chain in ruleset.chains if chain.name.startswith("in4")]
        (dispatch,) = ruleset.maps
        assert dispatch.elements == ((parse_prefix("10.0.0.1/32"), Jump("deny")),)
        assert any("shop/web" in note for note in dispatch.notes)
        assert any("shop/closed (policies.yaml:7)" in note for note in dispatch.notes)

    def test_pairs_are_of_one_family(self) -> None:
        snapshot = build([pod("web", "app=web", "10.0.0.1", "fd00::1"), pod("api", "app=api", "10.0.0.2", "fd00::2")])
        policy = network_policy("p", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80")),))
        found = {s.name: s.elements for s in lowered(snapshot, policy).sets if s.name.startswith("pairs")}
        assert found == {
            "pairs4": ((number("10.0.0.2"), number("10.0.0.1"), 6, 80),),
            "pairs6": ((number("fd00::2"), number("fd00::1"), 6, 80),),
        }

    @pytest.mark.parametrize("backend", list(Backend))
    def test_rules_and_lookups_carry_their_origins(self, backend: Backend) -> None:
        """All but the first rules of the hooks and the end of denied packets, which no policy asks for."""
        other = network_policy("other", pods("app=api"), egress=(rule(pods("app=web"), to=ports("tcp/80-81")),))
        target = Target(backend)
        ruleset = expand_maps(lowered(self.SNAPSHOT, self.POLICY, other, target=target), target.capabilities)
        policies = {self.POLICY.origin, other.origin}
        for chain in ruleset.chains:
            for found in chain.rules:
                own = isinstance(found, Rule) and found.matches in ((Replies(),), (LocalSource(),))
                if not own and chain.name != "deny":
                    assert found.origins, (chain.name, found)
                    assert set(found.origins) <= policies
        for name, origin in (("in4-webpolic", self.POLICY.origin), ("eg4-other", other.origin)):
            (of_class,) = (c for c in ruleset.chains if c.name.startswith(name))
            assert all(found.origins == (origin,) for found in of_class.rules)
        shared = [c for c in ruleset.chains if c.name.startswith("p-")]
        assert shared
        assert all(set(found.origins) == policies for c in shared for found in c.rules), "both ask for these ports"

    def test_every_chain_set_and_map_says_where_it_comes_from(self) -> None:
        ruleset = lowered(self.SNAPSHOT, self.POLICY)
        for found in (*ruleset.chains, *ruleset.maps, *(s for s in ruleset.sets if not s.name.startswith("p-"))):
            assert found.notes, found.name


def test_the_cost_of_a_first_packet_does_not_grow() -> None:
    """DATAPATH: "cost per packet independent of how many policies, pods and rules there are"."""

    def cost(count: int) -> int:
        found = [pod(f"p{n}", f"app=a{n}", f"10.{n // 200}.{n % 200}.1") for n in range(count)]
        policies = [
            network_policy(
                f"p{n}",
                pods(f"app=a{n}"),
                ingress=(rule(pods(f"app=a{(n + 1) % count}"), to=ports("tcp/80-81")),),
                egress=(rule(pods(f"app=a{(n - 1) % count}"), to=ports("tcp/80-81")),),
            )
            for n in range(count)
        ]
        ruleset = lowered(build(found), *policies, target=Target(families=(Family.IPV4,)))
        return max(longest_paths(ruleset, Family.IPV4)[c.name] for c in ruleset.chains if c.hook)

    assert cost(5) == cost(50) == cost(300)


def test_adjoining_prefixes_of_other_length_are_not_mixed_up() -> None:
    """0.0.0.0/0 is never a rule on prefixes: it is the rest."""
    snapshot = build([pod("web", "", "10.0.0.1")])
    policy = network_policy("p", pods(), ingress=(rule(block("0.0.0.0/0", "128.0.0.0/1"), to=ports("tcp/80")),))
    ruleset = lowered(snapshot, policy, target=Target(families=(Family.IPV4,)))
    (chain,) = (c for c in ruleset.chains if c.name.startswith("in4"))
    assert [m for r in chain.rules if isinstance(r, Rule) for m in r.matches] == [
        InPrefix(Field.SOURCE, parse_prefix("128.0.0.0/1"))
    ]


def test_the_reader_of_a_chain_without_rules_is_not_lost() -> None:
    """Port chains and `deny` are shared; whoever is allowed everything returns."""
    snapshot = build([pod("web", "app=web", "10.0.0.1"), pod("api", "app=api", "10.0.0.2")])
    ruleset = lowered(snapshot, network_policy("p", pods("app=web"), ingress=(rule(pods("app=api")),)))
    verdicts = {verdict for m in ruleset.maps if m.name.endswith("-a") for _, verdict in m.elements}
    assert verdicts == {Return()}
    assert isinstance(ruleset.chain("deny"), Chain)
    assert not [s for s in ruleset.sets if isinstance(s, Set) and s.by_hand]
