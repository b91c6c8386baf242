"""Rules of one tool that have no place in their list: the kernel would refuse them, and the whole file with them.

Sources: `.table`, `.hooks` and the check functions of the kernel's xt_target and xt_match (net/netfilter/xt_*.c), the
validate functions of nf_tables (nft_*.c), tried with both tools (tests/kernel/test_as_written.py). What is not listed
stands anywhere, or is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import NamedTuple

from compiler.resources.language import Item, NatItem, NatWithin, Opaque, Program, ThisNode, Within
from compiler.resources.language_parts import parts
from grammar import iptables
from grammar.nftables_tokens import Tokens
from grammar.source import Source

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


class _Place(NamedTuple):
    """Tables and hooks at which something stands; empty: at all."""

    tables: Set[str]
    hooks: Set[str]


def _at(tables: str, hooks: str = "") -> _Place:
    return _Place(frozenset(tables.split()), frozenset(hooks.split()))


_EARLY, _LATE = "prerouting input forward", "forward output postrouting"
_ROUTED, _FILTERED = "prerouting output", "input forward output"
_TARGETS: Mapping[str, _Place] = {
    "DROP": _at("filter mangle raw"),
    "REJECT": _at("filter", _FILTERED),
    "DNAT": _at("nat", _ROUTED),
    "REDIRECT": _at("nat", _ROUTED),
    "SNAT": _at("nat", "input postrouting"),
    "MASQUERADE": _at("nat", "postrouting"),
    "NETMAP": _at("nat", "prerouting input output postrouting"),
    "CT": _at("raw"),
    "NOTRACK": _at("raw"),
    "TRACE": _at("raw"),
    "CHECKSUM": _at("mangle"),
    "DSCP": _at("mangle"),
    "ECN": _at("mangle"),
    "HL": _at("mangle"),
    "TTL": _at("mangle"),
    "TOS": _at("mangle"),
    "TCPOPTSTRIP": _at("mangle"),
    "TPROXY": _at("mangle", "prerouting"),
    "CONNSECMARK": _at("mangle security"),
    "SECMARK": _at("mangle security"),
    "DNPT": _at("mangle", _ROUTED),
    "SNPT": _at("mangle", "input postrouting"),
    "CLASSIFY": _at("", _LATE),
    "CLUSTERIP": _at("", "input"),
    "SYNPROXY": _at("", "input forward"),
}
_MATCHES: Mapping[str, _Place] = {
    "devgroup --src-group": _at("", _EARLY),
    "devgroup --dst-group": _at("", _LATE),
    "addrtype --limit-iface-in": _at("", _EARLY),
    "addrtype --limit-iface-out": _at("", _LATE),
    "policy --dir in": _at("", _EARLY),
    "policy --dir out": _at("", _LATE),
    "physdev --physdev-out": _at("", "prerouting input forward postrouting"),
    "physdev --physdev-is-out": _at("", "prerouting input forward postrouting"),
    "TCPMSS --clamp-mss-to-pmtu": _at("", _LATE),
    "eui64": _at("", _EARLY),
    "mac": _at("", _EARLY),
    "osf": _at("", _EARLY),
    "owner": _at("", "output postrouting"),
    "realm": _at("", "input forward output postrouting"),
    "rpfilter": _at("raw mangle", "prerouting"),
    "socket": _at("", "prerouting input"),
}
#: What needs a rule that asks for one of these protocols, by its options.
_PROTOCOLS: Mapping[str, Set[str]] = {
    **{f"-j {name}": frozenset({"tcp"}) for name in ("ECN", "SYNPROXY", "TCPMSS", "TCPOPTSTRIP")},
    "REJECT --reject-with tcp-reset": frozenset({"tcp"}),
    "-j TPROXY": frozenset({"tcp", "udp"}),
    "REDIRECT --to-ports": frozenset({"tcp", "udp", "sctp", "dccp"}),
    "MASQUERADE --to-ports": frozenset({"tcp", "udp", "sctp", "dccp"}),
}
_NUMBERS = {"6": "tcp", "17": "udp", "33": "dccp", "132": "sctp"}
#: Of one family alone.
_VERSIONS: Mapping[str, int] = {
    **dict.fromkeys(("-j TTL", "-m ttl", "-m icmp", "icmp --icmp-type", "-f", "--fragment"), 4),
    **dict.fromkeys(("-j HL", "-m hl", "-m icmp6", "-j DNPT", "-j SNPT"), 6),
    **dict.fromkeys(("icmpv6 --icmpv6-type", "ipv6-icmp --icmpv6-type"), 6),
    **dict.fromkeys(("-m eui64", "-m frag", "-m hbh", "-m ipv6header", "-m mh", "-m rt"), 6),
}
#: Options that say what those behind them are of.
_NAMING = frozenset({"-j", "--jump", "-m", "--match", "-p", "--protocol"})
#: Of nft, by the words that a rule has in a row.
_WORDS: Mapping[str, _Place] = {
    "dnat": _at("nat", _ROUTED),
    "redirect": _at("nat", _ROUTED),
    "snat": _at("nat", "input postrouting"),
    "masquerade": _at("nat", "postrouting"),
    "reject": _at("", "prerouting input forward output"),
    "tproxy": _at("", "prerouting"),
    "synproxy": _at("", "input forward"),
    "osf": _at("", _EARLY),
    "socket": _at("", "prerouting input output"),
    "pkttype set": _at("", "prerouting"),
    "rt mtu": _at("", _LATE),
    "ipsec in": _at("", _EARLY),
    "ipsec out": _at("", _LATE),
    "fib by iif": _at("", _EARLY),
    "fib by oif": _at("", _LATE),
    "fwd": _at("netdev"),
}
#: Behind these a word is a value.
_BEFORE_VALUES = frozenset({"status", "{", ",", "|", "&", "==", "!=", "."})


def misplaced(program: Program) -> Iterator[tuple[Opaque, str]]:
    """What has no place where it stands, and why."""
    listed: Iterable[tuple[str, Iterable[Item | NatItem], Set[str]]] = (
        ("filter", program.node_packets, frozenset()),
        ("filter", program.node, frozenset()),
        ("filter", program.forward_packets, frozenset({"forward"})),
        ("filter", program.forward, frozenset({"forward"})),
        ("nat", program.nat, frozenset()),
    )
    found = [(table, *one) for table, items, hooks in listed for one in _placed(items, hooks)]
    for table, statements in (("mangle", program.mangle), ("raw", program.raw)):
        found += ((table, one, {one.hook}) for one in statements if isinstance(one, Opaque) and one.hook)
    for table, item, hooks in found:
        for what, place in _of_iptables(item.rule) if item.tool == "iptables" else _of_nft(item.rule):
            if text := _wrong(place, table, hooks):
                yield item, f"{what} {text}"
        if item.tool == "iptables":
            yield from ((item, text) for text in _needs(item))


def _placed(items: Iterable[Item | NatItem], hooks: Set[str]) -> Iterator[tuple[Opaque, Set[str]]]:
    """Rules of one tool and the hooks at which they are asked; `hooks`: of the list around."""
    for item in items:
        match item:
            case Opaque():
                yield item, {item.hook} if item.hook is not None else hooks
            case Within():
                yield from _placed(item.items, hooks or _of_node(item))
            case NatWithin():
                yield from _placed(item.items, hooks)
            case _:
                pass


def _of_node(within: Within) -> Set[str]:
    sides = (("input", within.target), ("output", within.source))
    return {hook for hook, end in sides if any(isinstance(part, ThisNode) for part in parts(end))}


def _wrong(place: _Place, table: str, hooks: Set[str]) -> str:
    """Why something that stands there has no place at some of these hooks of a table; empty when it has."""
    if place.tables and table not in place.tables:
        return f"is for {_listed(place.tables)}, and this is {table}"
    wrong = hooks - place.hooks if place.hooks else frozenset()
    return f"is for {_listed(place.hooks)}, and this is {_listed(wrong)}" if wrong else ""


def _listed(words: Iterable[str]) -> str:
    own = set(words)
    return ", ".join([hook for hook in _HOOKS if hook in own] + sorted(own - {*_HOOKS}))


def _of_iptables(text: str) -> Iterator[tuple[str, _Place]]:
    for kind, option, value in options_of(text):
        if option in ("-j", "--jump") and value in _TARGETS:
            yield f"-j {value}", _TARGETS[value]
        elif option in ("-m", "--match") and value in _MATCHES:
            yield f"-m {value}", _MATCHES[value]
        for words in (f"{kind} {option}", f"{kind} {option} {value}"):
            if words in _MATCHES:
                yield words.partition(" ")[2], _MATCHES[words]


def _needs(item: Opaque) -> Iterator[str]:
    """What a rule of iptables does not say and has to, or says of the other family."""
    options = list(options_of(item.rule))
    named = [value.lower() for _, option, value in options if option in ("-p", "--protocol")]
    protocols = {_NUMBERS.get(name, name) for name in named}
    for kind, option, value in options:
        asked = [f"-{option.strip('-')[0]} {value}"] if option in _NAMING else []
        for words in (*asked, option, f"{kind} {option}", f"{kind} {option} {value}"):
            said = words if words.startswith("-") else words.partition(" ")[2]
            if words in _PROTOCOLS and protocols.isdisjoint(_PROTOCOLS[words]):
                yield f"{said} needs -p {' or '.join(sorted(_PROTOCOLS[words]))}"
            version = _VERSIONS.get(words)
            if version is not None and item.version != version:
                yield f"{said} is for IPv{version} alone: say ipv{version} in front of the rule"


def options_of(text: str) -> Iterator[tuple[str, str, str]]:
    """The match or target that each option is of, its name and its value; of a protocol's own match, the protocol."""
    (table,) = iptables.tables(Source("", f"*filter\n-A CHAIN {text}\nCOMMIT\n"))
    kind = ""
    for option in table.commands[0].options:
        value = option.values[0].text if option.values else ""
        yield kind, option.name, value
        if option.name in _NAMING:
            kind = value


def _of_nft(text: str) -> Iterator[tuple[str, _Place]]:
    tokens = Tokens(Source("", text)).texts
    for n, token in enumerate(tokens):
        if n and tokens[n - 1] in _BEFORE_VALUES:
            continue
        for words in (token, f"{token} {tokens[n + 1]}" if token else ""):
            if words in _WORDS:
                yield words, _WORDS[words]
        if token == "fib":
            yield from _of_fib(tokens[n + 1 :])


def _of_fib(tokens: list[str]) -> Iterator[tuple[str, _Place]]:
    """fib KEY . KEY RESULT: an interface in the key is the one that the packet came in, or goes out by; so is one that
    is the result."""
    keys = tokens[:1]
    while len(tokens) > 2 and tokens[1] == ".":
        tokens = tokens[2:]
        keys += tokens[:1]
    result = tokens[1] if len(tokens) > 1 else ""
    said = f"fib {' . '.join(keys)} {result}"
    if "iif" in keys or result in ("oif", "oifname"):
        yield said, _WORDS["fib by iif"]
    if "oif" in keys:
        yield said, _WORDS["fib by oif"]
