"""Somebody fills the sets of policies alone, as the words beside them say, for a cluster that was not in the input."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import SCTP, TCP, UDP
from compiler.semantics.proof.meant import Domains, Itself, Meant, Nodes, Pods, Serving, meant
from compiler.semantics.reading import selects
from compiler.semantics.rules import reads_ipset, reads_nftables
from compiler.semantics.rules.netfilter import Element, Ruleset, Set
from compiler.snapshot import Snapshot
from grammar.source import Source

_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_NAMES: Mapping[str | int, str] = {number: name.lower() for name, number in _PROTOCOLS.items()}
#: Addresses as text, protocol and port as numbers.
Member = tuple[str | int, ...]


def members(who: Meant, snapshot: Snapshot, version: int) -> set[Member]:
    """The elements of one family that belong in a set."""
    return set(_members(who, snapshot, version))


def _members(who: Meant, snapshot: Snapshot, version: int) -> Iterator[Member]:
    def of_family(addresses: tuple[str, ...]) -> list[str]:
        return [address for address in addresses if (":" in address) == (version == 6)]

    oracle = Oracle((), snapshot)
    for pod in snapshot.pods:
        own = [address for address in of_family(pod.ips) if pod.holds_addresses]
        match who:
            case Pods(namespaces, pods):
                if selects(pods, pod.labels) and selects(namespaces, oracle.namespace_labels(pod.namespace)):
                    yield from ((address,) for address in own)
            case Serving(name, protocol):
                served = [(_PROTOCOLS[port.protocol], port.port) for port in pod.ports if name and port.name == name]
                wanted = [port for port in served if protocol in (None, port[0])]
                yield from ((address, *port) for address, port in product(own, wanted))
            case Itself():
                yield from product(own, own)
            case Nodes() | Domains():
                pass
    if isinstance(who, Nodes):
        for node in snapshot.nodes.values():
            if selects(who.nodes, node.labels):
                yield from ((address,) for address in of_family(node.ips))


def filled_files(files: Mapping[str, str], snapshot: Snapshot) -> dict[str, str]:
    """What is loaded: the texts, and behind the sets' declarations what adds to them."""
    (name,) = [name for name, text in files.items() if text.find("add set ") >= 0 or name == "ipset.save"]
    source = Source(name, files[name])
    if name == "ipset.save":
        sets = {one: found.content for one, found in reads_ipset.read(source).items()}
    else:
        (table,) = reads_nftables.read(source)
        sets = dict(table.sets)
    return {**files, name: "\n".join([files[name], *_additions(sets, snapshot, name == "ipset.save"), ""])}


def _additions(sets: Mapping[str, Set], snapshot: Snapshot, by_ipset: bool) -> Iterator[str]:
    for name, content in sets.items():
        who = meant(content)
        version = 6 if re.match(r"(netpolc-)?(s|self)6", name) else 4
        for member in sorted(members(who, snapshot, version), key=str) if who is not None else ():
            texts = [_NAMES.get(part, str(part)) if n == 1 else str(part) for n, part in enumerate(member)]
            if by_ipset:
                yield f"add {name} " + (f"{texts[0]},{texts[1]}:{texts[2]}" if len(texts) > 1 else texts[0])
            else:
                yield f"add element inet netpolc {name} {{ {' . '.join(texts)} }}"


def filled(ruleset: Ruleset, snapshot: Snapshot) -> Ruleset:
    """The rules with their sets filled, of both families alike: rules ask each set for one of them."""

    def element(member: Member) -> tuple[tuple[int, int], ...]:
        numbers = (part if isinstance(part, int) else int(ipaddress.ip_address(part)) for part in member)
        return tuple((number, number) for number in numbers)

    tables = []
    for table in ruleset.tables:
        sets = dict(table.sets)
        for name, content in sets.items():
            who = meant(content)
            if who is not None:
                boxes = {element(member) for version in (4, 6) for member in members(who, snapshot, version)}
                sets[name] = replace(content, elements=tuple(Element(box, content.place) for box in sorted(boxes)))
        tables.append(replace(table, sets=sets))
    return Ruleset(tuple(tables))
