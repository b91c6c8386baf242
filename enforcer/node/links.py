"""The network devices of a namespace, by rtnetlink."""

from __future__ import annotations

from enforcer.node.rtnetlink import attributes, dump
from enforcer.node.wiring import Link

_GET_LINK, _HEADER = 18, 16  # RTM_GETLINK; struct ifinfomsg
_NAME, _MASTER, _INFO, _INFO_KIND = 3, 10, 18, 1


def links() -> tuple[Link, ...]:
    """Sorted by name, of the network namespace of the calling thread."""
    found = {}
    for body in dump(_GET_LINK, _HEADER):
        index = int.from_bytes(body[4:8], "little")
        found[index] = attributes(body[_HEADER:])
    names = {index: _word(parts[_NAME]) for index, parts in found.items()}
    return tuple(
        sorted(
            (
                Link(
                    names[index],
                    _word(attributes(parts[_INFO]).get(_INFO_KIND, b"")) if _INFO in parts else "",
                    names.get(int.from_bytes(parts.get(_MASTER, b""), "little"), ""),
                )
                for index, parts in found.items()
            ),
            key=lambda link: link.name,
        )
    )


def _word(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
