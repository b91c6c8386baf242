"""The nftables dataplane on a real kernel: what it reads, applies, sweeps and removes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.profiles import nft_json
from compiler.snapshot import build
from enforcer.dataplane import Actual, Refused, Step, Tool
from enforcer.nftables.nft import Nft
from grammar.source import Source
from tests.kernel.compiled import Object, files, loaded
from tests.kernel.namespace import Namespace
from tests.kernel.test_reload import BEFORE, NEXT

pytestmark = pytest.mark.kernel

#: A table of somebody else, with everything that a table can have.
OTHERS = """
table inet other {
	set s { type ipv4_addr ; elements = { 192.0.2.7 } ; }
	chain netpolc { counter drop ; }
	chain forward { type filter hook forward priority filter ; policy accept ; ip saddr @s jump netpolc ; }
}
table ip netpolc {
	chain forward { type filter hook forward priority filter ; policy accept ; ip saddr 192.0.2.7 drop ; }
}
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    space = Namespace()
    yield space
    space.close()


@pytest.fixture
def nft(namespace: Namespace) -> Iterator[Nft]:
    with namespace:
        found = Nft()
    yield found
    found.close()


def whole(objects: Sequence[Object]) -> Step:
    return Step(Tool.NFT, files(objects, "nftables")["netpolc.nft"])


def others(namespace: Namespace) -> str:
    return "".join(namespace.run("nft", "list", "table", *name.split()) for name in ("inet other", "ip netpolc"))


def test_nothing_is_there(nft: Nft) -> None:
    assert nft.read() == Actual()
    assert nft.read(deep=True).empty
    assert nft.sweep(Actual()) == ()
    nft.remove()


def test_equal_content_has_equal_fingerprints(nft: Nft) -> None:
    nft.apply([whole(BEFORE)])
    first, deep = nft.read(), nft.read(deep=True)
    assert {"forward", "input", "output", "deny"} <= first.chains
    assert (first.chains, first.sets) == (deep.chains, deep.sets)
    assert first.fingerprint != deep.fingerprint
    nft.apply([whole(BEFORE)])
    assert (nft.read(), nft.read(deep=True)) == (first, deep)
    nft.apply([whole(NEXT)])
    assert nft.read().fingerprint != first.fingerprint


def test_sweep_leaves_what_is_kept(nft: Nft, namespace: Namespace) -> None:
    nft.apply([whole(BEFORE)])
    before = nft.read()
    nft.apply([whole(NEXT)])
    both = nft.read()
    nft.apply([whole(BEFORE)])
    assert before.chains < both.chains
    assert before.sets < both.sets
    nft.apply(nft.sweep(before))
    assert nft.read() == before
    assert nft.sweep(before) == ()


def test_tables_of_others_stay(nft: Nft, namespace: Namespace) -> None:
    namespace.run("nft", "-f", "-", stdin=OTHERS)
    listed = others(namespace)
    assert nft.read() == Actual()
    nft.apply([whole(BEFORE)])
    assert nft.read().chains.isdisjoint({"netpolc"})
    nft.apply(nft.sweep(Actual()))
    assert nft.read().chains == frozenset()
    nft.apply([whole(NEXT)])
    nft.remove()
    assert nft.read() == Actual()
    assert others(namespace) == listed


@pytest.mark.parametrize(
    "text",
    [
        "add element inet netpolc self4 { 10.0.0.1 . 10.0.0.1 }\nadd chain inet netpolc new\n",
        "add chain inet netpolc new\nadd rule inet netpolc new jump nowhere\n",
        "add chain inet netpolc new\ngarbage\n",
        "flush table inet netpolc\ndelete chain inet netpolc nowhere\n",
    ],
)
def test_what_is_refused_changes_nothing(nft: Nft, text: str) -> None:
    nft.apply([whole(BEFORE)])
    before = nft.read(deep=True)
    with pytest.raises(Refused, match=r"^step 2: Error") as refused:
        nft.apply([Step(Tool.NFT, "add chain inet netpolc first\n"), Step(Tool.NFT, text)])
    assert refused.value.step == 1
    nft.apply(nft.sweep(before))
    assert nft.read(deep=True) == before


@pytest.mark.parametrize(
    "text",
    [
        "delete chain inet netpolc forward\n"
        "add chain inet netpolc forward { type filter hook input priority 7 ; policy accept ; }\n",
        "flush chain inet netpolc input\ndelete chain inet netpolc input\nadd chain inet netpolc input\n",
        "add set inet netpolc held { type ipv4_addr ; }\n",
    ],
    ids=["another hook", "no hook", "another set"],
)
def test_what_others_made_of_the_table_is_no_obstacle(nft: Nft, namespace: Namespace, text: str) -> None:
    """The kernel takes no other hook for a chain, nor other elements for a set: then the table is replaced."""
    load = Step(Tool.NFT, whole(BEFORE).text + "add set inet netpolc held { type inet_service ; }\n")
    nft.apply([load])
    good = nft.read()
    namespace.run("nft", "delete", "set", "inet", "netpolc", "held")
    namespace.run("nft", "-f", "-", stdin=f"flush table inet netpolc\n{text}")
    nft.apply([load])
    assert nft.read() == good


def test_rules_that_were_compiled_to_be_counted(namespace: Namespace, nft: Nft) -> None:
    """The same numbers by the same words as in what nft prints."""
    found = loaded(BEFORE)
    compiler = Compiler(found.policies, build(found.pods, found.namespaces, found.nodes, {"shop"}))
    text = compiler.compile(Target(Backend.NFTABLES, "node1", counters=True)).files["netpolc.nft"]
    text = text.replace(" counter ", " counter packets 7 bytes 700 ")
    nft.apply([Step(Tool.NFT, text)])
    (counted,) = nft.counters(1000.5)
    printed = namespace.run("nft", "-j", "list", "table", "inet", "netpolc")
    known = nft_json.profile(Source("nft.json", printed), lambda flaw: pytest.fail(str(flaw)))
    marked = {key: count for key, count in known.counts.items() if key.words.startswith("comment ")}
    assert len(marked) > 10
    assert counted.counts == marked
    assert (counted.tool, counted.time) == ("nft", 1000)
    assert counted.packets == 7 * text.count("packets 7") > 0
