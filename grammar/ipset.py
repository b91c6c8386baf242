"""What `ipset save` prints and `ipset restore` takes -> sets with positions.

    create pods hash:ip family inet maxelem 65536
    add pods 10.0.0.1 comment "two words"

No type is known here: its options and the text of its elements are kept as they stand.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from grammar.ruletext import Place
from grammar.source import Source

_WORD = re.compile(r'"[^"]*"|[^\s"]+|"')
_CREATE, _ADD = ("create", "-N", "--create"), ("add", "-A", "--add")
#: Options that change what a second loading does, nothing else.
_EXIST = ("-exist", "-!", "--exist")
#: Options without a value.
FLAGS = frozenset({"counters", "comment", "skbinfo", "forceadd", "wildcard"})
ELEMENT_FLAGS = frozenset({"nomatch"})


class Member(NamedTuple):
    """`add SET TEXT OPTIONS`. Options without a value have an empty one."""

    text: str
    options: dict[str, str]
    place: Place


class IpSet(NamedTuple):
    """`create NAME KIND OPTIONS`, and what was added."""

    name: str
    kind: str
    options: dict[str, str]
    place: Place
    members: list[Member]


def sets(source: Source) -> dict[str, IpSet]:
    """Every set, by name, in the order of the text. Raises Refused at the first line that is not understood."""
    found: dict[str, IpSet] = {}
    none: dict[str, str] = {}
    start = 0
    for line in source.text.split("\n"):
        # What nearly all lines of a large text are like.
        words = line.split()
        place = Place(source, start, start + len(line))
        start += len(line) + 1
        if not words or words[0].startswith("#"):
            continue
        if words[-1] in _EXIST:
            words.pop()
        if len(words) == 3 and words[0] in _ADD and words[1] in found and '"' not in words[2]:
            found[words[1]].members.append(Member(words[2], none, place))
        else:
            _command(found, place, words)
    return found


def _command(found: dict[str, IpSet], place: Place, words: list[str]) -> None:
    if '"' in place.text:
        words = _WORD.findall(place.text)
        if '"' in words:
            raise place.refused("the quote is not closed")
    if not words:
        raise place.refused("a command is expected")
    verb, rest = words[0], [word for word in words[1:] if word not in _EXIST]
    if verb in _CREATE:
        if len(rest) < 2:
            raise place.refused("create needs a name and a type")
        if rest[0] in found and found[rest[0]].kind != rest[1]:
            raise place.refused(f"the set {rest[0]} is there already, of another type")
        if rest[0] not in found:
            found[rest[0]] = IpSet(rest[0], rest[1], _options(rest[2:], FLAGS, place), place, [])
    elif verb in _ADD:
        if len(rest) < 2:
            raise place.refused("add needs a set and an element")
        if rest[0] not in found:
            raise place.refused(f"the set {rest[0]} was not created")
        found[rest[0]].members.append(Member(rest[1], _options(rest[2:], ELEMENT_FLAGS, place), place))
    elif verb not in ("COMMIT", "quit"):
        raise place.refused(f"{verb} is not understood here: only create and add", "unsupported")


def _options(words: list[str], flags: frozenset[str], place: Place) -> dict[str, str]:
    options: dict[str, str] = {}
    at = 0
    while at < len(words):
        name = words[at]
        if name in flags:
            options[name] = ""
            at += 1
        elif at + 1 < len(words):
            options[name] = words[at + 1].strip('"')
            at += 2
        else:
            raise place.refused(f"{name} needs a value")
    return options
