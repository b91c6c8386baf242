"""Rulesets that move, as texts for ipset and iptables-restore."""

from __future__ import annotations

import pytest

from compiler.backends.iptables_live import load, set_name, there, update
from compiler.backends.steps import Step, Tool
from compiler.ir.change import Change
from compiler.ir.match import Field, InSet, Replies
from compiler.ir.ruleset import Accept, Chain, Drop, Goto, Hook, PrefixSet, Rule, Ruleset, Set, Table
from compiler.net import Family, parse_prefix
from compiler.profiles.words import of_iptables_text

PAIRS = Set(
    "pairs4",
    Family.IPV4,
    (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT),
    ((0x0A000001, 0x0A000002, 6, 80),),
)
PODS = Set("pods6", Family.IPV6, (Field.DESTINATION,), ((1,),))
FORWARD = Chain(
    "forward",
    (
        Rule((Replies(),), Accept()),
        Rule((InSet(PAIRS.key, "pairs4"),), Accept(), Family.IPV4),
        Rule((InSet((Field.DESTINATION,), "pods6"),), Goto("deny"), Family.IPV6),
    ),
    Hook.FORWARD,
)
DENY = Chain("deny", (Rule((), Drop()),))
MARKS = Chain("mangle-forward", (), Hook.FORWARD, Table.MANGLE, Family.IPV4)
RULESET = Ruleset((FORWARD, DENY, MARKS), (PAIRS, PODS))
JUMP = "-I FORWARD 1 -m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-FORWARD\n"


def test_load() -> None:
    sets, four, six = load(RULESET, "a")
    assert sets == Step(
        Tool.IPSET,
        "create netpolc-pairs4-a hash:ip,port,ip family inet maxelem 4194304 -exist\n"
        "add netpolc-pairs4-a 10.0.0.1,tcp:80,10.0.0.2 -exist\n"
        "create netpolc-pods6-a hash:ip family inet6 maxelem 4194304 -exist\n"
        "add netpolc-pods6-a ::1 -exist\n",
    )
    assert four == Step(
        Tool.IPTABLES,
        "*mangle\n:NETPOLC-FORWARD - [0:0]\nCOMMIT\n"
        "*filter\n:NETPOLC-FORWARD - [0:0]\n:NETPOLC-deny - [0:0]\n"
        "-A NETPOLC-FORWARD -m set --match-set netpolc-pairs4-a src,dst,dst -j RETURN\n"
        "-A NETPOLC-deny -j DROP\n"
        f"{JUMP}COMMIT\n",
    )
    assert six == Step(
        Tool.IP6TABLES,
        "*filter\n:NETPOLC-FORWARD - [0:0]\n:NETPOLC-deny - [0:0]\n"
        "-A NETPOLC-FORWARD -m set --match-set netpolc-pods6-a dst -g NETPOLC-deny\n"
        "-A NETPOLC-deny -j DROP\n"
        f"{JUMP}COMMIT\n",
    )


def test_generations_differ_in_the_names_of_sets() -> None:
    one, two = ([step.text for step in load(RULESET, tag)] for tag in "ab")
    assert [text.replace("-a ", "-b ") for text in one] == two
    assert len({set_name(name, tag) for name in ("x", "y") for tag in ("a", "b", "zz")}) == 6


def test_only_elements() -> None:
    """What comes before what goes, each in the order of the change, as one text."""
    change = Change(added={"pods6": frozenset({(9,), (3,)})}, removed={"pairs4": frozenset(PAIRS.elements)})
    assert update(change, there(RULESET), RULESET.families, "b") == (
        Step(Tool.IPSET, "add netpolc-pods6-b ::3 -exist\nadd netpolc-pods6-b ::9 -exist\n"),
        Step(Tool.IPSET, "del netpolc-pairs4-b 10.0.0.1,tcp:80,10.0.0.2 -exist\n"),
    )


def test_sets_chains_then_what_goes() -> None:
    blocks = PrefixSet(
        "blocks", Family.IPV4, ((parse_prefix("10.0.0.0/8"), True), (parse_prefix("10.1.0.0/16"), False))
    )
    asking = Chain("new", (Rule((InSet((Field.SOURCE,), "blocks"),), Drop()),), family=Family.IPV4)
    change = Change(
        sets=(blocks,),
        chains=(asking,),
        removed={"pairs4": frozenset(PAIRS.elements)},
        gone=frozenset({"deny", "mangle-forward", "pods6"}),
    )
    assert update(change, there(RULESET), RULESET.families, "a") == (
        Step(
            Tool.IPSET,
            "create netpolc-blocks-a hash:net family inet maxelem 4194304 -exist\n"
            "add netpolc-blocks-a 10.0.0.0/8 -exist\n"
            "add netpolc-blocks-a 10.1.0.0/16 nomatch -exist\n",
        ),
        Step(
            Tool.IPTABLES,
            "*mangle\n:NETPOLC-FORWARD - [0:0]\n-X NETPOLC-FORWARD\nCOMMIT\n"
            "*filter\n:NETPOLC-new - [0:0]\n:NETPOLC-deny - [0:0]\n"
            "-A NETPOLC-new -m set --match-set netpolc-blocks-a src -j DROP\n"
            "-X NETPOLC-deny\nCOMMIT\n",
        ),
        Step(Tool.IP6TABLES, "*filter\n:NETPOLC-deny - [0:0]\n-X NETPOLC-deny\nCOMMIT\n", settle=True),
        Step(Tool.IPSET, "del netpolc-pairs4-a 10.0.0.1,tcp:80,10.0.0.2 -exist\ndestroy netpolc-pods6-a\n"),
    )


def test_nothing_changes() -> None:
    assert update(Change(), there(RULESET), RULESET.families, "a") == ()


@pytest.mark.parametrize("tag", ["a", "x9"])
def test_names_fit_the_kernel(tag: str) -> None:
    names = [f"in4-{letter * 7}-w7d3h36-p-tcp80-xyetqx{n}" for letter in "ab" for n in range(9)]
    found = {set_name(name, tag) for name in names}
    assert len(found) == len(names)
    assert all(len(name) <= 31 and name.endswith(f"-{tag}") for name in found)


def test_counters_are_of_the_same_words_in_every_generation() -> None:
    """Also of a set that a compile names after its content."""
    long = "in4-frontend-w7d3h36-p-tcp80"
    texts = [f"-m set --match-set {name} src -j RETURN" for name in (set_name(long, "a"), set_name(long, "b2"))]
    texts.append("-m set --match-set netpolc-in4-frontend-0123456789 src -j RETURN")
    assert len({of_iptables_text(text) for text in texts}) == 1
    assert of_iptables_text(texts[0]) != of_iptables_text(f"-m set --match-set {set_name('in4-x', 'a')} src -j RETURN")
