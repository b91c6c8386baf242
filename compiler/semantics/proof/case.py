"""One packet on its way, and what the policies say of it: the same as `policy_diagram` for all packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.resources.language import Item, Rule, Within
from compiler.semantics.diagrams.policy_diagram import LOCAL, REPLIES
from compiler.semantics.diagrams.space import Path
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.semantics.verdict import Because, Direction, Ruling


@dataclass(frozen=True, slots=True)
class Case:
    """A packet on its way: what policies and rules are asked about. `mark` and the names of interfaces count where a
    rule asks them; `others`: tests that are not modelled, and the answer that each must have."""

    path: Path
    packet: Packet
    state: State = State.NEW
    source_type: AddressType = AddressType.UNICAST
    destination_type: AddressType = AddressType.UNICAST
    mark: int = 0
    input: str = ""
    output: str = ""
    others: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """A rule of a program that decided: `where` is the list it stands in ("policy NAME", "node", "failsafe", of nested
    ones "node rule[2]"), `index` its place there."""

    where: str
    index: int
    rule: Item


@dataclass(frozen=True, slots=True)
class Said:
    """What the policies say of a case. `rulings` are of the directions that are asked there; `note` says why
    none is. Of a program: the rules that decided, one for each list that did, and what a reject answers."""

    allowed: bool
    rulings: Mapping[Direction, Ruling] = field(default_factory=dict)
    note: str = ""
    decided: tuple[Decided, ...] = ()
    answer: str = ""


def said(oracle: Oracle, node: str | None, case: Case) -> Said:
    """What the policies say, packet by packet: the same as `PolicyDiagrams` for all."""
    if case.state in REPLIES:
        return Said(True, note="replies and related packets of an accepted connection pass")
    if case.path is Path.OUTPUT and case.source_type is LOCAL:
        return Said(True, note="the node itself reaches its own pods")
    connection = oracle.connection(case.packet) if node is None else oracle.at_node(case.packet, node)
    rulings = {Direction.EGRESS: connection.egress}
    if connection.egress.because is Because.UNKNOWN and case.source_type is LOCAL:
        rulings = {Direction.EGRESS: Ruling(True, Because.NO_SUBJECT)}  # a bridge's own address, of the same range
    if case.path is not Path.INPUT:
        rulings[Direction.INGRESS] = connection.ingress
    found = {(ruling.block.name, ruling.rule): ruling for ruling in rulings.values() if ruling.block is not None}
    decided = [
        Decided(f"policy {ruling.block.name}", ruling.rule, ruling.block.rules[ruling.rule])
        for ruling in found.values()
        if ruling.block is not None and ruling.rule is not None
    ]
    return Said(all(ruling.allowed for ruling in rulings.values()), rulings, decided=tuple(decided))


def throw(item: Rule | Within) -> str:
    """What stands for the chance of a rule in `Case.others`."""
    return f"{item.span}: chance 1/{item.chance}"
