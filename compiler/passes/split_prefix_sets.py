"""Prefix sets -> hashes, for back ends that have none which can come without a gap (nft's interval sets lose packets).

There is one hash for each length of the members, asked with so many bits of the address; an exception is one more
question, `not in the hash of exceptions of that length`. A rule that asks a prefix set becomes one rule for each length
of its members, and no packet matches two of them: members inside members are left out.

Precondition: none. Preserved: the verdict of every packet and what is done to it. A rate among the matches counts in
each of the rules for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from compiler.backends.target import Capabilities
from compiler.ir.match import Field, InNets, InPrefix, InSet, Match
from compiler.ir.ruleset import Lookup, PrefixSet, Rule, Ruleset, Set
from compiler.net import Prefix


def split_prefix_sets(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    """The ruleset without prefix sets; unchanged when the target has them."""
    prefix_sets = [found for found in ruleset.sets if isinstance(found, PrefixSet)]
    if capabilities.prefix_sets or not prefix_sets:
        return ruleset
    split = {found.name: _Split(found) for found in prefix_sets}
    ways = {(name, field): found for name, one in split.items() for field, found in one.ways.items()}
    sets: list[Set | PrefixSet] = []
    for found in ruleset.sets:
        sets.extend(split[found.name].hashes.values() if isinstance(found, PrefixSet) else (found,))
    chains = []
    for chain in ruleset.chains:
        rules: list[Rule | Lookup] = []
        for rule in chain.rules:
            rules.extend(_rules(rule, ways) if isinstance(rule, Rule) else (rule,))
        chains.append(replace(chain, rules=tuple(rules)))
    return replace(ruleset, chains=tuple(chains), sets=tuple(sets))


@dataclass(frozen=True, slots=True)
class _Length:
    """The members of one length, and the lengths of exceptions inside them."""

    members: tuple[Prefix, ...]
    exceptions: tuple[int, ...]


class _Split:
    """A prefix set as `hashes` by name, and by field as the ways in which an address can be in it."""

    def __init__(self, found: PrefixSet) -> None:
        self._name = found.name
        members: dict[int, list[Prefix]] = {}
        inside: dict[int, set[int]] = {}
        exceptions: dict[int, list[Prefix]] = {}
        around: list[tuple[Prefix, bool]] = []
        for prefix, member in found.elements:
            while around and not around[-1][0].covers(prefix):
                around.pop()
            if member == (around[-1][1] if around else False):
                continue  # it says what holds here anyway
            if member:
                members.setdefault(prefix.length, []).append(prefix)
            else:
                exceptions.setdefault(prefix.length, []).append(prefix)
                inside.setdefault(around[-1][0].length, set()).add(prefix.length)
            around.append((prefix, member))
        self._lengths = {
            length: _Length(tuple(members[length]), tuple(sorted(inside.get(length, ()))))
            for length in sorted(members, reverse=True)
        }
        # One member is asked for by itself, and everything by nothing.
        named = {f"{found.name}-{n}": own.members for n, own in self._lengths.items() if n and len(own.members) > 1}
        named |= {f"{found.name}-x{length}": tuple(exceptions[length]) for length in sorted(exceptions)}
        self.hashes = {
            name: Set(name, found.family, (Field.SOURCE,), tuple((p.base,) for p in prefixes), found.notes)
            for name, prefixes in named.items()
        }
        self.ways = {field: tuple(self._ways(field)) for field in (Field.SOURCE, Field.DESTINATION)}

    def _ways(self, field: Field) -> Iterator[tuple[Match, ...]]:
        """The matches of each length; no address meets those of two."""
        for length, own in self._lengths.items():
            found: list[Match] = []
            if len(own.members) == 1 and length:
                found.append(InPrefix(field, own.members[0]))
            elif length:
                found.append(InNets(field, length, f"{self._name}-{length}"))
            found += [InNets(field, n, f"{self._name}-x{n}", negated=True) for n in own.exceptions]
            yield tuple(found)


def _rules(rule: Rule, ways: Mapping[tuple[str, Field], Sequence[tuple[Match, ...]]]) -> list[Rule]:
    """The rule once for each way to meet its matches; not at all when it asks an empty set."""
    asked: list[tuple[Match, ...]] = [()]
    done = 0
    for n, match in enumerate(rule.matches):
        if isinstance(match, InSet) and (found := ways.get((match.set, match.fields[0]))) is not None:
            between = rule.matches[done:n]
            asked = [(*before, *between, *way) for before in asked for way in found]
            done = n + 1
    if not done:
        return [rule]
    rest = rule.matches[done:]
    return [rule.asking(matches + rest, rule.family) for matches in asked]
