"""All that is wrong with a program: what one stage refuses hides what the later ones would."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from compiler.errors import Collector, InvalidInput, NetpolcError
from compiler.resources.language import NatWithin, PolicyBlock, Program, Statement, Within
from grammar.source import Flaw, Span

#: So often the rest is looked at: what is wrong with a list as a whole is told of its first statement, each time.
_MOST = 50


def every_problem(error: InvalidInput, program: Program, again: Callable[[Program], object]) -> InvalidInput:
    """`error`, which `again` has raised for the program, and what is wrong with the statements that it does not name:
    of each kind as often as it was found first, since the stages tell all of a kind at once."""
    found, codes = [error], {one.code for one in error.diagnostics}
    for _ in range(_MOST):
        rest = _without(program, {one.span for one in error.diagnostics})
        if rest == program or error.gave_up:
            break
        program = rest
        try:
            again(program)
        except InvalidInput as more:
            error = more
            if codes.isdisjoint(one.code for one in more.diagnostics):
                found.append(more)
                codes |= {one.code for one in more.diagnostics}
        except NetpolcError:
            break
        else:
            break
    return _merged(found)


def _merged(errors: Collection[InvalidInput]) -> InvalidInput:
    problems = Collector()
    try:
        for one in (one for error in errors for one in error.diagnostics):
            problems.add(Flaw(one.span, one.message, one.code, one.excerpt), one.severity)
        problems.check()
    except InvalidInput as error:
        more = error.more + sum(one.more for one in errors)
        return InvalidInput(error.diagnostics, more, error.gave_up or any(one.gave_up for one in errors))
    raise AssertionError("an error without a problem")


def _without(program: Program, spans: Collection[Span]) -> Program:
    """The program without the statements at these places, and what is in them."""

    def kept(items: Iterable[Statement]) -> tuple[Statement, ...]:
        return tuple(within(item) for item in items if item.span not in spans)

    def within(item: Statement) -> Statement:
        match item:
            case Within() | NatWithin():
                return item.model_copy(update={"items": kept(item.items)})
            case PolicyBlock():
                return item.model_copy(update={"rules": kept(item.rules)})
            case _:
                return item

    return program.model_copy(update={name: kept(getattr(program, name)) for name in Program.model_fields})
