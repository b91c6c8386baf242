"""What weighs most for what it costs: a maximum closure by a minimum cut, in exact integers.

Jobs of a set whose weight is above the set's ratio of weight to cost have a surplus, the others a deficit. A surplus
may flow to the deficits of all that must come before it. When no more can flow, the surpluses that are left, and all
that their flow could have reached, are the initial part of the set with the greatest surplus: a minimum cut. The
network is a transport from jobs with surplus to jobs with deficit over the transitive closure, so that paths are short
and the frontier of a search is a set.

Reference: J.-C. Picard, "Maximal closure of a graph and applications to combinatorial problems" (1976); the blocking
flows are those of Dinic (1970).
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.ordering.bits import members


class Transport:
    """The maximum flow of the set `inside` of jobs. `before`: all that comes before each job."""

    def __init__(self, inside: int, before: Sequence[int], weights: Sequence[int], costs: Sequence[int]) -> None:
        jobs = members(inside)
        weight, cost = sum(weights[job] for job in jobs), sum(costs[job] for job in jobs)
        #: Amounts by job with a deficit, by job with a surplus, in units of weight times cost.
        self.flow: dict[int, dict[int, int]] = {}
        self._inside, self._before = inside, before
        self._surplus: dict[int, int] = {}
        self._deficit: dict[int, int] = {}
        self._senders: dict[int, int] = {}
        lacking = self._open = self._active = 0
        for job in jobs:
            value = weights[job] * cost - costs[job] * weight
            if value > 0:
                self._surplus[job] = value
                self._active |= 1 << job
            elif value < 0:
                self._deficit[job] = -value
                self._senders[job] = 0
                self.flow[job] = {}
                lacking |= 1 << job
        self._open = lacking
        self._below = {job: before[job] & lacking for job in self._surplus}
        self._begin()
        while self._search():
            self._block()

    def initial(self) -> int:
        """The jobs of the maximum closure; empty when no initial part is above the ratio of all."""
        found = self._reached
        for job in members(found & ~self._lacking()):
            found |= self._before[job] & self._inside
        return found if self._active else 0

    def senders(self, job: int) -> int:
        """The jobs whose surplus flows to this one."""
        return self._senders.get(job, 0)

    def _lacking(self) -> int:
        found = 0
        for job in self._deficit:
            found |= 1 << job
        return found

    def _begin(self) -> None:
        """What flows without moving other flow, those with the least choice first."""
        for job in sorted(self._surplus, key=lambda job: self._below[job].bit_count()):
            ends = self._below[job] & self._open
            while ends and self._surplus[job]:
                end = ends.bit_length() - 1
                ends ^= 1 << end
                amount = min(self._surplus[job], self._deficit[end])
                self._surplus[job] -= amount
                self._fill(job, end, amount)
            if not self._surplus[job]:
                self._active &= ~(1 << job)

    def _fill(self, job: int, end: int, amount: int) -> None:
        self._deficit[end] -= amount
        if not self._deficit[end]:
            self._open &= ~(1 << end)
        self._send(job, end, amount)

    def _send(self, job: int, end: int, amount: int) -> None:
        self.flow[end][job] = self.flow[end].get(job, 0) + amount
        self._senders[end] |= 1 << job

    def _search(self) -> bool:
        """Layers of jobs with surplus and of jobs with deficit, in turn, up to the first deficit that is open."""
        layer = seen = self._active
        seen_ends = 0
        self._layers: list[int] = []
        self._ends: list[int] = []
        found = False
        while layer and not found:
            ends = 0
            for job in members(layer):
                ends |= self._below[job]
            ends &= ~seen_ends
            seen_ends |= ends
            self._layers.append(layer)
            self._ends.append(ends)
            found = bool(ends & self._open)
            layer = 0
            if not found:
                for end in members(ends):
                    layer |= self._senders[end]
                layer &= ~seen
                seen |= layer
        self._reached = seen | seen_ends
        if found:
            self._ends[-1] &= self._open
        return found

    def _block(self) -> None:
        """Sends along the layers until every way through them is full."""
        for job in members(self._active):
            while self._surplus[job]:
                amount = self._through(job, 0, self._surplus[job])
                self._surplus[job] -= amount
                if not amount:
                    break
            if not self._surplus[job]:
                self._active &= ~(1 << job)

    def _through(self, job: int, depth: int, most: int) -> int:
        """Sends up to `most` from a job of a layer; what went. Jobs that nothing passes leave their layer."""
        sent = 0
        while sent < most:
            ends = self._below[job] & self._ends[depth]
            if not ends:
                break
            end = ends.bit_length() - 1
            if depth == len(self._ends) - 1:
                amount = min(most - sent, self._deficit[end])
                self._fill(job, end, amount)
                self._ends[depth] &= self._open
            else:
                amount = self._instead(end, depth, most - sent)
                if amount:
                    self._send(job, end, amount)
            sent += amount
        return sent

    def _instead(self, end: int, depth: int, most: int) -> int:
        """Makes room at a full deficit: who sends there sends elsewhere."""
        freed, flow = 0, self.flow[end]
        while freed < most:
            others = self._senders[end] & self._layers[depth + 1]
            if not others:
                self._ends[depth] &= ~(1 << end)
                break
            other = others.bit_length() - 1
            amount = self._through(other, depth + 1, min(most - freed, flow[other]))
            if not amount:
                self._layers[depth + 1] &= ~(1 << other)
                continue
            flow[other] -= amount
            if not flow[other]:
                del flow[other]
                self._senders[end] &= ~(1 << other)
            freed += amount
        return freed
