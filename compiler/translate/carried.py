"""Whether a program leaves alone the bits of the mark that tell POSTROUTING by which interface a packet came in."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.errors import Collector
from compiler.resources.language import Conditional, Mark, Opaque, Program, Statement, every_item
from compiler.translate.as_written import options_of

_ALL = 0xFFFFFFFF


def check_carried(program: Program, mask: int, asked: int, most: int) -> None:
    """Raises InvalidInput where a statement sets or asks for bits of `mask`; or when more than `most` names of
    interfaces are asked for, which are as many as the mask has values for."""
    problems = Collector()
    why = f"are netpolc's own here: iptables needs them for sources by interface in nat. See --mark-mask {mask:#x}"
    for statement, bits in _marks(program):
        if bits & mask:
            problems.add(statement.flaw(f"the bits {bits & mask:#x} of the mark {why}", "mark-mask"))
    if asked > most:
        text = f"nat asks for {asked} names of interfaces as sources; --mark-mask {mask:#x} has room for {most}"
        problems.add(program.nat[0].flaw(text, "mark-mask"))
    problems.check()


def _marks(program: Program) -> Iterator[tuple[Statement, int]]:
    """Statements that set or ask for marks, and the bits that they are about."""
    lists = [block.rules for block in program.policies]
    lists += [program.node, program.forward, program.node_packets, program.forward_packets]
    for item in (*(one for items in lists for one in every_item(items)), *every_item(program.nat), *program.mangle):
        if isinstance(item, Mark):
            yield item, item.mask
        if isinstance(item, Conditional) and item.marked is not None:
            yield item, item.marked.mask
    as_written = [
        *every_item((*(one for items in lists for one in items), *program.nat)),
        *program.mangle,
        *program.raw,
    ]
    for opaque in as_written:
        if isinstance(opaque, Opaque) and opaque.tool == "iptables":
            yield opaque, _named(opaque.rule)


def _named(rule: str) -> int:
    """The bits of marks that a rule of iptables sets or asks for, all of those that it does not leave out by a mask."""
    found, unmasked = 0, ""
    for kind, option, value in options_of(rule):
        if option in ("-j", "--jump") and value == "CONNMARK":
            unmasked = value
        elif kind in ("MARK", "mark") and option.endswith(("mark", "xmark")):
            number, _, mask = value.partition("/")
            named = number if option in ("--or-mark", "--xor-mark") else mask
            found |= _bits(named)
        elif kind == "CONNMARK" and option in ("--nfmask", "--mask"):
            found, unmasked = found | _bits(value), ""
        elif kind == "CONNMARK" and option in ("--set-mark", "--set-xmark", "--and-mark", "--or-mark", "--xor-mark"):
            unmasked = ""
    return found | (_ALL if unmasked else 0)


def _bits(number: str) -> int:
    """All where it is none that Python knows: the tool's own numbers may begin with zeros."""
    try:
        return int(number, 0) & _ALL
    except ValueError:
        return _ALL
