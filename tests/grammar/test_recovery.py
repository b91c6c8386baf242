"""An error costs the statement that it is in, and nothing else."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from grammar import dsl
from grammar import dsl_tree as t
from grammar.dsl_recovery import Reading
from grammar.source import Flaw, Source
from tests.grammar import program_texts, programs

SETTINGS = settings(
    max_examples=int(os.environ.get("NETPOLC_EXAMPLES", "150")),
    deadline=None,
    derandomize=os.environ.get("NETPOLC_RANDOM") != "1",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

_RULES = (
    *(
        "allow a b",
        "allow a ->",
        "alow a -> b",
        "deny a -> b : tcp/",
        "deny -> b",
        "deny { a, b -> c",
        "reject a -> b with",
    ),
    *(
        "dnat a : 80 -> b",
        "deny a -> b lgo",
        "deny a -> b ; c",
        "deny pods(x=) -> a",
        'deny a -> b log "x',
        "deny a é -> b",
    ),
    *("within a -> b", "within a b {\n}", "witin a -> b {\n}", "within a -> b : tcp/ {\nleave a -> b\n}", "log a -> "),
    *("opaque x", 'opaque x iptable "a"', "leave a -> b state", "log a -> b chance 1", "deny a -> b marked x"),
    *("deny a -> b limit 5/week", "deny a -> b } deny c -> d {", "permit any", "deny a -> pods(app in (x) ) )"),
)
#: Statements with one error each, by the block that they are put into.
BROKEN: Mapping[type[t.Node], tuple[str, ...]] = {
    t.PolicyBlock: tuple(one for one in _RULES if "}" not in one),
    t.NodeBlock: tuple(one for one in _RULES if "}" not in one or "within" in one),
    t.ForwardBlock: tuple(one for one in _RULES if "}" not in one or "within" in one),
    t.NatBlock: (
        "within a -> b",
        "within a -> b chnce 1/2 {\n}",
        "dnat a -> b",
        "masquerad a",
        "snat a as",
        "redirect tcp/80",
        "keep a",
        "masquerade pods(x",
        "allow a -> b",
    ),
    t.MangleBlock: (
        "mark a",
        "dscp web",
        "ttl up 1 for a",
        "mss for a",
        "mark 0x1",
        "markk a 1",
    ),
    t.RawBlock: ("notrack", "drop spoofed a", "drop from", "track a", "drop {a, b from", "allow a -> b"),
    t.ExpectBlock: (
        "a canot reach b",
        "only a rech b",
        "a can reech b",
        "a : 80 translats to b : 80",
    ),
}
#: Definitions and blocks with one error each.
BROKEN_ITEMS = (
    *(
        "zone = a",
        "set x = { 10.0.0.1 10.0.0.2 }",
        "zone x = pods(",
        "service s = tcp/80 +",
        "include x",
        "zonne a = b",
        "}",
    ),
    *(
        "zone x = any any",
        "policy p teir admin { }",
        "polcy p { }",
        'include "x',
        "set a = { b",
        "zone x = any;",
        "natt { }",
    ),
)


def lines(tree: t.File) -> Iterator[tuple[str, t.Node | None]]:
    """The text of a tree, line by line, and the block that each line is in; a line may be put in front of any."""
    for item in tree.items:
        if isinstance(item, t.Block):
            yield _head(item), None
            yield from _inside(item, item)
            yield "}", item
        else:
            yield " ".join(program_texts.words(item)), None
    yield "", None


def _inside(block: t.Block, outermost: t.Block) -> Iterator[tuple[str, t.Node]]:
    for statement in block.statements:  # type: ignore[attr-defined]
        if isinstance(statement, t.Within):
            yield _head(statement), outermost
            yield from _inside(statement, outermost)
            yield "}", outermost
        else:
            yield " ".join(program_texts.words(statement)), outermost


def _head(block: t.Block) -> str:
    """What stands before the statements of a block."""
    empty: t.Block = dataclasses.replace(block, statements=())  # type: ignore[call-arg]
    return " ".join([*program_texts.words(empty)][:-1])


@SETTINGS
@given(st.data(), programs.files())
def test_one_error_costs_one_statement(data: st.DataObject, tree: t.File) -> None:
    written = list(lines(tree))
    at = data.draw(st.integers(0, len(written) - 1))
    block = written[at][1]
    broken = data.draw(st.sampled_from(BROKEN_ITEMS if block is None else BROKEN[type(block)]))
    assume(not (block is None and _goes_on(broken, written[at][0])))
    texts = [text for text, _ in written]
    source = Source("x.np", "\n".join([*texts[:at], broken, *texts[at:]]))
    flaws: list[Flaw] = []
    assert dsl.parse(source, flaws.append) is None
    assert len(flaws) == 1, (flaws, source.text)
    assert flaws[0].span.line in (at + 1, at + 2)
    # Of what is broken, something whole may be left: a rule before a word too many, a block with a misspelt name, a
    # list in a list without a word of its head (begin, statement, end).
    found, wanted = flat(Reading(source, dsl.parser()).tree()), flat(tree)
    extra = len(found) - len(wanted)
    assert 0 <= extra <= 3
    assert any(found[:n] + found[n + extra :] == wanted for n in range(len(wanted) + 1)), source.text


def _goes_on(broken: str, following: str) -> bool:
    """Whether what is broken would be whole with what follows."""
    return not following and broken.endswith(("+", "(", "b"))


def flat(tree: t.File) -> list[object]:
    """Blocks opened, statements, blocks closed, definitions, in their order."""
    found: list[object] = []
    for item in tree.items:
        if isinstance(item, t.Block):
            found += _flat(item)
        else:
            found.append(item)
    return found


def _flat(block: t.Block) -> Iterator[object]:
    """The same of one block."""
    yield dataclasses.replace(block, statements=())  # type: ignore[call-arg]
    for statement in block.statements:  # type: ignore[attr-defined]
        yield from _flat(statement) if isinstance(statement, t.Within) else (statement,)
    yield "}"


@pytest.mark.parametrize("broken", ["zone a = { b", "policy p { deny a -> b", "zone a = pods(x"])
def test_a_bracket_that_is_never_closed_is_one_error(broken: str) -> None:
    flaws: list[Flaw] = []
    dsl.parse(Source("x.np", f"{broken}\n\nset c = {{ d }}\npolicy q {{\n  allow a -> b\n}}\n"), flaws.append)
    assert [flaw.code for flaw in flaws] == ["unclosed"]
    assert flaws[0].span.line == 1


def test_a_list_without_a_brace_ends_where_the_next_one_begins() -> None:
    source = Source("x.np", "nat {\n  within a -> b\n  within self -> any {\n  }\n}\n")
    nat = Reading(source, dsl.parser()).tree().items[0]
    assert isinstance(nat, t.NatBlock)
    (inner,) = nat.statements
    assert isinstance(inner, t.Within)
    assert inner.source.terms == (t.ThisNode(0, 0),)
