"""What was done to rules as one HTML page that needs nothing else: no script, no picture, no font of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from compiler.optimizing.reorder import ChainOrder, Reordered
from compiler.optimizing.report.chart import costs, escaped, ways
from compiler.optimizing.report.telling import told
from compiler.optimizing.whole import Optimized
from compiler.ordering.ordered import standing

#: So many rules of a chain that moved, and so many changes, are listed; the heaviest and the first.
_RULES, _CHANGES = 25, 1_000


def page(name: str, found: Optimized, proof: str, template: str) -> str:
    """`name`: of the text; `proof`: what is proved, or that nothing is."""
    body = [*_header(name, proof), *_figures(found)]
    if found.orders is not None:
        body += [piece for order in found.orders.chains for piece in _chain(order)]
        body += _left(found.orders)
    body += [*_changes(found), *_notes(found)]
    return template.replace("<!--TITLE-->", escaped(f"Rules of {name}")).replace("<!--BODY-->", "\n".join(body))


def _header(name: str, proof: str) -> Iterator[str]:
    yield f"<header><h1>Rules of {escaped(name)}</h1><p>{escaped(proof)}</p>"
    yield "<p>Bars: which part of a chain's packets ends at which place, above as written, below now. Lines: where"
    yield "rules went, green those that moved. Red: nothing moves past.</p></header>"


def _figures(found: Optimized) -> Iterator[str]:
    yield '<div class="figures">'
    if found.orders is not None and found.orders.chains:
        orders = [order.ordering for order in found.orders.chains]
        written = sum((one.written for one in orders), Fraction(0))
        saved = 1 - sum((one.cost for one in orders), Fraction(0)) / (written or 1)
        yield f"<div><b>{float(saved) if written else 0:.1%}</b><span>less comparing by the order</span></div>"
        moved, rules = (sum(of) for of in zip(*((o.moved, o.rules) for o in found.orders.chains), strict=True))
        yield f"<div><b>{moved:,}</b><span>of {rules:,} rules moved</span></div>"
        proven = sum(not order.now and order.ordering.optimal for order in found.orders.chains)
        yield f"<div><b>{proven:,}</b><span>of {len(orders):,} chains proved optimal</span></div>"
    if found.simplified.changes:
        fewer = 1 - found.after / (found.before or 1)
        yield f"<div><b>{found.simplified.gone:,}</b><span>rules fewer, {float(fewer):.1%} less by that</span></div>"
    yield "</div>"


def _chain(order: ChainOrder) -> Iterator[str]:
    yield f'<section><div class="head"><h2>{escaped(order.table)} {escaped(order.chain)}</h2>'
    if not order.counted:
        yield f'<span class="soft">{order.rules:,} rules; no packet ended here</span></div></section>'
        return
    yield f'<span class="soft">{order.rules:,} rules, {order.moved:,} moved, {float(order.counted):,.0f} packets</span>'
    yield f"{_badge(order)}</div>"
    yield ways(order)
    yield costs(order)
    yield from _moved(order)
    yield "</section>"


def _badge(order: ChainOrder) -> str:
    if order.now:
        return '<span class="badge soft">guessed: rules that do the same swapped (--relax)</span>'
    if order.ordering.optimal:
        return '<span class="badge good">optimal</span>'
    return f'<span class="badge">at most {float(order.ordering.gap):.2%} above the best</span>'


def _moved(order: ChainOrder) -> Iterator[str]:
    stay = standing(order.ordering.row)
    moved = [(place, job) for place, job in enumerate(order.ordering.row) if job not in stay]
    if not moved:
        return
    moved.sort(key=lambda pair: (-order.weights[pair[1]], pair[0]))
    more = f", the {_RULES} heaviest" if len(moved) > _RULES else ""
    yield f"<details><summary>Rules that moved{more}</summary><table>"
    yield '<tr><th class="number">from</th><th class="number">to</th><th class="number">packets</th><th>rule</th></tr>'
    for place, job in moved[:_RULES]:
        numbers = "".join(f'<td class="number">{one:,}</td>' for one in (job + 1, place + 1))
        weight = f'<td class="number">{float(order.weights[job]):,.0f}</td>'
        yield f"<tr>{numbers}{weight}<td><code>{escaped(order.was[job].text)}</code></td></tr>"
    yield "</table></details>"


def _changes(found: Optimized) -> Iterator[str]:
    changes = sorted(found.simplified.changes, key=lambda change: change.places[0].start)
    if not changes:
        return
    yield f"<section><h2>Rules that went or became others: {len(changes):,}</h2>"
    yield from _list(told(change) for change in changes[:_CHANGES])
    if len(changes) > _CHANGES:
        yield f'<p class="soft">and {len(changes) - _CHANGES:,} more</p>'
    yield "</section>"


def _left(orders: Reordered) -> Iterator[str]:
    barriers = [place for order in orders.chains for place in order.barriers]
    if barriers:
        yield "<section><h2>Nothing moves past these</h2>"
        yield from _list(f"{place.span.file_line}: {place.text}" for place in barriers)
        yield "</section>"
    if orders.left:
        yield "<section><h2>Chains that stay as they are</h2>"
        yield from _list(f"{table} {chain}: {why}" for table, chain, why in orders.left)
        yield "</section>"


def _notes(found: Optimized) -> Iterator[str]:
    notes = [*found.listing.notes]
    notes += [f"no packet comes to {table} {chain}; it stays" for table, chain in found.simplified.deserted]
    if notes:
        yield "<section><h2>Also</h2>"
        yield from _list(notes)
        yield "</section>"


def _list(lines: Iterable[str]) -> Iterator[str]:
    yield "<ul>"
    yield from (f"<li><code>{escaped(line)}</code></li>" for line in lines)
    yield "</ul>"
