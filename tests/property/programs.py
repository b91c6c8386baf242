"""Random programs in the policy language over the clusters of `scenarios`, as texts, and packets at their edges."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from random import Random

from compiler.errors import InvalidInput, Severity
from compiler.resources.language import Program
from compiler.semantics.boundaries import OUTSIDERS
from compiler.semantics.diagrams.space import Path
from compiler.semantics.packet import Packet
from compiler.semantics.proof.case import Case
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.sources.language import load
from tests.property.scenarios import LABELS, LENGTHS, NAMESPACES, PORT_NAMES, PORTS, SPACE_LABELS

INTERFACES = ("eth0", "cali1", "cali22", "wg0", "lo")
ANSWERS = (
    *("tcp-reset", "icmp-admin-prohibited", "icmp-host-unreachable", "icmp-port-unreachable", "icmp-net-unreachable"),
    *("icmp-proto-unreachable", "icmp-net-prohibited", "icmp-host-prohibited"),
)
#: The highest priority of a block: objects of the admin tier have to come behind.
HIGHEST = 3


class Maker:
    """Chooses with `random`; `addresses`: those of the cluster."""

    def __init__(self, random: Random, addresses: Sequence[str]) -> None:
        self._random, self._addresses = random, [*addresses, *OUTSIDERS, "10.0.1.0", "fd00::"]

    def one(self, options: Sequence[str]) -> str:
        return options[self._random.randint(0, len(options) - 1)]

    def often(self, share: float) -> bool:
        return self._random.random() >= 1 - share

    def program(self, expects: bool = False, baseline: bool = True) -> Program:
        """Lines that the language refuses (an end that is nobody, both families at once) are left out."""
        lines: list[str] = []
        for n in range(self._random.randint(0, 2)):
            lines.append(f"policy b{n} priority {self._random.randint(0, HIGHEST)} {{")
            lines += [self.rule(self.end(), self.end(), True) for _ in range(self._random.randint(1, 6))]
            lines.append("}")
        lines += self._baseline() if baseline else []
        lines.append("node {")
        for _ in range(self._random.randint(0, 5)):
            other, own = self.end(), self.one(("self", "self", "self", f"self and {self.term()}"))
            lines.append(self.rule(other, own, False) if self.often(0.6) else self.rule(own, other, False))
        lines.append("}")
        if expects:
            lines += ["expect {", *(self.expectation() for _ in range(self._random.randint(1, 6))), "}"]
        return lenient(lines)

    def _baseline(self) -> list[str]:
        """Blocks of the baseline tier, before and behind objects of it."""
        lines = []
        for n in range(self._random.randint(0, 2)):
            lines.append(f"policy d{n} tier baseline priority {self.one(('0', '1', '5', '1000'))} {{")
            for _ in range(self._random.randint(1, 6)):
                ports = f" : {self.ports(False)}" if self.often(0.5) else ""
                unless = f" unless from {self._addressed()}" if self.often(0.2) else ""
                verb = self.one(("allow", "deny", "deny", "pass"))
                lines.append(f"  {verb} {self._addressed()} -> {self._addressed()}{ports}{unless}")
            lines.append("}")
        return lines

    def _addressed(self) -> str:
        """An end without interfaces."""
        return next(end for end in iter(self.end, "") if "iface" not in end)

    def rule(self, source: str, target: str, named: bool) -> str:
        verb = self.one(("allow", "allow", "deny", "deny", "reject", "pass"))
        ports = f" : {self.ports(named and 'pods' in target)}" if self.often(0.6) else ""
        options = ""
        if self.often(0.2):
            options += f" unless from {self.end()}"
        if verb == "reject" and self.often(0.6):
            kind = self.one(ANSWERS)
            options += f" with {kind}"
        if self.often(0.2):
            options += ' log "seen"' + " limit 5/min" * self.often(0.5)
        return f"  {verb} {source} -> {target}{ports}{options}"

    def expectation(self) -> str:
        ports = f" : {self.ports(False)}" if self.often(0.6) else ""
        only = self.one(("", "", "only "))
        return f"  {only}{self.end()} {self.one(('can', 'cannot'))} reach {self.one((self.end(), 'self'))}{ports}"

    def end(self) -> str:
        whole = self.term()
        if self.often(0.2):
            whole += f" and {self.term()}"
        if self.often(0.2):
            whole += f" except {self.term()}"
        return whole

    def term(self) -> str:
        kind = self.one(("any", "any", "block", "block", "pods", "pods", "nodes", "iface", "group", "range"))
        if kind == "group":
            return "{ " + ", ".join(self.term() for _ in range(self._random.randint(1, 3))) + " }"
        if kind == "iface":
            return f"iface {self.one((*INTERFACES, 'cali*'))}"
        if kind == "nodes":
            return self.one(("nodes", "nodes(role=edge)"))
        return {"any": lambda: "any", "block": self._block, "pods": self._pods, "range": self._range}[kind]()

    def _block(self) -> str:
        address = ipaddress.ip_address(self.one(self._addresses))
        length = LENGTHS[address.version][self._random.randint(0, len(LENGTHS[address.version]) - 1)]
        return str(ipaddress.ip_network((address, length), strict=False))

    def _range(self) -> str:
        first = ipaddress.ip_address(self.one(self._addresses))
        return f"{first}-{first + self._random.randint(0, 20)}"

    def _pods(self) -> str:
        parts = []
        if self.often(0.5):
            parts.append(f"namespace: {self.one(NAMESPACES)}")
        elif self.often(0.4):
            parts.append(f"namespace: (team={self.one(SPACE_LABELS['team'])})")
        if self.often(0.5):
            key = self.one(("app", "tier"))
            parts.append(self.one((f"{key}={self.one(LABELS[key])}", f"!{key}", f"{key}!={self.one(LABELS[key])}")))
        return f"pods({', '.join(parts)})" if parts else "pods"

    def ports(self, named: bool) -> str:
        kinds = ["tcp", "udp", "tcp", "range", "icmp", "all", "esp", "proto"]
        found = []
        for _ in range(self._random.randint(1, 2)):
            kind = self.one([*kinds, *["named"] * 3 * named])
            found.append(
                {
                    "tcp": f"tcp/{PORTS[self._random.randint(0, len(PORTS) - 1)]}",
                    "udp": f"udp/{PORTS[self._random.randint(0, len(PORTS) - 1)]}",
                    "range": "tcp/80-443",
                    "icmp": self.one(
                        ("icmp/echo-request + icmpv6/echo-request", "icmp + icmpv6", "proto/1 + proto/58")
                    ),
                    "all": self.one(("tcp", "udp", "sctp")),
                    "esp": "esp",
                    "proto": "proto/253",
                    "named": f"tcp/{self.one(PORT_NAMES)}",
                }[kind]
            )
        return " + ".join(found)

    def case(self) -> Case:
        """A packet at the edges of what programs ask."""
        source = ipaddress.ip_address(self.one(self._addresses))
        alike = [a for a in self._addresses if (":" in a) == (source.version == 6)]
        target = ipaddress.ip_address(self.one(alike))
        src, dst = (str(_near(a, self._random.randint(-1, 1) if self.often(0.3) else 0)) for a in (source, target))
        proto = (6, 6, 17, 132, 50, 253, 1, 58)[self._random.randint(0, 7)]
        port = PORTS[self._random.randint(0, len(PORTS) - 1)] if proto in (6, 17, 132) else 0
        hops, kind = 64, None
        if proto in (1, 58):
            kind = (8, 0, 128, 135, 136)[self._random.randint(0, 4 if source.version == 6 else 2)]
            hops = 255 if self.often(0.5) else 64
        path = list(Path)[self._random.randint(0, 2)]
        return Case(
            path,
            Packet(src, dst, proto, 40000, port, kind, 0, hops),
            State(self._random.randint(0, 4)) if self.often(0.2) else State.NEW,
            AddressType.LOCAL if self.often(0.5 if path is Path.OUTPUT else 0.1) else AddressType.UNICAST,
            AddressType.LOCAL if self.often(0.5 if path is Path.INPUT else 0.1) else AddressType.UNICAST,
            input="" if path is Path.OUTPUT else self.one((*INTERFACES, "other")),
            output="" if path is Path.INPUT else self.one((*INTERFACES, "other")),
        )


def lenient(lines: list[str]) -> Program:
    """The program of these lines without those that are refused."""
    while True:
        text = "\n".join(lines).encode()
        try:
            return load([("program.np", text)], lambda _, name: f"no file {name}")
        except InvalidInput as error:
            wrong = {flaw.span.line for flaw in error.diagnostics if flaw.severity is Severity.ERROR}
            if any(lines[n - 1].endswith("{") for n in wrong):
                raise
            lines = [line for n, line in enumerate(lines, 1) if n not in wrong]


def _near(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, step: int
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return address + step if 0 < int(address) < (1 << address.max_prefixlen) - 1 else address
