"""Rulesets that move, as texts for ipset and iptables-restore."""

from __future__ import annotations

import re
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
    assert [re.sub(r"-v1\b", "-v2", text) for text in one] == two
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
            "flush netpolc-blocks-v1\n"
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
        ({"pairs6": [(5, 2, 6, 80)]}, {}, ["add pairs6-v1"]),
        ({"pairs6": [(5, 1, 6, 80)]}, {"pairs6": [(5, 1, 6, 81)]}, ["add pairs6-v1", "del pairs6-v1"]),
        # An address that goes from one set of a class to another one.
        ({"peers6": [(5,)]}, {"others6": [(5,)]}, ["add peers6-v1 !", "del others6-v1"]),
        ({"peers6": [(5,)]}, {"others6": [(6,)]}, ["add peers6-v1", "del others6-v1"]),
        ({"peers6": [(5,)]}, {"pairs6": [(1, 5, 6, 80)]}, ["add peers6-v1 !", "del pairs6-v1"]),
        ({"pairs6": [(5, 1, 6, 80)]}, {"peers6": [(5,)]}, ["add pairs6-v1 !", "del peers6-v1"]),
        # What is asked first comes first and goes last, and all packets get through in between.
        ({"peers6": [(5,)], "others6": [(5,)]}, {}, ["add peers6-v1 !", "add others6-v1"]),
        ({}, {"others6": [(5,)], "peers6": [(5,)]}, ["del others6-v1 !", "del peers6-v1"]),
        ({"peers6": [(5,)], "others6": [(6,)]}, {}, ["add peers6-v1"]),
        ({"peers6": [(5,)], "elsewhere6": [(5,)]}, {}, ["add peers6-v1"]),
        ({"peers6": [(5,)]}, {"elsewhere6": [(5,)]}, ["add peers6-v1", "del elsewhere6-v1"]),
        # Two of this node's pods, each among those whom the class of the other one knows.
        ({"peers6": [(1,)]}, {"others6": [(2,)]}, ["others6-v2 peers6-v2", "ip6tables", "destroy others6-v1"]),
        # Who is a subject.
        ({"pods6": [(5,)]}, {}, ["pods6-v2", "ip6tables", "destroy pods6-v1"]),
        ({"pods6": [(5,)], "pairs6": [(5, 3, 6, 9)]}, {}, ["pods6-v2 pairs6-v1", "ip6tables", "destroy pods6-v1"]),
        ({}, {"pods6": [(1,)], "pairs6": [(1, 3, 6, 9)]}, ["pods6-v2", "ip6tables !", "del pairs6-v1"]),
    ],
)
def test_moves(
    added: dict[str, list[tuple[int, ...]]], removed: dict[str, list[tuple[int, ...]]], steps: list[str]
) -> None:
    """`!`: every packet gets through before the next step."""
    end = (Field.SOURCE,)
    pairs = replace(PAIRS, name="pairs6", family=Family.IPV6, elements=())
    more = [Set(name, Family.IPV6, end, ()) for name in ("peers6", "others6", "elsewhere6")]
    asking = tuple(Rule((InSet(end, name),), Return(), Family.IPV6) for name in ("peers6", "others6"))
    another = (Rule((InSet(end, "elsewhere6"),), Return(), Family.IPV6),)
    front = replace(FORWARD, rules=(Rule((InSet(PAIRS.key, "pairs6"),), Accept(), Family.IPV6), *FORWARD.rules[1:]))
    pods = replace(PODS, elements=((1,), (2,)))
    ruleset = replace(
        RULESET, sets=(PAIRS, pods, pairs, *more), chains=(front, DENY, Chain("class", asking), Chain("other", another))
    )
    change = Change(
        added={name: frozenset(elements) for name, elements in added.items()},
        removed={name: frozenset(elements) for name, elements in removed.items()},
    )
    live = Live()
    live.load(ruleset)
    assert list(map(shown, live.update(change, ruleset))) == steps


def shown(step: Step) -> str:
    """The sets that come, or the first word that a line says about elements."""
    lines = step.text.replace("netpolc-", "").splitlines()
    made = [line.split()[1] for line in lines if line.startswith("create ")]
    if made:
        found = " ".join([*made, *dict.fromkeys(line.split()[1] for line in lines if line.split()[1] not in made)])
    else:
        found = " ".join(lines[0].split()[:2]) if step.tool is Tool.IPSET else step.tool.value
    return f"{found}{' !' * step.settle}"


def test_what_moves_together_is_in_one_restore() -> None:
    """The chain that asks a set by its new name, and the chain that the change brings."""
    live = loaded()
    extra = replace(DENY, rules=(Rule((InSet(PAIRS.key, "pairs4"),), Return(), Family.IPV4), *DENY.rules))
    after_it = replace(RULESET, chains=(FORWARD, extra, MARKS), sets=(PAIRS, replace(PODS, elements=((1,), (5,)))))
    steps = live.update(Change(added={"pods6": frozenset({(5,)})}, chains=(extra,)), after_it)
    assert [step.tool for step in steps] == [Tool.IPSET, Tool.IPTABLES, Tool.IP6TABLES, Tool.IPSET]
    assert steps[0].text == (
        "create netpolc-pods6-v2 hash:ip family inet6 maxelem 4194304 -exist\n"
        "flush netpolc-pods6-v2\n"
        "add netpolc-pods6-v2 ::1 -exist\n"
        "add netpolc-pods6-v2 ::5 -exist\n"
    )
    assert "--match-set netpolc-pods6-v2 dst" in steps[2].text
    assert ":NETPOLC-deny - [0:0]" in steps[1].text
    assert steps[3].text == "destroy netpolc-pods6-v1\n"
    assert live.sets == {"netpolc-pairs4-v1", "netpolc-pods6-v2"}
    assert "-v3 " in live.load(after_it)[0].text, "neither of those that are asked"


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
