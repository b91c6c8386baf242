"""Chains that jump to each other -> nested lists of items: `values.Within` in place of jumps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from compiler.errors import Unsupported
from compiler.importing.values import (
    EVERYTHING,
    Account,
    Chain,
    Inexpressible,
    Item,
    Jump,
    Lost,
    Mark,
    Masquerade,
    NeverMatches,
    Nothing,
    Opaque,
    Rule,
    Statement,
    Table,
    Verdict,
    Within,
)

#: Statements that a ruleset may become: chains that many jumps lead to are written out for each.
MOST = 60_000
#: How deep lists stand in each other at most.
DEEPEST = 16

#: Options of iptables that a rule has once.
_ONCE = re.compile(r"(?:^|(?<= ))(?:! )?(?P<name>-[psdio]) \S+")
_JUMP = re.compile(r"(?:^|(?<= ))(?:-[jg]|--jump|--goto|jump|goto) \S+")
_RETURN = {"iptables": "-j RETURN", "nftables": "return"}
_DROP = {"iptables": "-j DROP", "nftables": "drop"}


class Lists:
    """Of one table. `account` is told of rules that become nothing."""

    def __init__(self, table: Table, account: Account) -> None:
        self._table, self._account = table, account
        self._found: dict[str, tuple[Item, ...]] = {}
        self._open: list[str] = []

    def base(self, chain: Chain) -> tuple[Item, ...]:
        """A base chain with its policy; what leaves it has the policy's verdict. Accepting at its end is silent."""
        final = Verdict("allow" if chain.policy == "accept" else "deny")
        items = [_ended(item, final) for item in self.items(chain.name)]
        if final.verb == "deny" and not (items and _decides_all(items[-1])):
            words = _DROP[self._table.tool]
            origins = () if chain.declared is None else (chain.declared,)
            items.append(Statement(EVERYTHING, final, origins, words))
        while items and isinstance(last := items[-1], Statement) and last.action == Verdict("allow"):
            self._drop(last, "what it accepts is accepted by the chain's policy anyway")
            items.pop()
        return tuple(items)

    def items(self, name: str) -> tuple[Item, ...]:
        """Of a chain, without jumps. Raises Unsupported where that would be too much."""
        if name not in self._found:
            if name in self._open:
                raise Unsupported(f"the chain {name} leads back to itself")
            self._open.append(name)
            self._found[name] = self._made(self._table.chains[name].rules)
            self._open.pop()
        return self._found[name]

    def unreached(self) -> Iterator[Rule]:
        """Rules of chains that nothing leads to."""
        for name, chain in self._table.chains.items():
            if name not in self._found and not chain.hook:
                yield from chain.rules

    def _made(self, rules: Iterable[Rule]) -> tuple[Item, ...]:
        found: list[Item] = []
        ended = False
        for rule in rules:
            if ended:
                self._account.dropped.append((rule.origin, "no packet comes to it"))
            elif isinstance(rule.action, Nothing):
                self._account.dropped.append((rule.origin, rule.action.why))
            elif isinstance(rule.action, Mark) and not rule.action.mask:
                self._account.dropped.append((rule.origin, "it changes nothing"))
            elif isinstance(rule.action, Lost):
                self._account.lost.append((rule.origin, rule.why))
            elif isinstance(rule.action, Jump):
                found += self._jump(rule, rule.action)
            else:
                if isinstance(rule.action, Masquerade) and rule.action.without:
                    self._account.eased.append((rule.origin, rule.action.without))
                found.append(Statement(rule.asked, rule.action, (rule.origin,), rule.words, rule.why))
            ended = bool(found) and _decides_all(found[-1])
        while found and isinstance(last := found[-1], Statement) and last.action == Verdict("leave"):
            self._drop(last, "the chain ends here anyway")
            found.pop()
        return tuple(found)

    def _jump(self, rule: Rule, jump: Jump) -> Iterator[Item]:
        if rule.why and not rule.besides:
            self._lose(rule, jump, rule.why)
            return
        inner = self.items(jump.chain)
        comes_back = not (inner and _decides_all(inner[-1]))
        if rule.besides:
            try:
                inner = tuple(_besides(inner, rule, self._table))
            except Inexpressible as error:
                self._lose(rule, jump, str(error))
                return
        if jump.goto and comes_back and rule.asked.chance:
            self._lose(rule, jump, "does not come back from there")
        elif not inner and not jump.goto:
            self._account.dropped.append((rule.origin, f"the chain {jump.chain} does nothing"))
        elif rule.asked == EVERYTHING and not jump.goto and not _leaves(inner):
            yield from inner
        elif inner:
            yield Within(rule.asked, inner, (rule.origin,), _matches(rule.words))
        if jump.goto and comes_back and rule.besides:
            words = f"{_matches(rule.words)} {_RETURN[self._table.tool]}"
            opaque = Opaque(self._table.tool, self._table.version, "leave")
            yield Statement(EVERYTHING, opaque, (rule.origin,), words, rule.why)
        elif jump.goto and comes_back and not rule.asked.chance:
            words = f"{_matches(rule.words)} {_RETURN[self._table.tool]}".strip()
            yield Statement(rule.asked, Verdict("leave"), (rule.origin,), words)

    def _lose(self, rule: Rule, jump: Jump, why: str) -> None:
        self._account.lost.append((rule.origin, f"{why}, and it leads to the chain {jump.chain}"))

    def _drop(self, statement: Statement, why: str) -> None:
        self._account.dropped += [(origin, why) for origin in statement.origins]


def size(items: Iterable[Item]) -> int:
    """Statements in all lists. Raises Unsupported beyond MOST or DEEPEST."""
    total, stack = 0, [(item, 1) for item in items]
    while stack:
        item, depth = stack.pop()
        total += 1
        if isinstance(item, Within):
            stack += ((inner, depth + 1) for inner in item.items)
        if total > MOST:
            raise Unsupported(f"more than {MOST} statements, since many jumps lead to the same chains")
        if depth > DEEPEST:
            raise Unsupported(f"chains lead to each other more than {DEEPEST} deep")
    return total


def statements(items: Iterable[Item]) -> Iterator[Statement]:
    """All of them, in their order."""
    for item in items:
        if isinstance(item, Within):
            yield from statements(item.items)
        else:
            yield item


def _leaves(items: Iterable[Item]) -> bool:
    """Whether some packets leave a list before its end: where they go on depends on where it stands."""
    return any(isinstance(item, Statement) and verdict(item) == "leave" for item in items)


def verdict(one: Statement) -> str:
    """allow, deny, reject, leave, or "" where every packet goes on."""
    return (
        one.action.verb
        if isinstance(one.action, Verdict)
        else one.action.verdict
        if isinstance(one.action, Opaque)
        else ""
    )


def _besides(items: Iterable[Item], rule: Rule, table: Table) -> Iterator[Item]:
    """The items for packets that match the rule's other words, too. Raises Inexpressible where these do not go with an
    item's own."""
    for item in items:
        if isinstance(item, Within):
            yield replace(item, items=tuple(_besides(item.items, rule, table)))
        else:
            opaque = Opaque(table.tool, table.version, verdict(item).replace("reject", "deny"))
            try:
                words = joined_words(rule.besides, item.words)
            except NeverMatches:  # nor does it stand for anything
                continue
            yield Statement(EVERYTHING, opaque, (rule.origin, *item.origins), words, rule.why)


def joined_words(besides: str, words: str) -> str:
    """Matches in front of a rule's own; of iptables, those that may be said once are. Raises Inexpressible where both
    have one and say different things."""
    for found in list(_ONCE.finditer(besides)):
        again = next((one for one in _ONCE.finditer(words) if one["name"] == found["name"]), None)
        if again and again.group().split() != found.group().split():
            if found["name"] == "-p" and "!" not in f"{found.group()}{again.group()}":
                raise NeverMatches("two protocols at once")
            raise Inexpressible(f"{found.group().strip()} and {again.group().strip()}")
        if again:
            words = f"{words[: again.start()]} {words[again.end() :]}"
    return " ".join(f"{besides} {words}".split())


def _matches(words: str) -> str:
    """The words of a rule without what it does."""
    return _JUMP.sub("", words).strip()


def _ended(item: Item, final: Verdict) -> Item:
    """What leaves a base chain has the policy's verdict."""
    if isinstance(item, Statement) and item.action == Verdict("leave"):
        return replace(item, action=final)
    if isinstance(item, Within) or not isinstance(item.action, Opaque) or item.action.verdict != "leave":
        return item
    if final.verb == "allow":
        return item
    tool = item.action.tool
    words = item.words.removesuffix(_RETURN[tool]) + _DROP[tool]
    return replace(item, action=replace(item.action, verdict="deny"), words=words)


def _decides_all(item: Item) -> bool:
    return isinstance(item, Statement) and item.asked == EVERYTHING and isinstance(item.action, Verdict)
