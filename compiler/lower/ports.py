"""Port sets as chains: what is left to ask once the addresses are settled.

A port chain returns for what is allowed and goes to `deny` for the rest. Equal port sets share one chain, whatever
class or direction asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.backends.target import Capabilities
from compiler.ir.match import ICMP, WITH_PORTS, Field, IcmpType, InSet, IsProtocol, ToAnyPort, ToPorts
from compiler.ir.names import Namer
from compiler.ir.ruleset import Chain, Goto, Return, Rule, Set, Verdict
from compiler.lower.deny import DENY
from compiler.lower.notes import shortened
from compiler.net import ALL_PORTS, EVERY_PORT, NO_PORTS, Intervals, PortSet, subtract
from compiler.policy import Origin


class PortChains:
    """Makes verdicts for port sets, and collects the chains and sets that they need."""

    def __init__(self, namer: Namer, capabilities: Capabilities) -> None:
        self._namer = namer
        self._capabilities = capabilities
        self._chains: dict[PortSet, Chain] = {}
        self._users: dict[PortSet, dict[str, tuple[Origin, ...]]] = {}
        self.sets: list[Set] = []

    @property
    def chains(self) -> tuple[Chain, ...]:
        """The chains made so far, in the order of their first use; they say which chains ask them, and why."""
        return tuple(self._with_users(chain, self._users[ports]) for ports, chain in self._chains.items())

    @staticmethod
    def _with_users(chain: Chain, users: Mapping[str, tuple[Origin, ...]]) -> Chain:
        origins = tuple(dict.fromkeys(origin for found in users.values() for origin in found))
        rules = tuple(replace(rule, origins=origins) for rule in chain.rules)
        return replace(chain, rules=rules, notes=(*chain.notes, f"asked by {shortened(list(users))}"))

    def verdict(self, ports: PortSet, user: str, origins: tuple[Origin, ...]) -> Verdict:
        """What to do with a packet whose addresses allow these ports and no others. `user` is the chain that asks,
        on behalf of these policies."""
        if ports not in (NO_PORTS, ALL_PORTS):
            if ports not in self._chains:
                key = str(ports) if ports.apart else repr(ports)
                name = self._namer.name("p", str(ports).replace("everything", ""), key)
                self._chains[ports] = Chain(name, tuple(self._rules(name, ports)), notes=(f"allows {ports}",))
            self._users.setdefault(ports, {})[user] = origins
        return self.known(ports)

    def known(self, ports: PortSet) -> Verdict:
        """The verdict that was made for these ports."""
        if ports == NO_PORTS:
            return Goto(DENY)
        return Return() if ports == ALL_PORTS else Goto(self._chains[ports].name)

    def _rules(self, name: str, ports: PortSet) -> Iterator[Rule]:
        # Whichever list is finite and short: what is allowed, or, where all other protocols pass, what is not.
        hit: Verdict
        rest: Verdict
        if ports.other:
            listed, hit, rest = ALL_PORTS - ports, Goto(DENY), Return()
        else:
            listed, hit, rest = ports, Return(), Goto(DENY)
        single = [(protocol, low) for protocol, low, high in listed.items() if low == high]
        ranges = [item for item in listed.items() if item[1] != item[2]]
        if self._capabilities.multiport:
            yield from self._multiport(listed, hit)
        elif len(single) > self._capabilities.inline_ports:
            self.sets.append(Set(name, None, (Field.PROTOCOL, Field.PORT), tuple(single)))
            yield Rule((InSet((Field.PROTOCOL, Field.PORT), name),), hit)
            yield from (Rule((ToPorts(*item),), hit) for item in ranges)
        else:
            yield from (Rule((ToPorts(*item),), hit) for item in listed.items())
        for protocol, spans in listed.apart:
            yield from self._apart(protocol, spans, hit, rest)
        yield Rule((), rest)

    def _apart(self, protocol: int, spans: Intervals, hit: Verdict, rest: Verdict) -> Iterator[Rule]:
        """Rules for a protocol that only programs name: some of its ports or types of messages, or all of it."""
        family = next((family for family, number in ICMP.items() if number == protocol), None)
        if family is not None and spans != EVERY_PORT:
            whole = spans[-1][1] == EVERY_PORT[0][1]  # of messages: all but some types
            types = subtract(EVERY_PORT, spans) if whole else spans
            for kind in (kind for low, high in types for kind in range(low, high + 1)):
                yield Rule((IcmpType(family, kind),), rest if whole else hit, family)
            if not whole:
                return
        if protocol not in WITH_PORTS:
            yield Rule((IsProtocol(protocol),), hit)
        elif self._capabilities.multiport:
            yield from (_ports_rule(protocol, batch, hit) for batch in batches(spans, self._capabilities.multiport))
        else:
            yield from (Rule((ToPorts(protocol, *span),), hit) for span in spans)

    def _multiport(self, listed: PortSet, hit: Verdict) -> Iterator[Rule]:
        """As few rules as the limit of ports a rule allows; a range counts as two (xt_multiport)."""
        for protocol in sorted({item[0] for item in listed.items()}):
            spans = [(low, high) for own, low, high in listed.items() if own == protocol]
            for batch in batches(spans, self._capabilities.multiport):
                yield _ports_rule(protocol, batch, hit)


def batches(spans: Sequence[tuple[int, int]], limit: int) -> Iterator[list[tuple[int, int]]]:
    """The spans in parts of at most `limit` ports, where a span of several counts two."""
    batch: list[tuple[int, int]] = []
    for low, high in spans:
        if sum(1 + (a != b) for a, b in [*batch, (low, high)]) > limit:
            yield batch
            batch = []
        batch.append((low, high))
    if batch:
        yield batch


def _ports_rule(protocol: int, spans: list[tuple[int, int]], verdict: Verdict) -> Rule:
    if len(spans) == 1:
        return Rule((ToPorts(protocol, *spans[0]),), verdict)
    return Rule((ToAnyPort(protocol, tuple(spans)),), verdict)
