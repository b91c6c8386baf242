"""The page of what was done is whole HTML, needs nothing else, says what the table says, and holds texts as texts."""

from __future__ import annotations

import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import pytest

from compiler.optimizing.passes.simplify import Pass
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.report import page
from compiler.optimizing.whole import Optimized, optimize
from compiler.ordering.prices import Tool
from grammar.source import Source

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = (ROOT / "compiler" / "cli" / "page" / "optimize.html").read_text()
TEXT = """\
*filter
:FORWARD ACCEPT [0:0]
[1:60] -A FORWARD -s 10.0.0.1/32 -m comment --comment "<script>alert(1)</script> & \\"more\\"" -j DROP
[2:60] -A FORWARD -s 10.0.0.9/32 -j NFQUEUE --queue-num 0
[9:540] -A FORWARD -s 10.0.0.2/32 -j DROP
[8:540] -A FORWARD -s 10.0.0.2/32 -p tcp -j DROP
[70:540] -A FORWARD -s 10.0.0.4/32 -j DROP
[5000:300000] -A FORWARD -s 10.0.0.0/24 -j REJECT
COMMIT
"""
_EMPTY = {"meta", "line", "rect", "path", "br"}


class Reader(HTMLParser):
    """Text, and elements with their attributes; all that are opened are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str, kind: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag and attributes.get("class") == kind]


def optimized(text: str, *, relax: bool = False) -> Optimized:
    rules = iptables_rules.listing(Source("rules.save", text), Tool.IPTABLES_LEGACY)
    return optimize(rules, () if relax else tuple(Pass), Fraction(0), relax=relax)


def read(text: str, *, relax: bool = False, name: str = "rules.save") -> Reader:
    return Reader(page.page(name, optimized(text, relax=relax), "proved", TEMPLATE))


def test_it_needs_nothing_else() -> None:
    text = page.page("rules.save", optimized(TEXT), "proved", TEMPLATE)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|https?:| on\w+=", text)
    assert "prefers-color-scheme: dark" in text
    assert "<!--" not in text


def test_it_says_what_was_done() -> None:
    found = read(TEXT)
    (order,) = optimized(TEXT).orders.chains  # type: ignore[union-attr]
    before, after = order.asked()
    assert f"as written, a packet is compared with {float(before):,.1f} rules" in found.text
    assert f"now with {float(after):,.1f} rules" in found.text
    assert "5 rules, 1 moved, 5,088 packets" in " ".join(found.text.split())
    assert "removed: no packet reaches it, line 5 matches all that it may match" in found.text
    assert "rules.save:4: [2:60] -A FORWARD -s 10.0.0.9/32 -j NFQUEUE --queue-num 0" in found.text
    assert len(found.of("path", "moves")) == 1
    assert len(found.of("path", "stays")) == 4
    assert len(found.of("line", "barrier")) == 2
    assert len(found.of("rect", "least")) == 1
    assert ("optimal" in found.text) == order.ordering.optimal


def test_bars_are_as_high_as_what_they_hold() -> None:
    found = read(TEXT)
    heights = [float(bar["height"] or 0) for bar in found.of("rect", "now") if bar["width"] and "rx" not in bar]
    assert heights[-1] == max(heights)
    assert len(heights) == 4  # the barrier ends no packet's way
    costs = [
        float(bar["width"] or 0) for kind in ("was", "now", "least") for bar in found.of("rect", kind) if "rx" in bar
    ]
    assert costs == sorted(costs, reverse=True)


def test_texts_are_texts() -> None:
    found = read(TEXT, name='<b>"rules"\x1b[2J')
    assert '<script>alert(1)</script> & \\"more\\"' in found.text
    assert not [tag for tag, _ in found.elements if tag in ("script", 'b"rules"')]
    assert "\x1b" not in found.text
    assert '<b>"rules"' in found.text


def test_a_guess_is_no_certificate() -> None:
    # The last rule may pass the one in front of it, and all packets of that would then meet it first.
    found = read(TEXT.replace("-s 10.0.0.4/32 -j DROP", "-s 10.0.0.4/32 -p tcp -j REJECT"), relax=True)
    assert "guessed" in found.text
    assert not found.of("rect", "least")
    assert "optimal" not in found.text.replace("proved optimal", "")


@pytest.mark.parametrize(
    "text", ["*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", TEXT.replace("[5000", "[0").replace("[1:", "[0:")]
)
def test_little_to_say(text: str) -> None:
    assert "Rules of rules.save" in read(text).text


def test_chains_where_nothing_is_counted() -> None:
    silent = re.sub(r"^\[\d+:\d+\] ", "", TEXT, flags=re.MULTILINE)
    assert "no packet ended here" in read(silent).text


def test_long_chains_share_bars_and_draw_the_heaviest() -> None:
    rules = [f"[{n}:1] -A FORWARD -s 10.{n >> 8}.{n & 255}.1/32 -j DROP" for n in range(2_000)]
    found = read("\n".join(["*filter", ":FORWARD ACCEPT [0:0]", *rules, "COMMIT", ""]))
    assert len(found.of("rect", "was")) <= 241
    assert len(found.of("path", "moves")) == 160
    assert "the 25 heaviest" in found.text
