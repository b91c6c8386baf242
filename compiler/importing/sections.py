"""Tables -> sections of a program: each base chain's list, made of what the language can say at its hook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from compiler.importing.filtering import halves
from compiler.importing.lists import Lists, size, verdict
from compiler.importing.tidying import tidied
from compiler.importing.values import (
    EVERYTHING,
    Account,
    Dnat,
    Dscp,
    Item,
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
}
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
                yield from _of_hook(table, chain.hook, items, account)
        account.dropped += [(rule.origin, "no hook leads to its chain") for rule in lists.unreached()]


def _of_hook(table: Table, hook: str, items: tuple[Item, ...], account: Account) -> Iterator[Section]:
    if table.kind == "filter":
        found = halves(items, account)
        if found.packets:
            yield Section(f"{_BLOCKS[hook]} packets", hook, tidied(found.packets))
        if found.first:
            yield Section(_BLOCKS[hook], hook, tidied(found.first))
    elif items:
        fit = _Fit(table, hook)
        found_items = tidied(fit.items(items, True))
        leaves = any(isinstance(item, Statement) and verdict(item) == "leave" for item in found_items)
        yield Section(table.kind, hook, found_items, leaves)


class _Fit:
    """Of one hook of nat, mangle or raw: what the language does not say there is opaque."""

    def __init__(self, table: Table, hook: str) -> None:
        self._table, self._hook = table, hook
        self._said = _SAID.get((table.kind, hook), ())

    def items(self, items: Iterable[Item], top: bool) -> Iterator[Item]:
        for item in items:
            if isinstance(item, Within):
                yield replace(item, items=tuple(self.items(item.items, False)))
            else:
                yield self._statement(item, top)

    def _statement(self, one: Statement, top: bool) -> Item:
        action = one.action
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
        opaque = Opaque(self._table.tool, self._table.version, ends.replace("reject", "deny"))
        return replace(one, asked=EVERYTHING, action=opaque, why=one.why or why)
