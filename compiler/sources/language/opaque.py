"""Rules of one tool inside of programs: what must not be in them, since more than a rule would come of it.

What such a rule does is not asked, and not every match or target that there is must be known here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

from compiler.resources.language import Opaque
from compiler.sources.language.asking import Asking
from grammar import dsl_tree as t
from grammar import iptables
from grammar.nftables_tokens import Tokens
from grammar.ruletext import Refused
from grammar.source import Source

#: Targets of iptables-extensions(8); whatever else stands behind -j is a chain.
_TARGETS = """
    ACCEPT DROP RETURN QUEUE AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK
    IDLETIMER LED LOG MARK MASQUERADE NETMAP NFLOG NFQUEUE NOTRACK RATEEST REDIRECT REJECT SECMARK SET SNAT SNPT
    SYNPROXY TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG
"""
#: What would not be a rule of its list any more.
_OTHERS = frozenset({"-t", "--table", "-A", "-D", "-I", "-R", "-L", "-F", "-Z", "-N", "-X", "-P", "-E", "-S", "-C"})
_JUMPS = frozenset({"-j", "--jump"})
_GOTO = frozenset({"-g", "--goto"})
_OF_CHAINS = frozenset({"jump", "goto", "vmap"})
#: nft reads these wherever they stand, for other files and what they say.
_OF_FILES = frozenset({"include", "define", "redefine", "undefine"})
#: Verdicts that end a rule of nft, behind which it takes a comment alone.
_ENDING = frozenset({"accept", "drop", "return"})
#: What may follow one, or is told of by itself.
_BEHIND = frozenset({"", "comment", ";", "\n", "}", ")", "]"})
_CLOSING = {"}": "{", ")": "(", "]": "["}


class Opaques(Asking):
    """Those of one file."""

    def opaque(self, node: t.Opaque) -> Opaque | None:
        text = node.rule.value.strip()
        wrong = _of_iptables(text) if node.tool.text == "iptables" else _of_nft(text)
        if wrong is not None:
            self.flaw(node.rule, wrong, "bad-rule")
            return None
        version = {"ipv4": 4, "ipv6": 6}[node.version.text] if node.version is not None else None
        hook = node.hook.text if node.hook is not None else None
        return Opaque(
            name=node.name.text,
            tool=cast(Literal["iptables", "nft"], node.tool.text),
            version=cast(Literal[4, 6] | None, version),
            hook=cast(Literal["prerouting", "input", "forward", "output", "postrouting"] | None, hook),
            rule=text,
            **self.head(node),
        )


def _of_iptables(text: str) -> str | None:
    """What is wrong with the text as options of a rule."""
    try:
        (table,) = iptables.tables(Source("", f"*filter\n-A CHAIN {text}\nCOMMIT\n"))
    except Refused as error:
        return f"no rule of iptables without -A CHAIN: {error.flaw.message}"
    for option in table.commands[0].options:
        if option.name in _OTHERS:
            return f"{option.name} is no part of a rule: it stands in its place of the list as it is"
        named = option.values[0].text if option.values else ""
        if option.name in _GOTO or (option.name in _JUMPS and named not in _TARGETS.split()):
            return f"{option.name} {named}: a rule may not lead to chains, whose names are not its own"
    return None


def _of_nft(text: str) -> str | None:
    """What is wrong with the text as a rule of nft."""
    try:
        tokens = Tokens(Source("", text))
    except Refused as error:
        return f"no rule of nft: {error.flaw.message}"
    open_brackets: list[str] = []
    for token, following in pairwise(tokens.texts):
        if token in _OF_CHAINS or token[0] == "@":
            return f"{token}: a rule may not lead to chains or ask sets, whose names are not its own"
        if token in _OF_FILES:
            return f"{token} is no part of a rule: it stands in its place of the list as it is"
        if token in (";", "\n") or token[0] == "$":
            return f"{token} cannot stand in one rule"
        if token in _CLOSING.values():
            open_brackets.append(token)
        elif token in _CLOSING and (not open_brackets or open_brackets.pop() != _CLOSING[token]):
            return f'this "{token}" closes nothing'
        if token in _ENDING and not open_brackets and following not in _BEHIND:
            return f"{token} ends a rule: only a comment can stand behind it, not {following}"
    return f'this "{open_brackets[-1]}" is not closed' if open_brackets else None
