"""Where the enforcers of a bed learn of objects: a folder of manifests, or an API server. Tests write, they watch."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

from tests.kernel.namespace import Namespace

Object = dict[str, Any]
#: Kind, namespace (empty where there is none) and name.
Key = tuple[str, str, str]

_CLUSTER_WIDE = frozenset(
    {"Namespace", "Node", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}
)


def key_of(item: Object) -> Key:
    """What an object is found by."""
    kind, metadata = item["kind"], item["metadata"]
    return kind, "" if kind in _CLUSTER_WIDE else metadata.get("namespace", "default"), metadata["name"]


class Store(Protocol):
    """Objects as the API has them. Once a call returns, whoever watches can see what it did."""

    def put(self, item: Object) -> None:
        """Creates the object, or replaces the one of its key."""

    def delete(self, key: Key) -> None:
        """KeyError when there is none."""

    def arguments(self, namespace: Namespace) -> tuple[str, ...]:
        """What tells `netpolc enforce` to look here, from the network of a node."""

    def close(self) -> None: ...


class Folder:
    """One file for each object, written beside it first and moved there whole, as careful people do."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def put(self, item: Object) -> None:
        final = self._file(key_of(item))
        draft = final.with_name(f".{final.name}.new")
        draft.write_text(json.dumps(item, indent=1))
        os.replace(draft, final)

    def delete(self, key: Key) -> None:
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def arguments(self, namespace: Namespace) -> tuple[str, ...]:
        return "--cluster", str(self._path)

    def close(self) -> None:
        """The folder is its maker's."""

    def _file(self, key: Key) -> Path:
        """Names in a cluster may be longer than a file's."""
        kind, space, name = key
        readable = "-".join(part for part in (space, name) if part)[:80]
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:8]
        return self._path / f"{kind.lower()}-{readable}-{digest}.json"
