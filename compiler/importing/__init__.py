"""Rulesets of other tools -> programs of the policy language, from the grammar's trees alone.

Nothing here knows how `semantics` reads rules, so that what is misread here differs from what is read there, and the
proof that `cli/importing.py` asks for tells.
"""
