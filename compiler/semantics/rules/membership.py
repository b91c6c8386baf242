"""Which element of a set decides for a tuple of numbers, quickly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from compiler.semantics.rules.netfilter import Element, Set


class Membership:
    """Elements of equal size that begin at multiples of it share a dictionary: what most sets consist of. Disjoint
    intervals are searched by halves; whatever is left, one by one."""

    def __init__(self, content: Set) -> None:
        elements = content.elements
        self._starts: list[int] = []
        self._sorted: Sequence[Element] = ()
        self._groups: list[tuple[tuple[int, ...], dict[tuple[int, ...], Element] | None, list[Element]]] = []
        if elements and len(elements[0].box) == 1 and self._halve(elements):
            return
        self._group(elements)

    def find(self, numbers: tuple[int, ...]) -> Element | None:
        """The first element that holds the numbers, if it is a member."""
        if self._starts:
            at = bisect_right(self._starts, numbers[0]) - 1
            found = self._sorted[at] if at >= 0 else None
            return found if found is not None and numbers[0] <= found.box[0][1] else None
        for sizes, known, others in self._groups:
            if known is not None:
                key = tuple(number // size for number, size in zip(numbers, sizes, strict=True))
                found = known.get(key)
            else:
                found = next((element for element in others if _holds(element, numbers)), None)
            if found is not None:
                return found if found.member else None
        return None

    def _halve(self, elements: Sequence[Element]) -> bool:
        """Whether all are members and disjoint."""
        ordered = sorted(elements, key=lambda element: element.box[0])
        end = -1
        for element in ordered:
            if element.box[0][0] <= end or not element.member:
                return False
            end = element.box[0][1]
        self._sorted = ordered
        self._starts = [element.box[0][0] for element in ordered]
        return True

    def _group(self, elements: Iterable[Element]) -> None:
        """In the order of the first of each size: that of the elements, as far as it matters (`netfilter.Set`)."""
        groups: dict[tuple[tuple[int, ...], bool], list[Element]] = {}
        for element in elements:
            sizes = tuple([high - low + 1 for low, high in element.box])
            aligned = all(low % size == 0 for (low, _), size in zip(element.box, sizes, strict=True))
            groups.setdefault((sizes, aligned), []).append(element)
        for (sizes, aligned), found in groups.items():
            known: dict[tuple[int, ...], Element] | None = None
            if aligned:
                known = {}
                for element in found:
                    key = tuple([low // size for (low, _), size in zip(element.box, sizes, strict=True)])
                    known.setdefault(key, element)
            self._groups.append((sizes, known, found))


def _holds(element: Element, numbers: tuple[int, ...]) -> bool:
    return all(low <= number <= high for number, (low, high) in zip(numbers, element.box, strict=True))
