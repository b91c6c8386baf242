"""Ends of connections as users name them on the command line of `reach`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from compiler.analysis.outside import holds
from compiler.analysis.survey import Kind, Party
from compiler.net import parse_address


def chooser(name: str) -> Callable[[Party], bool]:
    """Whether a party is meant by a name: a namespace; NAMESPACE/NAME of a workload or pod, with `*` for any
    characters; the name of a node; an address; or `pods`, `nodes`, `outside`."""
    try:
        family, address = parse_address(name)
    except ValueError:
        pattern = re.compile("".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", name)))
        return lambda one: any(pattern.fullmatch(said) is not None for said in _names(one))
    return lambda one: any(
        (family, address) in member.addresses or holds(member.ranges, family, address) for member in one.members
    )


def _names(one: Party) -> Iterable[str]:
    yield one.kind.value
    yield one.name
    if one.kind is Kind.PODS:
        yield one.namespace
    if one.kind is not Kind.OUTSIDE:
        yield from (member.title for member in one.members)


def any_of(names: Sequence[str]) -> Callable[[Party], bool]:
    """Whether one of the names means it; no name means everyone."""
    choosers = [chooser(name) for name in names]
    return lambda one: not choosers or any(means(one) for means in choosers)
