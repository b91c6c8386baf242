"""Steps of nftables rulesets that move: what they mean, how many they are, and which ones wait."""

from __future__ import annotations

from random import Random

import pytest

from compiler.backends import nftables_told
from compiler.backends.nftables_live import Live, next_version
from compiler.backends.target import Backend, Target
from compiler.ir.change import difference
from compiler.ir.match import Field, InSet
from compiler.ir.ruleset import Accept, Chain, Drop, Goto, Hook, Jump, Lookup, PrefixMap, Return, Rule, Ruleset, Set
from compiler.live.compiler import LiveCompiler
from compiler.net import TCP, Family, parse_address, parse_prefix
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from tests.compiler.live.clusters import NODE, World

KEY = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)


def ruleset(
    pairs: str = "", leads: str = "", shared: str = "", classes: tuple[str, ...] = ("web", "db"), **others: str
) -> Ruleset:
    """`leads` and `others`: words `ADDRESS:CHAIN`, of the pods and of what each class finds; `pairs`, `shared`: words
    that are addresses, of what comes from there to 10.0.0.1, and of all members."""
    known = Rule((InSet(KEY, "pairs4"),), Accept(), Family.IPV4)
    stages = (Lookup(Field.SOURCE, "egress4", Family.IPV4), Lookup(Field.DESTINATION, "ingress4", Family.IPV4))
    chains = [Chain("forward", (known, *stages), Hook.FORWARD), Chain("deny", (Rule((), Drop()),))]
    maps = [_map("egress4", ""), _map("ingress4", leads)]
    for name in classes:
        asked = Rule((InSet((Field.SOURCE,), "s4"),), Return(), Family.IPV4)
        rules = (Lookup(Field.SOURCE, f"{name}-a", Family.IPV4), asked, Rule((), Goto("deny")))
        chains.append(Chain(name, rules, family=Family.IPV4))
        maps.append(_map(f"{name}-a", others.get(name, "")))
    elements = sorted((_address(one), _address("10.0.0.1"), TCP, 80) for one in (*pairs.split(), "192.0.2.9"))
    members = sorted((_address(one),) for one in (*shared.split(), "192.0.2.9"))
    sets = (
        Set("pairs4", Family.IPV4, KEY, tuple(elements)),
        Set("s4", Family.IPV4, (Field.SOURCE,), tuple(members)),
    )
    return Ruleset(tuple(chains), sets, tuple(maps))


def _address(text: str) -> int:
    return parse_address(text)[1]


def _map(name: str, words: str) -> PrefixMap:
    found = {parse_prefix("192.0.2.9/32"): Jump("deny")}
    for word in words.split():
        address, _, chain = word.partition(":")
        found[parse_prefix(f"{address}/32")] = Jump(chain)
    return PrefixMap(name, Family.IPV4, tuple(sorted(found.items(), key=lambda one: one[0])))


LEADS = "10.0.0.1:web 10.0.0.2:db"
KNOWN = "10.1.0.1:deny"
BASE = ruleset("", LEADS, "10.1.0.3", web=KNOWN)
#: What the ruleset of `BASE` becomes, and how many steps that takes.
STEPS = {
    "a pod elsewhere": (ruleset("10.1.0.2", LEADS, "10.1.0.3", web=f"{KNOWN} 10.1.0.2:deny", db="10.1.0.2:deny"), 1),
    "it goes": (ruleset("", LEADS, "10.1.0.3"), 1),
    "shared no more": (ruleset("", LEADS, web=KNOWN), 1),
    "excepted, and shared": (ruleset("", LEADS, "10.1.0.2 10.1.0.3", web=f"{KNOWN} 10.1.0.2:deny"), 2),
    "from the set to the map": (ruleset("", LEADS, "", web=f"{KNOWN} 10.1.0.3:deny"), 2),
    "isolated, with pairs": (ruleset("10.1.0.7", f"{LEADS} 10.0.0.3:web", "10.1.0.3", web=KNOWN), 2),
    "a class of its own": (
        ruleset("", f"{LEADS} 10.0.0.3:new", "10.1.0.3", ("web", "db", "new"), web=KNOWN, new="10.1.0.1:deny"),
        2,
    ),
    "another class, and found elsewhere": (
        ruleset("", "10.0.0.1:db 10.0.0.2:db", "10.1.0.3", web=KNOWN, db="10.0.0.1:deny"),
        4,
    ),
    "gone, and found no more": (ruleset("", "10.0.0.2:db", "10.1.0.3", web=KNOWN), 2),
    "two of the node, found by one side": (
        ruleset("", LEADS, "10.1.0.3", web=f"{KNOWN} 10.0.0.2:deny", db="10.0.0.1:deny"),
        1,
    ),
    "two of the node at once": (ruleset("", "10.0.0.1:db 10.0.0.2:web", "10.1.0.3", web=KNOWN), 2),
}


@pytest.mark.parametrize("what", STEPS)
def test_steps_of_a_change(what: str) -> None:
    after, expected = STEPS[what]
    live = Live()
    live.load(BASE)
    steps = live.update(difference(BASE, after), after)
    assert [step.settle for step in steps] == [True] * expected


def test_what_is_not_changed_has_no_steps() -> None:
    live = Live()
    live.load(BASE)
    before = live.sets
    assert live.update(difference(BASE, BASE), BASE) == ()
    assert live.sets == before


def test_answers_come_first_and_go_last() -> None:
    """Who begins to be isolated is never without what is answered in advance, nor who no longer is."""
    live = Live()
    live.load(BASE)
    after, _ = STEPS["isolated, with pairs"]
    first, last = live.update(difference(BASE, after), after)
    assert ("@ingress4" in first.text, "10.1.0.7 . 10.0.0.1 . tcp . 80" in first.text) == (True, True)
    assert last.text == "delete set inet netpolc ingress4-32-v1\n"
    first, last = live.update(difference(after, BASE), BASE)
    assert ("add map inet netpolc ingress4" in first.text, "10.1.0.7" in first.text) == (True, False)
    assert "delete element inet netpolc pairs4-v1 {\n\t10.1.0.7 . 10.0.0.1 . tcp . 80\n}" in last.text


def test_verdicts_of_both_ways() -> None:
    live = Live()
    live.load(BASE)
    after, _ = STEPS["another class, and found elsewhere"]
    first, second, third, last = live.update(difference(BASE, after), after)
    name = first.text.partition("\tchain both-")[2].partition(" ")[0]
    assert f"10.0.0.1 : jump both-{name}" in first.text
    assert f"chain both-{name} {{\n\t\tjump web\n\t\tjump db\n" in first.text
    assert "10.0.0.1 : jump deny" in second.text
    assert "10.0.0.1 : jump db" in third.text
    assert f"delete chain inet netpolc both-{name}" in last.text


def test_versions() -> None:
    assert next_version([]) == 1
    assert next_version(["pairs4-v3", "egress4-32-v12", "in4-a-5r4oyd2-a-32-3eff0a78cc", "pairs4-1234567890"]) == 13


@pytest.mark.parametrize("chunk", [8192, 3])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_loaded_means_what_the_policies_say(
    seed: int, closed: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nftables_told, "CHUNK", chunk)
    compiler = LiveCompiler(Target(Backend.NFTABLES, NODE), closed)
    for batch in World(Random(seed)).history(2):
        compiler.take(batch)
    steps = Live().load(compiler.ruleset())
    assert [step.settle for step in steps] == [*[False] * (len(steps) - 1), True]
    rules = rulesets.read([("netpolc.nft", "".join(step.text for step in steps))])
    policies = [located.value for located in compiler.policies()]
    assert isinstance(verify(policies, compiler.snapshot(), NODE, rules), Equal)
