"""Which pods claim which addresses: what one claims alone is its own, what several claim is nobody's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.live.groups import is_one
from compiler.net import Family, parse_address
from compiler.resources.cluster import Pod


class Claims:
    """Of pods that hold addresses; a pod is known by its namespace and name."""

    def __init__(self) -> None:
        self._holders: dict[str, Pod] = {}
        self._several: dict[str, list[Pod]] = {}

    @property
    def contested(self) -> Mapping[str, Sequence[Pod]]:
        """Addresses of several pods, sorted, as are the pods."""
        return {a: sorted(pods, key=lambda p: (p.namespace, p.name)) for a, pods in sorted(self._several.items())}

    def own(self, pod: Pod) -> dict[str, tuple[Family, int]]:
        """The addresses that are the pod's alone."""
        return {text: parse_address(text) for text in pod.ips if text not in self._several}

    def rivals(self, pod: Pod) -> Iterator[Pod]:
        """Other pods that claim addresses of a pod."""
        for text in pod.ips:
            first = self._holders.get(text)
            for other in self._several.get(text, () if first is None else (first,)):
                if not is_one(other, pod):
                    yield other

    def take(self, pod: Pod) -> None:
        """The pod claims its addresses."""
        for text in dict.fromkeys(pod.ips):
            first = self._holders.get(text)
            if text in self._several:
                self._several[text].append(pod)
            elif first is not None:
                self._several[text] = [self._holders.pop(text), pod]
            else:
                self._holders[text] = pod

    def release(self, pod: Pod) -> None:
        """The pod, which claims its addresses, does not any more."""
        for text in dict.fromkeys(pod.ips):
            claims = self._several.get(text)
            if claims is None:
                del self._holders[text]
                continue
            claims[:] = [other for other in claims if not is_one(other, pod)]
            if len(claims) == 1:
                del self._several[text]
                self._holders[text] = claims[0]
