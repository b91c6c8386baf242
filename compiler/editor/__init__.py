"""What an editor asks about files of the policy language: what is wrong, what a name is and where else it stands, what
could stand at a place. Texts and offsets in, values out; `compiler.cli.lsp` speaks the editors' protocol.

Answers never depend on how a text came to be, and no text makes them fail: what cannot be read has none.
"""
