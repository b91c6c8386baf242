"""How a node is wired, and which tools it uses."""
