"""Policies as users write them, read and translated."""

from __future__ import annotations

from textwrap import dedent

from compiler.policy import Policy
from compiler.sources.manifests import load
from compiler.translate import translate


def translated(*texts: str) -> tuple[Policy, ...]:
    """The models of YAML documents, in evaluation order; the first text is `0.yaml`, and so on."""
    files = [(f"{n}.yaml", dedent(text).encode()) for n, text in enumerate(texts)]
    return translate(load(files).policies)


def network_policy(spec: str, namespace: str = "shop", name: str = "p") -> Policy:
    """The model of a NetworkPolicy with this spec (flow style, without the outer braces)."""
    (found,) = translated(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: "
        f"{{name: {name}, namespace: {namespace or 'null'}}}, spec: {{{spec}}}}}"
    )
    return found


def cluster_policy(spec: str, kind: str = "ClusterNetworkPolicy", name: str = "p") -> Policy:
    """The model of a policy of the admin or baseline tier."""
    version = "v1alpha2" if kind == "ClusterNetworkPolicy" else "v1alpha1"
    (found,) = translated(
        f"{{apiVersion: policy.networking.k8s.io/{version}, kind: {kind}, "
        f"metadata: {{name: {name}}}, spec: {{{spec}}}}}"
    )
    return found
