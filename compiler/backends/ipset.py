"""Sets -> input for `ipset restore`.

A set is named after its content, so a set that rules are using never changes: new content comes under a new name,
and the chains move over to it in one step of iptables-restore. Loading the same text again finds everything there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
        yield ""
        title, *details = found.notes or ("",)
        yield from comments(f"{found.name}: {title}", *details)
        yield from filling(found, names[found.name])


def filling(found: Set | PrefixSet, name: str) -> Iterator[str]:
    """The lines that make a set and fill it."""
    yield f"create {name} {_declared(found)} -exist"
    if isinstance(found, PrefixSet):
        for prefix, member in found.elements:
            yield f"add {name} {prefix}{'' if member else ' nomatch'} -exist"
    else:
        yield from moving("add", found, name, found.elements)


def moving(command: str, found: Set, name: str, elements: Iterable[tuple[int, ...]]) -> Iterator[str]:
    """The lines that add or delete (`del`) elements, whether they are there or not."""
    shown = _shown(found)
    for element in elements:
        yield f"{command} {name} {shown(element)} -exist"


def _shown(found: Set) -> Callable[[tuple[int, ...]], str]:
    """How elements of the set are written."""
    family = found.family
    assert family is not None, "every ipset holds addresses"
    addresses = [at for at, field in enumerate(found.key) if field in _ADDRESSES]
    first, *others = addresses
    if Field.PORT not in found.key:
        return lambda element: address_text(family, element[first])
    protocol, port = found.key.index(Field.PROTOCOL), found.key.index(Field.PORT)

    def shown(element: tuple[int, ...]) -> str:
        asked = f"{address_text(family, element[first])},{PROTOCOL_NAMES[element[protocol]]}:{element[port]}"
        return ",".join([asked, *(address_text(family, element[at]) for at in others)])

    return shown
