"""What a rule of iptables does, from its target's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.importing.numbers import number, parsed_end, rate
from compiler.importing.values import (
    ALL_BITS,
    Action,
    Dnat,
    Dscp,
    Inexpressible,
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
from grammar.iptables import Option

_VERDICTS = {"ACCEPT": "allow", "DROP": "deny", "RETURN": "leave"}
#: What REJECT answers, in the language's words; those of IPv6 that have one.
_ANSWERS = {
    **{name: name for name in ("tcp-reset", "icmp-port-unreachable", "icmp-host-unreachable", "icmp-net-unreachable")},
    **{name: name for name in ("icmp-proto-unreachable", "icmp-host-prohibited", "icmp-net-prohibited")},
    "icmp-admin-prohibited": "icmp-admin-prohibited",
    "tcp-rst": "tcp-reset",
    "port-unreach": "icmp-port-unreachable",
    "host-unreach": "icmp-host-unreachable",
    "net-unreach": "icmp-net-unreachable",
    "icmp6-port-unreachable": "icmp-port-unreachable",
    "icmp6-addr-unreachable": "icmp-host-unreachable",
    "addr-unreach": "icmp-host-unreachable",
    "icmp6-no-route": "icmp-net-unreachable",
    "no-route": "icmp-net-unreachable",
    "icmp6-adm-prohibited": "icmp-admin-prohibited",
    "adm-prohibited": "icmp-admin-prohibited",
}
_UNITS = {"s": "sec", "m": "min", "h": "hour", "d": "day"}
_DSCP_CLASSES = frozenset(f"cs{n}" for n in range(8))


def does(name: str, options: Sequence[Option]) -> Action:
    """`-j NAME` that is no chain. Raises Inexpressible."""
    given = {option.name: " ".join(value.text for value in option.values) for option in options}
    if any(option.negated for option in options):
        raise Inexpressible(f"{name} with a negated option")
    if name in _VERDICTS:
        _only(name, given)
        return Verdict(_VERDICTS[name])
    try:
        return _does(name, given)
    except (ValueError, KeyError):
        raise Inexpressible(_words(name, given)) from None


def limit(options: Sequence[Option]) -> str:
    """`-m limit`, in the language's words for a rate; iptables' own defaults are 3/hour burst 5."""
    given = {option.name: " ".join(value.text for value in option.values) for option in options}
    if not given.keys() <= {"--limit", "--limit-burst"} or any(option.negated for option in options):
        raise Inexpressible("limit with other options")
    count, _, unit = given.get("--limit", "3/hour").partition("/")
    unit = _UNITS.get(unit[:1].lower(), "sec")
    burst = given.get("--limit-burst", "5")
    if not count.isdecimal() or not burst.isdecimal():
        raise Inexpressible(f"a limit of {given.get('--limit')}")
    return rate(int(count), unit, int(burst))


def _does(name: str, given: Mapping[str, str]) -> Action:
    match name:
        case "REJECT":
            _only(name, given, "--reject-with")
            word = given.get("--reject-with", "")
            if word and word not in _ANSWERS:
                raise Inexpressible(f"the answer {word}")
            answer = _ANSWERS.get(word, "")
            return Verdict("reject", "" if answer == "icmp-port-unreachable" else answer)
        case "LOG":
            _only(name, given, "--log-prefix", "--log-level")
            if given.get("--log-level", "4") not in ("4", "warning", "warn"):
                raise Inexpressible(f"LOG at level {given['--log-level']}")
            return Log(given.get("--log-prefix", ""))
        case "NFLOG":
            _only(name, given, "--nflog-prefix", "--nflog-group")
            if given.get("--nflog-group", "0") != "0":
                raise Inexpressible(f"NFLOG to group {given['--nflog-group']}")
            return Log(given.get("--nflog-prefix", ""), kernel=False)
        case "DNAT":
            _only(name, given, "--to-destination")
            return Dnat(*parsed_end(given["--to-destination"]))
        case "SNAT":
            _only(name, given, "--to-source")
            version, address, port = parsed_end(given["--to-source"])
            if port is not None:
                raise ValueError
            return Snat(version, address)
        case "REDIRECT":
            _only(name, given, "--to-ports")
            return Redirect(number(given.get("--to-ports", ""), 65535))
        case "MASQUERADE":
            _only(name, given, "--random-fully", "--random")
            return Masquerade(" ".join(given))
        case "MARK":
            return _mark(given)
        case "DSCP":
            return _dscp(given)
        case "TTL" | "HL":
            return _hops(name.lower(), given)
        case "TCPMSS":
            return _mss(given)
        case "NOTRACK":
            _only(name, given)
            return Notrack()
        case "CT" if given == {"--notrack": ""}:
            return Notrack()
    raise Inexpressible(_words(name, given))


def _only(name: str, given: Mapping[str, str], *allowed: str) -> None:
    for option in given.keys() - set(allowed):
        raise Inexpressible(f"{name} with {option}")


def _words(name: str, given: Mapping[str, str]) -> str:
    return " ".join([name, *(f"{option} {value}".strip() for option, value in given.items())])


def _mark(given: Mapping[str, str]) -> Mark:
    """xt_mark: mark = (mark & ~mask) ^ value."""
    if len(given) != 1:
        raise ValueError
    ((option, word),) = given.items()
    value, masked, mask = word.partition("/")
    bits, among = number(value), number(mask) if masked else ALL_BITS
    match option:
        case "--set-xmark" if not bits & ~among:
            return Mark(bits, among)
        case "--set-mark":
            return Mark(bits, among | bits)
        case "--or-mark":
            return Mark(bits, bits)
        case "--and-mark":
            return Mark(0, ALL_BITS ^ bits)
    raise ValueError


def _dscp(given: Mapping[str, str]) -> Dscp:
    if len(given) != 1:
        raise ValueError
    ((option, word),) = given.items()
    if option == "--set-dscp":
        return Dscp(number(word, 63))
    word = word.lower()
    if word in _DSCP_CLASSES:
        return Dscp(int(word[2]) << 3)
    if word.startswith("af") and len(word) == 4:
        return Dscp(int(word[2]) << 3 | int(word[3]) << 1)
    return Dscp({"be": 0, "ef": 46}[word] if word in ("be", "ef") else number(word, 63))


def _hops(kind: str, given: Mapping[str, str]) -> Ttl:
    if len(given) != 1:
        raise ValueError
    ((option, word),) = given.items()
    change, amount = option.removeprefix(f"--{kind}-"), number(word, 255)
    if change not in ("dec", "inc", "set") or not amount:
        raise ValueError
    return Ttl(change, amount)


def _mss(given: Mapping[str, str]) -> Mss:
    if given == {"--clamp-mss-to-pmtu": ""}:
        return Mss(None)
    _only("TCPMSS", given, "--set-mss")
    return Mss(number(given["--set-mss"], 65535))
