"""Rules of iptables without those that are not needed, checked as every test wants it."""

from __future__ import annotations

from compiler.optimizing.passes.simplify import Pass, Simplified, simplify
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.report.telling import told
from compiler.ordering.prices import Tool
from grammar.source import Source
from tests.compiler.optimizing.test_passes import same, totals

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [9:540]\n:own - [0:0]\n:more - [0:0]\n"


def run(*rules: str, passes: tuple[Pass, ...] = tuple(Pass), tool: Tool = Tool.IPTABLES_LEGACY) -> Simplified:
    """Of these rules; proved, with the same totals."""
    text = "\n".join([*HEAD.splitlines(), *rules, "COMMIT", ""])
    found = simplify(iptables_rules.listing(Source("rules", text), tool), passes)
    assert same(text, found.listing.written())
    assert totals(text) == totals(found.listing.written())
    return found


def left(found: Simplified) -> list[str]:
    return [line for line in found.listing.written().splitlines() if " -A " in line or line.startswith("-A ")]


def policy(found: Simplified) -> str:
    return found.listing.written().splitlines()[2]


def tells(found: Simplified) -> list[str]:
    return [told(change) for change in found.changes]
