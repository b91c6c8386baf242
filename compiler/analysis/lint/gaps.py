"""What is missing: a default of denying, DNS for pods that may not ask anyone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.analysis.lint.findings import Entry, Finding, Level, World, listed
from compiler.net import UDP
from compiler.policy import Action, Direction, PodSelector, Policy, Rule, Tier
from compiler.resources.cluster import Pod

_DNS = 53


def no_default_deny(world: World) -> Iterator[Finding]:
    """A namespace with pods of which some accept connections from everyone: no NetworkPolicy isolates them."""
    for name in sorted({pod.namespace for pod in world.pods}):
        pods = [pod for pod in world.pods if pod.namespace == name]
        isolating = [e.model for e in world.entries if e.model.subject.namespaces == name and _isolates(e.model)]
        open_pods = [p for p in pods if not any(one.subject.pods.matches(p.labels) for one in isolating)]
        if open_pods:
            names = listed([pod.name for pod in open_pods])
            text = f"no NetworkPolicy isolates {len(open_pods)} of {len(pods)} pods and workloads for ingress: {names}"
            yield world.spaces[name].finding(Level.INFO, "no-default-deny", text, ("metadata", "name"))


def _isolates(policy: Policy) -> bool:
    return policy.tier is Tier.APPLICATION and Direction.INGRESS in policy.isolates


def egress_without_dns(world: World) -> Iterator[Finding]:
    """Pods that may open some connections and none to port 53: they can look up no name. Pods that may open none at
    all are meant so."""
    told: set[tuple[int, ...]] = set()
    about = [(entry, set(map(id, world.members(entry.model.subject)))) for entry in world.entries]
    for pod in world.kinds:
        concerned = [entry for entry, members in about if id(pod) in members]
        isolating = [e for e in concerned if Direction.EGRESS in e.model.isolates]
        written = [e for e in isolating if e.model.egress]
        key = tuple(map(id, concerned))
        if not written or key in told:
            continue
        told.add(key)
        if not any(_asks(world, rule) for rule in _allowing(concerned)):
            text = (
                f"{pod.namespace}/{pod.name} may not ask for names: no rule allows it port 53/UDP of kube-dns or anyone"
            )
            yield written[0].finding(Level.WARNING, "egress-without-dns", text, ("spec", "egress"), on_key=True)


def _allowing(entries: Sequence[Entry]) -> Iterator[Rule]:
    for entry in entries:
        if entry.model.tier is not Tier.APPLICATION or Direction.EGRESS in entry.model.isolates:
            yield from (rule for rule in entry.model.egress if rule.action is Action.ALLOW)


def _asks(world: World, rule: Rule) -> bool:
    """Whether a rule lets DNS through to somebody who may serve it: anyone but pods that are known not to."""
    resolvers = [pod for pod in world.kinds if pod.labels.get("k8s-app") == "kube-dns"]
    for peer in rule.peers:
        chosen: Sequence[Pod | None] = [None]
        if isinstance(peer, PodSelector) and resolvers:
            chosen = [pod for pod in world.members(peer) if pod in resolvers]
        for pod in chosen:
            numbers = any(first <= _DNS <= last and protocol == UDP for protocol, first, last in rule.ports.spans)
            if rule.ports.everything or numbers or (rule.ports.named and _named(rule, pod)):
                return True
    return False


def _named(rule: Rule, pod: Pod | None) -> bool:
    names = {one.name for one in rule.ports.named if one.protocol in (None, UDP)}
    if pod is None:
        return any(name.startswith("dns") for name in names)
    return any(p.name in names and (p.port, p.protocol) == (_DNS, "UDP") for p in pod.ports)
