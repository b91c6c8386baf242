"""Equal parts of objects as one value in memory: 150,000 pods have some thousand label sets between them, and 10,000
policies few selectors, peers and ports. What is shared is never changed."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel

from compiler.resources.cluster import ContainerPort

_Key = TypeVar("_Key")
_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=BaseModel)
Ports: TypeAlias = tuple[ContainerPort, ...]

#: Values that are remembered of each sort. Their owners come and go for ever, so all are forgotten now and then: that
#: costs memory only.
REMEMBERED = 1 << 17


class Sharing:
    """What is known already. Not for several threads at once."""

    def __init__(self) -> None:
        self._labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._ports: dict[Ports, Ports] = {}
        self._parts: dict[tuple[Any, ...], Any] = {}

    def labels(self, found: Mapping[str, str]) -> Mapping[str, str]:
        items = tuple(sorted(found.items()))
        known = self._labels.get(items)
        if known is None:
            known = {intern(key): intern(value) for key, value in items}
            return _remembered(self._labels, tuple(known.items()), known)
        return known

    def ports(self, found: Ports) -> Ports:
        return _remembered(self._ports, found, found)

    def model(self, found: _Model) -> _Model:
        """The model, or an equal one; so with all its parts."""
        inner = found.__dict__
        for name, value in inner.items():
            inner[name] = self._part(value)  # by an equal one: to whoever looks, nothing changes
        known: _Model = _remembered(self._parts, (type(found), *map(_identity, inner.values())), found)
        return known

    def _part(self, found: Any) -> Any:
        if isinstance(found, BaseModel):
            return self.model(found)
        if isinstance(found, tuple):
            parts = tuple(map(self._part, found))
            return _remembered(self._parts, (tuple, *map(_identity, parts)), parts)
        if isinstance(found, dict):
            return self.labels(found)
        return intern(found) if type(found) is str else found


def _identity(part: Any) -> Any:
    """Equal for equal parts, which are shared. A field never has numbers and models both, so that the number which
    stands for a model is none that stands for itself."""
    return id(part) if isinstance(part, BaseModel | tuple | dict) else part


def _remembered(known: dict[_Key, _T], key: _Key, value: _T) -> _T:
    """What is known under the key; the value, from now on, where nothing is."""
    if len(known) >= REMEMBERED:
        known.clear()
    return known.setdefault(key, value)
