"""The kernel as judge: loads the files of one compile into real netfilter and tells which packets get through.

A node in a network namespace of its own forwards everything from the TUN device `tin` to the TUN device `tout`. Hooks:
- `forwarded`: FORWARD, between any two addresses;
- `delivered`: INPUT, from anywhere to an address of the node, seen by raw sockets behind the hook;
- `sent`: OUTPUT, from the node's own stack (a raw socket; any source address) to anywhere.

Addresses that the kernel itself never forwards are no use here: loopback, multicast, link-local, and the node's own
as a source of forwarded packets.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType

from compiler.semantics.packet import Packet
from tests.kernel.namespace import Namespace
from tests.kernel.packets import Sendable, encode, ends, serial_of

#: How rules get into the kernel; the value is what tests are parametrised by.
FLAVOURS = ("nftables", "iptables-legacy", "iptables-nft")
BACKEND = {"nftables": "nftables", "iptables-legacy": "iptables", "iptables-nft": "iptables"}

NODE = ("192.0.2.1", "2001:db8:ffff::1")

_SETTINGS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.ip_local_port_range": "1024 65535",
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv6.conf.default.router_solicitations": 0,
}
#: What the node's own stack would answer to delivered packets (RST, port unreachable, echo replies) stays out of the
#: way: it would change the state of connections behind the test's back. Sockets of ours mark their packets.
_QUIET = """
table inet rig {
	chain mute {
		type filter hook output priority 300 ; policy drop ;
		meta mark 0x7267 accept
	}
}
"""
_RIG_MARK = 0x7267
_SO_MARK = 36
_MOST_CONNECTIONS = 20000  # a namespace may not raise nf_conntrack_max, which is 65,536 and less on small machines
_BATCH = 256  # packets between two looks at what came out; `tout` holds 500


def load(namespace: Namespace, files: Mapping[str, str], flavour: str) -> None:
    """Loads files of a compile as README tells users, in their order. CommandFailed when a tool refuses one."""
    for name, text in files.items():
        match name:
            case "netpolc.nft":
                namespace.run("nft", "-f", "-", stdin=text)
            case "ipset.save":
                namespace.run("ipset", "restore", stdin=text)
            case "iptables.save" | "ip6tables.save":
                tool = name.removesuffix(".save")
                variant = flavour.removeprefix("iptables-")
                namespace.run(f"{tool}-{variant}-restore", "--noflush", "-w", "60", stdin=text)
            case _:
                raise ValueError(f"{name}: not a file that netpolc emits")


def _empty(save: str) -> str:
    """The same tables without rules; what is not declared keeps its policy."""
    kept = []
    for line in save.splitlines():
        if line.startswith("*") or line == "COMMIT":
            kept.append(line)
        elif line.startswith(":") and " - " not in line:
            kept.append(f"{line.split()[0]} ACCEPT [0:0]")
    return "\n".join(kept) + "\n"


def clear(namespace: Namespace, rules: str = "") -> None:
    """No rules, sets or connections of an earlier test; nft gets these instead."""
    run = namespace.run
    run("nft", "-f", "-", stdin="flush ruleset\n" + rules)
    for tool in ("iptables", "ip6tables"):
        save = run(f"{tool}-legacy-save")  # asking for a table that is not there would bring it in
        if save:
            run(f"{tool}-legacy-restore", "-w", "60", stdin=_empty(save))
    run("ipset", "flush")  # a list of sets holds its members back
    run("ipset", "destroy")
    namespace.forget_connections()


class Rig:
    """`with Rig() as rig:`; one is good for many rulesets (`reset`). `addresses` are the node's own."""

    def __init__(self, addresses: Iterable[str] = NODE) -> None:
        self.namespace = Namespace()
        self._serial = 0
        self._open: list[Callable[[], object]] = [self.namespace.close]
        try:
            self._tin, self._tout = (self._tun(name) for name in ("tin", "tout"))
            self.namespace.sysctl(_SETTINGS)
            self.namespace.ip(
                "link set tin up",
                "link set tout up",
                *(f"addr add {a} dev lo" for a in addresses),
                "route add default dev tout",
                "route add ::/0 dev tout",
            )
            self.namespace.sysctl({f"net.ipv4.conf.{tun}.rp_filter": 0 for tun in ("tin", "tout")})
            self.namespace.run("nft", "-f", "-", stdin=_QUIET)
            self._ears: dict[tuple[int, int], socket.socket] = {}
            self._mouths = {4: self._mouth(socket.AF_INET), 16: self._mouth(socket.AF_INET6)}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for close in reversed(self._open):
            close()
        self._open.clear()

    @property
    def ends(self) -> tuple[int, int]:
        """The descriptors that packets are written to and come out of."""
        return self._tin, self._tout

    # Rules

    def load(self, files: Mapping[str, str], flavour: str) -> None:
        """Loads over what is there, as a user would; open connections go on."""
        load(self.namespace, files, flavour)

    def reset(self) -> None:
        """No rules, sets or connections of an earlier test."""
        clear(self.namespace, _QUIET)

    # Packets

    def forwarded(self, packets: Sequence[Packet]) -> list[bool]:
        """Which first packets are forwarded; each is judged for itself, as if no other had been sent."""
        return _passed(self.came_out("forwarded", packets))

    def delivered(self, packets: Sequence[Packet]) -> list[bool]:
        """Which first packets reach the node itself; their destinations are addresses of the node."""
        return _passed(self.came_out("delivered", packets))

    def sent(self, packets: Sequence[Packet]) -> list[bool]:
        """Which first packets leave the node's own stack."""
        return _passed(self.came_out("sent", packets))

    def came_out(self, way: str, packets: Sequence[Packet]) -> list[bytes | None]:
        """What becomes of first packets that are "forwarded", "delivered" or "sent": each from its IP header on, of
        IPv6 packets to the node without it; None for those that do not get there."""
        ways = {"forwarded": self._forward, "delivered": self._deliver, "sent": self._send}
        return self._alone(packets, ways[way])

    def exchange(self, packets: Sequence[Sendable]) -> list[bool]:
        """Which packets are forwarded, one after the other: replies count as such."""
        return _passed(self._forward(packets))

    def exchange_in(self, packets: Sequence[Sendable]) -> list[bool]:
        """Like `exchange`, for packets to the node itself."""
        return _passed(self._deliver(packets))

    def exchange_out(self, packets: Sequence[Sendable]) -> list[bool]:
        """Like `exchange`, for packets from the node itself."""
        return _passed(self._send(packets))

    def passes(self, raw: bytes) -> bool:
        """Whether this one packet that `encode` made is forwarded, told at once; from any thread."""
        out: dict[int, bytes] = {}
        self._inject(raw)
        self._drain_tout(out)
        return serial_of(raw) in out

    def _forward(self, packets: Sequence[Sendable]) -> list[bytes | None]:
        return self._run(packets, self._inject, self._drain_tout)

    def _deliver(self, packets: Sequence[Sendable]) -> list[bytes | None]:
        for address, protocol in {ends(packet)[1:] for packet in packets}:
            self._listen(socket.AF_INET6 if ":" in address else socket.AF_INET, protocol)
        return self._run(packets, self._inject, self._drain_ears)

    def _send(self, packets: Sequence[Sendable]) -> list[bytes | None]:
        return self._run(packets, self._emit, self._drain_tout)

    def changed(self, raw: bytes) -> bytes | None:
        """This one packet that `encode` made, as it comes out when it is forwarded; told at once."""
        self._inject(raw)
        with suppress(BlockingIOError):
            while True:
                out = os.read(self._tout, 2048)
                if serial_of(out) == serial_of(raw):
                    return out
        return None

    def _alone(
        self, packets: Sequence[Packet], exchange: Callable[[Sequence[Sendable]], list[bytes | None]]
    ) -> list[bytes | None]:
        """Conntrack takes a packet for a reply when its mirror image was accepted: forget in between."""
        result: list[bytes | None] = []
        start = 0
        seen: set[tuple[object, ...]] = set()
        self.namespace.forget_connections()
        for n, p in enumerate(packets):
            if (p.dst, p.src, p.proto, p.dport, p.sport) in seen or len(seen) == _MOST_CONNECTIONS:
                result += exchange(packets[start:n])
                self.namespace.forget_connections()
                seen.clear()
                start = n
            seen.add((p.src, p.dst, p.proto, p.sport, p.dport))
        return result + exchange(packets[start:])

    def _run(
        self, packets: Sequence[Sendable], put: Callable[[bytes], None], take: Callable[[dict[int, bytes]], None]
    ) -> list[bytes | None]:
        """Serials go up over the life of the rig, so that nothing late is taken for something new."""
        out: dict[int, bytes] = {}
        first = self._serial = (self._serial + 1) % (1 << 31)
        for n, packet in enumerate(packets):
            put(encode(packet, first + n))
            if n % _BATCH == _BATCH - 1:
                take(out)
        take(out)
        self._serial += len(packets)
        return [out.get(first + n) for n in range(len(packets))]

    def _inject(self, raw: bytes) -> None:
        os.write(self._tin, raw)  # the hooks have run when it returns (tun_rx_batched, drivers/net/tun.c)

    def _emit(self, raw: bytes) -> None:
        destination = raw[16:20] if raw[0] >> 4 == 4 else raw[24:40]
        family = socket.AF_INET if len(destination) == 4 else socket.AF_INET6
        with suppress(PermissionError):  # what OUTPUT drops
            self._mouths[len(destination)].sendto(raw, (socket.inet_ntop(family, destination), 0))

    def _drain_tout(self, out: dict[int, bytes]) -> None:
        while True:
            try:
                raw = os.read(self._tout, 2048)
            except BlockingIOError:
                return
            serial = serial_of(raw)
            if serial is not None:
                out[serial] = raw

    def _drain_ears(self, out: dict[int, bytes]) -> None:
        for ear in self._ears.values():
            while True:
                try:
                    raw = ear.recv(2048)
                except BlockingIOError:
                    break
                serial = serial_of(raw)
                if serial is not None:
                    out[serial] = raw
        self._drain_tout({})

    def _tun(self, name: str) -> int:
        device = self.namespace.tun(name)
        self._open.append(lambda: os.close(device))
        return device

    def _listen(self, family: socket.AddressFamily, protocol: int) -> None:
        """A raw socket has a copy of every packet of its protocol that passed INPUT."""
        if (family, protocol) not in self._ears:
            with self.namespace:
                ear = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            self._open.append(ear.close)
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self._ears[family, protocol] = ear

    def _mouth(self, family: socket.AddressFamily) -> socket.socket:
        """A raw socket that takes whole packets (raw(7); IPv6: IPV6_HDRINCL comes with IPPROTO_RAW)."""
        with self.namespace:
            mouth = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._open.append(mouth.close)
        mouth.setsockopt(socket.SOL_SOCKET, _SO_MARK, _RIG_MARK)
        return mouth


def _passed(found: Sequence[bytes | None]) -> list[bool]:
    return [raw is not None for raw in found]
