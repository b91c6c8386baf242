"""Who a set is about that somebody fills by hand: what the words beside it say.

    to be filled: pods(app=web,tier in (db, web),!old) in shop (Deployment shop/web)
    to be filled: pods(all) in namespaces(team=ops)
    to be filled: nodes(role notin (edge))
    to be filled: domains(example.org, *.example.net)
    to be filled: pods that serve tcp port named http, with protocol and port
    a pod always reaches itself: to be filled with every pod's address, twice

The words are the set's comment in nft, else the `#` lines right above its declaration; a line that goes on in the next
one does so with four more spaces. Requirements stand as kubectl writes them; what a label cannot have is
percent-encoded, `''` is an empty key. Anything behind the namespace, in parentheses, helps the reader alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from compiler.resources.labels import LabelSelector, LabelSelectorRequirement
from compiler.semantics.packet import SCTP, TCP, UDP
from compiler.semantics.rules.netfilter import Set

#: "The Kubernetes control plane sets an immutable label kubernetes.io/metadata.name on all namespaces" (KEP-2161), so
#: a namespace is named by a requirement like any other.
NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Pods:
    """The addresses of pods in namespaces with these labels."""

    namespaces: LabelSelector
    pods: LabelSelector


@dataclass(frozen=True, slots=True)
class Nodes:
    """The addresses of nodes; not of the pods on them."""

    nodes: LabelSelector


@dataclass(frozen=True, slots=True)
class Domains:
    """Addresses that DNS answers gave for one of the names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Serving:
    """Addresses of pods, each with protocol and number of a container port of that name. `protocol` None: any."""

    name: str
    protocol: int | None


@dataclass(frozen=True, slots=True)
class Itself:
    """Two addresses of one pod: with one address of each family, the same twice."""


Meant = Pods | Nodes | Domains | Serving | Itself

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
_SELECTOR = r"((?:[^()]|\([^()]*\))*)"
_PODS = re.compile(rf"pods\({_SELECTOR}\) in (?:namespaces\({_SELECTOR}\)|([a-z0-9-]+))(?: \(.*)?")
_NODES = re.compile(rf"nodes\({_SELECTOR}\)")
_DOMAINS = re.compile(r"domains\(([^()]*)\)")
_SERVING = re.compile(r"pods that serve (?:(tcp|udp|sctp) )?port named ([^ ,]*), with protocol and port")
_REQUIREMENT = re.compile(r"([^ !=,]*)=([^ =,]*)|([^ !=,]*) (in|notin) \(([^()]*)\)|(!?)([^ !=,]*)")
_ITSELF = "a pod always reaches itself: to be filled with every pod's address, twice"
_COMMENT = re.compile(r'\s*\{[^{}"]*\bcomment\s+"([^"\n]*)"')


def meant(content: Set) -> Meant | None:
    """What the words beside a set say; None when nobody is to fill it. ValueError: they cannot be understood."""
    words = _words(content)
    if words == _ITSELF:
        return Itself()
    head, given, who = words.partition("to be filled")
    if not given:
        return None
    if head or not who.startswith(": "):
        raise ValueError(words)
    return _who(who[2:])


def _words(content: Set) -> str:
    """The comment, unless it was cut for lack of room, or the lines above. Of those, the set's name in front of the
    words is left out."""
    place = content.place
    text = place.source.text
    found = _COMMENT.match(text, place.end)
    if found is not None and not found[1].endswith("..."):
        return found[1]
    lines = text[: text.rfind("\n", 0, place.start) + 1].split("\n")[:-1]
    above = ""
    for line in reversed(lines):
        if not line.startswith("# "):
            break
        if not line.startswith("#     "):
            return line.partition(": ")[2] + above
        above = line[6:] + above
    return found[1] if found is not None else ""


def _who(words: str) -> Meant:
    if (found := _PODS.fullmatch(words)) is not None:
        named = LabelSelector.model_construct(match_labels={NAME_LABEL: found[3]})
        return Pods(named if found[3] is not None else _selector(found[2]), _selector(found[1]))
    if (found := _NODES.fullmatch(words)) is not None:
        return Nodes(_selector(found[1]))
    if (found := _DOMAINS.fullmatch(words)) is not None:
        return Domains(tuple(found[1].split(", ")))
    if (found := _SERVING.fullmatch(words)) is not None:
        return Serving(_decoded(found[2]), _PROTOCOLS.get(found[1]))
    raise ValueError(words)


def _selector(words: str) -> LabelSelector:
    if words == "all":
        return LabelSelector.model_construct()
    return LabelSelector.model_construct(match_expressions=tuple(_requirements(words)))


def _requirements(words: str) -> Iterator[LabelSelectorRequirement]:
    at = 0
    while True:
        found = _REQUIREMENT.match(words, at)
        assert found is not None, "the last alternative takes anything"
        at = found.end()
        if at < len(words) and words[at] != ",":
            raise ValueError(words)
        equal, value, listed, operator, values, no, key = found.groups()
        if equal is not None:
            yield _requirement(equal, "In", [value])
        elif listed is not None:
            yield _requirement(listed, "In" if operator == "in" else "NotIn", values.split(", "))
        else:
            yield _requirement(key, "DoesNotExist" if no else "Exists", [])
        if at == len(words):
            return
        at += 1


def _requirement(key: str, operator: str, values: list[str]) -> LabelSelectorRequirement:
    plain = "" if key == "''" else _decoded(key)
    return LabelSelectorRequirement.model_construct(
        key=plain, operator=operator, values=tuple(map(_decoded, values)) or None
    )


def _decoded(text: str) -> str:
    """Without percent-encoding, which stands for bytes of UTF-8."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode()
