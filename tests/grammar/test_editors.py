"""The grammar for editors knows the words of the language, and gives each a scope.

Editors match line by line with Oniguruma; its patterns here are such that Python reads them alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grammar.dsl_literals import ANSWERS, PROTOCOLS
from grammar.dsl_words import RESERVED
from tests.grammar.test_examples import EXAMPLES, SHOWN

ROOT = Path(__file__).resolve().parents[2]
GRAMMAR = json.loads((ROOT / "editors" / "netpolc.tmLanguage.json").read_text(encoding="utf-8"))
PLAIN = "variable.other.netpolc"


def rules(patterns: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rules of a list, those that it includes in their places."""
    for one in patterns:
        if "include" in one:
            yield from rules([GRAMMAR["repository"][one["include"].removeprefix("#")]])
        elif "match" in one or "begin" in one:
            yield one
        else:
            yield from rules(one["patterns"])


def scopes(text: str) -> dict[str, str]:
    """Word -> scope, as an editor finds them: the leftmost match of any rule, of several the first rule's."""
    found: dict[str, str] = {}
    stack: list[tuple[list[dict[str, Any]], str]] = [(GRAMMAR["patterns"], "")]
    for line in text.split("\n"):
        at = 0
        while at <= len(line):
            patterns, end = stack[-1]
            tried = [
                (re.compile(rule.get("match") or rule["begin"]).search(line, at), rule) for rule in rules(patterns)
            ]
            matches = [
                (match.start(), n, match, rule) for n, (match, rule) in enumerate(tried) if match and match.group()
            ]
            closing = re.compile(end).search(line, at) if end else None
            first = min(matches, default=None, key=lambda one: one[:2])
            if closing and (first is None or closing.start() <= first[0]):
                stack.pop()
                at = closing.end()
                continue
            if first is None:
                break
            _, _, match, rule = first
            named = {**rule.get("captures", {}), **rule.get("beginCaptures", {})}
            for number, name in named.items():
                if match[int(number)]:
                    found[match[int(number)]] = name["name"]
            if "name" in rule:
                found[match.group()] = rule["name"]
            if "begin" in rule:
                stack.append((rule["patterns"], rule["end"]))
            at = match.end()
    assert len(stack) == 1
    return found


@pytest.mark.parametrize("word", sorted(RESERVED | PROTOCOLS | ANSWERS))
def test_words_of_the_language_are_no_names(word: str) -> None:
    text = f"{word} {{" if word in ("policy", "node", "forward", "nat", "mangle", "raw", "expect") else f"x {word} y"
    assert scopes(text)[word] != PLAIN
    assert scopes(f"x{word} {word}-x")[f"x{word}"] == PLAIN


def test_the_examples() -> None:
    everything = "\n".join([*SHOWN, *(path.read_text(encoding="utf-8") for path in EXAMPLES)])
    found = scopes(everything)
    assert not [scope for scope in found.values() if scope.startswith("invalid")]
    wanted = {
        "edge": "entity.name.section.netpolc",
        "2001:db8::4": "constant.numeric.address.netpolc",
        "192.0.2.0/24": "constant.numeric.address.netpolc",
        '"ticket NET-12"': "string.quoted.double.netpolc",
        "namespace": "keyword.other.namespace.netpolc",
        "eth0": "variable.other.interface.netpolc",
        "allow": "keyword.control.verdict.netpolc",
        "<->": "keyword.operator.netpolc",
        "min": "constant.language.unit.netpolc",
    }
    assert {word: found[word] for word in wanted} == wanted


def test_mistakes_are_shown() -> None:
    assert "invalid.illegal.escape.netpolc" in scopes(r'deny a -> b "line\n"').values()
