"""Rules with mistakes in them: a program that is well formed, or a refusal with its place; never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from compiler.errors import Unsupported
from compiler.importing.importer import imported
from grammar.dsl import parse
from grammar.format import format_file
from grammar.ruletext import Refused
from grammar.source import Flaw, Source

_FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "import"
FIXTURES = sorted(place for place in _FOLDER.iterdir() if place.suffix in (".save", ".nft"))
_ROUNDS = 40


def mutated(text: str, dice: random.Random) -> str:
    """Some lines gone, twice, or elsewhere; some words gone, or those of another line."""
    lines = text.split("\n")
    for _ in range(dice.randrange(1, 6)):
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        match dice.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                words, more = lines[at].split(" "), lines[other].split(" ")
                words[dice.randrange(len(words))] = dice.choice([*more, "!", "-j", "", '"', "{", "0", "-1", "::/0"])
                lines[at] = " ".join(words)
    return "\n".join(lines)


@pytest.mark.parametrize("place", FIXTURES, ids=lambda place: place.name)
def test_mutated_rules(place: Path) -> None:
    text, dice = place.read_text(), random.Random(place.name)
    read = 0
    for _ in range(_ROUNDS):
        changed = mutated(text, dice)
        try:
            found = imported([Source(place.name, changed)])
        except (Refused, Unsupported):
            continue
        read += 1
        flaws: list[Flaw] = []
        source = Source("imported.np", found.text)
        tree = parse(source, flaws.append)
        assert tree is not None, "\n".join([flaws[0].message, *flaws[0].excerpt])
        laid_out = Source("imported.np", format_file(source, tree))
        again = parse(laid_out, flaws.append)
        assert again is not None
        assert format_file(laid_out, again) == laid_out.text
    assert read, "every mistake was refused"
