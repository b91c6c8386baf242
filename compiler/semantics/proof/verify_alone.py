"""Policies alone == text of rules? For every cluster there may be, and every packet in it.

Where the input names no pod, the rules ask sets that somebody fills by hand. They are taken to hold who the words
beside them say (`meant`), whatever they hold now, and both sides are compared as in `verify`, with the facts about the
ends beside the packet's fields. A difference is shown in a cluster that has it: pods with labels, sets with members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise

from compiler.semantics.diagrams.diagram import NOTHING, Diagrams, Range
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.space import ACCEPT, Path, Space, address_text, space
from compiler.semantics.diagrams.text_diagram import TextDiagrams
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.proof import apart
from compiler.semantics.proof.boxes import case_of
from compiler.semantics.proof.case import Case, Said, said
from compiler.semantics.proof.facts import Facts
from compiler.semantics.proof.meant import Itself, Meant, meant
from compiler.semantics.proof.policies_alone import Clauses, PoliciesAlone
from compiler.semantics.proof.setting import Setting
from compiler.semantics.proof.verify import MOST_WITNESSES, Different, Equal, Witness, way_of
from compiler.semantics.rules.netfilter import Element, Field, In, InSet, Key, Ruleset, Table
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot

#: On what equality hangs.
_GIVEN = "once every set holds what its comment says"


@dataclass(frozen=True, slots=True)
class _ByHand:
    """A set of a table that somebody fills."""

    table: Table
    name: str
    who: Meant


class AloneVerifier:
    """Policies and a snapshot without a pod that has an address; its nodes, if it holds any, are all there are."""

    def __init__(self, policies: Iterable[AnyPolicy], snapshot: Snapshot) -> None:
        self._policies, self._snapshot = tuple(policies), snapshot

    def verify(self, node: str | None, ruleset: Ruleset, families: Sequence[int] = (4, 6)) -> Equal | Different:
        """Whether the rules mean what the policies say of whoever is in their sets, on whichever node. Raises
        `Unprovable` for rules that no diagram can hold, and for sets of which nobody can tell who belongs in them."""
        by_hand = tuple(_by_hand(ruleset))
        if self._policies and not by_hand:
            raise Unprovable("no pod with an address in the input, and these rules have no set that is to be filled")
        found = [witness for version in families for witness in self._differences(ruleset, by_hand, version)]
        return Different(tuple(found)) if found else Equal(tuple(families), _GIVEN)

    def _differences(self, ruleset: Ruleset, by_hand: Sequence[_ByHand], version: int) -> Iterator[Witness]:
        clauses = Clauses(self._policies, self._snapshot, version)
        over = space(version)
        made = over.made
        facts = Facts(over, [*(who for c in clauses.all() for who in c.meant()), *(one.who for one in by_hand)])
        rules, rows = apart.seen(ruleset, version)
        # Sets that could be anyone's narrow nothing down: it is less work to follow each chain once, for everybody.
        wanted, text = PoliciesAlone(clauses, facts, over), TextDiagrams(rules, over, narrows=False)
        tables = {id(one): two for one, two in zip(ruleset.tables, rules.tables, strict=True)}
        for content in by_hand:
            text.matches.define(tables[id(content.table)], content.name, partial(_members, facts, content.who))
        for path in Path:
            sides = wanted.at(path), text.at(path)
            if sides[0] == sides[1]:
                continue  # on what no cluster sees, too
            opaque = {level: test for level, test in text.matches.opaque.items() if test not in rows}
            tests = {level: rows[test] for level, test in text.matches.opaque.items() if test in rows}
            known = _differing(made, tests, version)
            impossible = wanted.impossible(path), facts.impossible(_pieces(over, sides), clauses.nodes, *known)
            gone = made.where(made.first(impossible), made.outcome("impossible"))
            one, two = (made.first([gone, side]) for side in sides)
            for box, allowed, found in islice(made.differences(one, two), MOST_WITNESSES):
                setting = Setting(facts, over, box, apart.choice(tests, box, version))
                case = case_of(path, over, setting.box, opaque)
                filled = _filled(ruleset, by_hand, setting, case.packet)
                yield Witness(
                    case,
                    self._said(case, setting, allowed == ACCEPT),
                    str(found),
                    way_of(filled, case),
                    (*setting.words(case.packet), *_held(filled, by_hand, version)),
                )

    def _said(self, case: Case, setting: Setting, allowed: bool) -> Said:
        """What the oracle says where it knows as much; it knows no DNS answers."""
        domains = setting.domains()
        if domains:
            return Said(allowed, note="; ".join(domains))
        return said(Oracle(self._policies, setting.snapshot(self._snapshot, case.packet)), None, case)


def _by_hand(ruleset: Ruleset) -> Iterator[_ByHand]:
    """The sets to be filled. An empty one that rules ask and that has no words beside it is refused: it may be one that
    has lost them, as ipset save loses them."""
    for table in ruleset.tables:
        asked = frozenset(_asked(table))
        for name, content in table.sets.items():
            try:
                who = meant(content)
            except ValueError as error:
                raise Unprovable(f"the words beside the set {name} are not understood: {error}") from None
            if who is not None:
                yield _ByHand(table, name, who)
            elif name in asked and not content.elements:
                raise Unprovable(f"the set {name} is empty, and nothing beside it says who belongs in it")


def _differing(made: Diagrams, tests: Mapping[int, frozenset[apart.Way]], version: int) -> tuple[int, int]:
    """Packets that are known to have two addresses, and that are known to have one, by such tests."""
    differ = made.first(made.inside(level, [(1, 1)]) for level in tests)
    complete = frozenset().union(*tests.values()) == apart.every_way(version)
    return differ, made.outside(differ) if complete else NOTHING


def _members(facts: Facts, who: Meant, keys: tuple[Key, ...]) -> int:
    if any(key.mask is not None for key in keys):
        raise Unprovable("a set that is to be filled is asked for a part of an address")
    return facts.members(who, [key.field for key in keys])


def _pieces(over: Space, diagrams: Iterable[int]) -> list[Range]:
    """Ranges of addresses that neither side tells apart."""
    made = over.made
    starts = {
        low for one in diagrams for level in (over.source, over.destination) for low, _ in made.pieces(one, level)
    }
    return [(low, end - 1) for low, end in pairwise([*sorted(starts), made.sizes[over.source]])]


def _filled(ruleset: Ruleset, by_hand: Iterable[_ByHand], setting: Setting, packet: Packet) -> Ruleset:
    """The rules with the sets filled as the setting has it."""
    tables = {id(table): dict(table.sets) for table in ruleset.tables}
    for one in by_hand:
        content = one.table.sets[one.name]
        boxes = (tuple((n, n) for n in member) for member in sorted(setting.members(one.who, packet)))
        tables[id(one.table)][one.name] = replace(content, elements=tuple(Element(box, content.place) for box in boxes))
    return Ruleset(tuple(replace(table, sets=tables[id(table)]) for table in ruleset.tables))


def _held(ruleset: Ruleset, by_hand: Iterable[_ByHand], version: int) -> Iterator[str]:
    """Which addresses are in which sets that packets of this family are asked for, in words."""
    names: dict[int, dict[str, None]] = {}
    asked = {name for table in ruleset.tables if version in table.families for name in _asked(table, version)}
    contents = {name: content for table in ruleset.tables for name, content in table.sets.items() if name in asked}
    for one in by_hand:
        if not isinstance(one.who, Itself) and one.name in contents:
            for element in contents[one.name].elements:
                names.setdefault(element.box[0][0], {})[one.name] = None
    for address, sets in sorted(names.items()):
        yield f"{address_text(version, address)} is in {', '.join(sets)}"


def _asked(table: Table, version: int | None = None) -> Iterator[str]:
    """The sets that rules ask; with `version`, those that are for its packets."""
    for rule in (rule for chain in table.chains.values() for rule in chain.rules):
        spans = [span for p in rule.parts if isinstance(p, In) and p.field is Field.FAMILY for span in p.intervals]
        if version is None or not spans or any(low <= version <= high for low, high in spans):
            yield from (part.set for part in rule.parts if isinstance(part, InSet))
