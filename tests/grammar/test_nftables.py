"""nft text: commands, rules and elements with their places; everything else by its name."""

from __future__ import annotations

import pytest

from grammar.nftables import commands
from grammar.nftables_tree import (
    AddChain,
    AddElements,
    AddRule,
    AddSet,
    Anonymous,
    Element,
    Flush,
    Match,
    Named,
    Part,
    Statement,
    Values,
    Verdict,
    VerdictMap,
)
from grammar.ruletext import Refused
from grammar.source import Source


def parts(text: str) -> tuple[Part, ...]:
    *_, found = commands(Source("rules", f"table inet t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n"))
    assert isinstance(found, AddRule)
    return found.rule.parts


def test_block_and_script_say_the_same() -> None:
    block = "table ip t { chain c { type filter hook input priority 0 ; policy drop ; accept ; } ; }"
    hook = "{ type filter hook input priority 0 ; policy drop ; }"
    script = f"add table ip t ; add chain ip t c {hook}\nadd rule ip t c accept"
    shapes = [[type(command).__name__ for command in commands(Source("x", text))] for text in (block, script)]
    assert shapes[0] == shapes[1] == ["AddTable", "AddChain", "AddRule"]
    chain = next(command for command in commands(Source("x", script)) if isinstance(command, AddChain))
    assert (chain.kind, chain.hook, chain.priority, chain.policy) == ("filter", "input", ("0",), "drop")


def test_family_ip_may_be_left_out() -> None:
    first, *_ = commands(Source("x", "add table t\nflush chain t c\n"))
    assert first.family.text == "ip"  # type: ignore[union-attr]


def test_rule_of_every_kind_of_part() -> None:
    match, mark, vmap, counter, verdict = parts(
        "ip saddr & 255.0.0.0 != 10.0.0.0 meta mark set meta mark & 0xf | 0x1 iifname . ip daddr vmap @m counter "
        "packets 1 bytes 2 jump c2"
    )
    assert isinstance(match, Match)
    assert match.left[0].mask is not None
    assert (match.left[0].name, match.left[0].mask.text, match.operator) == ("ip saddr", "255.0.0.0", "!=")
    assert isinstance(mark, Statement)
    assert [word.text for word in mark.words] == ["meta", "mark", "set", "meta", "mark", "&", "0xf", "|", "0x1"]
    assert isinstance(vmap, VerdictMap)
    assert ([selector.name for selector in vmap.left], vmap.right) == (["iifname", "ip daddr"], Named("m"))
    assert isinstance(counter, Statement)
    assert isinstance(verdict, Verdict)
    assert verdict[:2] == ("jump", "c2")


def test_words_that_are_left_out_or_shortened() -> None:
    assert [part.left[0].name for part in parts("mark 1 meta iifname lo oifname lo") if isinstance(part, Match)] == [
        "meta mark",
        "iifname",
        "oifname",
    ]


def test_statements_end_where_the_next_part_begins() -> None:
    found = parts(
        'log prefix "a" level info limit rate over 5/second burst 7 packets reject with icmp type host-unreachable'
    )
    assert [part.place.text for part in found if isinstance(part, Statement)] == [
        'log prefix "a" level info',
        "limit rate over 5/second burst 7 packets",
        "reject with icmp type host-unreachable",
    ]


def test_values_ranges_and_sets() -> None:
    states, anonymous, spaced = parts("ct state established,related tcp dport { 80, 8000-9000 } udp dport 1 - 5")
    assert isinstance(states, Match)
    assert isinstance(states.right, Values)
    assert [key[0].text for key in states.right.alternatives] == ["established", "related"]
    assert isinstance(anonymous, Match)
    assert isinstance(anonymous.right, Anonymous)
    assert [element.key[0].text for element in anonymous.right.elements] == ["80", "8000-9000"]
    assert isinstance(spaced, Match)
    assert isinstance(spaced.right, Values)
    assert spaced.right.alternatives[0][0].text == "1-5"


def test_elements_over_lines_with_comments_and_counters() -> None:
    text = (
        "table inet t {\n\tmap m {\n\t\ttypeof ip saddr . tcp dport : verdict\n\t\tflags interval\n"
        '\t\telements = { 10.0.0.0/8 . 80 counter packets 1 bytes 2 comment "x" : goto c,\n'
        "\t\t\t     fe80:: . 1-2 : drop, }\n\t}\n}\n"
    )
    _, declared, filled = commands(Source("rules", text))
    assert isinstance(declared, AddSet)
    assert ([kind.text for kind in declared.types], declared.verdicts) == (["ip saddr", "tcp dport"], True)
    assert isinstance(filled, AddElements)
    assert [[atom.text for atom in element.key] for element in filled.elements] == [
        ["10.0.0.0/8", "80"],
        ["fe80::", "1-2"],
    ]
    assert [element.verdict and element.verdict.kind for element in filled.elements] == ["goto", "drop"]


def test_flush() -> None:
    found = list(commands(Source("x", "flush ruleset\nflush table inet t\nflush chain inet t c\n")))
    assert [isinstance(command, Flush) for command in found] == [True] * 3


def test_places_are_those_of_the_text() -> None:
    match, _ = parts("tcp dport 80 drop")
    assert isinstance(match, Match)
    assert str(match.place.span) == "rules:3:3"
    assert match.place.text == "tcp dport 80"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("define x = 1", "1:1: define is not understood here"),
        ('include "x"', "1:1: include is not understood here"),
        ("delete table ip t", "1:1: delete is not understood here"),
        ("table netdev t { }", "1:7: family netdev is not understood here"),
        ("table ip t { flowtable f { } }", "1:14: flowtable is not understood here"),
        ("table ip t { flags dormant; }", "1:14: flags is not understood here"),
        ("table ip t { set s { type ipv4_addr; flags dynamic; } }", "1:44: a set with dynamic is not understood here"),
        ("table ip t { set s { type ipv4_addr; timeout 1h; } }", "1:38: timeout in a set is not understood here"),
        ("table ip t { map m { type ipv4_addr : mark; } }", "1:39: a map to mark is not understood here"),
        ("table ip t { set s { flags interval; } }", "1:18: the set has no type"),
        ("add element ip t s { 1.1.1.1 timeout 1h }", "1:30: an element that goes away by itself is not"),
        ("add rule ip t c handle 5 accept", "1:17: handle is not understood here"),
        ("add rule ip t c tcp window 5 meta mark map { 1 : 2 }", "1:40: map is not understood here"),
        ("add rule ip t c jhash ip saddr mod 2 0 accept", "1:17: jhash is not understood here"),
        ("add rule ip t c ip options 5 accept", "1:17: ip options is not understood here"),
        ("add rule ip t c xt match comment", "1:17: xt is not understood here"),
        ("add rule ip t c tcp dport", "1:26: a value is expected, not the end of the text"),
        ("add rule ip t c tcp dport { 80", "1:31: a comma or } is expected, not the end of the text"),
        ("add rule ip t c ip saddr vmap 5", "1:17: a map is expected behind vmap"),
        ("table ip t {\n", "1:13: the end of the text is not understood here"),
        ("add rule ip t c accept }", "1:24: the end of the line is expected, not }"),
        ("table ip t { chain c { accept ? } }", "1:31: '?' has no meaning here"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(Refused) as found:
        list(commands(Source("rules", text)))
    assert str(found.value).startswith(f"rules:{message}"), found.value
    assert found.value.flaw.excerpt


@pytest.mark.parametrize("between", [", ", ",\n\t\t\t     ", " ,\n"])
@pytest.mark.parametrize("last", ["", ","])
@pytest.mark.parametrize(
    "element",
    [
        "10.0.0.{n}",
        "10.{n}.0.0/16",
        "fd00::{n:x}",
        "10.0.0.{n}-10.0.1.{n}",
        "10.0.0.{n} . tcp . 80-90",
        "10.0.0.{n} : drop",
        "10.0.0.{n} . {n} : goto chain-{n}",
        "{n} : jump a.b-c",
    ],
)
def test_large_sets_are_read_as_small_ones_are(element: str, between: str, last: str) -> None:
    """A comment keeps a set from being read in one go; the places are those of the text, too."""
    body = between.join(element.format(n=n) for n in range(100)) + last

    def read(mark: str) -> tuple[Element, ...]:
        (*_, found) = commands(
            Source("f", f"table ip t {{ map m {{ type ipv4_addr : verdict; elements = {{ {body} {mark}\n}}; }} }}")
        )
        assert isinstance(found, AddElements)
        return found.elements

    found = read("")
    assert found == read("# slowly")
    assert len(found) == 100


def test_large_sets_in_rules() -> None:
    ports = ", ".join(map(str, range(100)))
    (match, said) = parts(f"tcp dport {{ {ports} }} drop")
    assert isinstance(match, Match)
    assert isinstance(match.right, Anonymous)
    assert [element.key[0].text for element in match.right.elements] == ports.split(", ")
    assert isinstance(said, Verdict)


def test_a_large_set_where_none_belongs() -> None:
    ports = ", ".join(map(str, range(100)))
    with pytest.raises(Refused, match=r"^f:1:10: the name of a table is expected, not { \[syntax\]$"):
        list(commands(Source("f", f"table ip {{ {ports} }}")))
    with pytest.raises(Refused, match=r"^f:1:20: { is not understood here \[unsupported\]$"):
        list(commands(Source("f", f"add chain ip t c {{ {{ {ports} }} }}")))
