"""The walls of the house: which module may import what, and that the core stays pure.

`WALLS` is the list to read and to change: after each module or package comes everything of ours that it may import
besides itself. The flow goes one way: grammar, sources, resources, translate, resolve, lower, passes, backends.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("grammar", "compiler", "enforcer")

#: The longest prefix of a module's name governs it; what it allows includes everything below.
WALLS: dict[str, tuple[str, ...]] = {
    "grammar": ("grammar.source",),
    "grammar.source": (),
    "compiler.errors": ("grammar.source",),
    "compiler.net": (),
    "compiler.resources": ("grammar.source", "compiler.errors", "compiler.net"),
    "compiler.sources": ("grammar", "compiler.resources", "compiler.errors", "compiler.net"),
    "compiler.snapshot": ("compiler.resources",),
    "compiler.policy": ("grammar.source", "compiler.net"),
    "compiler.translate": ("compiler.resources", "compiler.sources", "compiler.policy", "compiler.net"),
    "compiler.translate.program": (
        "grammar.source",
        "compiler.errors",
        "compiler.resources",
        "compiler.policy",
        "compiler.translate.as_written",
        "compiler.translate.tables",
    ),
    "compiler.translate.as_written": (
        "grammar.source",
        "grammar.iptables",
        "grammar.nftables_tokens",
        "compiler.resources",
    ),
    "compiler.translate.rest": ("grammar.source", "compiler.errors", "compiler.resources"),
    "compiler.translate.carried": ("compiler.errors", "compiler.resources", "compiler.translate.as_written"),
    "compiler.translate.tables": ("compiler.errors", "compiler.resources"),
    "compiler.resolve": (
        "grammar.source",
        "compiler.policy",
        "compiler.snapshot",
        "compiler.resources.cluster",
        "compiler.resources.labels",
        "compiler.resources.language",
        "compiler.net",
    ),
    "compiler.ir": ("compiler.policy", "compiler.net"),
    # Not a back end, but what any of them can do: the value that passes and lowering get to see.
    "compiler.backends.target": ("compiler.net",),
    # Nor this: what they hand to whoever runs the tools.
    "compiler.backends.steps": (),
    "compiler.lower": (
        "compiler.policy",
        "compiler.resolve",
        "compiler.resources.language",
        "compiler.ir",
        "compiler.backends.target",
        "compiler.net",
    ),
    # Pure arithmetic on jobs and boxes: knows no rules, and of packets what the sides of boxes stand for.
    "compiler.ordering": ("compiler.net",),
    # Orders rules as `compiler.optimizing` does, by the same arithmetic.
    "compiler.passes": (
        "compiler.ir",
        "compiler.backends.target",
        "compiler.net",
        "compiler.ordering",
    ),
    "compiler.backends": (
        "grammar.source",
        "compiler.backends.steps",
        "compiler.backends.target",
        "compiler.ir",
        "compiler.errors",
        "compiler.net",
    ),
    # Rules of other tools as programs. Not by the readers of semantics, which prove it.
    "compiler.importing": ("grammar", "compiler.errors", "compiler.net"),
    # Rules of other tools, reordered. Proved by semantics, which whoever calls it asks.
    "compiler.optimizing": ("grammar", "compiler.net", "compiler.ordering", "compiler.profiles"),
    # What rules counted, whoever made them.
    "compiler.profiles": ("grammar", "compiler.net", "compiler.ordering"),
    # What compiled rules counted, back to where they come from.
    "compiler.weighing": (
        "grammar.ruletext",
        "compiler.ir",
        "compiler.backends",
        "compiler.profiles",
    ),
    # What packets do, independent of how the compiler comes to its answer.
    "compiler.semantics": ("compiler.semantics.packet", "compiler.resources", "compiler.snapshot"),
    "compiler.semantics.packet": (),
    "compiler.semantics.rules": ("grammar", "compiler.semantics.packet"),
    "compiler.semantics.diagrams": (
        "compiler.semantics.packet",
        "compiler.semantics.verdict",
        "compiler.semantics.reading",
        "compiler.semantics.oracle",
        "compiler.semantics.rules",
        "compiler.resources",
        "compiler.snapshot",
    ),
    "compiler.semantics.proof": (
        "compiler.semantics.packet",
        "compiler.semantics.verdict",
        "compiler.semantics.reading",
        "compiler.semantics.oracle",
        "compiler.semantics.boundaries",
        "compiler.semantics.rules",
        "compiler.semantics.diagrams",
        "compiler.resources",
        "compiler.snapshot",
        "grammar",
    ),
    "compiler.analysis": (
        "grammar.source",
        "grammar.tree",
        "grammar.ruletext",
        "compiler.errors",
        "compiler.semantics",
        "compiler.sources",
        "compiler.resources",
        "compiler.snapshot",
        "compiler.policy",
        "compiler.translate",
        "compiler.resolve",
        "compiler.ir",
        "compiler.net",
    ),
    # Answers for editors: about texts as the compiler reads them, and who ends are, as it resolves them.
    "compiler.editor": (
        "grammar",
        "compiler.errors",
        "compiler.net",
        "compiler.resources",
        "compiler.sources.language",
        "compiler.snapshot",
        "compiler.resolve",
    ),
    "compiler.pipeline": (
        "compiler.sources",
        "compiler.resources.language",
        "compiler.snapshot",
        "compiler.policy",
        "compiler.net",
        "compiler.translate",
        "compiler.resolve",
        "compiler.ir",
        "compiler.lower",
        "compiler.passes",
        "compiler.backends",
        "compiler.ordering.prices",
        "compiler.profiles",
        "compiler.weighing",
    ),
    # The pipeline, kept up to date by what changes.
    "compiler.live": (
        "grammar.source",
        "compiler.sources",
        "compiler.resources",
        "compiler.snapshot",
        "compiler.policy",
        "compiler.net",
        "compiler.translate",
        "compiler.resolve",
        "compiler.ir",
        "compiler.lower",
        "compiler.passes",
        "compiler.backends",
        "compiler.pipeline",
    ),
    "compiler.cli": (
        "grammar",
        "compiler.errors",
        "compiler.net",
        "compiler.resources",
        "compiler.sources",
        "compiler.snapshot",
        "compiler.policy",
        "compiler.translate",
        "compiler.pipeline",
        "compiler.resolve.failsafe",
        "compiler.backends.target",
        "compiler.analysis",
        "compiler.editor",
        "compiler.importing",
        "compiler.ordering",
        "compiler.optimizing",
        "compiler.profiles",
        "compiler.passes.order",
        "compiler.weighing",
    ),
    "compiler": (),
    # The daemon. Values first: what was seen, what is to be done.
    "enforcer.dataplane": ("compiler.profiles", "compiler.backends.steps"),
    "enforcer": (
        "enforcer.dataplane",
        "grammar",
        "compiler.errors",
        "compiler.net",
        "compiler.resources",
        "compiler.sources",
        "compiler.snapshot",
        "compiler.policy",
        "compiler.ir",
        "compiler.backends",
        "compiler.pipeline",
        "compiler.live",
        "compiler.profiles",
        "compiler.semantics",
        "compiler.analysis",
        "compiler.cli.inputs",
        "compiler.cli.outputs",
    ),
}

#: The only parts that read files, write them, print, listen and exit.
SHELLS = ("compiler.cli", "enforcer")
#: What of the daemon is as pure as the compiler.
PURE_IN_SHELLS: tuple[str, ...] = (
    "enforcer.iptables.bypass",
    "enforcer.api.cache",
    "enforcer.node.choose",
    "enforcer.compiling",
    "enforcer.node.cni",
    "enforcer.dataplane",
    "enforcer.telling.denials",
    "enforcer.fake",
    "enforcer.flows.flows",
    "enforcer.iptables.jumps",
    "enforcer.move",
    "enforcer.api.objects",
    "enforcer.picture",
    "enforcer.plan",
    "enforcer.api.refused",
    "enforcer.api.shapes",
    "enforcer.api.sharing",
    "enforcer.sources.saved",
    "enforcer.sources.source",
    "enforcer.flows.walk",
    "enforcer.api.wire",
    "enforcer.node.wiring",
    "enforcer.iptables.xtables",
)

#: What the core may use of the standard library. None of these does I/O, reads a clock or knows the machine; chance
#: comes from a seeded generator that the caller passes in.
PURE = """
    __future__ abc base64 bisect calendar codecs collections contextlib copy csv dataclasses difflib enum fractions
    functools hashlib heapq html io ipaddress itertools json math operator random re string struct sys textwrap
    types typing unicodedata
"""
#: Parts that may use more, and what: of other distributions, or of the standard library.
BESIDES: dict[str, frozenset[str]] = {
    "grammar.tree": frozenset({"marshal"}),
    "grammar.yamltext": frozenset({"yaml"}),
    "grammar.dsl": frozenset({"lark", "lzma"}),
    "grammar.dsl_recovery": frozenset({"lark"}),
    "grammar.dsl_steps": frozenset({"lark"}),
    "grammar.dsl_build": frozenset({"lark"}),
    "grammar.dsl_literals": frozenset({"socket"}),
    "compiler.resources": frozenset({"pydantic", "pydantic_core"}),
    "compiler.net": frozenset({"socket"}),
    "compiler.sources.fields": frozenset({"socket"}),
    "compiler.semantics.diagrams.ends": frozenset({"socket"}),
    "compiler.semantics.rules.numbers": frozenset({"socket"}),
    "enforcer.api.objects": frozenset({"marshal"}),
    "enforcer.api.sharing": frozenset({"pydantic"}),
    "enforcer.api.wire": frozenset({"msgspec"}),
}
#: Of `socket`, only the conversion of addresses; of `codecs`, names of encodings; of `marshal`, bytes and never a
#: file; of `sys`, nothing that reads or writes.
SOME_ONLY = {
    "codecs": frozenset({"BOM_UTF8", "BOM_UTF16_BE", "BOM_UTF16_LE", "BOM_UTF32_BE", "BOM_UTF32_LE"}),
    "marshal": frozenset({"dumps", "loads"}),
    "socket": frozenset({"inet_pton", "inet_ntop", "AF_INET", "AF_INET6"}),
    "sys": frozenset({"intern", "maxsize"}),
}
IO_CALLS = frozenset({"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"})

MAX_LINES = 400


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def inside(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


CORE = [
    name
    for name in MODULES
    if any(inside(name, part) for part in PURE_IN_SHELLS) or not any(inside(name, shell) for shell in SHELLS)
]


def governing(name: str) -> str:
    """The entry of `WALLS` that a module stands under."""
    return max((wall for wall in WALLS if inside(name, wall)), key=len)


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Everything a module imports, at any depth of the file; `from a import b` is `a.b` where that is a module."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def breaches(name: str) -> Iterator[str]:
    wall = governing(name)
    for wanted in imports(name):
        ours = wanted.split(".")[0] in PACKAGES and governing(wanted) != wall
        if ours and not any(inside(wanted, allowed) for allowed in WALLS[wall]):
            yield f"{name} imports {wanted}, which {wall} may not"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_the_allowed_way(name: str) -> None:
    assert not list(breaches(name))


def test_every_module_stands_behind_a_wall_of_its_own() -> None:
    """A new module or package of the compiler gets its line in `WALLS`."""
    assert [name for name in MODULES if governing(name) == "compiler"] == ["compiler"]


def test_every_wall_stands_for_something() -> None:
    named = {part for wall, allowed in WALLS.items() for part in (wall, *allowed)}
    assert not [part for part in named if not any(inside(name, part) for name in MODULES)]


def test_allowed_directions_have_no_cycle() -> None:
    """Read among the entries themselves: nobody may import, over however many walls, from where it started."""

    def behind(wall: str, path: tuple[str, ...]) -> None:
        assert wall not in path, " -> ".join((*path, wall))
        for allowed in WALLS[wall]:
            for target in {w for w in WALLS if inside(w, allowed)} | {governing(allowed)}:
                behind(target, (*path, wall))

    for wall in WALLS:
        behind(wall, ())


@pytest.mark.parametrize("name", CORE)
def test_core_imports_nothing_impure(name: str) -> None:
    extra = frozenset[str]().union(*(more for part, more in BESIDES.items() if inside(name, part)))
    for wanted in imports(name):
        top = wanted.split(".")[0]
        assert top in PACKAGES or top in PURE.split() or top in extra, f"{name} imports {wanted}"


@pytest.mark.parametrize("name", CORE)
def test_core_does_no_io(name: str) -> None:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IO_CALLS, f"{name}:{node.lineno}: calls {node.func.id}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SOME_ONLY:
            assert node.attr in SOME_ONLY[node.value.id], f"{name}:{node.lineno}: uses {node.value.id}.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module in SOME_ONLY:
            assert {alias.name for alias in node.names} <= SOME_ONLY[node.module], f"{name}:{node.lineno}"


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short_and_documented(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES
    if text.strip():
        assert ast.get_docstring(tree(name)), f"{name} does not say what it is for"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_breaches_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: give a module a wall too many and it is reported."""
    monkeypatch.setitem(WALLS, "compiler.passes", ("compiler.ir", "compiler.backends.target"))
    assert list(breaches("compiler.passes.expand_maps")) == [
        "compiler.passes.expand_maps imports compiler.net, which compiler.passes may not"
    ]
