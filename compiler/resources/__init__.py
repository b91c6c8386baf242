"""Validated API objects: the four kinds of policies, and what netpolc reads of a cluster."""

from compiler.resources.clusterpolicy import AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy
from compiler.resources.networkpolicy import NetworkPolicy

__all__ = ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy", "NetworkPolicy"]
