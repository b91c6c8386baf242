"""What the daemon tells people and machines of itself, and of denied packets."""
