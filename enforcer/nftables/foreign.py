"""What others do in nf_tables that matters to our rules. Pure.

A verdict of another base chain lets no packet pass ours: accept ends that chain alone, and drop denies more. What does
matter happens before ours are asked: packets that go another way, addresses that are not what they were, packets that
nobody tracks. Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from enforcer.netlink import Message, attributes, each, text
from enforcer.nftables.mirror import (
    CHAIN_HOOK,
    EXPRESSION_DATA,
    EXPRESSION_NAME,
    RULE_CHAIN,
    RULE_EXPRESSIONS,
    TABLE_NAME,
    is_ours,
)

#: NFPROTO_*. Chains of netdev come before all others, whatever their priority.
FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}
_NETDEV = 5
_SHARED = (1, 2, 10)
_RULE_HANDLE = 3
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_PREROUTING = 0  # NF_INET_PRE_ROUTING: before all hooks of ours
_OURS = -1  # priority of our chains
_TARGET_NAME, _TARGET_INFO = 1, 3
_CT_NOTRACK = 1  # XT_CT_NOTRACK, in the first of two bytes; alone it is the first there as well
_PAYLOAD_BASE, _PAYLOAD_OFFSET, _PAYLOAD_LENGTH, _PAYLOAD_SOURCE = 2, 3, 4, 5
_NETWORK = 1  # NFT_PAYLOAD_NETWORK_HEADER
#: Offset and length of addresses in headers of both families.
_ADDRESSES = {(12, 4), (16, 4), (8, 16), (24, 16), (12, 8), (8, 32)}

_UNTRACKED = "packets that nobody tracks are no replies: what a connection is allowed, its answers are not"
_OTHER_WAY = "packets take another way, on which our rules do not see them"
_LOCAL = "packets go to a process of this node, not on to whom they were sent, which our rules would be asked about"
_READDRESSED = "packets have another address when our rules see them"
_OFFLOADED = "packets of connections that are known pass by our rules until these connections are forgotten"
#: Expressions, and targets of xtables.
_WHY = {
    "notrack": _UNTRACKED,
    "fwd": _OTHER_WAY,
    "tproxy": _LOCAL,
    "flow_offload": _OFFLOADED,
    "NOTRACK": _UNTRACKED,
    "CT": _UNTRACKED,
    "TPROXY": _LOCAL,
    "FLOWOFFLOAD": _OFFLOADED,
}


class Found(NamedTuple):
    """A rule, by table (with its family), chain and handle."""

    table: str
    chain: str
    handle: int
    why: str


def found(chains: Iterable[Message], rules: Iterable[Message]) -> Iterator[Found]:
    """Rules of others that matter: in tables with a chain that packets meet before ours, and what leads packets past
    all chains from then on wherever that is said."""
    hooked = [message for message in chains if message.family in _SHARED and not is_ours(message)]
    early = {_table(message) for message in hooked if _is_early(message)}
    for message in rules:
        if message.family not in FAMILIES or is_ours(message):
            continue
        said = attributes(message.payload)
        reasons = map(_reason, _expressions(said.get(RULE_EXPRESSIONS, b"")))
        why = next(filter(None, reasons), None)
        if why == _OFFLOADED or (why and (message.family == _NETDEV or _table(message) in early)):
            handle = int.from_bytes(said[_RULE_HANDLE], "big")
            yield Found(_named(message), text(said[RULE_CHAIN]), handle, why)


def _table(message: Message) -> tuple[int, bytes]:
    return message.family, attributes(message.payload)[TABLE_NAME]


def _named(message: Message) -> str:
    return f"{FAMILIES[message.family]} {text(_table(message)[1])}"


def _is_early(message: Message) -> bool:
    """Whether it is a base chain that is asked before ours."""
    hook = attributes(message.payload).get(CHAIN_HOOK)
    if hook is None:
        return False
    said = attributes(hook)
    number, priority = struct.unpack(">Ii", said[_HOOK_NUMBER] + said[_HOOK_PRIORITY])
    return bool(number == _PREROUTING or priority < _OURS)


def _expressions(data: bytes) -> Iterator[tuple[str, bytes]]:
    for _, expression in each(data):
        said = attributes(expression)
        yield text(said[EXPRESSION_NAME]), said.get(EXPRESSION_DATA, b"")


def _reason(expression: tuple[str, bytes]) -> str | None:
    name, data = expression
    if name == "target":
        said = attributes(data)
        name = text(said[_TARGET_NAME])
        if name == "CT" and not said[_TARGET_INFO][0] & _CT_NOTRACK:
            return None
    if name == "payload":
        numbers = {kind: int.from_bytes(value, "big") for kind, value in each(data)}
        place = numbers.get(_PAYLOAD_OFFSET), numbers.get(_PAYLOAD_LENGTH)
        writes = _PAYLOAD_SOURCE in numbers and numbers.get(_PAYLOAD_BASE) == _NETWORK
        return _READDRESSED if writes and place in _ADDRESSES else None
    return _WHY.get(name)
