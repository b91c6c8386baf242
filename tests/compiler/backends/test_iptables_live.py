"""Rulesets that move, as texts for ipset and iptables-restore."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.backends.iptables_live import Live, next_version, set_name
from compiler.backends.steps import Step, Tool
from compiler.ir.change import Change
from compiler.ir.match import Field, InSet, Replies
from compiler.ir.ruleset import Accept, Chain, Drop, Goto, Hook, PrefixSet, Return, Rule, Ruleset, Set, Table
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


def loaded(version: int = 1, ruleset: Ruleset = RULESET) -> Live:
    live = Live(version)
    live.load(ruleset)
    return live


def after(live: Live, change: Change) -> tuple[Step, ...]:
    return live.update(change, RULESET)


def test_load() -> None:
    sets, four, six = Live().load(RULESET)
    assert sets == Step(
        Tool.IPSET,
        "create netpolc-pairs4-v1 hash:ip,port,ip family inet maxelem 4194304 -exist\n"
        "add netpolc-pairs4-v1 10.0.0.1,tcp:80,10.0.0.2 -exist\n"
        "create netpolc-pods6-v1 hash:ip family inet6 maxelem 4194304 -exist\n"
        "add netpolc-pods6-v1 ::1 -exist\n",
    )
    assert four == Step(
        Tool.IPTABLES,
        "*mangle\n:NETPOLC-FORWARD - [0:0]\nCOMMIT\n"
        "*filter\n:NETPOLC-FORWARD - [0:0]\n:NETPOLC-deny - [0:0]\n"
        "-A NETPOLC-FORWARD -m set --match-set netpolc-pairs4-v1 src,dst,dst -j RETURN\n"
        "-A NETPOLC-deny -j DROP\n"
        f"{JUMP}COMMIT\n",
    )
    assert six == Step(
        Tool.IP6TABLES,
        "*filter\n:NETPOLC-FORWARD - [0:0]\n:NETPOLC-deny - [0:0]\n"
        "-A NETPOLC-FORWARD -m set --match-set netpolc-pods6-v1 dst -g NETPOLC-deny\n"
        "-A NETPOLC-deny -j DROP\n"
        f"{JUMP}COMMIT\n",
    )


def test_what_is_kept() -> None:
    live = loaded(7)
    assert live.sets == {"netpolc-pairs4-v7", "netpolc-pods6-v7"}
    assert live.chains == {
        "iptables mangle NETPOLC-FORWARD",
        *(f"{tool} filter NETPOLC-{name}" for tool in ("iptables", "ip6tables") for name in ("FORWARD", "deny")),
    }
    after(live, Change(gone=frozenset({"mangle-forward", "pods6"})))
    assert live.sets == {"netpolc-pairs4-v7"}
    assert "iptables mangle NETPOLC-FORWARD" not in live.chains


def test_generations_differ_in_the_names_of_sets() -> None:
    live = Live()
    one, two = ([step.text for step in live.load(RULESET)] for _ in range(2))
    assert [text.replace("-v1 ", "-v2 ") for text in one] == two
    live = Live(99)
    assert "-v99 " in live.load(RULESET)[0].text
    assert "-v1 " in live.load(RULESET)[0].text


def test_a_new_process_takes_a_generation_that_is_free() -> None:
    assert next_version([]) == 1
    assert next_version(["netpolc-pairs4-v1", "netpolc-pairs6-v3", "netpolc-x-0123456789", "v2"]) == 2


def test_only_elements() -> None:
    """What comes before what goes; of other addresses, so nobody has to wait."""
    change = Change(added={"pairs4": frozenset({(9, 8, 6, 80)})}, removed={"pairs4": frozenset(PAIRS.elements)})
    assert after(loaded(), change) == (
        Step(Tool.IPSET, "add netpolc-pairs4-v1 0.0.0.9,tcp:80,0.0.0.8 -exist\n"),
        Step(Tool.IPSET, "del netpolc-pairs4-v1 10.0.0.1,tcp:80,10.0.0.2 -exist\n"),
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
    assert after(loaded(), change) == (
        Step(
            Tool.IPSET,
            "create netpolc-blocks-v1 hash:net family inet maxelem 4194304 -exist\n"
            "add netpolc-blocks-v1 10.0.0.0/8 -exist\n"
            "add netpolc-blocks-v1 10.1.0.0/16 nomatch -exist\n",
        ),
        Step(
            Tool.IPTABLES,
            "*mangle\n:NETPOLC-FORWARD - [0:0]\n-X NETPOLC-FORWARD\nCOMMIT\n"
            "*filter\n:NETPOLC-new - [0:0]\n:NETPOLC-deny - [0:0]\n"
            "-A NETPOLC-new -m set --match-set netpolc-blocks-v1 src -j DROP\n"
            "-X NETPOLC-deny\nCOMMIT\n",
        ),
        Step(Tool.IP6TABLES, "*filter\n:NETPOLC-deny - [0:0]\n-X NETPOLC-deny\nCOMMIT\n", settle=True),
        Step(Tool.IPSET, "del netpolc-pairs4-v1 10.0.0.1,tcp:80,10.0.0.2 -exist\ndestroy netpolc-pods6-v1\n"),
    )


@pytest.mark.parametrize(
    ("added", "removed", "steps"),
    [
        # Somebody is about to be led to `deny` who has connections in front: who asked there must be gone by then.
        ({"pairs6": [(5, 2, 6, 80)], "pods6": [(5,)]}, {}, ["add pairs6 !", "add pods6"]),
        ({"pairs6": [(5, 2, 6, 80)], "pods6": [(6,)]}, {}, ["add pairs6", "add pods6"]),
        # An address that goes from one set of a class to another one.
        ({"peers6": [(5,)]}, {"others6": [(5,)]}, ["add peers6 !", "del others6"]),
        ({"peers6": [(5,)]}, {"others6": [(6,)]}, ["add peers6", "del others6"]),
        ({"peers6": [(5,)]}, {"pairs6": [(1, 5, 6, 80)]}, ["add peers6 !", "del pairs6"]),
        ({"pairs6": [(5, 1, 6, 80)]}, {"peers6": [(5,)]}, ["add pairs6 !", "del peers6"]),
        ({"pairs6": [(5, 1, 6, 80)]}, {"pairs6": [(5, 1, 6, 81)]}, ["add pairs6", "del pairs6"]),
        # One end is denied from now on, the other one is not any more; and neither was let pass in between.
        ({"pods6": [(5,)]}, {"pods6": [(6,)]}, ["add pods6 !", "del pods6"]),
        # Who is no subject any more, before what his class let pass.
        ({}, {"pods6": [(5,)], "peers6": [(6,)]}, ["del pods6 !", "del peers6"]),
        ({}, {"pods6": [(5,)], "pairs6": [(5, 1, 6, 80)]}, ["del pods6", "del pairs6"]),
    ],
)
def test_time_for_packets(
    added: dict[str, list[tuple[int, ...]]], removed: dict[str, list[tuple[int, ...]]], steps: list[str]
) -> None:
    """`!`: every packet gets through before the next step."""
    end = (Field.SOURCE,)
    more = [replace(PAIRS, name="pairs6", family=Family.IPV6, elements=())]
    more += [Set(name, Family.IPV6, end, ()) for name in ("peers6", "others6")]
    asking = tuple(Rule((InSet(end, name),), Return(), Family.IPV6) for name in ("peers6", "others6"))
    ruleset = replace(RULESET, sets=(*RULESET.sets, *more), chains=(*RULESET.chains, Chain("class", asking)))
    change = Change(
        added={name: frozenset(elements) for name, elements in added.items()},
        removed={name: frozenset(elements) for name, elements in removed.items()},
    )
    live = loaded(1, ruleset)
    found = [f"{' '.join(s.text.split()[:2])}{' !' * s.settle}" for s in live.update(change, ruleset)]
    assert [text.replace("netpolc-", "").replace("-v1", "") for text in found] == steps


def test_classes_before_whom_they_get() -> None:
    """A chain that somebody is about to be led to has its new rules before; base chains change when he is there."""
    deny = replace(DENY, rules=(Rule((InSet(PAIRS.key, "pairs4"),), Return(), Family.IPV4), *DENY.rules))
    change = Change(added={"pods6": frozenset({(5,)})}, chains=(replace(FORWARD, rules=FORWARD.rules[1:]), deny))
    tools = [(step.tool.value, step.settle, "FORWARD" in step.text) for step in after(loaded(), change)]
    assert tools == [
        ("iptables", False, False),
        ("ip6tables", True, False),
        ("ipset", False, False),
        ("iptables", False, True),
        ("ip6tables", False, True),
    ]


def test_nothing_changes() -> None:
    assert after(loaded(), Change()) == ()


@pytest.mark.parametrize("version", [1, 99])
def test_names_fit_the_kernel(version: int) -> None:
    names = [f"in4-{letter * 7}-w7d3h36-p-tcp80-xyetqx{n}" for letter in "ab" for n in range(9)]
    found = {set_name(name, version) for name in names}
    assert len(found) == len(names)
    assert all(len(name) <= 31 and name.endswith(f"-v{version}") for name in found)


def test_counters_are_of_the_same_words_in_every_generation() -> None:
    """Also of a set that a compile names after its content."""
    long = "in4-frontend-w7d3h36-p-tcp80"
    texts = [f"-m set --match-set {name} src -j RETURN" for name in (set_name(long, 1), set_name(long, 22))]
    texts.append("-m set --match-set netpolc-in4-frontend-0123456789 src -j RETURN")
    assert len({of_iptables_text(text) for text in texts}) == 1
    assert of_iptables_text(texts[0]) != of_iptables_text(f"-m set --match-set {set_name('in4-x', 1)} src -j RETURN")
