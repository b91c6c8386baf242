"""Others who use iptables at the same time, in both variants: locks, their changes between ours, and repairs under
traffic."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from compiler.backends.iptables_live import Live
from compiler.semantics.packet import TCP, Packet
from enforcer.dataplane import Actual, Busy, Refused, Step, Tool
from enforcer.iptables.iptables import Iptables, Variant
from tests.kernel.crowd import Moving
from tests.kernel.namespace import CommandFailed
from tests.kernel.rig import Rig
from tests.kernel.test_iptables_dataplane import dataplane, run, saved, steps, variant
from tests.kernel.test_paths import A, B
from tests.kernel.test_reload import BEFORE, NEXT

__all__ = ["dataplane", "variant"]
pytestmark = pytest.mark.kernel


def test_the_lock_that_another_holds(
    rig: Rig, dataplane: Iptables, variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Legacy says so within the time that it waits; the nft variant has no lock."""
    lock = tmp_path / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", os.fspath(lock))
    dataplane.apply(steps(BEFORE))
    before = dataplane.read(deep=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        if variant is Variant.LEGACY:
            with pytest.raises(Busy, match=r"(?s)step 2: .*Another app is currently holding the xtables lock") as error:
                dataplane.apply(steps(NEXT))
            assert error.value.step == 1
            assert 0.9 < time.monotonic() - began < 3
        else:
            dataplane.apply(steps(NEXT))
        assert dataplane.read(deep=True) != before, "sets come without it"
    dataplane.apply(steps(NEXT))
    probes = [Packet(B[f], A[f], TCP, 1, n) for f in (4, 6) for n in (80, 81)]
    assert rig.forwarded(probes) == [True, False] * 2


def test_a_table_that_is_not_iptables_alone(rig: Rig, dataplane: Iptables, variant: Variant) -> None:
    """Somebody writes nft by hand into `ip filter`, which the nft variant uses and then will not print: the rules come
    in all the same, are found again, and go."""
    rig.namespace.run("nft", "-f", "-", stdin="table ip filter { chain x { ct count 5 accept ; } ; }")
    dataplane.apply(steps(BEFORE))
    whole = dataplane.read(deep=True)
    dataplane.apply(steps(BEFORE))
    assert dataplane.read(deep=True) == whole
    probes = [Packet(B[f], A[f], TCP, 1, n) for f in (4, 6) for n in (80, 81)]
    assert rig.forwarded(probes) == [True, False] * 2
    dataplane.remove()
    assert dataplane.read() == Actual()
    assert "ct count 5 accept" in rig.namespace.run("nft", "list", "table", "ip", "filter")


class Busybody:
    """`with Busybody(...):` another program that changes its own rules in our hooks all the time, and sometimes puts
    one in front of ours."""

    def __init__(self, rig: Rig, variant: Variant) -> None:
        self._rig, self._variant = rig, variant
        self._stop, self._thread = Event(), Thread(target=self._run)
        self.turns = 0

    def __enter__(self) -> Busybody:
        for tool in ("iptables", "ip6tables"):
            run(self._rig, self._variant, f"{tool} -N KUBE-X")
            run(self._rig, self._variant, f"{tool} -A FORWARD -j KUBE-X")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for tool in ("iptables", "ip6tables"):
                self.turns += 1
                text = f"*filter\n:KUBE-X - [0:0]\n-A KUBE-X -p tcp --dport {self.turns % 60000 + 1} -j RETURN\n"
                if self.turns % 3 == 0:
                    text += "-I FORWARD 1 -p 251 -j RETURN\n"
                self._rig.namespace.run(
                    f"{tool}-{self._variant.value}-restore", "--noflush", "-w", "10", stdin=f"{text}COMMIT\n"
                )
                time.sleep(0.01)


def test_others_who_change_theirs_all_the_time(rig: Rig, dataplane: Iptables, variant: Variant) -> None:
    """Nothing of theirs is lost, nothing of ours, and whoever stays meets what he should."""
    moving, live = Moving(11), Live()
    dataplane.apply(live.load(moving.compiler.ruleset()))
    with moving.stream(rig) as running, Busybody(rig, variant) as other:
        for n in range(60):
            change = moving.change()
            if n % 10:
                dataplane.apply(live.update(change, moving.compiler.ruleset()))
            else:
                dataplane.apply(live.load(moving.compiler.ruleset()))
                dataplane.apply(dataplane.sweep(Actual(live.chains, live.sets)))
        dataplane.apply(live.load(moving.compiler.ruleset()))
    assert (dict(running.lost), dict(running.leaked)) == ({}, {})
    text = saved(rig, variant)
    assert other.turns > 20
    assert len(re.findall(r"^-A FORWARD -p 251 ", text, re.MULTILINE)) == other.turns // 3
    assert len(re.findall(r"^-A KUBE-X .* -j RETURN$", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^-A FORWARD .*NETPOLC-FORWARD$", text, re.MULTILINE)) == 2
    dataplane.apply(dataplane.sweep(Actual(live.chains, live.sets)))
    assert (live.chains, live.sets) == (dataplane.read().chains, dataplane.read().sets)


def test_a_jump_is_moved_to_the_front_without_a_gap(rig: Rig, dataplane: Iptables, variant: Variant) -> None:
    moving, live = Moving(5), Live()
    found = live.load(moving.compiler.ruleset())
    dataplane.apply(found)
    with moving.stream(rig) as running:
        for n in range(40):
            for tool in ("iptables", "ip6tables"):
                run(rig, variant, f"{tool} -I FORWARD -p 251 -j RETURN")
                if n % 2:  # and a second one, behind
                    run(
                        rig,
                        variant,
                        f"{tool} -A FORWARD -m conntrack ! --ctstate ESTABLISHED,RELATED -j NETPOLC-FORWARD",
                    )
            assert [one.place for one in dataplane.foreign()] == ["iptables filter FORWARD", "ip6tables filter FORWARD"]
            dataplane.apply(found)
            assert not list(dataplane.foreign())
            for tool in ("iptables", "ip6tables"):
                jumps = re.findall(
                    "NETPOLC-FORWARD$", rig.namespace.run(f"{tool}-{variant.value}", "-S", "FORWARD"), re.M
                )
                assert len(jumps) == 1
    assert (dict(running.lost), dict(running.leaked)) == ({}, {})


def test_a_jump_that_somebody_deletes_meanwhile(
    rig: Rig, dataplane: Iptables, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our look and our restore: it is looked once more."""
    dataplane.apply(steps(BEFORE))
    run(rig, variant, "iptables -I FORWARD -p 251 -j RETURN")
    look = dataplane._stale_jumps
    stolen = False

    def steal(*asked: object) -> object:
        seen = look(*asked)  # type: ignore[arg-type]
        nonlocal stolen
        if not stolen:
            stolen = True
            run(rig, variant, "iptables -D FORWARD 2")
        return seen

    monkeypatch.setattr(dataplane, "_stale_jumps", steal)
    dataplane.apply(steps(BEFORE))
    assert stolen
    assert not list(dataplane.foreign())


def test_what_is_flushed_comes_back(rig: Rig, dataplane: Iptables, variant: Variant) -> None:
    """Somebody empties everything: noticed in half a second, and in force again after the same load."""
    found = steps(BEFORE)
    dataplane.apply(found)
    whole = dataplane.read(deep=True)
    for tool in ("iptables", "ip6tables"):
        run(rig, variant, f"{tool} -F")
        run(rig, variant, f"{tool} -X")
    rig.namespace.run("ipset", "destroy")
    began = time.monotonic()
    assert dataplane.wait(3)
    dataplane.apply(found)
    assert time.monotonic() - began < 1
    assert dataplane.read(deep=True) == whole
    probes = [Packet(B[f], A[f], TCP, 1, n) for f in (4, 6) for n in (80, 81)]
    assert rig.forwarded(probes) == [True, False] * 2


def test_texts_that_others_spoil(rig: Rig, dataplane: Iptables) -> None:
    """A set that is there with another type, a chain that is not there."""
    rig.namespace.run("ipset", "create", "netpolc-pairs4-v1", "hash:net")
    with pytest.raises(Refused, match=r"step 1: ipset, line 1: .*already exists"):
        dataplane.apply([Step(Tool.IPSET, "create netpolc-pairs4-v1 hash:ip family inet -exist\n")])
    with pytest.raises(Refused, match=r"step 1: .*restore: line 2 failed"):
        dataplane.apply([Step(Tool.IPTABLES, "*filter\n-A NETPOLC-none -j DROP\nCOMMIT\n")])
    with pytest.raises(CommandFailed):
        rig.namespace.run("iptables-legacy", "-S", "NETPOLC-none")


def test_a_chain_that_cannot_go_is_refused_and_not_waited_for(rig: Rig, dataplane: Iptables) -> None:
    """One of ours that is left leads to it."""
    text = "*filter\n:NETPOLC-a - [0:0]\n:NETPOLC-b - [0:0]\n-A NETPOLC-a -j NETPOLC-b\nCOMMIT\n"
    dataplane.apply([Step(Tool.IPTABLES, text)])
    with pytest.raises(Refused) as error:
        dataplane.apply([Step(Tool.IPTABLES, "*filter\n:NETPOLC-b - [0:0]\n-X NETPOLC-b\nCOMMIT\n")])
    assert type(error.value) is Refused
    dataplane.remove()
    assert dataplane.read() == Actual()
