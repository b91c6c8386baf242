"""A listing with rules that are not needed -> one without: `simplify.simplify` is the entrance."""
