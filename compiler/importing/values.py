"""What a ruleset of any tool says, as far as the policy language has words for it, and what of it has none.

A *chain* is a list of rules; a rule asks (`Asked`) and does (`Action`). Chains become *items*: nested lists without
jumps, as the language has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.net import Intervals

ALL_BITS = 0xFFFFFFFF
FIRST_STATES = frozenset({"new", "invalid", "untracked"})
REPLIES = frozenset({"established", "related"})
STATES = FIRST_STATES | REPLIES
#: Protocols with ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
ICMP_OF = {4: 1, 6: 58}


#: Places of rules: the file's name without its folder, and the line.
Lines = frozenset[tuple[str, int]]
#: Why a rule stays that the language could say.
NOT_PROVED = "its translation did something else"


class Inexpressible(Exception):
    """A rule asks or does what the language has no words for; the message names it."""


class NeverMatches(Exception):
    """A rule asks what no packet has; the message says what."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of one family. `without`: those addresses are taken away from all others; as written, for the reader."""

    version: int
    intervals: Intervals
    without: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a packet; everything empty: anyone. Interfaces as the language writes them (`wg*`); `kinds`: what
    routing says of the address: local, broadcast, multicast. `not_...` are taken away."""

    interfaces: tuple[str, ...] = ()
    not_interfaces: tuple[str, ...] = ()
    addresses: Addresses | None = None
    kinds: tuple[str, ...] = ()
    not_kinds: tuple[str, ...] = ()


ANYONE = Side()


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """Destination ports or, of ICMP, types of a protocol; None, None: all of it."""

    protocol: int
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """All of it must hold. `ports` None: any protocol; `source_ports` are of all protocols in `ports`. `marks`: (value,
    mask), `not_marks` must not hold. `chance`: one of so many. `version`: 4 or 6 alone; 0 both."""

    source: Side = ANYONE
    target: Side = ANYONE
    ports: tuple[Port, ...] | None = None
    source_ports: Intervals | None = None
    states: frozenset[str] = STATES
    marks: tuple[tuple[int, int], ...] = ()
    not_marks: tuple[tuple[int, int], ...] = ()
    chance: int = 0
    version: int = 0


EVERYTHING = Asked()

# ---- What rules do


@dataclass(frozen=True, slots=True)
class Verdict:
    """`verb`: allow, deny, reject (`answer`: how, in the language's words; "" the default), leave; of sources in nat,
    keep. `log`: told first."""

    verb: str
    answer: str = ""
    log: Log | None = None


@dataclass(frozen=True, slots=True)
class Jump:
    """`goto`: what the chain does not decide does not come back to this one."""

    chain: str
    goto: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """In the kernel's log (`kernel`), else by NFLOG group 0. `limit`: the language's words for a rate."""

    prefix: str = ""
    limit: str = ""
    kernel: bool = True


@dataclass(frozen=True, slots=True)
class Dnat:
    """To one address; `port` None: as it is."""

    version: int
    address: int
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    port: int


@dataclass(frozen=True, slots=True)
class Snat:
    version: int
    address: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    """`without`: an option that changes nothing that the language speaks of."""

    without: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """Sets the bits of `mask` to those of `value`."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Dscp:
    value: int


@dataclass(frozen=True, slots=True)
class Ttl:
    """`change`: dec, inc or set."""

    change: str
    amount: int


@dataclass(frozen=True, slots=True)
class Mss:
    """None: what fits the path."""

    size: int | None


@dataclass(frozen=True, slots=True)
class Notrack:
    pass


@dataclass(frozen=True, slots=True)
class Nothing:
    """Changes and decides nothing; `why`."""

    why: str = "it only counts"


@dataclass(frozen=True, slots=True)
class Lost:
    """What nothing stands for."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Whatever the tool's words say. `verdict`: what may become of a packet here: allow, deny, leave, or "" where it
    goes on with the next statement; `tool` and `version`: whose words they are."""

    tool: str
    version: int
    verdict: str


Action = (
    Verdict
    | Jump
    | Log
    | Dnat
    | Redirect
    | Snat
    | Masquerade
    | Mark
    | Dscp
    | Ttl
    | Mss
    | Notrack
    | Nothing
    | Lost
    | Opaque
)

# ---- Where they stand


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """File, line and chain of a rule; `comment` is the rule's own."""

    file: str
    line: int
    chain: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`words` are the tool's own, without the comment. `why`: what the language has no words for. Then the action is
    opaque, or a jump; of a jump, `besides` are the words of matches that `asked` does not have, and where there are
    none nothing can take its place."""

    asked: Asked
    action: Action
    origin: Origin
    words: str
    why: str = ""
    besides: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """`policy` is accept or drop for base chains, else empty, and `declared` where it stands; `hook` and `priority` are
    those of base chains."""

    name: str
    rules: tuple[Rule, ...]
    hook: str = ""
    policy: str = ""
    declared: Origin | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """`tool`: iptables or nftables. `kind`: filter, nat, mangle or raw; nft's tables are taken apart by the kind of
    their base chains. `version`: 4, 6, or 0 for both."""

    tool: str
    kind: str
    version: int
    chains: Mapping[str, Chain]


# ---- Items


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule; `origins` are several where families or hooks say the same. `words` and `why` as in `Rule`; no words
    for a policy."""

    asked: Asked
    action: Action
    origins: tuple[Origin, ...]
    words: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Within:
    """A nested list. `words` are those of its head's matches in the tool's own words."""

    asked: Asked
    items: tuple[Item, ...]
    origins: tuple[Origin, ...]
    words: str = ""


Item = Statement | Within


@dataclass(slots=True)
class Account:
    """What became of the rules: for the summary. `dropped`: those without effect, and why; `lost`: those that nothing
    stands for, and why; `eased`: those that lost an option, and which. `sets`: names that sets of addresses have
    already, by family and content."""

    rules: int = 0
    dropped: list[tuple[Origin, str]] = field(default_factory=list)
    lost: list[tuple[Origin, str]] = field(default_factory=list)
    eased: list[tuple[Origin, str]] = field(default_factory=list)
    sets: dict[tuple[int, Intervals], str] = field(default_factory=dict)
