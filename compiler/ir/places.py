"""Where rules may stand: the tables and hooks at which iptables and nftables both have a match, effect or verdict.

Sources: `.table` and `.hooks` of the kernel's xt_target and xt_match (net/netfilter/xt_*.c), the validate functions of
nf_tables (nft_*.c), and what the tools themselves refuse.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from compiler.ir.effects import ClampMss, Log, Native, NoTrack, SetDscp, SetMark, SetMss, Ttl
from compiler.ir.match import (
    Inbound,
    InState,
    IsProtocol,
    Match,
    NoWayBack,
    Outbound,
    Replies,
    protocols,
)
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import Answer, Chain, Continue, Drop, Hook, Reject, Rule, Table
from compiler.net import TCP

#: The hooks of each table.
HOOKS: Mapping[Table, frozenset[Hook]] = {
    Table.RAW: frozenset({Hook.PREROUTING, Hook.OUTPUT}),
    Table.MANGLE: frozenset(Hook),
    Table.NAT: frozenset(Hook) - {Hook.FORWARD},
    Table.FILTER: frozenset({Hook.INPUT, Hook.FORWARD, Hook.OUTPUT}),
}
#: Protocols of which NAT can change the port: UDP-Lite has no -j DNAT with one.
TRANSLATED_PORTS = frozenset({6, 17, 33, 132})

_EARLY, _LATE = frozenset({Hook.PREROUTING, Hook.OUTPUT}), frozenset({Hook.POSTROUTING, Hook.INPUT})
_ALL_TABLES = frozenset(Table)
_MANGLE, _NAT = frozenset({Table.MANGLE}), frozenset({Table.NAT})
_ALL_HOOKS = frozenset(Hook)
#: What has a place of its own -> (tables, hooks).
_PLACES: Mapping[type, tuple[Collection[Table], Collection[Hook]]] = {
    # In POSTROUTING, iptables does not know it: `passes.carry_inbound`. In OUTPUT, no packet has one.
    Inbound: (_ALL_TABLES, _ALL_HOOKS),
    Outbound: (_ALL_TABLES, frozenset({Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING})),
    NoWayBack: (frozenset({Table.RAW, Table.MANGLE}), frozenset({Hook.PREROUTING})),
    InState: (_ALL_TABLES - {Table.RAW}, _ALL_HOOKS),
    Replies: (_ALL_TABLES - {Table.RAW}, _ALL_HOOKS),
    NoTrack: (frozenset({Table.RAW}), _ALL_HOOKS),
    SetMark: (frozenset({Table.RAW, Table.MANGLE, Table.NAT}), _ALL_HOOKS),
    SetDscp: (_MANGLE, _ALL_HOOKS),
    Ttl: (_MANGLE, _ALL_HOOKS),
    SetMss: (_MANGLE, _ALL_HOOKS),
    ClampMss: (_MANGLE, frozenset({Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING})),
    Log: (_ALL_TABLES, _ALL_HOOKS),
    Drop: (_ALL_TABLES - {Table.NAT}, _ALL_HOOKS),
    Reject: (frozenset({Table.FILTER}), _ALL_HOOKS),
    Dnat: (_NAT, _EARLY),
    Redirect: (_NAT, _EARLY),
    Snat: (_NAT, _LATE),
    Masquerade: (_NAT, frozenset({Hook.POSTROUTING})),
}


def check_place(kind: type, chain: Chain, hooks: Collection[Hook]) -> None:
    """AssertionError when a match, effect or verdict of that kind may not stand in that chain, which packets of these
    hooks reach."""
    place = _PLACES.get(kind)
    if place is not None:
        tables, allowed = place
        assert chain.table in tables, f"{chain.name}: {kind.__name__} in {chain.table.value}"
        wrong = [hook.value for hook in hooks if hook not in allowed]
        assert not wrong, f"{chain.name}: {kind.__name__} at {min(wrong)}"


def check_protocol(rule: Rule, where: str) -> None:
    """AssertionError unless the rule asks for one protocol at most, and for the one that its verdict needs; and for one
    interface on each side at most: iptables can say no more."""
    asked = protocols(rule.matches)
    assert len(asked) <= 1, f"{where}: two protocols in a rule"
    kinds = [type(match) for match in rule.matches]
    assert kinds.count(Inbound) <= 1 >= kinds.count(Outbound), f"{where}: two interfaces in a rule"
    match rule.verdict:
        case Reject(Answer.TCP_RESET):
            assert asked == {TCP}, f"{where}: a TCP reset for other protocols"
        case Dnat(_, int()) | Redirect():
            assert len(asked & TRANSLATED_PORTS) == 1, f"{where}: a port for protocols without"
        case _:
            pass
    if not rule.effects:
        return
    if any(isinstance(effect, Native) for effect in rule.effects):
        alone = not rule.matches and len(rule.effects) == 1 and rule.verdict == Continue()
        assert alone, f"{where}: a rule of a tool with something beside it"
    if any(isinstance(effect, ClampMss | SetMss) for effect in rule.effects):
        assert asked <= {TCP}, f"{where}: an MSS of other protocols"


def naming(matches: Collection[Match]) -> IsProtocol | None:
    """The one match that asks for the protocol that these matches ask for; None when they ask for none."""
    (protocol,) = protocols(matches) or (None,)
    return None if protocol is None else IsProtocol(protocol)
