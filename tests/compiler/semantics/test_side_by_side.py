"""What is found side by side is what diagrams say: of random lists with rules that changed places, went or came."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.proof import equivalence
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.proof.same_chains import Compared, same_chains
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.netfilter import Ruleset

BLOCKS = ("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24")
PORTS = ("80", "80:90", "0:1023", "443", "85")
#: Of rules that do not end ways, and of those that do.
ON = (
    "-j LOG",
    "-j LOG --log-prefix x",
    "-j MARK --set-mark 1",
    "-j A",
    "-j B",
    "",
    "-m limit --limit 1/s -j DROP",
    "-m recent --name x --set",
    "-m recent --name x --rcheck -j DROP",
)
END = ("-j ACCEPT", "-j DROP", "-j REJECT", "-j RETURN", "-g B")


def rule(chosen: Random, own: str) -> str:
    asks = []
    for option in ("-s", "-d"):
        if chosen.random() < 0.6:
            asks.append(f"{'! ' * (chosen.random() < 0.2)}{option} {chosen.choice(BLOCKS)}")
    if chosen.random() < 0.6:
        asks.append("-p tcp")
        kind = chosen.random()
        if kind < 0.4:
            asks.append(f"--dport {chosen.choice(PORTS)}")
        elif kind < 0.6:
            asks.append(f"-m multiport --{chosen.choice(('dports', 'ports'))} 80,443,1000:2000")
        elif kind < 0.7:
            asks.append(chosen.choice(("--syn", "! --syn")))
    if chosen.random() < 0.2:
        asks.append(f"-m conntrack --ctstate {chosen.choice(('NEW', 'NEW,RELATED', 'ESTABLISHED'))}")
    if chosen.random() < 0.1:
        asks.append("-m mark --mark 1")
    does = chosen.choice(END if chosen.random() < 0.7 else ON)
    if own == "B" or (own == "A" and does == "-j A"):
        does = "-j DROP" if does in ("-j A", "-j B", "-g B") else does
    return " ".join([*asks, does])


def text(chains: dict[str, list[str]], policy: str = "ACCEPT") -> str:
    lines = [f"-A {name} {one}" for name, rules in chains.items() for one in rules]
    return "\n".join(["*filter", f":FORWARD {policy}", ":A -", ":B -", *lines, "COMMIT", ""])


def changed(chosen: Random, rules: list[str]) -> Iterator[list[str]]:
    """Lists that may do the same."""
    found = list(rules)
    for _ in range(chosen.choice((1, 1, 2, 4))):
        at = chosen.randrange(len(found))
        kind = chosen.random()
        if kind < 0.5:
            found.insert(chosen.randrange(len(found)), found.pop(at))
        elif kind < 0.8 and len(found) > 1:
            del found[at]
        elif "10.0.0.0/8" in found[at] and "!" not in found[at]:
            halves = [found[at].replace("10.0.0.0/8", half, 1) for half in ("10.0.0.0/9", "10.128.0.0/9")]
            found[at : at + 1] = halves
        yield list(found)


def by_diagrams(one: Ruleset, two: Ruleset, monkeypatch: pytest.MonkeyPatch) -> bool:
    with monkeypatch.context() as patch:
        patch.setattr(equivalence, "same_chains", lambda _, two: Compared(two, equal=False))
        return isinstance(equivalent(one, two, (4,)), Equal)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_found_is_so(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Diagrams and `equivalent`, which compares the rest by diagrams, agree with it."""
    chosen = Random(seed)
    answers = {(True, True): 0, (False, True): 0, (False, False): 0}
    for _ in range(40):
        chains = {name: [rule(chosen, name) for _ in range(chosen.randint(1, 7))] for name in ("FORWARD", "A", "B")}
        policy = chosen.choice(("ACCEPT", "DROP"))
        own = chosen.choice(list(chains))
        for other in changed(chosen, chains[own]):
            try:
                one, two = (rulesets.read([("rules", text(each, policy))]) for each in (chains, {**chains, own: other}))
                same = by_diagrams(one, two, monkeypatch)
            except Unprovable:
                continue
            found = same_chains(one, two).equal
            assert same or not found, (text(chains, policy), other)
            assert isinstance(equivalent(one, two, (4,)), Equal) is same
            answers[found, same] += 1
    assert min(answers.values()) > 0


FOUND = [
    # What is disjoint changes places; so does what ends ways alike.
    ("-s 10.0.0.0/9 -j DROP; -s 10.128.0.0/9 -j ACCEPT", "-s 10.128.0.0/9 -j ACCEPT; -s 10.0.0.0/9 -j DROP"),
    ("-s 10.0.0.0/8 -j DROP; -d 10.0.0.0/8 -j DROP", "-d 10.0.0.0/8 -j DROP; -s 10.0.0.0/8 -j DROP"),
    ("! -s 10.0.0.0/8 -j LOG; -s 10.1.0.0/16 -j DROP", "-s 10.1.0.0/16 -j DROP; ! -s 10.0.0.0/8 -j LOG"),
    ("-p tcp --syn -j DROP; -p tcp ! --syn -j ACCEPT", "-p tcp ! --syn -j ACCEPT; -p tcp --syn -j DROP"),
    # Shadowed by one rule, or by two together.
    ("-s 10.0.0.0/8 -j DROP; -s 10.1.0.0/16 -j ACCEPT", "-s 10.0.0.0/8 -j DROP"),
    (
        "-s 10.0.0.0/9 -j DROP; -s 10.128.0.0/9 -j ACCEPT; -s 10.0.0.0/8 -p tcp -j REJECT",
        "-s 10.0.0.0/9 -j DROP; -s 10.128.0.0/9 -j ACCEPT",
    ),
    # Makes no difference: a later rule does the same, or the policy; what nobody reaches does nothing.
    ("-s 10.1.0.0/16 -p udp -j DROP; -p tcp -j ACCEPT; -s 10.0.0.0/8 -j DROP",
     "-p tcp -j ACCEPT; -s 10.0.0.0/8 -j DROP"),
    ("-p tcp -j ACCEPT", ""),
    ("-j DROP; -m limit --limit 1/s -j ACCEPT", "-j DROP"),
    # Become one.
    (
        "-s 10.0.0.0/9 -j DROP; -p udp -s 192.0.2.0/24 -j ACCEPT; -s 10.128.0.0/9 -j DROP; -j REJECT",
        "-s 10.0.0.0/8 -j DROP; -p udp -s 192.0.2.0/24 -j ACCEPT; -j REJECT",
    ),
    ("-p tcp --dport 80 -j DROP; -p tcp --dport 81 -j DROP", "-p tcp --dport 80:81 -j DROP"),
    # Stateful matches on both sides of others that they have nothing to do with.
    (
        "-p tcp -m recent --name x --set; -p udp -m recent --name x --rcheck -j DROP; -p udp -j DROP",
        "-p udp -m recent --name x --rcheck -j DROP; -p tcp -m recent --name x --set; -p udp -j DROP",
    ),
    # Shadowed from behind a mark, of which the rule does not ask.
    ("-s 10.0.0.0/8 -j DROP; -j MARK --set-mark 1; -s 10.1.0.0/16 -j ACCEPT",
     "-s 10.0.0.0/8 -j DROP; -j MARK --set-mark 1"),
]  # fmt: skip

#: These are different, or not found.
LEFT = [
    ("-s 10.0.0.0/8 -j DROP; -d 10.0.0.0/8 -j ACCEPT", "-d 10.0.0.0/8 -j ACCEPT; -s 10.0.0.0/8 -j DROP"),
    ("-s 10.0.0.0/8 -j LOG; -d 10.0.0.0/8 -j DROP", "-d 10.0.0.0/8 -j DROP; -s 10.0.0.0/8 -j LOG"),
    ("-m mark --mark 1 -j DROP; -m mark --mark 2 -j MARK --set-mark 1",
     "-m mark --mark 2 -j MARK --set-mark 1; -m mark --mark 1 -j DROP"),
    ("-m mark --mark 2 -j DROP; -j MARK --set-mark 2; -m mark --mark 2 -j REJECT",
     "-m mark --mark 2 -j DROP; -j MARK --set-mark 2"),
    ("-m limit --limit 1/s -j DROP; -p tcp -j ACCEPT", "-p tcp -j ACCEPT; -m limit --limit 1/s -j DROP"),
    ("-s 10.1.0.0/16 -j ACCEPT; -s 10.0.0.0/8 -j DROP", "-s 10.0.0.0/8 -j DROP"),
    ("-s 10.0.0.0/9 -j DROP; -p tcp -j ACCEPT; -s 10.128.0.0/9 -j DROP", "-s 10.0.0.0/8 -j DROP; -p tcp -j ACCEPT"),
    ("-j DROP", ""),
    ("", "-p tcp -j LOG"),
]  # fmt: skip


def listed(rules: str) -> Ruleset:
    own = [one.strip() for one in rules.split(";") if one.strip()]
    return rulesets.read([("rules", text({"FORWARD": own}))])


@pytest.mark.parametrize(("one", "two"), FOUND)
def test_found(one: str, two: str) -> None:
    for a, b in ((one, two), (two, one)):
        assert same_chains(listed(a), listed(b)).equal
        assert equivalent(listed(a), listed(b)) == Equal((4, 6))


@pytest.mark.parametrize(("one", "two"), LEFT)
def test_left_to_diagrams(one: str, two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for a, b in ((one, two), (two, one)):
        assert not same_chains(listed(a), listed(b)).equal
        assert not by_diagrams(listed(a), listed(b), monkeypatch)
