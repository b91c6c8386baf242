"""Random rulesets of nftables that the kernel takes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from random import Random

from tests.kernel.pools import ICMP_TYPES, MARKS, Pools

_FAMILY = {4: "ip", 6: "ip6"}
_PROTOCOLS = ("tcp", "udp", "sctp", "udplite")
_STATES = ("new", "established", "related", "invalid", "untracked")
_HOOKS = ("prerouting", "forward", "input", "output", "postrouting")


#: Hooks of nat chains, and which end is translated there.
_NAT = {"prerouting": "dnat", "output": "dnat", "postrouting": "snat", "input": "snat"}


class RandomNft:
    """`text` is the script. Chains jump only to chains with a higher number, so there is no circle. `changes`: rules
    that change packets and tell of them, too, and chains of type nat."""

    def __init__(self, pools: Pools, changes: bool = False) -> None:
        self._pools = pools
        self._changes = changes
        self._chosen: Random = pools.chosen
        self._chains = self._chosen.randint(2, 6)
        self._family = self._chosen.choice(("inet", "inet", "inet", "ip", "ip6"))
        self._families = {"inet": (4, 6), "ip": (4,), "ip6": (6,)}[self._family]
        self.text = "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"add table {self._family} dice"
        yield f"table {self._family} dice {{"
        for family in self._families:
            yield from self._sets(family)
        for number in range(self._chains):
            yield f"\tchain c{number} {{"
            yield from self._rules(number, self._chosen.randint(1, 6))
            yield "\t}"
        for priority, hook in enumerate(self._hooks()):
            policy = self._chosen.choice(("accept", "accept", "drop")) if hook == "forward" else "accept"
            yield f"\tchain base{priority} {{"
            yield f"\t\ttype filter hook {hook} priority {self._chosen.choice(('filter +', 'mangle +', ''))} {priority}"
            yield f"\t\tpolicy {policy}"
            yield from self._rules(-1, self._chosen.randint(1, 9))
            yield "\t}"
        if self._changes:
            yield from self._nat()
        yield "}"

    def _nat(self) -> Iterator[str]:
        """Two chains that only nat chains of the same kind lead to, then these, some hooks twice."""
        for kind in ("dnat", "snat"):
            for number in (1, 0):
                yield f"\tchain {kind}{number} {{"
                yield from (f"\t\t{self._nat_rule(kind, number, '')}" for _ in range(3))
                yield "\t}"
        for number, (hook, kind) in enumerate([*_NAT.items(), *self._chosen.sample(list(_NAT.items()), 2)]):
            yield f"\tchain nat{number} {{"
            yield f"\t\ttype nat hook {hook} priority {self._chosen.choice(('-100', '100', '-150', '0'))}"
            yield from (f"\t\t{self._nat_rule(kind, -1, hook)}" for _ in range(self._chosen.randint(1, 5)))
            yield "\t}"

    def _nat_rule(self, kind: str, number: int, hook: str) -> str:
        family = self._chosen.choice(self._families)
        asked = [self._address(family)] * self._chosen.choice((0, 1, 1))
        protocol = self._chosen.choice(("", "", "tcp", "udp"))
        if protocol:
            asked.append(f"{protocol} dport {self._span()}")
        host, port = self._pools.host(family), self._pools.port() or 1
        to = f"{kind} {_FAMILY[family] + ' ' if self._family == 'inet' else ''}to "
        words = [f"{to}{host}"] * 3 + ["accept", "return"]
        if protocol and kind == "dnat":  # two sources may not have one port
            words += [f"{to}{host if family == 4 else f'[{host}]'}:{port}"] * 3
        if hook == "prerouting":
            words.append(f"redirect to :{port}" if protocol else "redirect")
        if hook == "postrouting":
            words.append("masquerade")
        if number < 1:
            words += [f"{self._chosen.choice(('jump', 'goto'))} {kind}{number + 1}"] * 3
        return " ".join([*asked, self._chosen.choice(words)])

    def _hooks(self) -> list[str]:
        return ["forward", *self._chosen.choices(_HOOKS, k=3)]

    # Sets

    def _sets(self, family: int) -> Iterator[str]:
        kind = f"ipv{family}_addr"
        hosts = [self._pools.host(family) for _ in range(4)]
        yield f"\tset hosts{family} {{ type {kind}; {self._elements(hosts)}; }}"
        nets = _disjoint(self._pools.blocks[family])
        yield f"\tset nets{family} {{ type {kind}; flags interval; {self._elements(nets)}; }}"
        cells = [f"{self._pools.host(family)} . {self._protocol()} . {self._pools.port()}" for _ in range(9)]
        yield f"\tset cells{family} {{ type {kind} . inet_proto . inet_service; {self._elements(cells)}; }}"
        pairs = [f"{self._pools.host(family)} . {self._pools.host(family)}" for _ in range(9)]
        yield f"\tset pairs{family} {{ type {kind} . {kind}; {self._elements(pairs)}; }}"
        boxes = [f"{net} . {low}-{high}" for net, (low, high) in zip(nets, self._pools.spans, strict=False)]
        yield f"\tset boxes{family} {{ type {kind} . inet_service; flags interval; {self._elements(boxes)}; }}"
        said = [f"{host} : {self._last()}" for host in dict.fromkeys(hosts)]
        yield f"\tmap said{family} {{ type {kind} : verdict; {self._elements(said)}; }}"
        said = [f"{net} : {self._last()}" for net in nets]
        yield f"\tmap far{family} {{ type {kind} : verdict; flags interval; {self._elements(said)}; }}"

    @staticmethod
    def _elements(texts: list[str]) -> str:
        return f"elements = {{ {', '.join(dict.fromkeys(texts))} }}"

    def _protocol(self) -> str:
        return self._chosen.choice(_PROTOCOLS)

    # Rules

    def _rules(self, number: int, count: int) -> Iterator[str]:
        for _ in range(count):
            yield "\t\t" + " ".join(self._rule(number))

    def _rule(self, number: int) -> Iterator[str]:
        """Of one family, which `ip` and `ip6` presuppose, and at most one protocol."""
        family = self._chosen.choice(self._families)
        asked = self._chosen.choices((0, 1, 2, 3), (1, 6, 4, 2))[0]
        about = self._chosen.sample((self._address, self._far, self._transport, self._meta, self._set), asked)
        if self._set in about and self._transport in about:
            about.remove(self._transport)  # `list ruleset` prints th as a field of the protocol that was asked before
        yield from _one_comparison([ask(family) for ask in about])
        if self._chosen.random() < 0.15:
            yield "counter"
        if self._chosen.random() < 0.2:
            yield self._set_mark()
        if self._changes and self._chosen.random() < 0.3:
            yield self._change(family)
        if self._chosen.random() < 0.15 and self._transport not in about and number < self._chains - 1:
            yield self._map(family)
        elif self._chosen.random() < 0.95:
            yield self._verdict(number)
        else:
            yield "counter"

    def _verdict(self, number: int) -> str:
        later = self._chains - number - 1
        words = ["accept", "drop", "return", "continue"]
        if later > 0:
            chain = f"c{self._chosen.randint(number + 1, self._chains - 1)}"
            words += [f"jump {chain}"] * 3 + [f"goto {chain}"] * 2
        return self._chosen.choice(words)

    def _not(self) -> str:
        return self._chosen.choice(("", "", "", "!= "))

    def _end(self, family: int) -> str:
        return f"{_FAMILY[family]} {self._chosen.choice(('saddr', 'daddr'))}"

    def _address(self, family: int) -> str:
        return f"{self._end(family)} {self._not()}{self._addresses(family)}"

    def _addresses(self, family: int) -> str:
        pools = self._pools
        match self._chosen.randint(0, 5):
            case 0:
                return pools.host(family)
            case 1 | 2:
                return pools.block(family)
            case 3:
                return "-".join(pools.range(family))
            case 4:
                return f"@{self._chosen.choice(('hosts', 'nets'))}{family}"
        return f"{{ {', '.join(_disjoint(pools.blocks[family])[:3])} }}"

    def _far(self, family: int) -> str:
        """What looks at fields beside addresses and ports."""
        match self._chosen.randint(0, 4):
            case 0:
                return f"{'ip ttl' if family == 4 else 'ip6 hoplimit'} {self._compared((1, 9, 10, 63, 254))}"
            case 1 if self._family == "inet":
                return f"meta nfproto {self._not()}ipv{family}"
            case 2:
                mask = self._chosen.choice(("255.255.0.255", "255.255.255.0")) if family == 4 else "ffff:ffff::f"
                return f"{self._end(family)} & {mask} {self._not() or '== '}{_masked(self._pools.host(family), mask)}"
            case 3:
                return f"fib {self._chosen.choice(('saddr', 'daddr'))} type {self._not()}local"
        return f"meta protocol {_FAMILY[family]}"

    def _compared(self, numbers: tuple[int, ...]) -> str:
        return f"{self._chosen.choice(('', '!= ', '< ', '> ', '<= ', '>= '))}{self._chosen.choice(numbers)}"

    def _transport(self, family: int) -> str:
        protocol = self._protocol()
        port = self._chosen.choice(("sport", "dport"))
        match self._chosen.randint(0, 7):
            case 0:
                return f"{protocol} {port} {self._compared(self._pools.ports[1:-1])}"
            case 1 | 2:
                return f"{protocol} {port} {self._not()}{self._span()}"
            case 3:
                spans = sorted({self._pools.port() for _ in range(3)})
                return f"{protocol} {port} {self._not()}{{ {', '.join(map(str, spans))} }}"
            case 4:
                return f"meta l4proto {{ tcp, udp }} th {port} {self._not()}{self._span()}"
            case 5:
                return f"meta l4proto {self._not()}{self._chosen.choice((*_PROTOCOLS, 'gre', '253', '{ tcp, 47 }'))}"
            case 6:
                kinds = ", ".join(map(str, self._chosen.sample(ICMP_TYPES[family], 2)))
                name = "icmp" if family == 4 else "icmpv6"
                one = self._chosen.choice(ICMP_TYPES[family])
                return f"{name} type {self._chosen.choice((f'{{ {kinds} }}', f'{one}', f'!= {one}'))}"
        return f"{protocol} sport . {protocol} dport {{ {self._span()} . {self._span()} }}"

    def _span(self) -> str:
        low, high = self._chosen.choice(self._pools.spans)
        return f"{low}-{high}" if high > low else f"{low}"

    def _meta(self, family: int) -> str:
        mark, other = self._chosen.sample(MARKS, 2)
        return self._chosen.choice(
            (
                f"meta mark {mark:#x}",
                f"meta mark != {mark:#x}",
                f"meta mark & {other or 3:#x} == {mark:#x}",
                f"meta mark {{ {mark}, {other} }}",
                f"meta mark > {mark}",
                f'iifname {self._not()}"tin"',
                'oifname "to*"',
                f'iifname {self._not()}{{ "t*", "lo" }}',
                f'oifname {self._not()}"eth0"',
                f"ct state {','.join(self._chosen.sample(_STATES, 2))}",
                f"ct state {self._not()}{self._chosen.choice(_STATES)}",
                f"ct state {self._not()}{{ {', '.join(self._chosen.sample(_STATES, 2))} }}",
            )
        )

    def _set(self, family: int) -> str:
        ip = _FAMILY[family]
        match self._chosen.randint(0, 3):
            case 0 if self._family != "inet":
                return f"{self._end(family)} . meta l4proto . th dport {self._not()}@cells{family}"
            case 0 | 1:
                return f"{ip} saddr . meta l4proto . th dport {self._not()}@cells{family}"
            case 2:
                return f"{ip} saddr . {ip} daddr {self._not()}@pairs{family}"
        return f"{self._end(family)} {self._not()}@hosts{family}"

    def _map(self, family: int) -> str:
        match self._chosen.randint(0, 3):
            case 0:
                return f"{self._end(family)} vmap @said{family}"
            case 1:
                return f"{self._end(family)} vmap @far{family}"
            case 2:
                said = [f"{port} : {self._late()}" for port in self._pools.ports[:2]]
                return f"tcp dport vmap {{ {', '.join(said)} }}"
        mask = "255.255.255.0" if family == 4 else "ffff:ffff:ffff:ffff::"
        return f"{self._end(family)} & {mask} vmap @said{family}"

    def _last(self) -> str:
        """Maps may be asked in every chain but the last one."""
        last = f"c{self._chains - 1}"
        return self._chosen.choice((f"jump {last}", f"goto {last}", self._late()))

    def _late(self) -> str:
        return self._chosen.choice(("accept", "drop", "return", "continue"))

    def _change(self, family: int) -> str:
        hops = self._chosen.choice((9, 63))
        return self._chosen.choice(
            (
                f'log prefix "{hops}"',
                f"ip ttl set {hops}" if family == 4 else f"ip6 hoplimit set {hops}",
                f"{_FAMILY[family]} dscp set {self._chosen.choice(('0x2e', '0x0a'))}",
            )
        )

    def _set_mark(self) -> str:
        first, second = self._chosen.sample(MARKS, 2)
        return "meta mark set " + self._chosen.choice(
            (f"{first}", f"meta mark | {first}", f"meta mark & {first} ^ {second}", f"meta mark ^ {first}")
        )


def _one_comparison(asked: list[str]) -> list[str]:
    """`udp sport < 53 ip ttl > 1` is printed as `ip ttl != 53-1` (nft 1.0.6 takes the pair for a range)."""
    comparing = [text for text in asked if "<" in text or ">" in text]
    return [text for text in asked if text not in comparing[1:]]


def _masked(address: str, mask: str) -> str:
    """A value that the mask can leave: others `list ruleset` prints as if they meant a block."""
    found = ipaddress.ip_address(address)
    return str(type(found)(int(found) & int(ipaddress.ip_address(mask))))


def _disjoint(blocks: tuple[str, ...]) -> list[str]:
    """An interval set takes no blocks that overlap."""
    found: list[str] = []
    for text in blocks:
        block = ipaddress.ip_network(text)
        if not any(block.overlaps(ipaddress.ip_network(other)) for other in found):
            found.append(text)
    return found
