"""For whom statements of nat, mangle and raw hold: what their author should know that no error says."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.ir.ruleset import Table
from compiler.lower.flows import origin
from compiler.net import Family
from compiler.resolve.ends import Ends, Here, Side
from compiler.resources.language import (
    Anyone,
    Dnat,
    DropFrom,
    End,
    Opaque,
    Program,
    Rule,
    Snat,
    Statement,
    Within,
)
from compiler.resources.language import NatWithin as NatList

_NAMES = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}
_SIDE = Side(Here.ASKED)


def remarks(program: Program, ends: Ends) -> Iterator[str]:
    """Statements that match nothing, and those of nat that hold for one family alone."""
    for table, statements in ((Table.NAT, program.nat), (Table.MANGLE, program.mangle), (Table.RAW, program.raw)):
        for number, statement in enumerate(statements):
            if not isinstance(statement, Rule | Within | NatList | Opaque):
                text = _remark(statement, ends, telling=table is Table.NAT)
                if text:
                    yield f"{origin(statement, table, number)}: {text}"


def _remark(statement: Statement, ends: Ends, telling: bool) -> str:
    found = {
        what: {family for family in Family if ends.meet((end,), family, _SIDE)}
        for what, end in _ends(statement).items()
    }
    if isinstance(statement, Dnat):
        found["new target"] = {family for family in Family if ends.addresses(statement.target, family)}
    if isinstance(statement, Snat):
        found["new source"] = {Family(statement.address.version)}
    nobody = [what for what, families in found.items() if not families]
    if nobody:
        return f"matches nothing: nobody in the input is its {nobody[0]}"
    both = set(Family).intersection(*found.values())
    if not both:
        return "matches nothing: its ends have no addresses of one family"
    if not telling or len(both) == len(Family):
        return ""
    (one,), (other,) = both, set(Family) - both
    why = next(what for what, families in found.items() if families != set(Family))
    return f"for {_NAMES[one]} alone: its {why} has no {_NAMES[other]} address"


def _ends(statement: Statement) -> dict[str, End]:
    match statement:
        case Dnat(source=source, to=to):
            return {"source": source, "target": to or Anyone()}
        case DropFrom(source=source):
            return {"source": source}
        case _:
            flow = statement.flow  # type: ignore[attr-defined]
            return {"source": flow.source or Anyone(), "target": flow.target or Anyone()}
