"""Small rulesets that say everything the IR can say, and what makes up a script."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import cycle

from compiler.ir.match import Field, InPrefix, InSet, LocalSource, NeighbourDiscovery, Replies, ToAnyPort, ToPorts
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    PrefixMap,
    PrefixSet,
    Return,
    Rule,
    Ruleset,
    Set,
)
from compiler.net import Family, parse_address, parse_prefix

V4, V6 = Family.IPV4, Family.IPV6
SOURCE, DESTINATION, PROTOCOL, PORT = Field
PAIR_KEY = (SOURCE, DESTINATION, PROTOCOL, PORT)


def number(text: str) -> int:
    return parse_address(text)[1]


PAIRS4 = Set("pairs4", V4, PAIR_KEY, ((number("10.0.0.1"), number("10.0.0.2"), 6, 80),), ("known pairs",))
PAIRS6 = Set("pairs6", V6, PAIR_KEY, ((number("fd00::1"), number("fd00::2"), 132, 9),), ("known pairs",))
HOSTS = Set("s4-hosts", V4, (SOURCE,), tuple((number(f"10.0.0.{n}"),) for n in (1, 2)), ("some pods",))
BY_HAND = Set("s6-later", V6, (SOURCE,), (), ("to be filled: pods(app=web) in shop",), by_hand=True)
SERVING = Set("s4-named", V4, (DESTINATION, PROTOCOL, PORT), ((number("10.0.0.1"), 17, 53),), ("pods that serve dns",))
TEN, TEN_ONE = parse_prefix("10.0.0.0/8"), parse_prefix("10.0.0.1/32")

_FORWARD = Chain(
    "forward",
    (
        Rule((Replies(),), Accept()),
        Rule((InSet(PAIR_KEY, "pairs4"),), Accept(), V4),
        Rule((InSet(PAIR_KEY, "pairs6"),), Accept(), V6),
    ),
    Hook.FORWARD,
    notes=("between pods",),
)
_OUTPUT = Chain(
    "output",
    (Rule((Replies(),), Accept()), Rule((LocalSource(),), Accept()), Rule((InSet((SOURCE,), "s6-later"),), Drop(), V6)),
    Hook.OUTPUT,
)
_COMMON = (
    Rule((InSet((SOURCE,), "s4-hosts"), ToPorts(6, 80, 80)), Return(), V4),
    Rule((InSet((DESTINATION,), "s4-hosts"), ToPorts(17, 5, 9)), Jump("deny"), V4),
    Rule((InSet((DESTINATION, PROTOCOL, PORT), "s4-named"),), Return(), V4),
    Rule((InPrefix(SOURCE, TEN), InPrefix(DESTINATION, TEN_ONE)), Goto("deny"), V4, note="deny: shop/p egress[0]"),
    Rule((InPrefix(SOURCE, parse_prefix("fd00::/64")),), Goto("deny"), V6, note="deny: shop/p egress[0]"),
    Rule((ToPorts(132, 0, 65535),), Return()),
)
_DENY = Chain("deny", (Rule((NeighbourDiscovery(),), Return(), V6), Rule((), Drop())), notes=("what no policy allows",))

#: Everything that an nftables script can say.
FOR_NFTABLES = Ruleset(
    chains=(
        replace(
            _FORWARD,
            rules=(*_FORWARD.rules, Lookup(SOURCE, "egress4", V4), Lookup(DESTINATION, "nets6", V6)),
        ),
        _OUTPUT,
        Chain("eg4-web", (*_COMMON[:4], _COMMON[5], Rule((InSet((PROTOCOL, PORT), "p-many"),), Return())), family=None),
        Chain("in6-web", (_COMMON[4], Rule((), Goto("deny"))), family=V6, notes=("ingress of shop/web",)),
        _DENY,
    ),
    sets=(PAIRS4, PAIRS6, HOSTS, BY_HAND, SERVING, Set("p-many", None, (PROTOCOL, PORT), ((6, 1), (17, 2)))),
    maps=(
        PrefixMap("egress4", V4, ((TEN_ONE, Jump("eg4-web")),), ("who goes where",)),
        PrefixMap(
            "nets6",
            V6,
            (
                (parse_prefix("fd00::/16"), Goto("in6-web")),
                (parse_prefix("fd00:1::/32"), Return()),
                (parse_prefix("fd00:2::/32"), Goto("deny")),
                (parse_prefix("fd00:2::1/128"), Return()),
            ),
            ("other ends by prefix",),
        ),
    ),
    notes=("netpolc: node n1",),
)

#: Everything that an iptables script can say.
FOR_IPTABLES = Ruleset(
    chains=(
        replace(_FORWARD, rules=(*_FORWARD.rules, Rule((InPrefix(SOURCE, TEN_ONE),), Jump("eg4-web"), V4))),
        _OUTPUT,
        Chain(
            "eg4-web",
            (
                *_COMMON[:4],
                Rule((ToAnyPort(6, ((80, 80), (443, 445))),), Return()),
                Rule((InSet((DESTINATION,), "nets"),), Return(), V4),
                Rule((), Goto("deny")),
            ),
            family=V4,
            notes=("egress of shop/web",),
        ),
        Chain("in6-web", (_COMMON[4], _COMMON[5], Rule((), Goto("deny"))), family=V6, notes=("ingress of shop/web",)),
        _DENY,
    ),
    sets=(
        PAIRS4,
        PAIRS6,
        HOSTS,
        BY_HAND,
        SERVING,
        PrefixSet("nets", V4, ((TEN, True), (parse_prefix("10.1.0.0/16"), False)), ("blocks",)),
    ),
    notes=("netpolc: node n1",),
)


def commands(text: str) -> list[str]:
    """The lines of a script that a tool acts upon: no comments, no blank lines, no indentation."""
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


#: What nft keeps in the kernel beside a set; it ends at the first quotation mark, and knows no escapes.
REMARK = re.compile(r' comment "([^"\\]*)" ;')


def without_remarks(text: str) -> list[str]:
    """The commands of an nftables script without the comments of its sets."""
    return [REMARK.sub("", line) for line in commands(text)]


def with_notes(ruleset: Ruleset, *texts: str) -> Ruleset:
    """The ruleset with these texts wherever a reader's note may stand; rules take them in turn."""
    notes = cycle(texts)
    return replace(
        ruleset,
        chains=tuple(
            replace(
                chain,
                notes=texts,
                rules=tuple(replace(r, note=next(notes)) if isinstance(r, Rule) else r for r in chain.rules),
            )
            for chain in ruleset.chains
        ),
        sets=tuple(replace(found, notes=texts) for found in ruleset.sets),
        maps=tuple(replace(found, notes=texts) for found in ruleset.maps),
        notes=texts,
    )


#: What names of pods, policies, labels and files may try.
HOSTILE = (
    "a\nadd rule inet netpolc forward accept",
    "a\r\n-A FORWARD -j ACCEPT",
    "COMMIT\n*filter\n-F",
    'quote " ; } accept',
    "it's ` $(reboot) ; |",
    "ends with a backslash \\",
    "\\\\\\",
    "\x00\x01\x1b[2J\x7f\x85\u2028\u2029",
    "\ud800 lone surrogate",
    "x" * 5000,
    "ö" * 5000,
    "\U0001f600" * 3000,
    "word " * 3000,
    " " * 3000 + "x" * 3000,
    "-" * 3000,
    "\t\ttabs\tand\x0bfeeds\x0c",
    "",
    "#",
)
