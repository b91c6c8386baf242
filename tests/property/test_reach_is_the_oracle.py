"""`reach` and `diff` say of random clusters what the oracle says of their boundary packets, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_, or_

import pytest
from hypothesis import given

from compiler.analysis.diff import Change, Diff, Side, diff
from compiler.analysis.outside import holds
from compiler.analysis.reach import By, Reach, reach
from compiler.analysis.survey import Kind, Member, Party
from compiler.net import NO_PORTS, Family, PortSet, parse_address
from compiler.semantics.packet import Packet
from compiler.sources.manifests import load
from compiler.translate import translate
from tests.property.limits import limits
from tests.property.scenarios import Scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial


def found_reach(trial: Trial, text: bytes, by: By) -> Reach:
    return reach(translate(load([("scenario.json", text)]).policies), trial.snapshot, by)


class Asked:
    """A reach by address: the parties that hold it, and what lies between two of them."""

    def __init__(self, found: Reach) -> None:
        self.found = found
        self._holders: dict[tuple[Family, int], Party] = {
            at: one for one in found.parties for member in one.members for at in member.addresses
        }
        self._between = {(id(c.source), id(c.target), f): c for c in found.connections for f in c.families}

    def party(self, text: str) -> Party:
        """The one party that has this address."""
        family, address = parse_address(text)
        if (family, address) in self._holders:
            return self._holders[family, address]
        (only,) = (
            one for one in self.found.parties if any(holds(member.ranges, family, address) for member in one.members)
        )
        return only

    def between(self, source: Party, target: Party, family: Family) -> tuple[PortSet, PortSet]:
        """What every member, and what some member may open."""
        found = self._between.get((id(source), id(target), family))
        return (NO_PORTS, NO_PORTS) if found is None else (found.ports, found.ports | found.partly)


def questions(trial: Trial, asked: Asked) -> Iterator[tuple[Packet, Party, Party]]:
    """Packets that are for policies to decide."""
    holders = {ip: pod for pod in trial.snapshot.pods if pod.holds_addresses for ip in pod.ips}
    for packet in trial.packets:
        source, target = asked.party(packet.src), asked.party(packet.dst)
        sender, receiver = holders.get(packet.src), holders.get(packet.dst)
        at = [one.name for one in source.members if parse_address(packet.src) in one.addresses]
        given = receiver is not None and (receiver is sender or (source.kind is Kind.NODES and receiver.node in at))
        if given:
            assert trial.oracle.connection(packet).allowed
        else:
            yield packet, source, target


@pytest.mark.parametrize("which", ["usual", "low"])
@examples(100)
@given(scenario=scenarios)
def test_by_pod(which: str, scenario: Scenario) -> None:
    trial = Trial(scenario.text, 600)
    with limits(which):
        asked = Asked(found_reach(trial, scenario.text, By.POD))
    for packet, source, target in questions(trial, asked):
        every, _ = asked.between(source, target, Family(packet.version))
        assert every.has(packet.proto, packet.dport) is trial.oracle.connection(packet).allowed, str(packet)


@examples(150)
@given(scenario=scenarios)
def test_by_workload(scenario: Scenario) -> None:
    """What every member may is allowed, what none may is denied; and both are as tight as can be: `every` is the
    intersection, and with `partly` the union, of what pods may."""
    trial = Trial(scenario.text, 300)
    asked, single = (Asked(found_reach(trial, scenario.text, by)) for by in (By.WORKLOAD, By.POD))
    for packet, source, target in questions(trial, asked):
        every, some = asked.between(source, target, Family(packet.version))
        allowed = trial.oracle.connection(packet).allowed
        point = (packet.proto, packet.dport)
        assert every.has(*point) <= allowed <= some.has(*point), str(packet)
    wide: dict[tuple[str, str, Family], list[PortSet]] = {}
    crowd = {member.title: one.name for one in asked.found.parties for member in one.members if member.title}
    for source in single.found.parties:
        for target in single.found.parties:
            for family in Family:
                if given_pair(source, target, family):
                    continue
                key = (crowd.get(source.members[0].title, source.name), crowd.get(target.members[0].title, target.name))
                wide.setdefault((*key, family), []).append(single.between(source, target, family)[0])
    named = {one.name: one for one in asked.found.parties}
    for (one, two, family), found in wide.items():
        every, some = asked.between(named[one], named[two], family)
        assert every == reduce(and_, found), (one, two)
        assert some == reduce(or_, found), (one, two)


def given_pair(source: Party, target: Party, family: Family) -> bool:
    """Whether there is no connection of this family that policies decide."""
    if Kind.PODS not in (source.kind, target.kind) or family not in source.standings or family not in target.standings:
        return True
    return source is target or (source.kind is Kind.NODES and target.members[0].node == source.members[0].name)


def sides(one: Scenario, other: Scenario) -> tuple[Side, Side]:
    """Two states of the policies of a cluster."""
    made = []
    for scenario in (one, one.with_policies_of(other)):
        found = load([("scenario.json", scenario.text)])
        made.append(Side(found.policies, Trial(one.text, 0).snapshot))
    return made[0], made[1]


def shape(changes: Iterable[Change]) -> set[object]:
    """What changed, without the rules behind it."""

    def ends(members: Iterable[Member]) -> tuple[object, ...]:
        return tuple((one.kind, one.title, one.ranges) for one in members)

    return {(ends(one.sources), ends(one.targets), one.families, one.ports) for one in changes}


@examples(100)
@given(scenario=scenarios, later=scenarios)
def test_diff_is_what_the_oracle_answers_otherwise(scenario: Scenario, later: Scenario) -> None:
    old, new = sides(scenario, later)
    before, after = Trial(scenario.text, 300), Trial(scenario.with_policies_of(later).text, 300)
    found = diff(old, new)
    for trial in (before, after):
        asked = Asked(found_reach(trial, scenario.text, By.POD))
        for packet, _, _ in questions(trial, asked):
            was, now = (one.oracle.connection(packet).allowed for one in (before, after))
            assert changed(found, found.opened, packet) is (now and not was), str(packet)
            assert changed(found, found.closed, packet) is (was and not now), str(packet)
    for way, changes in ((True, found.opened), (False, found.closed)):
        for witness in (one for change in changes for one in change.witnesses):
            assert witness.old is not None
            assert witness.new is not None
            assert (witness.old[1].allowed, witness.new[1].allowed) == (not way, way)


def member_at(members: Sequence[Member], text: str) -> Member:
    """Whose address it is; a range outside may run over addresses of pods and nodes, and does not mean them."""
    at = parse_address(text)
    return next(
        (one for one in members if at in one.addresses), next((one for one in members if holds(one.ranges, *at)), None)
    ) or pytest.fail(f"nobody has {text}")


def changed(found: Diff, changes: Iterable[Change], packet: Packet) -> bool:
    """Whether a change is about the packet; no two are."""
    source, target = (member_at(found.members, text) for text in (packet.src, packet.dst))
    about = [
        change
        for change in changes
        if Family(packet.version) in change.families
        and change.ports.has(packet.proto, packet.dport)
        and source in change.sources
        and target in change.targets
    ]
    assert len(about) <= 1
    return bool(about)


@examples(60)
@given(scenario=scenarios, later=scenarios)
def test_diff_and_back(scenario: Scenario, later: Scenario) -> None:
    """From a state to itself nothing changes, and on the way back what opened closes."""
    old, new = sides(scenario, later)
    same = diff(old, old)
    assert not same.opened
    assert not same.closed
    there, back = diff(old, new), diff(new, old)
    assert shape(there.opened) == shape(back.closed)
    assert shape(there.closed) == shape(back.opened)
