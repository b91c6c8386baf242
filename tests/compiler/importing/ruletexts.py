"""Small rulesets, and what the importer says of them."""

from __future__ import annotations

from compiler.importing.importer import Imported, imported
from grammar.source import Source


def iptables(*rules: str, table: str = "filter", six: bool = False, policies: str = "") -> str:
    """One table; `policies` are lines like `:INPUT DROP`. Chains that rules are added to are declared."""
    builtin = ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING")
    chains = dict.fromkeys(rule.split()[1] for rule in rules)
    declared = [f":{chain} - [0:0]" for chain in chains if chain not in builtin]
    head = "# ip6tables-save\n" if six else ""
    return head + "\n".join([f"*{table}", *filter(None, [policies]), *declared, *rules, "COMMIT", ""])


def read(*texts: str) -> Imported:
    """Of texts without names; nft's are told by their own words."""
    return imported([Source(f"r{number or ''}", text) for number, text in enumerate(texts)])


def statements(found: Imported) -> list[str]:
    """The program's lines inside of blocks, without comments and braces that close."""
    lines = [line.partition("  # ")[0].strip() for line in found.text.split("\n")]
    blocks = ("node", "forward", "nat", "mangle", "raw")
    heads = {f"{block}{more} {{" for block in blocks for more in ("", " packets")}
    words = ("set ", "zone ", "service ")
    return [line for line in lines if line not in ("", "}", *heads) and line[0] != "#" and not line.startswith(words)]
