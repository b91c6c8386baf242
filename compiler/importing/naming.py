"""Names, in words, for what a ruleset says again and again: zones for interfaces, services for ports, sets for
addresses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from compiler.importing.families import EITHER
from compiler.importing.sections import Section
from compiler.importing.values import Addresses, Asked, Item, Masquerade, Origin, Port, Snat, Within
from compiler.importing.wording import Names, ports_text
from compiler.net import Intervals
from grammar.dsl_literals import BY_NUMBER, PROTOCOLS
from grammar.dsl_words import RESERVED

_KNOWN_INTERFACES = (
    (re.compile(r"lo"), "loopback"),
    (re.compile(r"docker0"), "docker"),
    (re.compile(r"br-[0-9a-f]{12}"), "docker-network"),
    (re.compile(r"virbr\d*"), "guests"),
    (re.compile(r"cni\d*|cbr\d*"), "pod-bridge"),
    (re.compile(r"flannel\..*"), "overlay"),
    (re.compile(r"(?:wg|tun|tap|ipsec|vti)\d*"), "vpn"),
    (re.compile(r"\*"), "everywhere"),
)
_KNOWN_PORTS = {
    "ssh": "tcp/22",
    "http": "tcp/80",
    "https": "tcp/443",
    "web": "tcp/80,443",
    "dns": "tcp/53 + udp/53",
    "dns-udp": "udp/53",
    "dns-tcp": "tcp/53",
    "mail": "tcp/25",
    "submission": "tcp/587",
    "imaps": "tcp/993",
    "ntp": "udp/123",
    "dhcp-client": "udp/68",
    "dhcp-server": "udp/67",
    "dhcp": "udp/67-68",
    "dhcpv6-client": "udp/546",
    "mdns": "udp/5353",
    "ssdp": "udp/1900",
    "wireguard": "udp/51820",
    "openvpn": "udp/1194",
    "ike": "udp/500,4500",
    "postgres": "tcp/5432",
    "mysql": "tcp/3306",
    "redis": "tcp/6379",
    "kubelet": "tcp/10250",
    "kube-api": "tcp/6443",
    "node-ports": "tcp/30000-32767",
    "vxlan": "udp/4789",
    "ping": "icmp/echo-request",
    "ping6": "icmpv6/echo-request",
}
#: Words that are taken beside those of `RESERVED`: of the statements that lists are made of.
_WORDS = """
    bogons within leave log opaque forward packets chance state marked source local broadcast multicast kernel iptables
    nft ipv4 ipv6 prerouting input output postrouting new established related invalid untracked port
"""
_TAKEN = frozenset(_WORDS.split()) | PROTOCOLS | {BY_NUMBER}


def names(
    sections: Iterable[Section],
    families: Mapping[int, str],
    everywhere: bool,
    given: Mapping[tuple[int, Intervals], str] = MappingProxyType({}),
) -> Names:
    """Of a whole program; `families`: names for all of a family, where statements are of one of both; `everywhere`: all
    interfaces need a name; `given`: names that sets have already."""
    found = _Names(families, given)
    if everywhere:
        found.take_interface("*")
    for section in sections:
        found.take_hook(section.hook)
        for item in section.items:
            found.take(item)
    return found.done()


class _Names:
    def __init__(self, families: Mapping[int, str], given: Mapping[tuple[int, Intervals], str]) -> None:
        self._families, self._given = families, given
        self._either = False
        self._used = set(families.values())
        self._interfaces: Counter[tuple[str, ...]] = Counter()
        self._outside: Counter[tuple[str, ...]] = Counter()
        self._ports: Counter[tuple[Port, ...]] = Counter()
        self._sets: dict[tuple[int, Intervals], list[Origin]] = {}
        self._times: Counter[tuple[int, Intervals]] = Counter()

    def take_hook(self, hook: str) -> None:
        self._either |= hook == EITHER

    def take_interface(self, name: str) -> None:
        self._interfaces[name,] += 1

    def take(self, item: Item) -> None:
        self._asked(item.asked, item.origins)
        if isinstance(item, Within):
            for inner in item.items:
                self.take(inner)
        elif isinstance(item.action, Masquerade | Snat) and len(item.asked.target.interfaces) == 1:
            self._outside[item.asked.target.interfaces] += 1

    def _asked(self, asked: Asked, origins: tuple[Origin, ...]) -> None:
        for side in (asked.source, asked.target):
            if side.interfaces:
                self._interfaces[side.interfaces] += 1
            self._interfaces.update((name,) for name in side.not_interfaces)
            if side.addresses is not None:
                self._set(side.addresses, origins)
        if asked.ports is not None:
            self._ports[asked.ports] += 1

    def _set(self, found: Addresses, origins: tuple[Origin, ...]) -> None:
        key = found.version, found.intervals
        if len(found.intervals) < 2 and key not in self._given:
            return
        self._times[key] += 1
        self._sets.setdefault(key, list(origins))

    def done(self) -> Names:
        return Names(
            dict(self._zones()),
            dict(self._services()),
            dict(self._named_sets()),
            self._families,
            self._free("anyone") if self._either else "",
        )

    def _zones(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for interfaces in sorted(self._interfaces):
            own = "-or-".join(_word(name.replace("*", "-any")) for name in interfaces)
            known = _interface(interfaces[0]) if len(interfaces) == 1 else own
            if len(self._outside) == 1 and interfaces in self._outside:
                known = "world"
            yield interfaces, self._free(own if known in self._used else known)

    def _services(self) -> Iterator[tuple[tuple[Port, ...], str]]:
        known = {text: name for name, text in _KNOWN_PORTS.items()}
        for ports, times in self._ports.items():
            text = ports_text(ports)
            if times > 1 and text in known:
                yield ports, self._free(known[text])
            elif (times > 1 and ("," in text or "+" in text)) or (len(ports) > 4 and text[:5] != "proto"):
                yield ports, self._free(_ports(ports))

    def _named_sets(self) -> Iterator[tuple[tuple[int, Intervals], str]]:
        for key, origins in self._sets.items():
            if key in self._given:
                yield key, self._free(_word(self._given[key]))
            elif self._times[key] > 1 or len(key[1]) > 4:
                yield key, self._free(_word(origins[-1].comment or origins[-1].chain) if origins else "addresses")

    def _free(self, wanted: str) -> str:
        """The name, with a number where it is taken."""
        found, number = wanted, 1
        while found in self._used or found in RESERVED or found in _TAKEN:
            number += 1
            found = f"{wanted}-{number}"
        self._used.add(found)
        return found


def _interface(name: str) -> str:
    found = (word for pattern, word in _KNOWN_INTERFACES if pattern.fullmatch(name))
    return next(found, _word(name.replace("*", "-any")))


def _ports(ports: tuple[Port, ...]) -> str:
    """`tcp-8080-and-more`"""
    return _word(ports_text(ports[:1])) + "-and-more"


def _word(text: str) -> str:
    """As a name: letters, digits and `-`, at most 40."""
    found = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40].strip("-")
    return found if found and found[0].isalpha() else f"n-{found}".strip("-")
