"""Maps become sets, prefix rules and trees; no packet notices."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.analysis.layout import longest_paths
from compiler.backends.target import CAPABILITIES, Backend
from compiler.ir import ruleset as ir
from compiler.ir.check import check
from compiler.ir.match import Field, InPrefix, ToPorts
from compiler.net import Family, Prefix, mask, parse_prefix
from compiler.passes.expand_maps import expand_maps
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.models import origin

IPTABLES = CAPABILITIES[Backend.IPTABLES]
#: Ends with different verdicts behind them, so that every mix-up shows: `a` drops TCP, `b` UDP, `c` SCTP.
TARGETS = {"a": 6, "b": 17, "c": 132}
PROTOCOLS = (6, 17, 132, 1)


def ruleset(found: ir.PrefixMap, field: Field = Field.SOURCE) -> ir.Ruleset:
    """Two hooks that ask the map; behind it one more rule, so that falling through is not accepting."""
    ends = tuple(
        ir.Chain(name, (ir.Rule((ToPorts(protocol, 0, 65535),), ir.Drop()),)) for name, protocol in TARGETS.items()
    )
    lookup = ir.Lookup(field, found.name, found.family, (origin("p"),))
    after = ir.Rule((ToPorts(6, 7, 7),), ir.Drop())
    result = ir.Ruleset(
        (
            ir.Chain("forward", (lookup, after), ir.Hook.FORWARD),
            ir.Chain("output", (lookup, after), ir.Hook.OUTPUT),
            *ends,
        ),
        maps=(found,),
    )
    check(result)
    return result


verdicts: st.SearchStrategy[ir.Verdict] = st.one_of(
    st.sampled_from(sorted(TARGETS)).map(ir.Goto), st.sampled_from(sorted(TARGETS)).map(ir.Jump), st.just(ir.Return())
)
jumps = st.sampled_from(sorted(TARGETS)).map(ir.Jump)


@st.composite
def maps(draw: st.DrawFn) -> ir.PrefixMap:
    """Of 32 addresses; of hosts and jumps alone, as a dispatch is, or anything else."""
    family = draw(st.sampled_from(list(Family)))
    base = 0xFD << family.bits - 8
    dispatch = draw(st.booleans())
    lengths = st.just(family.bits) if dispatch else st.integers(family.bits - 5, family.bits)
    prefix = st.builds(
        lambda offset, length: Prefix(family.value, base + offset & mask(family, length), length),
        st.integers(0, 31),
        lengths,
    )
    chosen = draw(st.dictionaries(prefix, jumps if dispatch else verdicts, max_size=20))
    return ir.PrefixMap("lookup4", family, tuple(sorted(chosen.items(), key=lambda e: e[0])), ("a note",))


@settings(deadline=None, max_examples=100)
@given(maps(), st.sampled_from((Field.SOURCE, Field.DESTINATION)), st.sampled_from((ir.Hook.FORWARD, ir.Hook.OUTPUT)))
def test_every_packet_keeps_its_verdict(found: ir.PrefixMap, field: Field, hook: ir.Hook) -> None:
    before = ruleset(found, field)
    after = expand_maps(before, IPTABLES)
    check(after)
    assert after.maps == ()
    assert not any(isinstance(rule, ir.Lookup) for chain in after.chains for rule in chain.rules)
    one, two = Walker(before), Walker(after)
    base = 0xFD << found.family.bits - 8
    for address in (*range(base - 1, base + 33), 0):
        for protocol in PROTOCOLS:
            source, destination = (address, 3) if field is Field.SOURCE else (3, address)
            packet = Seen(found.family, source, destination, protocol, 7)
            assert one.accepts(packet, hook) is two.accepts(packet, hook)


@pytest.mark.parametrize("count", [2, 12])
def test_blocks_with_jumps_alone_are_no_dispatch(count: int) -> None:
    elements = tuple((Prefix(4, 10 << 24, length), ir.Jump("ab"[length % 2])) for length in range(8, 8 + count))
    before = ruleset(ir.PrefixMap("m", Family.IPV4, elements))
    after = expand_maps(before, IPTABLES)
    for host_bits, protocol in product(range(33 - 8), PROTOCOLS):
        packet = Seen(Family.IPV4, (10 << 24) + (1 << host_bits) - 1, 1, protocol)
        assert Walker(after).accepts(packet) is Walker(before).accepts(packet)


def test_a_target_with_maps_is_left_alone() -> None:
    before = ruleset(dispatch(20))
    assert expand_maps(before, CAPABILITIES[Backend.NFTABLES]) is before


def dispatch(count: int, step: int = 1, family: Family = Family.IPV4) -> ir.PrefixMap:
    """Hosts that lead to the chains in turn."""
    base = 10 << family.bits - 8
    names = sorted(TARGETS)
    elements = tuple((Prefix(family.value, base + n * step, family.bits), ir.Jump(names[n % 3])) for n in range(count))
    return ir.PrefixMap("ingress4", family, elements, ("who goes where",))


class TestTree:
    def test_few_hosts_are_rules_in_a_row(self) -> None:
        after = expand_maps(ruleset(dispatch(8)), IPTABLES)
        assert len(after.chain("forward").rules) == 9
        assert {chain.name for chain in after.chains} == {"forward", "output", "a", "b", "c"}

    def test_more_are_one_jump_into_a_tree_that_hooks_share(self) -> None:
        after = expand_maps(ruleset(dispatch(9)), IPTABLES)
        for name in ("forward", "output"):
            first = after.chain(name).rules[0]
            assert isinstance(first, ir.Rule)
            assert first.verdict == ir.Jump("t-ingress4")
            assert first.origins == (origin("p"),)
        assert after.chain("t-ingress4").notes == ("who goes where",)

    def test_every_chain_of_it_says_what_it_is(self) -> None:
        after = expand_maps(ruleset(dispatch(40)), IPTABLES)
        assert all(chain.notes for chain in after.chains if chain.name.startswith("t"))

    def test_hooks_come_first_then_trees(self) -> None:
        after = expand_maps(ruleset(dispatch(20)), IPTABLES)
        kinds = ["hook" if c.hook else "tree" if c.name.startswith("t") else "class" for c in after.chains]
        assert kinds == sorted(kinds, key=("hook", "tree", "class").index)

    @pytest.mark.parametrize("family", list(Family))
    @pytest.mark.parametrize("step", [1, 7, 256, 4096])
    def test_its_depth_is_that_of_the_addresses(self, family: Family, step: int) -> None:
        """Four bits a level: at most 16 rules in each, and one level for every four bits that differ."""
        before = ruleset(dispatch(200, step, family))
        after = expand_maps(before, IPTABLES)
        levels = -(-(199 * step).bit_length() // 4)
        assert longest_paths(after, family)["forward"] <= 16 * levels + 3
        assert all(len(c.rules) <= 16 for c in after.chains if c.name.startswith("t"))

    def test_leaves_are_whole_addresses(self) -> None:
        """A stranger in the same block as a pod must not be taken for it."""
        after = expand_maps(ruleset(dispatch(9, 256)), IPTABLES)
        leaves = [
            (match.prefix.length, rule.verdict)
            for chain in after.chains
            for rule in chain.rules
            if isinstance(rule, ir.Rule)
            for match in rule.matches
            if isinstance(match, InPrefix) and isinstance(rule.verdict, ir.Goto) and rule.verdict.chain in TARGETS
        ]
        assert len(leaves) == 9
        assert all(length == 32 for length, _ in leaves)

    def test_the_commonest_target_is_a_set_beside_it(self) -> None:
        """Pods that the pairs answer all lead to `deny`."""
        elements = dispatch(60).elements
        common = tuple((p, ir.Jump("b") if n % 2 else verdict) for n, (p, verdict) in enumerate(elements))
        after = expand_maps(ruleset(ir.PrefixMap("ingress4", Family.IPV4, common, ("note",))), IPTABLES)
        (new,) = after.sets
        assert (new.name, new.notes) == ("ingress40", ("note",))
        assert set(new.elements) == {(p.base,) for p, verdict in common if verdict == ir.Jump("b")}
        ask, tree, _ = after.chain("forward").rules
        assert isinstance(ask, ir.Rule)
        assert isinstance(tree, ir.Rule)
        assert (ask.verdict, tree.verdict) == (ir.Jump("b"), ir.Jump("t-ingress4"))
        leaves = [r.verdict for c in after.chains if c.name.startswith("t") for r in c.rules if isinstance(r, ir.Rule)]
        assert ir.Goto("b") not in leaves

    def test_few_beside_the_commonest_target_are_rules_in_a_row(self) -> None:
        elements = dispatch(40).elements
        common = tuple((p, verdict if n < 8 else ir.Jump("b")) for n, (p, verdict) in enumerate(elements))
        after = expand_maps(ruleset(ir.PrefixMap("ingress4", Family.IPV4, common)), IPTABLES)
        assert not [chain for chain in after.chains if chain.name.startswith("t")]

    def test_one_verdict_is_a_set_however_many(self) -> None:
        found = ir.PrefixMap(
            "ingress4", Family.IPV4, tuple((p, ir.Jump("a")) for p, _ in dispatch(30).elements), ("note",)
        )
        after = expand_maps(ruleset(found), IPTABLES)
        (new,) = after.sets
        assert isinstance(new, ir.Set)
        assert len(new.elements) == 30
        assert new.key == (Field.SOURCE,)
        assert new.notes == ("note",)


class TestSetsByVerdict:
    def test_hosts_are_plain_sets_in_order_of_verdicts(self) -> None:
        hosts = [parse_prefix(f"10.0.0.{n}/32") for n in range(9)]
        chosen: tuple[ir.Verdict, ...] = (ir.Goto("b"), ir.Return(), ir.Goto("b"), ir.Goto("a"), *[ir.Goto("b")] * 5)
        found = ir.PrefixMap("m", Family.IPV4, tuple(zip(hosts, chosen, strict=True)))
        after = expand_maps(ruleset(found, Field.DESTINATION), IPTABLES)
        assert [(s.name, s.elements) for s in after.sets] == [
            ("m0", tuple((hosts[n].base,) for n in (0, 2, 4, 5, 6, 7, 8))),
            ("m1", ((hosts[1].base,),)),
            ("m2", ((hosts[3].base,),)),
        ]
        assert [s.key for s in after.sets if isinstance(s, ir.Set)] == [(Field.DESTINATION,)] * 3
        verdicts_in_order = [r.verdict for r in after.chain("forward").rules if isinstance(r, ir.Rule)]
        assert verdicts_in_order[:3] == [ir.Goto("b"), ir.Return(), ir.Goto("a")]

    def test_prefixes_leave_out_what_lies_deeper(self) -> None:
        outer, middle, inner, apart = map(parse_prefix, ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "11.0.0.0/8"))
        found = ir.PrefixMap(
            "m",
            Family.IPV4,
            ((outer, ir.Goto("a")), (middle, ir.Goto("b")), (inner, ir.Goto("a")), (apart, ir.Goto("b"))),
        )
        of_a, of_b = expand_maps(ruleset(found), IPTABLES).sets
        assert isinstance(of_a, ir.PrefixSet)
        assert of_a.elements == ((outer, True), (middle, False), (inner, True))
        assert of_b.elements == ((middle, True), (inner, False), (apart, True))

    def test_other_sets_stay(self) -> None:
        found = ir.PrefixMap("m", Family.IPV4, ((parse_prefix("10.0.0.1/32"), ir.Return()),))
        before = ruleset(found)
        kept = ir.Set("kept", Family.IPV4, (Field.SOURCE,), ((1,),))
        after = expand_maps(ir.Ruleset(before.chains, (kept,), before.maps, ("head",), (Family.IPV4,)), IPTABLES)
        assert after.sets[0] == kept
        assert after.notes == ("head",)
        assert after.families == (Family.IPV4,)


def test_a_map_without_elements_matches_nothing() -> None:
    after = expand_maps(ruleset(ir.PrefixMap("m", Family.IPV4, ())), IPTABLES)
    assert len(after.chain("forward").rules) == 1
    assert Walker(after).accepts(Seen(Family.IPV4, 1, 2, 17, 7))


def test_accept_in_a_dispatch_is_kept() -> None:
    found = ir.PrefixMap("m", Family.IPV4, ((parse_prefix("10.0.0.1/32"), ir.Accept()),))
    forward = ir.Chain("forward", (ir.Lookup(Field.SOURCE, "m", Family.IPV4), ir.Rule((), ir.Drop())), ir.Hook.FORWARD)
    after = expand_maps(ir.Ruleset((forward,), maps=(found,)), IPTABLES)
    assert Walker(after).accepts(Seen(Family.IPV4, 0x0A000001, 2, 6))
    assert not Walker(after).accepts(Seen(Family.IPV4, 0x0A000002, 2, 6))
