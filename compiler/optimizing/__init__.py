"""Rules of other tools in a better order, without a change of what they mean.

From text to text: `reorder.reorder` is the entrance. Whoever calls it proves the result (`semantics/proof`).
"""
