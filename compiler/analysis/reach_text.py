"""A reach for people and programs: plain text, JSON, CSV and Graphviz's DOT. (`reach_page` makes the HTML.)"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Any

from compiler.analysis.outside import span_text, title, union
from compiler.analysis.reach import Connection, Reach
from compiler.analysis.survey import Kind, Party
from compiler.net import PROTOCOL_NAMES, Family, PortSet, address_text

#: Names of families in text, in the order of `Family`.
FAMILY_NAMES = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}
#: What no reach lists.
ALWAYS = ("a pod reaches itself", "a node reaches its own pods")
_WIDTH = 110
_COLUMNS = ("source", "target", "families", "extent", "protocol", "first_port", "last_port")


def text(found: Reach) -> str:
    """For each source what it may open, and to whom; the longest lists are named as a whole."""
    lines: list[str] = []
    by_source: dict[int, list[Connection]] = {}
    for one in found.connections:
        by_source.setdefault(id(one.source), []).append(one)
    for source in found.parties:
        groups: dict[str, list[Party]] = {}
        for one in by_source.get(id(source), ()):
            for said in _said(one):
                groups.setdefault(said, []).append(one.target)
        if groups:
            lines += ["", f"{label(source)}{_size(source)}"] if lines else [f"{label(source)}{_size(source)}"]
            width = min(36, max(map(len, groups)))
            for said, targets in groups.items():
                lines += _wrapped(f"  {said:<{width}} -> ", _names(targets, found.parties, source))
    return "".join(f"{line}\n" for line in lines)


def _said(one: Connection) -> Iterator[str]:
    common = [f for f in Family if f in one.source.standings and f in one.target.standings]
    only = "" if list(one.families) == common else " over " + ", ".join(FAMILY_NAMES[f] for f in one.families)
    if one.ports:
        yield f"{one.ports}{only}"
    if one.partly:
        yield f"{one.partly}{only}, partly"


def _names(targets: Sequence[Party], everyone: Sequence[Party], source: Party) -> Iterator[str]:
    """Lines that name them: pods and nodes, all other pods as such, and the addresses outside together."""
    inside = [one.name for one in targets if one.kind is not Kind.OUTSIDE]
    others = [one for one in everyone if one.kind is Kind.PODS and one is not source]
    if len(others) > 3 and all(one in targets for one in others):
        own = [source.name] if source in targets else []
        inside = ["all other pods", *own, *(one.name for one in targets if one.kind is Kind.NODES)]
    if inside:
        yield ", ".join(inside)
    ranges = [span for one in targets for member in one.members for span in member.ranges]
    if ranges:
        yield f"outside {title(union(ranges))}"


def _wrapped(head: str, lines: Iterable[str]) -> Iterator[str]:
    for said in lines:
        for line in wrap(said, max(40, _WIDTH - len(head)), break_long_words=False, break_on_hyphens=False):
            yield head + line
            head = " " * len(head)


def label(one: Party) -> str:
    return f"outside {one.name}" if one.kind is Kind.OUTSIDE else one.name


def _in_full(one: Party) -> str:
    ranges = [span for member in one.members for span in member.ranges]
    return f"outside {title(ranges, len(ranges) + 1)}" if one.kind is Kind.OUTSIDE else one.name


def _size(one: Party) -> str:
    return f" ({len(one.members)} pods)" if one.kind is Kind.PODS and len(one.members) > 1 else ""


def ports_value(ports: PortSet) -> dict[str, Any]:
    """Intervals by protocol, those that are not empty; `other` stands for ICMP and all protocols without ports."""
    spans = {name: [list(span) for span in getattr(ports, name)] for name in PROTOCOL_NAMES.values()}
    return {**{name: listed for name, listed in spans.items() if listed}, **({"other": True} if ports.other else {})}


def value(found: Reach) -> dict[str, Any]:
    """The reach in the form of JSON; parties are referred to by their place in `ends`."""
    places = {id(one): n for n, one in enumerate(found.parties)}
    return {
        "by": found.by.value,
        "always": list(ALWAYS),
        "ends": [party_value(one) for one in found.parties],
        "connections": [
            {
                "from": places[id(one.source)],
                "to": places[id(one.target)],
                "families": [FAMILY_NAMES[family] for family in one.families],
                "ports": ports_value(one.ports),
                **({"partly": ports_value(one.partly)} if one.partly else {}),
            }
            for one in found.connections
        ],
    }


def party_value(one: Party) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": one.kind.value, "name": one.name}
    if one.kind is Kind.OUTSIDE:
        ranges = [span for member in one.members for span in member.ranges]
        return {**said, "ranges": [span_text(*span) for span in ranges]}
    if one.kind is Kind.PODS:
        said["namespace"] = one.namespace
    return said | {
        one.kind.value: [
            {
                "name": member.name,
                **({"node": member.node} if one.kind is Kind.PODS else {}),
                "addresses": [address_text(*at) for at in member.addresses],
            }
            for member in one.members
        ]
    }


def json_text(found: Reach) -> str:
    """One connection a line, so that versions can be compared by line."""
    made = value(found)
    ends = ",\n".join(f"  {json.dumps(one)}" for one in made["ends"])
    connections = ",\n".join(f"  {json.dumps(one)}" for one in made["connections"])
    head = f'{{"by": {json.dumps(made["by"])},\n "always": {json.dumps(made["always"])},\n'
    return f'{head} "ends": [\n{ends}\n ],\n "connections": [\n{connections}\n ]}}\n'


def csv_text(found: Reach) -> str:
    """One interval of ports a line, every range outside in full. `extent` is "every" or "some": pairs of members.
    `other` has no ports."""
    names = {id(one): _in_full(one) for one in found.parties}
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for one in found.connections:
        families = " ".join(FAMILY_NAMES[family] for family in one.families)
        for extent, ports in (("every", one.ports), ("some", one.partly)):
            ends = (names[id(one.source)], names[id(one.target)], families, extent)
            for protocol, first, last in ports.items():
                rows.writerow((*ends, PROTOCOL_NAMES[protocol], first, last))
            if ports.other:
                rows.writerow((*ends, "other", "", ""))
    return out.getvalue()


def dot_text(found: Reach) -> str:
    """A directed graph, namespaces as clusters. Dashed: from or to some members only."""
    names = {id(one): f"e{n}" for n, one in enumerate(found.parties)}
    lines = ["digraph reach {", '  graph [rankdir=LR, fontname="sans-serif"];']
    lines += [
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=9];',
    ]
    spaces = dict.fromkeys(one.namespace for one in found.parties if one.kind is Kind.PODS)
    for n, space in enumerate(spaces):
        lines += [f"  subgraph cluster_{n} {{", f"    label={_quoted(space)};"]
        own = [one for one in found.parties if one.kind is Kind.PODS and one.namespace == space]
        lines += [f"    {names[id(one)]} [label={_quoted(one.name.removeprefix(f'{space}/'))}];" for one in own]
        lines.append("  }")
    for one in found.parties:
        if one.kind is not Kind.PODS:
            shape = "component" if one.kind is Kind.NODES else "ellipse"
            lines.append(f"  {names[id(one)]} [shape={shape}, label={_quoted(label(one))}];")
    for connection in found.connections:
        for said in _said(connection):
            style = ", style=dashed" if said.endswith(", partly") else ""
            ends = f"{names[id(connection.source)]} -> {names[id(connection.target)]}"
            lines.append(f"  {ends} [label={_quoted(said)}{style}];")
    return "".join(f"{line}\n" for line in [*lines, "}"])


def _quoted(said: str) -> str:
    escaped = said.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
