"""Every program that is shown to users: it parses, and stands in the one layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grammar import dsl
from grammar.dsl_literals import ANSWERS, DSCP_CLASSES, PROTOCOLS
from grammar.dsl_words import RESERVED
from grammar.format import format_file
from grammar.source import Flaw, Source

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = (ROOT / "docs" / "DSL.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^```np\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)
EXAMPLES = sorted((ROOT / "fixtures" / "examples").rglob("*.np"))


@pytest.mark.parametrize("text", SHOWN, ids=lambda text: text.split()[0])
def test_the_reference(text: str) -> None:
    _judge(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    _judge(path.read_text(encoding="utf-8"))


def _judge(text: str) -> None:
    flaws: list[Flaw] = []
    source = Source("example.np", text)
    tree = dsl.parse(source, flaws.append)
    assert flaws == []
    assert tree is not None
    assert format_file(source, tree) == text


def test_there_are_examples_of_everything() -> None:
    assert {"home-router", "web-server", "edge-node", "docker-host"} <= {path.stem for path in EXAMPLES}
    for path in EXAMPLES:
        blocks = set(re.findall(r"^\w+", path.read_text(encoding="utf-8"), re.MULTILINE))
        assert path.stem in ("services", "guard", "nat") or {"node", "nat", "mangle", "raw", "expect"} <= blocks
    assert {text.split()[0] for text in SHOWN} == {
        *("set", "service", "zone", "policy", "forward", "nat", "mangle", "raw", "expect")
    }


def test_the_reference_knows_all_words() -> None:
    words = set(re.findall(r"[a-z][a-z0-9-]*", REFERENCE))
    assert words >= RESERVED
    assert words >= PROTOCOLS | ANSWERS
    assert words >= {one for one in DSCP_CLASSES if not re.fullmatch(r"(cs|af)\d+", one)}
