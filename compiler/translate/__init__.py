"""API objects -> policy model. Every default of the API is decided here, each with the field text it follows.

Input: validated models with their positions. Output: policies in evaluation order. Nothing is looked up in a
cluster; what depends on pods (named ports, selectors) stays symbolic.
"""

from __future__ import annotations

from collections.abc import Iterable

from compiler.policy import Origin, Policy
from compiler.resources import NetworkPolicy
from compiler.sources.manifests import Located
from compiler.translate.clusterpolicy import closed_rules, cluster_policy
from compiler.translate.networkpolicy import network_policy


def translate(policies: Iterable[Located]) -> tuple[Policy, ...]:
    """All policies as models, in evaluation order."""
    return tuple(sorted(map(_policy, policies), key=lambda policy: policy.order))


def closed(policies: Iterable[Located]) -> tuple[Origin, ...]:
    """The rules that fail closed since not all of them can be read; only custom resources have such."""
    return tuple(o for p in policies if not isinstance(p.value, NetworkPolicy) for o in closed_rules(p))


def _policy(located: Located) -> Policy:
    return network_policy(located) if isinstance(located.value, NetworkPolicy) else cluster_policy(located)
