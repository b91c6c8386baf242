"""What is emitted for random statements of nat, mangle and raw is proved to be them, and packets fare as a plain
reading of the statements says; a text with a planted mistake is not, whenever some packet fares otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from ipaddress import ip_address
from random import Random

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.errors import InvalidInput
from compiler.net import Family
from compiler.pipeline import Artifacts, Compiler
from compiler.resources.language import Opaque as AsWritten
from compiler.resources.language import Program
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.odds import probability
from compiler.semantics.proof.table_diagrams import NO_WAY_BACK, SYN
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.proof.verify_tables import CARRIED
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.effects import Unknown
from compiler.semantics.rules.journey import Route, Situation, Trace, Unanswerable
from compiler.semantics.rules.netfilter import Barrier, Field, Opaque, Rule, Ruleset, State
from compiler.semantics.rules.trace import Tracer
from compiler.snapshot import Snapshot
from grammar.ruletext import Refused
from grammar.source import Span
from tests.compiler.table_programs import table_programs, travellers
from tests.compiler.travelling import OWN, TableOracle, Travelling
from tests.compiler.worlds import UNIVERSE, worlds
from tests.property.mutants import mutants_of

NODE = "n1"
#: Rules of each tool that stand in any of these tables.
AS_WRITTEN = {
    Backend.NFTABLES: (
        "limit rate 5/minute return",
        "limit rate 5/minute accept",
        "tcp dport 80 accept",
        "meta mark 0x1 return",
        "numgen random mod 2 0 return",
        "queue num 1",
        "udp dport 53 queue num 2",
        "limit rate 9/minute log group 2",
        'iifname "eth0" drop',
    ),
    Backend.IPTABLES: (
        "-m limit --limit 5/min -j RETURN",
        "-m limit --limit 5/min -j ACCEPT",
        "-p tcp --dport 80 -j ACCEPT",
        "-m mark --mark 0x1/0x1 -j RETURN",
        "-m statistic --mode random --probability 0.5 -j RETURN",
        "-j NFQUEUE",
        "-p udp --dport 53 -j NFQUEUE",
        "-m recent --name x --set",
        "-i eth0 -j RETURN",
    ),
}
HOOKS = {
    "nat": ("prerouting", "input", "output", "postrouting"),
    "mangle": ("prerouting", "input", "forward", "output", "postrouting"),
    "raw": ("prerouting", "output"),
}


def compiled(program: Program, snapshot: Snapshot, backend: Backend) -> Artifacts:
    """Without a failsafe. What is refused by name is nobody's to prove."""
    try:
        return Compiler([], snapshot, program, None).compile(Target(backend, NODE))
    except InvalidInput:
        assume(False)
        raise


def own_addresses(snapshot: Snapshot) -> list[str]:
    return [*snapshot.nodes[NODE].ips, *(UNIVERSE[one][21] for one in Family), "127.0.0.1", "::1"]


@dataclass
class Throws:
    """Answers for the tracer: those of a packet, and of what is left to chance first those that are given, then no."""

    one: Travelling
    given: tuple[bool, ...]
    said: list[bool] = field(default_factory=list)
    share: Fraction = Fraction(1)

    def answer(self, test: Opaque | Barrier, _: Rule) -> bool:
        if test.text in (SYN, NO_WAY_BACK):
            return self.one.syn if test.text == SYN else not self.one.back
        odds = probability(test.text)
        assert odds is not None, test.text
        side = len(self.said) < len(self.given) and self.given[len(self.said)]
        self.said.append(side)
        self.share *= odds if side else 1 - odds
        return side


def fates(one: Travelling, ruleset: Ruleset) -> dict[object, Fraction]:
    """By the tracer, with every answer of what is left to chance."""
    found: dict[object, Fraction] = {}
    todo: list[tuple[bool, ...]] = [()]
    while todo:
        throws = Throws(one, todo.pop())
        key = end(one, Tracer(ruleset, throws.answer).trace(situation(one)))
        found[key] = found.get(key, Fraction(0)) + throws.share
        todo += [(*throws.said[:n], True) for n in range(len(throws.given), len(throws.said))]
    return found


def situation(one: Travelling) -> Situation:
    route = Route.ARRIVES if one.input else Route.SENT
    return Situation(one.packet, route, one.local, one.input, one.output, one.state, one.mark)


def end(one: Travelling, trace: Trace) -> object:
    """All that matters of a packet that is not gone."""
    if not trace.passed:
        return "gone"
    given = dict(trace.change.given)

    def number(field: Field) -> object:
        return OWN if isinstance(given.get(field), Unknown) else trace.numbers[field]

    fields = (Field.SOURCE, Field.DESTINATION, Field.SOURCE_PORT, Field.DESTINATION_PORT, Field.HOPS)
    mark, untracked = trace.numbers[Field.MARK] & ~CARRIED, trace.change.untracked or one.state is State.UNTRACKED
    return (*map(number, fields), mark, untracked, rewritten(dict(trace.change.rewritten)))


def rewritten(found: Mapping[str, tuple[str, ...]]) -> object:
    """The last DSCP, and all bounds of segments."""
    return tuple(sorted((what, frozenset(texts) if what == "MSS" else texts[-1]) for what, texts in found.items()))


def meant(one: Travelling) -> object:
    if one.gone:
        return "gone"
    packet = one.packet
    return (
        one.source or int(ip_address(packet.src)),
        one.destination or int(ip_address(packet.dst)),
        packet.sport,
        packet.dport,
        packet.hop_limit,
        one.mark & ~CARRIED,
        one.state is State.UNTRACKED,
        rewritten(one.rewritten),
    )


def wanted(one: Travelling, oracle: TableOracle) -> dict[object, Fraction]:
    found: dict[object, Fraction] = {}
    for share, after in oracle.fates(one):
        found[meant(after)] = found.get(meant(after), Fraction(0)) + share
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_emitted_texts_do_what_statements_say(data: st.DataObject) -> None:
    snapshot, program = data.draw(worlds()).snapshot, data.draw(table_programs())
    backend = data.draw(st.sampled_from(list(Backend)))
    made = compiled(program, snapshot, backend)
    ruleset = rulesets.read(made.files.items())
    said = verify([], snapshot, NODE, ruleset, (4, 6), program)
    assert isinstance(said, Equal), (backend, said.witnesses[0])
    oracle = TableOracle(program, snapshot)
    for family in Family:
        for one in data.draw(st.lists(travellers(snapshot, own_addresses(snapshot), family), min_size=4, max_size=4)):
            assert fates(one, ruleset) == wanted(one, oracle), (backend, one)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.data())
def test_planted_mistakes_are_caught(data: st.DataObject) -> None:
    """Where the proof lets a changed text through, packets fare as before."""
    snapshot, program = data.draw(worlds()).snapshot, data.draw(table_programs())
    made = compiled(program, snapshot, data.draw(st.sampled_from(list(Backend))))
    before = rulesets.read(made.files.items())
    random = Random(data.draw(st.integers(0, 1 << 32)))
    packets = [data.draw(travellers(snapshot, own_addresses(snapshot), family)) for family in Family for _ in range(40)]
    for name, text in made.files.items():
        for operator, line, mutant in mutants_of(text, random, 4):
            try:
                after = rulesets.read({**made.files, name: mutant}.items())
                said = verify([], snapshot, NODE, after, (4, 6), program)
            except (Refused, Unprovable):
                continue
            if isinstance(said, Equal):
                wrong = [one for one in packets if not alike(one, before, after)]
                assert not wrong, (operator, line, wrong[0])


def alike(one: Travelling, before: Ruleset, after: Ruleset) -> bool:
    """Whether it fares alike, as far as the tracer can follow it."""
    try:
        return fates(one, before) == fates(one, after)
    except Unanswerable:
        return True


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_rules_of_one_tool_stand_among_statements(data: st.DataObject) -> None:
    """In their place, whatever they do, and with what they remember."""
    snapshot, program = data.draw(worlds()).snapshot, data.draw(table_programs())
    backend = data.draw(st.sampled_from(list(Backend)))
    changed = {}
    for block, hooks in HOOKS.items():
        items = list(getattr(program, block))
        for n in range(data.draw(st.integers(0, 3))):
            rule = AsWritten(
                name=f"{block}{n}",
                tool="iptables" if backend is Backend.IPTABLES else "nft",
                hook=data.draw(st.sampled_from(hooks)),
                version=data.draw(st.sampled_from((None, None, 4, 6))),
                rule=data.draw(st.sampled_from(AS_WRITTEN[backend])),
                text="opaque",
                span=Span("t.np", 900 + n, 1, 900 + n, 2),
            )
            items.insert(data.draw(st.integers(0, len(items))), rule)
        changed[block] = tuple(items)
    said = program.model_copy(update=changed)
    made = compiled(said, snapshot, backend)
    found = verify([], snapshot, NODE, rulesets.read(made.files.items()), (4, 6), said)
    assert isinstance(found, Equal), (backend, said, found.witnesses[0])
