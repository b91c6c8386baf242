"""A node between two sides of pods, all in network namespaces, and frames pushed through it.

`Sides` is the world around the nodes under test: packets leave the *near* side, pass a node's FORWARD hook and end in
a UDP socket on the *far* side. Each `Node` is a namespace of its own with its own rules and its own conntrack entries,
so that any number of rulesets can be loaded at a time and measured in turn.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

NODE_MAC, POD_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
PATIENCE = 1.0  # seconds to wait for packets that should arrive
#: The far side listens here; a datagram to any other port would be answered with an ICMP error.
PORTS = (53, 8080)

#: The addresses on the far side: the node's own pods. Everything else is on the near side.
PODS = "10.0.0.0/9"

_CLONE_NEWNET = 0x40000000
_LENGTH = 28  # bytes of a packet: IP and UDP header
_GATEWAY = "169.254.1.1"
_CTNETLINK_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE (linux/netfilter/nfnetlink_conntrack.h)
_libc = ctypes.CDLL(None, use_errno=True)


class Flow(NamedTuple):
    """A UDP connection: addresses as integers."""

    source: int
    destination: int
    source_port: int
    port: int

    def reversed(self) -> Flow:
        return Flow(self.destination, self.source, self.port, self.source_port)


class Namespace:
    """A new network namespace; gone when closed."""

    def __init__(self) -> None:
        with _own_namespace():
            _check(_libc.unshare(_CLONE_NEWNET))
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            # No neighbour discovery in between; no reverse path filter, whatever the host's default is.
            for name, value in {
                "ipv6/conf/all/disable_ipv6": 1,
                "ipv6/conf/default/disable_ipv6": 1,
                "ipv4/conf/all/rp_filter": 0,
                "ipv4/conf/default/rp_filter": 0,
            }.items():
                _sysctl(name, value)

    @property
    def path(self) -> str:
        """What `ip link ... netns` takes."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread, and the processes it starts, are in the namespace."""
        with _own_namespace():
            _check(_libc.setns(self.fd, _CLONE_NEWNET))
            yield

    def run(self, *command: str, text: str | None = None) -> str:
        """Runs a command in the namespace; CalledProcessError when it fails."""
        with self.entered():
            return run(*command, text=text)

    def close(self) -> None:
        os.close(self.fd)


def run(*command: str, text: str | None = None) -> str:
    """Standard output of a command; what it complains about goes to the error."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[:2000]}")
    return done.stdout


class Node:
    """A namespace that forwards, and the two sides of pods around it."""

    def __init__(self) -> None:
        self._near, self._space, self._far = Namespace(), Namespace(), Namespace()
        for side, name in ((self._near, "near"), (self._far, "far")):
            self._connect(side, name)
        self.run("ip", "route", "add", PODS, "via", _GATEWAY, "dev", "far", "onlink")
        self.run("ip", "route", "add", "default", "via", _GATEWAY, "dev", "near", "onlink")
        with self._space.entered():
            _sysctl("ipv4/ip_forward", 1)
            _sysctl("ipv4/conf/far/send_redirects", 0)
            self._flusher = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
            self._counters = os.open("/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC)
        with self._near.entered():
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with self._far.entered():
            self._answerer = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            # Whatever arrives is for this host, even what claims to come from an address of this host.
            _sysctl("ipv4/conf/all/accept_local", 1)
            run("ip", "rule", "add", "iif", "pod", "lookup", "100")
            run("ip", "route", "add", "local", "default", "dev", "lo", "table", "100")
            self._listeners = {port: _listener(port) for port in PORTS}

    def _connect(self, side: Namespace, name: str) -> None:
        cable = ("link", "add", "name", "pod", "address", POD_MAC, "type", "veth")
        peer = ("peer", "name", name, "address", NODE_MAC, "netns", self._space.path)
        side.run("ip", *cable, *peer)
        for space, interface, opposite in ((side, "pod", NODE_MAC), (self._space, name, POD_MAC)):
            space.run("ip", "link", "set", "lo", "up")  # without it there is no table `local`, and no gateway is valid
            space.run("ip", "link", "set", "dev", interface, "up")
            space.run("ip", "neigh", "add", _GATEWAY, "lladdr", opposite, "dev", interface)
        side.run("ip", "route", "add", "default", "via", _GATEWAY, "dev", "pod", "onlink")

    def run(self, *command: str, text: str | None = None) -> str:
        """Runs a command on the node."""
        return self._space.run(*command, text=text)

    def send(self, packets: Packets, first: int, count: int, arriving: bool) -> int:
        """Sends `count` packets from the near side and, when they are to be `arriving`, reads them on the far side.
        Nanoseconds from the first to the last system call; AssertionError when fewer come within `PATIENCE`."""
        start = time.perf_counter_ns()
        packets.send(self._sender, first, count)
        left = count if arriving else 0
        while left:
            left -= _receive(self._listeners[packets.port], left)
            assert not left or time.perf_counter_ns() - start < PATIENCE * 1e9, f"{left} of {count} packets got lost"
        return time.perf_counter_ns() - start

    def answer(self, packets: Packets, first: int, count: int) -> None:
        """Sends the other way; nobody listens there."""
        packets.send(self._answerer, first, count)

    def forwarded(self) -> int:
        """Packets that left for the far side so far."""
        for line in os.pread(self._counters, 4096, 0).decode().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == "far":
                return int(numbers.split()[9])
        raise AssertionError("the node has no far side")

    def forget(self) -> None:
        """Deletes all conntrack entries of the node."""
        # nlmsghdr (length, type, NLM_F_REQUEST|NLM_F_ACK, sequence, port), nfgenmsg (family, version, resource)
        self._flusher.send(struct.pack("=IHHIIBBH", 20, _CTNETLINK_DELETE, 5, 1, 0, 0, 0, 0))
        error = struct.unpack_from("=i", self._flusher.recv(4096), 16)[0]
        if error:
            raise OSError(-error, os.strerror(-error))

    def close(self) -> None:
        for opened in (self._sender, self._answerer, self._flusher, *self._listeners.values()):
            opened.close()
        os.close(self._counters)
        for space in (self._near, self._space, self._far):
            space.close()


def _listener(port: int) -> socket.socket:
    """A socket that takes datagrams to any address, and holds a few thousand of them."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)  # SO_RCVBUFFORCE: in bytes of kernel memory
    found.bind(("", port))
    return found


def _receive(listener: socket.socket, most: int) -> int:
    """Reads what has arrived, without waiting; the number of datagrams."""
    return max(0, int(_libc.recvmmsg(listener.fileno(), _inbox, min(most, len(_inbox)), socket.MSG_DONTWAIT, None)))


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_ulong),
        ("parts", ctypes.c_void_p),
        ("parts_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_ulong),
        ("sent", ctypes.c_ulong),
    )


@dataclass(frozen=True, slots=True)
class Packets:
    """Datagrams laid out for sendmmsg(2) on a raw socket: one system call sends hundreds through the sender's own
    stack. Each is forwarded and received before the next is made, on this CPU, since a veth hands its packet to the
    softirq that ends the sending of it."""

    count: int
    port: int
    _keep: tuple[object, ...]
    _messages: ctypes.Array[_Message]

    @classmethod
    def of(cls, flows: Sequence[Flow]) -> Packets:
        """One packet for each flow, in this order; all flows go to one port."""
        data = ctypes.create_string_buffer(b"".join(map(_datagram, flows)), _LENGTH * len(flows))
        names = ctypes.create_string_buffer(b"".join(map(_name, flows)), 16 * len(flows))
        start, name = ctypes.addressof(data), ctypes.addressof(names)
        parts = (ctypes.c_size_t * (2 * len(flows)))()
        messages = (_Message * len(flows))()
        for n in range(len(flows)):
            parts[2 * n], parts[2 * n + 1] = start + n * _LENGTH, _LENGTH
            messages[n].name, messages[n].name_length = name + 16 * n, 16
            messages[n].parts, messages[n].parts_length = ctypes.addressof(parts) + 16 * n, 1
        return cls(len(flows), flows[0].port, (data, names, parts), messages)

    def send(self, sender: socket.socket, first: int, count: int) -> None:
        """OSError when the kernel takes fewer than `count`."""
        where = ctypes.byref(self._messages, first * ctypes.sizeof(_Message))
        sent = _libc.sendmmsg(sender.fileno(), where, count, 0)
        if sent != count:
            raise OSError(ctypes.get_errno(), f"sent {sent} of {count} packets")


def _make_inbox(size: int) -> ctypes.Array[_Message]:
    """Room for `size` datagrams without content; what they say is not looked at."""
    messages, part = (_Message * size)(), (ctypes.c_size_t * 2)(0, 0)
    _kept.append(part)
    for message in messages:
        message.parts, message.parts_length = ctypes.addressof(part), 1
    return messages


_kept: list[object] = []
_inbox = _make_inbox(256)


def _datagram(flow: Flow) -> bytes:
    """IP header (the kernel fills in its checksum) and UDP header (without a checksum, which IPv4 permits). It has an
    identification, as the kernel would look for one in a large table, and must not be fragmented, as sockets say."""
    header = struct.pack("!BBHHHBBHII", 0x45, 0, _LENGTH, 1, 0x4000, 64, 17, 0, flow.source, flow.destination)
    return header + struct.pack("!HHHH", flow.source_port, flow.port, 8, 0)


def _name(flow: Flow) -> bytes:
    """struct sockaddr_in"""
    return struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", 0, flow.destination)


@contextmanager
def _own_namespace() -> Iterator[None]:
    """Whatever happens inside, the thread comes back to its namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _check(_libc.setns(here, _CLONE_NEWNET))
        os.close(here)


def _sysctl(name: str, value: int) -> None:
    with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


def _check(status: int) -> None:
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
