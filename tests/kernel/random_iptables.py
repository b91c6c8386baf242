"""Random rulesets of iptables, ip6tables and ipset that the kernel takes, in several spellings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from random import Random

from tests.kernel.pools import ICMP_TYPES, MARKS, Pools

_PROTOCOLS = ("tcp", "udp", "sctp", "udplite")
_STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
#: Table -> its hooks. A table without rules is declared all the same, so that nothing of an earlier text stays.
_TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
#: Type of set -> directions to ask it with.
KINDS = {
    "hash:ip": ("src", "dst"),
    "hash:net": ("src", "dst"),
    "hash:ip,port": ("src,dst", "dst,dst", "dst,src"),
    "hash:ip,port,ip": ("src,dst,dst", "dst,dst,src"),
    "hash:ip,port,net": ("src,dst,dst", "dst,dst,src"),
    "hash:net,net": ("src,dst", "dst,src"),
    "bitmap:port": ("src", "dst"),
    "list:set": ("src", "dst"),
}


#: Of the nat table, and which end is translated there. Only chains of the first two lead on.
_NAT = {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "POSTROUTING": "SNAT", "INPUT": "SNAT"}


class RandomIptables:
    """`files` are as the rig loads them. Chains jump only to chains with a higher number. `kinds`: the types of sets,
    of `KINDS`, that the kernel has. `changes`: rules that change packets and tell of them, too, and nat tables. `most`:
    rules that FORWARD of a table has."""

    def __init__(self, pools: Pools, kinds: Sequence[str], changes: bool = False, most: int = 8) -> None:
        self._most = most
        self._kinds = kinds
        self._changes = changes
        self._pools = pools
        self._chosen: Random = pools.chosen
        self._chains = self._chosen.randint(2, 5)
        self.files = {
            "ipset.save": "".join(line + "\n" for family in (4, 6) for line in self._sets(family)),
            "iptables.save": "\n".join(self._lines(4)) + "\n",
            "ip6tables.save": "\n".join(self._lines(6)) + "\n",
        }

    # Sets

    def _sets(self, family: int) -> Iterator[str]:
        word = "inet" if family == 4 else "inet6"
        for number, kind in enumerate(self._kinds):
            name = self._name(number, family)
            options = {"bitmap:port": "range 0-65535", "list:set": "size 8"}.get(kind, f"family {word}")
            yield f"create {name} {kind} {options} {self._chosen.choice(('', 'counters'))}".rstrip()
            if kind == "list:set":
                yield f"add {name} {self._name(0, family)}"
                continue
            texts = dict.fromkeys(self._element(kind, family) for _ in range(8))
            for text in texts:
                exception = " nomatch" if "net" in kind and self._chosen.random() < 0.3 else ""
                yield f"add {name} {text}{exception} -exist"

    @staticmethod
    def _name(number: int, family: int) -> str:
        return f"set{number}-{family}"

    def _element(self, kind: str, family: int) -> str:
        parts = []
        for part in kind.partition(":")[2].split(","):
            if part == "ip":
                parts.append(self._pools.host(family))
            elif part == "net":
                parts.append(self._pools.block(family))
            elif kind == "bitmap:port":
                parts.append(self._span("-"))
            else:
                parts.append(f"{self._chosen.choice(_PROTOCOLS)}:{self._pools.port()}")
        return ",".join(parts)

    # Tables

    def _lines(self, family: int) -> Iterator[str]:
        for table, hooks in _TABLES.items():
            yield f"*{table}"
            for hook in hooks:
                drops = table == "filter" and hook == "FORWARD" and self._chosen.random() < 0.4
                yield f":{hook} {'DROP' if drops else 'ACCEPT'} [0:0]"
            for number in range(self._chains):
                yield f":c{number} - [0:0]"
            if table != "raw" or self._chosen.random() < 0.3:
                for hook in hooks:
                    yield from self._rules(f"-A {hook}", -1, family, table, self._most if hook == "FORWARD" else 2)
                for number in range(self._chains):
                    yield from self._rules(f"-A c{number}", number, family, table, 5)
            yield "COMMIT"
        if self._changes:
            yield from self._nat(family)

    def _nat(self, family: int) -> Iterator[str]:
        yield "*nat"
        yield from (f":c{number} - [0:0]" for number in range(self._chains))
        for hook, target in _NAT.items():
            number = -1 if target == "DNAT" else self._chains
            for _ in range(self._chosen.randint(1, 6)):
                yield self._nat_rule(f"-A {hook}", number, family, target)
        for number in range(self._chains):
            for _ in range(self._chosen.randint(0, 4)):
                yield self._nat_rule(f"-A c{number}", number, family, "DNAT")
        yield "COMMIT"

    def _nat_rule(self, head: str, number: int, family: int, target: str) -> str:
        protocol = self._chosen.choice(("", "", "-p tcp", "-p udp"))
        asked = [self._address(family) for _ in range(self._chosen.choice((0, 1, 1, 2)))]
        if self._chosen.random() < 0.2:
            asked.append(self._mark(family))
        host, port = self._pools.host(family), self._pools.port() or 1
        words = [f"-j {target} --to-{'destination' if target == 'DNAT' else 'source'} {host}"] * 4
        if protocol and target == "DNAT":  # two sources may not have one port
            where = host if family == 4 else f"[{host}]"
            words += [f"-j DNAT --to-destination {where}:{port}"] * 3
        words += ["-j ACCEPT", "-j RETURN"]
        if "PREROUTING" in head:
            words.append(f"-j REDIRECT --to-ports {port}" if protocol else "-j REDIRECT")
        if "POSTROUTING" in head:
            words.append("-j MASQUERADE")
        if number < self._chains - 1:
            chain = f"c{self._chosen.randint(number + 1, self._chains - 1)}"
            words += [f"-j {chain}"] * 4 + [f"-g {chain}"] * 2
        return " ".join(
            filter(None, [head, *_once([*asked, *[protocol] * bool(protocol)]), self._chosen.choice(words)])
        )

    def _rules(self, head: str, number: int, family: int, table: str, most: int) -> Iterator[str]:
        for _ in range(self._chosen.randint(0, most)):
            if "OUTPUT" in head or "POSTROUTING" in head:
                asked = [self._address(family), self._protocol(family)]
            else:
                asks = (self._address, self._address, self._protocol, self._mark, self._set, self._state, self._far)
                asked = [ask(family) for ask in self._chosen.sample(asks, self._chosen.choice((0, 1, 1, 2, 2, 3)))]
            asked = _once(asked)
            counters = "[1:60] " if self._chosen.random() < 0.1 else ""
            comment = f'-m comment --comment "rule \\"{number}\\" -j"' if self._chosen.random() < 0.1 else ""
            yield " ".join(filter(None, [f"{counters}{head}", *asked, comment, self._target(number, table, family)]))

    def _target(self, number: int, table: str, family: int) -> str:
        words = ["-j ACCEPT", "-j DROP", "-j RETURN", "-j RETURN"]
        if number < self._chains - 1:
            chain = f"c{self._chosen.randint(number + 1, self._chains - 1)}"
            words += [f"-j {chain}"] * 3 + [f"-g {chain}"] * 2
        if table == "filter":
            words.append("")
        else:
            words += [self._set_mark()] * 4
        if self._changes and table != "raw":
            words += [f'-j LOG --log-prefix "{number} "', "-j REJECT" if table == "filter" else "-j ACCEPT"]
        if self._changes and table == "mangle":
            words += [self._rewrite(family)] * 3
        return self._chosen.choice(words)

    def _rewrite(self, family: int) -> str:
        hops = "TTL --ttl" if family == 4 else "HL --hl"
        return self._chosen.choice(
            (
                f"-j {hops}-set {self._chosen.choice((9, 63))}",
                f"-j {hops}-dec {self._chosen.choice((1, 2))}",
                f"-j {hops}-inc {self._chosen.choice((1, 200))}",
                f"-j DSCP --set-dscp {self._chosen.choice(('0x2e', '0x0a'))}",
            )
        )

    def _set_mark(self) -> str:
        first, second = self._chosen.sample(MARKS, 2)
        return "-j MARK " + self._chosen.choice(
            (
                f"--set-mark {first}",
                f"--set-mark {first:#x}/{second:#x}",
                f"--set-xmark {first}/{second:#x}",
                f"--and-mark {first}",
                f"--or-mark {first}",
                f"--xor-mark {first:#x}",
            )
        )

    # Matches

    def _not(self) -> str:
        return self._chosen.choice(("", "", "", "! "))

    def _address(self, family: int) -> str:
        option = self._chosen.choice((("-s", "--source", "--src"), ("-d", "--destination", "--dst")))
        if self._chosen.random() < 0.2:
            ends = "-".join(self._pools.range(family))
            return f"-m iprange {self._not()}{'--src-range' if '-s' in option else '--dst-range'} {ends}"
        return f"{self._not()}{self._chosen.choice(option)} {self._spelled(family)}"

    def _spelled(self, family: int) -> str:
        block = self._pools.block(family)
        if self._chosen.random() < 0.4:
            return self._pools.host(family)
        if self._chosen.random() < 0.3:
            return str(ipaddress.ip_network(block).with_netmask)
        return block

    def _protocol(self, family: int) -> str:
        protocol = self._chosen.choice((*_PROTOCOLS, "tcp"))
        end, ends = self._chosen.choice((("sport", "source-port"), ("dport", "destination-port"))), ("s", "d")
        match self._chosen.randint(0, 7):
            case 0:
                return f"{self._not()}-p {self._chosen.choice((*_PROTOCOLS, '47', 'gre', '253', '6'))}"
            case 1 | 2:
                protocol = self._chosen.choice(("tcp", "udp", "sctp"))  # UDP-Lite has no module but multiport
                module = self._chosen.choice((f"-m {protocol} ", ""))
                return f"-p {protocol} {module}{self._not()}--{self._chosen.choice(end)} {self._span(':')}"
            case 3:
                return f"-p {protocol} -m multiport {self._not()}--{self._chosen.choice(ends)}ports {self._list()}"
            case 4:
                return f"-p {protocol} -m multiport {self._not()}--ports {self._list()}"
            case 5:
                low = self._pools.port()
                return f"-p tcp -m tcp --dport {self._chosen.choice((f'{low}:', f':{low}'))}"
            case 6:
                kind = self._chosen.choice(ICMP_TYPES[family])
                code = self._chosen.choice(("", "/0", "/1")) if kind in (1, 3) else ""
                if family == 4:
                    return f"-p icmp -m icmp {self._not()}--icmp-type {kind}{code}"
                return f"-p ipv6-icmp -m icmp6 {self._not()}--icmpv6-type {kind}{code}"
        return "-p tcp"

    def _list(self) -> str:
        return ",".join(dict.fromkeys(self._span(":") for _ in range(3)))

    def _span(self, separator: str) -> str:
        low, high = self._chosen.choice(self._pools.spans)
        return f"{low}{separator}{high}" if high > low else f"{low}"

    def _mark(self, family: int) -> str:
        first, second = self._chosen.sample(MARKS, 2)
        return f"-m mark {self._not()}--mark {first:#x}{self._chosen.choice(('', f'/{second:#x}'))}"

    def _state(self, family: int) -> str:
        states = ",".join(self._chosen.sample(_STATES, self._chosen.randint(1, 3)))
        if self._chosen.random() < 0.3:
            return f"-m state {self._not()}--state {states}"
        return f"-m conntrack {self._not()}--ctstate {states}"

    def _set(self, family: int) -> str:
        number = self._chosen.randrange(len(self._kinds))
        directions = self._chosen.choice(KINDS[self._kinds[number]])
        return f"-m set {self._not()}--match-set {self._name(number, family)} {directions}"

    def _far(self, family: int) -> str:
        module = "-m ttl --ttl" if family == 4 else "-m hl --hl"
        return self._chosen.choice(
            (
                f"{module}-{self._chosen.choice(('eq', 'lt', 'gt'))} {self._chosen.choice((1, 9, 10, 63, 254))}",
                f"-m addrtype {self._not()}--{self._chosen.choice(('src', 'dst'))}-type LOCAL",
                f"{self._not()}-i tin",
                f"{self._not()}-i t+",
                f"{self._not()}-i eth+",
            )
        )


def _once(asked: list[str]) -> list[str]:
    """A rule takes each of the options for addresses once."""
    found: dict[str, str] = {}
    for text in asked:
        option = text.removeprefix("! ").split()[0]
        found.setdefault(
            {"--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d"}.get(option, option), text
        )
    kept = list(found.values())
    modules = [text for text in kept if text.startswith("-m ")]
    return [text for text in kept if text not in modules] + modules
