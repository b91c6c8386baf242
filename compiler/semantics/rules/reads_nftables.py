"""Texts of nftables -> tables of the ruleset model, as if they were loaded into a kernel without rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from compiler.semantics.rules.netfilter import (
    WITH_PORTS,
    Base,
    Chain,
    Element,
    Goto,
    Hook,
    Jump,
    Rule,
    Set,
    Table,
    Verdict,
)
from compiler.semantics.rules.nftables_rules import QUESTIONS, RuleReader, Sets, unread, verdict
from compiler.semantics.rules.nftables_values import interval, is_known
from compiler.semantics.rules.numbers import number
from grammar import nftables
from grammar import nftables_tree as tree
from grammar.ruletext import Place, Refused
from grammar.source import Source

_FAMILIES = {"ip": frozenset({4}), "ip6": frozenset({6}), "inet": frozenset({4, 6})}
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1


def read(source: Source, partly: bool = False) -> tuple[Table, ...]:
    """Every table of the text. `partly`: a rule that is not understood is a statement whose effect is not modelled, or,
    if it ends with a verdict, a match that may answer anything; where only a part of it is not understood, the part is
    not modelled. Tables of other families and objects that are neither chains nor sets are left out. Raises Refused."""
    tables: dict[tuple[str, str], _Table] = {}
    for command in nftables.commands(source, partly):
        match command:
            case tree.AddTable(family, name):
                tables.setdefault((family.text, name.plain), _Table(source, family.text, name.plain, partly))
            case tree.Flush(None):
                tables.clear()
            case tree.Flush(family, name, chain):
                assert family is not None
                assert name is not None
                _known(source, tables, family, name).flush(chain)
            case _:
                _known(source, tables, command.family, command.table).take(command)
    return tuple(table.finished() for table in tables.values())


def _known(source: Source, tables: dict[tuple[str, str], _Table], family: tree.Atom, name: tree.Atom) -> _Table:
    try:
        return tables[family.text, name.plain]
    except KeyError:
        raise _place(source, name).refused(f"there is no table {family.text} {name.text}") from None


def _place(source: Source, atom: tree.Atom) -> Place:
    return Place(source, atom.start, atom.start + len(atom.text))


@dataclass(slots=True)
class _Chain:
    base: Base | None
    rules: list[tree.Rule] = field(default_factory=list)


@dataclass(slots=True)
class _Set:
    kinds: tuple[str, ...]
    verdicts: bool
    place: Place
    elements: list[Element] = field(default_factory=list)


class _Table:
    """A table while its commands are taken. Rules are read at the end: sets may be filled behind them."""

    def __init__(self, source: Source, family: str, name: str, partly: bool) -> None:
        self._source = source
        self._partly = partly
        self._family = family
        self._name = name
        self._chains: dict[str, _Chain] = {}
        self._sets: dict[str, _Set] = {}
        self._intervals: dict[tuple[str, str], tuple[int, int]] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._places: dict[Verdict, Place] = {}

    def take(self, command: tree.AddChain | tree.AddRule | tree.AddSet | tree.AddElements) -> None:
        match command:
            case tree.AddChain():
                self._add_chain(command)
            case tree.AddRule(_, _, chain, rule, first):
                rules = self._chain(chain).rules
                rules.insert(0 if first else len(rules), rule)
            case tree.AddSet():
                self._add_set(command)
            case tree.AddElements(_, _, name, elements):
                found = self._sets.get(name.plain)
                if found is None:
                    raise self._at(name).refused(f"there is no set {name.text}")
                found.elements += self._elements(elements, found.kinds, found.verdicts)

    def flush(self, chain: tree.Atom | None) -> None:
        """Takes out the rules of one chain or all; chains, sets and elements stay."""
        for found in self._chains.values() if chain is None else (self._chain(chain),):
            found.rules.clear()

    def finished(self) -> Table:
        """Raises Refused for rules that are not understood, or jump or look where nothing is."""
        chains = {
            name: Chain(name, tuple(self._rule(rule) for rule in found.rules), found.base)
            for name, found in self._chains.items()
        }
        for said, place in self._places.items():
            if isinstance(said, Jump | Goto) and said.chain not in self._chains:
                raise place.refused(f"there is no chain {said.chain}")
        sets = {
            # A catch-all element is asked last.
            name: Set(name, tuple(sorted(found.elements, key=_is_catch_all)), found.place)
            for name, found in self._sets.items()
        }
        return Table(self._name, _FAMILIES[self._family], chains, sets)

    def _at(self, atom: tree.Atom) -> Place:
        return _place(self._source, atom)

    def _chain(self, name: tree.Atom) -> _Chain:
        try:
            return self._chains[name.plain]
        except KeyError:
            raise self._at(name).refused(f"there is no chain {name.text}") from None

    def _add_chain(self, command: tree.AddChain) -> None:
        name, base = command.name.plain, _base(command)
        found = self._chains.setdefault(name, _Chain(base))
        if base is not None and found.base != base:
            if found.base is not None and (found.base.hook, found.base.priority) != (base.hook, base.priority):
                raise command.place.refused(f"the chain {name} hangs on another hook already")
            found.base = base

    def _add_set(self, command: tree.AddSet) -> None:
        kinds = tuple(QUESTIONS[kind.text].kind if kind.text in QUESTIONS else kind.text for kind in command.types)
        for kind, atom in zip(kinds, command.types, strict=True):
            if not is_known(kind):
                raise self._at(atom).refused(f"sets of type {kind} are not understood", "unsupported")
        found = self._sets.setdefault(command.name.plain, _Set(kinds, command.verdicts, command.place))
        if (found.kinds, found.verdicts) != (kinds, command.verdicts):
            raise command.place.refused(f"the set {command.name.text} is there already, of another type")

    def _elements(
        self, elements: tuple[tree.Element, ...], kinds: tuple[str, ...], verdicts: bool
    ) -> Iterator[Element]:
        for element in elements:
            key, said = element
            last = key[-1]
            place = Place(self._source, key[0].start, last.start + len(last.text))
            if (said is not None) != verdicts:
                raise place.refused("a verdict is expected" if verdicts else "a set has no verdicts")
            if len(key) == 1 and last.text == "*":
                box = tuple(interval(kind, "*") for kind in kinds)
            elif len(key) != len(kinds):
                raise place.refused(f"{len(kinds)} parts are expected: {' . '.join(kinds)}")
            else:
                box = self._box(kinds, key, place)
            yield Element(box, place, self._verdict(said) if said else None)

    def _box(self, kinds: tuple[str, ...], key: tuple[tree.Atom, ...], place: Place) -> tuple[tuple[int, int], ...]:
        try:
            return tuple([self._interval(kind, atom.text) for kind, atom in zip(kinds, key, strict=True)])
        except ValueError as error:
            raise place.refused(str(error)) from None

    def _interval(self, kind: str, text: str) -> tuple[int, int]:
        """The same object for the same text: sets of a large cluster have most addresses in common."""
        known = self._intervals.get((kind, text))
        if known is None:
            known = self._intervals[kind, text] = interval(kind, text.strip('"'))
        return known

    def _verdict(self, said: tree.Verdict) -> Verdict:
        """Its chain may be declared behind it: `finished` asks."""
        known = self._verdicts.get((said.kind, said.chain))
        if known is None:
            known = self._verdicts[said.kind, said.chain] = verdict(said)
            self._places[known] = Place(self._source, said.start, said.start + len(said.kind))
        return known

    def _rule(self, rule: tree.Rule) -> Rule:
        for part in rule.parts:
            if isinstance(part, tree.Verdict):
                self._verdict(part)
        sets = Sets(self._kinds, self._has_ports, self._anonymous)
        try:
            return Rule(RuleReader(sets, self._family, self._partly).read(rule), rule.place)
        except Refused:
            found = unread(rule) if self._partly else None
            if found is None:
                raise
            self._places |= {said: rule.place for said in found if isinstance(said, Jump | Goto)}
            return Rule(found, rule.place)

    def _kinds(self, name: str) -> tuple[tuple[str, ...], bool]:
        found = self._sets[name]
        return found.kinds, found.verdicts

    def _has_ports(self, name: str, part: int) -> bool:
        boxes = {element.box[part] for element in self._sets[name].elements}
        return all(value in WITH_PORTS for low, high in boxes for value in range(low, high + 1))

    def _anonymous(self, elements: tuple[tree.Element, ...], kinds: tuple[str, ...], place: Place) -> str:
        """The kernel's own names for such sets begin like this, too: no other set may."""
        name = f"__{len(self._sets)}"
        verdicts = bool(elements) and elements[0].verdict is not None
        self._sets[name] = _Set(kinds, verdicts, place, list(self._elements(elements, kinds, verdicts)))
        return name


def _is_catch_all(element: Element) -> bool:
    return element.place.source.text[element.place.start] == "*"


def _base(command: tree.AddChain) -> Base | None:
    if not command.hook:
        return None
    try:
        hook = Hook(command.hook)
    except ValueError:
        raise command.place.refused(f"hook {command.hook} is not understood", "unsupported") from None
    if command.kind not in ("filter", "nat", "route") or command.policy not in ("", "accept", "drop"):
        raise command.place.refused(f"a chain of type {command.kind} with policy {command.policy}", "unsupported")
    try:
        priority = _priority(command.priority)
    except ValueError as error:
        raise command.place.refused(f"priority: {error}") from None
    return Base(hook, priority, command.policy != "drop", command.kind == "nat")


def _priority(words: tuple[str, ...]) -> int:
    """`filter`, `filter - 1`, `-5`, `300`."""
    base, rest = (_PRIORITIES[words[0]], words[1:]) if words and words[0] in _PRIORITIES else (0, words)
    match rest:
        case ():
            if words:
                return base
        case ("+", text):
            return base + number(text, _HIGHEST)
        case ("-", text):
            return base - number(text, -_LOWEST)
        case (text,) if rest is words:
            return number(text, _HIGHEST)
    raise ValueError(f"{' '.join(words)} is no priority that is understood here")
