"""Rules of iptables in words that are asked faster, and match the same packets.

A list of one range of ports is a question of the protocol's own match; a match of the protocol that asks for nothing
is not needed beside one that asks for ports; a range of addresses that is a block is one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from compiler.net import Family, parse_address, prefixes
from compiler.optimizing.chains import Rule
from compiler.optimizing.passes.lines import Line
from compiler.optimizing.passes.rewriting import Edit, cut, rewritten
from compiler.optimizing.readers.iptables_regions import Asking, asks_a_family, parts, port_spans, protocol
from compiler.ordering.prices import Tool
from grammar.iptables import Command, Option

_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}
_SIDES = {"--sports": "--sport", "--dports": "--dport"}
_RANGES = {"--src-range": "-s", "--dst-range": "-d"}


def normalized(line: Line, command: Command, own: Collection[str], tool: Tool) -> Rule | None:
    """`command`: what the rule says. None where no words are better."""
    if not any(name in command.place.text for name in ("multiport", "iprange")):
        return None  # most rules
    if not line.region.calm or asks_a_family(command):
        return None
    header, matches = parts(command)
    edits = [*_ports(command, header, matches), *_bare(command, header, matches), *_blocks(command, header, matches)]
    if not edits:
        return None
    new = rewritten(line.rule, command, edits, own)
    old, better = line.rule.asked, new.asked
    return new if better.most(tool) < old.most(tool) and better.cost(tool) <= old.cost(tool) else None


def _ports(command: Command, header: Sequence[Option], matches: Sequence[Asking]) -> Iterator[Edit]:
    name = _NAMES.get(protocol(header))
    lists = [asking for asking in matches if asking.name == "multiport"]
    if name is None or len(lists) != 1 or len(lists[0].options) != 1 or lists[0].named is None:
        return
    if any(asking.name == name and (asking.options or asking.named is None) for asking in matches):
        return
    (option,) = lists[0].options
    try:
        spans = port_spans(option.values[0].text) if len(option.values) == 1 and option.name in _SIDES else ()
    except ValueError:
        return
    if len(spans) == 1:
        ((low, high),) = spans
        words = f"{_SIDES[option.name]} {low}" if low == high else f"{_SIDES[option.name]} {low}:{high}"
        yield option.place.start, option.place.end, f"{'! ' * option.negated}{words}"
        yield lists[0].named.place.start, lists[0].named.place.end, f"-m {name}"


def _bare(command: Command, header: Sequence[Option], matches: Sequence[Asking]) -> Iterator[Edit]:
    name = _NAMES.get(protocol(header))
    bare = [asking for asking in matches if asking.name == name and not asking.options and asking.named is not None]
    others = any(asking.name in (name, "multiport") and asking.options for asking in matches)
    for asking in bare if others else ():
        assert asking.named is not None
        yield cut(command, asking.named)


def _blocks(command: Command, header: Sequence[Option], matches: Sequence[Asking]) -> Iterator[Edit]:
    ranges = [asking for asking in matches if asking.name == "iprange"]
    if len(ranges) != 1 or len(ranges[0].options) != 1 or ranges[0].named is None:
        return
    (option,) = ranges[0].options
    short = _RANGES.get(option.name)
    if short is None or len(option.values) != 1 or any(one.name == short for one in header):
        return
    low, _, high = option.values[0].text.partition("-")
    try:
        (family, first), (_, last) = parse_address(low), parse_address(high or low)
    except ValueError:
        return
    blocks = prefixes(((first, last),), Family(family.value)) if first <= last else []
    if len(blocks) == 1:
        yield cut(command, ranges[0].named)
        yield cut(command, option)
        end = command.chain.place.end
        yield end, end, f" {'! ' * option.negated}{short} {blocks[0]}"
