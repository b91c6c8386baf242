"""What a rule of nftables asks and does -> conditions and statements.

nft adds what a question presupposes: `tcp dport` asks for the protocol first, `ip saddr` in an inet table for the
family. So does this. Packets are taken to be long enough to have the header that a rule looks into.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from compiler.semantics.rules import same_words
from compiler.semantics.rules.netfilter import (
    WITH_PORTS,
    Accept,
    Barrier,
    Condition,
    Continue,
    Drop,
    Field,
    Goto,
    In,
    InSet,
    Interval,
    Jump,
    Key,
    Lookup,
    Opaque,
    Return,
    SetMark,
    Statement,
    Unmodelled,
    Verdict,
)
from compiler.semantics.rules.nftables_statements import statement
from compiler.semantics.rules.nftables_values import interval, top_of
from compiler.semantics.rules.numbers import complement, normal, unmasked
from grammar import nftables_tree as tree
from grammar.ruletext import Place, Refused


class Question(NamedTuple):
    """What a selector asks: the field, nft's type of its values, and what it presupposes."""

    field: Field
    kind: str
    family: int | None = None
    protocol: int | None = None


def _ports(protocol: int | None) -> tuple[Question, Question]:
    return (
        Question(Field.SOURCE_PORT, "inet_service", None, protocol),
        Question(Field.DESTINATION_PORT, "inet_service", None, protocol),
    )


QUESTIONS = {
    "ip saddr": Question(Field.SOURCE, "ipv4_addr", 4),
    "ip daddr": Question(Field.DESTINATION, "ipv4_addr", 4),
    "ip6 saddr": Question(Field.SOURCE, "ipv6_addr", 6),
    "ip6 daddr": Question(Field.DESTINATION, "ipv6_addr", 6),
    "ip protocol": Question(Field.PROTOCOL, "inet_proto", 4),
    "ip ttl": Question(Field.HOPS, "integer", 4),
    "ip6 hoplimit": Question(Field.HOPS, "integer", 6),
    "icmp type": Question(Field.ICMP_TYPE, "icmp_type", 4, 1),
    "icmp code": Question(Field.ICMP_CODE, "icmp_code", 4, 1),
    "icmpv6 type": Question(Field.ICMP_TYPE, "icmpv6_type", 6, 58),
    "icmpv6 code": Question(Field.ICMP_CODE, "icmpv6_code", 6, 58),
    "meta nfproto": Question(Field.FAMILY, "nf_proto"),
    "meta protocol": Question(Field.FAMILY, "ether_type"),
    "meta l4proto": Question(Field.PROTOCOL, "inet_proto"),
    "meta mark": Question(Field.MARK, "mark"),
    "iifname": Question(Field.INPUT, "ifname"),
    "oifname": Question(Field.OUTPUT, "ifname"),
    "iif": Question(Field.INPUT, "iface_index"),
    "oif": Question(Field.OUTPUT, "iface_index"),
    "ct state": Question(Field.STATE, "ct_state"),
    "fib saddr type": Question(Field.SOURCE_TYPE, "fib_addrtype"),
    "fib daddr type": Question(Field.DESTINATION_TYPE, "fib_addrtype"),
}
for _name, _number in {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136, "th": None}.items():
    QUESTIONS[f"{_name} sport"], QUESTIONS[f"{_name} dport"] = _ports(_number)


class Sets(NamedTuple):
    """What rules need of the table's sets: `kinds` gives the types of a set's key and whether it is a verdict map, or
    raises KeyError; `has_ports` whether a set's elements are all of protocols with ports, its part of that number
    being the protocol; `add` makes an anonymous set and returns its name."""

    kinds: Callable[[str], tuple[tuple[str, ...], bool]]
    has_ports: Callable[[str, int], bool]
    add: Callable[[tuple[tree.Element, ...], tuple[str, ...], Place], str]


class RuleReader:
    """Reads one rule; `parts` collects them. `partly`: a match whose values are not understood is one that is not
    modelled, a statement one whose effect is not. Raises Refused."""

    def __init__(self, sets: Sets, table_family: str, partly: bool = False) -> None:
        self._sets = sets
        self._partly = partly
        self._table_family = table_family
        self._parts: list[Condition | Statement] = []
        self._ported = False

    def read(self, rule: tree.Rule) -> tuple[Condition | Statement, ...]:
        for part in rule.parts:
            match part:
                case tree.Match():
                    self._or_as_it_stands(part, lambda part=part: self._match(part))  # type: ignore[misc]
                case tree.VerdictMap():
                    self._lookup(part)
                case tree.Verdict():
                    self._parts.append(verdict(part))
                case tree.Unread(place):
                    raise place.refused("the rule is not understood", "unsupported")
                case tree.Statement():
                    self._or_as_it_stands(part, lambda part=part: self._statement(part))  # type: ignore[misc]
        return tuple(self._parts)

    def _or_as_it_stands(self, part: tree.Match | tree.Statement, read: Callable[[], None]) -> None:
        try:
            _tried(part.place, read)
        except Refused:
            if not self._partly:
                raise
            if isinstance(part, tree.Match):
                self._opaque(part)
            else:
                self._parts.append(Unmodelled(" ".join(part.place.text.split())))

    # Conditions

    def _match(self, part: tree.Match) -> None:
        if any(selector.name not in QUESTIONS for selector in part.left):
            self._opaque(part)
            return
        questions = self._presupposed(part.left)
        _tried(part.place, lambda: self._ask(part, questions))

    def _ask(self, part: tree.Match, questions: list[Question]) -> None:
        negated = part.operator == "!="
        match part.right:
            case tree.Named(name):
                self._in_set(part, name, questions, negated)
            case tree.Anonymous(elements) if len(questions) > 1 or part.operator not in ("", "==", "!="):
                kinds = tuple(question.kind for question in questions)
                self._in_set(part, self._sets.add(elements, kinds, part.place), questions, negated)
            case tree.Anonymous(elements):
                if any(element.verdict or len(element.key) > 1 for element in elements):
                    raise ValueError("the elements are not of one part each")
                found = normal(interval(questions[0].kind, element.key[0].plain) for element in elements)
                self._in(part.left[0], questions[0], found, negated)
            case tree.Values():
                self._values(part, part.right, questions)

    def _values(self, part: tree.Match, right: tree.Values, questions: list[Question]) -> None:
        if right.more or any(len(key) != len(questions) for key in right.alternatives):
            raise ValueError(f"{part.place.text} is not understood")
        if len(questions) > 1:
            if len(right.alternatives) > 1 or part.operator not in ("", "==", "!="):
                raise ValueError(f"{part.place.text} is not understood")
            kinds = tuple(question.kind for question in questions)
            name = self._sets.add((tree.Element(right.alternatives[0], None),), kinds, part.place)
            self._in_set(part, name, questions, part.operator == "!=")
            return
        question, selector = questions[0], part.left[0]
        if len(right.alternatives) > 1 and (question.field is not Field.STATE or part.operator):
            # `ct state != a,b` compares with the sum of both bits, which no packet has.
            raise ValueError("several values are understood in braces, and as `ct state a,b`")
        found = normal(interval(question.kind, key[0].plain) for key in right.alternatives)
        self._in(selector, question, _compared(part.operator, found, question.kind), part.operator == "!=")

    def _in(self, selector: tree.Selector, question: Question, found: tuple[Interval, ...], negated: bool) -> None:
        top = top_of(question.kind)
        found = complement(found, top) if negated else found
        mask = _mask(selector, question.kind)
        if mask is not None and (plain := unmasked(found, mask, top.bit_length())) is not None:
            found, mask = plain, None
        self._add(In(question.field, found, mask))

    def _in_set(self, part: tree.Match, name: str, questions: list[Question], negated: bool) -> None:
        if part.operator not in ("", "==", "!="):
            raise ValueError(f"{part.operator} with a set is not understood")
        self._parts.append(InSet(self._keys(part.left, questions, name, is_map=False), name, negated))

    def _keys(
        self, left: tuple[tree.Selector, ...], questions: list[Question], name: str, is_map: bool
    ) -> tuple[Key, ...]:
        try:
            kinds, found = self._sets.kinds(name)
        except KeyError:
            raise ValueError(f"there is no set {name}") from None
        if kinds != tuple(question.kind for question in questions) or found != is_map:
            raise ValueError(f"{name} has other keys: {' . '.join(kinds)}{' : verdict' * found}")
        fields = [question.field for question in questions]
        if not self._ported and any(selector.name.startswith("th ") for selector in left):
            known = Field.PROTOCOL in fields and self._sets.has_ports(name, fields.index(Field.PROTOCOL))
            if not known:
                raise ValueError("`th` needs a protocol that has ports, asked before it")
        return tuple(Key(q.field, _mask(s, q.kind)) for q, s in zip(questions, left, strict=True))

    def _lookup(self, part: tree.VerdictMap) -> None:
        for selector in part.left:
            if selector.name not in QUESTIONS:
                raise selector.place.refused(f"{selector.name} is not understood in a map", "unsupported")
        questions = self._presupposed(part.left)

        def add() -> None:
            if isinstance(part.right, tree.Anonymous):
                kinds = tuple(question.kind for question in questions)
                name = self._sets.add(part.right.elements, kinds, part.place)
            else:
                name = part.right.name
            self._parts.append(Lookup(self._keys(part.left, questions, name, is_map=True), name))

        _tried(part.place, add)

    def _presupposed(self, left: tuple[tree.Selector, ...]) -> list[Question]:
        questions = [QUESTIONS[selector.name] for selector in left]
        for question in questions:
            if question.family is not None:
                self._add(In(Field.FAMILY, ((question.family, question.family),)))
            if question.protocol is not None:
                self._add(In(Field.PROTOCOL, ((question.protocol, question.protocol),)))
        if len(left) == 1 and left[0].name.startswith("th ") and not self._ported:
            raise left[0].place.refused("`th` needs a protocol that has ports, asked before it", "unsupported")
        return questions

    def _add(self, condition: In) -> None:
        """What was asked already need not be asked again."""
        if condition.field is Field.PROTOCOL and condition.mask is None:
            self._ported |= _all_with_ports(condition.intervals)
        marked = any(isinstance(part, SetMark) for part in self._parts)
        if condition not in self._parts or marked:
            self._parts.append(condition)

    def _opaque(self, part: tree.Match) -> None:
        """What it asks is not modelled; that it presupposes a protocol is."""
        for selector in part.left:
            protocol = _HEADERS.get(selector.name.partition(" ")[0])
            if protocol is not None:
                self._add(In(Field.PROTOCOL, ((protocol, protocol),)))
        text = " ".join(part.place.text.split())
        if any(selector.name.startswith(("meta cpu", "numgen ")) for selector in part.left):
            self._parts.append(Barrier(same_words.of_chance(text)))
        else:
            negated = part.operator == "!="
            self._parts.append(Opaque(same_words.of_test(text.replace("!= ", "", 1) if negated else text), negated))

    # Statements

    def _statement(self, part: tree.Statement) -> None:
        for found in statement([word.text for word in part.words], self._table_family):
            if isinstance(found, In):
                self._add(found)
            else:
                self._parts.append(found)


#: Of these headers nft asks nothing before it has asked for the protocol.
_HEADERS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136, "icmp": 1, "icmpv6": 58}
_VERDICTS: dict[str, Verdict] = {"accept": Accept(), "drop": Drop(), "return": Return(), "continue": Continue()}


def verdict(found: tree.Verdict) -> Verdict:
    """Of the tree, the model's."""
    if found.kind == "jump":
        return Jump(found.chain)
    return Goto(found.chain) if found.kind == "goto" else _VERDICTS[found.kind]


#: What a rule ends with, in front of its comment; counters are no part of what it says.
_LAST = re.compile(r"\b(?:(accept|drop|return|continue)|(jump|goto)\s+([\w.-]+))\s*(?:comment \"[^\"]*\")?$")
_LEADS = re.compile(r"\b(?:jump|goto|vmap)\b")
_COUNTER = re.compile(r"counter( packets [0-9]+ bytes [0-9]+)?")


def unread(rule: tree.Rule) -> tuple[Condition | Statement, ...] | None:
    """A rule of which nobody knows what it asks and does: only its words, and what it ends with. None where it may lead
    to other chains."""
    text = " ".join(_COUNTER.sub("counter", rule.place.text).split())
    last = _LAST.search(text)
    words = text[: last.start()].rstrip() if last else text
    if _LEADS.search(words):
        return None
    if last is None:
        return (Unmodelled(words),)
    said = tree.Verdict(last[1] or last[2], last[3] or "", rule.place.start)
    return Barrier(words), verdict(said)


def _all_with_ports(intervals: tuple[Interval, ...]) -> bool:
    return all(number in WITH_PORTS for low, high in intervals for number in range(low, high + 1))


def _mask(selector: tree.Selector, kind: str) -> int | None:
    if selector.mask is None:
        return None
    if kind not in ("ipv4_addr", "ipv6_addr", "mark"):
        raise ValueError(f"{selector.name} with a mask is not understood")
    low, high = interval(kind, selector.mask.text)
    if low != high:
        raise ValueError(f"{selector.mask.text} is no mask")
    return low


def _compared(operator: str, found: tuple[Interval, ...], kind: str) -> tuple[Interval, ...]:
    """What a relational operator with this value means; != is left to the caller."""
    if operator in ("", "==", "!="):
        return found
    (low, high), *more = found
    if low != high or more or kind in ("ifname", "iface_index", "ct_state", "fib_addrtype", "nf_proto", "ether_type"):
        raise ValueError(f"{operator} is not understood here")
    top = top_of(kind)
    first, last = {"<": (0, low - 1), "<=": (0, low), ">": (low + 1, top), ">=": (low, top)}[operator]
    return ((first, last),) if first <= last else ()


def _tried(place: Place, read: Callable[[], None]) -> None:
    try:
        read()
    except ValueError as error:
        raise place.refused(str(error), "unsupported") from None
