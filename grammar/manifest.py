"""YAML or JSON text -> trees: plain values with positions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from grammar import jsontext, yamltext
from grammar.encoding import decode
from grammar.source import Flaw, Source
from grammar.tree import Tree

_JSON = re.compile(r"\s*[\[{]\s*[\"}\]\[{]")


def documents(name: str, data: bytes, flaws: Callable[[Flaw], None]) -> Iterator[Tree]:
    """Every document of a manifest, in order; what is wrong goes to `flaws`. Text is UTF-8, or what a byte order
    mark says. What begins like JSON is read as JSON; where it turns out not to be, as YAML, unless `name` ends in
    .json."""
    source = decode(name, data, flaws)
    if source is None:
        return
    if not name.endswith(".json") and not _JSON.match(source.text):
        yield from yamltext.documents(source, flaws)
        return
    try:
        yield from jsontext.documents(source, flaws)
    except jsontext.NotJSON as error:
        if not error.begun and not name.endswith(".json"):
            yield from yamltext.documents(source, flaws)
        elif error.begun and source.text.startswith("---", error.at):
            rest = Source(name, source.text[error.at :], source.position(error.at)[0])
            yield from yamltext.documents(rest, flaws)
        else:
            flaws(error.flaw)
