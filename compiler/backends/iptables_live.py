"""Rulesets that move -> steps for ipset, iptables-restore and ip6tables-restore.

Sets keep their names while their content moves, within a generation: a tag at the end of the names tells two of them
apart. So a load brings everything in beside what is there, and the chains go over to it in one step per table and
family. Chains need no tag: a packet that is in an old one goes on among its old rules, which ask the old sets.

A change is made in three steps (compiler/ir/change.py): sets that are new and elements that come; chains, those that
nothing asks any more being deleted in the same restore; elements and sets that go. Texts say no more than the tools
need, in the back end's words (iptables.py, ipset.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from compiler.backends import ipset
from compiler.backends.iptables import appended, chain_name, declared, jump
from compiler.backends.iptables_rules import Words
from compiler.backends.steps import Step, Tool
from compiler.backends.text import Refusals
from compiler.ir.change import Change
from compiler.ir.ruleset import Chain, PrefixSet, Ruleset, Set, Table
from compiler.net import Family

#: What is in force, by its name in the ruleset.
There = Mapping[str, Chain | Set | PrefixSet]

_TOOLS = {Family.IPV4: Tool.IPTABLES, Family.IPV6: Tool.IP6TABLES}
_LONGEST, _DIGEST = 31, 7  # IPSET_MAXNAMELEN less the end of the string


def there(ruleset: Ruleset) -> dict[str, Chain | Set | PrefixSet]:
    """The same of a whole ruleset."""
    return {found.name: found for part in (ruleset.chains, ruleset.sets) for found in part}


def set_name(name: str, tag: str) -> str:
    """At most 31 characters; `tag` is one or two letters or digits. A long name ends in a digest."""
    room = _LONGEST - len(ipset.PREFIX) - len(tag) - 1
    if len(name) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
        name = f"{name[: room - _DIGEST - 1].rstrip('-')}-{digest}"
    return f"{ipset.PREFIX}{name}-{tag}"


def load(ruleset: Ruleset, tag: str) -> tuple[Step, ...]:
    """Brings all of a ruleset without maps in, whatever is there with another tag. Raises InvalidInput for statements
    that iptables cannot say."""
    filling = [line for found in ruleset.sets for line in ipset.filling(found, set_name(found.name, tag))]
    chains = _restores(ruleset.chains, (), ruleset.families, tag)
    return (*_filled(filling), *chains)


def update(change: Change, before: There, families: Sequence[Family], tag: str) -> tuple[Step, ...]:
    """Makes the change of a ruleset that was loaded with this tag. `before` is that, so far as the change speaks of
    it: what moves or goes. Raises InvalidInput."""
    assert not any((change.maps, change.mapped, change.unmapped)), "maps were expanded"
    coming = [line for found in change.sets for line in ipset.filling(found, set_name(found.name, tag))]
    coming += _moving("add", change.added, before, tag)
    gone = [before[name] for name in sorted(change.gone)]
    chains = _restores(change.chains, [one for one in gone if isinstance(one, Chain)], families, tag)
    going = [*_moving("del", change.removed, before, tag)]
    if going and chains:  # a packet that is in an old chain may ask for what goes
        chains = (*chains[:-1], Step(chains[-1].tool, chains[-1].text, settle=True))
    going += [f"destroy {set_name(one.name, tag)}" for one in gone if not isinstance(one, Chain)]
    return (*_filled(coming), *chains, *_filled(going))


def _moving(command: str, moved: Mapping[str, frozenset[tuple[int, ...]]], before: There, tag: str) -> Iterator[str]:
    for name, elements in moved.items():
        found = before[name]
        assert isinstance(found, Set), f"{name}: prefixes do not move"
        yield from ipset.moving(command, found, set_name(name, tag), sorted(elements))


def _filled(lines: Sequence[str]) -> Iterator[Step]:
    if lines:
        yield Step(Tool.IPSET, "\n".join([*lines, ""]))


class _Names(dict[str, str]):
    """Names of sets as they are asked for."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag = tag

    def __missing__(self, name: str) -> str:
        self[name] = set_name(name, self._tag)
        return self[name]


def _restores(chains: Sequence[Chain], gone: Sequence[Chain], families: Iterable[Family], tag: str) -> tuple[Step, ...]:
    """A step for each family that they are for."""
    refusals, words = Refusals(), Words(_Names(tag))
    texts: dict[Family, str] = {}
    for family in families:
        lines = [line for table in Table for line in _section(table, chains, gone, family, words, refusals)]
        if lines:
            texts[family] = "\n".join([*lines, ""])
    refusals.check()
    return tuple(Step(_TOOLS[family], text) for family, text in texts.items())


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
