"""The layout of programs: stable, nothing lost, nothing changed."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grammar import dsl
from grammar import dsl_tree as t
from grammar.format import format_file
from grammar.source import Flaw, Source
from tests.grammar import program_texts, programs
from tests.grammar.test_dsl import SAMPLE

SETTINGS = settings(
    max_examples=int(os.environ.get("NETPOLC_EXAMPLES", "150")),
    deadline=None,
    derandomize=os.environ.get("NETPOLC_RANDOM") != "1",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def parsed(text: str) -> t.File:
    flaws: list[Flaw] = []
    tree = dsl.parse(Source("test.np", text), flaws.append)
    assert not flaws, flaws[0]
    assert tree is not None
    return tree


def formatted(text: str) -> str:
    return format_file(Source("test.np", text), parsed(text))


def comments(text: str) -> list[str]:
    return [one.rstrip() for one in re.findall(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*', text) if one[0] == "#"]


@SETTINGS
@given(st.data(), programs.files())
def test_programs(data: st.DataObject, tree: t.File) -> None:
    """A tree that was written down, in any layout, is read again; laid out, too; and that is its own layout."""
    text = data.draw(program_texts.texts(tree))
    assert parsed(text) == tree
    laid_out = formatted(text)
    assert parsed(laid_out) == tree
    assert formatted(laid_out) == laid_out
    assert sorted(comments(laid_out)) == sorted(comments(text))
    judge_layout(laid_out)


def judge_layout(text: str) -> None:
    """What holds of every layout."""
    assert not text or text.endswith("\n")
    assert "\n\n\n" not in text
    assert "{\n\n" not in text
    for line in text.split("\n"):
        assert line == line.rstrip()
        assert "\t" not in line.partition('"')[0].partition("#")[0]


LONG = "10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, 10.0.0.7, 10.0.0.8, 10.0.0.9, 10.0.0.10"
CASES = {
    "nothing": ("", ""),
    "blanks": ("\n\n  \t\n", ""),
    "a comment": ("#x", "#x\n"),
    "no line end": ("zone a=self", "zone a = self\n"),
    "carriage returns": ("zone a=self\r\nzone b=any # x\r\n", "zone a = self\nzone b = any  # x\n"),
    "blank lines": ("zone a=self\n\n\n\nservice b=tcp\n", "zone a = self\n\nservice b = tcp\n"),
    "blank lines in a block": (
        "raw{\n\n\ndrop a\n\n\ndrop b\n\n\n}",
        "raw {\n  drop a\n\n  drop b\n}\n",
    ),
    "lined up": (
        'policy p { allow a->b:tcp/80 "x" deny long-name->b unless from c reject any->any }',
        """\
policy p {
  allow  a         -> b   : tcp/80 "x"
  deny   long-name -> b            unless from c
  reject any       -> any
}
""",
    ),
    "a blank line ends what is lined up": (
        "zone a=self\nzone long=any\n\nzone longer=any",
        "zone a    = self\nzone long = any\n\nzone longer = any\n",
    ),
    "too different to be lined up": (
        "node { allow pods(app in (web, api, database)) -> self allow a -> self : tcp/1 }",
        "node {\n  allow pods(app in (web, api, database)) -> self\n  allow a -> self : tcp/1\n}\n",
    ),
    "a long list": (
        f"set a = {{ {LONG} }}",
        "set a = {\n  10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, 10.0.0.7, 10.0.0.8, 10.0.0.9,\n"
        "  10.0.0.10,\n}\n",
    ),
    "a list with comments": (
        "set a = { # first\n # one\n 10.0.0.1, 10.0.0.22 # two\n , 10.0.0.3,\n\n # end\n } may be empty # last",
        """\
set a = {  # first
  # one
  10.0.0.1,
  10.0.0.22,  # two
  10.0.0.3,

  # end
} may be empty  # last
""",
    ),
    "comments everywhere": (
        "# above\nnode { # first\n # own\n allow a # in\n -> self # behind\n\n # next\n"
        " deny b -> self\n # end\n } # last\n# tail",
        """\
# above
node {  # first
  # own
  # in
  allow a -> self  # behind

  # next
  deny b -> self
  # end
}  # last
# tail
""",
    ),
    "comments in the head": ("policy # a\n p # b\n { # c\n }", "# a\n# b\npolicy p {  # c\n}\n"),
    "comments before a brace": ("set # a\n s # { b\n = # c\n {} may # d\n be empty", None),
    "a long statement": (
        "policy p { allow pods(namespace: shop, app in (web, api, backend, frontend)) -> "
        'pods(namespace: databases) : tcp/5432,5433 + udp/53 log "a prefix" "and a reason" }',
        """\
policy p {
  allow pods(namespace: shop, app in (web, api, backend, frontend)) -> pods(namespace: databases)
      : tcp/5432,5433 + udp/53 log "a prefix" "and a reason"
}
""",
    ),
    "empty blocks": ("raw{}nat{#x\n}mangle{\n#y\n}", "raw {}\nnat {  #x\n}\nmangle {\n  #y\n}\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_layouts(case: str) -> None:
    text, wanted = CASES[case]
    found = formatted(text)
    assert wanted is None or found == wanted
    assert formatted(found) == found
    assert comments(found) == comments(text)
    judge_layout(found)


def test_the_sample() -> None:
    found = formatted(SAMPLE)
    assert parsed(found) == parsed(SAMPLE)
    assert 'deny   admins -> shop            : tcp/22 log "ssh" limit 5/min\n' in found
    assert formatted(found) == found


def test_lines_are_short_where_anything_can_be_broken() -> None:
    ports = ",".join(map(str, range(20000, 20100)))
    entries = ", ".join(f"2001:db8::{n:x}" for n in range(400))
    text = f"set a = {{ {entries} }} service s = tcp/{ports} policy p {{ deny {{ {entries} }} -> any : tcp/{ports} }}"
    found = formatted(text)
    assert max(map(len, found.splitlines())) <= 100
    assert parsed(found) == parsed(text)
