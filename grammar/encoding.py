"""Bytes of a file -> its text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from grammar.source import Flaw, Source, Span

#: Byte order marks, longest first: the one of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INNER_MARK = re.compile("^\ufeff", re.MULTILINE)


def decode(name: str, data: bytes, flaws: Callable[[Flaw], None]) -> Source | None:
    """The text: UTF-8, or what a byte order mark says. None when it is not that, which goes to `flaws`."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return _unmixed(Source(name, data.decode(encoding)), flaws)
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


def _unmixed(source: Source, flaws: Callable[[Flaw], None]) -> Source | None:
    """The source, unless a line of it begins with one more byte order mark."""
    if "\ufeff" not in source.text or (mark := _INNER_MARK.search(source.text)) is None:
        return source
    at = mark.start()
    message = "a byte order mark inside the text: were files put together?"
    flaws(Flaw(source.span(at, at + 1), message, "encoding", source.excerpt(at, at + 1)))
    return None
