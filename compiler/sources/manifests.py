"""Manifests -> resources: the objects of YAML and JSON files, validated, with the places they were written at.

Every problem of every file is reported together. What netpolc has no use for is passed over and counted; a policy
is never passed over because its kind or version is misspelt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from compiler.errors import Collector, Diagnostic, Severity
from compiler.resources import AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy, NetworkPolicy
from compiler.resources.cluster import Namespace, Node, Pod, Service
from compiler.resources.validation import validate
from compiler.sources import cluster, fields
from compiler.sources.fields import Report
from grammar.manifest import documents
from grammar.source import Span
from grammar.tree import Packed, Path, Tree

AnyPolicy = NetworkPolicy | ClusterNetworkPolicy | AdminNetworkPolicy | BaselineAdminNetworkPolicy

POLICIES = frozenset({"NetworkPolicy", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"})
#: API groups of other projects that have a NetworkPolicy of their own: not ours to read, as little as any other kind.
FOREIGN = ("projectcalico.org", "antrea.io")
#: Characters of a policy: kube-apiserver's limit for a request is 3 MiB.
LARGEST = 3 << 20
#: Kind -> its API group, for what is read beside policies.
_GROUPS = {
    **dict.fromkeys(["Pod", "Namespace", "Node", "Service"], ""),
    **dict.fromkeys(["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"], "apps"),
    **dict.fromkeys(["CronJob", "Job"], "batch"),
}
#: The API groups of policies, and what else is in them.
_POLICY_GROUPS = frozenset({"networking.k8s.io", "policy.networking.k8s.io"})
_POLICY_NEIGHBOURS = frozenset({"ClusterCIDR", "IPAddress", "Ingress", "IngressClass", "ServiceCIDR"})
_CLUSTER_SCOPED = POLICIES - {"NetworkPolicy"} | {"Namespace", "Node"}


@dataclass(frozen=True, slots=True)
class Located:
    """A policy and where it was written. Whoever asks for several places asks one `tree` for all of them."""

    value: AnyPolicy
    written: Packed

    @property
    def tree(self) -> Tree:
        """The policy as it was written."""
        return self.written.tree()

    @property
    def span(self) -> Span:
        """The place of the whole policy."""
        return self.tree.span()

    def at(self, *path: str | int) -> Span:
        """The place of a part, by the API's field names and indexes; of the nearest part around it that exists."""
        return self.tree.span(*path)


@dataclass(frozen=True, slots=True)
class Manifests:
    """What was found, in the order of the input. `templates` are the pod templates of workloads; `spaces` says by
    name where a namespace is written; `skipped` counts by kind what was passed over."""

    policies: tuple[Located, ...] = ()
    pods: tuple[Pod, ...] = ()
    templates: tuple[Pod, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    spaces: Mapping[str, Packed] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()


def load(texts: Iterable[tuple[str, bytes]], *, lenient: bool = False) -> Manifests:
    """Everything in these texts, each with the name that messages give it. `lenient`: unknown fields outside spec
    and CIDRs with host bits only warn. Raises InvalidInput with every problem of the run."""
    loader = _Loader(lenient)
    for name, data in texts:
        for tree in documents(name, data, loader.problems.add):
            loader.take(tree)
    loader.finish()
    return loader.found()


class _Loader:
    """Collects objects and problems."""

    def __init__(self, lenient: bool) -> None:
        self.problems = Collector()
        self._lenient = lenient
        self._policies: list[Located] = []
        self._pods: list[Pod] = []
        self._templates: list[Pod] = []
        self._namespaces: list[Namespace] = []
        self._spaces: dict[str, Packed] = {}
        self._nodes: list[Node] = []
        self._services: list[Service] = []
        self._skipped: Counter[str] = Counter()
        self._waiting: list[Tree] = []
        self._places: dict[tuple[str, str, str], str] = {}
        self._holders: dict[str, tuple[Pod, str]] = {}

    def found(self) -> Manifests:
        return Manifests(
            tuple(self._policies),
            tuple(self._pods),
            tuple(self._templates),
            tuple(self._namespaces),
            self._spaces,
            tuple(self._nodes),
            tuple(self._services),
            dict(self._skipped),
            self.problems.warnings,
        )

    def take(self, tree: Tree) -> None:
        """Takes a document or an item of one; an empty document is nothing. An item without a kind waits until that
        of its list is read."""
        if tree.within is None:
            self._settle()
            if tree.value is not None:
                self._object(tree)
        elif isinstance(tree.value, dict) and "kind" not in tree.value and "kind" not in tree.within:
            self._waiting.append(tree)
        else:
            self._item(tree, tree.within)

    def finish(self) -> None:
        """Raises InvalidInput when anything was wrong."""
        self._settle()
        self.problems.check()

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        for tree in waiting:
            assert tree.within is not None
            self._item(tree, tree.within)

    def _object(self, tree: Tree) -> None:
        value = tree.value
        if not isinstance(value, dict):
            self._error(tree)((), "expected an object with apiVersion, kind and metadata", "bad-type")
            return
        kind, version = value.get("kind"), value.get("apiVersion")
        if not isinstance(kind, str) or not kind:
            code = "required" if kind is None or kind == "" else "bad-type"
            self._error(tree)(("kind",), "expected the name of a kind", code)
        elif kind.endswith("List") and "items" in value:
            self._list(tree, value)
        elif kind in POLICIES and not _foreign(version):
            self._policy(tree, kind, value)
        elif kind in _GROUPS and isinstance(version, str) and _group(version) == _GROUPS[kind]:
            self._member(tree, kind, value)
        elif kind in _GROUPS and not isinstance(version, str):
            self._error(tree)(("apiVersion",), "expected the group and version of the kind", "required")
        elif (meant := _misspelt(kind, version)) is not None:
            self._error(tree)(("kind",), meant, "unknown-kind")
        else:
            self._skipped[kind] += 1

    def _list(self, tree: Tree, value: dict[str, object]) -> None:
        items = value["items"]
        if not isinstance(items, list):
            if items is not None:
                self._error(tree)(("items",), "must be a list", "bad-type")
            return
        for n in range(len(items)):
            self._item(tree.part("items", n), value)

    def _item(self, tree: Tree, holder: Mapping[str, object]) -> None:
        """An item of a list. The list of one kind ("PodList") says kind and version for its items."""
        kind = holder.get("kind")
        if isinstance(tree.value, dict) and isinstance(kind, str) and kind != "List" and kind.endswith("List"):
            implied = {"apiVersion": holder.get("apiVersion"), "kind": kind.removesuffix("List")}
            tree.value = tree.value | {key: said for key, said in implied.items() if key not in tree.value}
        self._object(tree)

    def _policy(self, tree: Tree, kind: str, value: dict[str, object]) -> None:
        if tree.size > LARGEST:
            text = f"larger than {LARGEST >> 20} MiB, the most that an API server takes"
            self._conflict(tree, (), text, "too-large")
            return
        model, problems = validate(value, lenient=self._lenient)
        for problem in problems:
            flaw = tree.flaw(problem.path, problem.message, problem.code, on_key=problem.on_key)
            self.problems.add(flaw, Severity(problem.severity))
        if model is not None:
            self._policies.append(Located(model, tree.packed()))
            self._unique(kind, model.metadata.namespace or "default", model.metadata.name, tree)

    def _member(self, tree: Tree, kind: str, value: dict[str, object]) -> None:
        before, report = self.problems.errors, self._error(tree)
        found: Pod | None = None
        match kind:
            case "Pod":
                found = cluster.pod(value, report)
                self._pods.append(found)
            case "Namespace":
                space = cluster.namespace(value, report)
                self._namespaces.append(space)
                self._spaces[space.name] = tree.packed()
            case "Node":
                self._nodes.append(cluster.node(value, report))
            case "Service":
                self._services.append(cluster.service(value, report))
            case _:
                self._templates.append(cluster.template(kind, value, report))
        if self.problems.errors == before:
            metadata = value["metadata"]
            assert isinstance(metadata, dict), "checked"
            if self._unique(kind, metadata.get("namespace") or "default", metadata.get("name"), tree) and found:
                self._addresses(found, tree)

    def _unique(self, kind: str, namespace: str, name: str | None, tree: Tree) -> bool:
        """The API server holds one object of a kind, namespace and name: a second one would replace the first. An
        object that has yet to be given a name is like no other."""
        if not name:
            return True
        key = (kind, "" if kind in _CLUSTER_SCOPED else namespace, name)
        if key not in self._places:
            self._places[key] = tree.place
            return True
        title = f"{kind} {'/'.join(filter(None, key[1:]))}"
        text = f"{title} is already defined at {self._places[key]}"
        self._conflict(tree, ("metadata", "name"), text, "duplicate-object")
        return False

    def _addresses(self, pod: Pod, tree: Tree) -> None:
        """Two pods that hold one address contradict each other: a rule for the one would be a rule for the other."""
        if not pod.holds_addresses:
            return
        for n, address in enumerate(pod.ips):
            if address in self._holders:
                first, place = self._holders[address]
                text = f"{address} is the address of pod {first.namespace}/{first.name} already, at {place}"
                listed: Path = ("status", "podIPs", n, "ip")
                self._conflict(tree, listed if tree.has(listed) else ("status", "podIP"), text, "address-conflict")
            else:
                self._holders[address] = (pod, tree.place)

    def _error(self, tree: Tree) -> Report:
        def report(path: Path, expected: str, code: str, *, on_key: bool = False) -> None:
            message = fields.worded(tree.value, path, expected, code, on_key=on_key)
            self.problems.add(tree.flaw(path, message, code, on_key=on_key))

        return report

    def _conflict(self, tree: Tree, path: Path, message: str, code: str) -> None:
        """An error about two objects: it stands at the second one and names the first one's place."""
        self.problems.add(tree.flaw(path, message, code))


def _group(version: str) -> str:
    return version.rpartition("/")[0]


def _misspelt(kind: str, version: object) -> str | None:
    """What was to be written instead of a kind that the API server does not know and that looks like one of ours."""
    known = next((name for name in (*POLICIES, *_GROUPS) if name.lower() == kind.lower() and name != kind), None)
    if known is not None:
        return f"did you mean {known}?"
    if isinstance(version, str) and _group(version) in _POLICY_GROUPS and kind not in _POLICY_NEIGHBOURS:
        close = get_close_matches(kind, sorted(POLICIES), n=1)
        return f"did you mean {close[0]}?" if close else f"{_group(version)} has no such kind"
    return None


def _foreign(version: object) -> bool:
    if not isinstance(version, str):
        return False
    group = _group(version)
    return any(group == name or group.endswith("." + name) for name in FOREIGN)
