"""Policy language text -> tree. The grammar is dsl.lark; its reference docs/DSL.md.

Errors are found in three places: characters and the order of words here, with `dsl_recovery` to go on behind them;
literals and options in `dsl_check`. All of a text come together, in its order.
"""

from __future__ import annotations

import base64
import io
import lzma
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from grammar import dsl_check, dsl_tables, dsl_words
from grammar.dsl_build import Builder
from grammar.dsl_recovery import MOST, Reading, hidden
from grammar.dsl_tree import File
from grammar.encoding import decode
from grammar.source import Flaw, Source

if TYPE_CHECKING:
    from lark import Lark, Token

#: Characters of a text: some 80,000 rules. More than that is no text that anybody wrote.
LARGEST = 4 << 20


def read(name: str, data: bytes, flaws: Callable[[Flaw], None]) -> tuple[Source, File] | None:
    """The text of a file and its tree; None when anything is wrong, which goes to `flaws`."""
    source = decode(name, data, flaws)
    tree = None if source is None else parse(source, flaws)
    return None if source is None or tree is None else (source, tree)


def parse(source: Source, flaws: Callable[[Flaw], None]) -> File | None:
    """The tree of a text; None when anything is wrong. What is wrong goes to `flaws`, in the order of the text: each
    statement has its own, and one that cannot be read costs no other. At most MOST are told."""
    found: list[Flaw] = []
    tree = salvaged(source, found.append)
    for flaw in found:
        flaws(flaw)
    return None if found else tree


def salvaged(source: Source, flaws: Callable[[Flaw], None]) -> File:
    """The tree of what can be read of a text, whatever is wrong with the rest, which goes to `flaws` as for `parse`.
    Literals and options in it may be wrong: `dsl_check.findings` of a node tells."""
    if len(source.text) > LARGEST:
        message = f"larger than {LARGEST >> 20} MiB, more than a policy file may have: split it and include the parts"
        flaws(Flaw(source.span(0, 0), message, "too-large"))
        return File(0, 0, ())
    reading = Reading(source, parser())
    tree = reading.tree()
    found = sorted([*reading.found, *dsl_check.findings(tree), *hidden(source.text)])
    for begin, end, message, code in found[:MOST]:
        flaws(Flaw(source.span(begin, end), message, code, source.excerpt(begin, end)))
    if len(found) > MOST:
        message = "too many errors: those from here on are not told"
        flaws(Flaw(source.span(found[MOST].begin, found[MOST].end), message, "too-many-errors"))
    return tree


class _NamesEverywhere:
    """Makes the lexer take a whole word wherever one stands, also where only keywords may: else `canot` were read
    as `can`, and the error stood in the middle of the word."""

    always_accept = ("NAME",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


def _reserve(token: Token) -> Token:
    """A reserved word is never a name, also where its keyword cannot stand; nor an interface, but in quotes."""
    if token.value in dsl_words.RESERVED:
        token.type = token.value.upper()
    return token


@lru_cache(maxsize=1)
def parser() -> Lark:
    """Made when the first text is read: no other command pays for it."""
    import lark

    if lark.__version__ != dsl_tables.LARK:
        return made()
    return lark.Lark.load(io.BytesIO(lzma.decompress(base64.b85decode(dsl_tables.SAVED))))


def made() -> Lark:
    """The parser, made from the grammar itself."""
    import lark

    return lark.Lark.open("dsl.lark", rel_to=__file__, **options())


def options(strict: bool = False) -> dict[str, Any]:
    """How lark is to read dsl.lark; `strict` looks for collisions of tokens, too, and needs interegular."""
    return {
        "start": "file",
        "parser": "lalr",
        "lexer": "contextual",
        "keep_all_tokens": True,
        "maybe_placeholders": True,
        "postlex": _NamesEverywhere(),
        # NAME last: lark 1.3 asks, where keywords compete with a token, whether it is the last one of these.
        "lexer_callbacks": {"INTERFACE": _reserve, "NAME": _reserve},
        "transformer": Builder(),
        "strict": strict,
    }
