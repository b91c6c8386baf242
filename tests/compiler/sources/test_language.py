"""Programs in the policy language: names, types and families, from text to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import InvalidInput
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Dnat,
    Dscp,
    Either,
    End,
    Flow,
    Interfaces,
    Item,
    Less,
    Log,
    Mark,
    MessageType,
    Mss,
    NamedPort,
    Nodes,
    Notrack,
    Pods,
    PortRange,
    Program,
    Rate,
    Reaches,
    Rule,
    ThisNode,
    WholeProtocol,
)
from compiler.sources.language import load
from compiler.sources.language.addresses import VERSIONS, bogons, known, single, versions
from tests.compiler.programs import every_rule

#: The sample that the language was designed with; `services.np` defines web and ingress.
SAMPLE = """
include "services.np"
set admins = { 10.0.0.4, 2001:db8::4, 192.0.2.0/24 except 192.0.2.7 }
zone world = iface eth0
zone shop  = pods(namespace: shop, app in (web, api))
policy edge tier admin priority 100 {
  allow  world -> shop : web                 "ticket NET-12"
  deny   shop -> 169.254.169.254
  deny   admins -> shop : tcp/22  log "ssh" limit 5/min
  reject any -> shop with icmp-admin-prohibited
}
node {
  allow admins -> self : tcp/22,6443
  deny  any -> self : tcp/10250 unless from nodes
}
nat    { dnat world : tcp/8443 -> shop : 443    masquerade pods -> world    snat 10.1.0.0/16 -> world as 192.0.2.9
         redirect tcp/80 to 8080                 keep source for pods -> 10.0.0.0/8 }
mangle { mark shop 0x10/0xff    dscp web af41    ttl dec 1 for world -> pods    mss clamp pmtu for pods <-> world }
raw    { notrack udp/4789 between nodes    drop from bogons    drop spoofed from pods }
expect { world can reach shop:443    world cannot reach shop:22    only { world, ingress } can reach shop
         world : 8443 translates to shop:443 }
"""
SERVICES = "service web = tcp/80,443 + udp/443\nzone ingress = pods(namespace: ingress)\n"


def read(text: str, **more: str) -> Program:
    """The program of one text; `more` has the files that it may include, by their names without `.np`."""

    def include(_: str, path: str) -> tuple[str, bytes] | str:
        name = path.removesuffix(".np")
        return (path, more[name].encode()) if name in more else f"{path}: No such file or directory"

    return load([("f.np", text.encode())], include)


def problems(text: str, **more: str) -> list[str]:
    """`FILE:LINE:COLUMN CODE` of everything that is wrong."""
    with pytest.raises(InvalidInput) as caught:
        read(text, **more)
    return [f"{one.span} {one.code}" for one in caught.value.diagnostics]


def rule_of(items: Sequence[Item], n: int = 0) -> Rule:
    """One rule of a list that has nothing else."""
    found = items[n]
    assert isinstance(found, Rule)
    return found


def one(text: str) -> Addresses:
    low, _, high = text.partition("-")
    return Addresses(first=ip_address(low), last=ip_address(high or low))


class TestSample:
    """The sample means what its words say."""

    program = read(SAMPLE, services=SERVICES)

    def test_rules(self) -> None:
        (edge,) = self.program.policies
        assert (edge.name, edge.tier, edge.priority) == ("edge", "admin", 100)
        assert [rule.verb for rule in every_rule(edge.rules)] == ["allow", "deny", "deny", "reject"]
        first, second, third, last = every_rule(edge.rules)
        assert first.source == Interfaces(names=("eth0",))
        assert first.target == second.source
        assert isinstance(first.target, Pods)
        assert first.target.namespaces == "shop"
        assert first.target.labels.match_expressions is not None
        assert first.target.labels.match_expressions[0].values == ("web", "api")
        assert first.reason == "ticket NET-12"
        assert first.ports == tuple(PortRange(protocol=p, first=n, last=n) for p, n in ((6, 80), (6, 443), (17, 443)))
        assert second.target == one("169.254.169.254")
        assert third.log == Log(prefix="ssh", limit=Rate(count=5, unit="minute"))
        assert third.reason == ""
        assert last.answer == "icmp-admin-prohibited"
        assert last.source == Anyone()
        assert last.ports is None

    def test_a_statement_knows_its_text_and_place(self) -> None:
        rule = rule_of(self.program.policies[0].rules, 2)
        assert rule.text == 'deny admins -> shop : tcp/22 log "ssh" limit 5/min'
        assert str(rule.span) == "f.np:9:3"
        assert self.program.policies[0].text == "policy edge tier admin priority 100"

    def test_sets_with_exceptions(self) -> None:
        admins = rule_of(self.program.node).source
        assert admins == Either(
            ends=(
                one("10.0.0.4"),
                one("2001:db8::4"),
                Less(end=one("192.0.2.0-192.0.2.255"), without=Either(ends=(one("192.0.2.7"),))),
            )
        )
        assert rule_of(self.program.node, 1).unless == Nodes()
        assert rule_of(self.program.node, 1).target == ThisNode()

    def test_tables(self) -> None:
        dnat, _masquerade, *_ = self.program.nat
        assert isinstance(dnat, Dnat)
        assert dnat.port == 443
        assert dnat.to is None
        assert [type(found).__name__ for found in self.program.nat] == [
            "Dnat",
            "Masquerade",
            "Snat",
            "Redirect",
            "KeepSource",
        ]
        mark, dscp, _, mss = self.program.mangle
        assert isinstance(mark, Mark)
        assert (mark.value, mark.mask) == (0x10, 0xFF)
        assert isinstance(dscp, Dscp)
        assert dscp.value == 34
        assert dscp.flow.source is None
        assert len(dscp.flow.ports or ()) == 3
        assert isinstance(mss, Mss)
        assert mss.flow == Flow(source=Pods(), target=Interfaces(names=("eth0",)), both_ways=True)
        notrack, *_ = self.program.raw
        assert isinstance(notrack, Notrack)
        assert notrack.flow == Flow(
            source=Nodes(), target=Nodes(), ports=(PortRange(protocol=17, first=4789, last=4789),), both_ways=True
        )

    def test_expectations(self) -> None:
        can, cannot, only, _ = self.program.expectations
        assert isinstance(can, Reaches)
        assert can.can
        assert not can.only
        assert can.ports == (PortRange(protocol=6, first=443, last=443),)
        assert isinstance(cannot, Reaches)
        assert not cannot.can
        assert isinstance(only, Reaches)
        assert only.only
        assert only.ports is None
        assert isinstance(only.source, Either)
        assert only.source.ends[1] == Pods(namespaces="ingress")


class TestNames:
    def test_a_name_is_known_in_front_of_its_definition_and_across_files(self) -> None:
        program = read('policy p { allow a -> b }\nzone a = b\ninclude "more.np"', more="set b = { 10.0.0.1 }")
        assert rule_of(program.policies[0].rules).source == Either(ends=(one("10.0.0.1"),))

    def test_files_that_include_each_other_are_read_once(self) -> None:
        program = read('include "a.np" include "a.np"', a='include "b.np" policy a {}', b='include "a.np" policy b {}')
        assert [policy.name for policy in program.policies] == ["a", "b"]

    def test_a_file_that_cannot_be_had(self) -> None:
        assert problems('\ninclude "none.np"') == ["f.np:2:9 unreadable-include"]

    def test_what_cannot_be_parsed_ends_the_run(self) -> None:
        assert problems('policy p { allow x -> }\ninclude "a.np"\nzone z = unknown', a="zone = any") == [
            "f.np:1:23 " + problems("policy p { allow x -> }")[0].split()[1],
        ]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("zone a = b", ["f.np:1:10 unknown-name"]),
            ("set a = { 10.0.0.1, b }", ["f.np:1:21 unknown-name"]),
            ("zone a = any zone a = any", ["f.np:1:19 duplicate-name"]),
            ("zone a = any service a = tcp", ["f.np:1:22 duplicate-name"]),
            ("policy a {} policy a {}", ["f.np:1:20 duplicate-name"]),
            ("zone a = b zone b = { c, any } zone c = a", ["f.np:1:41 cycle"]),
            ("set a = { a, 10.0.0.1 }", ["f.np:1:11 cycle"]),
            ("service a = tcp/1 + b service b = udp/1 + a", ["f.np:1:43 cycle"]),
            ("service a = tcp zone b = a", ["f.np:1:26 wrong-kind"]),
            ("zone a = any set b = { a }", ["f.np:1:24 wrong-kind"]),
            ("zone a = any policy p { allow a -> a : a }", ["f.np:1:40 wrong-kind"]),
            ("policy p { allow a -> b : c }", ["f.np:1:18 unknown-name", "f.np:1:23 unknown-name"]),
        ],
    )
    def test_names_that_are_wrong(self, text: str, found: list[str]) -> None:
        assert problems(text) == found

    def test_what_was_meant(self) -> None:
        with pytest.raises(InvalidInput, match="1 problem") as caught:
            read("zone world = any zone shop = wolrd")
        assert caught.value.diagnostics[0].message == "there is no set or zone wolrd: did you mean world?"

    def test_an_unknown_name_is_told_of_where_it_stands_alone(self) -> None:
        """Those who use the zone that it spoils have nothing to add."""
        assert problems("zone a = none policy p { allow a -> a : tcp/x } node { allow a -> self }") == [
            "f.np:1:10 unknown-name"
        ]


class TestTypes:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("set a = { 10.0.0.1/32 except 10.0.0.1 }", "f.np:1:1 empty"),
            ("zone a = 10.0.0.1 and 10.0.0.2", "f.np:1:1 empty"),
            ("policy p { allow 10.0.0.1 except 10.0.0.0/8 -> any }", "f.np:1:18 empty"),
            ("zone a = pods and 10.0.0.1 and ::1", "f.np:1:1 family-mismatch"),
            ("policy p { allow 10.0.0.1 -> ::1 }", "f.np:1:12 family-mismatch"),
            ("policy p { allow any -> 10.0.0.1 : icmpv6 }", "f.np:1:12 family-mismatch"),
            ("policy p { allow ::1 -> any : icmp/echo-request }", "f.np:1:12 family-mismatch"),
            ("nat { snat ::1 -> any as 10.0.0.1 }", "f.np:1:26 family-mismatch"),
            ("policy p { allow any -> self }", "f.np:1:25 self"),
            ("node { allow any -> any }", "f.np:1:8 self"),
            ("node { allow self -> self }", "f.np:1:8 self"),
            ("policy p { allow any -> 10.0.0.1 : tcp/http }", "f.np:1:25 named-port"),
            ("service s = tcp/http mangle { mark any : s 1 }", "f.np:1:42 named-port"),
            ("policy p { reject any -> any with tcp-reset }", "f.np:1:12 bad-answer"),
            ("policy p { reject any -> any : udp/1 with tcp-reset }", "f.np:1:12 bad-answer"),
            ("nat { dnat any : tcp/80 -> 10.0.0.0/24 }", "f.np:1:28 many-targets"),
            ("nat { dnat any : tcp/80 -> any }", "f.np:1:28 many-targets"),
            ("nat { dnat any : gre -> 10.0.0.1 }", "f.np:1:18 no-ports"),
            ("nat { redirect any to 80 }", "f.np:1:7 no-ports"),
            ("mangle { mss clamp pmtu for any : udp/53 }", "f.np:1:29 no-ports"),
        ],
    )
    def test_what_does_not_fit(self, text: str, found: str) -> None:
        assert problems(text) == [found]

    def test_what_may_be_empty(self) -> None:
        program = read("set a = {} may be empty zone b = a may be empty policy p { allow b -> any }")
        assert rule_of(program.policies[0].rules).source == Either(ends=())
        assert problems("set a = {} may be empty zone b = a") == ["f.np:1:25 empty"]

    def test_ports(self) -> None:
        service = "service s = udp/53,100-200 + sctp + icmp/echo-request,3 + proto/4"
        assert rule_of(
            read(service + " policy p { allow any -> pods : s + 80 + tcp/http }").policies[0].rules
        ).ports == (
            PortRange(protocol=17, first=53, last=53),
            PortRange(protocol=17, first=100, last=200),
            WholeProtocol(protocol=132),
            MessageType(protocol=1, type=8),
            MessageType(protocol=1, type=3),
            WholeProtocol(protocol=4),
            PortRange(protocol=6, first=80, last=80),
            NamedPort(protocol=6, name="http"),
        )

    def test_a_name_alone_may_be_a_protocol(self) -> None:
        raw = read("raw { notrack tcp  notrack esp }").raw
        wanted = [Flow(ports=(WholeProtocol(protocol=number),)) for number in (6, 50)]
        assert [one.flow for one in raw if isinstance(one, Notrack)] == wanted
        assert problems("raw { notrack esp -> any }") == ["f.np:1:15 unknown-name"]

    def test_expressions_of_ends(self) -> None:
        program = read(
            'policy p { allow pods and 10.0.0.0/8 except 10.1.0.0/16 -> { nodes(role = "x", !old), iface wg* } }'
        )
        rule = rule_of(program.policies[0].rules)
        assert rule.source == Less(
            end=Both(ends=(Pods(), one("10.0.0.0-10.255.255.255"))), without=one("10.1.0.0-10.1.255.255")
        )
        assert isinstance(rule.target, Either)
        nodes, wires = rule.target.ends
        assert isinstance(nodes, Nodes)
        assert nodes.labels.match_expressions is not None
        assert [(one.key, one.operator, one.values) for one in nodes.labels.match_expressions] == [
            ("role", "In", ("x",)),
            ("old", "DoesNotExist", None),
        ]
        assert wires == Interfaces(names=("wg*",))

    def test_both_spellings_of_between(self) -> None:
        nodes = Nodes()
        for text in ("notrack udp/1 between nodes", "notrack nodes <-> nodes : udp/1"):
            (found,) = read(f"raw {{ {text} }}").raw
            assert isinstance(found, Notrack)
            assert found.flow.both_ways
            assert (found.flow.source, found.flow.target) == (nodes, nodes)


#: Small expressions over few addresses of both families.
LEAVES = st.builds(
    lambda base, low, size: one(f"{base}{low}-{base}{low + size}"),
    st.sampled_from(["10.0.0.", "::"]),
    st.integers(0, 5),
    st.integers(0, 3),
)
ENDS: st.SearchStrategy[End] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda ends: Either(ends=tuple(ends)), st.lists(inner, max_size=3))
        | st.builds(lambda ends: Both(ends=tuple(ends)), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda end, cut: Less(end=end, without=cut), inner, inner)
    ),
    max_leaves=8,
)


def holds(end: End, version: int, address: int) -> bool:
    match end:
        case Addresses(first=first, last=last):
            return first.version == version and int(first) <= address <= int(last)
        case Either(ends=ends):
            return any(holds(inner, version, address) for inner in ends)
        case Both(ends=ends):
            return all(holds(inner, version, address) for inner in ends)
        case Less(end=inner, without=cut):
            return holds(inner, version, address) and not holds(cut, version, address)
        case _:
            raise AssertionError(end)


def listed(found: Mapping[int, tuple[tuple[int, int], ...]] | None, version: int) -> set[int]:
    assert found is not None
    return {address for low, high in found.get(version, ()) for address in range(low, high + 1)}


class TestAddresses:
    @given(ENDS)
    def test_known_addresses_are_those_that_the_expression_holds(self, end: End) -> None:
        for version, base in ((4, int(ip_address("10.0.0.0"))), (6, 0)):
            wanted = {address for address in range(base, base + 10) if holds(end, version, address)}
            assert listed(known(end), version) == wanted
            assert (version in versions(end)) == bool(wanted)
            assert (single(end) is not None) == all(len(listed(known(end), v)) <= 1 for v in VERSIONS)

    def test_bogons_are_no_private_and_no_dhcp_addresses(self) -> None:
        found = known(bogons())
        for text in ("10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.0.1", "0.0.0.0", "8.8.8.8"):
            assert not holds(bogons(), 4, int(ip_address(text))), text
        for text in ("127.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "224.0.0.1"):
            assert holds(bogons(), 4, int(ip_address(text))), text
        for text, wanted in (
            ("fe80::1", False),
            ("::", False),
            ("fd00::1", False),
            ("2001:db8::1", True),
            ("ff02::1", True),
        ):
            assert holds(bogons(), 6, int(ip_address(text))) is wanted, text
        assert found is not None
        assert set(found) == {4, 6}
