"""What the files of a folder say, taken together; of a file that is wrong, what it said before. Pure but for includes.

A file that cannot be read is refused as an API server refuses an object: what was there before stays, the others go
on. Not at the start, when nobody knows what was there before: then the folder is as if nobody had looked yet.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from compiler.errors import Diagnostic, InvalidInput, Severity
from compiler.live.batch import Batch, PodKey, PolicyKey
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.resources.language import NO_PROGRAM, Program
from compiler.sources.manifests import Located, Manifests, load
from enforcer.sources.source import Problem

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: Finds what a program includes: (its name, path as written) -> name and content, or why it cannot be had.
Include = Callable[[str, str], tuple[str, bytes] | str]
#: Files of the policy language.
LANGUAGE = ".np"


@dataclass(frozen=True, slots=True)
class Saved:
    """A state of a folder: `files` are the contents that are right together, the objects are theirs."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    pods: Mapping[PodKey, Pod] = field(default_factory=dict)
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    policies: Mapping[PolicyKey, Located] = field(default_factory=dict)
    program: Program = NO_PROGRAM

    def since(self, before: Saved) -> Batch:
        """What has changed."""
        return Batch(
            _changed(before.pods, self.pods),
            _changed(before.namespaces, self.namespaces),
            _changed(before.nodes, self.nodes),
            _changed(before.policies, self.policies, _is_same),
        )


def read(
    files: Mapping[str, bytes], before: Saved | None, include: Include
) -> tuple[Saved | None, tuple[Problem, ...]]:
    """The state that these files make, and what is wrong. `before`: the last one, None when there was none; then there
    is none when anything is wrong. Else, of files that are wrong what they said before, or nothing."""
    now, problems = dict(files), dict[str, Problem]()
    for _ in range(2 * len(files) + 1):  # each file is put back once, and left out once
        try:
            return _saved(now, include), tuple(problems.values())
        except InvalidInput as error:
            wrong = {name: text for name, text in _told(error).items() if name in now}
            for name, text in _told(error).items():
                problems.setdefault(name, Problem(name, text))
            if before is None or not wrong:  # an included file that is not in the folder is nobody's to put back
                break
            for name in wrong:
                if name in before.files and now[name] != before.files[name]:
                    now[name] = before.files[name]
                else:
                    del now[name]
    return before, tuple(problems.values())


def _saved(files: Mapping[str, bytes], include: Include) -> Saved:
    """Raises InvalidInput with all that is wrong."""
    programs = [(name, data) for name, data in files.items() if name.endswith(LANGUAGE)]
    wrong: list[Diagnostic] = []
    found, program = Manifests(), NO_PROGRAM
    try:
        found = load(((name, data) for name, data in files.items() if not name.endswith(LANGUAGE)), lenient=True)
    except InvalidInput as error:
        wrong += error.diagnostics
    if programs:
        from compiler.sources import language  # here, as the parser costs a tenth of a second

        try:
            program = language.load(programs, include)
        except InvalidInput as error:
            wrong += error.diagnostics
    if wrong:
        raise InvalidInput(wrong)
    return Saved(
        files,
        {(pod.namespace, pod.name): pod for pod in found.pods},
        {space.name: space for space in found.namespaces},
        {node.name: node for node in found.nodes},
        {_key(located): located for located in found.policies},
        program,
    )


def _key(located: Located) -> PolicyKey:
    value = located.value
    namespace = (value.metadata.namespace or "default") if value.kind == "NetworkPolicy" else ""
    return value.kind, namespace, value.metadata.name or str(located.span)  # one without a name is like no other


def _told(error: InvalidInput) -> dict[str, str]:
    """The errors of each file."""
    found: dict[str, list[str]] = {}
    for one in error.diagnostics:
        if one.severity is Severity.ERROR:
            found.setdefault(one.span.file, []).append(one.render())
    return {name: "\n".join(texts) for name, texts in found.items()}


def _is_same(one: Located, other: Located) -> bool:
    """Whether both say the same in the same place, also to whoever reads messages."""
    data, source, again = one.written.data, one.written.source, other.written.source
    same = data == other.written.data and (source.text, source.first_line) == (again.text, again.first_line)
    return same and one.value == other.value


def _changed(
    before: Mapping[_Key, _Value], now: Mapping[_Key, _Value], same: Callable[[Any, Any], bool] = operator.eq
) -> dict[_Key, _Value | None]:
    found: dict[_Key, _Value | None] = {key: None for key in before if key not in now}
    found.update((key, value) for key, value in now.items() if key not in before or not same(before[key], value))
    return found
