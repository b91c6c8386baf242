"""Programs of a workspace: the compiler's answers, whatever was typed before."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

import pytest

from compiler.editor.project import Program
from tests.compiler.cli.conftest import Run
from tests.compiler.editor.worlds import World
from tests.grammar.fuzz import EXAMPLES, examples, mutated

SHARE = int(os.environ.get("NETPOLC_EXAMPLES", "150"))


def test_a_file_that_another_one_includes_is_part_of_that() -> None:
    """By itself it would be wrong: what it uses is defined by the one that includes it."""
    world = World(a='include "b.np"\nzone x = any\n', b="policy p { deny x -> any }\n")
    assert world.wrong() == {}
    world.put(a="zone x = any\n")
    assert "there is no set or zone x" in world.wrong()["b.np"][0]


def test_a_file_in_two_programs_has_the_errors_of_both() -> None:
    common = "policy p {\n  deny x -> y\n}\n"
    world = World(a='include "c.np"\nset x = { 10.0.0.1 }\n', b='include "c.np"\nset y = { 10.0.0.1 }\n', c=common)
    assert [one.split(":")[:2] for one in world.wrong()["c.np"]] == [["2", "8"], ["2", "13"]]


def test_files_that_include_each_other_are_one_program() -> None:
    world = World(a='include "b.np"\nzone x = any\n', b='include "a.np"\nzone y = x\n')
    assert world.wrong() == {}
    assert world.project.programs("a.np") == world.project.programs("b.np")


def test_errors_of_an_included_file_stay_when_the_other_one_is_wrong() -> None:
    """The compiler does not follow what a broken file includes. What needs names of both is not asked then."""
    world = World(a='include "b.np"\nzone x = any\n', b="policy p { deny x -> y }\nset s = {}\n")
    world.put(a='include "b.np"\nzone x = \n')
    found = world.wrong()
    assert list(found) == ["a.np", "b.np"]
    assert [one.rpartition(" ")[2] for one in found["b.np"]] == ["[empty]"]


def test_an_include_that_is_not_there_is_told_until_it_is() -> None:
    world = World(a='include "b.np"\n')
    assert world.wrong() == {"a.np": ["1:9: No such file or directory [unreadable-include]"]}
    world.put(b="")
    assert world.wrong() == {}


def test_only_what_changed_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(a='include "c.np"\n', b="zone y = any\n", c="zone x = any\n")
    before = {name: world.project.programs(name) for name in world.texts}
    world.look()
    assert {name: world.project.programs(name) for name in world.texts} == before
    world.put(c="zone z = any\n")
    after = {name: world.project.programs(name) for name in world.texts}
    assert changed(before, after) == {"a.np", "c.np"}


def changed(before: dict[str, list[Program]], after: dict[str, list[Program]]) -> set[str]:
    return {name for name in before if any(one is not two for one, two in zip(before[name], after[name], strict=True))}


@pytest.mark.parametrize("text", ["\ud800", "zone \ufeffa = any", "\ufeffzone a = any\n\ufeff", "\0", "zone a = a", ""])
def test_what_is_hardly_a_text(text: str, netpolc: Callable[..., Run], tmp_path: object) -> None:
    world = World(a=text)
    assert world.wrong().get("a.np", []) == said(netpolc, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("seed", [1, 2])
def test_edits_leave_the_answers_of_the_compiler(netpolc: Callable[..., Run], seed: int) -> None:
    """Text after text in one project: each as a fresh run says."""
    chance, texts = random.Random(seed), examples()
    world = World(services=next(one.read_text() for one in EXAMPLES if one.name == "services.np"))
    wrong = 0
    for _ in range(SHARE):
        text = mutated(chance.choice(texts), texts, chance)
        world.put(a=text)
        found = world.wrong().get("a.np", [])
        assert found == said(netpolc, text.encode("utf-8", "surrogatepass"), world.texts["services.np"]), text
        wrong += bool(found)
    assert wrong > SHARE // 10


def said(netpolc: Callable[..., Run], data: bytes, services: bytes = b"") -> list[str]:
    """What `netpolc compile` says of a text, beside the file that the examples include; not that the input has no pods:
    an editor without a cluster does not know."""
    with open("a.np", "wb") as file, open("services.np", "wb") as other:
        file.write(data)
        other.write(services)
    found = netpolc("compile", "a.np", "--no-prove").stderr
    told = re.findall(r"^a\.np:(\d+:\d+: )error: (.*)$", found, re.MULTILINE)
    return [place + message for place, message in told if not message.endswith("[no-pods]")]
