"""Rules of iptables that do the same and ask the same but for one thing -> one rule that asks for either.

The thing is an address (blocks that are one block together, or of which one holds the other), a port (ranges that
touch, or a list for `-m multiport`), or conntrack's state. The rules may stand apart: the later ones move up to the
first, past rules that no packet of theirs matches, or that do the same with it. Comments have to be the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import NamedTuple

from compiler.net import Family, Intervals, Prefix, parse_prefix, prefixes, union
from compiler.optimizing.chains import Chain, Rule
from compiler.optimizing.passes.cover import Entry, Query, first_other
from compiler.optimizing.passes.lines import Known, Line
from compiler.optimizing.passes.rewriting import Edit, cut, rewritten
from compiler.optimizing.passes.shadow import counted_at_the_end
from compiler.optimizing.readers.iptables_regions import Asking, asks_a_family, parts, port_spans
from compiler.ordering.dimensions import STATES
from compiler.ordering.prices import Tool
from grammar.iptables import Command, Option

#: Ports that a list of -m multiport has room for; a range takes two places (linux/netfilter/xt_multiport.h).
SLOTS = 15
_FAR = 1 << 62
_SIDES = {"--sport": "--sports", "--dport": "--dports", "--sports": "--sports", "--dports": "--dports"}
_PROTOCOLS = ("tcp", "udp", "sctp")


class Merge(NamedTuple):
    """Rules, by their numbers, and the one that stands for them in the place of the first; its counters and weight are
    still those of the first."""

    numbers: tuple[int, ...]
    rule: Rule


class _Form(NamedTuple):
    """One thing that a rule asks: rules with the same `key` differ in nothing but its `spans`. `family`: of an address;
    `asking`: of anything else, the match that it belongs to."""

    key: int
    spans: Intervals
    option: Option
    family: Family | None = None
    asking: Asking | None = None


class Memory:
    """What was found out of rules of one table: kept by whoever asks several times. `open`: keys of rules that may be
    merged when they count something else."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self._forms: Known[tuple[_Form, ...]] = {}
        self._keys: dict[Hashable, int] = {}

    def forms(self, line: Line) -> tuple[_Form, ...]:
        said = line.rule.said
        if not isinstance(said, Command):
            return ()
        found = self._forms.get(id(said))
        if found is None:
            found = self._forms[id(said)] = said, tuple(_forms(line, said, self._key))
        return found[1]

    def _key(self, *words: Hashable) -> int:
        """A number for each."""
        return self._keys.setdefault(words, len(self._keys))


def merges(
    lines: Sequence[Line],
    chain: Chain,
    own: Collection[str],
    tool: Tool,
    memory: Memory,
    only: Collection[int] | None = None,
) -> list[Merge]:
    """Those that can be done at once; after them there may be more. `own`: chains of the table that rules may lead to;
    `only`: numbers of rules one of which is among them."""
    alike: dict[int, list[tuple[int, _Form]]] = {}
    for number, line in enumerate(lines):
        for form in memory.forms(line):
            alike.setdefault(form.key, []).append((number, form))
    several = [
        members
        for key, members in alike.items()
        if len(members) > 1 and (only is None or key in memory.open or any(number in only for number, _ in members))
    ]
    if not several:
        return []
    several.sort(key=lambda members: members[0][1].family is None)  # a longer list of ports is asked for longer
    barred = _barred(lines, {number for members in several for number, _ in members})
    taken: set[int] = set()
    found: list[Merge] = []
    for members in several:
        for run in _runs([one for one in members if one[0] not in taken], barred):
            for group, spans in _groups(run):
                merge = _merge(group, spans, lines, own, tool)
                # One that is asked for longer than the first of its rules is judged when nothing else changes.
                if merge is None:
                    continue
                if _is_cheap(merge, lines, tool) or (not found and _saves(merge, lines, chain, tool)):
                    taken.update(merge.numbers)
                    found.append(merge)
                else:
                    memory.open.add(members[0][1].key)
    return found


def _barred(lines: Sequence[Line], wanted: Collection[int]) -> dict[int, int]:
    """For each of these the last rule in front of it that it cannot move past, or -1."""
    entries = [
        Entry(box, -number, lines[number].rule.does if lines[number].plain else None)
        for number in reversed(range(len(lines)))
        for box in lines[number].touched
    ]
    numbers = [number for number in sorted(wanted) for _ in lines[number].touched]
    queries = [
        Query(box, -number, _FAR, (lines[number].rule.does,) if lines[number].plain else ())
        for number in sorted(wanted)
        for box in lines[number].touched
    ]
    found = dict.fromkeys(wanted, -1)
    for number, other in zip(numbers, first_other(entries, queries), strict=True):
        found[number] = max(found[number], -1 if other is None else -other)
    return found


def _runs(members: Sequence[tuple[int, _Form]], barred: dict[int, int]) -> Iterator[list[tuple[int, _Form]]]:
    """Members that can all move up to the first of them. Jumps that some packet takes both of are not among them, since
    one jump in place of two would not be the same."""
    run: list[tuple[int, _Form]] = []
    for one in members:
        if run and barred[one[0]] >= run[0][0]:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


# What differs


def _forms(line: Line, command: Command, key: Callable[..., int]) -> Iterator[_Form]:
    """Of a rule that may be merged."""
    if line.asked.barrier or not line.region.calm or asks_a_family(command):
        return
    if not line.asked.ends and not line.asked.to:
        return
    header, matches = parts(command)
    atoms = [("", _atom(option)) for option in header] + [
        (one.name, frozenset(map(_atom, one.options))) for one in matches
    ]
    rest = (line.rule.does, line.asked.ends)
    for number, option in enumerate(header):
        if option.name in ("-s", "-d") and not option.negated and (prefix := _prefix(option)):
            others = frozenset(atoms[:number] + atoms[number + 1 :])
            last = prefix.base | (1 << prefix.family.bits - prefix.length) - 1
            alike = key(option.name, rest, others, prefix.version)
            yield _Form(alike, ((prefix.base, last),), option, family=prefix.family)
    for number, asking in enumerate(matches, len(header)):
        for option in asking.options:
            spans = _spans(asking, option)
            if spans:
                left = frozenset(_atom(one) for one in asking.options if one is not option)
                others = frozenset(atoms[:number] + atoms[number + 1 :] + ([(asking.name, left)] if left else []))
                side = _SIDES.get(option.name, option.name)
                yield _Form(key(side, rest, others), spans, option, asking=asking)


def _atom(option: Option) -> Hashable:
    return option.name, option.negated, *(word.text for word in option.values)


def _prefix(option: Option) -> Prefix | None:
    text = option.values[0].text if len(option.values) == 1 else ""
    try:
        return parse_prefix(text if "/" in text else f"{text}/{128 if ':' in text else 32}")
    except ValueError:
        return None


def _spans(asking: Asking, option: Option) -> Intervals:
    """() where there is nothing to merge."""
    if option.negated or len(option.values) != 1:
        return ()
    text = option.values[0].text
    try:
        if option.name in _SIDES and asking.name in (*_PROTOCOLS, "multiport"):
            return port_spans(text)
        if option.name == "--ctstate" and asking.name in ("conntrack", "state"):
            states = [STATES[word.lower()] for word in text.split(",")]
            return union(*(((one, one),) for one in states)) if max(states) < STATES["snat"] else ()
    except (ValueError, KeyError):
        pass
    return ()


# What becomes of it


def _groups(run: Sequence[tuple[int, _Form]]) -> Iterator[tuple[list[tuple[int, _Form]], Intervals]]:
    """Members that become one, with its spans."""
    family = run[0][1].family
    if family is not None:
        blocks = prefixes(union(*(form.spans for _, form in run)), family)
        bases = [block.base for block in blocks]
        held: dict[int, list[tuple[int, _Form]]] = {}
        for one in run:
            held.setdefault(bisect_right(bases, one[1].spans[0][0]) - 1, []).append(one)
        for at, members in held.items():
            yield members, ((bases[at], bases[at] + (1 << family.bits - blocks[at].length) - 1),)
        return
    members, spans = list[tuple[int, _Form]](), Intervals()
    for one in run:
        both = union(spans, one[1].spans)
        if members and _slots(both) > SLOTS:
            yield members, spans
            members, both = [], one[1].spans
        members.append(one)
        spans = both
    yield members, spans


def _slots(spans: Intervals) -> int:
    return sum(1 if low == high else 2 for low, high in spans)


def _merge(
    group: Sequence[tuple[int, _Form]], spans: Intervals, lines: Sequence[Line], own: Collection[str], tool: Tool
) -> Merge | None:
    numbers = tuple(number for number, _ in group)
    if len(numbers) == 1:
        return None
    number, form = group[0]
    rule = lines[number].rule
    assert isinstance(rule.said, Command)
    new = rewritten(rule, rule.said, _edits(rule.said, form, spans), own)
    most = sum(lines[number].asked.most(tool) for number in numbers)
    return Merge(numbers, new) if new.asked.most(tool) <= most else None


def _is_cheap(merge: Merge, lines: Sequence[Line], tool: Tool) -> bool:
    return merge.rule.asked.cost(tool) <= lines[merge.numbers[0]].asked.cost(tool)


def _saves(merge: Merge, lines: Sequence[Line], chain: Chain, tool: Tool) -> bool:
    """Whether those that come to the first of the rules would pay no more than those that come to each pay now."""
    least = [counted_at_the_end(chain)]  # that come to each rule, from the last one on
    most = least[:]  # if all those for whom a jump was counted ended there
    for line in reversed(lines):
        least.append(least[-1] + (line.rule.matched if line.asked.ends else 0))
        most.append(most[-1] + (line.rule.matched if line.asked.ends or line.asked.to else 0))
    least.reverse()
    most.reverse()
    before = sum(least[number] * lines[number].asked.cost(tool) for number in merge.numbers)
    return most[merge.numbers[0]] * merge.rule.asked.cost(tool) <= before


def _edits(command: Command, form: _Form, spans: Intervals) -> Iterator[Edit]:
    """The rule of this form, with these spans in the place of its own."""
    option, value = form.option, form.option.values[0].place
    if form.family is not None:
        ((low, high),) = spans
        length = form.family.bits + 1 - (high - low + 1).bit_length()
        if length:
            yield value.start, value.end, str(Prefix(form.family.value, low, length))
        else:
            yield cut(command, option)
        return
    if option.name == "--ctstate":
        names = [name.upper() for name, state in STATES.items() if any(low <= state <= high for low, high in spans)]
        yield value.start, value.end, ",".join(names)
        return
    ports = ",".join(f"{low}" if low == high else f"{low}:{high}" for low, high in spans)
    asking = form.asking
    assert asking is not None
    if asking.name == "multiport" or len(spans) == 1:
        yield value.start, value.end, ports
        return
    ports = f"-m multiport {_SIDES[option.name]} {ports}"
    if len(asking.options) == 1:
        yield option.place.start, option.place.end, ports
        if asking.named is not None:
            yield cut(command, asking.named)
        return
    yield cut(command, option)
    end = max(one.place.end for one in asking.options)
    yield end, end, f" {ports}"
