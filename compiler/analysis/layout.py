"""What a ruleset looks like to a reviewer: chains and sets with sizes, how many rules a first packet passes, and where
the statements of a program are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from compiler.ir.check import targets
from compiler.ir.ruleset import Chain, Continue, Goto, Hook, Jump, Lookup, Return, Rule, Ruleset, Table
from compiler.net import Family
from compiler.policy import Origin

#: The hooks that a packet passes: forwarded, delivered, sent.
_WAYS = (
    (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
    (Hook.PREROUTING, Hook.INPUT),
    (Hook.OUTPUT, Hook.POSTROUTING),
)


def describe(ruleset: Ruleset) -> str:
    """A plain text table. "Passed at most" is the longest way that a packet of either family can take from there,
    a lookup counting as one rule."""
    return "\n".join(_lines(ruleset)) + "\n"


def _lines(ruleset: Ruleset) -> Iterator[str]:
    longest: dict[str, int] = {}
    for family in ruleset.families:
        for name, passed in longest_paths(ruleset, family).items():
            longest[name] = max(passed, longest.get(name, 0))
    yield from ruleset.notes
    yield ""
    yield f"{'chain':<22} {'rules':>6} {'passed at most':>15}  for"
    for chain in ruleset.chains:
        kind = _hook(chain) if chain.hook else (chain.notes or ("",))[0]
        yield f"{chain.name:<22} {len(chain.rules):>6} {longest[chain.name]:>15}  {kind}"
    yield ""
    yield f"{'set or map':<22} {'elements':>8}  for"
    for found in (*ruleset.sets, *ruleset.maps):
        yield f"{found.name:<22} {len(found.elements):>8}  {(found.notes or ('',))[0]}"
    yield ""
    yield from _statements(ruleset)
    most = max(_along(ruleset, longest, hooks) for hooks in _WAYS)
    yield f"A first packet passes at most {most} rules and lookups."


def _hook(chain: Chain) -> str:
    assert chain.hook is not None
    return f"hook {chain.hook.value}" + (f" of {chain.table.value}" if chain.table is not Table.FILTER else "")


def _statements(ruleset: Ruleset) -> Iterator[str]:
    """For every statement of a program that has rules, where these are; nothing without a program."""
    reached: dict[str, list[Chain]] = {chain.name: [] for chain in ruleset.chains}
    chains = {chain.name: chain for chain in ruleset.chains}
    for base in (chain for chain in ruleset.chains if chain.hook):
        ahead = [base.name]
        while ahead:
            name = ahead.pop()
            if base not in reached[name]:
                reached[name].append(base)
                ahead.extend(targets(ruleset, chains[name]))
    found: dict[Origin, dict[tuple[str, str], dict[str, None]]] = {}
    texts: dict[Origin, str] = {}
    for chain in ruleset.chains:
        for rule in chain.rules:
            # Statements of programs have kinds in small letters, objects of Kubernetes in large ones.
            for origin in (one for one in rule.origins if one.kind.islower() and isinstance(rule, Rule)):
                texts[origin] = texts.get(origin) or (rule.note if isinstance(rule, Rule) else "")
                places = found.setdefault(origin, {})
                for base in reached[chain.name]:
                    assert base.hook is not None
                    places.setdefault((chain.table.value, base.hook.value), {})[chain.name] = None
    if found:
        yield f"{'statement':<22} table, hook: chains"
        for origin in sorted(found, key=lambda one: (one.span.file, one.span.line, one.span.column)):
            yield f"{origin.span.file_line}: {texts[origin]}"
            yield from (
                f"{'':<22} {table}, {hook}: {', '.join(names)}" for (table, hook), names in found[origin].items()
            )
        yield ""


def _along(ruleset: Ruleset, longest: Mapping[str, int], hooks: Collection[Hook]) -> int:
    """Rules that a packet on its way through these hooks passes at most, in all tables."""
    return sum(longest[chain.name] for chain in ruleset.chains if chain.hook in hooks)


def longest_paths(ruleset: Ruleset, family: Family) -> dict[str, int]:
    """Chain name -> rules and lookups that a packet of this family passes at most from there until it leaves."""
    chains = {chain.name: chain for chain in ruleset.chains}
    found: dict[str, _Ways] = {}
    pending = list(chains)
    while pending:  # no recursion: chains may be deeply nested
        name = pending[-1]
        missing = [target for target in targets(ruleset, chains[name]) if target not in found]
        if missing:
            pending.extend(missing)
        else:
            found[name] = _ways(ruleset, chains[name], family, found)
            pending.pop()
    return {name: int(max(found[name])) for name in chains}


class _Ways(NamedTuple):
    """Rules passed at most on a way that ends in a verdict, and on one that comes back to the caller; _NEVER when
    there is no such way."""

    ending: float
    returning: float

    def behind(self, passed: float) -> _Ways:
        return _Ways(passed + self.ending, passed + self.returning)


_NEVER = float("-inf")


def _ways(ruleset: Ruleset, chain: Chain, family: Family, found: dict[str, _Ways]) -> _Ways:
    maps = {m.name: m for m in ruleset.maps}
    passed, ending, returning = 0.0, _NEVER, _NEVER
    for rule in chain.rules:
        if rule.family not in (None, family):
            continue
        passed += 1
        always = isinstance(rule, Rule) and not rule.matches
        further = _NEVER if always else passed
        for verdict in {v for _, v in maps[rule.map].elements} if isinstance(rule, Lookup) else {rule.verdict}:
            match verdict:
                case Jump(target):
                    ways = found[target].behind(passed)
                    ending, further = max(ending, ways.ending), max(further, ways.returning)
                case Goto(target):
                    ways = found[target].behind(passed)
                    ending, returning = max(ending, ways.ending), max(returning, ways.returning)
                case Return():
                    returning = max(returning, passed)
                case Continue():
                    further = max(further, passed)
                case _:
                    ending = max(ending, passed)
        passed = further
        if passed == _NEVER:
            return _Ways(ending, returning)
    return _Ways(ending, max(returning, passed))
