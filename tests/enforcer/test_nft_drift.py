"""What others do to our table is noticed at once, whatever it is; what we do is not taken for theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from enforcer.dataplane import Actual, Step, Tool
from enforcer.nftables import tables as nft_tables
from enforcer.nftables.nft import Nft
from enforcer.nftables.tables import Tables
from tests.enforcer.test_nft import whole
from tests.kernel.namespace import Namespace
from tests.kernel.test_reload import BEFORE, NEXT

pytestmark = pytest.mark.kernel

#: By others, to a table with the rules of `BEFORE` and these.
OWN = """
add table inet netpolc
add set inet netpolc held { type ipv4_addr ; }
add element inet netpolc held { 192.0.2.1, 192.0.2.2 }
add map inet netpolc leading { type ipv4_addr : verdict ; }
add element inet netpolc leading { 192.0.2.1 : jump deny }
"""
FOREIGN = {
    "a rule is added": "add rule inet netpolc deny accept",
    "a rule comes first": "insert rule inet netpolc forward accept",
    "a rule goes": "flush chain inet netpolc deny",
    "an element comes": "add element inet netpolc held { 192.0.2.3 }",
    "an element goes": "delete element inet netpolc held { 192.0.2.1 }",
    "an element for another": "delete element inet netpolc held { 192.0.2.1 }; "
    "add element inet netpolc held { 192.0.2.3 }",
    "an element leads elsewhere": "delete element inet netpolc leading { 192.0.2.1 }; "
    "add element inet netpolc leading { 192.0.2.1 : accept }",
    "a set is emptied": "flush set inet netpolc held",
    "a chain is new": "add chain inet netpolc more",
    "a base chain is new": "add chain inet netpolc early { type filter hook forward priority -300 ; policy accept ; }",
    "a set is new": "add set inet netpolc more { type ipv4_addr ; }",
    "a set goes": "delete set inet netpolc held",
    "a policy": "add chain inet netpolc forward { policy drop ; }",
    "the table sleeps": "add table inet netpolc { flags dormant ; }",
    "the table is emptied": "flush table inet netpolc",
    "the table goes": "delete table inet netpolc",
    "everything goes": "flush ruleset",
}


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


def fresh(namespace: Namespace) -> str:
    """The fingerprint that somebody reads who has heard nothing."""
    with namespace:
        tables = Tables()
    try:
        return tables.now().fingerprint()
    finally:
        tables.close()


@pytest.mark.parametrize("what", FOREIGN)
def test_changes_of_others_are_noticed(nft: Nft, namespace: Namespace, what: str) -> None:
    nft.apply([whole(BEFORE), Step(Tool.NFT, OWN)])
    before, deep = nft.read(), nft.read(deep=True)
    nft.wait(0)
    assert not nft.wait(0)
    namespace.run("nft", FOREIGN[what])
    began = time.monotonic()
    assert nft.wait(5)
    assert time.monotonic() - began < 0.5
    assert not nft.wait(0), "once"
    now = nft.read()
    assert now.fingerprint != before.fingerprint
    assert nft.read(deep=True).fingerprint != deep.fingerprint
    if not now.empty:
        assert now.fingerprint == fresh(namespace)


def test_what_is_put_back_is_as_before(nft: Nft, namespace: Namespace) -> None:
    nft.apply([whole(BEFORE), Step(Tool.NFT, OWN)])
    before = nft.read()
    namespace.run("nft", "delete element inet netpolc held { 192.0.2.1 }")
    assert nft.read() != before
    namespace.run("nft", "add element inet netpolc held { 192.0.2.1 }")
    assert nft.read() == before
    assert nft.wait(0)


@pytest.mark.parametrize("what", FOREIGN)
def test_a_load_mends_it(nft: Nft, namespace: Namespace, what: str) -> None:
    nft.apply([whole(BEFORE)])
    good = nft.read()
    nft.apply([Step(Tool.NFT, OWN)])
    namespace.run("nft", FOREIGN[what])
    nft.apply([whole(BEFORE)])
    nft.apply(nft.sweep(good))
    assert nft.read() == good


def test_own_changes_are_nobodys(nft: Nft, namespace: Namespace) -> None:
    nft.wait(0)
    for objects in (BEFORE, NEXT, BEFORE):
        nft.apply([whole(objects), Step(Tool.NFT, OWN)])
        assert not nft.wait(0)
        nft.apply(nft.sweep(Actual()))
        assert not nft.wait(0)
        assert nft.read().fingerprint == fresh(namespace)
    nft.remove()
    assert not nft.wait(0.05)


def test_other_tables_are_nobodys(nft: Nft, namespace: Namespace) -> None:
    nft.apply([whole(BEFORE)])
    nft.wait(0)
    before = nft.read()
    for text in ("add table ip netpolc", "add table inet other", "add chain inet other netpolc"):
        namespace.run("nft", text)
    namespace.run("iptables-nft", "-A", "FORWARD", "-j", "ACCEPT")
    assert not nft.wait(0.1)
    assert nft.read() == before


def test_what_was_missed_may_have_been_somebody(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """More is told than there is room for: then the table is read again, and nothing is taken for granted."""
    monkeypatch.setattr(nft_tables, "_ROOM", 1 << 20)
    with namespace:
        small = Nft()
    many = ", ".join(f"10.0.{n >> 8}.{n & 255}" for n in range(20_000))
    small.apply([whole(BEFORE), Step(Tool.NFT, OWN)])
    small.wait(0)
    before = small.read()
    for verb, same in (("add", False), ("delete", True), ("add", False), ("delete", True)):
        namespace.run("nft", "-f", "-", stdin=f"{verb} element inet netpolc held {{ {many} }}\n")
        assert small.wait(1)
        assert not small.wait(0)
        assert small.read().fingerprint == fresh(namespace)
        assert (small.read() == before) == same
    small.apply([Step(Tool.NFT, f"add element inet netpolc held {{ {many} }}\n")])
    assert small.wait(0), "nobody knows"
    small.close()
