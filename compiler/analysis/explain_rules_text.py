"""The ways of connections through rules, as text to read."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.analysis.explain import Answer
from compiler.analysis.explain_rules import Journey, Passage
from compiler.analysis.explain_ways import Miss
from compiler.analysis.quotes import title
from compiler.semantics.diagrams.space import Path, address_text
from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP
from compiler.semantics.rules.journey import Step, Stop
from compiler.semantics.rules.netfilter import (
    Accept,
    Continue,
    Drop,
    Element,
    End,
    Field,
    Goto,
    In,
    Jump,
    NoTrack,
    Return,
    Rewrite,
    Rule,
    SetHops,
    SetMark,
    Translate,
    Verdict,
)
from compiler.semantics.verdict import Because, Direction, Ruling
from grammar.source import printable

_WHERE = {Path.FORWARD: "forwarded", Path.INPUT: "to the node itself", Path.OUTPUT: "from the node itself"}
#: Columns of a rule's text that are shown at most, and those behind which places are not lined up.
_WIDTH, _COLUMN = 110, 90
PROTOCOL_NAMES = {ICMP: "icmp", ICMPV6: "icmpv6", TCP: "tcp", UDP: "udp", SCTP: "sctp"}
#: Statements of rules without a verdict that are worth showing.
_CHANGES = SetMark | NoTrack | SetHops | Rewrite | Translate


def text(answer: Answer, journey: Journey | None) -> Iterator[str]:
    """The lines about one answer."""
    if journey is None:
        yield "rules: none of these connections comes by this node"
        return
    if not journey.passages:
        yield "rules: no node of the input is on the way"
        return
    if answer.count > 1:
        yield f"one of these connections, {journey.source} -> {journey.destination}:"
    for n, passage in enumerate(journey.passages):
        if n:
            yield ""
        yield from _passage(passage)
    if journey.destination.holder is not None and any(End.SOURCE in p.changed_ends for p in journey.passages):
        yield "NAT gives it another source on its way to a pod: policies behind that see the new address"


def disagreements(journey: Journey | None) -> Iterator[str]:
    """One sentence for each node where the rules do not do what the policies say."""
    for passage in journey.passages if journey is not None else ():
        if passage.agrees is False:
            where = f"at {passage.node}" if passage.node is not None else "there"
            if passage.ways.passed is not passage.said.allowed:
                found, wanted = ("pass", "deny") if passage.ways.passed else ("drop", "allow")
                yield f"the rules {where} {found} {passage.packet}, which the policies {wanted}"
            else:
                yield f"the rules {where} drop replies of {passage.packet}, which the policies allow"


def _passage(passage: Passage) -> Iterator[str]:
    whose = f"rules of {passage.node}" if passage.node is not None else "rules of every pod"
    beyond = "" if passage.arrives else ", but it does not get there"
    yield f"{whose} {_do(passage)} ({_WHERE[passage.path]}){beyond}"
    yield from (f"  {line}" for line in _way(passage))
    yield from (f"  {line}" for line in _missed(passage))
    yield from (f"  {line}" for line in _unknown(passage))
    yield from (f"  {line}" for line in _policies(passage))
    if passage.replies is not None:
        yield from (f"  {line}" for line in _replies(passage.replies))


def _do(passage: Passage) -> str:
    would = "" if passage.arrives else "would "
    if passage.ways.passed is None:
        return "give no answer that is known here"
    if passage.ways.passed:
        return f"{would}let it pass"
    assert passage.ways.trace is not None
    stop = passage.ways.trace.stops[-1]
    last = stop.steps[-1].verdict if not stop.by_policy else None
    if isinstance(last, Drop) and last.rejected:
        return f"{would}reject it" + (f" with {last.kind}" if last.kind else "")
    return f"{would}drop it"


def _way(passage: Passage) -> Iterator[str]:
    """Chain by chain, each rule and element with its place."""
    stops = passage.ways.trace.stops if passage.ways.trace is not None else ()
    shown = [(stop, steps) for stop in stops if (steps := telling(stop)) or not stop.passed]
    if not shown and passage.ways.trace is not None:
        hooks = ", ".join(dict.fromkeys(stop.hook.value for stop in stops))
        policies = f"the chains of {hooks} end with their policy, accept" if stops else "no chain of them is on its way"
        yield f"no rule says anything of it: {policies}"
    rows = [row for stop, steps in shown for row in _rows(stop, steps)]
    column = max((len(said) for said, place in rows if place and len(said) <= _COLUMN), default=0)
    yield from (f"{said:<{column}}  {place}" if place else said for said, place in rows)


def _rows(stop: Stop, steps: tuple[Step, ...]) -> Iterator[tuple[str, str]]:
    chain = ""
    for n, step in enumerate(steps):
        if step.chain.name != chain or not n:
            chain = step.chain.name
            yield _chain(stop, step), ""
        yield f"  {_line(step.rule.place.text)}", step.rule.place.span.file_line
        if step.element is not None and not _is_within(step.element, step.rule):
            yield f"    {_element(step.element)}", step.element.place.span.file_line
    if stop.by_policy:
        policy = "accept" if stop.passed else "drop"
        yield f"end of {stop.hook.value}, chain {printable(stop.chain.name)}: {policy}, its policy", ""


def _chain(stop: Stop, step: Step) -> str:
    name = f"chain {printable(step.chain.name)}"
    return f"{stop.hook.value}, {name} of table {printable(step.table.name)}" if step.chain is stop.chain else name


def _missed(passage: Passage) -> Iterator[str]:
    """The members that a set lacks are what a packet is dropped for, or passes against the policies."""
    if passage.ways.missed and (passage.ways.passed is False or passage.agrees is False):
        for miss in passage.ways.missed:
            yield f"not in {printable(miss.name)}: {key_text(miss, passage.packet.version)}"


def key_text(miss: Miss, version: int) -> str:
    """As its tool writes a key: `10.0.0.1 . tcp . 80`, or `10.0.0.1,tcp:80`."""
    numbers = [_number_text(field, number, version) for field, number in miss.key]
    if not miss.ipset:
        return " . ".join(numbers)
    behind = [":" if field is Field.PROTOCOL else "," for field, _ in miss.key]
    return "".join(f"{number}{mark}" for number, mark in zip(numbers, behind, strict=True)).rstrip(":,")


def _number_text(field: Field, number: int, version: int) -> str:
    match field:
        case Field.SOURCE | Field.DESTINATION:
            return address_text(version, number)
        case Field.PROTOCOL:
            return PROTOCOL_NAMES.get(number, str(number))
        case _:
            return str(number)


def _unknown(passage: Passage) -> Iterator[str]:
    ways = passage.ways
    if ways.stuck is not None:
        what, rule = ways.stuck
        yield f"{printable(what)} is not understood ({rule.place.span.file_line}): {_line(rule.place.text)}"
    for test, rule in ways.assumed.items():
        matters = ways.passed is None
        which = "and the verdict depends on it" if matters else "and of no consequence"
        shown = ", shown as if it did not hold" if matters else ""
        yield f"not known here, {which}: {printable(test)} ({rule.place.span.file_line}){shown}"
    if passage.translated:
        yield "it gets another destination on the way, so the policies' verdict above is about another connection"


def _policies(passage: Passage) -> Iterator[str]:
    """Who is behind a drop; loudly where nobody is."""
    said = passage.said
    if passage.agrees is None or (passage.ways.passed is said.allowed and said.allowed):
        return
    if passage.ways.passed is not said.allowed:
        yield f"NOT AS THE POLICIES SAY: they {'allow' if said.allowed else 'deny'} it here{_because(said.note)}"
    for direction, ruling in said.rulings.items():
        if ruling.allowed is said.allowed and ruling.because is not Because.NO_SUBJECT:
            yield f"{direction.value.lower()} is {ruling_text(direction, ruling)}"


def ruling_text(direction: Direction, ruling: Ruling) -> str:
    """Short: the policies' own account has the places."""
    verdict = "allowed" if ruling.allowed else "denied"
    names = [title(policy) for policy in ruling.policies]
    if ruling.because is Because.RULE:
        return f"{verdict} by {direction.value.lower()}[{ruling.rule}] of {names[0]}"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{verdict}, since {ruling.because.value}{_because(', '.join(names[:3]) + more)}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _replies(replies: Passage) -> Iterator[str]:
    if replies.ways.passed is None:
        yield "replies: no answer"
        yield from (f"  {line}" for line in (*_way(replies), *_unknown(replies)))
    elif not replies.ways.passed:
        yield "REPLIES ARE DROPPED, which conntrack knows as parts of an accepted connection:"
        yield from (f"  {line}" for line in _way(replies))
    else:
        assert replies.ways.trace is not None
        steps = (step for stop in replies.ways.trace.stops for step in stop.steps if isinstance(step.verdict, Accept))
        by = [f"{_line(step.rule.place.text)} ({step.rule.place.span.file_line})" for step in steps]
        yield f"replies pass: {'; '.join(by) if by else 'no rule is against packets of known connections'}"


def telling(stop: Stop) -> tuple[Step, ...]:
    """The steps that matter: no mere counters, no jumps into chains that had nothing to say, no RETURN that such a
    chain ends with."""
    kept: list[Step] = []
    for step in reversed(stop.steps):
        match step.verdict:
            case None | Continue():
                matters = any(isinstance(part, _CHANGES) for part in step.rule.parts)
            case Jump(name):
                matters = bool(kept) and kept[-1].chain.name == name
            case Return():
                matters = not _is_bare_end(step)
            case _:
                matters = True
        if matters:
            kept.append(step)
    return tuple(reversed(kept))


def _is_bare_end(step: Step) -> bool:
    conditions = [part for part in step.rule.parts[:-1] if not (isinstance(part, In) and part.field is Field.FAMILY)]
    return step.chain.base is None and step.rule is step.chain.rules[-1] and not conditions


def _element(element: Element) -> str:
    found = _line(element.place.text)
    return f"{found} : {verdict_text(element.verdict)}" if element.verdict is not None else found


def _is_within(element: Element, rule: Rule) -> bool:
    """Whether the rule itself lists it."""
    one, whole = element.place, rule.place
    return one.source is whole.source and whole.start <= one.start < whole.end


def verdict_text(verdict: Verdict) -> str:
    match verdict:
        case Jump(name) | Goto(name):
            return f"{type(verdict).__name__.lower()} {printable(name)}"
        case _:
            return type(verdict).__name__.lower()


def _line(found: str) -> str:
    whole = " ".join(printable(found.replace("\n", " ").replace("\t", " ")).split())
    return whole if len(whole) <= _WIDTH else f"{whole[: _WIDTH - 3]}..."
