"""What statements of nat, mangle and raw are asked about, hook by hook, straight from docs/DSL.md.

| statement | hooks |
|---|---|
| notrack, drop | PREROUTING, OUTPUT |
| drop from, drop spoofed from | PREROUTING |
| mark | PREROUTING, OUTPUT; where the target names interfaces, FORWARD, OUTPUT |
| dscp, ttl, mss set | FORWARD, INPUT, OUTPUT |
| mss clamp | FORWARD, OUTPUT |
| dnat, redirect | PREROUTING, OUTPUT |
| snat, masquerade, keep source | POSTROUTING |

A flow with `<->` is two: in nat with the same destination ports, else with what were destination ports as source ports.
What says `self` alone is not asked in FORWARD.

What an end is depends on the hook. `self`: as a source everybody in OUTPUT and nobody in PREROUTING, as a target
everybody in INPUT; elsewhere a local address. An interface: inbound of a source, so of nobody in OUTPUT, and of
forwarded packets alone in POSTROUTING; outbound of a target, so of nobody in PREROUTING and INPUT. What came by lo is
the node's own and was asked in OUTPUT: in PREROUTING a source has it where it says interfaces and not otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Dnat,
    DropFlow,
    DropFrom,
    Dscp,
    Either,
    End,
    Flow,
    Interfaces,
    KeepSource,
    Less,
    Mark,
    Masquerade,
    Mss,
    NatWithin,
    Notrack,
    Opaque,
    Ports,
    Program,
    Redirect,
    Rule,
    Snat,
    Statement,
    ThisNode,
    Ttl,
)
from compiler.semantics.proof.items import Label
from compiler.semantics.proof.program_ends import every_part
from compiler.semantics.rules.netfilter import Hook

ANYONE = Anyone()
NOBODY = Either(ends=())
#: Packets that came in by none, or have not yet found one to go out by.
_NO_INTERFACE = Interfaces(names=("",))
_LOOPBACK = Either(
    ends=tuple(
        Addresses(first=ip_address(first), last=ip_address(last))
        for first, last in (("127.0.0.0", "127.255.255.255"), ("::1", "::1"))
    )
)
#: Where `dnat` looks when it does not say to whom.
OWN_ADDRESSES = Less(end=ThisNode(), without=_LOOPBACK)
#: Hooks at which a packet has found where it goes out, or where it came in.
_HAS_INBOUND = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.POSTROUTING})
_HAS_OUTBOUND = frozenset({Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING})


@dataclass(frozen=True, slots=True, eq=False)
class OneWay:
    """What a statement is about at a hook, one way. `named`: sources that say interfaces, and so have lo, too, where
    `source` has not (in PREROUTING; elsewhere all are in `source`). `back`: `ports` are those of the source."""

    source: End
    named: End
    target: End
    ports: Ports
    back: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A statement at a hook: `where` ("nat", "mangle", "raw", "nat item[2]") and `index` say its place in the program,
    `label` tells all statements of it apart. It is about packets of any of the `ways`. `inner`: of a nested list."""

    where: str
    index: int
    label: Label
    statement: Statement
    ways: tuple[OneWay, ...]
    inner: tuple[Turn, ...] = ()

    def every(self) -> Iterator[Turn]:
        """Itself, and all inside of it."""
        yield self
        for one in self.inner:
            yield from one.every()


@dataclass(frozen=True, slots=True)
class Turns:
    """The statements at a hook, in the order of the program. `exempt`: what no statement of raw drops."""

    raw: tuple[Turn, ...]
    mangle: tuple[Turn, ...]
    nat: tuple[Turn, ...]
    exempt: tuple[Turn, ...]


def rewrites(program: Program) -> bool:
    """Whether it has statements of nat, mangle or raw."""
    return bool(program.nat or program.mangle or program.raw)


def as_they_are(program: Program) -> Iterator[Opaque]:
    """Rules of one tool among them."""
    todo: list[Statement] = [*program.nat, *program.mangle, *program.raw]
    for one in todo:
        if isinstance(one, Opaque):
            yield one
        todo += getattr(one, "items", ())


def turns(program: Program, hook: Hook, exempt: Sequence[Rule] = ()) -> Turns:
    """`exempt`: rules of a failsafe for raw, to be asked like a drop."""
    asked = exempt if hook in (Hook.PREROUTING, Hook.OUTPUT) else ()
    kept = (Turn("failsafe", n, ("failsafe", n), one, (way_of(one, hook),)) for n, one in enumerate(asked))
    return Turns(
        tuple(_Placing("raw", hook).of(program.raw)),
        tuple(_Placing("mangle", hook).of(program.mangle)),
        tuple(_Placing("nat", hook).of(program.nat)),
        tuple(kept),
    )


class _Placing:
    """Numbers the statements of one table, whether they are asked at the hook or not."""

    def __init__(self, table: str, hook: Hook) -> None:
        self._table, self._hook, self._number = table, hook, 0

    def of(self, items: Sequence[Statement], where: str = "") -> Iterator[Turn]:
        around = _of_list(items) if self._table == "nat" else frozenset()
        for n, item in enumerate(items):
            label, self._number = (self._table, self._number), self._number + 1
            if isinstance(item, NatWithin):
                inner = tuple(self.of(item.items, f"{where or self._table} list[{n}]"))
                ways: tuple[OneWay, ...] = (way_of(item, self._hook),) if inner else ()
            else:
                inner, ways = (), tuple(self._ways(item, around))
            if ways or (isinstance(item, Opaque) and item.hook == self._hook.value):
                yield Turn(where or self._table, n, label, item, ways, inner)

    def _ways(self, statement: Statement, around: frozenset[Hook]) -> Iterator[OneWay]:
        """`around`: the hooks at which the list is asked, by the statements that say so themselves."""
        if isinstance(statement, Rule):
            if self._hook in around:
                yield way_of(statement, self._hook)
            return
        flow, own = flow_of(statement), hooks(statement)
        if self._table == "nat" and isinstance(statement, Mark):
            own = (Hook.POSTROUTING,) if Hook.POSTROUTING in around else (Hook.PREROUTING, Hook.OUTPUT)
        if flow is None or self._hook not in own:
            return
        source, target = flow.source or ANYONE, flow.target or ANYONE
        pairs = [(source, target, False)]
        if flow.both_ways:
            pairs.append((target, source, self._table != "nat"))
        for one, two, back in pairs:
            if isinstance(statement, Mark) and self._table != "nat" and self._hook not in _of_mark(two):
                continue
            if self._hook is not Hook.FORWARD or not (_self_alone(one) or _self_alone(two)):
                yield _one_way(one, two, flow.ports, self._hook, back)


def _self_alone(end: End) -> bool:
    """Whether `self`, maybe in braces or said again behind `and`, is all that stands there."""
    if isinstance(end, Either | Both):
        return bool(end.ends) and all(_self_alone(one) for one in end.ends)
    return isinstance(end, ThisNode)


def _of_list(items: Iterable[Statement]) -> frozenset[Hook]:
    """The hooks at which something in a list of nat is asked; log and leave go with the others, and so does mark."""
    found = set[Hook]()
    for item in items:
        if isinstance(item, NatWithin):
            found |= _of_list(item.items)
        elif isinstance(item, Opaque) and item.hook:
            found.add(Hook(item.hook))
        elif isinstance(item, Dnat | Redirect | Snat | Masquerade | KeepSource):
            found.update(hooks(item))
    if Hook.POSTROUTING not in found and any(isinstance(item, Mark) for item in items):
        found |= {Hook.PREROUTING, Hook.OUTPUT}
    return frozenset(found)


def hooks(statement: Statement) -> Sequence[Hook]:
    """Those of a statement, but for mark's, which depend on the flow."""
    match statement:
        case Notrack() | DropFlow() | Dnat() | Redirect():
            return Hook.PREROUTING, Hook.OUTPUT
        case DropFrom():
            return (Hook.PREROUTING,)
        case Dscp() | Ttl() | Mss(size=int()):
            return Hook.FORWARD, Hook.INPUT, Hook.OUTPUT
        case Mss():
            return Hook.FORWARD, Hook.OUTPUT
        case Snat() | Masquerade() | KeepSource():
            return (Hook.POSTROUTING,)
        case _:
            return tuple(Hook)


def flow_of(statement: Statement) -> Flow | None:
    """The flow that a statement is about, as written; None for a list's."""
    match statement:
        case Dnat(source=source, to=to, ports=ports):
            return Flow(source=source, target=OWN_ADDRESSES if to is None else to, ports=ports)
        case DropFrom(source=source):
            return Flow(source=source)
        case _:
            found = getattr(statement, "flow", None)
            return found if isinstance(found, Flow) else None


def _of_mark(target: End) -> tuple[Hook, Hook]:
    outbound = any(isinstance(one, Interfaces) for one in every_part(target))
    return (Hook.FORWARD if outbound else Hook.PREROUTING), Hook.OUTPUT


def way_of(rule: Rule | NatWithin, hook: Hook) -> OneWay:
    """What a rule, or the head of a list, is about at a hook."""
    source = rule.source if rule.unless is None else Less.model_construct(end=rule.source, without=rule.unless)
    return _one_way(source, rule.target, rule.ports, hook)


def _one_way(source: End, target: End, ports: Ports, hook: Hook, back: bool = False) -> OneWay:
    found: End = placed(source, hook, source=True)
    named: End = NOBODY
    if hook is Hook.PREROUTING:
        found, named = _by_interface(found)
    return OneWay(found, named, placed(target, hook, source=False), ports, back)


def placed(end: End, hook: Hook, source: bool) -> End:
    """The end as an expression that means everywhere what it means at this hook."""
    match end:
        case ThisNode():
            if hook is (Hook.OUTPUT if source else Hook.INPUT):
                return ANYONE
            return NOBODY if source and hook is Hook.PREROUTING else end
        case Interfaces(names=names):
            if hook not in (_HAS_INBOUND if source else _HAS_OUTBOUND):
                return NOBODY
            own_too = source and hook is Hook.POSTROUTING and "*" in names
            return Less.model_construct(end=end, without=_NO_INTERFACE) if own_too else end
        case Either() | Both():
            ends: tuple[End, ...] = end.ends
            parts = tuple(placed(one, hook, source) for one in ends)
            same = all(one is two for one, two in zip(parts, ends, strict=True))
            return end if same else type(end).model_construct(ends=parts)
        case Less(end=inner, without=without):
            kept, taken = placed(inner, hook, source), placed(without, hook, source)
            return end if kept is inner and taken is without else Less.model_construct(end=kept, without=taken)
        case _:
            return end


def _by_interface(end: End) -> tuple[End, End]:
    """Its part that says no interface that a packet comes by, and the other one."""
    match end:
        case Interfaces():
            return NOBODY, end
        case Either(ends=ends):
            pairs = [_by_interface(one) for one in ends]
            if all(named is NOBODY for _, named in pairs):
                return end, NOBODY
            parts = [tuple(one for one in own if one is not NOBODY) for own in zip(*pairs, strict=True)]
            return Either.model_construct(ends=parts[0]), Either.model_construct(ends=parts[1])
        case Both(ends=ends):
            pairs = [_by_interface(one) for one in ends]
            if all(named is NOBODY for _, named in pairs):
                return end, NOBODY
            by_name = tuple(
                Both.model_construct(ends=(own, *ends[:n], *ends[n + 1 :]))
                for n, (_, own) in enumerate(pairs)
                if own is not NOBODY
            )
            return Both.model_construct(ends=tuple(one for one, _ in pairs)), Either.model_construct(ends=by_name)
        case Less(end=inner, without=without):
            plain, named = _by_interface(inner)
            if named is NOBODY:
                return end, NOBODY
            pair = (Less.model_construct(end=one, without=without) for one in (plain, named))
            return next(pair), next(pair)
        case _:
            return end, NOBODY
