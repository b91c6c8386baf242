"""YAML or JSON text -> trees: plain values with positions."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator

from grammar import jsontext, yamltext
from grammar.source import Flaw, Source, Span
from grammar.tree import Tree

#: Byte order marks, longest first: the one of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INNER_MARK = re.compile("^\ufeff", re.MULTILINE)
_JSON = re.compile(r"\s*[\[{]\s*[\"}\]\[{]")


def documents(name: str, data: bytes, flaws: Callable[[Flaw], None]) -> Iterator[Tree]:
    """Every document of a manifest, in order; what is wrong goes to `flaws`. Text is UTF-8, or what a byte order
    mark says. What begins like JSON is read as JSON; where it turns out not to be, as YAML, unless `name` ends in
    .json."""
    source = _decode(name, data, flaws)
    if source is None:
        return
    if "\ufeff" in source.text and (mark := _INNER_MARK.search(source.text)):
        at = mark.start()
        message = "a byte order mark inside the text: were files put together?"
        flaws(Flaw(source.span(at, at + 1), message, "encoding", source.excerpt(at, at + 1)))
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


def _decode(name: str, data: bytes, flaws: Callable[[Flaw], None]) -> Source | None:
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return Source(name, data.decode(encoding))
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            message = f"not {encoding.upper()}, which the byte order mark announces: {error.reason}"
            flaws(Flaw(Span(name, 1, 1, 1, 1), message, "encoding"))
            return None
        at = error.start + (len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0)
        begin = data.rfind(b"\n", 0, at) + 1
        before = data[begin:at].decode("utf-8-sig" if begin == 0 else "utf-8")
        line = Source(name, before + f"\\x{data[at]:02x}", data.count(b"\n", 0, at) + 1)
        span = line.span(len(before), len(line.text))
        message = f"byte 0x{data[at]:02X} is not UTF-8: {error.reason}"
        flaws(Flaw(span, message, "encoding", line.excerpt(len(before), len(line.text))))
        return None
