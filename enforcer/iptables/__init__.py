"""The firewall of a node that uses iptables, either variant, and ipset."""
