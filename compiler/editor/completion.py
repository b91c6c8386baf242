"""What could be written at a place: keywords that the parser would take there, and names that mean what it wants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compiler.editor.names import word_at
from compiler.editor.project import Project
from compiler.snapshot import Snapshot
from grammar import dsl_literals as literal
from grammar import dsl_tree as t
from grammar.dsl_possible import Possible, possible

#: The word that stands before the place; what it begins with makes it one that goes on.
_WORD = re.compile(r"[A-Za-z_][\w./-]*\Z", re.ASCII)
_OTHER = re.compile(r"[\w.*-]\Z", re.ASCII)
_PROTOCOL = re.compile(r"([A-Za-z_][\w.-]*)\s*/(?:[\s\w.-]*,)*\s*\Z", re.ASCII)
_STATES = re.compile(r"\bstate\s+(?:\w+\s*,\s*)*\Z", re.ASCII)
_KEY = re.compile(r'([\w./-]+|"[^"\n]*")\s*(?:!=|==?|(?:not)?in\s*\((?:[^()]*,)?)\s*\Z', re.ASCII)
#: Tokens that an end of a connection begins with, and those that a set's entry does.
_END, _ENTRY = {"NAME", "PODS", "ADDRESS"}, {"NAME", "ADDRESS", "PREFIX"}
#: Words behind which a new name stands.
_NEW = {"SET", "SERVICE", "ZONE", "POLICY", "OPAQUE"}
#: Keywords that are no token of their own.
_KEYWORDS = {"LOG_VERB": "log"}


@dataclass(frozen=True, slots=True)
class Choice:
    """`kind` is keyword, set, service, zone, protocol, type, answer, state, class, namespace, label, value or port; it
    takes the place of what is behind `begin`."""

    text: str
    kind: str
    begin: int


def choices(project: Project, file: str, offset: int, cluster: Snapshot | None = None) -> list[Choice]:
    """What could be written at an offset, in the place of the word that is begun there; none in texts and comments."""
    reading = project.reading(file)
    if reading is None or reading.text is None:
        return []
    written = reading.text.source.text[:offset]
    begun = _WORD.search(written)
    begin = begun.start() if begun else offset
    if begun and "/" in begun.group() and (cut := begun.group().rpartition("/")[0]) in _protocols():
        begin += len(cut) + 1
    if (begin == offset and _OTHER.search(written)) or not _in_code(written):
        return []
    before = written[:begin]
    wanted = possible(before)
    found = [Choice(text, "keyword", begin) for text in sorted({*_keywords(wanted)})]
    found += (Choice(text, kind, begin) for text, kind in dict.fromkeys(_names(project, file, before, wanted)))
    if cluster is not None:
        found += (Choice(text, kind, begin) for text, kind in dict.fromkeys(_of_cluster(cluster, before, wanted)))
    return found


def _keywords(wanted: Possible) -> Iterator[str]:
    for token, text in wanted.tokens.items():
        word = _KEYWORDS.get(token, text)
        if word is not None and word.isalnum() and word[0].isalpha():
            yield word


def _in_code(written: str) -> bool:
    """Whether a text ends outside of quotes and comments."""
    line = written[written.rfind("\n") + 1 :]
    return word_at(line + "x", len(line) + 1) is not None


def _names(project: Project, file: str, before: str, wanted: Possible) -> Iterator[tuple[str, str]]:
    """(name, kind) of what is defined or built in."""
    tokens, previous = wanted.tokens.keys(), wanted.previous
    if "NAME" not in tokens or previous in _NEW:
        return
    if previous == "WITH":
        yield from _all(literal.ANSWERS, "answer")
    elif _STATES.search(before):
        yield from _all(literal.STATES, "state")
    elif _PROTOCOL.search(before) and "NUMBER" in tokens and previous in ("SLASH", "COMMA"):
        yield from _of_protocol(before)
    elif tokens >= _END:
        yield from _defined(project, file, "set", "zone", *(["service"] if "NUMBER" in tokens else []))
        yield from ((name, "set" if name == "bogons" else "zone") for name in sorted(literal.BUILT_IN))
        if "NUMBER" in tokens:
            yield from _all(_protocols(), "protocol")
    elif tokens >= _ENTRY:
        yield from _defined(project, file, "set")
        yield "bogons", "set"
    elif "NUMBER" in tokens and previous in ("COLON", "PLUS", "EQUAL"):
        yield from _defined(project, file, "service")
        yield from _all(_protocols(), "protocol")
    elif "NUMBER" in tokens and re.search(r"\bdscp\b", before.rpartition("\n")[2] or before):
        yield from _all(literal.DSCP_CLASSES, "class")


def _of_protocol(before: str) -> Iterator[tuple[str, str]]:
    """What stands behind the slash of a protocol."""
    found = _PROTOCOL.search(before)
    protocol = found.group(1) if found else ""
    yield from _all({"icmp": literal.ICMP_TYPES, "icmpv6": literal.ICMPV6_TYPES}.get(protocol, ()), "type")


def _defined(project: Project, file: str, *kinds: str) -> Iterator[tuple[str, str]]:
    names = {t.SetDefinition: "set", t.ServiceDefinition: "service", t.ZoneDefinition: "zone"}
    for program in project.programs(file):
        for name, (_, node) in program.definitions.items():
            if names[type(node)] in kinds:
                yield name, names[type(node)]


def _of_cluster(cluster: Snapshot, before: str, wanted: Possible) -> Iterator[tuple[str, str]]:
    """Namespaces, labels and their values, and ports by their names, as the cluster has them now."""
    tokens, previous = wanted.tokens.keys(), wanted.previous
    nodes = re.search(r"\bnodes\s*\([^()]*(?:\([^()]*)?\Z", before) is not None
    holders = [one.labels for one in (cluster.nodes.values() if nodes else cluster.pods)]
    if "VALUE" in tokens and previous == "COLON":
        yield from _all(cluster.namespaces, "namespace")
    elif "VALUE" in tokens and (key := _KEY.search(before)):
        yield from _all({labels[key.group(1)] for labels in holders if key.group(1) in labels} - {""}, "value")
    elif "KEY" in tokens:
        yield from _all({key for labels in holders for key in labels}, "label")
    elif {"NAME", "NUMBER"} <= tokens and previous in ("SLASH", "COMMA") and (found := _PROTOCOL.search(before)):
        ports = (port for pod in cluster.pods for port in pod.ports)
        yield from _all({one.name for one in ports if one.protocol.lower() == found.group(1)} - {""}, "port")


def _all(texts: Iterable[str], kind: str) -> Iterator[tuple[str, str]]:
    yield from ((text, kind) for text in sorted(texts))


def _protocols() -> frozenset[str]:
    return literal.PROTOCOLS | {literal.BY_NUMBER}
