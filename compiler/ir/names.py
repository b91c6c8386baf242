"""Names of chains, sets and maps: readable, at most 20 characters, and never the same for two things.

A name is a kind, a stem that a reader recognises and a digest of the whole key. The digest is what makes it
unique: `a-b`/`c` and `a`/`b-c`, or two 253-character names, have different keys. Two keys whose digests collide
all the same are told apart by a salt; which of them gets it depends on the order of the input alone.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode

from compiler.ir.ruleset import Hook, Table

#: iptables takes 28 characters for a chain's name, of which the back end's prefix takes 8.
LONGEST = 20
_DIGEST = 7  # base32 characters: 35 bits


def base_name(table: Table, hook: Hook) -> str:
    """The name of our base chain there. It stays the same from version to version: nft cannot move a base chain."""
    return hook.value if table is Table.FILTER else f"{table.value}-{hook.value}"


class Namer:
    """Gives names; remembers them."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._names: dict[tuple[str, str, str], str] = {}

    def __len__(self) -> int:
        """How many names it remembers."""
        return len(self._keys)

    def name(self, kind: str, stem: str, key: str) -> str:
        """The name for `key`. The same kind and key get the same name again."""
        found = self._names.get((kind, stem, key))
        if found is None:
            found = self._names[kind, stem, key] = self._new(kind, stem, key)
        return found

    def _new(self, kind: str, stem: str, key: str) -> str:
        whole = f"{kind}\0{key}"
        room = LONGEST - _DIGEST - len(kind) - 2
        short = "".join(c for c in stem.lower() if c.isascii() and c.isalnum())[:room] or "x"
        for salt in range(1 << 16):
            digest = hashlib.sha256(f"{whole}\0{salt}".encode()).digest()
            name = f"{kind}-{short}-{b32encode(digest).decode().lower()[:_DIGEST]}"
            if self._keys.setdefault(name, whole) == whole:
                return name
        raise AssertionError("65,536 digests in a row collided")
