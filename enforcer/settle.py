"""Waiting until every packet that is on its way has left the rules of before.

membarrier(2), MEMBARRIER_CMD_GLOBAL, returns when a grace period of RCU is over (synchronize_rcu): whoever walked rules
when it was called is done.
"""

from __future__ import annotations

import ctypes
import platform
import time

#: asm/unistd.h
_NUMBERS = {
    "x86_64": 324,
    "i686": 375,
    "aarch64": 283,
    "armv7l": 389,
    "riscv64": 283,
    "loongarch64": 283,
    "ppc64le": 365,
    "s390x": 356,
}
_GLOBAL = 1
#: Where the kernel has no membarrier: far more than any packet takes.
_LONG_ENOUGH = 0.05


def settle() -> None:
    """Some 10 ms; no other thread of this process waits."""
    number = _NUMBERS.get(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    if number is None or libc.syscall(ctypes.c_long(number), _GLOBAL, 0, 0) != 0:
        time.sleep(_LONG_ENOUGH)
