"""Ruleset -> `ipset.save`, `iptables.save` and `ip6tables.save`, for the legacy and the nft variant alike.

`iptables-restore --noflush` replaces exactly the chains that the text declares, in one step per table and family.
All chains carry our prefix; in the chains of the hooks there is nothing of ours but one jump. What we allow returns
to the hook, so that the rules of others still see it.

A table of which the ruleset has no chain does not appear: naming it would bring it into the kernel, and the nat table
costs every new connection (docs/DATAPATH.md). Every load puts one more jump into the hooks. That changes no verdict,
mark, DSCP, MSS or translation; but a TTL would be counted once more, and a packet logged once more, so there the head
says how to load again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.backends import ipset
from compiler.backends.iptables_rules import PREFIX, Words
from compiler.backends.text import Printed, Refusals, comments, noted
from compiler.ir.effects import Log, Step, Ttl
from compiler.ir.match import Replies
from compiler.ir.ruleset import Accept, Chain, Lookup, Rule, Ruleset, Table
from compiler.net import Family

FILES = {Family.IPV4: "iptables.save", Family.IPV6: "ip6tables.save"}

_TOOL = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


def emit(ruleset: Ruleset) -> dict[str, str]:
    """File name -> text, in the order of loading. `ruleset` has no maps (`passes.expand_maps`). Raises
    InvalidInput for statements that iptables cannot say."""
    refusals = Refusals()
    sets = {found.name: ipset.set_name(found) for found in ruleset.sets}
    files, words = {ipset.FILE: ipset.emit(ruleset.sets, sets, ruleset.notes)}, Words(sets)
    for family in ruleset.families:
        files[FILES[family]] = "\n".join(_lines(ruleset, family, words, refusals)) + "\n"
    refusals.check()
    return files


def rules(ruleset: Ruleset) -> Iterator[Printed]:
    """Every rule of a ruleset that can be printed, for each family; not the jumps to our chains."""
    words = Words({found.name: ipset.set_name(found) for found in ruleset.sets})
    for family in ruleset.families:
        for number, chain in enumerate(ruleset.chains):
            for place, rule in enumerate(chain.rules):
                assert isinstance(rule, Rule), "lookups were expanded"
                if _is_of(rule, chain, family) and rule is not _answered_by_jump(chain):
                    table, name = chain.table.value, chain_name(chain)
                    for text in words.texts(rule, family):
                        yield Printed(_TOOL[family], table, name, (number, place), text)


def _lines(ruleset: Ruleset, family: Family, words: Words, refusals: Refusals) -> Iterator[str]:
    command = f"{_TOOL[family]}-restore --noflush"
    yield from comments(*ruleset.notes, f"Load after {ipset.FILE}: {command} {FILES[family]}")
    if _counts(ruleset):
        yield from comments(
            f"Load again without the lines of -I, or packets are logged twice: grep -v ^-I {FILES[family]} | {command}"
        )
    between = False
    for table in Table:
        chains = [c for c in ruleset.chains if c.table is table and c.family in (None, family)]
        if chains:
            yield from [""] * between
            yield from _section(table, chains, family, words, refusals)
            between = True


def _section(table: Table, chains: Sequence[Chain], family: Family, words: Words, refusals: Refusals) -> Iterator[str]:
    yield f"*{table.value}"
    yield from map(declared, chains)
    for chain in chains:
        yield ""
        yield from comments(*chain.notes)
        for note, line in appended(chain, family, words, refusals):
            if note:
                yield from comments(note)
            yield line
    yield ""
    jumps = [line for chain in chains if (line := jump(chain))]
    if jumps:
        yield from comments("Our chains come first in their hooks.")
    yield from jumps
    yield "COMMIT"


def declared(chain: Chain) -> str:
    """The line that makes the chain, or empties it."""
    return f":{chain_name(chain)} - [0:0]"


def appended(chain: Chain, family: Family, words: Words, refusals: Refusals) -> Iterator[tuple[str, str]]:
    """The lines that fill the chain for the family, each with the note to print above it; not what its jump asks."""
    append, by_jump = f"-A {chain_name(chain)}", _answered_by_jump(chain)
    own = [rule for rule in chain.rules if _is_of(rule, chain, family) and rule is not by_jump]
    for note, rule in noted(own):
        assert isinstance(rule, Rule), "lookups were expanded"
        for text in refusals.texts(words.texts, rule, family):
            yield note, f"{append} {text}"
            note = ""


def jump(chain: Chain) -> str:
    """The line that has the hook ask the chain; nothing where that is not needed."""
    if not (chain.hook and chain.rules):
        return ""
    replies = " -m conntrack ! --ctstate ESTABLISHED,RELATED" if _answered_by_jump(chain) else ""
    return f"-I {chain.hook.name} 1{replies} -j {chain_name(chain)}"


def _is_of(rule: Rule | Lookup, chain: Chain, family: Family) -> bool:
    """Whether the rule is for packets of the family."""
    return (rule.family is None or rule.family is family) and chain.family in (None, family)


def _answered_by_jump(chain: Chain) -> Rule | Lookup | None:
    """The first rule of a base chain that lets replies go: the jump asks that itself, so that a reply passes one
    rule. It also makes a jump that is there twice, from loading the text twice, nearly free."""
    first = chain.rules[0] if chain.hook and chain.table is Table.FILTER and chain.rules else None
    if not isinstance(first, Rule) or first.effects or first.family:
        return None
    return first if first.matches == (Replies(),) and first.verdict == Accept() else None


def _counts(ruleset: Ruleset) -> bool:
    """Whether a packet that passes our chains twice fares differently."""
    effects = [e for chain in ruleset.chains for rule in chain.rules if isinstance(rule, Rule) for e in rule.effects]
    return any(
        isinstance(effect, Log) or (isinstance(effect, Ttl) and effect.step is not Step.SET) for effect in effects
    )


def chain_name(chain: Chain) -> str:
    """At most 28 characters."""
    return PREFIX + (chain.hook.name if chain.hook else chain.name)
