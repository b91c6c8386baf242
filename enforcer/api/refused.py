"""A policy that can't be read in full -> the policy that is enforced instead: it lets no more through than was meant.

A server takes what netpolc refuses when it is newer (a field that netpolc does not know), older, or has a custom
resource without its schema. The author counts on the policy all the same. So what can be read of it holds, and what
can't be allows nothing and denies everything:

    what can't be read          NetworkPolicy                            the cluster-wide kinds
    a rule                      is left out, for it would only allow     is left out if it accepts, else denies all
    a list of rules             is empty                                 is one rule that denies all
    the frame: whom it is       isolates, allows nothing; both           comes first, accepts nothing, and what was to
    about, when it is asked     directions and every pod of its          pass to others it denies; for every pod where
                                namespace, where these are unknown       whom it is about is unknown
    anything else of the spec   isolates and allows nothing              denies all

The result is a valid policy again, so whoever reads it offline comes to the same verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compiler.resources.problems import Path, Problem
from compiler.resources.validation import Policy, validate
from enforcer.api.wire import Object

_DIRECTIONS = {"ingress": "from", "egress": "to"}
#: The fields of a spec beside the rules.
_FRAMES = {
    "NetworkPolicy": {"podSelector", "policyTypes"},
    "ClusterNetworkPolicy": {"tier", "priority", "subject"},
    "AdminNetworkPolicy": {"priority", "subject"},
    "BaselineAdminNetworkPolicy": {"subject"},
}
#: What stands for each of them where it can't be read: all that there is, before all others.
_WIDEST: Object = {
    "policyTypes": ["Ingress", "Egress"],
    "tier": "Admin",
    "priority": 0,
    "subject": {"namespaces": {}},
}
#: A selector without meaning. A rule of a custom resource that has one fails closed (compiler/translate/unknown.py),
#: towards ends that no selector names, too.
_MEANINGLESS = {"namespaces": {"matchExpressions": [{"key": "netpolc.io/refused", "operator": "Unreadable"}]}}


def closed(value: Object, problems: Iterable[Problem]) -> Policy:
    """What is enforced for `value`, an object with kind, apiVersion and metadata, which has these problems."""
    metadata = value["metadata"]
    wrong = [problem.path for problem in problems if problem.severity == "error"]
    kept: Object = {"name": "default"}  # the one name that every kind may have; the real one comes back below
    if "annotations" in metadata and not any(path[:2] == ("metadata", "annotations") for path in wrong):
        kept["annotations"] = metadata["annotations"]
    spec = value.get("spec")
    broken = _Broken(value["kind"], spec if isinstance(spec, dict) else {}, wrong)
    make, shut = (_network, _shut_network) if value["kind"] == "NetworkPolicy" else (_cluster, _shut_cluster)
    model, _ = validate({**value, "metadata": kept, "spec": make(broken)}, lenient=True)
    if model is None:
        model, _ = validate({**value, "metadata": kept, "spec": shut(broken.frame)}, lenient=True)
    assert model is not None, "made of valid parts alone"
    named = model.metadata.model_copy(update={name: metadata.get(name) for name in ("name", "namespace")})
    return model.model_copy(update={"metadata": named})


class _Broken:
    """Which parts of a spec have problems. `odd`: something that is in none of its fields; `lost`: whom the policy is
    about, or when it is asked, is not known."""

    def __init__(self, kind: str, spec: Object, wrong: Iterable[Path]) -> None:
        self.spec, self.frame = spec, _FRAMES[kind]
        inside = {path[1:] for path in wrong if path[:1] == ("spec",)}
        self._fields = {path[:1] for path in inside if len(path) == 1 or set(path[:1]) & self.frame}
        self._rules = {path[:2] for path in inside}
        fields = {path[0] for path in inside if path}
        self.odd = () in inside or not fields <= self.frame | _DIRECTIONS.keys()
        self.lost = bool(fields & self.frame) or ("metadata", "name") in wrong

    def framed(self) -> Object:
        """The frame, with the widest of what can't be read."""
        good = {field: self.spec[field] for field in self.frame if field in self.spec and (field,) not in self._fields}
        missing = {field: _WIDEST[field] for field in self.frame - good.keys() if field in _WIDEST}
        return missing | good

    def rules(self, field: str) -> list[tuple[Any, bool]] | None:
        """The rules of a list, each with whether it can be read; None when the list can't be."""
        found = self.spec.get(field)
        if (field,) in self._fields or not isinstance(found, list | None):
            return None
        return [(rule, (field, n) not in self._rules) for n, rule in enumerate(found or ())]


def _network(broken: _Broken) -> Object:
    """policyTypes, where absent, are told by rules that may be left out here: they are written out."""
    made = broken.framed()
    if not broken.spec.get("policyTypes") and not broken.odd and not broken.lost:
        made["policyTypes"] = ["Ingress", "Egress"] if broken.spec.get("egress") else ["Ingress"]
    for field in () if broken.odd or broken.lost else _DIRECTIONS:
        made[field] = [rule for rule, readable in broken.rules(field) or () if readable]
    return made


def _cluster(broken: _Broken) -> Object:
    made = broken.framed()
    if broken.lost:
        made |= {field: _WIDEST[field] for field in broken.frame & {"tier", "priority"}}
    if broken.odd:
        return made | {field: [_deny_all(field)] for field in _DIRECTIONS}
    for field in _DIRECTIONS:
        rules = broken.rules(field)
        made[field] = [_deny_all(field)] if rules is None else []
        for rule, readable in rules or ():
            action = rule.get("action") if isinstance(rule, dict) else None
            if action in ("Accept", "Allow"):
                made[field] += [rule] if readable and not broken.lost else []
            elif not readable:
                made[field].append(_deny_all(field))
            else:
                made[field].append({**rule, "action": "Deny"} if broken.lost else rule)
    return made


def _shut_network(frame: set[str]) -> Object:
    return {"policyTypes": _WIDEST["policyTypes"]}


def _shut_cluster(frame: set[str]) -> Object:
    return {field: _WIDEST[field] for field in frame} | {field: [_deny_all(field)] for field in _DIRECTIONS}


def _deny_all(field: str) -> Object:
    return {"name": "refused", "action": "Deny", _DIRECTIONS[field]: [_MEANINGLESS]}
