"""Statements of nat -> lists of which the first statement that fits a connection decides.

dnat and redirect are one list, asked before routing; snat, masquerade and keep source another, asked when the packet
leaves. Where a destination is one of several, a tree of chains takes it by chance: halves as long as there are many,
an odd one by itself before, so that each has exactly the same share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from compiler.backends.target import Target
from compiler.ir.match import Field, InPrefix, IsProtocol, OneIn, protocols
from compiler.ir.names import Namer
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import Chain, Goto, Hook, Return, Rule, Table, Verdict
from compiler.lower.asking import Asking, Question
from compiler.lower.flows import SHORT, Asked, Entry, Flows, Way, base, first_match, guarded, origin, ways
from compiler.lower.nat_lists import NatLists, hooks, is_flat
from compiler.net import Family, Prefix, parse_prefix
from compiler.resources.language import (
    Dnat as DnatStatement,
)
from compiler.resources.language import (
    KeepSource,
    MessageType,
    NatItem,
    Ports,
    Program,
    ThisNode,
)
from compiler.resources.language import Masquerade as MasqueradeStatement
from compiler.resources.language import Redirect as RedirectStatement
from compiler.resources.language import Snat as SnatStatement

#: What `dnat` without `to` never means, though it is the node's.
LOOPBACKS = {Family.IPV4: "127.0.0.0/8", Family.IPV6: "::1/128"}
_HOOKS = (Hook.PREROUTING, Hook.OUTPUT, Hook.POSTROUTING)
#: So many destinations are asked for one by one.
_ROW = 8


class Nat:
    """The chains of a program's nat statements; none without a statement."""

    def __init__(self, program: Program, asking: Asking, target: Target) -> None:
        self._statements = tuple(enumerate(program.nat))
        self._items = program.nat
        self._asking, self._ends = asking, asking.ends
        self._flows = Flows(asking, target), Flows(asking, target, admitted=True)
        self._families = target.families
        self._namer = Namer()
        self._choices: dict[str, Chain] = {}
        self._loopbacks = tuple(InPrefix(Field.DESTINATION, _loopback(family)) for family in target.families)

    def chains(self) -> Iterator[Chain]:
        """The base chains and what they lead to."""
        if not self._statements:
            return
        for hook in _HOOKS if is_flat(self._items) else ():
            entries = [entry for n, one in self._statements for entry in self._deciding(one, n, hook, self._flows[0])]
            guards, entries = guarded([entry for entry in entries if entry.asked])
            rules, chains = first_match(f"nat-{SHORT[hook]}", Table.NAT, entries)
            yield base(Table.NAT, hook, (*(guards if rules else ()), *rules))
            yield from chains
        if not is_flat(self._items):
            yield from self._in_lists()
        yield from self._choices.values()

    def _in_lists(self) -> Iterator[Chain]:
        asked = hooks(self._items)
        for hook in (*_HOOKS, *(Hook.INPUT,) * (Hook.INPUT in asked)):
            found: tuple[Chain, ...] = ()
            if hook in asked:
                found = NatLists(self._asking, self._flows, hook, self._deciding).of(self._items)
            yield base(Table.NAT, hook, (Rule((), Goto(found[0].name)),) if found else ())
            yield from found

    def _deciding(self, statement: NatItem, number: int, hook: Hook, flows: Flows) -> Iterator[Entry]:
        if hook is Hook.POSTROUTING:
            yield from self._sources(statement, number, hook, flows)
        elif hook is not Hook.INPUT:
            yield from self._destinations(statement, number, hook, flows)

    def _sources(self, statement: NatItem, number: int, hook: Hook, flows: Flows) -> Iterator[Entry]:
        match statement:
            case SnatStatement(flow=flow, address=address):
                family = Family(address.version)
                if family in self._families:
                    verdict: Verdict = Snat(int(address))
                    asked = flows.of_family(statement, ways(flow, True), hook, family)
                    yield Entry(_rule(statement, number, verdict), [(family, one) for one in asked])
            case MasqueradeStatement(flow=flow) | KeepSource(flow=flow):
                verdict = Masquerade() if isinstance(statement, MasqueradeStatement) else Return()
                yield Entry(_rule(statement, number, verdict), flows.asked(statement, ways(flow, True), hook))
            case _:
                pass

    def _destinations(self, statement: NatItem, number: int, hook: Hook, flows: Flows) -> Iterator[Entry]:
        match statement:
            case RedirectStatement(flow=flow, port=port):
                for protocol, ports in _by_protocol(flow.ports):
                    found = (replace(way, ports=ports) for way in ways(flow, True))
                    asked = flows.asked(statement, found, hook)
                    yield Entry(
                        _rule(statement, number, Redirect(port)), [(f, _named(one, protocol)) for f, one in asked]
                    )
            case DnatStatement():
                for family in self._families:
                    yield from self._translated(statement, number, hook, family, flows)
            case _:
                pass

    def _translated(
        self, statement: DnatStatement, number: int, hook: Hook, family: Family, flows: Flows
    ) -> Iterator[Entry]:
        addresses = self._ends.addresses(statement.target, family)
        source, to = statement.source, statement.to if statement.to is not None else ThisNode()
        parts = _by_protocol(statement.ports) if statement.port is not None else [(None, statement.ports or None)]
        for protocol, ports in parts if addresses else ():
            found = flows.of_family(statement, [Way(source, to, ports)], hook, family)
            asked: Asked = [(family, _named(one, protocol)) for one in found]
            if statement.to is None:
                asked = [(f, one._replace(exceptions=(*one.exceptions, *self._loopbacks))) for f, one in asked]
            if asked:
                verdict = self._chosen(addresses, statement.port, protocol, family, statement.text)
                yield Entry(_rule(statement, number, verdict), asked)

    # One of several destinations

    def _chosen(
        self, addresses: Sequence[int], port: int | None, protocol: int | None, family: Family, note: str
    ) -> Verdict:
        """The verdict that sends a connection to one of these addresses, all equally likely."""
        if len(addresses) == 1:
            return Dnat(addresses[0], port)
        name = self._namer.name(f"to{family.value}", f"of{len(addresses)}", f"{addresses} {port} {protocol}")
        if name not in self._choices:
            self._choices[name] = Chain(name, (), table=Table.NAT, family=family, notes=(f"one of several: {note}",))
            matches = () if protocol is None else (IsProtocol(protocol),)
            rules: list[Rule] = []
            rest = addresses
            while len(rest) > _ROW:
                half, chance = (len(rest) // 2, 2) if len(rest) % 2 == 0 else (1, len(rest))
                verdict = self._chosen(rest[:half], port, protocol, family, note)
                rules.append(Rule((*matches, OneIn(chance)), verdict, family))
                rest = rest[half:]
            for n, address in enumerate(rest):
                chances = (OneIn(len(rest) - n),) if n + 1 < len(rest) else ()
                rules.append(Rule((*matches, *chances), Dnat(address, port), family))
            self._choices[name] = replace(self._choices[name], rules=tuple(rules))
        return Goto(name)


def _rule(statement: NatItem, number: int, verdict: Verdict) -> Rule:
    return Rule((), verdict, origins=(origin(statement, Table.NAT, number),), note=statement.text)


def _by_protocol(ports: Ports) -> list[tuple[int | None, Ports]]:
    """Ports by protocol: a new port needs a rule that asks for one."""
    found: dict[int, list[object]] = {}
    for one in ports or ():
        assert not isinstance(one, MessageType), "refused: has no ports"
        found.setdefault(one.protocol, []).append(one)
    return [(protocol, tuple(several)) for protocol, several in sorted(found.items())]  # type: ignore[arg-type]


def _named(question: Question, protocol: int | None) -> Question:
    """The question with its protocol, which a set of ports does not name."""
    if protocol is None or protocols(question.matches):
        return question
    return question._replace(matches=(*question.matches, IsProtocol(protocol)))


def _loopback(family: Family) -> Prefix:
    return parse_prefix(LOOPBACKS[family])
