"""What the schemas of network-policy-api's custom resources share, in v1alpha1 and v1alpha2: the types of fields,
unions, and rules across fields. Quotations are the APIs' documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from compiler.resources import cidr
from compiler.resources.model import Checked, Fault, ListRules, Raw, T, Whole, raise_faults, text

#: Peers, rules, networks and names in one list: v1alpha2's bound, and of networks and domainNames in both versions.
FEW = 25
#: v1alpha1's bound for rules, peers and ports.
MANY = 100

_DOMAIN_LABEL = r"[a-zA-z0-9](?:[-a-zA-Z0-9_]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:\*\.)?(?:{_DOMAIN_LABEL}\.)+{_DOMAIN_LABEL}\.?")


def _domain_fault(name: str) -> str | None:
    """domainNames: "'*', the wildcard specifier, matches one or more entire labels [...] may only be specified as a
    prefix". The schema's pattern reads A-z where A-Z was meant; what it takes is taken here."""
    if _DOMAIN.fullmatch(name):
        return None
    return "expected a domain name of two labels at least, such as example.org or *.example.org"


def _network_fault(network: str) -> str | None:
    """networks: a CIDR by the rule isCIDR, which minds no host bits."""
    if len(network) > 43:
        return f"must be at most 43 characters long, is {len(network)}"
    _, code, expected = cidr.read(network)
    return expected if code not in ("", "host-bits") else None


PORT = Field(ge=1, le=65535)
Port = Annotated[Whole, PORT]
Priority = Annotated[Whole, Field(ge=0, le=1000)]
RuleName = Annotated[str, Field(max_length=100)]
#: x-kubernetes-list-type: set
Networks = Annotated[
    tuple[Annotated[str, text(_network_fault, "bad-cidr")], ...], ListRules(least=1, most=FEW, distinct=True)
]
DomainNames = Annotated[
    tuple[Annotated[str, text(_domain_fault, "bad-domain-name")], ...], ListRules(least=1, most=FEW, distinct=True)
]
#: Lists that must not be empty, by the bounds of v1alpha2 and v1alpha1.
Few = Annotated[tuple[T, ...], ListRules(least=1, most=FEW)]
Many = Annotated[tuple[T, ...], ListRules(least=1, most=MANY)]


class OneOf(Checked):
    """A union of the API, "Exactly one field must be set": which one says what the object is."""

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        chosen = [name for name, value in raw.items() if value is not None]
        if len(chosen) == 1:
            return
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if not set(raw) <= set(known):
            return  # an unknown field is that field's problem
        choice = f"exactly one of {', '.join(known)}" if len(known) > 1 else known[0]
        found = " and ".join(sorted(chosen)) or "none"
        yield Fault((), "one-of", f"must have {choice}, has {found}")


_UNNAMED = ("networks", "nodes", "domainNames")


def named_port_faults(raw: Raw, ports: str, named: str) -> Iterator[Fault]:
    """ "networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for" them."""
    peers, entries = raw.get("to"), raw.get(ports)
    if not isinstance(peers, list) or not isinstance(entries, list):
        return
    found = [kind for kind in _UNNAMED if any(isinstance(p, dict) and p.get(kind) is not None for p in peers)]
    for n, entry in enumerate(entries):
        if found and isinstance(entry, dict) and entry.get(named) is not None:
            expected = f"must not stand beside a peer of {' or '.join(found)}: those have no named ports"
            yield Fault((ports, n, named), "named-port", expected)


#: Names of the fields in a status; a list holds what its items have.
_STATUS = {
    "conditions": [dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"))]
}


def _unknown_fields(status: Any) -> Iterator[Fault]:
    """Fields that the schema lacks. Where a value has another type than the schema, it has no field at all."""
    waiting: list[tuple[Any, Any, tuple[str | int, ...]]] = [(status, _STATUS, ())]
    while waiting:
        value, known, path = waiting.pop()
        if isinstance(value, list):
            inner = known[0] if isinstance(known, list) else None
            waiting += [(item, inner, (*path, n)) for n, item in enumerate(value)]
        elif isinstance(value, dict):
            fields = known if isinstance(known, dict) else {}
            expected = f"expected one of {', '.join(fields)}" if fields else "expected no field here"
            waiting += [(item, fields[name], (*path, name)) for name, item in value.items() if name in fields]
            for name in value.keys() - fields.keys():
                yield Fault((*path, name), "unknown-field", expected, on_key=True)


def _status(value: Any) -> None:
    """The server drops the status of an object that it creates, once the names of its fields have passed."""
    raise_faults(list(_unknown_fields(value)), value)


Status = Annotated[None, PlainValidator(_status)]
