"""The files of a workspace as programs, and what the compiler says of each.

A program is a file that no other includes, with all that it includes, as `netpolc compile FILE` takes it. Files are
read and programs compiled again only when something of theirs has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from compiler.editor.walk import Occurrence, occurrences, sound
from compiler.errors import Collector, Diagnostic, InvalidInput, Severity
from compiler.resources import language as resources
from compiler.sources import language
from compiler.sources.language.files import Include, Text
from compiler.sources.language.names import Names
from grammar import dsl
from grammar import dsl_tree as t
from grammar.encoding import decode
from grammar.source import Flaw, Source, printable

#: Raises InvalidInput for what cannot be compiled.
Check = Callable[[resources.Program], None]


class Reading:
    """A file as it was read: `tree` is what of it can be read at all; None when it is no text."""

    def __init__(self, name: str, data: bytes) -> None:
        flaws: list[Flaw] = []
        source = decode(name, data, flaws.append)
        self.name, self.data = name, data
        self.tree = dsl.salvaged(source, flaws.append) if source is not None else None
        self.text = Text(source, self.tree) if source is not None and self.tree is not None else None
        self.flaws = tuple(flaws)

    @property
    def items(self) -> tuple[t.Item, ...]:
        return self.tree.items if self.tree is not None else ()

    @cached_property
    def occurrences(self) -> Sequence[Occurrence]:
        """The names in it, in their order; not those that the parser made up for a block whose head it cannot read."""
        if self.text is None:
            return ()
        written = self.text.source.text
        found = (one for one in occurrences(self.text.tree) if written[one.node.begin : one.node.end] == one.node.text)
        return sorted(found, key=lambda one: one.node.begin)


@dataclass(slots=True)
class Program:
    """`files` by name, the one that includes the others first; `asked`: what it asked of includes, and the answers;
    `told`: what the compiler says."""

    files: dict[str, Reading]
    asked: dict[tuple[str, str], tuple[str, bytes] | str] = field(default_factory=dict)
    told: tuple[Diagnostic, ...] = ()
    _names: Names | None = None

    @property
    def names(self) -> Names:
        """What names mean, as far as their definitions are right."""
        if self._names is None:
            texts = [one.text for one in self.files.values() if one.text is not None]
            right = [Text(one.source, _sound(one.tree)) for one in texts]
            self._names = Names(right, _Unheard())
        return self._names

    @property
    def definitions(self) -> Mapping[str, tuple[Reading, t.Definition]]:
        """The sets, services and zones by name; of several with one name, the first."""
        found: dict[str, tuple[Reading, t.Definition]] = {}
        for reading in self.files.values():
            for item in reading.items:
                if isinstance(item, t.SetDefinition | t.ServiceDefinition | t.ZoneDefinition):
                    found.setdefault(item.name.text, (reading, item))
        return found

    def occurrences(self) -> Iterator[tuple[Reading, Occurrence]]:
        """The names of all its files."""
        for reading in self.files.values():
            for one in reading.occurrences:
                yield reading, one


class Project:
    """All programs of a workspace."""

    def __init__(self, include: Include) -> None:
        self._include = include
        self._check: Check | None = None
        self._readings: dict[str, Reading] = {}
        self._programs: dict[str, Program] = {}

    def see(self, texts: Mapping[str, bytes], check: Check | None = None) -> None:
        """Takes the files of the workspace as they are now, each with its name, and the check of what is right by
        itself; another one, and all programs are compiled again."""
        before = self._programs if check is self._check else {}
        self._check = check
        self._programs = {name: self._again(before.get(name), name, texts[name]) for name in self._roots(texts)}
        used = {name for program in self._programs.values() for name in program.files}
        self._readings = {name: one for name, one in self._readings.items() if name in used}

    def reading(self, name: str) -> Reading | None:
        """A file of the workspace, or one that its files include."""
        return self._readings.get(name)

    def programs(self, name: str) -> list[Program]:
        """Those that a file takes part in."""
        return [one for one in self._programs.values() if name in one.files]

    def included(self, file: str, path: str) -> str | None:
        """The name of the file that another one includes by this path; None when there is none."""
        found = self._include(file, path)
        return None if isinstance(found, str) else found[0]

    def flaws(self) -> dict[str, list[Diagnostic]]:
        """File -> what is wrong with it, in its order: the same that the compiler says of its programs, and of files
        that those do not come to for the errors before them."""
        found: dict[str, dict[tuple[object, str], Diagnostic]] = {name: {} for name in self._readings}
        names = {printable(name): name for name in self._readings}
        for name, reading in self._readings.items():
            for flaw in reading.flaws:
                one = Diagnostic(Severity.ERROR, flaw.span, flaw.message, flaw.code, flaw.excerpt)
                found[name][flaw.span, flaw.message] = one
        for program in self._programs.values():
            for one in program.told:
                if one.span.file in names:
                    found[names[one.span.file]].setdefault((one.span, one.message), one)
        return {name: sorted(flaws.values(), key=_place) for name, flaws in found.items()}

    # ---- Programs

    def _roots(self, texts: Mapping[str, bytes]) -> list[str]:
        """The files that no other one includes; of those that include each other, the first."""
        includes = {name: self._included(self._read(name, data)) for name, data in sorted(texts.items())}
        inner = {other for name, others in includes.items() for other in others if other != name}
        roots = [name for name in includes if name not in inner]
        reached: set[str] = set()
        for name in (*roots, *includes):
            if name not in reached:
                roots += [name] if name not in roots else []
                reached |= self._reach(name, includes)
        return roots

    def _reach(self, name: str, includes: Mapping[str, Sequence[str]]) -> set[str]:
        found, left = {name}, [name]
        while left:
            new = [one for one in includes.get(left.pop(), ()) if one not in found]
            found.update(new)
            left += new
        return found

    def _included(self, reading: Reading) -> list[str]:
        paths = [item.path.value for item in reading.items if isinstance(item, t.Include)]
        return [found[0] for path in paths if not isinstance(found := self._include(reading.name, path), str)]

    def _again(self, before: Program | None, name: str, data: bytes) -> Program:
        """The program of a root: the one that there was, if nothing of it has changed."""
        if before is not None and before.files[name].data == data:
            for asked, answer in before.asked.items():
                if self._include(*asked) != answer:
                    break
            else:
                self._readings.update(before.files)
                return before
        program = Program({})

        def include(file: str, path: str) -> tuple[str, bytes] | str:
            answer = program.asked[file, path] = self._include(file, path)
            return answer

        self._collect(program, include, name, data)
        try:
            made = language.load([(name, data)], include, self._reader)
            if self._check is not None:
                self._check(made)
        except InvalidInput as error:
            program.told = error.diagnostics
        return program

    def _collect(self, program: Program, include: Include, name: str, data: bytes) -> None:
        """All files of a program, those among them that the compiler does not come to."""
        left = [(name, data)]
        while left:
            name, data = left.pop()
            if name in program.files:
                continue
            reading = program.files[name] = self._read(name, data)
            for item in reading.items:
                if isinstance(item, t.Include) and not isinstance(found := include(name, item.path.value), str):
                    left.append(found)

    def _read(self, name: str, data: bytes) -> Reading:
        found = self._readings.get(name)
        if found is None or found.data != data:
            found = self._readings[name] = Reading(name, data)
        return found

    def _reader(self, name: str, data: bytes, flaws: Callable[[Flaw], None]) -> tuple[Source, t.File] | None:
        """`dsl.read`, which remembers."""
        reading = self._read(name, data)
        for flaw in reading.flaws:
            flaws(flaw)
        if reading.flaws or reading.text is None:
            return None
        return reading.text.source, reading.text.tree


class _Unheard(Collector):
    """What is wrong was told already."""

    def add(self, flaw: Flaw, severity: Severity = Severity.ERROR) -> None:
        pass


def _sound(tree: t.File) -> t.File:
    """A tree without the definitions that have wrong literals, and without blocks."""
    kinds = t.SetDefinition | t.ServiceDefinition | t.ZoneDefinition
    return t.File(tree.begin, tree.end, tuple(one for one in tree.items if isinstance(one, kinds) and sound(one)))


def _place(found: Diagnostic) -> tuple[int, int]:
    return found.span.line, found.span.column
