"""Checked access to decoded objects: each function gives a usable value and reports what is wrong.

The API server treats null like an absent field; so do these. Paths are made only when there is something to report:
150,000 pods pass here.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from compiler.resources.messages import EXCERPT
from compiler.resources.names import dns_label_fault, label_key_fault, label_value_fault, subdomain_fault
from compiler.resources.problems import path_text
from grammar.tree import Path

Object = Mapping[str, object]

_NOTHING: Object = {}


class Report(Protocol):
    """Takes what is wrong: the value at `path` of the object, or its key; `expected` says what would be right."""

    def __call__(self, path: Path, expected: str, code: str, *, on_key: bool = False) -> None: ...


def mapping(value: Object, key: str, path: Path, report: Report) -> Object:
    """The object in value[key]; empty when absent."""
    found = value.get(key)
    if isinstance(found, dict):
        return found
    if found is not None:
        report((*path, key), "must be an object", "bad-type")
    return _NOTHING


def objects(value: Object, key: str, path: Path, report: Report) -> Iterator[tuple[Path, Object]]:
    """The objects of the list in value[key], each with its path; null items are refused, as they have no name."""
    found = value.get(key)
    if found is None:
        return
    if not isinstance(found, list):
        report((*path, key), "must be a list", "bad-type")
        return
    for n, item in enumerate(found):
        if isinstance(item, dict):
            yield (*path, key, n), item
        else:
            report((*path, key, n), "must be an object", "bad-type")


def text(value: Object, key: str, path: Path, report: Report, default: str = "") -> str:
    """The string in value[key]; `default` when it is absent or empty."""
    found = value.get(key)
    if isinstance(found, str):
        return found or default
    if found is not None:
        report((*path, key), "must be a string", "bad-type")
    return default


def flag(value: Object, key: str, path: Path, report: Report) -> bool:
    found = value.get(key)
    if found is None or isinstance(found, bool):
        return bool(found)
    report((*path, key), "must be true or false", "bad-type")
    return False


def port(value: Object, key: str, path: Path, report: Report) -> int:
    """The port number in value[key], which must be there; 0 when it is no port number."""
    found = value.get(key)
    if isinstance(found, int) and not isinstance(found, bool):
        if 1 <= found <= 65535:
            return found
        report((*path, key), "must be a port number from 1 to 65535", "out-of-range")
    elif found is None:
        report((*path, key), "expected a port number", "required")
    else:
        report((*path, key), "must be a port number from 1 to 65535", "bad-type")
    return 0


def protocol(value: Object, path: Path, report: Report) -> str:
    found = text(value, "protocol", path, report, "TCP")
    if found not in ("TCP", "UDP", "SCTP"):
        report((*path, "protocol"), "expected TCP, UDP or SCTP", "unsupported-value")
    return found


def string_map(value: Object, key: str, path: Path, report: Report) -> dict[str, str]:
    """The labels or the selector in value[key]; a null value is the empty string."""
    found = value.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        report((*path, key), "must be an object", "bad-type")
        return {}
    strings = True
    for name, item in found.items():
        if (reason := label_key_fault(name)) is not None:
            report((*path, key, name), reason, "bad-label-key", on_key=True)
        if not isinstance(item, str):
            strings = False
            if item is not None:
                report((*path, key, name), "must be a string", "bad-type")
        elif (reason := label_value_fault(item)) is not None:
            report((*path, key, name), reason, "bad-label-value")
    return found if strings else {name: item if isinstance(item, str) else "" for name, item in found.items()}


def annotations_of(metadata: Object, report: Report) -> dict[str, str]:
    """metadata.annotations: any texts; a null value is the empty string."""
    found = mapping(metadata, "annotations", ("metadata",), report)
    return {name: text(found, name, ("metadata", "annotations"), report) for name in found}


def name_of(
    metadata: Object, report: Report, fault: Callable[[str], str | None] = subdomain_fault, *, generated: bool = False
) -> str:
    """metadata.name, by default a DNS subdomain; `generated`: metadata.generateName may stand in for it."""
    name = text(metadata, "name", ("metadata",), report)
    if name and (reason := fault(name)) is not None:
        report(("metadata", "name"), reason, "bad-name")
    elif not name and generated:
        name = text(metadata, "generateName", ("metadata",), report)
    if not name and metadata.get("name") in (None, ""):  # else what is wrong with it is told
        report(("metadata", "name"), "expected a name", "required")
    return name


def namespace_of(metadata: Object, report: Report) -> str:
    """metadata.namespace, a DNS label; `default` when absent, as kubectl has it."""
    namespace = text(metadata, "namespace", ("metadata",), report, "default")
    if (reason := dns_label_fault(namespace)) is not None:
        report(("metadata", "namespace"), reason, "bad-namespace")
    return namespace


def address(found: object, path: Path, report: Report) -> str:
    """The IP address in its canonical form; empty when it is none. IPv4 inside IPv6 is refused: on the wire such a
    packet is IPv4."""
    if isinstance(found, str):
        for family in (socket.AF_INET6,) if ":" in found else (socket.AF_INET,):
            try:
                packed = socket.inet_pton(family, found)
            except (OSError, ValueError):
                break
            if packed[:12] == b"\0" * 10 + b"\xff\xff":
                report(path, "expected an IPv4 or IPv6 address, this is IPv4 written as IPv6", "bad-address")
                return ""
            return socket.inet_ntop(family, packed)
        report(path, "expected an IPv4 or IPv6 address", "bad-address")
    elif found is None:
        report(path, "expected an IPv4 or IPv6 address", "required")
    else:
        report(path, "must be a string", "bad-type")
    return ""


def worded(value: object, path: Path, expected: str, code: str, *, on_key: bool = False) -> str:
    """PATH: what is wrong: what was expected, as the API server and `resources` word it."""
    where = path_text(path[:-1] if on_key else path) or "object"
    if code == "required":
        return f"{where}: Required value: {expected}"
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        else:
            value = value[step] if isinstance(value, list) and isinstance(step, int) else None
    value = path[-1] if on_key else value
    shown = json.dumps(value, ensure_ascii=False, default=repr)
    if isinstance(value, dict | list):
        shown = "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    elif len(shown) > EXCERPT:
        shown = f"{shown[: EXCERPT - 4]}..."
    return f"{where}: Invalid value: {shown}: {expected}"
