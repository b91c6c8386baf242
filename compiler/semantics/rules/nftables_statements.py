"""Statements of nftables that are no verdicts, from their words -> what they ask and do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compiler.semantics.rules import same_words
from compiler.semantics.rules.netfilter import (
    Barrier,
    Condition,
    Drop,
    End,
    Field,
    In,
    Notice,
    NoTrack,
    Rewrite,
    SetHops,
    SetMark,
    Statement,
    Translate,
    Unmodelled,
)
from compiler.semantics.rules.numbers import dscp, number, translation

#: What `reject` answers, in words for both families where nft has some, in icmpx.
_KINDS = {
    "icmpx": {
        "no-route": "net unreachable",
        "port-unreachable": "port unreachable",
        "host-unreachable": "host unreachable",
        "admin-prohibited": "admin prohibited",
    },
    "icmp": {
        "net-unreachable": "net unreachable",
        "host-unreachable": "host unreachable",
        "prot-unreachable": "icmp 3/2",
        "port-unreachable": "port unreachable",
        "net-prohibited": "icmp 3/9",
        "host-prohibited": "icmp 3/10",
        "admin-prohibited": "admin prohibited",
    },
    "icmpv6": {
        "no-route": "net unreachable",
        "admin-prohibited": "admin prohibited",
        "addr-unreachable": "host unreachable",
        "port-unreachable": "port unreachable",
        "policy-fail": "icmp 1/5",
        "reject-route": "icmp 1/6",
    },
}
#: Parts of a packet that statements set and no field is for.
_REWRITES = {
    ("meta", "priority"): "priority",
    ("ip", "dscp"): "DSCP",
    ("ip6", "dscp"): "DSCP",
    ("ip", "ecn"): "ECN",
    ("ip6", "ecn"): "ECN",
}
_OPERATIONS: dict[str, Callable[[SetMark, int], SetMark]] = {
    "&": lambda mark, bits: SetMark(mark.keep & bits, mark.flip & bits),
    "^": lambda mark, bits: SetMark(mark.keep, mark.flip ^ bits),
    "|": lambda mark, bits: SetMark(mark.keep & ~bits, mark.flip & ~bits | bits),
}
_SIGNS = {"and": "&", "xor": "^", "or": "|"}
_TIGHTNESS = "|^&"
_ALL_BITS = Field.MARK.top
_FAMILY = {"ip": 4, "ip6": 6, "icmp": 4, "icmpv6": 6}
#: How NAT chooses among several.
_CHOICE = ("random", "fully-random", "persistent")


def statement(words: list[str], table_family: str) -> Iterator[Condition | Statement]:
    """What it presupposes, then what it does; nothing for those that only count. ValueError when it is wrong."""
    match words:
        case ["counter" | "comment", *_]:
            pass
        case ["log", *_] | ["meta", "nftrace", "set", *_]:
            yield Notice(same_words.of_nftables(words))
        case ["limit" | "quota", *_]:
            yield Barrier(same_words.of_nftables(words))
        case ["reject", *how]:
            yield from _reject(how)
        case ["notrack"]:
            yield NoTrack()
        case ["meta", "mark", "set", *value] | ["mark", "set", *value]:
            yield _marked(value) or Unmodelled(" ".join(words))
        case [header, part, "set", *_] if (header, part) in _REWRITES:
            yield from _only(_FAMILY.get(header))
            constant = part == "dscp" and len(words) == 4
            yield Rewrite(_REWRITES[header, part], str(dscp(words[3])) if constant else " ".join(words))
        case ["tcp", "option", "maxseg", "size", "set", *_]:
            yield In(Field.PROTOCOL, ((6, 6),))
            yield Rewrite("MSS", " ".join(words))
        case [("ip" | "ip6") as header, "ttl" | "hoplimit", "set", value]:
            yield from _only(_FAMILY[header])
            yield SetHops(0, *(number(value, 255),) * 2)
        case ["snat" | "dnat" | "masquerade" | "redirect", *_]:
            yield from _translate(words, table_family)
        case _:
            yield Unmodelled(" ".join(words))


def _only(family: int | None) -> Iterator[Condition]:
    if family is not None:
        yield In(Field.FAMILY, ((family, family),))


def _reject(how: list[str]) -> Iterator[Condition | Statement]:
    """`with tcp reset`, `with icmp type port-unreachable`; without words, port unreachable."""
    match [word for word in how if word not in ("with", "type")]:
        case []:
            yield Drop(rejected=True, kind="port unreachable")
        case ["tcp", "reset"]:
            yield In(Field.PROTOCOL, ((6, 6),))
            yield Drop(rejected=True, kind="tcp reset")
        case [("icmp" | "icmpv6" | "icmpx") as head, word] if word in _KINDS[head]:
            yield from _only(_FAMILY.get(head))
            yield Drop(rejected=True, kind=_KINDS[head][word])
        case _:
            raise ValueError(f"reject {' '.join(how)} is not understood")


def _translate(words: list[str], table_family: str) -> Iterator[Condition | Statement]:
    head, *rest = words
    end = End.SOURCE if head in ("snat", "masquerade") else End.DESTINATION
    family = _FAMILY.get(rest[0] if rest[:1] in (["ip"], ["ip6"]) else table_family)
    rest = rest[1:] if rest[:1] in (["ip"], ["ip6"]) else rest
    target = ""
    flags = [word for word in rest if word.strip(",") in _CHOICE]
    if rest[:1] == ["to"]:
        target = "".join(rest[1 : rest.index(flags[0]) if flags else len(rest)])
    if family is None and target and not target.startswith(":"):
        raise ValueError(f"{' '.join(words)} needs a family")
    yield from _only(family)
    addresses, ports = translation(target, family or 4) if target else (None, None)
    how = " ".join(sorted(flag.strip(",") for flag in flags))
    yield Translate(end, addresses, ports, own=head in ("masquerade", "redirect"), how=how)


def _marked(words: list[str]) -> SetMark | None:
    """A constant, or the mark itself with operators, in C's precedence as long as that is the order of the words."""
    rest = words[1:] if words[:2] == ["meta", "mark"] else words
    if rest[:1] != ["mark"]:
        return SetMark(0, number(words[0], _ALL_BITS)) if len(words) == 1 else None
    mark, before = SetMark(_ALL_BITS, 0), "&"
    for sign, bits in zip(rest[1::2], rest[2::2], strict=True):
        operation = _SIGNS.get(sign, sign)
        if operation not in _OPERATIONS or _TIGHTNESS.index(operation) > _TIGHTNESS.index(before):
            return None
        mark, before = _OPERATIONS[operation](mark, number(bits, _ALL_BITS)), operation
    return mark
