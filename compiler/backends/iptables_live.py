"""Rulesets that move -> steps for ipset, iptables-restore and ip6tables-restore, so that no packet meets a verdict that
neither the ruleset before nor the one behind gives it.

What the kernel does: a restore replaces chains of a table at once, and a packet goes on among the rules that it began
with. Sets change element by element, and each question sees the elements of its own moment: a packet may have asked
one set before a change and ask another one behind it.

Sets are named `NAME-vN`. N is another one when a set is made anew, with all that is in it: new rules ask new sets, and
old rules go on asking the old ones, which stay as they are until no packet is left that may ask them. Chains need no
version. A `load` makes everything anew, and an `update` as little as it can:

- Elements come and then go, where a packet's verdict hangs on one address that moves, and nothing else changes: so it
  is when pods of other nodes come and go. What is asked first comes first and goes last. Where one packet can ask two
  of them, there is time for every packet to get through in between (`Step.settle`).
- Else what moves is made anew, and all chains that ask it, together with those that have other rules, in one restore
  for each family. Who is a subject, what his class lets pass, and what others may do with him changes at once then.

*Answers* move as elements in both cases: sets of connections, both ends, that base chains ask first, and each is one
that every policy allows. They come with the first step and go with the last.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from compiler.backends import ipset
from compiler.backends.iptables import appended, chain_name, declared, jump
from compiler.backends.iptables_rules import Words
from compiler.backends.steps import Step, Tool
from compiler.backends.text import Refusals
from compiler.ir.change import Change
from compiler.ir.match import Field, InPrefix, InSet, Match
from compiler.ir.ruleset import Chain, Goto, Jump, PrefixSet, Rule, Ruleset, Set, Table
from compiler.net import Family

_TOOLS = {Family.IPV4: Tool.IPTABLES, Family.IPV6: Tool.IP6TABLES}
_LONGEST, _DIGEST = 31, 6  # IPSET_MAXNAMELEN less the end of the string; characters of base 32
_VERSIONS = 99
_VERSION = re.compile(r"-v(\d{1,2})$")
_ENDS = (Field.SOURCE, Field.DESTINATION)

#: Elements by the name of their set in the ruleset.
Moved = Mapping[str, frozenset[tuple[int, ...]]]
#: Family and address.
End = tuple[Family | None, int]


def next_version(sets: Iterable[str]) -> int:
    """The first that none of these names of the kernel has."""
    taken = {int(found[1]) for name in sets if (found := _VERSION.search(name))}
    return next(version for version in range(1, _VERSIONS + 2) if version not in taken)


def set_name(name: str, version: int) -> str:
    """At most 31 characters. A long name ends in a digest; the first twelve characters are always there."""
    room = _LONGEST - len(ipset.PREFIX) - len(f"-v{_VERSIONS}")
    if len(name) > room:
        digest = b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()[:_DIGEST]
        name = f"{name[: room - _DIGEST - 1]}-{digest}"
    return f"{ipset.PREFIX}{name}-v{version}"


class Live:
    """What the kernel was told so far: nothing, then a `load`, then what each `update` makes of it. `version`: of
    `next_version`. When a step was refused, the `load` of another one is the only way on."""

    def __init__(self, version: int = 1) -> None:
        self._version = version
        self._families: tuple[Family, ...] = ()
        #: What there is; sets without their elements.
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, Set | PrefixSet] = {}
        self._versions: dict[str, int] = {}
        self._names: dict[str, str] = {}
        #: What base chains ask: answers, and sets of those whom they lead to classes; and who these are.
        self._answers: frozenset[str] = frozenset()
        self._leads: frozenset[str] = frozenset()
        self._askers: dict[str, set[str]] = {}
        self._subjects: frozenset[End] = frozenset()

    @property
    def chains(self) -> frozenset[str]:
        """All that the kernel was told to keep: tool, table and name."""
        return frozenset(
            f"{_TOOLS[family].value} {chain.table.value} {chain_name(chain)}"
            for chain in self._chains.values()
            for family in self._families
            if chain.family in (None, family)
        )

    @property
    def sets(self) -> frozenset[str]:
        """The same, as the kernel calls them."""
        return frozenset(self._names.values())

    def load(self, ruleset: Ruleset) -> tuple[Step, ...]:
        """Steps that bring in a whole ruleset without maps beside whatever is there, the last ones in its stead; what
        was there stays, and is not asked any more. Raises InvalidInput for statements that iptables cannot say."""
        while self._version in self._versions.values():
            self._version = _following(self._version)
        self._families = ruleset.families
        self._chains = {chain.name: chain for chain in ruleset.chains}
        self._sets, self._versions, self._names = {}, {}, {}
        self._name(ruleset.sets, self._version)
        self._look(ruleset)
        return (*_filled(self._filling(ruleset.sets)), *self._restores(ruleset.chains, ()))

    def update(self, change: Change, after: Ruleset) -> tuple[Step, ...]:
        """Steps that make a change of what is there; `after` is what it makes. Raises as `load` does."""
        assert not any((change.maps, change.mapped, change.unmapped)), "maps were expanded"
        assert after.families == self._families, "other families are another load"
        if change.moves_only and self._hangs_on_one(change):
            return tuple(self._moved(change))
        return self._anew(change, after)

    def _moved(self, change: Change) -> Iterator[Step]:
        """Elements come in the order in which they are asked, and then go in the other one."""
        texts: list[list[str]] = []
        waited: set[int] = set()
        here: list[tuple[str, frozenset[tuple[int, ...]]]] = []
        for command, moved in (("add", change.added), ("del", change.removed)):
            texts.append([])
            for name, elements in moved.items():
                if any(self._meet(one, some, name, elements) for one, some in here):
                    if texts[-1]:
                        texts.append([])
                    waited.add(len(texts) - 2)
                    here = []
                texts[-1] += ipset.moving(command, self._moves(name), self._names[name], sorted(elements))
                here.append((name, elements))
        for n, lines in enumerate(texts):
            yield from _filled(lines, n in waited)

    def _anew(self, change: Change, after: Ruleset) -> tuple[Step, ...]:
        """With what moves, but for answers, under other names."""
        known = {found.name: found for found in after.sets}
        moved = {*change.added, *change.removed} - self._answers
        gone = [self._chains.pop(name) for name in sorted(change.gone & self._chains.keys())]
        left = [self._names[name] for name in sorted((change.gone & self._sets.keys()) | moved)]
        self._chains.update((chain.name, chain) for chain in change.chains)
        for name in change.gone & self._sets.keys():
            del self._sets[name], self._versions[name], self._names[name]
        self._name(change.sets, self._version)
        for name in moved:
            self._name([known[name]], _following(self._versions[name]))
        self._look(after)

        coming, going = _without(moved, change.added), _without(moved, change.removed)
        made = [*change.sets, *(known[name] for name in sorted(moved))]
        moving = {family: {name for name in moved if known[name].family in (None, family)} for family in after.families}
        asking = {
            family: [chain for chain in self._chains.values() if not _sets_of(chain).isdisjoint(names)]
            for family, names in moving.items()
        }
        restores = self._restores(change.chains, gone, asking)
        if restores and going:  # a packet that is among the old rules may ask for what goes
            restores[-1] = replace(restores[-1], settle=True)
        last = [*self._moving("del", going), *(f"destroy {name}" for name in left)]
        return (*_filled([*self._made_anew(made), *self._moving("add", coming)]), *restores, *_filled(last))

    def _name(self, sets: Iterable[Set | PrefixSet], version: int) -> None:
        for found in sets:
            if isinstance(found, Set):
                self._sets[found.name] = Set(found.name, found.family, found.key, ())
            else:
                self._sets[found.name] = PrefixSet(found.name, found.family, ())
            self._versions[found.name], self._names[found.name] = version, set_name(found.name, version)
        assert len(set(self._names.values())) == len(self._names), "two sets share a name"

    def _hangs_on_one(self, change: Change) -> bool:
        """Whether no packet's verdict hangs on two addresses that move, or on one and on who is a subject: two decide
        where both its ends are subjects, each for the class of the other."""
        if not self._leads.isdisjoint((*change.added, *change.removed)):
            return False
        added, removed = _without(self._answers, change.added), _without(self._answers, change.removed)
        ends = self._ends(added) | self._ends(removed)
        return len(ends) < 2 or len(ends & self._subjects) < 2

    def _look(self, ruleset: Ruleset) -> None:
        """Learns who asks what, of all that is there."""
        rules = [rule for chain in _front(ruleset.chains) for rule in chain.rules if isinstance(rule, Rule)]
        matches = [match for rule in rules for match in rule.matches]
        asked = frozenset(match.set for match in matches if isinstance(match, InSet))
        leading = (rule for rule in rules if isinstance(rule.verdict, Jump | Goto))
        led = {match.set for rule in leading for match in rule.matches if isinstance(match, InSet)}
        self._answers = frozenset(name for name in asked - led if len(self._at(name)) == 2)
        self._leads = asked - self._answers
        self._askers = {name: set() for name in self._sets}
        for chain in ruleset.chains:
            for name in _sets_of(chain):
                self._askers.setdefault(name, set()).add(chain.name)
        prefixes = (match.prefix for match in matches if isinstance(match, InPrefix))
        hosts = {(prefix.family, prefix.base) for prefix in prefixes if prefix.length == prefix.family.bits}
        sets = (one for one in ruleset.sets if one.name in self._leads and isinstance(one, Set))
        self._subjects = frozenset(hosts.union((one.family, element[0]) for one in sets for element in one.elements))

    def _meet(self, one: str, some: frozenset[tuple[int, ...]], other: str, others: frozenset[tuple[int, ...]]) -> bool:
        """Whether a packet can ask for elements of both that are about the same address: one chain asks both, or one of
        them is of answers. Two answers are never about the same packet."""
        if {one, other} <= self._answers or one == other:
            return False
        if not (self._answers & {one, other}) and self._askers[one].isdisjoint(self._askers[other]):
            return False
        return not self._ends({one: some}).isdisjoint(self._ends({other: others}))

    def _ends(self, moved: Moved) -> set[End]:
        """Addresses in elements."""
        found: set[End] = set()
        for name, elements in moved.items():
            family, at = self._sets[name].family, self._at(name)
            found.update((family, element[place]) for element in elements for place in at)
        return found

    def _at(self, name: str) -> list[int]:
        """Where a set's elements have addresses."""
        found = self._sets.get(name)
        return [at for at, field in enumerate(found.key) if field in _ENDS] if isinstance(found, Set) else []

    def _moves(self, name: str) -> Set:
        found = self._sets[name]
        assert isinstance(found, Set), f"{name}: prefixes do not move"
        return found

    def _filling(self, sets: Iterable[Set | PrefixSet]) -> Iterator[str]:
        return (line for found in sets for line in ipset.filling(found, self._names[found.name]))

    def _made_anew(self, sets: Iterable[Set | PrefixSet]) -> Iterator[str]:
        """Nobody asks these yet; what an earlier one of the name holds is not theirs."""
        for found in sets:
            create, *elements = ipset.filling(found, self._names[found.name])
            yield from (create, f"flush {self._names[found.name]}", *elements)

    def _moving(self, command: str, moved: Moved) -> Iterator[str]:
        for name, elements in moved.items():
            yield from ipset.moving(command, self._moves(name), self._names[name], sorted(elements))

    def _restores(
        self,
        chains: Sequence[Chain],
        gone: Sequence[Chain],
        more: Mapping[Family, Sequence[Chain]] = MappingProxyType({}),
    ) -> list[Step]:
        """A step for each family that they are for; `more` chains for one family alone."""
        refusals, words = Refusals(), Words(self._names)
        texts: dict[Family, list[str]] = {}
        for family in self._families:
            every = {chain.name: chain for chain in (*chains, *more.get(family, ()))}.values()
            texts[family] = [line for t in Table for line in _section(t, every, gone, family, words, refusals)]
        refusals.check()
        return [Step(_TOOLS[family], "\n".join([*lines, ""])) for family, lines in texts.items() if lines]


def _without(names: Collection[str], moved: Moved) -> Moved:
    """Of other sets than these."""
    return {name: elements for name, elements in moved.items() if name not in names}


def _following(version: int) -> int:
    return version % _VERSIONS + 1


def _sets_of(chain: Chain) -> set[str]:
    """Those that it asks."""
    rules = (rule for rule in chain.rules if isinstance(rule, Rule))
    return {match.set for rule in rules for match in rule.matches if isinstance(match, InSet)}


def _front(chains: Sequence[Chain]) -> Iterator[Chain]:
    """Chains that packets come to whatever their addresses are, and trees of addresses behind them: where it is decided
    who is judged, and by which class."""
    known = {chain.name: chain for chain in chains}
    names = [chain.name for chain in chains if chain.hook or _is_tree(chain)]
    for name in names:  # which grows
        yield known[name]
        for rule in known[name].rules:
            verdict = rule.verdict if isinstance(rule, Rule) and not any(map(_is_about_ends, rule.matches)) else None
            if isinstance(verdict, Jump | Goto) and verdict.chain in known and verdict.chain not in names:
                names.append(verdict.chain)


def _is_about_ends(match: Match) -> bool:
    return isinstance(match, InSet | InPrefix)


def _is_tree(chain: Chain) -> bool:
    """Whether it only leads on, by addresses."""
    rules = (rule for rule in chain.rules if isinstance(rule, Rule))
    return all(isinstance(rule.verdict, Goto) and isinstance((*rule.matches, None)[0], InPrefix) for rule in rules)


def _filled(lines: Iterable[str], settle: bool = False) -> Iterator[Step]:
    text = "".join(f"{line}\n" for line in lines)
    if text:
        yield Step(Tool.IPSET, text, settle)


def _section(
    table: Table, chains: Iterable[Chain], gone: Iterable[Chain], family: Family, words: Words, refusals: Refusals
) -> Iterator[str]:
    """Nothing for a table that has none of them: naming it would bring it into the kernel."""
    filled, deleted = (
        [one for one in part if one.table is table and one.family in (None, family)] for part in (chains, gone)
    )
    if not (filled or deleted):
        return
    yield f"*{table.value}"
    yield from map(declared, (*filled, *deleted))
    for chain in filled:
        yield from (line for _, line in appended(chain, family, words, refusals))
    yield from (line for chain in filled if (line := jump(chain)))
    yield from (f"-X {chain_name(chain)}" for chain in deleted)
    yield "COMMIT"
