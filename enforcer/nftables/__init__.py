"""The firewall of a node that uses nftables."""
