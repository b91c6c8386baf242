"""The layout that a reviewer reads: sizes, and the number of rules that a first packet passes at most."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.analysis.layout import describe, longest_paths
from compiler.backends.target import CAPABILITIES, Backend, Target
from compiler.ir.effects import SetMark
from compiler.ir.match import Field, InPrefix, Replies, ToPorts
from compiler.ir.nat import Masquerade
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Continue,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    PrefixMap,
    Reject,
    Return,
    Rule,
    Ruleset,
    Set,
    Table,
)
from compiler.lower.pods import lower
from compiler.net import Family, parse_prefix
from compiler.passes.expand_maps import expand_maps
from compiler.resolve.classes import classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reacher
from compiler.snapshot import build
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.models import network_policy, pod, pods, ports, rule

V4, V6 = Family.IPV4, Family.IPV6
TO_TEN = Rule((InPrefix(Field.DESTINATION, parse_prefix("10.0.0.0/8")),), Goto("deny"), V4)
ANY = Rule((ToPorts(6, 1, 1),), Drop())  # a rule that may or may not match


def forward(*rules: Rule | Lookup) -> Chain:
    return Chain("forward", rules, Hook.FORWARD)


def longest(*chains: Chain, family: Family = V4, maps: tuple[PrefixMap, ...] = ()) -> int:
    return longest_paths(Ruleset(chains, maps=maps), family)[chains[0].name]


class TestLongestPath:
    def test_rules_that_may_not_match_are_passed(self) -> None:
        assert longest(forward()) == 0
        assert longest(forward(ANY, ANY, ANY)) == 3

    def test_a_jump_comes_back(self) -> None:
        two = Chain("two", (ANY, ANY))
        assert longest(forward(ANY, Rule((), Jump("two")), ANY), two) == 5

    def test_a_goto_does_not_come_back(self) -> None:
        two = Chain("two", (ANY, ANY))
        assert longest(forward(Rule((ToPorts(6, 2, 2),), Goto("two")), ANY), two) == 3
        assert longest(forward(Rule((ToPorts(6, 2, 2),), Goto("two")), ANY, ANY, ANY), two) == 4

    def test_of_two_ways_the_longer_counts(self) -> None:
        short, long = Chain("short", (ANY,)), Chain("long", (ANY,) * 5)
        both = (Rule((ToPorts(6, 2, 2),), Goto("short")), Rule((), Goto("long")))
        assert longest(forward(*both), short, long) == 7

    def test_a_lookup_counts_once_and_takes_its_longest_way(self) -> None:
        ten, eleven = parse_prefix("10.0.0.0/8"), parse_prefix("11.0.0.0/8")
        short, long = Chain("short", (ANY,)), Chain("long", (ANY,) * 5)
        found = PrefixMap("m", V4, ((ten, Jump("short")), (eleven, Jump("long"))))
        assert longest(forward(Lookup(Field.SOURCE, "m", V4), ANY), short, long, maps=(found,)) == 7
        ends = PrefixMap("m", V4, ((ten, Goto("short")), (eleven, Return())))
        assert longest(forward(Lookup(Field.SOURCE, "m", V4), ANY, ANY), short, long, maps=(ends,)) == 3

    def test_rules_of_the_other_family_are_not_passed(self) -> None:
        mixed = forward(Rule((), Jump("one"), V6), ANY, Rule((), Drop(), V4))
        one = Chain("one", (ANY, ANY), family=V6)
        assert longest(mixed, one) == 2
        assert longest(mixed, one, family=V6) == 4

    def test_a_way_that_ends_does_not_come_back(self) -> None:
        ends = Chain("ends", (ANY, Rule((), Drop())))
        assert longest(forward(Rule((ToPorts(6, 2, 2),), Jump("ends")), ANY), ends) == 3
        assert longest(forward(Rule((ToPorts(6, 2, 2),), Jump("ends")), ANY, ANY, ANY), ends) == 4
        either = Chain("either", (Rule((ToPorts(6, 3, 3),), Return()), *[ANY] * 5, Rule((), Drop())))
        assert longest(forward(Rule((ToPorts(6, 2, 2),), Jump("either")), ANY), either) == 8
        assert longest(forward(Rule((ToPorts(6, 2, 2),), Jump("either")), *[ANY] * 9), either) == 11

    def test_behind_a_rule_that_always_matches_nothing_is_passed(self) -> None:
        assert longest(forward(ANY, Rule((), Return()), ANY, ANY)) == 2
        assert longest(forward(ANY, Rule((), Goto("two")), ANY, ANY, ANY), Chain("two", (ANY,))) == 3

    def test_deep_rulesets_need_no_recursion(self) -> None:
        many = [Chain(f"c{n}", (Rule((), Jump(f"c{n + 1}")),)) for n in range(5000)]
        assert longest(forward(Rule((), Jump("c0"))), *many, Chain("c5000", (ANY,))) == 5002

    def test_a_shared_chain_counts_every_time_it_is_passed(self) -> None:
        two = Chain("two", (ANY, ANY))
        assert longest(forward(Rule((), Jump("two")), Rule((), Jump("two"))), two) == 6


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_walk_is_longer(data: st.DataObject) -> None:
    names = [f"c{n}" for n in range(4)]
    chains = []
    for n, name in enumerate(names):
        later = [Jump(x) for x in names[n + 1 :]] + [Goto(x) for x in names[n + 1 :]]
        verdicts = st.sampled_from([Return(), Drop(), *later])
        length = data.draw(st.integers(0, 3))
        rules = tuple(Rule((ToPorts(6, data.draw(st.integers(0, 3)), 3),), data.draw(verdicts)) for _ in range(length))
        chains.append(Chain(name, rules, Hook.FORWARD if n == 0 else None))
    ruleset = Ruleset(tuple(chains))
    most = longest_paths(ruleset, V4)["c0"]
    walker = Walker(ruleset)
    walked = [walker.walk(Seen(V4, 1, 2, 6, port)).passed for port in range(5)]
    assert max(walked) <= most


class TestDescription:
    RULESET = Ruleset(
        (
            forward(Rule((Replies(),), Accept()), Lookup(Field.SOURCE, "egress4", V4)),
            Chain(
                "eg4-web",
                (Rule((InPrefix(Field.SOURCE, parse_prefix("10.0.0.0/8")),), Goto("deny"), V4),),
                family=V4,
                notes=("egress of shop/web", "more"),
            ),
            Chain("deny", (Rule((), Drop()),), notes=("what no policy allows",)),
        ),
        (Set("self4", V4, (Field.SOURCE, Field.DESTINATION), ((1, 1), (2, 2)), ("itself",)),),
        (PrefixMap("egress4", V4, ((parse_prefix("10.0.0.1/32"), Jump("eg4-web")),), ("dispatch",)),),
        ("netpolc: node n1",),
    )

    def test_text(self) -> None:
        assert describe(self.RULESET) == (
            "netpolc: node n1\n"
            "\n"
            "chain                   rules  passed at most  for\n"
            "forward                     2               4  hook forward\n"
            "eg4-web                     1               2  egress of shop/web\n"
            "deny                        1               1  what no policy allows\n"
            "\n"
            "set or map             elements  for\n"
            "self4                         2  itself\n"
            "egress4                       1  dispatch\n"
            "\n"
            "A first packet passes at most 4 rules and lookups.\n"
        )

    def test_the_worse_family_counts(self) -> None:
        six = Rule((ToPorts(6, 1, 1),), Drop(), V6)
        assert describe(Ruleset((forward(ANY, six, six),))).endswith("at most 3 rules and lookups.\n")
        only4 = Ruleset((forward(ANY, six, six),), families=(V4,))
        assert describe(only4).endswith("at most 1 rules and lookups.\n")

    def test_all_tables(self) -> None:
        """A packet passes the hooks of one way, in all tables; effects alone go on."""
        ttl = Rule((ToPorts(6, 1, 1),), Continue(), effects=(SetMark(1),))
        chains = (
            Chain("raw-prerouting", (ANY,), Hook.PREROUTING, Table.RAW),
            Chain("mangle-prerouting", (ttl, ttl), Hook.PREROUTING, Table.MANGLE),
            Chain("nat-postrouting", (Rule((), Masquerade()), ANY), Hook.POSTROUTING, Table.NAT),
            forward(ANY, ANY, Rule((), Reject())),
            Chain("input", (ANY,) * 5, Hook.INPUT),
        )
        lines = describe(Ruleset(chains)).splitlines()
        assert lines[2:7] == [
            "raw-prerouting              1               1  hook prerouting of raw",
            "mangle-prerouting           2               2  hook prerouting of mangle",
            "nat-postrouting             2               1  hook postrouting of nat",
            "forward                     3               3  hook forward",
            "input                       5               5  hook input",
        ]
        assert lines[-1] == "A first packet passes at most 8 rules and lookups."

    def test_of_nothing(self) -> None:
        assert describe(Ruleset(())).endswith("A first packet passes at most 0 rules and lookups.\n")


def test_the_worst_packet_of_a_real_ruleset_passes_nearly_as_many_as_said() -> None:
    """The figure is no loose bound: it takes every match for possible, and that misleads it about one packet alone,
    which `deny` would send back at one end as a pod's way to itself and drop at the other."""
    snapshot = build([pod("web", "app=web", "10.0.0.1"), pod("api", "app=api", "10.0.0.2")])
    policies = (
        network_policy("web", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80-81")),)),
        network_policy("api", pods("app=api"), egress=(rule(pods("app=web"), to=ports("tcp/70-81")),)),
    )
    inventory = Inventory(snapshot)
    ruleset = lower(classes(inventory, policies, None), Reacher(inventory), Target(families=(V4,)))
    for found, both_ways in ((ruleset, 2), (expand_maps(ruleset, CAPABILITIES[Backend.IPTABLES]), 2)):
        walker = Walker(found)
        walks = [walker.walk(Seen(V4, 0x0A000002, 0x0A000001, 6, port)).passed for port in (69, 75, 80, 90)]
        assert max(walks) + both_ways == longest_paths(found, V4)["forward"]
