"""Are packets that meet one question sure not to meet another? Of many questions at once, those that may meet are
looked for by the numbers that tell most questions apart."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from compiler.ir.match import Field, FromPorts, Inbound, InPrefix, Match, Outbound, ToAnyPort, ToPorts, protocols
from compiler.lower.asking import Question
from compiler.net import Family

#: What is asked of packets: in which family (None: the same of both), and what.
Asked = Sequence[tuple[Family | None, Question]]
#: So many questions are looked at for one; where more may meet it, they are taken to.
_MOST = 64


class Heads:
    """Questions, each of which lets packets into a list of its own."""

    def __init__(self) -> None:
        self._by_field: dict[Field, list[tuple[int, int, int]]] = {Field.DESTINATION: [], Field.SOURCE: []}
        self._widest = dict.fromkeys(self._by_field, 0)
        self._others: list[int] = []
        self._all: list[tuple[Family | None, Question]] = []

    def add(self, asked: Asked) -> None:
        """More of them."""
        for family, question in asked:
            place = len(self._all)
            self._all.append((family, question))
            for field, found in self._by_field.items():
                span = _addresses(question, field)
                if span is not None:
                    insort(found, (*span, place))
                    self._widest[field] = max(self._widest[field], span[1] - span[0])
                    break
            else:
                self._others.append(place)

    def are_apart(self, asked: Asked) -> bool:
        """Whether no packet meets one of these and one of those that are known, as far as that is quickly seen."""
        for family, question in asked:
            near = self._others + [place for field in self._by_field for place in self._near(question, field)]
            if len(near) > _MOST or not all(_apart((family, question), self._all[place]) for place in near):
                return False
        return True

    def _near(self, question: Question, field: Field) -> Iterator[int]:
        """Known questions that the field does not tell apart, and perhaps some that it does."""
        found, span = self._by_field[field], _addresses(question, field)
        first, end = 0, len(found)
        if span is not None:
            first, end = bisect_left(found, (span[0] - self._widest[field],)), bisect_right(found, (span[1] + 1,))
        yield from (place for _, _, place in found[first : min(end, first + _MOST + 1)])


def _addresses(question: Question, field: Field) -> tuple[int, int] | None:
    """The addresses that a question asks there for, if it asks for one prefix."""
    for match in question.matches:
        if isinstance(match, InPrefix) and match.field is field:
            prefix = match.prefix
            return prefix.base, prefix.base + (1 << prefix.family.bits - prefix.length) - 1
    return None


def _apart(one: tuple[Family | None, Question], two: tuple[Family | None, Question]) -> bool:
    families = {one[0], two[0]} - {None}
    return len(families) > 1 or any(
        _exclude(a, b) for a, b in product(one[1].matches, two[1].matches) if type(a) is type(b) or protocols((a, b))
    )


def _exclude(one: Match, two: Match) -> bool:
    """Whether no packet meets both."""
    if isinstance(one, InPrefix) and isinstance(two, InPrefix):
        return one.field is two.field and not (one.prefix.covers(two.prefix) or two.prefix.covers(one.prefix))
    if isinstance(one, Inbound | Outbound) and type(one) is type(two):
        return not (_begins(one, two) or _begins(two, one))
    mine, others = protocols((one,)), protocols((two,))
    if mine and others and not mine & others:
        return True
    if isinstance(one, FromPorts) and isinstance(two, FromPorts):
        return not _meet([(one.first, one.last)], [(two.first, two.last)])
    if isinstance(one, ToPorts | ToAnyPort) and isinstance(two, ToPorts | ToAnyPort):
        return not _meet(_spans(one), _spans(two))
    return False


def _begins(one: Inbound | Outbound, two: Inbound | Outbound) -> bool:
    """Whether an interface that the first is about may be one that the second is about."""
    return two.interface.startswith(one.interface) if one.prefix else one == two


def _spans(match: ToPorts | ToAnyPort) -> Sequence[tuple[int, int]]:
    return match.spans if isinstance(match, ToAnyPort) else ((match.first, match.last),)


def _meet(some: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> bool:
    return any(low <= end and first <= high for (low, high), (first, end) in product(some, list(others)))
