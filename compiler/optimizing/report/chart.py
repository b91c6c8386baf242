"""A chain before and after as a picture (SVG): where in the row packets end, who moved, and what comparing costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from html import escape

from compiler.optimizing.reorder import ChainOrder
from compiler.ordering.ordered import standing
from grammar.source import printable

_WIDTH = 960
#: Heights of the bars above and below, and of the lines between them.
_BARS, _LINES = 84, 96
#: More rules than these share a bar; more lines than these are not drawn, but those of the heaviest.
_COLUMNS, _MOST = 240, 160
_WIDEST = 36
#: Heights of the picture of costs, for each of its bars.
_COST = 26


def escaped(text: str) -> str:
    """One line of anybody's text in HTML."""
    return escape(printable(" ".join(text.split())))


def ways(order: ChainOrder) -> str:
    """Bars above: which part of the packets ends at which place, as written; below: now. Lines: where rules went."""
    height = 2 * _BARS + _LINES + 40
    top, bottom = 20 + _BARS, 20 + _BARS + _LINES
    pieces = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Where packets end, before and after">',
        *_moves(order, top, bottom),
        *_bars([order.weights[job] for job in range(order.rules)], top, -1, "was"),
        *_bars([(order.now or order.weights)[job] for job in order.ordering.row], bottom, 1, "now"),
        *_barriers(order, top, bottom),
    ]
    before, after = order.asked()
    pieces += _mean(before, order.rules, 20, top, 12, "as written, a packet is compared with")
    pieces += _mean(after, order.rules, bottom, height - 20, height - 6, "now with")
    return "\n".join([*pieces, "</svg>"])


def costs(order: ChainOrder) -> str:
    """What comparing costs a packet: as written, now, and what no order costs less than."""
    ordering, counted = order.ordering, order.counted * 10  # prices are in tenths
    rows = [("as written", ordering.written / counted, "was"), ("now", ordering.cost / counted, "now")]
    rows += [] if order.now else [("no order is below", ordering.bound / counted, "least")]
    widest = max(value for _, value, _ in rows)
    pieces = [f'<svg viewBox="0 0 {_WIDTH} {_COST * len(rows)}" role="img" aria-label="What comparing costs">']
    for at, (name, value, kind) in enumerate(rows):
        width = max(1.0, float(value / widest) * (_WIDTH - 260)) if widest else 1.0
        y = at * _COST
        pieces.append(f'<text x="120" y="{y + 17}" text-anchor="end">{name}</text>')
        pieces.append(f'<rect class="{kind}" x="130" y="{y + 5}" width="{width:.1f}" height="16" rx="2"/>')
        pieces.append(f'<text class="strong" x="{136 + width:.1f}" y="{y + 17}">{float(value):,.1f} ns</text>')
    return "\n".join([*pieces, "</svg>"])


def _x(place: float, rules: int) -> float:
    """The middle of a place in the row, from 0."""
    return (place + 0.5) * _WIDTH / rules


def _bars(weights: Sequence[Fraction], base: int, way: int, kind: str) -> Iterator[str]:
    columns = min(len(weights), _COLUMNS)
    sums = [Fraction(0)] * columns
    for place, weight in enumerate(weights):
        sums[place * columns // len(weights)] += weight
    highest, whole = max(sums), sum(sums)
    room = _WIDTH / columns
    width = min(max(room * 0.86, 0.8), _WIDEST)
    yield f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>'
    for column, share in enumerate(sums):
        if share:
            height = max(1.5, float(share / highest) * (_BARS - 6))
            y = base - height if way < 0 else base
            first, last = (-(-edge * len(weights) // columns) for edge in (column, column + 1))
            places = f"place {first + 1}" if last - first == 1 else f"places {first + 1} to {last}"
            x = (column + 0.5) * room - width / 2
            yield (
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
                f"<title>{places}: {float(share / whole):.1%} of packets</title></rect>"
            )


def _moves(order: ChainOrder, top: int, bottom: int) -> Iterator[str]:
    row, stay = order.ordering.row, standing(order.ordering.row)
    heaviest = max(order.weights, default=Fraction(0)) or Fraction(1)
    chosen = sorted(enumerate(row), key=lambda pair: (pair[1] in stay, -order.weights[pair[1]]))[:_MOST]
    middle = (top + bottom) // 2
    for place, job in reversed(chosen):
        kind = "stays" if job in stay else "moves"
        part = float(order.weights[job] / heaviest) ** 0.5
        one, two = _x(job, len(row)), _x(place, len(row))
        said = escaped(order.was[job].text)
        yield (
            f'<path class="{kind}" stroke-width="{1 + 4 * part:.1f}" opacity="{0.25 + 0.65 * part:.2f}"'
            f' d="M{one:.1f} {top}C{one:.1f} {middle} {two:.1f} {middle} {two:.1f} {bottom}">'
            f"<title>{job + 1} to {place + 1}: {said}</title></path>"
        )


def _barriers(order: ChainOrder, top: int, bottom: int) -> Iterator[str]:
    barriers = {place.start for place in order.barriers}
    for place, job in enumerate(order.ordering.row):
        if order.was[job].place.start in barriers:
            for x, y in ((_x(job, order.rules), top), (_x(place, order.rules), bottom)):
                yield f'<line class="barrier" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 5}" y2="{y + 5}"/>'


def _mean(asked: Fraction, rules: int, top: int, bottom: int, text: int, words: str) -> Iterator[str]:
    x = _x(float(asked) - 1, rules)
    yield f'<line class="mean" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
    side, near = ("end", x - 4) if x > _WIDTH / 2 else ("start", x + 4)
    said = f"{words} {float(asked):,.1f} rules"
    yield f'<text class="strong" x="{near:.1f}" y="{text}" text-anchor="{side}">{said}</text>'
