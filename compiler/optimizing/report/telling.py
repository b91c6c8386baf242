"""What passes did to rules, in words."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.optimizing.passes.simplify import Change, Why
from grammar.ruletext import Place

#: So many lines are named, if there are more.
_NAMED = 8
#: So many characters of a rule are shown.
_LONGEST = 200


def told(change: Change) -> str:
    """In a line that begins with the place of the rule."""
    first, *others = change.places
    where = first.span.file_line
    match change.why:
        case Why.MERGED:
            return f"{where}: one rule with {_listed(others)}: {_short(change.text)}"
        case Why.REWRITTEN:
            return f"{where}: {change.why.value}: {change.text}"
    return f"{where}: removed: {change.why.value}, {_because(change)}: {change.text}"


def _short(text: str) -> str:
    """Sets may be as long as they like."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def _because(change: Change) -> str:
    if not change.by and not change.policy:
        return "no rule that leads to its chain lets one through"
    if change.why is Why.UNREACHED:
        return f"{_listed(change.by)} {'matches' if len(change.by) == 1 else 'match'} all that it may match"
    who = [_listed(change.by)] if change.by else []
    who += ["the policy"] if change.policy else []
    return f"{' and '.join(who)} {'does' if len(change.by) + change.policy == 1 else 'do'} the same"


def _listed(places: Sequence[Place]) -> str:
    """`line 3`, `lines 3, 5 and 9`."""
    numbers = [str(place.span.line) for place in places]
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    more = len(numbers) - _NAMED
    if more > 1:
        return f"lines {', '.join(numbers[:_NAMED])} and {more} more"
    return f"lines {', '.join(numbers[:-1])} and {numbers[-1]}"
