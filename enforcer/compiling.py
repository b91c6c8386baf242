"""What should be in force on a node: everything compiled from scratch, and proved before anybody may load it.

A ruleset that does not mean what the policies say is never loaded. The pods of the packets that tell are closed: nobody
else's rules need wait for a defect of netpolc, and no packet gets through by one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from compiler.analysis.proof import Proof, Prover
from compiler.backends.target import Target
from compiler.errors import NetpolcError
from compiler.live.batch import Batch
from compiler.pipeline import Artifacts, Compiler
from compiler.resources.cluster import Pod
from compiler.resources.language import Program
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from enforcer.picture import Closed, Objects, Picture, View, barring
from enforcer.plan import Desired, Wanted, whole
from enforcer.sources.source import Problem

#: So many times pods are closed because of what a proof found; then the rules that are there stay.
ROUNDS = 8


class Mismatch(NetpolcError):
    """Rules that do not mean what the policies say, also with the pods closed that packets were found for. A defect of
    netpolc; `witnesses` are for its report."""

    def __init__(self, witnesses: Sequence[str]) -> None:
        self.witnesses = tuple(witnesses)
        super().__init__("the rules do not mean what the policies say; this is a defect of netpolc")


@dataclass(frozen=True, slots=True)
class Compiled:
    """`desired` is proved when `proved` says so; `view` is what it was made of. `remarks`: what somebody must know;
    `problems`: what is wrong. `barred`: addresses that are closed because of `witnesses`, in words; empty when nothing
    was found."""

    desired: Wanted
    view: View
    remarks: tuple[str, ...]
    proved: bool
    barred: frozenset[str] = frozenset()
    witnesses: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class Whole:
    """Compiles everything each time. `closed`: addresses that nobody has are closed. `proving` False: nothing is
    proved, for whoever asked for it."""

    def __init__(self, target: Target, closed: Closed | None = None, proving: bool = True) -> None:
        assert target.node is not None, "the daemon is a node's"
        self._target, self._node, self._proving = target, target.node, proving
        self._picture, self._closed = Picture(closed), closed

    def take(self, batch: Batch, program: Program) -> Compiled:
        """The rules of the node, with what has changed. What was taken stays taken whatever is raised: as by
        `compile`."""
        self._picture.take(batch)
        return self.made(program)

    def keep(self, batch: Batch) -> None:
        """Takes a batch that somebody else makes rules of."""
        self._picture.take(batch)

    def objects(self) -> Objects:
        """Policies and cluster, as they were taken."""
        return self._picture.policies, self._picture.snapshot()

    def made(self, program: Program) -> Compiled:
        """The rules of the node as it is known. Raises as `compile` does."""
        made = self.compile(*self.objects(), program)
        return replace(made, remarks=made.remarks + self.left_open(), problems=self.lost())

    def lost(self) -> tuple[Problem, ...]:
        """What is wrong where nobody in the cluster knows this node: its name is mostly a mistake, and then the rules
        are about no pod at all."""
        if self._picture.knows(self._node):
            return ()
        return (
            Problem(f"node {self._node}", "the cluster has neither a node nor a pod of this node: is --node right?"),
        )

    def left_open(self) -> tuple[str, ...]:
        """What is to be said of addresses that nobody knows yet."""
        closed = self._closed
        if closed is None or closed.ranges or ((node := self._picture.node(closed.node)) and node.pod_cidrs):
            return ()
        name = closed.node
        return (f"node {name} has no podCIDRs: pods that nobody knows yet are not denied (--pod-range says where)",)

    def compile(self, policies: Sequence[Located], snapshot: Snapshot, program: Program) -> Compiled:
        """The rules of the node. Raises NetpolcError for a program that cannot be compiled, NotProved for rules of
        which nothing can be said, Mismatch."""
        barred: frozenset[str] = frozenset()
        witnesses: tuple[str, ...] = ()
        for _ in range(ROUNDS):
            seen = barring(snapshot, self._node, barred) if barred else snapshot
            compiler = Compiler(policies, seen, program)
            made = compiler.compile(self._target)
            proof = self._proof(policies, seen, program, made)
            if proof is None or proof.equal:
                desired = Desired(whole(made.files))
                view = View(tuple(policies), snapshot, program, made.ruleset)
                return Compiled(desired, view, tuple(compiler.remarks()), proof is not None, barred, witnesses)
            witnesses += proof.witnesses
            more = self._concerned(proof, snapshot) - barred
            if not more:
                break
            barred |= more
        raise Mismatch(witnesses)

    def _proof(
        self, policies: Sequence[Located], snapshot: Snapshot, program: Program, made: Artifacts
    ) -> Proof | None:
        if not self._proving:
            return None
        prover = Prover(policies, snapshot, program)
        families = [family.value for family in made.target.families]
        return prover.prove(self._node, made.files.items(), families, made.failsafe, made.exempt, made.target.mark_mask)

    def _concerned(self, proof: Proof, snapshot: Snapshot) -> frozenset[str]:
        """Addresses of this node's pods that packets of the proof come from or go to, and of pods like them: what is
        wrong for one is wrong for all that no policy tells from it."""
        ours = [pod for pod in snapshot.pods if pod.node == self._node and pod.holds_addresses]
        alike = {_kind(pod) for pod in ours if not proof.ends.isdisjoint(pod.ips)}
        return frozenset(address for pod in ours if _kind(pod) in alike for address in pod.ips)


def _kind(pod: Pod) -> Hashable:
    return pod.namespace, frozenset(pod.labels.items())
