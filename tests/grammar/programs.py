"""Programs of the policy language, made by hypothesis, as trees; `program_texts` writes them.

`files()` makes trees without places (everything begins and ends at 0, which does not count when trees are compared)
that pass every check of the front end; names are of a small pool, so that later stages can define them.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import strategies as st

from grammar import dsl_literals as literals
from grammar import dsl_tree as t

AT = (0, 0)
BRACES = (0, 0, 0, 0)

NAMES = ("web", "db", "admins", "lan", "wan", "dmz-1", "a.b", "_x", "fade", "Zone_9", "tier", "priority", "min")
VERBS = ("allow", "deny", "reject", "pass", "log", "leave")
LABELS = ("app", "tier", "app.kubernetes.io/name", "policy", "in", "x-1", "0")
VALUES = ("web", "api", "node", "v1.2", "0", "allow", "A_b")

Strategy = st.SearchStrategy[Any]


def _maybe(strategy: Strategy) -> Strategy:
    return st.none() | strategy


def _some(strategy: Strategy, most: int = 3, least: int = 1) -> Strategy:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


def number(low: int, high: int) -> Strategy:
    return st.integers(low, high).map(lambda n: t.Number(*AT, str(n)))


def word(*texts: str) -> Strategy:
    return st.sampled_from(texts).map(lambda text: t.Word(*AT, text))


def name(*texts: str) -> Strategy:
    return st.sampled_from(texts or NAMES).map(lambda text: t.Name(*AT, text))


def quoted() -> Strategy:
    alphabet = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), max_codepoint=0x2FFF)
    safe = st.text(alphabet, max_size=12).map(lambda s: s.replace("\\", "\\\\").replace('"', '\\"'))
    return (safe | st.sampled_from(["ssh", "# no comment", "a -> b {", "", "}"])).map(lambda s: t.Text(*AT, f'"{s}"'))


# ---- Addresses and ends

_VERSIONS = st.sampled_from([(4, 32), (6, 128)])


def _address_of(version: int, value: int) -> t.Address:
    kind = ip_address(value.to_bytes(4 if version == 4 else 16, "big"))
    return t.Address(*AT, str(kind))


@st.composite
def addresses(draw: st.DrawFn) -> t.Address:
    version, bits = draw(_VERSIONS)
    # Not the first /96 of IPv6: ::ffff:1.2.3.4 and its like are refused.
    low = 1 << 100 if version == 6 else 0
    return _address_of(version, draw(st.integers(low, (1 << bits) - 1)))


@st.composite
def ranges(draw: st.DrawFn) -> t.Range:
    version, bits = draw(_VERSIONS)
    low, high = sorted(draw(st.tuples(*[st.integers(1 << 100 if version == 6 else 0, (1 << bits) - 1)] * 2)))
    return t.Range(*AT, _address_of(version, low), _address_of(version, high))


@st.composite
def prefixes(draw: st.DrawFn) -> t.Prefix:
    version, bits = draw(_VERSIONS)
    length = draw(st.integers(0, bits))
    value = draw(st.integers(1 << 100 if version == 6 else 0, (1 << bits) - 1)) >> bits - length << bits - length
    network = ip_network((value.to_bytes(bits // 8, "big"), length))
    return t.Prefix(*AT, str(network))


@st.composite
def cut_prefixes(draw: st.DrawFn) -> t.Without:
    """A prefix less some that lie in it."""
    whole = draw(prefixes().filter(lambda p: not p.text.endswith(("/32", "/128"))))
    network = ip_network(whole.text)
    room = network.max_prefixlen - network.prefixlen

    def cut() -> t.Prefix | t.Address | t.Range:
        more = draw(st.integers(1, room))
        at = draw(st.integers(0, (1 << more) - 1)) << room - more
        base = network.network_address + at
        match draw(st.sampled_from(["prefix", "address", "range"])):
            case "prefix":
                return t.Prefix(*AT, f"{base}/{network.prefixlen + more}")
            case "address":
                return t.Address(*AT, str(base))
            case _:
                return t.Range(*AT, t.Address(*AT, str(base)), t.Address(*AT, str(network[-1])))

    return t.Without(*AT, whole, tuple(cut() for _ in range(draw(st.integers(1, 3)))))


def _labels() -> Strategy:
    keys, values = word(*LABELS, '"quoted.key/x"'), word(*VALUES, '"quoted"', '""')
    none = st.sampled_from([t.Relation.EXISTS, t.Relation.ABSENT])
    one = st.sampled_from([t.Relation.EQUAL, t.Relation.UNEQUAL])
    some = st.sampled_from([t.Relation.AMONG, t.Relation.NOT_AMONG])
    return (
        st.builds(t.Label, *map(st.just, AT), keys, none, st.just(()))
        | st.builds(t.Label, *map(st.just, AT), keys, one, values.map(lambda v: (v,)))
        | st.builds(t.Label, *map(st.just, AT), keys, some, _some(values))
    )


def _built(kind: type[t.Node], *parts: Strategy) -> Strategy:
    return st.builds(kind, *map(st.just, BRACES if issubclass(kind, t.Braced) else AT), *parts)


@st.composite
def selectors(draw: st.DrawFn, namespaced: bool) -> t.Selector:
    parts = list(draw(_some(_labels())))
    if namespaced and draw(st.booleans()):
        namespace = _built(t.InNamespace, word("shop", "kube-system", "0x")) | _built(t.InNamespaces, _some(_labels()))
        parts.insert(draw(st.integers(0, len(parts))), draw(namespace))
    return t.Selector(*AT, tuple(parts))


def _simple_terms() -> Strategy:
    return st.one_of(
        name(),
        addresses(),
        prefixes(),
        ranges(),
        _built(t.Interfaces, _some(word("eth0", "wg*", "br-lan.7", '"x y"'.replace(" ", "+")))),
        _built(t.Pods, _maybe(selectors(True))),
        _built(t.Nodes, _maybe(selectors(False))),
        st.just(t.Anyone(*AT)),
        st.just(t.ThisNode(*AT)),
    )


def _end(terms: Strategy) -> Strategy:
    return _built(t.End, _some(terms, 2), _maybe(terms))


def ends() -> Strategy:
    return _end(_simple_terms() | _built(t.Group, _some(_end(_simple_terms()))))


# ---- Ports and flows


@st.composite
def _port(draw: st.DrawFn, named: bool = True) -> t.Port:
    if named and draw(st.booleans()):
        return t.Port(*AT, draw(name("http", "metrics", "x-1")), None)
    low, high = sorted(draw(st.tuples(*[st.integers(0, 65535)] * 2)))
    return t.Port(*AT, t.Number(*AT, str(low)), draw(_maybe(st.just(t.Number(*AT, str(high))))))


def _typed(protocol: str, names: frozenset[str]) -> Strategy:
    numbers: Strategy = number(0, 255)
    types = (name(*sorted(names)) | numbers).map(lambda one: t.Port(*AT, one, None))
    return _built(t.PortSet, name(protocol), _some(types))


PORT_SETS = (
    _built(t.PortSet, name(*sorted(literals.WITH_PORTS)), _some(_port()))
    | _typed("icmp", literals.ICMP_TYPES)
    | _typed("icmpv6", literals.ICMPV6_TYPES)
    | _built(t.PortSet, name("proto"), _some(number(0, 255).map(lambda one: t.Port(*AT, one, None))))
    | _built(t.PortSet, st.none(), _some(_port(named=False)))
)


def ports() -> Strategy:
    return _built(t.Ports, _some(PORT_SETS | name(*NAMES, *sorted(literals.PROTOCOLS))))


@st.composite
def flows(draw: st.DrawFn) -> t.Flow:
    if draw(st.booleans()):
        said = draw(ports().filter(lambda one: len(one.sets) > 1 or isinstance(one.sets[0], t.PortSet)))
        return t.Flow(*AT, None, None, None, said)
    arrow = draw(st.sampled_from([None, "->", "<->"]))
    return t.Flow(*AT, draw(ends()), arrow, draw(ends()) if arrow else None, draw(_maybe(ports())))


# ---- Statements


def _numbers() -> Strategy:
    return _some(_port(named=False))


@st.composite
def _marked(draw: st.DrawFn) -> t.Marked:
    mark = draw(_marks())
    return t.Marked(*AT, mark.mark, mark.mask)


def _chances() -> Strategy:
    return number(1, 65535).map(lambda of: t.Chance(*AT, t.Number(*AT, "1"), of))


@st.composite
def conditions(draw: st.DrawFn, replies: bool = False) -> list[t.Condition]:
    """`replies`: in a list that sees them."""
    states = sorted(literals.STATES) if replies else ["invalid", "new", "untracked"]
    names = st.lists(st.sampled_from(states), min_size=1, unique=True)
    made = [
        _built(t.Unless, ends()),
        names.map(lambda found: t.State(*AT, tuple(t.Name(*AT, one) for one in found))),
        _marked(),
        _built(t.SourcePorts, _numbers()),
        _chances(),
    ]
    found = [draw(_maybe(one)) for one in made] if draw(st.booleans()) else [draw(_maybe(made[0]))]
    return [one for one in found if one is not None]


@st.composite
def rules(draw: st.DrawFn, replies: bool = False, verbs: tuple[str, ...] = VERBS) -> t.Rule:
    verb = draw(word(*verbs))
    log = draw(_maybe(_built(t.Log, _maybe(quoted())))) if verb.text != "log" else None
    logs = log is not None or verb.text == "log"
    options: list[t.Option | None] = [
        *draw(conditions(replies)),
        draw(_maybe(_built(t.With, name(*sorted(literals.ANSWERS))))) if verb.text == "reject" else None,
        draw(_maybe(_built(t.Limit, _rates()))) if logs else None,
        draw(_maybe(st.just(t.ToKernel(*AT)))) if logs else None,
        log,
    ]
    said = draw(st.permutations([one for one in options if one is not None]))
    reason = draw(_maybe(_built(t.Reason, quoted())))
    if reason is not None:  # not right behind a log without prefix: there it would be the prefix
        places = [n for n in range(len(said) + 1) if not (n and said[n - 1] == t.Log(*AT, None))]
        said = list(said)
        said.insert(draw(st.sampled_from(places)), reason)
    return t.Rule(*AT, verb, draw(ends()), draw(ends()), draw(_maybe(ports())), tuple(said))


@st.composite
def withins(draw: st.DrawFn, inner: Strategy, replies: bool = False) -> t.Within:
    head = (draw(ends()), draw(ends()), draw(_maybe(ports())), tuple(draw(conditions(replies))))
    return t.Within(*BRACES, *head, draw(_some(inner, 3, 0)))


def opaques(*hooks: str) -> Strategy:
    """`hooks`: those of the block."""
    version, hook = _maybe(word("ipv4", "ipv6")), word(*hooks) if hooks else st.none()
    said = st.sampled_from(["-m u32 -j ACCEPT", "ip dscp 3 accept", '-m comment --comment \\"a\\" -j LOG'])
    rule = said.map(lambda one: t.Word(*AT, f'"{one}"'))
    return _built(t.Opaque, name(), word("iptables", "nft"), version, hook, rule)


def lists(replies: bool, *hooks: str) -> Strategy:
    """Items of a list, and lists in it."""
    verbs = tuple(verb for verb in VERBS if verb != "pass" or not replies)
    some = st.one_of(rules(replies, verbs), rules(replies, verbs))
    plain, inner = some | opaques(*hooks), some | opaques()  # of a list in a list, the head says the hook
    return st.one_of(plain, plain, withins(inner | withins(inner, replies), replies))


def _rates() -> Strategy:
    units = word("sec", "second", "min", "minute", "hour", "day")
    return _built(t.Rate, number(1, 10_000), units, _maybe(number(1, 10_000)))


@st.composite
def _marks(draw: st.DrawFn) -> t.Mark:
    mask = draw(st.integers(1, 0xFFFFFFFF))
    mark = draw(st.integers(0, 0xFFFFFFFF)) & mask
    written = t.Number(*AT, hex(mask)) if draw(st.booleans()) else t.Number(*AT, str(mask))
    return t.Mark(*AT, draw(flows()), t.Number(*AT, hex(mark)), draw(_maybe(st.just(written))))


PORT = number(1, 65535)
NAT_OPTIONS = st.tuples(_maybe(_marked()), _maybe(_built(t.SourcePorts, _numbers())), _maybe(_chances())).map(
    lambda found: tuple(one for one in found if one is not None)
)
NAT = (
    _built(t.Dnat, ends(), _maybe(ends()), ports(), ends(), _maybe(PORT), NAT_OPTIONS)
    | _built(t.Snat, flows(), addresses(), NAT_OPTIONS)
    | _built(t.Masquerade, flows(), NAT_OPTIONS)
    | _built(t.Redirect, flows(), PORT, NAT_OPTIONS)
    | _built(t.KeepSource, flows(), NAT_OPTIONS)
    | _marks()
    | rules(verbs=("log", "leave"))
    | opaques("prerouting", "input", "output", "postrouting")
)
MANGLE = (
    _marks()
    | _built(t.Dscp, flows(), name(*sorted(literals.DSCP_CLASSES)) | number(0, 63))
    | _built(t.Ttl, word("dec", "inc", "set"), number(1, 255), flows())
    | _built(t.Mss, _maybe(number(1, 65535)), flows())
    | opaques("prerouting", "input", "forward", "output", "postrouting")
)
RAW = (
    _built(t.Notrack, flows(), st.none())
    | _built(t.Notrack, flows().filter(lambda flow: flow.target is None), ends())
    | _built(t.DropFrom, st.booleans(), ends())
    | _built(t.Drop, flows())
    | opaques("prerouting", "output")
)
EXPECT = _built(t.Reach, st.booleans(), ends(), st.booleans(), ends(), _maybe(ports())) | _built(
    t.Translates, ends(), ports(), ends(), PORT
)
ENTRIES = name() | addresses() | prefixes() | ranges() | cut_prefixes()


@st.composite
def sets(draw: st.DrawFn) -> t.SetDefinition:
    entries = draw(_some(ENTRIES, 6, 0))
    return t.SetDefinition(*BRACES, draw(name()), entries, not entries or draw(st.booleans()))


def items() -> Strategy:
    priority = _maybe(number(0, 1000))
    return st.one_of(
        _built(t.Include, st.just(t.Text(*AT, '"other.np"'))),
        sets(),
        _built(t.ServiceDefinition, name(), ports()),
        _built(t.ZoneDefinition, name(), ends(), st.booleans()),
        _built(t.PolicyBlock, name(), _maybe(word("admin", "baseline")), priority, _some(lists(False), 4, 0)),
        _built(t.NodeBlock, st.just(False), _some(lists(False, "input", "output"), 3, 0)),
        _built(t.NodeBlock, st.just(True), _some(lists(True, "input", "output"), 3, 0)),
        _built(t.ForwardBlock, st.just(False), _some(lists(False), 3, 0)),
        _built(t.ForwardBlock, st.just(True), _some(lists(True), 3, 0)),
        _built(t.NatBlock, _some(NAT | withins(NAT | withins(NAT)), 3, 0)),
        _built(t.MangleBlock, _some(MANGLE, 3, 0)),
        _built(t.RawBlock, _some(RAW, 3, 0)),
        _built(t.ExpectBlock, _some(EXPECT, 3, 0)),
    )


def files(most: int = 5) -> st.SearchStrategy[t.File]:
    return _built(t.File, _some(items(), most, 0))
