"""Tables -> sections of a program: each base chain's list, made of what the language can say at its hook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from compiler.importing.filtering import halves
from compiler.importing.lists import Lists, joined_words, size, verdict
from compiler.importing.tidying import conjunction, tidied
from compiler.importing.values import (
    EVERYTHING,
    Account,
    Asked,
    Dnat,
    Dscp,
    Inexpressible,
    Item,
    Log,
    Mark,
    Masquerade,
    Mss,
    Notrack,
    Opaque,
    Redirect,
    Snat,
    Statement,
    Table,
    Ttl,
    Verdict,
    Within,
)
from grammar.dsl_words import STATEMENTS

#: What the language says at a hook, by the block that says it.
_SAID: Mapping[tuple[str, str], tuple[type, ...]] = {
    ("nat", "prerouting"): (Dnat, Redirect, Mark),
    ("nat", "output"): (Dnat, Redirect, Mark),
    ("nat", "postrouting"): (Snat, Masquerade),
    ("mangle", "prerouting"): (Mark,),
    ("mangle", "input"): (Dscp, Ttl, Mss),
    ("mangle", "forward"): (Mark, Dscp, Ttl, Mss),
    ("mangle", "output"): (Mark, Dscp, Ttl, Mss),
    ("mangle", "postrouting"): (Dscp, Ttl, Mss),
    ("raw", "prerouting"): (Notrack,),
    ("raw", "output"): (Notrack,),
    **dict.fromkeys((("filter", hook) for hook in ("input", "forward", "output")), (Verdict, Log)),
}
#: Blocks whose lists may have lists in them.
_NESTED = frozenset(block for block in ("nat", "mangle", "raw") if "within" in STATEMENTS[block])
#: Characters of a text in the language.
_LONGEST = 255
_BLOCKS = {"input": "node", "output": "node", "forward": "forward"}


@dataclass(frozen=True, slots=True)
class Section:
    """What stands in `block` (node, node packets, forward, forward packets, nat, mangle, raw) for one hook. `whole`:
    in one list of its own, since some packets leave it."""

    block: str
    hook: str
    items: tuple[Item, ...]
    whole: bool = False


def sections(tables: Iterable[Table], account: Account) -> Iterator[Section]:
    """All of a ruleset of one family. Raises Unsupported for what would be too much."""
    for table in tables:
        lists = Lists(table, account)
        account.rules += sum(len(chain.rules) for chain in table.chains.values())
        for chain in table.chains.values():
            if chain.hook:
                items = lists.base(chain)
                size(items)
                for section in _of_hook(table, chain.hook, items, account):
                    yield replace(section, items=tuple(_short(section.items, account)))
        account.dropped += [(rule.origin, "no hook leads to its chain") for rule in lists.unreached()]


def _short(items: Iterable[Item], account: Account) -> Iterator[Item]:
    """Without what has more words than a text may have."""
    for item in items:
        if isinstance(item, Within):
            inner = tuple(_short(item.items, account))
            yield from [replace(item, items=inner)] if inner else []
        elif isinstance(item.action, Opaque) and len(item.words.replace("\\", "--").replace('"', "--")) > _LONGEST:
            account.lost += [(origin, f"{item.why}, and too long") for origin in item.origins]
        else:
            yield item


def _of_hook(table: Table, hook: str, items: tuple[Item, ...], account: Account) -> Iterator[Section]:
    if table.kind == "filter":
        found = halves(tuple(_Fit(table, hook, account).items(items, True)), account)
        if found.packets:
            yield Section(f"{_BLOCKS[hook]} packets", hook, tidied(found.packets))
        if found.first:
            yield Section(_BLOCKS[hook], hook, tidied(found.first))
    elif items:
        fit = _Fit(table, hook, account)
        found_items = tidied(fit.items(items, True) if table.kind in _NESTED else fit.flat(items))
        leaves = any(isinstance(item, Statement) and verdict(item) == "leave" for item in found_items)
        yield Section(table.kind, hook, found_items, leaves and table.kind in _NESTED)


class _Fit:
    """Of one hook of nat, mangle or raw: what the language does not say there is opaque."""

    def __init__(self, table: Table, hook: str, account: Account) -> None:
        self._table, self._hook, self._account = table, hook, account
        self._said = _SAID.get((table.kind, hook), ())

    def items(self, items: Iterable[Item], top: bool) -> Iterator[Item]:
        for item in items:
            if isinstance(item, Within):
                yield replace(item, items=tuple(self.items(item.items, False)))
            else:
                yield self._statement(item, top)

    def _statement(self, one: Statement, top: bool) -> Item:
        action = one.action
        if isinstance(action, Dnat) and one.asked.ports is None:
            return self._as_written(one, "dnat of every protocol", "allow")
        if isinstance(action, (Opaque, *self._said)):
            return one
        if isinstance(action, Verdict) and self._said:
            if action.verb == "allow" and (self._table.kind, self._hook) == ("nat", "postrouting"):
                return replace(one, action=Verdict("keep"))
            if action.verb == "allow" and top:
                return replace(one, action=Verdict("leave"))
            if action.verb == "leave" or (action.verb == "deny" and self._table.kind == "raw"):
                return one
        ends = "allow" if isinstance(action, Dnat | Redirect | Snat | Masquerade) else verdict(one)
        why = f"there is no statement for it in {self._table.kind} at the hook {self._hook}"
        return self._as_written(one, why, ends)

    def _as_written(self, one: Statement, why: str, ends: str) -> Statement:
        opaque = Opaque(self._table.tool, self._table.version, ends.replace("reject", "deny"))
        return replace(one, asked=EVERYTHING, action=opaque, why=one.why or why)

    # ---- Where the language has no lists in lists

    def flat(
        self, items: Iterable[Item], head: Asked = EVERYTHING, words: str = "", last: bool = True
    ) -> Iterator[Item]:
        """The same without lists and conditions; `head`, `words`: of the list around; `last`: nothing is behind it, so
        that who leaves it leaves all."""
        every = list(items)
        for number, item in enumerate(every, 1):
            both = conjunction(head, item.asked)
            try:
                if isinstance(item, Within):
                    if both is None:
                        raise Inexpressible("two questions about the same")
                    yield from self.flat(
                        item.items, both, joined_words(words, item.words), last and number == len(every)
                    )
                else:
                    yield self._flat_statement(item, both, words, last)
            except Inexpressible as error:
                self._account.lost += [(origin, str(error)) for origin in item.origins]

    def _flat_statement(self, one: Statement, asked: Asked | None, words: str, last: bool) -> Item:
        found = self._statement(one, False)
        leaves = verdict(found) in ("leave", "allow") if isinstance(found, Statement) else False
        if leaves and not last:
            raise Inexpressible(f"leaves a list, which {self._table.kind} does not have")
        said = isinstance(found, Statement) and not isinstance(found.action, Opaque) and not leaves
        if said and asked is not None and _plain(asked) == asked:
            return replace(found, asked=asked)
        opaque = Opaque(self._table.tool, self._table.version, verdict(one).replace("reject", "deny"))
        why = one.why or f"{self._table.kind} has no lists in lists and no conditions"
        return replace(one, asked=EVERYTHING, action=opaque, words=joined_words(words, one.words), why=why)


def _plain(asked: Asked) -> Asked:
    """What statements without options ask."""
    kept = Asked(asked.source, asked.target, asked.ports)
    return replace(kept, version=asked.version)
