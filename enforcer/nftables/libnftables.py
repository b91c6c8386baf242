"""libnftables in this process: what `nft -f` does, without starting one, and with its knowledge of the tables kept.

See libnftables(3). The context's socket belongs to the network namespace of the thread that makes it. Other threads
run on while a text is taken.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import stat
from collections.abc import Iterable
from functools import cache

_LIBRARY = "libnftables.so.1"
_PLAIN = 0  # NFT_CTX_DEFAULT
_HANDLES = 1 << 3  # NFT_CTX_OUTPUT_HANDLE
_HANDLED = re.compile(r"^\t\t(.*) # handle (\d+)$", re.MULTILINE)
_NETFILTER = 12  # NETLINK_NETFILTER
#: What is freed behind a text of so many characters is given back to the system: the library takes some 1.6 kB for
#: each element that it is told.
_LARGE = 1 << 20


class Missing(Exception):
    """The library is not on this machine; says which."""


class NotTaken(Exception):
    """What the library says about a text that it did not take, whole and untouched."""


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise Missing(str(error)) from None
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], ctypes.c_void_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_ctx_set_dry_run.argtypes = [ctypes.c_void_p, ctypes.c_bool]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes, getattr(library, name).restype = [ctypes.c_void_p], ctypes.c_char_p
    return library


class Context:
    """One context, for one thread at a time. Raises Missing."""

    def __init__(self) -> None:
        self._library = _library()
        before = {*_ports()}
        self._context: int | None = self._library.nft_ctx_new(_PLAIN)
        #: Where its socket may be; of several one is, the others another thread has just opened.
        self._places = [*_ports().keys() - before]
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def rules(self, table: str, chain: str) -> dict[int, str]:
        """Rules of a chain as they are printed, by their handles; `table` with its family. Raises NotTaken."""
        self._library.nft_ctx_output_set_flags(self._context, _HANDLES)
        try:
            listed = self.run(f"list chain {table} {chain}")
        finally:
            self._library.nft_ctx_output_set_flags(self._context, 0)
        return {int(found[2]): found[1].strip() for found in _HANDLED.finditer(listed)}

    def ports(self) -> set[int]:
        """The port of its socket, by which notifications say who did something; perhaps a few of this process more."""
        return set(_ports(self._places).values())

    def run(self, text: str, check: bool = False) -> str:
        """Takes a text as one transaction, or (`check`) only asks the kernel whether it would; what is printed. Raises
        NotTaken."""
        assert self._context is not None, "closed"
        library = self._library
        library.nft_ctx_set_dry_run(self._context, check)
        status = library.nft_run_cmd_from_buffer(self._context, text.encode())
        printed: bytes = library.nft_ctx_get_output_buffer(self._context)
        said: bytes = library.nft_ctx_get_error_buffer(self._context)
        if len(text) > _LARGE:
            ctypes.CDLL(None).malloc_trim(0)
        if status:
            raise NotTaken(said.decode(errors="replace").strip())
        return printed.decode(errors="replace")

    def close(self) -> None:
        """Gives the context back."""
        if self._context is not None:
            self._library.nft_ctx_free(self._context)
            self._context = None


def _ports(descriptors: Iterable[int] | None = None) -> dict[int, int]:
    """Of the netfilter sockets among these descriptors (or all of this process): descriptor -> port."""
    found = {}
    for descriptor in [*map(int, os.listdir("/proc/self/fd"))] if descriptors is None else descriptors:
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as one:
                if (one.family, one.proto) == (socket.AF_NETLINK, _NETFILTER):
                    found[descriptor] = int(one.getsockname()[0])
        except OSError:  # closed meanwhile
            continue
    return found
