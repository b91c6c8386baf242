"""The dataplane of iptables, both variants, in a real kernel: what it brings in, finds, repairs and takes away."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from compiler.profiles.profiles import Count, Key
from compiler.profiles.words import of_iptables_text
from compiler.semantics.packet import TCP, Packet
from enforcer.dataplane import Actual, Refused, Step, Tool
from enforcer.iptables.iptables import Iptables, Variant
from tests.kernel.compiled import files
from tests.kernel.namespace import Namespace
from tests.kernel.rig import Rig
from tests.kernel.test_paths import A, B
from tests.kernel.test_reload import BEFORE, NEXT

pytestmark = pytest.mark.kernel

TOOLS = ("iptables", "ip6tables")
_STEPS = {"ipset.save": Tool.IPSET, "iptables.save": Tool.IPTABLES, "ip6tables.save": Tool.IP6TABLES}
_NOT_RULES = re.compile(r" initval \S+| \[\d+:\d+\]|^#.*\n", re.MULTILINE)
_JUMP = re.compile(r"^-A (?:INPUT|FORWARD|OUTPUT) .*NETPOLC-.*$", re.MULTILINE)


@pytest.fixture(params=list(Variant), ids=lambda variant: variant.value)
def variant(request: pytest.FixtureRequest) -> Variant:
    found = request.param
    assert isinstance(found, Variant)
    return found


@pytest.fixture
def dataplane(rig: Rig, variant: Variant) -> Iterator[Iptables]:
    """The test runs in the rig's namespace."""
    with rig.namespace:
        made = Iptables(variant)
        try:
            yield made
        finally:
            made.close()


def steps(objects: list[dict[str, object]]) -> list[Step]:
    return [Step(_STEPS[name], text) for name, text in files(objects, "iptables-legacy").items()]


def saved(rig: Rig, variant: Variant) -> str:
    """All rules and sets, of everybody."""
    rules = [rig.namespace.run(f"{tool}-{variant.value}-save") for tool in TOOLS]
    return _NOT_RULES.sub("", "".join([*rules, rig.namespace.run("ipset", "save", "-sorted")]))


def run(rig: Rig, variant: Variant, words: str) -> None:
    """`iptables ...` or `ip6tables ...` of somebody else."""
    tool, *rest = words.split()
    rig.namespace.run(f"{tool}-{variant.value}", "-w", *rest)


def test_applied_again_changes_nothing(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    """Each jump is there once, after any number of loads, also by one who does not remember the first."""
    assert dataplane.read() == Actual()
    dataplane.apply(steps(NEXT))
    once, first = saved(rig, variant), dataplane.read()
    assert len(_JUMP.findall(once)) == 2 * 3
    dataplane.apply(steps(NEXT))
    assert saved(rig, variant) == once
    other = Iptables(variant)
    assert other.read() == first
    assert other.read(deep=True) == dataplane.read(deep=True)
    other.apply(steps(NEXT))
    assert saved(rig, variant) == once
    other.close()
    assert dataplane.read() == first
    probes = [Packet(B[f], A[f], TCP, 1, n) for f in (4, 6) for n in (80, 81)]
    assert rig.forwarded(probes) == [True, False] * 2


def test_sweep_leaves_what_a_fresh_load_has(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    dataplane.apply(steps(BEFORE))
    wanted, fresh = dataplane.read(deep=True), saved(rig, variant)
    dataplane.apply(steps(NEXT))
    dataplane.apply(steps(BEFORE))
    assert dataplane.read().chains > wanted.chains
    assert dataplane.read().sets > wanted.sets
    dataplane.apply(dataplane.sweep(wanted))
    assert sorted(saved(rig, variant).splitlines()) == sorted(fresh.splitlines())
    assert dataplane.read(deep=True) == wanted
    assert dataplane.sweep(wanted) == []


def test_remove_leaves_others_alone(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    for tool, source in (("iptables", "10.99.0.1"), ("ip6tables", "fd00:99::1")):
        run(rig, variant, f"{tool} -N KUBE-X")
        run(rig, variant, f"{tool} -A KUBE-X -s {source} -j ACCEPT")
        run(rig, variant, f"{tool} -A FORWARD -j KUBE-X")
        run(rig, variant, f"{tool} -t nat -A POSTROUTING -s {source} -j ACCEPT")
        run(rig, variant, f"{tool} -P FORWARD DROP")
    rig.namespace.run("ipset", "create", "others", "hash:ip")
    before = saved(rig, variant)
    dataplane.apply(steps(NEXT))
    assert saved(rig, variant) != before
    # Also what leads to our chains from the chain of somebody else.
    run(rig, variant, "iptables -A KUBE-X -s 10.99.0.2 -g NETPOLC-deny")
    dataplane.remove()
    assert saved(rig, variant) == before
    assert dataplane.read() == Actual()
    dataplane.remove()
    assert saved(rig, variant) == before


def test_looking_brings_no_table_in(variant: Variant) -> None:
    fresh = Namespace()
    with fresh:
        dataplane = Iptables(variant)
        fresh.run(f"iptables-{variant.value}", "-t", "mangle", "-A", "INPUT")
        assert dataplane.read(deep=True).empty
        assert dataplane.sweep(Actual()) == []
        dataplane.remove()
        dataplane.close()
    assert re.findall(r"^\*(\w+)", fresh.run(f"iptables-{variant.value}-save"), re.MULTILINE) == ["mangle"]
    assert not fresh.run(f"ip6tables-{variant.value}-save")
    fresh.close()


def test_what_is_refused_says_where(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    load = steps(BEFORE)
    dataplane.apply(load)
    before = saved(rig, variant)
    with pytest.raises(Refused, match=r"(?s)step 2: .*line: 3") as bad:
        dataplane.apply(
            [load[0], Step(Tool.IPTABLES, "*filter\n:NETPOLC-deny - [0:0]\n-A NETPOLC-deny --bogus\nCOMMIT\n")]
        )
    assert bad.value.step == 1
    with pytest.raises(Refused, match=r"step 1: ipset, line 2: .*does not exist"):
        dataplane.apply([Step(Tool.IPSET, "# a remark\nadd netpolc-none 10.0.0.1 -exist\n")])
    with pytest.raises(Refused, match="does not read texts of nft"):
        dataplane.apply([Step(Tool.NFT, "list ruleset\n")])
    assert saved(rig, variant) == before


def test_somebody_elses_changes_are_noticed(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    """And what others do to their own is not."""
    dataplane.apply(steps(BEFORE))
    assert not dataplane.wait(0.6)
    before = dataplane.read()
    (pairs,) = (name for name in before.sets if name.startswith("netpolc-pairs4"))
    member = rig.namespace.run("ipset", "save", pairs).splitlines()[-1].removeprefix("add ")
    run(rig, variant, "iptables -N OTHERS")
    run(rig, variant, "iptables -A OTHERS -j ACCEPT")
    run(rig, variant, "iptables -A FORWARD -j OTHERS")
    assert not dataplane.wait(1.1)
    assert dataplane.read() == before
    for command in (
        "iptables -F NETPOLC-deny",
        "ip6tables -D NETPOLC-FORWARD 1",
        "iptables -I FORWARD -j OTHERS",
        "ip6tables -D FORWARD 1",
    ):
        run(rig, variant, command)
        start = time.monotonic()
        assert dataplane.wait(3), command
        assert time.monotonic() - start < 0.7
        assert dataplane.read() != before
        assert not dataplane.wait(0.6)
        dataplane.apply(steps(BEFORE))
        assert dataplane.read() == before, command
    assert not dataplane.wait(0.6)
    rig.namespace.run("ipset", "del", *member.split())
    assert dataplane.wait(3)
    assert dataplane.read() != before
    dataplane.apply(steps(BEFORE)[:1])
    assert dataplane.read() == before
    deep = dataplane.read(deep=True)
    rig.namespace.run("ipset", "del", *member.split())
    rig.namespace.run("ipset", "add", pairs, "192.0.2.9,tcp:9,192.0.2.9")
    assert dataplane.read() == before, "as many as there were"
    assert dataplane.read(deep=True) != deep


def test_bypasses_are_told(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    dataplane.apply(steps(BEFORE))
    assert not list(dataplane.foreign())
    run(rig, variant, "iptables -N OTHERS")
    run(rig, variant, "iptables -A OTHERS -s 10.9.9.9/32 -j ACCEPT")
    run(rig, variant, "iptables -I FORWARD -j OTHERS")
    run(rig, variant, "iptables -I FORWARD -s 10.9.9.8/32 -j DROP")
    run(rig, variant, "ip6tables -D INPUT 1")
    found = [(one.place, one.rule, one.why) for one in dataplane.foreign()]
    assert found == [
        ("iptables filter FORWARD", "-A FORWARD -s 10.9.9.8/32 -j DROP", "it stands in front of our jump"),
        ("iptables filter FORWARD", "-A FORWARD -j OTHERS", "it can accept packets before our rules see them"),
        ("ip6tables filter INPUT", "", "our jump is not there"),
    ]
    dataplane.apply(steps(BEFORE))
    assert not list(dataplane.foreign())


def test_counters_have_the_words_of_the_rules(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    """The same as a profile that is read from iptables-save -c."""
    dataplane.apply(steps(NEXT))
    rig.forwarded([Packet(B[f], A[f], TCP, n, 81) for f in (4, 6) for n in range(1, 8)])
    for _ in range(2):
        profiles = dataplane.counters(1_700_000_000.5)
        assert [(one.tool, one.time) for one in profiles] == [("iptables", 1_700_000_000), ("ip6tables", 1_700_000_000)]
        for profile in profiles:
            text = rig.namespace.run(f"{profile.tool}-{variant.value}-save", "-c")
            expected: dict[Key, Count] = {}
            for table, chain, words, packets, length in counted(text):
                number = sum(key[:3] == (table, chain, words) for key in expected)
                expected[Key(table, chain, words, number)] = Count(packets, length)
            assert profile.counts == expected
            assert max(count.packets for count in profile.counts.values()) >= 7
        rig.forwarded([Packet(B[4], A[4], TCP, 99, 81)])


def counted(text: str) -> Iterator[tuple[str, str, str, int, int]]:
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif found := re.match(r"\[(\d+):(\d+)\] -A (NETPOLC-\S+) (.*)", line):
            yield table, found[3], of_iptables_text(found[4]), int(found[1]), int(found[2])
