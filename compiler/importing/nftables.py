"""What nft list ruleset prints -> tables of `values`; what the language has no words for becomes opaque rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from compiler.errors import Unsupported
from compiler.importing.nftables_asks import asks, keyed
from compiler.importing.nftables_does import does, limit, verdict
from compiler.importing.numbers import between, joined
from compiler.importing.values import (
    EVERYTHING,
    NOT_PROVED,
    Account,
    Action,
    Asked,
    Chain,
    Inexpressible,
    Jump,
    Lines,
    Log,
    Lost,
    Mss,
    NeverMatches,
    Nothing,
    Opaque,
    Origin,
    Port,
    Rule,
    Table,
    Verdict,
)
from grammar import nftables
from grammar import nftables_tree as tree
from grammar.source import Source

_VERSIONS = {"ip": 4, "ip6": 6, "inet": 0}
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
#: Of filter chains: which of our tables does what they do, by priority.
_CONNTRACK = -200
_ADDRESSES = ("ipv4_addr", "ipv6_addr")
_NO_EFFECT = ("counter", "comment")
_RESET = Verdict("reject", "tcp-reset")


@dataclass(slots=True)
class _Growing:
    declared: tree.AddChain | None = None
    rules: list[tree.Rule] = field(default_factory=list)


@dataclass(slots=True)
class _Objects:
    """Of one table of nft."""

    version: int
    chains: dict[str, _Growing] = field(default_factory=dict)
    sets: dict[str, tuple[tree.Element, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


def tables(source: Source, account: Account, as_written: Lines = frozenset()) -> Iterator[Table]:
    """Every table, taken apart by what its base chains are; rules at these lines stay in nft's words. Raises Refused
    where the text is none of nft, Unsupported where several base chains at a hook would have to be one."""
    found: dict[tuple[str, str], _Objects] = {}
    for command in nftables.commands(source):
        _take(command, found)
    seen: set[tuple[str, str, int]] = set()
    for objects in found.values():
        yield from _Reader(source, objects, account, as_written).tables(seen)


def _take(command: tree.Command, found: dict[tuple[str, str], _Objects]) -> None:
    if isinstance(command, tree.Flush):
        return
    if isinstance(command, tree.AddTable):
        found.setdefault((command.family.text, command.name.plain), _Objects(_VERSIONS[command.family.text]))
        return
    key = command.family.text, command.table.plain
    objects = found.setdefault(key, _Objects(_VERSIONS[command.family.text]))
    match command:
        case tree.AddChain():
            chain = objects.chains.setdefault(command.name.plain, _Growing())
            chain.declared = command if command.hook or chain.declared is None else chain.declared
        case tree.AddRule():
            rules = objects.chains.setdefault(command.chain.plain, _Growing()).rules
            rules.insert(0 if command.first else len(rules), command.rule)
        case tree.AddSet():
            objects.sets.setdefault(command.name.plain, ())
            objects.types[command.name.plain] = command.types[0].text if len(command.types) == 1 else ""
        case tree.AddElements():
            objects.sets[command.name.plain] = (*objects.sets.get(command.name.plain, ()), *command.elements)


class _Reader:
    def __init__(self, source: Source, objects: _Objects, account: Account, as_written: Lines) -> None:
        self._objects, self._account, self._as_written = objects, account, as_written
        self._file = source.name.rpartition("/")[2]
        self._version = objects.version
        for name, elements in objects.sets.items():
            if objects.types.get(name) in _ADDRESSES and elements:
                version = 4 if objects.types[name] == "ipv4_addr" else 6
                intervals = joined(between(element.key[0].plain)[1] for element in elements)
                account.sets[version, intervals] = name

    def tables(self, seen: set[tuple[str, str, int]]) -> Iterator[Table]:
        chains = {name: self._chain(name, chain) for name, chain in self._objects.chains.items()}
        by_kind: dict[str, list[Chain]] = {}
        for name, chain in chains.items():
            if chain.hook:
                kind = self._kind(name, chain)
                by_kind.setdefault(kind, []).append(chain)
                for version in (self._version,) if self._version else (4, 6):
                    if (kind, chain.hook, version) in seen:
                        raise Unsupported(f"two chains of {kind} at the hook {chain.hook}, the second is {name}")
                    seen.add((kind, chain.hook, version))
        reached: set[str] = set()
        for kind, bases in by_kind.items():
            names = _reached(chains, [base.name for base in bases])
            reached |= names
            yield Table("nftables", kind, self._version, {name: chains[name] for name in chains if name in names})
        for name in chains.keys() - reached:
            rules = chains[name].rules
            self._account.rules += len(rules)
            self._account.dropped += [(rule.origin, "no hook leads to its chain") for rule in rules]

    def _kind(self, name: str, chain: Chain) -> str:
        """The table of ours whose hook runs when this one does."""
        declared = self._objects.chains[name].declared
        assert declared is not None, "a base chain"
        if declared.kind == "nat":
            return "nat"
        if chain.priority <= _CONNTRACK:
            return "raw"
        early = chain.priority < 0 or declared.kind == "route" or chain.hook in ("prerouting", "postrouting")
        return "mangle" if early else "filter"

    def _chain(self, name: str, chain: _Growing) -> Chain:
        declared = chain.declared
        rules = tuple(made for rule in chain.rules for made in self._rules(name, rule))
        if declared is None or not declared.hook:
            return Chain(name, rules)
        origin = Origin(self._file, declared.place.span.line, f"{name}'s policy")
        try:
            priority = _priority(declared.priority)
        except ValueError:
            raise declared.place.refused(f"{' '.join(declared.priority)} is no priority") from None
        return Chain(name, rules, declared.hook, "drop" if declared.policy == "drop" else "accept", origin, priority)

    # ---- Rules

    def _rules(self, chain: str, rule: tree.Rule) -> Iterator[Rule]:
        """One for each thing that it does. Raises Refused where it leads to a chain that is not there."""
        for led in self._led(rule.parts):
            if led and led not in self._objects.chains:
                raise rule.place.refused(f"there is no chain {led}")
        comment = next((_comment(part) for part in rule.parts if _is(part, "comment")), "")
        origin = Origin(self._file, rule.place.span.line, chain, comment)
        parts = [part for part in rule.parts if not any(_is(part, head) for head in _NO_EFFECT)]
        words = self._without_names(" ".join(_text(part) for part in parts))
        try:
            jumps = any(isinstance(part, tree.Verdict) and part.chain for part in parts)
            if not jumps and (self._file, origin.line) in self._as_written:
                raise Inexpressible(NOT_PROVED)
            yield from self._made(parts, origin, words)
        except NeverMatches as error:
            yield Rule(EVERYTHING, Nothing(f"it matches nothing: {error}"), origin, words)
        except (Inexpressible, ValueError) as error:
            last = parts[-1]
            if any(isinstance(part, tree.VerdictMap) for part in parts):
                yield Rule(EVERYTHING, Lost(), origin, words, str(error))
            elif isinstance(last, tree.Verdict) and last.chain:
                yield Rule(EVERYTHING, Jump(last.chain, last.kind == "goto"), origin, words, str(error))
            else:
                ends = {"accept": "allow", "drop": "deny", "return": "leave"}
                kind = ends.get(last.kind, "") if isinstance(last, tree.Verdict) else ""
                kind = "deny" if _is(last, "reject") else kind
                opaque = Opaque("nftables", self._version, kind)
                yield Rule(EVERYTHING, opaque, origin, words, str(error))

    def _without_names(self, words: str) -> str:
        """Sets written out, since they belong to their table; so does the family that is translated."""
        if self._version:
            words = re.sub(r"\b([ds]nat) (to|prefix)\b", rf"\1 {'ip' if self._version == 4 else 'ip6'} \2", words)
        return re.sub(r"@(\S+)", lambda found: f"{{ {self._written(found[1])} }}", words)

    def _written(self, name: str) -> str:
        return ", ".join(" . ".join(atom.text for atom in one.key) for one in self._objects.sets.get(name, ()))

    def _led(self, parts: Sequence[tree.Part]) -> Iterator[str]:
        """The chains that a rule leads to."""
        for part in parts:
            if isinstance(part, tree.Verdict):
                yield part.chain
            elif isinstance(part, tree.VerdictMap):
                elements = self._elements(part.right)
                yield from (element.verdict.chain for element in elements if element.verdict is not None)

    def _made(self, parts: Sequence[tree.Part], origin: Origin, words: str) -> Iterator[Rule]:
        matches = [part for part in parts if isinstance(part, tree.Match)]
        doing = [part for part in parts if not isinstance(part, tree.Match)]
        if any(isinstance(part, tree.Match) for part in parts[len(matches) :]):
            raise Inexpressible("a match behind a statement")
        rate = ""
        if doing and _is(doing[0], "limit") and len(doing) == 2 and _is(doing[1], "log"):
            rate, doing = limit(_words(doing[0])), doing[1:]
        actions = [self._action(part) for part in doing if not isinstance(part, tree.VerdictMap)]
        syns = any(isinstance(action, Mss) for action, _ in actions)
        found = list(asks(matches, self._version, self._objects.sets, syns))
        if len(actions) > 1 and any(asked.marks or asked.not_marks or asked.chance for asked in found):
            raise Inexpressible("several statements behind one match")
        for asked in found:
            own = self._of(asked)
            for action, version in actions or [(Nothing(), 0)] * (len(doing) == 0):
                only = replace(own, version=version) if version and not self._version else own
                only = _of_tcp(only) if action == _RESET else only
                yield Rule(only, replace(action, limit=rate) if isinstance(action, Log) else action, origin, words)
            for part in doing:
                if isinstance(part, tree.VerdictMap):
                    yield from self._map(part, own, origin, words)

    def _action(self, part: tree.Part) -> tuple[Action, int]:
        if isinstance(part, tree.Verdict):
            return verdict(part), 0
        assert isinstance(part, tree.Statement), "neither match nor map"
        return does(_words(part), self._version)

    def _map(self, part: tree.VerdictMap, before: Asked, origin: Origin, words: str) -> Iterator[Rule]:
        elements = self._elements(part.right)
        by_verdict: dict[Action, list[tree.Element]] = {}
        for element in elements:
            if element.verdict is None:
                raise Inexpressible("a map without verdicts")
            by_verdict.setdefault(verdict(element.verdict), []).append(element)
        for action, some in by_verdict.items():
            for asked in keyed(part.left, [element.key for element in some], self._version, before):
                yield Rule(self._of(asked), action, origin, words)

    def _elements(self, right: tree.Named | tree.Anonymous) -> tuple[tree.Element, ...]:
        return right.elements if isinstance(right, tree.Anonymous) else self._objects.sets.get(right.name, ())

    def _of(self, asked: Asked) -> Asked:
        """In a table of one family nothing has to say so."""
        return replace(asked, version=0) if self._version else asked


def _of_tcp(asked: Asked) -> Asked:
    """nft asks for TCP where it is to be reset."""
    if asked.ports is None:
        return replace(asked, ports=(Port(6),))
    if any(port.protocol != 6 for port in asked.ports):
        raise Inexpressible("a reset of other protocols than TCP")
    return asked


def _text(part: tree.Part) -> str:
    if isinstance(part, tree.Verdict):
        return " ".join(filter(None, (part.kind, part.chain)))
    return " ".join(part.place.text.split())


def _is(part: tree.Part, head: str) -> bool:
    return isinstance(part, tree.Statement) and part.words[0].text == head


def _words(part: tree.Part) -> list[str]:
    assert isinstance(part, tree.Statement), "a statement"
    return [word.text for word in part.words]


def _comment(part: tree.Part) -> str:
    return _words(part)[1].strip('"')


def _priority(words: Sequence[str]) -> int:
    """`filter - 1`, `-150`"""
    text = "".join(words)
    for name, value in _PRIORITIES.items():
        if text.startswith(name):
            return value + int(text.removeprefix(name) or 0)
    return int(text or 0)


def _reached(chains: dict[str, Chain], names: list[str]) -> set[str]:
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found and name in chains:
            found.add(name)
            names += [rule.action.chain for rule in chains[name].rules if isinstance(rule.action, Jump)]
    return found
