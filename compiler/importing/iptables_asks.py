"""What a rule of iptables asks, from its options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from compiler.importing.asking import Asking, icmp
from compiler.importing.numbers import between, block, joined, number, others, protocol, span
from compiler.importing.values import STATES, Asked, Inexpressible
from compiler.net import Intervals
from grammar.iptables import Option

_CORE = {
    **dict.fromkeys(("-s", "--source", "--src"), "-s"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "-d"),
    **dict.fromkeys(("-p", "--protocol", "--proto"), "-p"),
    **dict.fromkeys(("-i", "--in-interface"), "-i"),
    **dict.fromkeys(("-o", "--out-interface"), "-o"),
    **dict.fromkeys(("-m", "--match"), "-m"),
    **dict.fromkeys(("-4", "--ipv4", "-6", "--ipv6", "-c", "--set-counters"), "-c"),
}
_PORT_MODULES = frozenset({"tcp", "udp", "sctp", "dccp"})
_ICMP_MODULES = {"icmp": 4, "icmp6": 6, "icmpv6": 6}
_OPTIONS = {
    **dict.fromkeys(("--sport", "--source-port", "--sports", "--source-ports"), "source ports"),
    **dict.fromkeys(("--dport", "--destination-port", "--dports", "--destination-ports"), "target ports"),
    **dict.fromkeys(("--ctstate", "--state"), "state"),
    **dict.fromkeys(("--icmp-type", "--icmpv6-type"), "type"),
    "--mark": "mark",
    "--src-range": "source range",
    "--dst-range": "target range",
    "--src-type": "source kind",
    "--dst-type": "target kind",
}
#: Modules all of whose options that stand in a rule are words of the language, or none at all.
_MODULES = {
    **dict.fromkeys(_PORT_MODULES, frozenset({"source ports", "target ports"})),
    "multiport": frozenset({"source ports", "target ports"}),
    **dict.fromkeys(_ICMP_MODULES, frozenset({"type"})),
    "conntrack": frozenset({"state"}),
    "state": frozenset({"state"}),
    "mark": frozenset({"mark"}),
    "iprange": frozenset({"source range", "target range"}),
    "addrtype": frozenset({"source kind", "target kind"}),
}
#: Names of both tools for types, each with its number.
_ICMP = """
    echo-reply 0 pong 0 destination-unreachable 3 source-quench 4 redirect 5 echo-request 8 ping 8
    router-advertisement 9 router-solicitation 10 time-exceeded 11 ttl-exceeded 11 parameter-problem 12
    timestamp-request 13 timestamp-reply 14 address-mask-request 17 address-mask-reply 18
"""
_ICMP6 = """
    destination-unreachable 1 packet-too-big 2 time-exceeded 3 ttl-exceeded 3 parameter-problem 4
    echo-request 128 ping 128 echo-reply 129 pong 129 router-solicitation 133 router-advertisement 134
    nd-router-solicit 133 nd-router-advert 134 nd-neighbor-solicit 135 nd-neighbor-advert 136 nd-redirect 137
    mld-listener-query 130 mld-listener-report 131 mld-listener-done 132 mld2-listener-report 143
    neighbour-solicitation 135 neighbor-solicitation 135 neighbour-advertisement 136 neighbor-advertisement 136
    redirect 137
"""
ICMP_TYPES = {4: _ICMP.split(), 6: _ICMP6.split()}


def asks(options: Sequence[Option], version: int) -> Asked:
    """All of it. Raises Inexpressible where the language has no words for some."""
    asking = Asking(version)
    module = ""
    for module, option in _owned(options):
        name = _CORE.get(option.name) if module in ("", "-") else None
        if name is not None:
            _core(asking, name, option)
        elif module == "statistic":
            continue
        else:
            _module(asking, module, option)
    statistic = [option for module, option in _owned(options) if module == "statistic"]
    if statistic:
        asking.one_of(_chance(statistic))
    return asking.done()


def _owned(options: Sequence[Option]) -> Iterator[tuple[str, Option]]:
    """Each option but -m with its module; "" for those that every rule has. -p brings in a module of its name."""
    module = ""
    for option in options:
        core = _CORE.get(option.name)
        if core == "-m":
            module = _one(option)
            if module not in _MODULES and module not in ("comment", "statistic"):
                raise Inexpressible(f"-m {module}")
        elif core is not None and not (module == "policy" and core == "-p"):
            yield "", option
        elif module == "comment":
            continue
        elif module == "statistic":
            yield module, option
        else:
            yield module or "-", option


def _core(asking: Asking, name: str, option: Option) -> None:
    if name == "-c":
        return
    word = _one(option)
    match name:
        case "-s" | "-d":
            found = [_block(part, asking.version) for part in word.split(",")]
            asking.addresses(name == "-s", asking.version, joined(found), option.negated)
        case "-p":
            value = 0 if word == "all" else protocol(word)
            if value:
                numbers: Intervals = ((value, value),)
                asking.protocol(others(numbers, 255) if option.negated else numbers)
            elif option.negated:
                raise Inexpressible("no protocol at all")
        case _:
            asking.interfaces(name == "-i", (_interface(word),), option.negated)


def _module(asking: Asking, module: str, option: Option) -> None:
    name = _OPTIONS.get(option.name)
    if name is None or (module != "-" and name not in _MODULES.get(module, ())):
        raise Inexpressible(f"{option.name}" if module == "-" else f"{option.name} of {module}")
    word = _one(option)
    ask: dict[str, Callable[[], None]] = {
        "source ports": lambda: asking.ports(True, _ports(option)),
        "target ports": lambda: asking.ports(False, _ports(option)),
        "state": lambda: asking.state(_states(option)),
        "type": lambda: _type(asking, option),
        "mark": lambda: asking.mark(*_mark(word), option.negated),
        "source range": lambda: asking.addresses(True, asking.version, (between(word)[1],), option.negated),
        "target range": lambda: asking.addresses(False, asking.version, (between(word)[1],), option.negated),
        "source kind": lambda: asking.kinds(True, _kinds(word, asking.version), option.negated),
        "target kind": lambda: asking.kinds(False, _kinds(word, asking.version), option.negated),
    }
    ask[name]()


def _one(option: Option) -> str:
    if len(option.values) != 1:
        raise Inexpressible(f"{option.name} with {len(option.values)} values")
    return option.values[0].text


def _block(word: str, version: int) -> tuple[int, int]:
    try:
        found, interval = block(word)
    except ValueError as error:
        raise Inexpressible(str(error)) from None
    if found != version:
        raise Inexpressible(f"{word} is of the other family")
    return interval


def _interface(word: str) -> str:
    """`eth+` is `eth*` in the language."""
    return f"{word[:-1]}*" if word.endswith("+") else word


def _ports(option: Option) -> Intervals:
    found = joined(span(part, ":") for part in _one(option).split(","))
    return others(found, 65535) if option.negated else found


def _states(option: Option) -> frozenset[str]:
    names = frozenset(_one(option).lower().split(","))
    if not names <= STATES:
        raise Inexpressible(f"the states {', '.join(sorted(names - STATES))}")
    return STATES - names if option.negated else names


def _type(asking: Asking, option: Option) -> None:
    word = _one(option).lower()
    names = ICMP_TYPES[asking.version]
    if word in ("any", "255") and asking.version == 4:
        if option.negated:
            raise Inexpressible("no type at all")
        return
    value = names[names.index(word) + 1] if word in names[::2] else word
    if not value.isdecimal():
        raise Inexpressible(f"codes of ICMP ({word})")
    found: Intervals = ((number(value, 255),) * 2,)
    asking.protocol(icmp(asking.version))
    asking.messages(others(found, 255) if option.negated else found)


def _mark(word: str) -> tuple[int, int]:
    value, _, mask = word.partition("/")
    return number(value), number(mask) if mask else 0xFFFFFFFF


def _kinds(word: str, version: int) -> tuple[str, ...]:
    kinds = tuple(word.lower().split(","))
    if not set(kinds) <= {"local", "broadcast", "multicast"}:
        raise Inexpressible(f"the type of address {word}")
    if version == 6 and kinds != ("local",):
        raise Inexpressible(f"the type of address {word} in IPv6")
    return kinds


def _chance(options: Sequence[Option]) -> int:
    """1/N of iptables-save: a share of 2^31, rounded."""
    found = {option.name: _one(option) for option in options}
    if found.get("--mode") != "random" or any(option.negated for option in options):
        raise Inexpressible("statistic that does not throw dice")
    probability = float(found.get("--probability", "0"))
    count = round(1 / probability) if probability > 0 else 0
    if not count or abs(probability - 1 / count) > 1e-6:
        raise Inexpressible(f"a chance of {found.get('--probability')}, which is not one of a number")
    return count
