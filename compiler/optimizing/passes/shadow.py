"""Rules that make no difference: those that no packet reaches, and those whose packets would fare the same without.

Both are told exactly, against unions of other rules. Whoever is asked about is found by what may match (its boxes,
maybe more than it matches); who answers for it, by what surely does. What remembers something, or does anything beside
ending a packet's way, is never among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from compiler.optimizing.chains import Chain
from compiler.optimizing.passes.counts import counts
from compiler.optimizing.passes.cover import Entry, Query, begun, first_other, held
from compiler.optimizing.passes.lines import Entered, Line, within
from compiler.ordering.prices import Tool

#: Behind every rule of a chain.
_POLICY = 1 << 62


class Shadow(NamedTuple):
    """A rule, by its number, that goes. `by`: who has its packets, by number, in their order; none where no packet
    comes to the rule. `policy`: whether the chain's policy has those that are left. `reached`: whether packets come to
    the rule at all."""

    number: int
    by: tuple[int, ...]
    policy: bool = False
    reached: bool = True


def unreached(lines: Sequence[Line], limits: Entered, only: Collection[int] | None = None) -> list[Shadow]:
    """Rules that no packet reaches, since rules in front take all that may match, or since no jump to their chain lets
    any through. `limits`: what comes into the chain; `only`: the numbers of those that are asked about."""
    if only is not None and not only:
        return []
    entries, queries, asked = list[Entry](), list[Query](), dict[int, range]()
    found: dict[int, tuple[int, ...]] = {}
    start, era = 0, 0
    for number, line in enumerate(lines):
        if line.asked.barrier:  # what comes behind may have changed there
            start, limits = number + 1, None
            continue
        wanted = only is None or number in only
        if wanted and line.region.calm and (line.asked.ends or line.asked.to):
            boxes = within(line.region.boxes, limits)
            if not boxes and not _counts(line):  # else it was reached by rules that are gone
                found[number] = ()
            elif boxes:
                asked[number] = range(len(queries), len(queries) + len(boxes))
                queries += (Query(box, start - 1, number, (None, era), line.region.asks) for box in boxes)
        if line.asked.ends and line.region.exact:
            group = era if line.region.asks else None
            entries += (Entry(box, number, group, line.region.asks) for box in line.region.boxes)
        era += not line.asked.ends  # marks, and what else a box does not speak of, may have changed
    answers = held(entries, queries)
    for number, own in asked.items():
        takers = _all(answers[n] for n in own)
        if takers is not None:  # those may be gone themselves, for what is in front of them
            by = tuple(sorted({n for one in takers for n in found.get(one, (one,))}))
            if not _counts(lines[number]) or (by and lines[by[0]].rule.counted):
                found[number] = by
    return [Shadow(number, by, reached=False) for number, by in sorted(found.items())]


def redundant(
    lines: Sequence[Line], chain: Chain, only: Collection[int] | None = None, known: Sequence[Shadow] = ()
) -> list[Shadow]:
    """Rules whose packets rules behind them, or the chain's policy, treat alike, with nothing in between that does
    something else. What would fall off the end of a chain of the table's own, where nobody counts it, is not among
    them. `only`: the numbers of those that are asked about; of the others, `known` is what was found before."""
    if only is not None and not only:
        return list(known)
    policy = chain.policy.does if chain.policy else None
    # What returns comes to the policy; but the policy, too, has counted what a rule did, which nobody could tell again.
    to_policy = [bool(policy) and line.rule.returns and not _counts(line) for line in lines]
    does = [policy if policy and at else line.rule.does for at, line in zip(to_policy, lines, strict=True)]
    plain = [line.plain for line in lines]
    others = [
        Entry(box, number, does[number] if plain[number] else None)
        for number, line in enumerate(lines)
        for box in line.touched
    ]
    same = [
        Entry(box, number, does[number], line.region.asks)
        for number, line in enumerate(lines)
        for box in (line.region.boxes if plain[number] and line.region.exact else ())
    ]
    wanted = [only is None or number in only for number in range(len(lines))]
    queries, owner = _promising(lines, does, [a and b for a, b in zip(plain, wanted, strict=True)], same, policy)
    ends = dict.fromkeys(owner, _POLICY)
    for number, other in zip(owner, first_other(others, queries), strict=True):
        ends[number] = min(ends[number], _POLICY if other is None else other)
    queries = [query._replace(before=ends[number]) for number, query in zip(owner, queries, strict=True)]
    answers: dict[int, list[tuple[int, ...] | None]] = {}
    for number, answer in zip(owner, held(same, queries), strict=True):
        answers.setdefault(number, []).append(answer)
    found = list(known)
    for number, own in answers.items():
        takers = _all(own)
        if takers is not None:
            found.append(Shadow(number, takers))
        elif policy is not None and ends[number] == _POLICY and does[number] == policy:
            found.append(Shadow(number, tuple(sorted({n for one in own for n in one or ()})), policy=True))
    return found


def _promising(
    lines: Sequence[Line], does: Sequence[str], asked: Sequence[bool], same: Sequence[Entry], policy: str | None
) -> tuple[list[Query], list[int]]:
    """What to ask about those of the `asked` rules that the policy may make needless, or others that do the same:
    queries of each box, and the rule of each."""
    queries, owner = list[Query](), list[int]()
    for number, line in enumerate(lines):
        for box in line.region.boxes if asked[number] else ():
            queries.append(Query(box, number, _POLICY, (does[number],), line.region.asks))
            owner.append(number)
    found = begun(same, queries)
    hopeless = {number for number, one in zip(owner, found, strict=True) if not one and does[number] != policy}
    left = [(query, number) for query, number in zip(queries, owner, strict=True) if number not in hopeless]
    return [query for query, _ in left], [number for _, number in left]


def _counts(line: Line) -> bool:
    """Whether it counted something, which somebody must have when the rule goes."""
    return bool(line.rule.packets or line.rule.bytes)


def _is_heir(shadow: Shadow, lines: Sequence[Line], chain: Chain) -> bool:
    """Whether who has the packets counts them as the rule did."""
    rule = lines[shadow.number].rule
    if shadow.by:
        return rule.counted == lines[shadow.by[0]].rule.counted
    return not rule.counted or (chain.policy is not None and counts(chain.policy) is not None)


def _all(answers: Iterator[tuple[int, ...] | None] | Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    found: set[int] = set()
    for one in answers:
        if one is None:
            return None
        found.update(one)
    return tuple(sorted(found))


def worth(found: Sequence[Shadow], lines: Sequence[Line], chain: Chain, tool: Tool) -> list[Shadow]:
    """Those of the redundant rules that go: where going further costs their packets no more than others gain, by what
    is counted, and who has them then has a counter when the rule has, and else not. Packets have to come to the last of
    those that have some of them; what others gain grows with each rule that goes."""
    costs = [line.asked.cost(tool) for line in lines]
    packets: list[int | Fraction] = [line.rule.matched for line in lines]
    ending = [line.asked.ends for line in lines]
    end = counted_at_the_end(chain)
    gone: dict[int, Shadow] = {}
    before = -1
    while len(gone) != before:
        before = len(gone)
        candidates = {shadow.number: shadow for shadow in found if shadow.number not in gone}
        behind = [0] * (len(lines) + 1)
        counted = end
        for number in reversed(range(len(lines))):
            if number in gone:
                behind[number] = behind[number + 1]
                continue
            if number in candidates:
                shadow = _heirs(candidates[number], gone)
                further = behind[number + 1] - (0 if shadow.policy else behind[shadow.by[-1] + 1])
                if packets[number] * further <= counted * costs[number] and _is_heir(shadow, lines, chain):
                    gone[number] = shadow
                    if shadow.by:
                        packets[shadow.by[0]] += packets[number]
                    else:
                        end += packets[number]
                    counted += packets[number]
                    behind[number] = behind[number + 1]
                    continue
            behind[number] = behind[number + 1] + costs[number]
            counted += packets[number] if ending[number] else 0
    return [_heirs(gone[number], gone) for number in sorted(gone)]


def counted_at_the_end(chain: Chain) -> int | Fraction:
    """Packets that came to the policy past all rules: it counts those that a rule returned, too."""
    returned = sum((rule.matched for rule in chain.rules if rule.returns), Fraction(0))
    return max(chain.policy.packets - returned, Fraction(0)) if chain.policy else 0


def _heirs(shadow: Shadow, gone: Mapping[int, Shadow]) -> Shadow:
    """With those that have its packets when these are gone: each of them is further back."""
    by, policy = set[int](), shadow.policy
    for number in shadow.by:
        if number in gone:
            next_ = _heirs(gone[number], gone)
            by.update(next_.by)
            policy |= next_.policy
        else:
            by.add(number)
    return shadow._replace(by=tuple(sorted(by)), policy=policy)
