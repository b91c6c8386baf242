"""`reach` and `diff` say of random clusters what the oracle says of their boundary packets, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import and_, or_

from hypothesis import given

from compiler.analysis.outside import holds
from compiler.analysis.reach import By, Reach, reach
from compiler.analysis.survey import Kind, Party
from compiler.net import NO_PORTS, Family, PortSet, parse_address
from compiler.semantics.packet import Packet
from compiler.sources.manifests import load
from compiler.translate import translate
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


@examples(150)
@given(scenario=scenarios)
def test_by_pod(scenario: Scenario) -> None:
    trial = Trial(scenario.text, 600)
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
