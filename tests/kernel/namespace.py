"""Network namespaces that nothing but an open file holds: they end with the process, whatever happens to it.

Only the calling thread moves (setns(2)); its child processes and the sockets it opens meanwhile belong to the
namespace. Linux only; needs CAP_SYS_ADMIN.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SELF = "/proc/thread-self/ns/net"
_LIBC = ctypes.CDLL(None, use_errno=True)

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_TUN_WITHOUT_HEADER = 0x1001  # IFF_TUN | IFF_NO_PI

_CT_DELETE = 1 << 8 | 2  # linux/netfilter/nfnetlink_conntrack.h: NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_REQUEST_ACK = 0x5  # linux/netlink.h: NLM_F_REQUEST | NLM_F_ACK
_NETFILTER = 12  # NETLINK_NETFILTER


class CommandFailed(Exception):
    """A tool refused; `stderr` is what it said."""

    def __init__(self, command: Iterable[str], status: int, stderr: str) -> None:
        self.stderr = stderr
        super().__init__(f"{' '.join(command)} exits {status}: {stderr.strip()[:800]}")


def _syscall(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Namespace:
    """A fresh network namespace with `lo` up. `with namespace:` moves the calling thread into it; nests."""

    def __init__(self) -> None:
        home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _syscall(_LIBC.unshare(_CLONE_NEWNET))
            try:
                self._fd = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
            finally:
                _syscall(_LIBC.setns(home, _CLONE_NEWNET))
        finally:
            os.close(home)
        self._homes: list[int] = []
        self._conntrack: socket.socket | None = None
        self.ip("link set lo up")

    @property
    def path(self) -> str:
        """What `ip link set ... netns` takes, from any child of this process."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def __enter__(self) -> Namespace:
        self._homes.append(os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC))
        _syscall(_LIBC.setns(self._fd, _CLONE_NEWNET))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        home = self._homes.pop()
        try:
            _syscall(_LIBC.setns(home, _CLONE_NEWNET))
        finally:
            os.close(home)

    def close(self) -> None:
        """Lets go of it; the kernel removes it with its devices, rules and sets once no socket is open there."""
        if self._conntrack is not None:
            self._conntrack.close()
        os.close(self._fd)

    def run(self, *command: str, stdin: str | None = None) -> str:
        """The command's standard output. CommandFailed when it exits with another status than 0."""
        with self:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise CommandFailed(command, done.returncode, done.stderr)
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Several `ip` commands in one process, each without the word `ip`. Write `::/0` for IPv6's default."""
        self.run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")

    def sysctl(self, settings: Mapping[str, object]) -> None:
        """`net.ipv4.ip_forward` style names to values."""
        with self:
            for name, value in settings.items():
                Path("/proc/sys", *name.split(".")).write_text(f"{value}\n")

    def tun(self, name: str) -> int:
        """A TUN device of that name, down; the file descriptor takes and gives IP packets without blocking."""
        with self:
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
        return device

    def forget_connections(self) -> None:
        """`conntrack -F`, without a process. OSError when the kernel refuses."""
        if self._conntrack is None:
            with self:
                self._conntrack = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        for family in (socket.AF_INET, socket.AF_INET6):
            self._conntrack.send(struct.pack("=IHHIIBBH", 20, _CT_DELETE, _REQUEST_ACK, 0, 0, family, 0, 0))
            answer = self._conntrack.recv(4096)
            (error,) = struct.unpack_from("=i", answer, 16)
            if error:
                raise OSError(-error, os.strerror(-error))
