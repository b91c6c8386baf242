"""What the kernel was told of a ruleset that moves: names, chains, and where addresses lead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from compiler.backends.nftables_moves import Layout
from compiler.backends.nftables_print import TABLE, Filled, Printer, chain_line, elements, filled_set, hashes
from compiler.backends.text import Refusals
from compiler.ir.ruleset import Chain, Goto, Jump, PrefixMap, PrefixSet, Ruleset, Set, Verdict
from compiler.net import Family, Prefix

#: Elements in one text. libnftables takes 1.6 kB for each, and is no slower with few at once.
CHUNK = 8192
_VERSION = re.compile(r"-v(\d{1,9})$")

Found = Set | PrefixSet | PrefixMap
#: The lines of one transaction.
Lines = list[str]


def next_version(sets: Iterable[str]) -> int:
    """The first that none of these names of the kernel has."""
    return 1 + max((int(match[1]) for name in sets if (match := _VERSION.search(name))), default=0)


class Told:
    """Names end in `-vN`, by the version in which they are new. `leads`: where addresses lead, by maps that are asked
    in front (`Layout.is_lead`)."""

    def __init__(self, version: int, ruleset: Ruleset | None = None) -> None:
        self.version = version
        self.layout = Layout(ruleset.chains if ruleset is not None else ())
        self._sets: dict[str, str] = {}
        self._maps: dict[str, dict[int, str]] = {}
        self.leads: dict[str, dict[Prefix, Verdict]] = {}

    @property
    def names(self) -> frozenset[str]:
        """Sets and maps as the kernel calls them."""
        return frozenset((*self._sets.values(), *(name for names in self._maps.values() for name in names.values())))

    def local(self, behind: Mapping[str, Mapping[Prefix, Verdict]]) -> dict[Family, frozenset[int]]:
        """The addresses that lead to a chain, or will do `behind` a change."""
        found: dict[Family, set[int]] = {}
        for leads in (*self.leads.values(), *behind.values()):
            for prefix, verdict in leads.items():
                if isinstance(verdict, Jump | Goto):
                    found.setdefault(prefix.family, set()).add(prefix.base)
        return {family: frozenset(addresses) for family, addresses in found.items()}

    def led(self, names: Iterable[str]) -> dict[str, dict[Prefix, Verdict]]:
        """Where addresses lead, by these; nothing of those that are no maps."""
        return {name: self.leads[name] for name in names if name in self.leads}

    def known(self, name: str) -> str | None:
        """What the kernel calls a set, or a map of addresses; None for a map that never had elements."""
        return self._sets.get(name) or next(iter(self._maps.get(name, {}).values()), None)

    def brought(
        self, found: Iterable[Found], chains: Sequence[Chain], counted: bool, emptied: Iterable[str] = ()
    ) -> list[Lines]:
        """Transactions that make sets and maps anew and then, in the last one, give chains their rules; those before
        are of no effect on packets. `emptied`: lines in front of the rules. Raises InvalidInput."""
        named = list(self._named(found))
        first = [f"add table {TABLE}", *map(chain_line, chains), *(line for one in named for line in one.declared())]
        done, size = [first], 0
        for one in named:
            for at in range(0, len(one.texts), CHUNK):
                part = one.texts[at : at + CHUNK]
                size += len(part)
                if size > CHUNK:
                    done.append([])
                    size = len(part)
                done[-1] += elements("add", one.name, part)
        done[-1] += emptied
        if chains:
            done[-1] += (f"flush chain {TABLE} {chain.name}" for chain in chains)
            done[-1] += self._block(chains, counted)
        return done

    def forget(self, names: Iterable[str]) -> Lines:
        """Lines that delete chains, sets and maps that nothing leads to."""
        chains = [name for name in names if name in self.layout.chains]
        lines = [f"flush chain {TABLE} {name}" for name in chains]
        lines += self.deleted(name for name in names if name not in chains)
        lines += (f"delete chain {TABLE} {name}" for name in chains)
        for name in names:
            self.layout.drop(name)
            self._sets.pop(name, None)
            self._maps.pop(name, None)
            self.leads.pop(name, None)
        return lines

    def deleted(self, names: Iterable[str]) -> Lines:
        """Lines that delete sets and maps as they are called now."""
        return [f"delete set {TABLE} {known}" for name in names for known in self._all(name)]

    def _all(self, name: str) -> Iterator[str]:
        if name in self._sets:
            yield self._sets[name]
        yield from self._maps.get(name, {}).values()

    def _named(self, found: Iterable[Found]) -> Iterator[Filled]:
        for one in found:
            if isinstance(one, PrefixMap):
                filled = dict(hashes(one, self._naming))
                self._maps[one.name] = {length: part.name for length, part in filled.items()}
                yield from filled.values()
                if self.layout.is_lead(one.name):
                    self.leads[one.name] = dict(one.elements)
            else:
                filled_one = filled_set(one, self._naming)
                self._sets[one.name] = filled_one.name
                yield filled_one

    def _naming(self, name: str, texts: Sequence[str]) -> str:
        return f"{name}-v{self.version}"

    def _block(self, chains: Iterable[Chain], counted: bool) -> Iterator[str]:
        refusals = Refusals()
        printer = Printer(self._sets, self._maps, counted, refusals)
        yield f"table {TABLE} {{"
        for chain in chains:
            yield from printer.chain(chain)
        yield "}"
        refusals.check()
