"""Whether the numbers of rules and elements are ones that the kernel's headers and tables can hold."""

from __future__ import annotations

from operator import itemgetter

from compiler.ir.effects import Effect, Log, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import (
    WITH_PORTS,
    Field,
    FromPorts,
    HasBit,
    HasMark,
    Hops,
    IcmpType,
    InState,
    IsProtocol,
    Match,
    OneIn,
    Rate,
    ToAnyPort,
    ToPorts,
    WithinRate,
)
from compiler.ir.nat import Dnat, Redirect, Snat
from compiler.ir.ruleset import PrefixMap, PrefixSet, Reject, Set, Verdict
from compiler.net import Family

#: The largest numbers of what an element may hold beside addresses.
_TOPS = {Field.PROTOCOL: 255, Field.PORT: 65535}
_NUMBERED = (Dnat, Snat, Reject, Redirect)
#: Of a rate: nft counts in nanoseconds.
_MOST = 1_000_000_000


def check_verdict(verdict: Verdict, where: str, family: Family | None) -> None:
    """AssertionError when a number in it is out of bounds, or it needs a family that the rule has not."""
    if isinstance(verdict, _NUMBERED):
        _check_numbered(verdict, where, family)


def check_effect(effect: Effect, where: str) -> None:
    """AssertionError when a number in it is out of bounds."""
    assert _in_bounds(effect), f"{where}: {effect} is out of bounds"


def check_match(match: Match, where: str, family: Family | None) -> None:
    """AssertionError when a number in it is out of bounds, or it needs a family that the rule has not."""
    if isinstance(match, HasBit):
        assert family is not None, f"{where}: a bit of an address without family"
        assert 0 <= match.bit < family.bits, f"{where}: no such bit in an address of the family"
    elif isinstance(match, Hops):
        assert family, f"{where}: hops without family"
    assert _in_bounds(match), f"{where}: {match} is out of bounds"


def _check_numbered(verdict: Dnat | Snat | Reject | Redirect, where: str, family: Family | None) -> None:
    match verdict:
        case Dnat(address) | Snat(address):
            assert family is not None, f"{where}: an address without family"
            assert 0 <= address < 1 << family.bits, f"{where}: no address of the family"
        case Reject(answer):
            assert answer.family in (None, family), f"{where}: {answer.value} is of the other family"
        case Redirect():
            pass
    match verdict:
        case Dnat(_, int(port)) | Redirect(port):
            assert 1 <= port <= 65535, f"{where}: no port"
        case _:
            pass


def check_members(found: Set | PrefixSet | PrefixMap) -> None:
    """AssertionError when a number of an element is out of its field's bounds, a port stands beside a protocol that
    has none, or a prefix has bits behind its length."""
    bits = 0 if found.family is None else found.family.bits
    top = (1 << bits) - 1
    if not isinstance(found, Set):
        for (_, base, length), _ in found.elements:
            fits = 0 <= length <= bits and 0 <= base <= top and not base & top >> length
            assert fits, f"{found.name}: no prefix of the family"
        return
    for n, field in enumerate(found.key if found.elements else ()):
        column = set(map(itemgetter(n), found.elements))
        fits = min(column) >= 0 and max(column) <= _TOPS.get(field, top)
        assert fits, f"{found.name}: a {field.value} is out of bounds"
        if field is Field.PROTOCOL and Field.PORT in found.key:
            assert WITH_PORTS.issuperset(column), f"{found.name}: a port of a protocol that has none"


def _in_bounds(part: Match | Effect) -> bool:
    match part:
        case ToPorts(protocol, first, last) | FromPorts(protocol, first, last):
            return protocol in WITH_PORTS and 0 <= first <= last <= 65535
        case ToAnyPort(protocol, spans):
            return protocol in WITH_PORTS and all(0 <= low <= high <= 65535 for low, high in spans)
        case IsProtocol(protocol):
            return 1 <= protocol <= 255
        case IcmpType(_, number, code):
            return 0 <= number <= 254 and 0 <= (code or 0) <= 255
        case HasMark(value, mask) | SetMark(value, mask):
            return 0 <= value <= mask <= 0xFFFFFFFF and not value & ~mask
        case InState(states):
            return bool(states) and len(set(states)) == len(states)
        case Hops(first, last):
            return 0 <= first <= last <= 255
        case SetDscp(value):
            return 0 <= value <= 63
        case Ttl(step, value):
            return (0 if step is Step.SET else 1) <= value <= 255
        case SetMss(size):
            return 1 <= size <= 65535
        case OneIn(of):
            return 1 <= of <= 65536
        case WithinRate(rate):
            return _is_rate(rate)
        case Log(_, group, limit):
            return (group is None or 0 <= group <= 65535) and (limit is None or _is_rate(limit))
        case _:
            return True


def _is_rate(rate: Rate) -> bool:
    return 1 <= rate.count <= _MOST and 1 <= rate.burst <= _MOST
