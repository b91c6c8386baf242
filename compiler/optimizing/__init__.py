"""Rules of other tools, fewer of them and in a better order, without a change of what they mean.

`readers` make a `chains.Listing` of a text, `passes` and `reorder` make others of it (`whole` does both), and it is
written again. Whoever calls these proves the result (`semantics/proof`).
"""
