"""Rules of one tool that stand in a program as they are: what they ask and what they do, as that tool's reader has it.

Such a rule decides as one of the program does: accepting is to allow, returning to leave; without a target, or with
one that only tells somebody, the packet goes on. What its matches that are not modelled say is an unknown: of a pure
one by its text, as in any text of rules; of one that depends on more than the packet by the statement and which of its
matches it is. A text that is proved has the same rule, in the order of the program, and the same unknowns there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from compiler.resources.language import Opaque as Statement
from compiler.resources.language import Program, every_item
from compiler.semantics.diagrams.diagram import IN
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import LEVELS, Path, Space
from compiler.semantics.diagrams.spots import Spot, spot, targets
from compiler.semantics.proof.case import Case
from compiler.semantics.rules import reads_iptables, reads_nftables
from compiler.semantics.rules.membership import Membership
from compiler.semantics.rules.netfilter import (
    Accept,
    Barrier,
    Condition,
    Continue,
    Drop,
    Field,
    Hook,
    In,
    InSet,
    Notice,
    Opaque,
    Return,
    Rule,
    Ruleset,
    Table,
    Unmodelled,
)
from grammar.ruletext import Refused
from grammar.source import Flaw, Source

CHAIN = "as-written"
#: What no packet has on a path: a rule that asks for one meets the empty name.
_NO_INTERFACE = {Path.INPUT: (Field.OUTPUT,), Path.OUTPUT: (Field.INPUT,)}
Ends = Accept | Drop | Return | Unmodelled | None


class Written(NamedTuple):
    """A statement for packets of one family: what it asks, one or another of `alternatives`, and how it `ends` (None:
    nothing happens). `table` has the sets that are asked."""

    table: Table | None
    alternatives: tuple[tuple[Condition, ...], ...]
    ends: Ends


def written(item: Statement, version: int) -> Written:
    """Raises Unprovable."""
    if item.version not in (None, version):
        return Written(None, (), None)
    return _read(item.tool, item.rule, version, item.span.file_line)


@lru_cache(4096)
def _read(tool: str, text: str, version: int, where: str) -> Written:
    try:
        table = read_alone(tool, text, "filter", version, where)
    except Refused as error:
        raise Unprovable(f"{where}: {error.flaw.message}") from None
    found = [_asked(rule, where) for rule in table.chains[CHAIN].rules]
    ends = {end for _, end in found}
    if len(ends) != 1:
        raise Unprovable(f"{where}: more than one rule")
    return Written(table, tuple(conditions for conditions, _ in found), *ends)


def read_alone(tool: str, text: str, name: str, version: int, where: str) -> Table:
    """A table with the one rule in `CHAIN`, as the tool's reader has it. Raises Refused."""
    if tool == "iptables":
        whole = f"*{name}\n:{CHAIN} - [0:0]\n-A {CHAIN} {text}\nCOMMIT\n"
        (table,) = reads_iptables.read(Source(where, whole), version, {})
    else:
        whole = f"table inet t {{\n chain {CHAIN} {{\n {text}\n }}\n}}\n"
        (table,) = reads_nftables.read(Source(where, whole))
    return table


def not_understood(program: Program, versions: Sequence[int]) -> Iterator[Flaw]:
    """What the readers do not know, or would not take for packets of one of these families, each at the place of its
    statement."""
    lists: list[tuple[str, Iterable[object]]] = [("filter", block.rules) for block in program.policies]
    lists += [("filter", program.node_packets), ("filter", program.node), ("filter", program.forward_packets)]
    lists += [("filter", program.forward), ("nat", program.nat), ("mangle", program.mangle), ("raw", program.raw)]
    for name, items in lists:
        for item in every_item(items):  # type: ignore[arg-type]
            if not isinstance(item, Statement):
                continue
            found: dict[str, Flaw] = {}
            for version in versions:
                try:
                    if item.version in (None, version):
                        read_alone(item.tool, item.rule, name, version, item.span.file_line)
                except Refused as error:
                    flaw = item.flaw(f"{item.name}: {error.flaw.message}", error.flaw.code)
                    found.setdefault(flaw.message, flaw)
            yield from found.values()


def _asked(rule: Rule, where: str) -> tuple[tuple[Condition, ...], Ends]:
    conditions: list[Condition] = []
    for part in rule.parts:
        match part:
            case In() | InSet() | Opaque() | Barrier():
                conditions.append(part)
            case Notice():
                pass
            case Continue():
                break
            case Accept() | Drop() | Return() | Unmodelled():
                return tuple(conditions), part
            case _:
                raise Unprovable(f"{where}: changes packets, which is no statement for this list")
    return tuple(conditions), None


def _unknown(item: Statement, alternative: int, number: int) -> str:
    """The unknown that a stateful match of a statement is."""
    more = f" of alternative {alternative + 1}" if alternative else ""
    return f"{item.span}: {item.rule} (match {number + 1}{more})"


# All packets


def met(item: Statement, path: Path, over: Space, matches: Matches) -> int:
    """The packets on a path that a statement is about."""
    made, found = over.made, written(item, over.version)
    parts = []
    for n, conditions in enumerate(found.alternatives):
        among, times = IN, 0
        for condition in conditions:
            if isinstance(condition, Barrier):
                held = matches.unknown(_unknown(item, n, times))
                times += 1
            else:
                assert found.table is not None
                held = matches.holds(found.table, condition)
            among = made.where(among, held)
        parts.append(among)
    return made.restrict(made.first(parts), {int(LEVELS[field]): 0 for field in _NO_INTERFACE.get(path, ())})


def found_in(ruleset: Ruleset, version: int, items: Mapping[Hook, Sequence[Statement]]) -> dict[Spot, str]:
    """Where the stateful matches of statements stand in a text, and which unknowns they are; `items` by the hooks at
    which they are asked, in their order. The n-th of equal statements is the n-th of equal rules there."""
    known: dict[Spot, str] = {}
    for hook, asked in items.items():
        waiting: dict[tuple[Condition, ...], list[tuple[Statement, int]]] = {}
        for item in asked:
            for n, conditions in enumerate(written(item, version).alternatives):
                if any(isinstance(part, Barrier) for part in conditions):
                    waiting.setdefault(_likeness(conditions), []).append((item, n))
        for rule in _in_order(ruleset, version, hook) if waiting else ():
            asks = (part for part in rule.parts if isinstance(part, In | InSet | Opaque | Barrier))
            same = waiting.get(_likeness(asks))
            if same:
                item, n = same.pop(0)
                barriers = [at for at, part in enumerate(rule.parts) if isinstance(part, Barrier)]
                known |= {spot(rule, at): _unknown(item, n, number) for number, at in enumerate(barriers)}
    return known


def _in_order(ruleset: Ruleset, version: int, hook: Hook) -> Iterator[Rule]:
    """The rules of a hook, each in front of all that packets come to behind it."""
    seen: set[tuple[int, str]] = set()
    backwards: list[Rule] = []

    def chain(table: Table, name: str) -> None:
        if (id(table), name) in seen:
            return
        seen.add((id(table), name))
        for rule in reversed(table.chains[name].rules):
            for target in {target: None for part in rule.parts for target in targets(table, part)}:
                chain(table, target)
            backwards.append(rule)

    for table, base in reversed(ruleset.at(hook, version)):
        chain(table, base.name)
    return reversed(backwards)


def _likeness(parts: Iterable[Condition]) -> tuple[Condition, ...]:
    """What rules have in common that are one statement: a text may ask for the family once more."""
    return tuple(part for part in parts if not (isinstance(part, In) and part.field is Field.FAMILY))


# One packet


def meets(item: Statement, case: Case) -> bool:
    """Whether a statement is about the packet."""
    found = written(item, case.packet.version)
    numbers = _numbers(case)

    def holds(condition: Condition, unknown: str) -> bool:
        match condition:
            case In(field, intervals, mask):
                number = numbers[field] if mask is None else numbers[field] & mask
                return any(low <= number <= high for low, high in intervals)
            case InSet(keys, name, negated):
                assert found.table is not None
                asked = tuple(numbers[k.field] if k.mask is None else numbers[k.field] & k.mask for k in keys)
                return (Membership(found.table.sets[name]).find(asked) is None) is negated
            case Opaque(text, negated):
                return case.others.get(text, False) is not negated
            case Barrier():
                return case.others.get(unknown, False)

    return any(
        all(holds(condition, name) for condition, name in _named(item, n, conditions))
        for n, conditions in enumerate(found.alternatives)
    )


def _named(item: Statement, alternative: int, conditions: tuple[Condition, ...]) -> Iterator[tuple[Condition, str]]:
    times = 0
    for condition in conditions:
        yield condition, _unknown(item, alternative, times)
        times += isinstance(condition, Barrier)


def _numbers(case: Case) -> Mapping[Field, int]:
    packet = case.packet
    return {
        Field.FAMILY: packet.version,
        Field.SOURCE: int(ip_address(packet.src)),
        Field.DESTINATION: int(ip_address(packet.dst)),
        Field.PROTOCOL: packet.proto,
        Field.SOURCE_PORT: packet.sport,
        Field.DESTINATION_PORT: packet.dport,
        Field.ICMP_TYPE: packet.icmp_type or 0,
        Field.ICMP_CODE: packet.icmp_code,
        Field.INPUT: _name(case.input),
        Field.OUTPUT: _name(case.output),
        Field.STATE: case.state,
        Field.MARK: case.mark,
        Field.HOPS: packet.hop_limit,
        Field.SOURCE_TYPE: case.source_type,
        Field.DESTINATION_TYPE: case.destination_type,
        **dict.fromkeys(_NO_INTERFACE.get(case.path, ()), 0),
    }


def _name(interface: str) -> int:
    """As a number; witnesses may have names that no interface can have."""
    return int.from_bytes(interface.encode()[:16].ljust(16, b"\0"), "big")
