"""Ruleset -> `ipset.save`, `iptables.save` and `ip6tables.save`, for the legacy and the nft variant alike.

`iptables-restore --noflush` replaces exactly the chains that the text declares, in one step per table and family.
All chains carry our prefix; in the chains of the hooks there is nothing of ours but one jump. What we allow returns
to the hook, so that the rules of others still see it.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.backends import ipset
from compiler.backends.text import comments, noted
from compiler.ir.match import (
    Field,
    InPrefix,
    InSet,
    LocalSource,
    Match,
    NeighbourDiscovery,
    Replies,
    ToAnyPort,
    ToPorts,
)
from compiler.ir.ruleset import Accept, Chain, Drop, Goto, Jump, Lookup, Return, Rule, Ruleset, Verdict
from compiler.net import EVERY_PORT, PROTOCOL_NAMES, Family, address_text

FILES = {Family.IPV4: "iptables.save", Family.IPV6: "ip6tables.save"}
PREFIX = "NETPOLC-"

_TOOL = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_DIRECTION = {Field.SOURCE: "-s", Field.DESTINATION: "-d"}


def emit(ruleset: Ruleset) -> dict[str, str]:
    """File name -> text, in the order of loading. `ruleset` has no maps (`passes.expand_maps`)."""
    sets = {found.name: ipset.set_name(found) for found in ruleset.sets}
    files = {ipset.FILE: ipset.emit(ruleset.sets, sets, ruleset.notes)}
    for family in ruleset.families:
        files[FILES[family]] = "\n".join(_lines(ruleset, family, sets)) + "\n"
    return files


def _lines(ruleset: Ruleset, family: Family, sets: dict[str, str]) -> Iterator[str]:
    chains = [chain for chain in ruleset.chains if chain.family in (None, family)]
    load = f"Load after {ipset.FILE}: {_TOOL[family]}-restore --noflush {FILES[family]}"
    yield from comments(*ruleset.notes, load)
    yield f"*{chains[0].table.value}"
    yield from (f":{chain_name(chain)} - [0:0]" for chain in chains)
    for chain in chains:
        yield ""
        yield from comments(*chain.notes)
        for note, rule in noted(chain.rules):
            assert isinstance(rule, Rule), "lookups were expanded"
            if rule.family in (None, family) and rule is not _answered_by_jump(chain):
                yield from comments(note)
                yield from _rule(chain, rule, family, sets)
    yield ""
    yield from comments("Our chains come first in their hooks.")
    for chain in chains:
        if chain.hook:
            replies = " -m conntrack ! --ctstate ESTABLISHED,RELATED" if _answered_by_jump(chain) else ""
            yield f"-I {chain.hook.name} 1{replies} -j {chain_name(chain)}"
    yield "COMMIT"


def _answered_by_jump(chain: Chain) -> Rule | Lookup | None:
    """The first rule of a base chain that lets replies go: the jump asks that itself, so that a reply passes one
    rule. It also makes a jump that is there twice, from loading the text twice, nearly free."""
    first = chain.rules[0] if chain.hook else None
    return first if isinstance(first, Rule) and first.matches == (Replies(),) and first.verdict == Accept() else None


def chain_name(chain: Chain) -> str:
    """At most 28 characters."""
    return PREFIX + (chain.hook.name if chain.hook else chain.name)


def _rule(chain: Chain, rule: Rule, family: Family, sets: dict[str, str]) -> Iterator[str]:
    target = _verdict(rule.verdict)
    alternatives = [""]
    for match in rule.matches:
        alternatives = [f"{before} {text}" for before in alternatives for text in _match(match, family, sets)]
    yield from (f"-A {chain_name(chain)}{matches} {target}" for matches in alternatives)


def _match(match: Match, family: Family, sets: dict[str, str]) -> list[str]:
    """The match's options; several texts mean several rules."""
    match match:
        case Replies():
            return ["-m conntrack --ctstate ESTABLISHED,RELATED"]
        case NeighbourDiscovery():
            return [f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -m hl --hl-eq 255" for number in (133, 135, 136)]
        case LocalSource():
            return ["-m addrtype --src-type LOCAL"]
        case InPrefix(field, prefix):
            return [f"{_DIRECTION[field]} {address_text(family, prefix.base)}/{prefix.length}"]
        case InSet(fields, name):
            return [f"-m set --match-set {sets[name]} {ipset.directions(fields)}"]
        case ToPorts(protocol, first, last):
            name = PROTOCOL_NAMES[protocol]
            if (first, last) == EVERY_PORT[0]:
                return [f"-p {name}"]
            return [f"-p {name} -m {name} --dport {first}" + (f":{last}" if last != first else "")]
        case ToAnyPort(protocol, spans):
            listed = ",".join(f"{low}" if low == high else f"{low}:{high}" for low, high in spans)
            return [f"-p {PROTOCOL_NAMES[protocol]} -m multiport --dports {listed}"]


def _verdict(verdict: Verdict) -> str:
    match verdict:
        case Accept() | Return():  # in a base chain: back to the hook, where the rules of others follow
            return "-j RETURN"
        case Drop():
            return "-j DROP"
        case Jump(chain):
            return f"-j {PREFIX}{chain}"
        case Goto(chain):
            return f"-g {PREFIX}{chain}"
