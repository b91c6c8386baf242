"""Statements of mangle and raw -> rules of base chains: all that match a packet are done, in the order of the program.

A statement is one rule for each way to meet it. Where it excepts packets, or what it does must not be done twice, it is
a chain of its own that the packet comes back from.

In raw what is not tracked comes first, then what the failsafe keeps open, then what is dropped: a packet that is
dropped has no connection to be tracked. Rules of one tool stay behind what is dropped in front of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import assert_never

from compiler.ir.effects import ClampMss, Effect, Native, NoTrack, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import NoWayBack
from compiler.ir.ruleset import Chain, Continue, Drop, Hook, Jump, Return, Rule, Table
from compiler.lower.asking import Question
from compiler.lower.flows import ANYONE, SHORT, Asked, Entry, Flows, Way, base, first_match, guarded, origin, ways
from compiler.lower.segments import Segments
from compiler.net import Family
from compiler.resources.language import (
    Both,
    DropFlow,
    DropFrom,
    Dscp,
    Either,
    End,
    MangleStatement,
    Mark,
    Mss,
    Notrack,
    Opaque,
    PortRange,
    Program,
    RawStatement,
    ThisNode,
    patterns,
)
from compiler.resources.language import Rule as ProgramRule
from compiler.resources.language import Ttl as TtlStatement

_VERSIONS = {4: Family.IPV4, 6: Family.IPV6}


def mangle_chains(program: Program, flows: Flows) -> Iterator[Chain]:
    """The base chains of mangle and what they lead to; none without a statement."""
    every: tuple[Hook, ...] = (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)
    if any(isinstance(one, Opaque) and one.hook == Hook.POSTROUTING.value for one in program.mangle):
        every += (Hook.POSTROUTING,)
    for hook in every if program.mangle else ():
        entries = []
        for n, statement in enumerate(program.mangle):
            if isinstance(statement, Opaque):
                entries.append(_as_written(statement, n, Table.MANGLE, hook, flows))
                continue
            asked = flows.asked(statement, (way for way in _flow(statement) if hook in _hooks(statement, way)), hook)
            rule = Rule((), Continue(), None, (origin(statement, Table.MANGLE, n),), None, statement.text)
            entries.append(Entry(replace(rule, effects=(_effect(statement),)), asked))
        guards, entries = guarded(entries)
        rules, chains = _each(Table.MANGLE, hook, entries)
        yield base(Table.MANGLE, hook, (*guards, *rules) if rules else ())
        yield from chains


def raw_chains(program: Program, flows: Flows, exempt: Sequence[ProgramRule]) -> Iterator[Chain]:
    """The base chains of raw and what they lead to; none without a statement. `exempt`: what is not dropped."""
    for hook in (Hook.PREROUTING, Hook.OUTPUT) if program.raw else ():
        parts = list(_raw_parts(program.raw, flows, hook, exempt))
        guards, entries = guarded([entry for untracked, dropped in parts for entry in (*untracked, *dropped)])
        rules, chains, left = list(guards), list[Chain](), iter(entries)
        for number, (untracked, dropped) in enumerate(parts, 1):
            name = f"drop-{SHORT[hook]}"
            done, more = _each(Table.RAW, hook, list(islice(left, len(untracked))), f"-p{number}" if number > 1 else "")
            rules, chains = [*rules, *done], [*chains, *more]
            drops = list(islice(left, len(dropped)))
            if number == len(parts):
                done, more = first_match(name, Table.RAW, drops)
                rules, chains = [*rules, *done], [*chains, *more]
                continue
            # Whom the failsafe keeps, a rule of one tool still sees.
            aside = Segments(f"{name}-p{number}", ["dropped before a rule of one tool"])
            for entry in drops:
                aside.add(entry.rule, entry.asked)
            made = [replace(chain, table=Table.RAW) for chain in aside.chains(Return())]
            rules.append(Rule((), Jump(made[0].name), origins=dropped[-1].rule.origins, note=made[0].notes[0]))
            chains += made
        yield base(Table.RAW, hook, rules if len(rules) > len(guards) else ())
        yield from chains


def _raw_parts(
    statements: Sequence[RawStatement], flows: Flows, hook: Hook, exempt: Sequence[ProgramRule]
) -> Iterator[tuple[list[Entry], list[Entry]]]:
    """What is not tracked, with rules of one tool among it, and what is dropped behind it, the failsafe in front. A
    rule of one tool that stands behind what is dropped begins another part: nobody knows what it does."""
    kept = [_kept(one, flows, hook) for one in exempt]
    untracked, dropped = list[Entry](), list[Entry]()
    for number, statement in enumerate(statements):
        entry = _raw(statement, number, flows, hook)
        if isinstance(statement, Opaque) and entry.asked and dropped:
            yield untracked, [*kept, *dropped]
            untracked, dropped = [], []
        if entry.asked:
            (untracked if isinstance(statement, Notrack | Opaque) else dropped).append(entry)
    yield untracked, [*kept, *dropped] if dropped else []


def _raw(statement: RawStatement, number: int, flows: Flows, hook: Hook) -> Entry:
    rule = Rule((), Drop(), None, (origin(statement, Table.RAW, number),), None, statement.text)
    match statement:
        case Notrack(flow=flow) | DropFlow(flow=flow):
            if isinstance(statement, Notrack):
                rule = replace(rule, verdict=Continue(), effects=(NoTrack(),))
            return Entry(rule, flows.asked(statement, (way for way in ways(flow) if _is_raw(way, hook)), hook))
        case DropFrom(source=source, spoofed=spoofed):
            asked: Asked = []
            if hook is Hook.PREROUTING:
                asked = flows.asked(statement, [Way(source, ANYONE)], hook)
            if spoofed:
                asked = [(f, Question((*one.matches, NoWayBack()), one.exceptions)) for f, one in asked]
            return Entry(rule, asked)
        case Opaque():
            return _as_written(statement, number, Table.RAW, hook, flows)
        case _:
            assert_never(statement)


def _as_written(statement: Opaque, number: int, table: Table, hook: Hook, flows: Flows) -> Entry:
    """A rule of one tool, in its place at its hook."""
    family = None if statement.version is None else _VERSIONS[statement.version]
    said = Native(statement.tool, statement.rule, statement.name)
    note = f"{statement.text}  # unverified"
    rule = Rule((), Continue(), None, (origin(statement, table, number),), None, note, effects=(said,))
    is_here = statement.hook == hook.value and family in (None, *flows.families)
    return Entry(rule, [(family, Question(()))] if is_here else [])


def _kept(line: ProgramRule, flows: Flows, hook: Hook) -> Entry:
    """What the failsafe keeps open: its ports are the target's, or where it names some, the source's."""
    way = Way(line.source, line.target, line.ports)
    if line.source_ports:
        protocols = [one.protocol for one in line.ports or ()]
        ranges = [
            PortRange(protocol=protocol, first=first, last=last)
            for protocol in protocols
            for first, last in line.source_ports
        ]
        way = Way(line.source, line.target, tuple(ranges), answering=True)
    return Entry(Rule((), Return(), note=line.text), flows.asked(line, [way], hook))


def _is_raw(way: Way, hook: Hook) -> bool:
    """Before routing nobody knows by which interface a packet leaves."""
    return hook is Hook.OUTPUT or not any(patterns(way.target))


def _flow(statement: MangleStatement) -> Iterator[Way]:
    assert not isinstance(statement, Opaque), "no flow"
    return ways(statement.flow)


def _hooks(statement: MangleStatement, way: Way) -> Iterator[Hook]:
    """A mark is set before routing, which may ask for it, unless the way out is what is asked for."""
    routed = not isinstance(statement, Mark) or any(patterns(way.target))
    if not routed:
        yield Hook.PREROUTING
    elif not _is_self(way.source) and not _is_self(way.target):
        yield Hook.FORWARD
    if routed and not isinstance(statement, Mark) and not (isinstance(statement, Mss) and statement.size is None):
        yield Hook.INPUT
    yield Hook.OUTPUT


def _is_self(end: End) -> bool:
    """Whether it is this node and says nothing else."""
    match end:
        case Either(ends=ends) | Both(ends=ends):
            return bool(ends) and all(map(_is_self, ends))
        case _:
            return isinstance(end, ThisNode)


def _effect(statement: MangleStatement) -> Effect:
    match statement:
        case Mark(value=value, mask=mask):
            return SetMark(value, mask)
        case Dscp(value=value):
            return SetDscp(value)
        case TtlStatement(change=change, amount=amount):
            return Ttl(Step(change), amount)
        case Mss(size=size):
            return ClampMss() if size is None else SetMss(size)
        case Opaque():
            raise AssertionError("as written")
        case _:
            assert_never(statement)


def _each(table: Table, hook: Hook, entries: Sequence[Entry], more: str = "") -> tuple[list[Rule], list[Chain]]:
    """Rules of a base chain that do what all entries say, one after the other, and the chains that they lead to, with
    `more` in their names."""
    rules: list[Rule] = []
    chains: list[Chain] = []
    for entry in entries:
        if _is_plain(entry):
            rules += [entry.rule.asking(one.matches, family) for family, one in entry.asked]
            continue
        name = f"{table.value}-{SHORT[hook]}{more}-{len(chains) + 1}"
        found = Segments(name, [entry.rule.note])
        found.add(replace(entry.rule, verdict=Return()), entry.asked)
        chains += found.chains(Return())
        rules.append(Rule((), Jump(name), origins=entry.rule.origins, note=entry.rule.note))
    return rules, [replace(chain, table=table) for chain in chains]


def _is_plain(entry: Entry) -> bool:
    """Whether the rules can stand in the base chain, one for each question."""
    twice = any(isinstance(effect, Ttl) and effect.step is not Step.SET for effect in entry.rule.effects)
    families = [family for family, _ in entry.asked]
    return not any(one.exceptions for _, one in entry.asked) and not (
        twice and (None in families or len(set(families)) < len(families)) and len(families) > 1
    )
