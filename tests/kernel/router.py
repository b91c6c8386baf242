"""A client, a router and a server as network namespaces: connections pass all five hooks of the router.

client eth0 ---- in0 router out0 ---- eth0 server
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

from tests.kernel.machines import ALLOWED_WITHIN, DENIED_AFTER, Machine
from tests.kernel.rig import clear, load

#: IPv4, IPv6. The router has one on each side.
CLIENT, SERVER = ("10.7.1.2", "fd07:1::2"), ("10.7.2.2", "fd07:2::2")
INNER, OUTER = ("10.7.1.1", "fd07:1::1"), ("10.7.2.1", "fd07:2::1")
#: The router's second address on the outer side.
SECOND = ("10.7.2.9", "fd07:2::9")
#: Nobody's: what a packet comes to when no rule translates it. Their way leads to the server's side.
VIRTUAL = ("10.7.9.9", "fd07:9::9")

#: Answers are not rationed.
_SETTINGS = {
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv6.icmp.ratelimit": 0,
}
_IP_RECVERR, _IPV6_RECVERR, _MSG_ERRQUEUE = 11, 25, 0x2000  # linux/in.h, linux/in6.h, linux/socket.h


class Routed:
    """`with Routed() as net:`; good for many rulesets (`clear`)."""

    def __init__(self) -> None:
        self.client, self.router, self.server = (
            Machine("client", CLIENT),
            Machine("router", OUTER),
            Machine("server", SERVER),
        )
        try:
            for machine in self._all:
                machine.namespace.sysctl(_SETTINGS)
            self.router.namespace.sysctl(
                {
                    "net.ipv4.ip_forward": 1,
                    "net.ipv6.conf.all.forwarding": 1,
                    "net.ipv4.conf.all.send_redirects": 0,
                }
            )
            for port, machine, near in (("in0", self.client, INNER), ("out0", self.server, OUTER)):
                self.router.namespace.ip(
                    f"link add {port} type veth peer name eth0 netns {machine.namespace.path}",
                    f"addr add {near[0]}/24 dev {port}",
                    f"addr add {near[1]}/64 dev {port} nodad",
                    f"link set {port} up",
                )
                machine.namespace.ip(
                    f"addr add {machine.ips[0]}/24 dev eth0",
                    f"addr add {machine.ips[1]}/64 dev eth0 nodad",
                    "link set eth0 up",
                    f"route add default via {near[0]}",
                    f"route add ::/0 via {near[1]}",
                )
            self.router.namespace.ip(
                *(f"route add {virtual} via {server}" for virtual, server in zip(VIRTUAL, SERVER, strict=True)),
                f"addr add {SECOND[0]}/24 dev out0",
                f"addr add {SECOND[1]}/64 dev out0 nodad preferred_lft 0",  # nobody's choice of a source
            )
        except BaseException:
            self.close()
            raise

    @property
    def _all(self) -> tuple[Machine, Machine, Machine]:
        return self.client, self.router, self.server

    def __enter__(self) -> Routed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for machine in self._all:
            machine.close()

    def clear(self) -> None:
        """No rules and connections of an earlier test."""
        clear(self.router.namespace)
        for machine in self._all:
            for one in machine.sockets:
                one.close()
            machine.sockets.clear()

    def load(self, files: Mapping[str, str], flavour: str) -> None:
        """Into the router."""
        load(self.router.namespace, files, flavour)

    def tracked(self) -> str:
        """The router's conntrack table, as `conntrack -L` prints it."""
        return "".join(self.router.namespace.run("conntrack", "-L", "-f", family) for family in ("ipv4", "ipv6"))


def meets(client: Machine, server: socket.socket, address: str, port: int) -> tuple[str, int]:
    """Connects, and tells what the server sees: the client's address and port. TimeoutError when nothing comes."""
    opened = client.connect(address, port)
    poll = select.poll()
    poll.register(server, select.POLLIN)
    if not poll.poll(ALLOWED_WITHIN * 1000):
        raise TimeoutError(f"{address}:{port} is somebody else")
    accepted, peer = server.accept()
    with accepted, opened:
        accepted.send(b"hello")
        opened.setblocking(True)
        opened.settimeout(ALLOWED_WITHIN)
        assert opened.recv(8) == b"hello", "a connection that carries nothing"
    return peer[0].removeprefix("::ffff:"), peer[1]


def outcome(client: Machine, address: str, port: int, seconds: float = DENIED_AFTER) -> int | None:
    """What an attempt to connect comes to: an errno, 0 when it is open, None when nothing is heard in time."""
    attempt = client.client(address)
    attempt.connect_ex((address, port))
    poll = select.poll()
    poll.register(attempt, select.POLLOUT)
    return attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if poll.poll(seconds * 1000) else None


def told(client: Machine, address: str, port: int, seconds: float = ALLOWED_WITHIN) -> tuple[int, int] | None:
    """Type and code of the ICMP error that a datagram brings; None when nothing is heard in time."""
    asking = client.client(address, socket.SOCK_DGRAM)
    six = ":" in address
    asking.setsockopt(*((socket.IPPROTO_IPV6, _IPV6_RECVERR) if six else (socket.IPPROTO_IP, _IP_RECVERR)), 1)
    with suppress(PermissionError):  # what OUTPUT rejects fails at once, and is answered all the same
        asking.sendto(b"anybody?", (address, port))
    poll = select.poll()
    poll.register(asking, 0)  # errors alone
    if not poll.poll(seconds * 1000):
        return None
    _, ancillary, _, _ = asking.recvmsg(64, 256, _MSG_ERRQUEUE)
    ((_, _, data),) = ancillary
    # struct sock_extended_err (linux/errqueue.h): errno, origin, type, code
    return data[5], data[6]
