"""A state of a case as netpolc sees it: loaded by the real loader, its rows as packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Ruleset
from compiler.pipeline import Compiler
from compiler.resources.cluster import Pod
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import SCTP, TCP, UDP, Packet, connection
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.conformance.cases import Row, State
from tests.kernel.rig import BACKEND
from tests.property.crossings import Wiring

_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}


class Judged:
    """What every judge needs of a state."""

    def __init__(self, state: State) -> None:
        found = load([("case.json", state.repaired)])
        self.policies = found.policies
        referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
        self.snapshot = build(found.pods, found.namespaces, found.nodes, referred)
        self.wiring = Wiring(self.snapshot)
        self._pods = {f"{pod.namespace}/{pod.name}": pod for pod in self.snapshot.pods}
        self.rows = tuple(self._with_packets(state.rows))

    @cached_property
    def oracle(self) -> Oracle:
        return Oracle([found.value for found in self.policies], self.snapshot)

    @cached_property
    def _compiler(self) -> Compiler:
        return Compiler(self.policies, self.snapshot)

    def files(self, node: str, flavour: str) -> Mapping[str, str]:
        """What a node gets."""
        return self._compiler.compile(Target(Backend(BACKEND[flavour]), node)).files

    def ruleset(self, node: str, backend: Backend) -> Ruleset:
        """The same before it becomes text."""
        return self._compiler.compile(Target(backend, node)).ruleset

    def _with_packets(self, rows: tuple[Row, ...]) -> Iterator[tuple[Row, Packet]]:
        """A connection has one family: the row's own, else IPv4 where both ends have it."""
        for number, row in enumerate(rows):
            ends = self._addresses(row.source), self._addresses(row.destination)
            both = [{6 if ":" in address else 4 for address in end} for end in ends]
            version = row.version or min(both[0] & both[1])
            source, destination = (next(a for a in end if (":" in a) == (version == 6)) for end in ends)
            yield row, connection(source, destination, _PROTOCOLS[row.protocol], row.port, number)

    def _addresses(self, end: str) -> tuple[str, ...]:
        if end.startswith("ip:"):
            return (end[3:],)
        if end.startswith("node:"):
            return self.snapshot.nodes[end[5:]].ips
        pod: Pod = self._pods[end]
        return pod.ips
