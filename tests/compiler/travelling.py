"""What statements of nat, mangle and raw make of one packet on its whole way, straight from docs/DSL.md.

Statement after statement, one packet at a time; nothing of it is shared with `semantics/proof/flows.py` and
`table_diagrams.py`, which say the same of all packets, nor with the compiler. What passes here passes every filter.
What is left to chance are several fates, each with its probability.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from ipaddress import ip_address

from compiler.resources.language import (
    Anyone,
    Both,
    Conditional,
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
    Ports,
    Program,
    Redirect,
    Rule,
    Snat,
    Statement,
    ThisNode,
    Ttl,
)
from compiler.semantics.diagrams.space import Path
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import TCP, Packet
from compiler.semantics.proof.case import Case
from compiler.semantics.proof.program_ends import every_part
from compiler.semantics.proof.rule_case import RuleCases
from compiler.semantics.rules.netfilter import AddressType, Hook, State
from compiler.snapshot import Snapshot
from grammar.source import Span

_ANYONE = Anyone()
_FIRST = (State.NEW, State.RELATED)
_LOOPBACK = {4: (int(ip_address("127.0.0.0")), int(ip_address("127.255.255.255"))), 6: (1, 1)}
_NAT_SOURCE = (Snat, Masquerade, KeepSource)
#: For what nat gives without naming an address.
OWN = "the node's own"


@dataclass(frozen=True, slots=True)
class Travelling:
    """A packet on its way. `input` is "" for what the node sends; `local`: the node's addresses; `syn`, `back`: whether
    it begins a TCP connection, and has a way back by `input`. Addresses that nat does not name are `OWN`."""

    packet: Packet
    input: str
    output: str
    state: State = State.NEW
    mark: int = 0
    local: frozenset[str] = frozenset()
    syn: bool = False
    back: bool = True
    source: str = ""
    destination: str = ""
    rewritten: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gone: bool = False

    @property
    def sent(self) -> bool:
        return not self.input

    def is_local(self, source: bool) -> bool:
        given, text = (self.source, self.packet.src) if source else (self.destination, self.packet.dst)
        return given == OWN or text in self.local or ip_address(text).is_loopback


#: What becomes of a packet, and how likely.
Fates = list[tuple[Fraction, Travelling]]


class TableOracle:
    """Of a program and a cluster. `exempt`: rules of a failsafe, which no statement of raw drops."""

    def __init__(self, program: Program, snapshot: Snapshot, exempt: Sequence[Rule] = ()) -> None:
        self._program, self._exempt = program, exempt
        self._snapshot = snapshot
        self._cases = RuleCases(Oracle((), snapshot), snapshot)

    def fates(self, packet: Travelling) -> Fates:
        """On its whole way; routing asks whether the destination is the node's own."""
        if packet.sent:
            hooks = [Hook.OUTPUT, Hook.POSTROUTING]
            return self._through(hooks, [(Fraction(1), packet)])
        found = []
        for share, one in self._through([Hook.PREROUTING], [(Fraction(1), packet)]):
            if one.gone:
                found.append((share, one))
            elif one.is_local(source=False):
                found += self._through([Hook.INPUT], [(share, one)])
            else:
                header = replace(one.packet, hop_limit=max(one.packet.hop_limit - 1, 0))
                found += self._through([Hook.FORWARD, Hook.POSTROUTING], [(share, replace(one, packet=header))])
        return found

    def at(self, hook: Hook, one: Travelling, nat: bool) -> Fates:
        """At one hook, as it comes there."""
        if nat:
            return _first_of(self._nat(one, hook), one)
        return _certainly(self._mangled(self._raw(one, hook), hook))

    def _through(self, hooks: Iterable[Hook], fates: Fates) -> Fates:
        for hook in hooks:
            for nat in (False, True):
                fates = [(share * odds, after) for share, one in fates for odds, after in self.at(hook, one, nat)]
        return fates

    # raw and mangle

    def _raw(self, one: Travelling, hook: Hook) -> Travelling:
        if hook not in (Hook.PREROUTING, Hook.OUTPUT):
            return one
        saved = any(self._is_about(rule, one, hook) for rule in self._exempt)
        for statement in self._program.raw:
            match statement:
                case Notrack(flow=flow) if self._flows(flow, one, hook):
                    one = replace(one, state=State.UNTRACKED)
                case DropFlow(flow=flow) if not saved and self._flows(flow, one, hook):
                    return replace(one, gone=True)
                case DropFrom(source=source, spoofed=spoofed) if hook is Hook.PREROUTING and not saved:
                    if self._from(source, one, hook) and not (spoofed and one.back):
                        return replace(one, gone=True)
        return one

    def _mangled(self, one: Travelling, hook: Hook) -> Travelling:
        for statement in () if one.gone else self._program.mangle:
            if isinstance(statement, Mark):
                if any(self._goes(*way, one, hook) for way in _both(statement.flow) if hook in _of_mark(way[1])):
                    one = replace(one, mark=one.mark & ~statement.mask | statement.value)
            elif isinstance(statement, Dscp | Ttl | Mss):
                clamp = isinstance(statement, Mss) and statement.size is None
                hooks = (Hook.FORWARD, Hook.OUTPUT) if clamp else (Hook.FORWARD, Hook.OUTPUT, Hook.INPUT)
                if hook in hooks and self._flows(statement.flow, one, hook):
                    one = _done(statement, one)
        return one

    # nat

    def _nat(self, one: Travelling, hook: Hook) -> Fates | None:
        """None where nothing decides."""
        if one.gone or one.state not in _FIRST or hook in (Hook.FORWARD, Hook.INPUT):
            return None
        return self._listed(self._program.nat, one, hook, False)[0]

    def _listed(
        self, items: Sequence[Statement], one: Travelling, hook: Hook, admitted: bool
    ) -> tuple[Fates | None, bool]:
        """What the first that decides makes of it; and whether it has left the list before."""
        for statement in items:
            assert not isinstance(statement, Mark | Rule), "one decision, and no more"
            if isinstance(statement, NatWithin):
                if self._is_about(statement, one, hook, admitted):
                    by_name = admitted or self._end(statement.source, one, hook, source=True)[1]
                    found, _ = self._listed(statement.items, one, hook, by_name)
                    if found is not None:
                        return found, False
            elif (hook is Hook.POSTROUTING) is isinstance(statement, _NAT_SOURCE):
                found = self._decided(statement, one, hook, admitted)
                if found is not None:
                    return found, False
        return None, False

    def _decided(self, statement: Statement, one: Travelling, hook: Hook, admitted: bool) -> Fates | None:
        assert isinstance(statement, Conditional), "a statement of nat"
        if not self._meets(statement, one):
            return None
        header = one.packet
        match statement:
            case Dnat(source=source, to=to, ports=ports, target=target, port=port):
                if to is None and not _is_own_address(one):
                    return None
                if not self._goes(source, to or _ANYONE, ports, False, one, hook, admitted):
                    return None
                choices = self._addresses(target, header.version)
                dport = header.dport if port is None else port
                share = Fraction(1, len(choices) or 1)
                return [(share, replace(one, packet=replace(header, dst=a, dport=dport))) for a in choices] or None
            case Redirect(flow=flow, port=port) if self._connects(flow, one, hook, admitted):
                return _certainly(replace(one, packet=replace(header, dport=port), destination=OWN))
            case Snat(flow=flow, address=address) if self._connects(flow, one, hook, admitted):
                if address.version == header.version:
                    return _certainly(replace(one, packet=replace(header, src=str(address))))
            case Masquerade(flow=flow) if self._connects(flow, one, hook, admitted):
                return _certainly(replace(one, source=OWN))
            case KeepSource(flow=flow) if self._connects(flow, one, hook, admitted):
                return _certainly(one)
        return None

    def _addresses(self, target: End, version: int) -> list[str]:
        """Everybody that the end has, among all that the input knows or the end names."""
        known = {address for pod in self._snapshot.pods for address in pod.ips}
        known |= {address for node in self._snapshot.nodes.values() for address in node.own_ips}
        known |= {str(getattr(part, "first", "")) for part in every_part(target)} - {""}
        mine = [text for text in known if ip_address(text).version == version]
        here = (Travelling(Packet(text, text, 0), "eth0", "eth0") for text in sorted(mine))
        return [one.packet.dst for one in here if any(self._end(target, one, Hook.FORWARD, source=False))]

    # What is asked

    def _flows(self, flow: Flow, one: Travelling, hook: Hook) -> bool:
        """Of packets: the way back has the ports at its source."""
        return any(self._goes(*way, one, hook) for way in _both(flow))

    def _connects(self, flow: Flow, one: Travelling, hook: Hook, admitted: bool) -> bool:
        """Of connections: either way they have the same destination ports."""
        ways = [(source, target, ports, False) for source, target, ports, _ in _both(flow)]
        return any(self._goes(*way, one, hook, admitted) for way in ways)

    def _goes(
        self,
        source: End,
        target: End,
        ports: Ports,
        back: bool,
        one: Travelling,
        hook: Hook,
        admitted: bool = False,
    ) -> bool:
        if hook is Hook.FORWARD and (isinstance(source, ThisNode) or isinstance(target, ThisNode)):
            return False
        if not self._from(source, one, hook, admitted) or not any(self._end(target, one, hook, source=False)):
            return False
        header = one.packet
        if back:
            header = replace(header, src=header.dst, dst=header.src, sport=header.dport, dport=header.sport)
        return self._asks(_asking(ports=ports), header, one)

    def _is_about(self, rule: Rule | NatWithin, one: Travelling, hook: Hook, admitted: bool = False) -> bool:
        plain, named = self._end(rule.source, one, hook, source=True)
        if rule.unless is not None and any(self._end(rule.unless, one, hook, source=True)):
            return False
        if not (named or (plain and _may(one, hook, admitted))):
            return False
        return any(self._end(rule.target, one, hook, source=False)) and (
            self._asks(_asking(ports=rule.ports), one.packet, one) and self._meets(rule, one)
        )

    def _meets(self, statement: Conditional, one: Travelling) -> bool:
        asked = {name: getattr(statement, name) for name in ("text", "span", *Conditional.model_fields)}
        return self._asks(_asking(**asked), one.packet, one)

    def _asks(self, rule: Rule, header: Packet, one: Travelling) -> bool:
        return self._cases.matches(rule, Case(Path.FORWARD, header, one.state, mark=one.mark))

    def _from(self, source: End, one: Travelling, hook: Hook, admitted: bool = False) -> bool:
        plain, named = self._end(source, one, hook, source=True)
        return named or (plain and _may(one, hook, admitted))

    def _end(self, end: End, one: Travelling, hook: Hook, source: bool) -> tuple[bool, bool]:
        """Whether the packet is of the end without asking for an interface, and whether it is where one is asked."""
        match end:
            case Anyone():
                return True, False
            case ThisNode():
                if hook is Hook.PREROUTING and source:
                    return False, False
                return hook is (Hook.OUTPUT if source else Hook.INPUT) or one.is_local(source), False
            case Interfaces(names=names):
                known = not one.sent if source else hook in (Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING)
                name = one.input if source else one.output
                return False, known and any(
                    name.startswith(text[:-1]) if text[-1:] == "*" else name == text for text in names
                )
            case Either(ends=ends):
                found = [self._end(part, one, hook, source) for part in ends]
                return any(plain for plain, _ in found), any(named for _, named in found)
            case Both(ends=ends):
                found = [self._end(part, one, hook, source) for part in ends]
                by_name = any(named for _, named in found) and all(any(pair) for pair in found)
                return all(plain for plain, _ in found), by_name
            case Less(end=inner, without=without):
                kept = not any(self._end(without, one, hook, source))
                plain, named = self._end(inner, one, hook, source)
                return plain and kept, named and kept
            case _:
                if (one.source if source else one.destination) == OWN:
                    return False, False
                sides = {"source": end} if source else {"target": end}
                kinds = [AddressType.LOCAL if one.is_local(way) else _kind(text) for way, text in _ends(one)]
                return self._cases.matches(
                    _asking(**sides), Case(Path.FORWARD, one.packet, State.NEW, kinds[0], kinds[1])
                ), False


def _asking(**asked: object) -> Rule:
    """A rule that asks this and nothing else."""
    given = {"text": "", "span": Span("", 1, 1, 1, 1), "verb": "pass", "source": _ANYONE, "target": _ANYONE, **asked}
    return Rule.model_construct(**given)  # type: ignore[arg-type]


def _first_of(fates: Fates | None, one: Travelling) -> Fates:
    return _certainly(one) if fates is None else fates


def _certainly(one: Travelling) -> Fates:
    return [(Fraction(1), one)]


def _may(one: Travelling, hook: Hook, admitted: bool) -> bool:
    """What came by lo is the node's own, and was asked when it was sent."""
    return hook is not Hook.PREROUTING or one.input != "lo" or admitted


def _both(flow: Flow) -> Iterator[tuple[End, End, Ports, bool]]:
    source, target = flow.source or _ANYONE, flow.target or _ANYONE
    yield source, target, flow.ports, False
    if flow.both_ways:
        yield target, source, flow.ports, True


def _of_mark(target: End) -> tuple[Hook, Hook]:
    by_name = any(isinstance(part, Interfaces) for part in every_part(target))
    return Hook.FORWARD if by_name else Hook.PREROUTING, Hook.OUTPUT


def _is_own_address(one: Travelling) -> bool:
    first, last = _LOOPBACK[one.packet.version]
    return one.is_local(source=False) and not first <= int(ip_address(one.packet.dst)) <= last


def _ends(one: Travelling) -> list[tuple[bool, str]]:
    return [(True, one.packet.src), (False, one.packet.dst)]


def _kind(text: str) -> AddressType:
    if ip_address(text).is_multicast:
        return AddressType.MULTICAST
    return AddressType.BROADCAST if text == "255.255.255.255" else AddressType.UNICAST


def _done(statement: Dscp | Ttl | Mss, one: Travelling) -> Travelling:
    match statement:
        case Dscp(value=value):
            return _rewritten(one, "DSCP", str(value))
        case Ttl(change=change, amount=amount):
            left = one.packet.hop_limit
            to = {"set": amount, "dec": max(0, left - amount), "inc": min(255, left + amount)}[change]
            return replace(one, packet=replace(one.packet, hop_limit=to))
        case Mss(size=size):
            if one.packet.proto != TCP or not one.syn:
                return one
            return _rewritten(one, "MSS", f"tcp option maxseg size set {'rt mtu' if size is None else size}")


def _rewritten(one: Travelling, what: str, text: str) -> Travelling:
    return replace(one, rewritten={**one.rewritten, what: (*one.rewritten.get(what, ()), text)})
