"""Writes grammar/dsl_tables.py, the tables that lark makes of grammar/dsl.lark:  make grammar

They are kept since making them takes ten times as long as reading them, in every run of the command line. They are
code, not a cache: nothing is read from a place that somebody else can write to.
"""

from __future__ import annotations

import base64
import hashlib
import io
import lzma
import textwrap
from pathlib import Path

import lark

from grammar import dsl

ROOT = Path(__file__).resolve().parents[2]
GRAMMAR = ROOT / "grammar" / "dsl.lark"
TABLES = ROOT / "grammar" / "dsl_tables.py"


def digest() -> str:
    """Of the grammar as it is."""
    return hashlib.sha256(GRAMMAR.read_bytes()).hexdigest()


def main() -> None:
    out = io.BytesIO()
    dsl.made().save(out)
    packed = base64.b85encode(lzma.compress(out.getvalue(), preset=9)).decode("ascii")
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(packed, 112))
    TABLES.write_text(
        '"""The tables of dsl.lark, as lark saves them. Made by `make grammar`; not to be edited."""\n\n'
        "from __future__ import annotations\n\n"
        f'#: SHA-256 of dsl.lark.\nGRAMMAR = "{digest()}"\n'
        f'#: The version of lark that made them; another one makes its own.\nLARK = "{lark.__version__}"\n'
        f"#: What Lark.save() writes, compressed, in base 85.\nSAVED = (\n{lines}\n)\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
