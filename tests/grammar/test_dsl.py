"""The policy language: what parses, into which tree, and that the grammar hides no conflict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lark
import pytest

from grammar import dsl, dsl_tables
from grammar import dsl_tree as t
from grammar.dsl_words import RESERVED
from grammar.source import Flaw, Source
from tests.grammar import tables

ROOT = Path(__file__).resolve().parents[2]
#: The shape that the language was asked for in, to the letter.
SAMPLE = """\
include "services.np"
set admins = { 10.0.0.4, 2001:db8::4, 192.0.2.0/24 except 192.0.2.7 }
service web = tcp/80,443 + udp/443
zone world = iface eth0
zone shop  = pods(namespace: shop, app in (web, api))
policy edge tier admin priority 100 {
  allow  world -> shop : web                 "ticket NET-12"
  deny   shop -> 169.254.169.254
  deny   admins -> shop : tcp/22  log "ssh" limit 5/min
  reject any -> shop with icmp-admin-prohibited
}
node {
  allow admins -> self : tcp/22,6443
  deny  any -> self : tcp/10250 unless from nodes
}
nat    { dnat world : tcp/8443 -> shop : 443    masquerade pods -> world    snat 10.1.0.0/16 -> world as 192.0.2.9
         redirect tcp/80 to 8080                 keep source for pods -> 10.0.0.0/8 }
mangle { mark shop 0x10/0xff    dscp web af41    ttl dec 1 for world -> pods    mss clamp pmtu for pods <-> world }
raw    { notrack udp/4789 between nodes    drop from bogons    drop spoofed from pods }
expect { world can reach shop:443    world cannot reach shop:22    only { world, ingress } can reach shop
         world : 8443 translates to shop:443 }
"""


def parsed(text: str) -> t.File:
    flaws: list[Flaw] = []
    tree = dsl.parse(Source("test.np", text), flaws.append)
    assert flaws == []
    assert tree is not None
    return tree


def written(node: t.Node, text: str) -> str:
    return text[node.begin : node.end]


def test_the_sample_of_the_language() -> None:
    tree = parsed(SAMPLE)
    assert [type(item).__name__.removesuffix("Block") for item in tree.items] == [
        *("Include", "SetDefinition", "ServiceDefinition", "ZoneDefinition", "ZoneDefinition"),
        *("Policy", "Node", "Nat", "Mangle", "Raw", "Expect"),
    ]
    assert [len(item.statements) for item in tree.items if isinstance(item, t.Block)] == [4, 2, 5, 4, 3, 4]
    policy = tree.items[5]
    assert isinstance(policy, t.PolicyBlock)
    assert (policy.name.text, policy.tier and policy.tier.text, policy.priority and policy.priority.number) == (
        *("edge", "admin"),
        100,
    )
    logging = policy.statements[2]
    assert written(logging, SAMPLE) == 'deny   admins -> shop : tcp/22  log "ssh" limit 5/min'
    assert isinstance(logging, t.Rule)
    log, limit = logging.options
    assert isinstance(log, t.Log)
    assert log.prefix is not None
    assert log.prefix.value == "ssh"
    assert isinstance(limit, t.Limit)
    assert (limit.rate.count.number, limit.rate.unit.text) == (5, "min")


@pytest.mark.parametrize("item", range(11))
def test_nodes_know_where_they_stand(item: int) -> None:
    """The text of every node, parsed in its place, is that node: so begin and end are right at any depth."""
    tree = parsed(SAMPLE)
    text = written(tree.items[item], SAMPLE)
    assert parsed(text).items == (tree.items[item],)
    for node in nodes(tree.items[item]):
        assert written(node, SAMPLE).strip() == written(node, SAMPLE) != ""


def nodes(node: t.Node) -> list[t.Node]:
    """A node and all below it; each lies inside of the one above."""
    found = [node]
    for slot in type(node).__dataclass_fields__:
        part = getattr(node, slot)
        for one in part if isinstance(part, tuple) else (part,):
            if isinstance(one, t.Node):
                assert node.begin <= one.begin < one.end <= node.end
                found += nodes(one)
    return found


def test_equal_trees_differ_in_their_places_alone() -> None:
    spread = SAMPLE.replace(" ", "\n\t # note -> {\n ").replace('"ticket\n\t # note -> {\n NET-12"', '"ticket NET-12"')
    assert parsed(spread) == parsed(SAMPLE)
    assert parsed(SAMPLE.replace("5/min", "6/min")) != parsed(SAMPLE)
    assert parsed(SAMPLE.replace("\n", "\r\n")) == parsed(SAMPLE)


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("masquerade web", "zone or service"),
        ("masquerade web + udp/53", "ports"),
        ("masquerade tcp/80", "ports"),
        ("masquerade a : web", "source, ports"),
        ("masquerade a -> b", "source, target"),
        ("masquerade a -> b : 80-90,443", "source, target, ports"),
        ("masquerade 80 + web", "ports"),
        ("masquerade fe80::1", "zone or service"),
        ("masquerade {a, b} except c", "zone or service"),
    ],
)
def test_flows(statement: str, shape: str) -> None:
    (block,) = parsed(f"nat {{ {statement} }}").items
    assert isinstance(block, t.NatBlock)
    (found,) = block.statements
    assert isinstance(found, t.Masquerade)
    flow = found.flow
    parts = {"source": flow.source, "target": flow.target, "ports": flow.ports}
    said = ", ".join(name for name, part in parts.items() if part is not None)
    assert said == ("source" if shape == "zone or service" else shape)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_reserved_words_name_nothing(word: str) -> None:
    flaws: list[Flaw] = []
    assert dsl.parse(Source("test.np", f"policy p {{ deny {word}x -> x{word} }}"), flaws.append) is not None
    assert dsl.parse(Source("test.np", f"zone {word} = 10.0.0.1\nzone b = 10.0.0.2"), flaws.append) is None
    assert len(flaws) == 1


@pytest.mark.parametrize("word", ["tier", "priority", "min", "be", "empty", "dec", "clamp", "admin"])
def test_other_words_are_names_where_names_stand(word: str) -> None:
    parsed(f"zone {word} = 10.0.0.1 policy {word} {{ deny {word} -> {word} : {word} }}")
    parsed(f"expect {{ {word} can reach {word} {word} cannot reach {word} }}")


@pytest.mark.parametrize("word", sorted(RESERVED | {"namespace", "in", "notin", "443", "a-b.c"}))
def test_any_word_labels(word: str) -> None:
    parsed(f"zone a = pods({word}, !{word}, {word}={word}, {word} in ({word}), namespace: {word.replace('.', '-')})")


def test_the_grammar_has_no_conflicts() -> None:
    """lark resolves some conflicts silently; `strict` refuses them, and tokens that match the same text."""
    strict = lark.Lark.open(str(ROOT / "grammar" / "dsl.lark"), **dsl.options(strict=True))
    assert isinstance(strict.parse(SAMPLE), t.File)
    conflict = (ROOT / "grammar" / "dsl.lark").read_text().replace('log: "log"', 'log: "log" [text]')
    with pytest.raises(lark.exceptions.GrammarError, match="conflict"):
        lark.Lark(conflict, **dsl.options(strict=True))


def test_lark_is_loaded_for_texts_of_the_language_alone() -> None:
    code = (
        "import sys, grammar.dsl; assert 'lark' not in sys.modules; grammar.dsl.parser(); assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_tables_are_those_of_the_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of dsl.lark: make grammar."""
    assert tables.digest() == dsl_tables.GRAMMAR
    kept, made = dsl.parser(), dsl.made()
    assert {one.name: one.pattern.value for one in kept.terminals} == {
        one.name: one.pattern.value for one in made.terminals
    }
    assert {*map(str, kept.rules)} == {*map(str, made.rules)}
    monkeypatch.setattr(dsl_tables, "LARK", "0.0")
    monkeypatch.setattr(dsl_tables, "SAVED", "")
    dsl.parser.cache_clear()
    try:
        assert parsed(SAMPLE) == made.parse(SAMPLE)
    finally:
        monkeypatch.undo()
        dsl.parser.cache_clear()
