"""Rules of other tools in a better order, without a change of what they mean.

A reader makes a `chains.Listing` of a text (`iptables_rules`), passes make others of it, at last `reorder`, and it is
written again. Whoever calls these proves the result (`semantics/proof`).
"""
