"""An API server as the store of a bed: the stand-in of tests/enforcer or a real one, reached from every node."""

from __future__ import annotations

import json
import socket
from itertools import count

from tests.cluster.store import Key, Object, key_of
from tests.enforcer.client import KINDS, ignored
from tests.enforcer.proxy import Proxy
from tests.enforcer.servers import Site
from tests.kernel.namespace import Namespace


class Served:
    """Owns the site's client and proxies; the server is its maker's."""

    def __init__(self, site: Site) -> None:
        self._site, self._client = site, site.client
        self._known: dict[Key, Object] = {}
        self._ways: list[Proxy] = []
        self._numbers = count(1)

    def put(self, item: Object) -> None:
        item = _whole(item)
        key = key_of(item)
        old = self._known.get(key)
        if old is not None and item["kind"] == "Pod" and _fixed(old) != _fixed(item):
            self.delete(key)  # as pods move: another one of the same name
            old = None
        self._known[key] = item
        if old is None:
            if key[1]:
                with ignored(409):
                    self._client.create(_whole({"kind": "Namespace", "metadata": {"name": key[1]}}))
            if item["kind"] == "Namespace":
                with ignored(409):  # it was made for what is in it
                    self._client.create(item)
                self._relabel(item, {})
            else:
                self._client.create(item)
        elif item["kind"] in ("Pod", "Namespace", "Node"):
            self._relabel(item, old["metadata"].get("labels") or {})
            if item["kind"] != "Namespace" and item.get("status") != old.get("status"):
                self._client.status(item)
        else:
            self._client.replace(item)

    def delete(self, key: Key) -> None:
        self._client.delete(self._known.pop(key))

    def arguments(self, namespace: Namespace) -> tuple[str, ...]:
        """Through a port of the node's own, as its network has no way to the server."""
        with namespace:
            listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        way = Proxy(self._site.server.port, listening)
        self._ways.append(way)
        config = json.loads(self._site.kubeconfig.read_text())
        scheme = self._site.server.url.partition(":")[0]
        config["clusters"][0]["cluster"]["server"] = f"{scheme}://127.0.0.1:{way.port}"
        path = self._site.folder / f"kubeconfig-{next(self._numbers)}"
        path.write_text(json.dumps(config))
        return "--kubeconfig", str(path)

    def close(self) -> None:
        for way in self._ways:
            way.close()
        self._site.close()

    def _relabel(self, item: Object, old: dict[str, str]) -> None:
        new = item["metadata"].get("labels") or {}
        changed = {**dict.fromkeys(old.keys() - new.keys()), **new}
        if changed:
            self._client.patch(item, {"metadata": {"labels": changed}})


def _whole(item: Object) -> Object:
    """With its version, and its namespace where it has one."""
    version, _, spaced = KINDS[item["kind"]]
    metadata = {"namespace": "default", **item["metadata"]} if spaced else item["metadata"]
    return {"apiVersion": version, **item, "metadata": metadata}


def _fixed(item: Object) -> object:
    """What no pod changes in its life."""
    return item["spec"]
