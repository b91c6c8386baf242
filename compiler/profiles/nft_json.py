"""What `nft -j list ruleset` prints -> what its rules counted, each rule in the words of `nft list ruleset`.

libnftables-json(5) says what expressions are called. A rule with one that is not known here is passed over, as if it
had not been counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compiler.profiles.profiles import Count, Profile, numbered
from compiler.profiles.words import of_nftables
from grammar.jsontext import NotJSON, documents
from grammar.source import Flaw, Source

#: What a text of JSON begins with, and the name of what nft prints.
_NFT = re.compile(r'\s*\{\s*"nftables"\s*:')
_VERDICTS = frozenset({"accept", "drop", "return", "continue"})
#: `list ruleset` prints these without `meta`.
_SHORT = frozenset({"iif", "oif", "iifname", "oifname", "iiftype", "oiftype"})
_OPERATORS = frozenset({"&", "|", "^", "<<", ">>"})
_COMPARED = frozenset({"!=", "<", ">", "<=", ">="})


class _Unknown(Exception):
    """An expression without words."""


def is_nft(text: str) -> bool:
    return _NFT.match(text) is not None


def profile(source: Source, flaws: Callable[[Flaw], None]) -> Profile:
    """Of rules with counters. All that is wrong goes to `flaws`."""
    rules: list[tuple[tuple[str, str, str], Count]] = []
    try:
        for tree in documents(source, flaws):
            value = tree.value
            entries = value.get("nftables") if isinstance(value, dict) else None
            if not isinstance(entries, list):
                flaws(tree.flaw((), "what nft -j list ruleset prints is expected", "profile"))
                continue
            rules += (found for entry in entries for found in _rules(entry))
    except NotJSON as error:
        flaws(error.flaw)
    counts = dict(zip(numbered(rule for rule, _ in rules), (count for _, count in rules), strict=True))
    return Profile(source.name, "nft", counts)


def _rules(entry: Any) -> Iterator[tuple[tuple[str, str, str], Count]]:
    """The rule of an entry, when it has a counter. The text is a program's, so what has another shape than the manual
    says is no rule."""
    try:
        rule = entry["rule"]
        counter = next(statement["counter"] for statement in rule["expr"] if "counter" in statement)
        table = f"{rule['family']} {rule['table']}"
        text = " ".join(filter(None, map(_statement, rule["expr"])))
        comment = f' comment "{rule["comment"]}"' if "comment" in rule else ""
        count = Count(int(counter["packets"]), int(counter["bytes"]))
        if min(count) >= 0:
            yield (table, str(rule["chain"]), of_nftables(text + comment)), count
    except (_Unknown, KeyError, TypeError, ValueError, StopIteration):
        return


def _statement(statement: Mapping[str, Any]) -> str:
    ((name, said),) = statement.items()
    match name:
        case "counter":
            return ""
        case "match":
            return _match(said["op"], said["left"], said["right"])
        case "vmap":
            return f"{_expression(said['key'])} vmap {_expression(said['data'])}"
        case "jump" | "goto":
            return f"{name} {said['target']}"
        case "mangle":
            return f"{_expression(said['key'])} set {_expression(said['value'])}"
        case "limit":
            burst = f" burst {said['burst']} packets" if said.get("burst", 5) != 5 else ""
            return f"limit rate {'over ' * bool(said.get('inv'))}{said['rate']}/{said['per']}{burst}"
        case "ct count":
            return f"ct count {'over ' * bool(said.get('inv'))}{said['val']}"
        case "log":
            return " ".join(["log", *_log(said or {})])
        case "reject":
            what = [said[key] for key in ("type", "expr") if key in said] if said else []
            return " ".join(["reject", *["with"] * bool(what), *what])
        case "snat" | "dnat" | "redirect" | "masquerade":
            return _translated(name, said or {})
        case _ if said is None and (name in _VERDICTS or name == "notrack"):
            return str(name)
        case _:
            raise _Unknown


def _log(said: Mapping[str, Any]) -> Iterator[str]:
    for key in ("prefix", "group", "snaplen", "queue-threshold", "level", "flags"):
        if key in said:
            yield f'{key} "{said[key]}"' if key == "prefix" else f"{key} {_joined(said[key])}"


def _translated(name: str, said: Mapping[str, Any]) -> str:
    if "flags" in said:
        raise _Unknown
    address = _expression(said["addr"]) if "addr" in said else ""
    if "port" in said:
        address = f"[{address}]" if ":" in address else address
        address += f":{_expression(said['port'])}"
    return " ".join([name, *filter(None, [said.get("family")]), *["to", address] * bool(address)])


def _match(operator: str, left: Any, right: Any) -> str:
    if operator == "==" and isinstance(left, dict) and "&" in left and isinstance(left["&"][1], str | list):
        field, mask = left["&"]
        if _is_flags(field):
            return f"{_expression(field)} {_joined(right)} / {_joined(mask)}"
    masked = isinstance(left, dict) and not _OPERATORS.isdisjoint(left)
    shown = operator if operator in _COMPARED else "==" * masked
    if isinstance(left, dict) and "fib" in left and isinstance(right, bool):
        right = "exists" if right else "missing"
    return " ".join(filter(None, [_expression(left), shown, _joined(right)]))


def _is_flags(field: Any) -> bool:
    return isinstance(field, dict) and field.get("payload", {}).get("field") == "flags"


def _joined(value: Any) -> str:
    return ",".join(map(_expression, value)) if isinstance(value, list) else _expression(value)


def _expression(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if " " in value else value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, dict) or len(value) != 1:
        raise _Unknown
    ((name, said),) = value.items()
    match name:
        case "payload":
            return f"{said['protocol']} {said['field']}"
        case "meta":
            return f"{said['key']}" if said["key"] in _SHORT else f"meta {said['key']}"
        case "ct" if "dir" not in said:
            return f"ct {said['key']}"
        case "rt" if "family" not in said:
            return f"rt {said['key']}"
        case "tcp option":
            return f"tcp option {said['name']} {said['field']}"
        case "fib":
            flags = said["flags"] if isinstance(said["flags"], list) else [said["flags"]]
            return f"fib {' . '.join(flags)} {said['result']}"
        case "numgen":
            offset = f" offset {said['offset']}" if said.get("offset") else ""
            return f"numgen {said['mode']} mod {said['mod']}{offset}"
        case "prefix":
            return f"{said['addr']}/{said['len']}"
        case "range":
            return "-".join(map(_expression, said))
        case "concat":
            return " . ".join(map(_expression, said))
        case "set":
            return f"{{ {', '.join(map(_element, said))} }}"
        case "jump" | "goto":
            return f"{name} {said['target']}"
        case _ if name in _OPERATORS:
            return f"{_expression(said[0])} {name} {_expression(said[1])}"
        case _ if name in _VERDICTS and said is None:
            return str(name)
        case _:
            raise _Unknown


def _element(value: Any) -> str:
    """Of a set; of a map, with what it leads to."""
    return " : ".join(map(_expression, value)) if isinstance(value, list) else _expression(value)
