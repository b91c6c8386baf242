"""Rulesets that move -> steps for ipset, iptables-restore and ip6tables-restore, so that no packet meets a verdict that
neither the ruleset before nor the one behind gives it.

What the kernel does: a restore replaces chains of a table at once, and a packet goes on among the rules that it began
with. Sets change element by element, and each question sees the elements of its own moment: a packet may have asked
one set before a change and ask another one behind it.

Sets keep their names while their content moves, within a generation; a tag at the end, `-vN`, tells generations apart.
A `load` brings in everything beside what is there, and chains go over to it with one restore for each family. Chains
need no tag: old rules ask old sets, until no packet is among them.

An `update` goes by what a set is asked for. *Leads* are sets that base chains ask who is a subject, and of what class;
all others let packets pass: elements of theirs are about one address, or about both ends and then asked in front.

1. New sets, and elements of those that let pass: whoever misses them is judged as before.
2. Chains of classes, if addresses are about to be led there: they change for those who are there already.
3. Elements of leads.
4. Base chains, the trees that lead on from them, and the rest; chains that nothing asks any more go in the same step.
5. Elements and sets that go; of leads first, so that nobody is led where his way was taken away.

A packet that asks one set before a step and one behind the next must not meet what neither ruleset says; where it
could, there is time for every packet to get through in between (`Step.settle`).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.backends import ipset
from compiler.backends.iptables import appended, chain_name, declared, jump
from compiler.backends.iptables_rules import Words
from compiler.backends.steps import Step, Tool
from compiler.backends.text import Refusals
from compiler.ir.change import Change
from compiler.ir.match import Field, InPrefix, InSet
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
    `next_version`. When a step was refused, another `load` is the only way on."""

    def __init__(self, version: int = 1) -> None:
        self._next = version
        self._version = 0
        self._families: tuple[Family, ...] = ()
        #: What there is; sets without their elements.
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, Set | PrefixSet] = {}
        self._names: dict[str, str] = {}

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
        self._version, self._next = self._next, self._next % _VERSIONS + 1
        self._families = ruleset.families
        self._chains, self._sets, self._names = {}, {}, {}
        self._know(ruleset.chains, ruleset.sets)
        return (*_filled(self._filling(ruleset.sets)), *self._restores(ruleset.chains, ()))

    def update(self, change: Change, after: Ruleset) -> tuple[Step, ...]:
        """Steps that make a change of what is there; `after` is what it makes. Raises as `load` does."""
        assert not any((change.maps, change.mapped, change.unmapped)), "maps were expanded"
        assert after.families == self._families, "other families are another load"
        leads = self._leads()
        passing, leading = _parted(change.added, leads)
        less, unled = _parted(change.removed, leads)
        gone = [self._chains[name] for name in sorted(change.gone & self._chains.keys())]
        left = [self._names[name] for name in sorted(change.gone & self._sets.keys())]
        classes, others = _classes(change.chains) if leading else ([], list(change.chains))
        self._know(change.chains, change.sets)

        # Who has missed his way in front must not be led into a class that came meanwhile.
        in_front = not self._ends(passing, 2).isdisjoint(self._ends(leading, 1))
        steps = [*_filled([*self._filling(change.sets), *self._moving("add", passing)], in_front)]
        steps += _settled(self._restores(classes, ()))
        steps += _filled(self._moving("add", leading))
        if steps and change.removed and (self._meet(change.added, change.removed) or (leading and unled)):
            steps[-1] = replace(steps[-1], settle=True)
        restores = self._restores(others, gone)
        steps += _settled(restores) if change.removed else restores
        # Who was led into a class must not miss what the class let pass.
        steps += _filled(self._moving("del", unled), bool(self._ends(less, 1)))
        steps += _filled([*self._moving("del", less), *(f"destroy {name}" for name in left)])
        for name in change.gone:
            self._chains.pop(name, None)
            self._sets.pop(name, None)
            self._names.pop(name, None)
        return tuple(steps)

    def _know(self, chains: Iterable[Chain], sets: Iterable[Set | PrefixSet]) -> None:
        self._chains.update((chain.name, chain) for chain in chains)
        for found in sets:
            if isinstance(found, Set):
                self._sets[found.name] = Set(found.name, found.family, found.key, ())
            else:
                self._sets[found.name] = PrefixSet(found.name, found.family, ())
            self._names[found.name] = set_name(found.name, self._version)
        assert not sets or len(set(self._names.values())) == len(self._names), "two sets share a name"

    def _leads(self) -> frozenset[str]:
        """Sets that base chains ask for where to go."""
        rules = (rule for chain in self._chains.values() if chain.hook for rule in chain.rules)
        asking = (rule for rule in rules if isinstance(rule, Rule) and isinstance(rule.verdict, Jump | Goto))
        return frozenset(match.set for rule in asking for match in rule.matches if isinstance(match, InSet))

    def _meet(self, first: Moved, second: Moved) -> bool:
        """Whether a packet can ask for elements of both that are about the same address. Two connections that are both
        exact are never the same packet's."""
        one, other = self._ends(first, 1), self._ends(second, 1)
        return not (one.isdisjoint(other | self._ends(second, 2)) and other.isdisjoint(self._ends(first, 2)))

    def _ends(self, moved: Moved, many: int) -> set[End]:
        """Addresses in elements that are about so many ends."""
        found: set[End] = set()
        for name, elements in moved.items():
            asked = self._moves(name)
            at = [place for place, field in enumerate(asked.key) if field in _ENDS]
            if len(at) == many:
                found.update((asked.family, element[place]) for element in elements for place in at)
        return found

    def _moves(self, name: str) -> Set:
        found = self._sets[name]
        assert isinstance(found, Set), f"{name}: prefixes do not move"
        return found

    def _filling(self, sets: Iterable[Set | PrefixSet]) -> Iterator[str]:
        return (line for found in sets for line in ipset.filling(found, self._names[found.name]))

    def _moving(self, command: str, moved: Moved) -> Iterator[str]:
        for name, elements in moved.items():
            yield from ipset.moving(command, self._moves(name), self._names[name], sorted(elements))

    def _restores(self, chains: Sequence[Chain], gone: Sequence[Chain]) -> list[Step]:
        """A step for each family that they are for."""
        if not (chains or gone):
            return []
        refusals, words = Refusals(), Words(self._names)
        texts = {
            family: [line for table in Table for line in _section(table, chains, gone, family, words, refusals)]
            for family in self._families
        }
        refusals.check()
        return [Step(_TOOLS[family], "\n".join([*lines, ""])) for family, lines in texts.items() if lines]


def _parted(moved: Moved, leads: frozenset[str]) -> tuple[Moved, Moved]:
    """Those of sets that let pass, and those of leads."""
    return (
        {name: elements for name, elements in moved.items() if name not in leads},
        {name: elements for name, elements in moved.items() if name in leads},
    )


def _classes(chains: Iterable[Chain]) -> tuple[list[Chain], list[Chain]]:
    """Chains that addresses are led to, and those that lead."""
    parts: tuple[list[Chain], list[Chain]] = [], []
    for chain in chains:
        parts[_leads_on(chain)].append(chain)
    return parts


def _leads_on(chain: Chain) -> bool:
    """Whether it decides who goes to which class: base chains, and trees of addresses."""
    if chain.hook:
        return True
    rules = (rule for rule in chain.rules if isinstance(rule, Rule))
    return all(isinstance(rule.verdict, Goto) and isinstance((*rule.matches, None)[0], InPrefix) for rule in rules)


def _filled(lines: Iterable[str], settle: bool = False) -> Iterator[Step]:
    text = "".join(f"{line}\n" for line in lines)
    if text:
        yield Step(Tool.IPSET, text, settle)


def _settled(steps: Sequence[Step]) -> Iterator[Step]:
    """With time for every packet behind the last."""
    return (replace(step, settle=True) if step is steps[-1] else step for step in steps)


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
