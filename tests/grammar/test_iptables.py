"""iptables-save text: lines, words, options and their places."""

from __future__ import annotations

import pytest

from grammar.iptables import Command, Option, tables
from grammar.ruletext import Refused
from grammar.source import Source


def commands(text: str) -> tuple[Command, ...]:
    (table,) = tables(Source("rules", f"*filter\n{text}\nCOMMIT\n"))
    return table.commands


def options(text: str) -> tuple[Option, ...]:
    (command,) = commands(f"-A FORWARD {text}")
    return command.options


def shape(text: str) -> list[tuple[str, list[str], bool]]:
    return [(option.name, [value.text for value in option.values], option.negated) for option in options(text)]


def test_tables_chains_and_rules() -> None:
    text = "# head\n*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n\n*filter\n:mine - [0:0]\n[1:2] -A mine -j DROP\nCOMMIT\n"
    raw, mine = tables(Source("rules", text))
    assert (raw.name.text, mine.name.text) == ("raw", "filter")
    assert [(c.verb, c.chain.text, c.policy) for c in raw.commands] == [("-P", "PREROUTING", "ACCEPT")]
    assert [(c.verb, c.chain.text, len(c.options)) for c in mine.commands] == [("-N", "mine", 0), ("-A", "mine", 1)]


def test_places_are_those_of_the_text() -> None:
    (command,) = commands("  -A FORWARD -s 10.0.0.1 ! -d 10.0.0.2 -j DROP")
    assert str(command.place.span) == "rules:2:3"
    assert [str(option.place.span) for option in command.options] == ["rules:2:14", "rules:2:26", "rules:2:40"]
    assert command.options[1].place.text == "! -d 10.0.0.2"


def test_quotes_keep_blanks_dashes_and_escaped_quotes() -> None:
    assert shape(r'-m comment --comment "a \"b\" -j DROP" -j ACCEPT') == [
        ("-m", ["comment"], False),
        ("--comment", ['a "b" -j DROP'], False),
        ("-j", ["ACCEPT"], False),
    ]


def test_negation_stands_before_the_option_or_behind_it() -> None:
    assert shape("! -s 10.0.0.1") == shape("-s ! 10.0.0.1") == [("-s", ["10.0.0.1"], True)]
    assert shape("-p tcp ! --syn") == [("-p", ["tcp"], False), ("--syn", [], True)]
    assert shape("--syn ! --dport 80") == [("--syn", [], False), ("--dport", ["80"], True)]
    assert shape("--tcp-flags ! SYN,ACK SYN") == [("--tcp-flags", ["SYN,ACK", "SYN"], True)]


def test_insert_has_a_number() -> None:
    first, third = commands("-I FORWARD -j DROP\n--insert FORWARD 3 -j DROP")
    assert (first.number, third.number, third.verb) == (1, 3, "-I")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("-A FORWARD -j DROP\n", "1:1", "a table begins with"),
        ("*filter\n-A FORWARD -j DROP\n", "1:1", "the table has no COMMIT"),
        ("*filter\n-D FORWARD 1\nCOMMIT\n", "2:1", "-D is not understood here: only -A, -I, -N and -P"),
        ("*filter\n-A FORWARD stray -j DROP\nCOMMIT\n", "2:12", "an option is expected here, not stray"),
        ('*filter\n-A FORWARD --comment "open\nCOMMIT\n', "2:22", "the quote is not closed"),
        ("*filter\n-A\nCOMMIT\n", "2:1", "-A needs a chain"),
        (f"*filter\n-I FORWARD {'9' * 5000} -j DROP\nCOMMIT\n", "2:12", "an option is expected here, not 999"),
        (f"*filter\n[{'9' * 5000}:1] -A FORWARD -j DROP\nCOMMIT\n", "2:1", "[999"),
        ("*filter\n:FORWARD\nCOMMIT\n", "2:1", "a chain is declared like"),
        ("*filter\n-A FORWARD !\nCOMMIT\n", "2:12", "an option is expected here, not !"),
        ("*filter\n-I FORWARD 0 -j DROP\nCOMMIT\n", "2:1", "-I with what it does not take"),
    ],
)
def test_what_is_refused(text: str, place: str, message: str) -> None:
    with pytest.raises(Refused, match=r"^rules:") as found:
        list(tables(Source("rules", text)))
    assert str(found.value).startswith(f"rules:{place}: {message}")
    assert found.value.flaw.excerpt
