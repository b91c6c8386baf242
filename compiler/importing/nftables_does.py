"""What a rule of nftables does, from its statements."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.importing.numbers import number, parsed_end, rate
from compiler.importing.values import (
    ALL_BITS,
    Action,
    Dnat,
    Dscp,
    Inexpressible,
    Jump,
    Log,
    Mark,
    Masquerade,
    Mss,
    Notrack,
    Redirect,
    Snat,
    Ttl,
    Verdict,
)
from grammar import nftables_tree as tree

_VERDICTS = {"accept": "allow", "drop": "deny", "return": "leave"}
_ANSWERS = {
    ("icmpx", "port-unreachable"): "",
    ("icmpx", "no-route"): "icmp-net-unreachable",
    ("icmpx", "host-unreachable"): "icmp-host-unreachable",
    ("icmpx", "admin-prohibited"): "icmp-admin-prohibited",
    ("icmp", "port-unreachable"): "",
    ("icmp", "net-unreachable"): "icmp-net-unreachable",
    ("icmp", "host-unreachable"): "icmp-host-unreachable",
    ("icmp", "prot-unreachable"): "icmp-proto-unreachable",
    ("icmp", "net-prohibited"): "icmp-net-prohibited",
    ("icmp", "host-prohibited"): "icmp-host-prohibited",
    ("icmp", "admin-prohibited"): "icmp-admin-prohibited",
    ("icmpv6", "port-unreachable"): "",
    ("icmpv6", "no-route"): "icmp-net-unreachable",
    ("icmpv6", "addr-unreachable"): "icmp-host-unreachable",
    ("icmpv6", "admin-prohibited"): "icmp-admin-prohibited",
}
_FAMILIES = {"ip": 4, "ip6": 6}
_UNITS = {"second": "sec", "minute": "min", "hour": "hour", "day": "day"}
#: A class of DSCP by its name.
_CLASSES = {"ef": 46, "be": 0, "df": 0, "le": 1, "va": 44, **{f"cs{n}": n << 3 for n in range(8)}}
_CLASSES |= {f"af{n}{m}": n << 3 | m << 1 for n in range(1, 5) for m in range(1, 4)}


def verdict(found: tree.Verdict) -> Action:
    """Raises Inexpressible."""
    if found.kind in ("jump", "goto"):
        return Jump(found.chain, found.kind == "goto")
    if found.kind not in _VERDICTS:
        raise Inexpressible(found.kind)
    return Verdict(_VERDICTS[found.kind])


def does(words: Sequence[str], version: int) -> tuple[Action, int]:
    """A statement that is no verdict, and the family that it is for (0: both). Raises Inexpressible."""
    match list(words):
        case ["log", *rest]:
            return _log(rest, words), 0
        case ["reject"]:
            return Verdict("reject"), 0
        case ["reject", "with", "tcp", "reset"]:
            return Verdict("reject", "tcp-reset"), 0
        case ["reject", "with", kind, *rest] if (kind, rest[-1:] and rest[-1]) in _ANSWERS:
            return Verdict("reject", _ANSWERS[kind, rest[-1]]), {"icmp": 4, "icmpv6": 6}.get(kind, 0)
        case ["notrack"]:
            return Notrack(), 0
        case ["masquerade"] | ["masquerade", "fully-random" | "random"]:
            return Masquerade(" ".join(words[1:])), 0
        case ["redirect", "to", *rest]:
            return Redirect(number("".join(rest).lstrip(":"), 65535)), 0
        case ["dnat" | "snat" as head, "ip" | "ip6" as family, "to", *rest]:
            return _translated(head, "".join(rest)), _FAMILIES[family]
        case ["dnat" | "snat" as head, "to", *rest]:
            return _translated(head, "".join(rest)), 0
        case ["meta", "mark", "set", *rest] | ["mark", "set", *rest]:
            return _mark(rest, words), 0
        case ["ip" | "ip6" as family, "dscp", "set", value]:
            return Dscp(_CLASSES[value] if value in _CLASSES else number(value, 63)), _FAMILIES[family]
        case ["ip" | "ip6" as family, "ttl" | "hoplimit", "set", value]:
            return Ttl("set", number(value, 255)), _FAMILIES[family]
        case ["tcp", "option", "maxseg", "size", "set", "rt", "mtu"]:
            return Mss(None), 0
        case ["tcp", "option", "maxseg", "size", "set", value]:
            return Mss(number(value, 65535)), 0
    raise Inexpressible(" ".join(words))


def limit(words: Sequence[str]) -> str:
    """The language's words for a rate."""
    often, *rest = "".join(words[2:]).partition("burst")
    count, _, unit = often.partition("/")
    if words[1:2] != ["rate"] or not count.isdecimal() or unit not in _UNITS:
        raise Inexpressible(" ".join(words))
    burst = rest[-1].removesuffix("packets") or "5"
    if not burst.isdecimal():
        raise Inexpressible(" ".join(words))
    return rate(int(count), _UNITS[unit], int(burst))


def _log(rest: Sequence[str], words: Sequence[str]) -> Log:
    prefix, kernel = "", True
    left = list(rest)
    while left:
        match left:
            case ["prefix", text, *left]:
                prefix = text.strip('"')
            case ["group", "0", *left]:
                kernel = False
            case ["level", "warn", *left]:
                pass
            case _:
                raise Inexpressible(" ".join(words))
    return Log(prefix, kernel=kernel)


def _translated(head: str, word: str) -> Action:
    try:
        version, address, port = parsed_end(word)
    except ValueError:
        raise Inexpressible(f"{head} to {word}") from None
    if head == "dnat":
        return Dnat(version, address, port)
    if port is not None:
        raise Inexpressible(f"snat to {word}")
    return Snat(version, address)


def _mark(rest: Sequence[str], words: Sequence[str]) -> Mark:
    """A value, or `meta mark & KEEP | BITS`."""
    left = list(rest[1:] if rest[:1] == ["meta"] else rest)
    match left:
        case [value] if value != "mark":
            return Mark(number(value), ALL_BITS)
        case ["mark", "|" | "or", bits]:
            return Mark(number(bits), number(bits))
        case ["mark", "&" | "and", keep]:
            return Mark(0, ALL_BITS ^ number(keep))
        case ["mark", "&" | "and", keep, "|" | "or" | "^" | "xor", bits] if not number(keep) & number(bits):
            return Mark(number(bits), ALL_BITS ^ number(keep))
    raise Inexpressible(" ".join(words))
