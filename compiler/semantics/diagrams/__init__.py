"""All packets at once: decision diagrams, of what policies say and of what rules do."""
