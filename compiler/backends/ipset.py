"""Sets -> input for `ipset restore`.

A set is named after its content, so a set that rules are using never changes: new content comes under a new name,
and the chains move over to it in one step of iptables-restore. Loading the same text again finds everything there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from compiler.backends.text import comments, refuse
from compiler.ir.match import Field
from compiler.ir.ruleset import PrefixSet, Set
from compiler.net import PROTOCOL_NAMES, Family, address_text

FILE = "ipset.save"
PREFIX = "netpolc-"
#: The same for all sets: the kernel compares it when a set is created a second time.
MAX_ELEMENTS = 1 << 22

_ADDRESSES = (Field.SOURCE, Field.DESTINATION)
#: Key -> (type of set, directions of the match).
_TYPES = {
    (Field.SOURCE,): ("hash:ip", "src"),
    (Field.DESTINATION,): ("hash:ip", "dst"),
    (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT): ("hash:ip,port,ip", "src,dst,dst"),
    (Field.DESTINATION, Field.PROTOCOL, Field.PORT): ("hash:ip,port", "dst,dst"),
}


def directions(fields: Sequence[Field]) -> str:
    """The `--match-set` directions for a set with this key."""
    return _type(fields)[1]


def _type(fields: Sequence[Field]) -> tuple[str, str]:
    try:
        return _TYPES[tuple(fields)]
    except KeyError:
        raise refuse(f"a set of {', '.join(field.value for field in fields)}", "ipset") from None


def set_name(found: Set | PrefixSet) -> str:
    """At most 31 characters: our prefix, a stem, a digest of type and content. A set that is filled by hand has no
    content and keeps its name."""
    digest = hashlib.sha256(repr((_declared(found), found.elements, found.name)).encode()).hexdigest()[:10]
    return f"{PREFIX}{found.name[:12].rstrip('-')}-{digest}"


def _declared(found: Set | PrefixSet) -> str:
    kind = "hash:net" if isinstance(found, PrefixSet) else _type(found.key)[0]
    family = "inet6" if found.family is Family.IPV6 else "inet"
    return f"{kind} family {family} maxelem {MAX_ELEMENTS}"


def emit(sets: Sequence[Set | PrefixSet], names: Mapping[str, str], notes: Sequence[str]) -> str:
    """The whole text. `names` gives each set's `set_name`, which is costly: a digest of all its elements."""
    return "\n".join(_lines(sets, names, notes)) + "\n"


def _lines(sets: Sequence[Set | PrefixSet], names: Mapping[str, str], notes: Sequence[str]) -> Iterator[str]:
    yield from comments(*notes, f"Load first: ipset restore < {FILE}   (sets that are there already stay as they are)")
    for found in sets:
        name = names[found.name]
        yield ""
        title, *details = found.notes or ("",)
        yield from comments(f"{found.name}: {title}", *details)
        yield f"create {name} {_declared(found)} -exist"
        for element in found.elements:
            yield f"add {name} {_element(found, element)} -exist"


def _element(found: Set | PrefixSet, element: tuple[object, ...]) -> str:
    if isinstance(found, PrefixSet):
        prefix, member = element
        return f"{prefix}" if member else f"{prefix} nomatch"
    assert found.family is not None, "every ipset holds addresses"
    values = dict(zip(found.key, element, strict=True))
    shown = [address_text(found.family, int(str(values[field]))) for field in found.key if field in _ADDRESSES]
    if Field.PORT in values:
        shown.insert(1, f"{PROTOCOL_NAMES[int(str(values[Field.PROTOCOL]))]}:{values[Field.PORT]}")
    return ",".join(shown)
