"""What a rule of iptables asks -> conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import product

from compiler.semantics.rules import same_words
from compiler.semantics.rules.netfilter import (
    WITH_PORTS,
    AddressType,
    Barrier,
    Condition,
    Field,
    In,
    InSet,
    Interval,
    Intervals,
    Key,
    Opaque,
    State,
)
from compiler.semantics.rules.numbers import (
    address,
    all_ones,
    bits,
    block,
    complement,
    interface,
    is_prefix,
    mask_of,
    normal,
    number,
    protocol,
    span,
    unmasked,
)
from compiler.semantics.rules.reads_ipset import IpSet
from grammar.iptables import Option
from grammar.ruletext import Place

#: One option asks one of these; they exclude each other. A tuple of conditions holds when all of them do.
Alternatives = tuple[tuple[Condition, ...], ...]

_SPORT, _DPORT = ("--sport", "--source-port"), ("--dport", "--destination-port")
_SPORTS, _DPORTS = ("--sports", "--source-ports"), ("--dports", "--destination-ports")
_CORE = {
    "-s": "-s",
    "--source": "-s",
    "--src": "-s",
    "-d": "-d",
    "--destination": "-d",
    "--dst": "-d",
    "-p": "-p",
    "--protocol": "-p",
    "--proto": "-p",
    "-i": "-i",
    "--in-interface": "-i",
    "-o": "-o",
    "--out-interface": "-o",
    "-f": "-f",
    "--fragment": "-f",
    "-m": "-m",
    "--match": "-m",
    "-4": "-4",
    "--ipv4": "-4",
    "-6": "-6",
    "--ipv6": "-6",
    "-c": "-c",
    "--set-counters": "-c",
}
_CONNTRACK = """
    --ctstate --ctproto --ctorigsrc --ctorigdst --ctreplsrc --ctrepldst --ctorigsrcport --ctorigdstport --ctreplsrcport
    --ctrepldstport --ctstatus --ctexpire --ctdir
"""
#: Module -> its options. What of them is not modelled is opaque, each for itself.
_OPTIONS = {
    "tcp": (*_SPORT, *_DPORT, "--tcp-flags", "--syn", "--tcp-option"),
    "udp": (*_SPORT, *_DPORT),
    "sctp": (*_SPORT, *_DPORT, "--chunk-types"),
    "dccp": (*_SPORT, *_DPORT, "--dccp-types", "--dccp-option"),
    "multiport": (*_SPORTS, *_DPORTS, "--ports"),
    "icmp": ("--icmp-type",),
    "icmp6": ("--icmpv6-type",),
    "conntrack": tuple(_CONNTRACK.split()),
    "state": ("--state",),
    "mark": ("--mark",),
    "set": ("--match-set", "--set"),
    "addrtype": ("--src-type", "--dst-type"),
    "iprange": ("--src-range", "--dst-range"),
    "ttl": ("--ttl-eq", "--ttl-lt", "--ttl-gt", "--ttl"),
    "hl": ("--hl-eq", "--hl-lt", "--hl-gt"),
    "comment": ("--comment",),
}
#: Options by which modules beyond the model are named like one above.
_SHARED = {"connmark": ("--mark",), "policy": ("--proto",)}
#: `-p` brings in the module of the protocol.
_MODULES = {6: "tcp", 17: "udp", 132: "sctp", 33: "dccp", 1: "icmp", 58: "icmp6"}
#: Modules beyond the model whose answer depends on the packet, its connection and the machine's settings alone. Others
#: may depend on earlier packets, on the time or on chance: limit, recent, statistic, time, and those not known here.
_PURE = """
    ah bpf cgroup cluster connlabel connmark devgroup dscp dst ecn esp eui64 frag geoip hbh helper ipv4options
    ipv6header ipvs l2tp length length2 mac mh osf owner physdev pkttype policy realm rpfilter rt socket srh string
    tcpmss tls tos
    u32 vlan
"""
_ICMP = """
    echo-reply 0 pong 0 destination-unreachable 3 network-unreachable 3/0 host-unreachable 3/1
    protocol-unreachable 3/2 port-unreachable 3/3 fragmentation-needed 3/4 source-quench 4 redirect 5 echo-request 8
    ping 8 router-advertisement 9 router-solicitation 10 time-exceeded 11 ttl-exceeded 11 parameter-problem 12
    timestamp-request 13 timestamp-reply 14 address-mask-request 17 address-mask-reply 18 any 255
"""
_ICMP6 = """
    destination-unreachable 1 no-route 1/0 communication-prohibited 1/1 address-unreachable 1/3 port-unreachable 1/4
    packet-too-big 2 time-exceeded 3 ttl-exceeded 3 parameter-problem 4 echo-request 128 ping 128 echo-reply 129
    pong 129 router-solicitation 133 router-advertisement 134 neighbour-solicitation 135 neighbor-solicitation 135
    neighbour-advertisement 136 neighbor-advertisement 136 redirect 137
"""
_TYPES = {name: dict(zip(t.split()[::2], t.split()[1::2], strict=True)) for name, t in {1: _ICMP, 58: _ICMP6}.items()}
_ANY_TYPE = 255
#: Holds for no packet.
_NEVER = In(Field.FAMILY, ())


class RuleMatches:
    """The matches of one rule: `take` its options in their order, then ask for `alternatives`."""

    def __init__(self, family: int, sets: Mapping[str, IpSet]) -> None:
        self._family = family
        self._sets = sets
        self._protocol: int | None = None
        self._needs: tuple[frozenset[int], Place] | None = None
        self._core: list[Alternatives] = []
        self._modules: list[tuple[str, list[Option]]] = []
        self._behind_target = False

    def expects(self, option: Option) -> bool:
        """Whether an option behind the target belongs to the matches."""
        name = _CORE.get(option.name)
        self._behind_target |= name in ("-m", "-p")
        return name is not None or self._behind_target

    def take(self, option: Option) -> None:
        """Raises Refused when no module of the rule has such an option, or the value is wrong."""
        name = _CORE.get(option.name)
        if name is None or (self._modules and option.name in _SHARED.get(self._modules[-1][0], ())):
            self._owner(option).append(option)
        elif name == "-m":
            module = _one(option)
            self._modules.append(({"icmpv6": "icmp6"}.get(module, module), []))
        elif name not in ("-4", "-6", "-c"):
            self._core.append(_tried(self._ask_core, name, option))

    def alternatives(self, place: Place) -> Iterator[tuple[Condition, ...]]:
        """The ways in which the rule can match: they exclude each other."""
        asked = list(self._core)
        for module, options in self._modules:
            if module in _OPTIONS:
                asked += (_tried(self._ask, module, option) for option in options)
            else:
                asked.append(((_beyond(module, options),),))
        if self._needs is not None and self._protocol not in self._needs[0]:
            raise self._needs[1].refused("the rule does not ask for a protocol that has this")
        for choice in product(*asked):
            yield tuple(condition for part in choice for condition in part)

    def _owner(self, option: Option) -> list[Option]:
        for module, options in reversed(self._modules):
            if option.name in _OPTIONS.get(module, _SHARED.get(module, ())):
                return options
        for module, options in reversed(self._modules):
            if module not in _OPTIONS:
                return options
        raise option.place.refused(f"{option.name} is not understood here", "unsupported")

    # What every rule can ask

    def _ask_core(self, name: str, option: Option) -> Alternatives:
        text = "" if name == "-f" else _one(option)
        match name:
            case "-s" | "-d" | "-i" | "-o":
                return _of_end(name, text, option.negated, self._family)
            case "-p":
                value = 0 if text == "all" else protocol(text)
                if value == 0:
                    return ((_NEVER,),) if option.negated else ((),)
                self._protocol = None if option.negated else value
                if not option.negated and value in _MODULES:
                    self._modules.append((_MODULES[value], []))
                return self._is(option, Field.PROTOCOL, ((value, value),))
        return ((Opaque("-f", option.negated),),)

    def _is(self, option: Option, field: Field, intervals: Intervals, mask: int | None = None) -> Alternatives:
        return _asked(field, intervals, option.negated, self._family, mask)

    # Modules

    def _ask(self, module: str, option: Option) -> Alternatives:
        """What one option of a modelled module asks."""
        name = option.name
        if name in _SPORT + _DPORT:
            self._need(option, frozenset(p for p, m in _MODULES.items() if m == module))
            return _of_port(name in _SPORT, _one(option), option.negated)
        if module == "multiport":
            return self._multiport(option)
        ask: Mapping[str, Callable[[Option], Alternatives]] = {
            "--icmp-type": lambda o: self._icmp(o, 1),
            "--icmpv6-type": lambda o: self._icmp(o, 58),
            "--ctstate": self._state,
            "--state": self._state,
            "--mark": self._mark,
            "--match-set": self._set,
            "--set": self._set,
            "--src-type": self._type,
            "--dst-type": self._type,
            "--src-range": self._range,
            "--dst-range": self._range,
            "--comment": lambda _: ((),),
        }
        if name in ask:
            return ask[name](option)
        if module in ("ttl", "hl"):
            return self._hops(option)
        return ((_beyond(module, [option]),),)

    def _need(self, option: Option, protocols: frozenset[int]) -> None:
        self._needs = (protocols if self._needs is None else self._needs[0] & protocols, option.place)

    def _multiport(self, option: Option) -> Alternatives:
        self._need(option, WITH_PORTS)
        found = normal(span(part, ":", 65535) for part in _one(option).split(","))
        if option.name != "--ports":
            field = Field.SOURCE_PORT if option.name in _SPORTS else Field.DESTINATION_PORT
            return self._is(option, field, found)
        others = complement(found, 65535)
        neither = In(Field.SOURCE_PORT, others), In(Field.DESTINATION_PORT, others)
        if option.negated:
            return (neither,)
        return (In(Field.SOURCE_PORT, found),), (neither[0], In(Field.DESTINATION_PORT, found))

    def _icmp(self, option: Option, wanted: int) -> Alternatives:
        self._need(option, frozenset({wanted}))
        text = _one(option)
        kind, given, code = _TYPES[wanted].get(text.lower(), text).partition("/")
        value = number(kind, 255)
        if wanted == 1 and value == _ANY_TYPE:
            return ((_NEVER,),) if option.negated else ((),)
        if not given:
            return self._is(option, Field.ICMP_TYPE, ((value, value),))
        exact = In(Field.ICMP_TYPE, ((value, value),))
        codes = (number(code, 255),) * 2
        if not option.negated:
            return ((exact, In(Field.ICMP_CODE, (codes,))),)
        other = In(Field.ICMP_TYPE, complement(exact.intervals, 255))
        return (other,), (exact, In(Field.ICMP_CODE, complement((codes,), 255)))

    def _state(self, option: Option) -> Alternatives:
        words = _one(option).upper().split(",")
        if {"SNAT", "DNAT"} & set(words):
            return ((_beyond("conntrack", [option]),),)
        known = State.__members__
        if not all(word in known for word in words):
            raise ValueError(f"{_one(option)} has a state that is not known")
        return self._is(option, Field.STATE, normal((int(known[word]),) * 2 for word in words))

    def _mark(self, option: Option) -> Alternatives:
        value, given, mask = _one(option).partition("/")
        wanted = number(value, Field.MARK.top)
        masked = number(mask, Field.MARK.top) if given else Field.MARK.top
        return self._is(option, Field.MARK, ((wanted, wanted),), masked)

    def _set(self, option: Option) -> Alternatives:
        if len(option.values) != 2:
            raise ValueError("a set and its directions are expected")
        name, directions = option.values[0].text, option.values[1].text.split(",")
        found = self._sets.get(name)
        if found is None:
            raise ValueError(f"there is no set {name}")
        if any(d not in ("src", "dst") for d in directions) or len(directions) > 6:
            raise ValueError("directions are up to six of src and dst")
        if found.family not in (None, self._family):
            raise ValueError(f"{name} is a set of the other family")
        # ip_set_test: in a set of more dimensions than asked there is no packet.
        if not 0 < len(found.parts) <= len(directions):
            return ((),) if option.negated else ((_NEVER,),)
        keys: list[Key] = []
        for part, direction in zip(found.parts, directions, strict=False):
            if part == "port":
                port = Field.SOURCE_PORT if direction == "src" else Field.DESTINATION_PORT
                keys += (Key(Field.PROTOCOL), Key(port))
            else:
                keys.append(Key(Field.SOURCE if direction == "src" else Field.DESTINATION))
        return ((InSet(tuple(keys), name, option.negated),),)

    def _type(self, option: Option) -> Alternatives:
        words = _one(option).upper().split(",")
        known = AddressType.__members__
        if not all(word in known for word in words):
            raise ValueError(f"{_one(option)} has a type of address that is not known")
        # Of IPv6, xt_addrtype asks the routing table, or the address, for these alone, and of several it wants all.
        if self._family == 6 and words not in (["LOCAL"], ["ANYCAST"], ["MULTICAST"]):
            return ((_beyond("addrtype", [option]),),)
        field = Field.SOURCE_TYPE if option.name == "--src-type" else Field.DESTINATION_TYPE
        return self._is(option, field, normal((int(known[word]),) * 2 for word in words))

    def _range(self, option: Option) -> Alternatives:
        low, given, high = _one(option).partition("-")
        (family, first), (other, last) = address(low), address(high if given else low)
        if not family == other == self._family or last < first:
            raise ValueError(f"{_one(option)} is no range of the table's family")
        return self._is(option, Field.SOURCE if option.name == "--src-range" else Field.DESTINATION, ((first, last),))

    def _hops(self, option: Option) -> Alternatives:
        value = number(_one(option), 255)
        if option.name.endswith("-lt"):
            return self._is(option, Field.HOPS, ((0, value - 1),) if value else ())
        if option.name.endswith("-gt"):
            return self._is(option, Field.HOPS, ((value + 1, 255),) if value < 255 else ())
        return self._is(option, Field.HOPS, ((value, value),))


@lru_cache(maxsize=1 << 17)
def _of_end(name: str, text: str, negated: bool, family: int) -> Alternatives:
    """What -s, -d, -i or -o asks; many rules have the same words."""
    if name in ("-i", "-o"):
        return _asked(Field.INPUT if name == "-i" else Field.OUTPUT, (interface(text, "+"),), negated, family)
    field = Field.SOURCE if name == "-s" else Field.DESTINATION
    found = normal(_block(part, family) for part in text.split(","))
    if "," not in text and isinstance(odd := _odd_mask(text, family), int):
        base = _block(text.partition("/")[0], family)[0] & odd
        return _asked(field, ((base, base),), negated, family, odd)
    return _asked(field, found, negated, family)


@lru_cache(maxsize=1 << 12)
def _of_port(of_source: bool, text: str, negated: bool) -> Alternatives:
    """The same of --sport and --dport."""
    field = Field.SOURCE_PORT if of_source else Field.DESTINATION_PORT
    return _asked(field, (span(text, ":", 65535),), negated)


def _asked(field: Field, intervals: Intervals, negated: bool, family: int = 4, mask: int | None = None) -> Alternatives:
    width = bits(family) if field in (Field.SOURCE, Field.DESTINATION) else field.top.bit_length()
    top = all_ones(width) if field in (Field.SOURCE, Field.DESTINATION) else field.top
    if mask is not None and (plain := unmasked(intervals, mask, width)) is not None:
        intervals, mask = plain, None
    return ((In(field, complement(intervals, top) if negated else intervals, mask),),)


def _odd_mask(text: str, family: int) -> int | None:
    """The mask when it is not that of a prefix."""
    _, given, length = text.partition("/")
    mask = mask_of(length, family) if given else 0
    return mask if given and not is_prefix(mask, bits(family)) else None


def _block(text: str, family: int) -> Interval:
    if _odd_mask(text, family) is not None:
        text = text.partition("/")[0]
    version, found = block(text)
    if version != family:
        raise ValueError(f"{text} is not of the table's family")
    return found


def _tried(ask: Callable[[str, Option], Alternatives], name: str, option: Option) -> Alternatives:
    try:
        return ask(name, option)
    except ValueError as error:
        raise option.place.refused(str(error)) from None


def _one(option: Option) -> str:
    if len(option.values) != 1:
        raise option.place.refused(f"{option.name} takes one value")
    return option.values[0].text


def _beyond(module: str, options: list[Option]) -> Condition:
    """A match that is not modelled. One option that is negated is the same match turned round."""
    pure = module in _OPTIONS or module in _PURE.split()
    negated = pure and len(options) == 1 and options[0].negated
    same = same_words.limit(options) if module == "limit" else None
    same = same_words.chance(options) if module == "statistic" else same
    if same is not None:
        return Barrier(same)
    if module == "tcp" and (flags := same_words.tcp_flags(options[0])) is not None:
        return Opaque(flags, options[0].negated)
    if module == "rpfilter" and (found := same_words.no_way_back(options)) is not None:
        return Opaque(found)
    texts = [f"{'! ' * (o.negated and not negated)}{' '.join((o.name, *(v.text for v in o.values)))}" for o in options]
    text = " ".join((f"-m {module}", *texts))
    return Opaque(text, negated) if pure else Barrier(text)
