"""What a class lets through, against the slow reading of the policies, for every address of a small universe."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import ALL_PORTS, NO_PORTS, Family, PortSet, parse_address, parse_prefix, port_set
from compiler.policy import Action, NodeSelector, PodSelector, Policy, Selector, Tier
from compiler.resolve import reach as reach_module
from compiler.resolve.classes import Clause, PodClass, classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reach, Reacher, asker, decide
from compiler.resources.cluster import Node
from compiler.snapshot import Snapshot, build
from tests.compiler.meaning import Meaning
from tests.compiler.models import ANYONE, block, network_policy, pod, pods, ports, rule, tier_policy
from tests.compiler.worlds import POINTS, UNIVERSE, World, worlds

EVERYWHERE = PodSelector(Selector(), Selector())


def number(text: str) -> int:
    return parse_address(text)[1]


def reaches(snapshot: Snapshot, *policies: Policy, family: Family = Family.IPV4) -> list[tuple[PodClass, Reach]]:
    """Every class of every pod with its reach."""
    inventory = Inventory(snapshot)
    reacher = Reacher(inventory)
    ordered = sorted(policies, key=lambda p: p.order)
    return [(c, reacher.reach(c, family)) for c in classes(inventory, ordered, None)]


def only(snapshot: Snapshot, *policies: Policy, family: Family = Family.IPV4) -> Reach:
    """The reach of the only class."""
    ((_, found),) = reaches(snapshot, *policies, family=family)
    return found


def asked(found: Reach, text: str) -> PortSet:
    return asker(found)(number(text))


def clause(tier: Tier, action: Action, *wanted: str) -> tuple[Clause, PortSet]:
    """A clause that holds for the other end, with its ports; none for all."""
    given_ports = port_set(ports(*wanted).spans) if wanted else ALL_PORTS
    return Clause(tier, rule(*ANYONE, action=action), given_ports, ()), given_ports


ADMIN, APPLICATION, BASELINE = Tier
ALLOW, DENY, PASS = Action


class TestTiers:
    """Admin tier -> NetworkPolicy -> Baseline tier -> default allow; first match wins within a tier."""

    @pytest.mark.parametrize(
        ("matching", "isolated", "allowed"),
        [
            ([], False, ALL_PORTS),
            ([], True, NO_PORTS),
            # Accept and Deny end the evaluation
            ([clause(ADMIN, ALLOW)], True, ALL_PORTS),
            ([clause(ADMIN, DENY), clause(APPLICATION, ALLOW), clause(BASELINE, ALLOW)], True, NO_PORTS),
            ([clause(ADMIN, DENY)], False, NO_PORTS),
            ([clause(ADMIN, DENY, "tcp/80"), clause(ADMIN, ALLOW, "tcp/80-81")], True, port_set([(6, 81, 81)])),
            ([clause(ADMIN, ALLOW, "tcp/80"), clause(ADMIN, DENY)], False, port_set([(6, 80, 80)])),
            # Pass goes on at the next tier, and hides later rules of its own
            ([clause(ADMIN, PASS, "tcp/80"), clause(ADMIN, DENY)], False, port_set([(6, 80, 80)])),
            ([clause(ADMIN, PASS), clause(ADMIN, DENY)], True, NO_PORTS),
            ([clause(ADMIN, PASS), clause(ADMIN, ALLOW)], True, NO_PORTS),
            (
                [clause(ADMIN, PASS), clause(ADMIN, DENY), clause(APPLICATION, ALLOW, "udp/53")],
                True,
                port_set([(17, 53, 53)]),
            ),
            ([clause(ADMIN, PASS, "tcp/80"), clause(ADMIN, DENY), clause(BASELINE, DENY, "tcp")], False, NO_PORTS),
            # NetworkPolicies add up, and end it for whom they isolate
            (
                [clause(APPLICATION, ALLOW, "tcp/80"), clause(APPLICATION, ALLOW, "tcp/81")],
                True,
                port_set([(6, 80, 81)]),
            ),
            ([clause(APPLICATION, ALLOW, "tcp/80"), clause(BASELINE, ALLOW)], True, port_set([(6, 80, 80)])),
            ([clause(ADMIN, DENY, "tcp/80"), clause(APPLICATION, ALLOW, "tcp/80-81")], True, port_set([(6, 81, 81)])),
            (
                [clause(ADMIN, ALLOW, "tcp/80"), clause(APPLICATION, ALLOW, "tcp/82")],
                True,
                port_set([(6, 80, 80), (6, 82, 82)]),
            ),
            # Baseline: first match wins, what none decides is allowed
            ([clause(BASELINE, DENY, "tcp/80"), clause(BASELINE, ALLOW)], False, ALL_PORTS - port_set([(6, 80, 80)])),
            ([clause(BASELINE, ALLOW, "tcp/80"), clause(BASELINE, DENY)], False, port_set([(6, 80, 80)])),
            ([clause(BASELINE, PASS, "tcp/80"), clause(BASELINE, DENY)], False, port_set([(6, 80, 80)])),
            ([clause(BASELINE, DENY)], False, NO_PORTS),
            ([clause(ADMIN, ALLOW, "tcp/80"), clause(BASELINE, DENY)], False, port_set([(6, 80, 80)])),
        ],
    )
    def test_decide(self, matching: list[tuple[Clause, PortSet]], isolated: bool, allowed: PortSet) -> None:
        assert decide(matching, isolated) == allowed

    def test_in_a_reach(self) -> None:
        """Admin passes 80 from api, baseline denies all: without a NetworkPolicy 80 falls to baseline."""
        snapshot = build([pod("web", "app=web", "10.0.0.1"), pod("api", "app=api", "10.0.0.2")])
        api, web = PodSelector(Selector(), pods("app=api").pods), PodSelector(Selector(), pods("app=web").pods)
        admin = tier_policy(
            Tier.ADMIN,
            1,
            web,
            ingress=(rule(api, to=ports("tcp/80"), action=PASS), rule(EVERYWHERE, to=ports("tcp/80-81"), action=ALLOW)),
        )
        closed = tier_policy(Tier.BASELINE, 1, web, ingress=(rule(EVERYWHERE, action=DENY),), name="closed")
        without = only(snapshot, admin, closed)
        assert asked(without, "10.0.0.2") == port_set([(6, 81, 81)])
        assert asked(without, "10.0.0.1") == port_set([(6, 80, 81)])
        assert asked(without, "10.0.0.3") == ALL_PORTS, "no pod, so no peer of these rules"
        mine = network_policy("mine", pods("app=web"), ingress=(rule(api, to=ports("tcp/80", "udp/53")),))
        isolated = only(snapshot, admin, closed, mine)
        assert asked(isolated, "10.0.0.2") == port_set([(6, 80, 81), (17, 53, 53)])
        assert asked(isolated, "10.0.0.1") == port_set([(6, 80, 81)])
        assert asked(isolated, "10.0.0.3") == NO_PORTS


class TestPeers:
    def test_a_rule_without_peers_matches_nothing_and_anyone_everybody(self) -> None:
        snapshot = build([pod("web", "", "10.0.0.1")])
        assert only(snapshot, network_policy("p", pods(), ingress=(rule(),))).nets == (
            (parse_prefix("0.0.0.0/0"), NO_PORTS),
        )
        assert only(snapshot, network_policy("p", pods(), ingress=(rule(*ANYONE),))).is_open

    def test_an_empty_selection_is_nobody(self) -> None:
        """A known defect of other tools: an empty or unknown set that becomes "any"."""
        snapshot = build([pod("web", "", "10.0.0.1")])
        found = only(snapshot, network_policy("p", pods(), ingress=(rule(pods("app=none")), rule(pods("", "nowhere")))))
        assert found == Reach((), (), ((parse_prefix("0.0.0.0/0"), NO_PORTS),))

    def test_an_ip_block_matches_pods_as_well(self) -> None:
        snapshot = build([pod("web", "app=web", "10.0.0.1"), pod("api", "app=api", "10.0.0.2")])
        policy = network_policy("p", pods("app=web"), ingress=(rule(block("10.0.0.0/30", "10.0.0.2/32")),))
        found = only(snapshot, policy)
        assert asked(found, "10.0.0.1") == ALL_PORTS
        assert asked(found, "10.0.0.2") == NO_PORTS
        both = network_policy("q", pods("app=web"), ingress=(rule(pods("app=api")),))
        assert asked(only(snapshot, policy, both), "10.0.0.2") == ALL_PORTS, "an except cuts its own block only"

    def test_nodes_are_their_addresses_not_the_pods_on_them(self) -> None:
        snapshot = build([pod("web", "", "10.0.0.1")], nodes=[Node("n1", {}, ("192.0.2.1",))])
        denied = rule(NodeSelector(Selector()), action=DENY)
        found = only(snapshot, tier_policy(Tier.ADMIN, 1, EVERYWHERE, egress=(denied,)))
        assert asked(found, "192.0.2.1") == NO_PORTS
        assert asked(found, "10.0.0.1") == ALL_PORTS

    def test_families_are_apart(self) -> None:
        """Each family on its own: an IPv4 block says nothing of IPv6, but isolation holds in both."""
        snapshot = build([pod("web", "app=web", "10.0.0.1", "fd00::1"), pod("api", "app=api", "fd00::2")])
        policy = network_policy("p", pods("app=web"), ingress=(rule(block("0.0.0.0/0")), rule(pods("app=api"))))
        assert asked(only(snapshot, policy), "10.0.0.2") == ALL_PORTS
        six = only(snapshot, policy, family=Family.IPV6)
        assert asked(six, "fd00::2") == ALL_PORTS
        assert asked(six, "fd00::3") == NO_PORTS


class TestNamedPorts:
    """SEMANTICS: "resolved on the destination pod, per pod, protocol must agree; towards an ipBlock or where no pod
    serves it: matches nothing" """

    SNAPSHOT = build(
        [
            pod("web", "app=web", "10.0.0.1"),
            pod("one", "app=api", "10.0.0.2", serves=("tcp/80/http",)),
            pod("two", "app=api", "10.0.0.3", serves=("tcp/8080/http",)),
            pod("udp", "app=api", "10.0.0.4", serves=("udp/80/http",)),
        ]
    )

    def egress(self, *peers: object) -> Reach:
        found = rule(*peers, to=ports("tcp/http"))  # type: ignore[arg-type]
        return only(self.SNAPSHOT, network_policy("p", pods("app=web"), egress=(found,)))

    @pytest.mark.parametrize("peer", [pods("app=api"), *ANYONE])
    def test_each_destination_has_its_own(self, peer: object) -> None:
        found = self.egress(peer)
        assert asked(found, "10.0.0.2") == port_set([(6, 80, 80)])
        assert asked(found, "10.0.0.3") == port_set([(6, 8080, 8080)])
        assert asked(found, "10.0.0.4") == NO_PORTS
        assert asked(found, "10.0.0.5") == NO_PORTS

    def test_a_block_has_none(self) -> None:
        assert self.egress(block("10.0.0.0/24")) == Reach((), (), ((parse_prefix("0.0.0.0/0"), NO_PORTS),))

    def test_a_block_beside_a_selector_adds_its_numbers_only(self) -> None:
        found = rule(block("10.0.0.0/24"), pods("app=api"), to=ports("tcp/http", "udp/53"))
        reach = only(self.SNAPSHOT, network_policy("p", pods("app=web"), egress=(found,)))
        assert asked(reach, "10.0.0.2") == port_set([(6, 80, 80), (17, 53, 53)])
        assert asked(reach, "10.0.0.9") == port_set([(17, 53, 53)])

    def test_ingress_takes_the_subject_s(self) -> None:
        policy = network_policy("p", pods("app=api"), ingress=(rule(block("10.0.0.0/24"), to=ports("tcp/http")),))
        found = {c.pods[0].name: asked(r, "10.0.0.9") for c, r in reaches(self.SNAPSHOT, policy)}
        assert found == {"one": port_set([(6, 80, 80)]), "two": port_set([(6, 8080, 8080)]), "udp": NO_PORTS}

    def test_a_large_selector_with_named_ports_is_enumerated(self) -> None:
        with patch.object(reach_module, "SHARED_MINIMUM", 1):
            found = self.egress(pods("app=api"))
        assert not found.shared
        assert [a for a, _ in found.exact] == [number("10.0.0.2"), number("10.0.0.3")]


class TestSharedSets:
    """Selectors that mean many addresses become sets; here "many" is two."""

    @pytest.fixture(autouse=True)
    def _low(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reach_module, "SHARED_MINIMUM", 2)

    SNAPSHOT = build(
        [
            pod("web", "app=web", "10.0.0.1"),
            *(pod(f"api{n}", f"app=api,v={n % 2}", f"10.0.0.{n}") for n in range(2, 6)),
            pod("db", "app=db,v=1", "10.0.0.6"),
        ]
    )

    def reach(self, *rules_: object) -> Reach:
        return only(self.SNAPSHOT, network_policy("p", pods("app=web"), ingress=tuple(rules_)))  # type: ignore[arg-type]

    def test_a_large_selector_is_one_set(self) -> None:
        found = self.reach(rule(pods("app=api"), to=ports("tcp/80")))
        ((shared, allowed),) = found.shared
        assert shared.addresses == tuple(number(f"10.0.0.{n}") for n in range(2, 6))
        assert allowed == port_set([(6, 80, 80)])
        assert found.exact == ()

    def test_a_small_one_is_enumerated(self) -> None:
        found = self.reach(rule(pods("app=db"), to=ports("tcp/80")))
        assert found.shared == ()
        assert found.exact == ((number("10.0.0.6"), port_set([(6, 80, 80)])),)

    def test_classes_share_it(self) -> None:
        peer = rule(pods("app=api"), to=ports("tcp/80"))
        policies = (
            network_policy("p", pods("app=web"), ingress=(peer,)),
            network_policy("q", pods("app=db"), ingress=(peer,)),
        )
        (_, one), (_, two) = reaches(self.SNAPSHOT, *policies)
        assert one.shared[0][0] is two.shared[0][0]

    def test_members_of_two_are_told_apart(self) -> None:
        """v=1 is api3, api5 and db: the smaller set comes first and its apis, who are in both, are enumerated."""
        found = self.reach(rule(pods("app=api"), to=ports("tcp/80")), rule(pods("v=1"), to=ports("tcp/81")))
        assert [len(shared.addresses) for shared, _ in found.shared] == [3, 4]
        assert asked(found, "10.0.0.2") == port_set([(6, 80, 80)])
        assert asked(found, "10.0.0.3") == port_set([(6, 80, 81)])
        assert asked(found, "10.0.0.6") == port_set([(6, 81, 81)])
        assert asked(found, "10.0.0.1") == NO_PORTS
        assert [a for a, _ in found.exact] == [number("10.0.0.6")], "the minority of the first set"

    def test_members_of_three_have_the_ports_of_all(self) -> None:
        snapshot = build(
            [pod("web", "app=web", "10.0.0.1")]
            + [pod(f"p{n}", f"a={n & 1},b={n >> 1 & 1},c={n >> 2}", f"10.0.1.{n}") for n in range(8)]
            + [pod(f"q{n}", "c=1", f"10.0.2.{n}") for n in range(2)]
            + [pod("r", "b=1", "10.0.3.1")]
        )
        chosen = {"a=1": 1, "b=1": 2, "c=1": 4}
        rules = [rule(pods(text), to=ports(f"tcp/{port}")) for text, port in chosen.items()]
        found = only(snapshot, network_policy("p", pods("app=web"), ingress=tuple(rules)))
        assert len(found.shared) == 3
        for n in range(8):
            expected = port_set((6, port, port) for text, port in chosen.items() if n & port)
            assert asked(found, f"10.0.1.{n}") == expected

    def test_a_small_selector_s_pods_in_a_set_are_enumerated(self) -> None:
        found = self.reach(rule(pods("app=api"), to=ports("tcp/80")), rule(pods("app=db"), to=ports("tcp/81")))
        assert [a for a, _ in found.exact] == [number("10.0.0.6")]

    def test_a_block_that_cuts_through_a_set(self) -> None:
        found = self.reach(rule(pods("app=api"), to=ports("tcp/80")), rule(block("10.0.0.5/32"), to=ports("udp/53")))
        assert asked(found, "10.0.0.5") == port_set([(6, 80, 80), (17, 53, 53)])
        assert asked(found, "10.0.0.4") == port_set([(6, 80, 80)])
        assert [a for a, _ in found.exact] == [number("10.0.0.5")]

    def test_a_member_that_the_prefixes_would_allow_less_stays_enumerated(self) -> None:
        """Denied by an admin rule although its set is allowed: no rule may forget it because "others" are denied."""
        everyone, db = PodSelector(Selector(), Selector()), PodSelector(Selector(), pods("app=db").pods)
        denied = tier_policy(Tier.ADMIN, 1, PodSelector("shop", pods("app=web").pods), ingress=(rule(db, action=DENY),))
        allowed = network_policy("p", pods("app=web"), ingress=(rule(everyone),))
        found = only(self.SNAPSHOT, denied, allowed)
        assert asked(found, "10.0.0.6") == NO_PORTS
        assert asked(found, "10.0.0.5") == ALL_PORTS

    def test_families_have_sets_of_their_own(self) -> None:
        snapshot = build(
            [
                pod("web", "app=web", "10.0.0.1", "fd00::1"),
                pod("a", "app=api", "fd00::2"),
                pod("b", "app=api", "10.0.0.3"),
            ]
        )
        policy = network_policy("p", pods("app=web"), ingress=(rule(pods("app=api")),))
        for family, text in ((Family.IPV4, "10.0.0.3"), (Family.IPV6, "fd00::2")):
            ((shared, _),) = only(snapshot, policy, family=family).shared
            assert (shared.family, shared.addresses) == (family, (number(text),))


class TestPrefixes:
    def test_the_longest_decides(self) -> None:
        snapshot = build([pod("web", "", "10.0.0.1")])
        inner = rule(block("10.1.0.0/16"), to=ports("tcp/81"))
        found = only(
            snapshot,
            network_policy("p", pods(), ingress=(rule(block("10.0.0.0/8", "10.2.0.0/16"), to=ports("tcp/80")), inner)),
        )
        assert [(str(p), str(allowed)) for p, allowed in found.nets] == [
            ("0.0.0.0/0", "nothing"),
            ("10.0.0.0/8", "tcp 80"),
            ("10.1.0.0/16", "tcp 80-81"),
            ("10.2.0.0/16", "nothing"),
        ]

    def test_those_that_change_nothing_are_left_out(self) -> None:
        snapshot = build([pod("web", "", "10.0.0.1")])
        found = only(
            snapshot, network_policy("p", pods(), ingress=(rule(block("10.0.0.0/8")), rule(block("10.1.0.0/16"))))
        )
        assert [str(p) for p, _ in found.nets] == ["0.0.0.0/0", "10.0.0.0/8"]

    def test_everything_allowed_is_open(self) -> None:
        snapshot = build([pod("web", "", "10.0.0.1")])
        found = only(snapshot, network_policy("p", pods(), ingress=(rule(*ANYONE), rule(block("10.0.0.0/8")))))
        assert found.is_open
        assert not only(snapshot, network_policy("p", pods(), ingress=(rule(block("0.0.0.0/1")),))).is_open

    def test_everything_but_something_is_not(self) -> None:
        snapshot = build([pod("web", "app=web", "10.0.0.1")])
        for peer in (block("10.1.0.0/16"), pods("app=web")):
            denied = rule(peer, to=ports("tcp/80"), action=DENY)
            found = only(snapshot, tier_policy(Tier.ADMIN, 1, EVERYWHERE, egress=(denied,)))
            assert found.nets[0] == (parse_prefix("0.0.0.0/0"), ALL_PORTS)
            assert not found.is_open


def assert_reach_means_what_policies_say(world: World, minimum: int, family: Family) -> None:
    meaning = Meaning(world.policies, world.snapshot)
    with patch.object(reach_module, "SHARED_MINIMUM", minimum):
        found = reaches(world.snapshot, *world.policies, family=family)
    for of_class, reach in found:
        ask = asker(reach)
        for text in UNIVERSE[family]:
            allowed = ask(number(text))
            for protocol, port in POINTS:
                for subject in of_class.pods[:2]:
                    expected = meaning.allows(of_class.direction, subject, text, protocol, port)
                    assert allowed.has(protocol, port) is expected, (
                        of_class.direction,
                        subject.name,
                        text,
                        protocol,
                        port,
                    )
        assert_tidy(reach)


def assert_tidy(reach: Reach) -> None:
    """Sorted, and without an entry that could be left out."""
    assert [a for a, _ in reach.exact] == sorted({a for a, _ in reach.exact})
    assert [p for p, _ in reach.nets] == sorted({p for p, _ in reach.nets})
    assert reach.nets[0][0].length == 0
    for n, (address, allowed) in enumerate(reach.exact):
        less = Reach(reach.exact[:n] + reach.exact[n + 1 :], reach.shared, reach.nets)
        assert asker(less)(address) != allowed or any(address in shared.addresses for shared, _ in reach.shared)
    for prefix, allowed in reach.nets[1:]:
        around = [net for net in reach.nets if net[0] != prefix and net[0].covers(prefix)]
        assert max(around, key=lambda net: net[0].length)[1] != allowed, "treats its block as the one around it does"


@settings(deadline=None, max_examples=80)
@given(worlds(), st.sampled_from((1, 2, 3, 1024)), st.sampled_from(list(Family)))
def test_a_reach_means_what_the_policies_say(world: World, minimum: int, family: Family) -> None:
    assert_reach_means_what_policies_say(world, minimum, family)


@settings(deadline=None, max_examples=10)
@given(worlds())
def test_a_reach_does_not_depend_on_what_was_asked_before(world: World) -> None:
    """Reachers remember sets across classes; a fresh one gives the same answer."""
    inventory = Inventory(world.snapshot)
    of_all = classes(inventory, world.policies, None)
    with patch.object(reach_module, "SHARED_MINIMUM", 1):
        busy = Reacher(inventory)
        together = [busy.reach(c, family) for family in Family for c in of_all]
        alone = [Reacher(Inventory(world.snapshot)).reach(c, family) for family in Family for c in of_all]
    assert together == alone
