"""Rules that stand in a program as they are, and rules by chance: which texts are proved to mean them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from compiler.analysis.proof import Prover
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.resources.language import (
    Addresses,
    Anyone,
    End,
    Interfaces,
    Item,
    Opaque,
    PolicyBlock,
    PortRange,
    Program,
    Reaches,
    Rule,
    ThisNode,
    Within,
)
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.proof.expectations import judge
from compiler.semantics.proof.verify import Different, Equal, verify
from compiler.semantics.rules import rulesets
from compiler.snapshot import Snapshot
from grammar.source import Span

ANYONE, US = Anyone(), ThisNode()
LOW = Addresses(first=IPv4Address("10.0.0.0"), last=IPv4Address("10.255.255.255"))


class Lines:
    """Items, each on a line of its own."""

    def __init__(self) -> None:
        self._line = 0

    def _place(self) -> Span:
        self._line += 1
        return Span("p.np", self._line, 1, self._line, 2)

    def rule(self, verb: str, source: End = ANYONE, target: End = US, **more: object) -> Rule:
        return Rule(verb=verb, source=source, target=target, text=verb, span=self._place(), **more)  # type: ignore[arg-type]

    def within(self, *items: Item, source: End = ANYONE, target: End = US, **more: object) -> Within:
        return Within(items=items, source=source, target=target, text="within", span=self._place(), **more)  # type: ignore[arg-type]

    def opaque(self, rule: str, tool: str = "iptables", hook: str = "input", **more: object) -> Opaque:
        return Opaque(name="x", tool=tool, rule=rule, hook=hook, text="opaque", span=self._place(), **more)  # type: ignore[arg-type]


L = Lines()


def of_node(*items: Item) -> Program:
    return Program(node=items)


def iptables(*rules: str, replies: bool = True) -> dict[str, str]:
    """The rules in INPUT; of both families where they name no address."""
    first = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" * replies
    text = f"*filter\n:INPUT ACCEPT [0:0]\n:list - [0:0]\n{first}-A INPUT -j list\n"
    text += "".join(f"-A list {rule}\n" for rule in rules) + "COMMIT\n"
    return {"iptables": text} | ({} if "10.0.0.0" in text else {"ip6tables": text})


def nftables(*rules: str) -> dict[str, str]:
    lines = "\n".join(rules)
    hook = "type filter hook input priority filter; policy accept; ct state established,related accept"
    return {"nft": f"table inet t {{ chain input {{ {hook}\n {lines}\n }} }}"}


def proved(program: Program, files: dict[str, str], families: tuple[int, ...] | None = None) -> bool:
    families = families or ((4, 6) if "ip6tables" in files or "nft" in files else (4,))
    said = verify([], Snapshot(), None, rulesets.read(files.items()), families, program)
    assert isinstance(said, Equal | Different)
    return isinstance(said, Equal)


BURST = "-m recent --name n --update --seconds 60 -j DROP"
LIMIT = "-m limit --limit 25/sec --limit-burst 100 -j RETURN"


@pytest.mark.parametrize(
    ("items", "rules", "wanted"),
    [
        ([L.opaque(BURST)], [BURST], True),
        ([L.opaque(BURST)], [], False),
        ([L.opaque(BURST)], [BURST.replace("60", "61")], False),
        ([L.opaque(BURST)], ["-j DROP"], False),
        ([L.opaque(BURST)], [BURST.replace("DROP", "ACCEPT")], False),
        # Its place among the other rules matters.
        ([L.rule("allow", LOW), L.opaque(BURST)], ["-s 10.0.0.0/8 -j ACCEPT", BURST], True),
        ([L.rule("allow", LOW), L.opaque(BURST)], [BURST, "-s 10.0.0.0/8 -j ACCEPT"], False),
        ([L.opaque(BURST), L.rule("deny", LOW)], ["-s 10.0.0.0/8 -j DROP", BURST], True),  # both deny
        # What only notes packets, or remembers them, decides nothing.
        ([L.opaque("-m recent --name n --set")], [], True),
        ([L.opaque("-m recent --name n --set"), L.opaque(BURST)], ["-m recent --name n --set", BURST], True),
        ([L.opaque("-j LOG --log-prefix x")], [], True),
        # Returning leaves the list.
        ([L.opaque(LIMIT), L.rule("deny")], [LIMIT, "-j DROP"], True),
        ([L.opaque(LIMIT), L.rule("deny")], ["-j DROP"], False),
        ([L.opaque(LIMIT), L.rule("deny")], [LIMIT.replace("RETURN", "ACCEPT"), "-j DROP"], True),  # no list behind
        # Pure tests are the same wherever they stand.
        ([L.opaque("-m length --length 100:200 -j DROP")], ["-m length --length 100:200 -j DROP"] * 2, True),
        ([L.opaque("-m length --length 100:200 -j DROP")], ["-m length ! --length 100:200 -j DROP"], False),
        # Of one family, answers, equal statements.
        ([L.opaque("-p udp -j REJECT")], ["-p udp -j REJECT"], True),
        ([L.opaque("-p udp -j REJECT")], ["-p udp -j DROP"], False),
        ([L.opaque(BURST), L.rule("allow", LOW), L.opaque(BURST)], [BURST, "-s 10.0.0.0/8 -j ACCEPT", BURST], True),
        ([L.opaque(BURST), L.rule("allow", LOW), L.opaque(BURST)], [BURST, BURST], False),
        # A statement with an effect that nobody knows.
        ([L.opaque("-p tcp -j TARPIT")], ["-p tcp -j TARPIT"], True),
        ([L.opaque("-p tcp -j TARPIT")], ["-p tcp -j DELUDE"], False),
        ([L.opaque("-p tcp -j TARPIT")], ["-p tcp -j DROP"], False),
    ],
)
def test_rules_as_written(items: list[Item], rules: list[str], wanted: bool) -> None:
    assert proved(of_node(*items), iptables(*rules)) is wanted


def test_the_answer_names_them() -> None:
    items = [L.opaque(BURST), L.opaque("-m recent --name n --set")]
    places = ", ".join(f"x (p.np:{item.span.line})" for item in items)
    said = verify([], Snapshot(), None, rulesets.read(iptables(BURST).items()), (4,), of_node(*items))
    assert said == Equal((4,), f"with 2 rules of one tool, unverified: {places}")


def test_of_one_family() -> None:
    program, text = of_node(L.opaque(BURST, version=4)), iptables(BURST)
    assert proved(program, text, (4,))
    assert not proved(program, text, (6,))
    assert proved(program, {**text, "ip6tables": iptables()["ip6tables"]})


def test_of_nftables() -> None:
    text = "tcp dport { 80, 443 } meter m { ip saddr limit rate over 5/second } drop"
    plain = "tcp dport { 22, 80 } limit rate over 5/second drop"
    program = of_node(L.opaque(plain, "nft"), L.rule("deny", LOW))
    assert proved(program, nftables(plain, "ip saddr 10.0.0.0/8 drop"))
    assert not proved(program, nftables(plain.replace("22", "23"), "ip saddr 10.0.0.0/8 drop"))
    assert not proved(program, nftables(plain.replace("over ", ""), "ip saddr 10.0.0.0/8 drop"))
    with pytest.raises(Unprovable, match=r"p.np:\d+"):
        proved(of_node(L.opaque(text + " nonsense {", "nft")), nftables())


def test_inside_of_a_list() -> None:
    """Leaving goes on behind the innermost one."""
    program = of_node(L.within(L.opaque(LIMIT), L.rule("deny"), source=LOW), L.rule("reject"))
    text = iptables("-s 10.0.0.0/8 -j inner", "-j REJECT")
    inner = {name: own.replace(":list", ":inner - [0:0]\n:list") for name, own in text.items()}

    def rules(*found: str) -> dict[str, str]:
        more = "".join(f"-A inner {rule}\n" for rule in found)
        return {name: own.replace("COMMIT", f"{more}COMMIT") for name, own in inner.items() if name == "iptables"}

    assert proved(program, rules(LIMIT, "-j DROP"), (4,))
    assert not proved(program, rules(LIMIT.replace("RETURN", "ACCEPT"), "-j DROP"), (4,))
    assert not proved(program, rules("-j DROP"), (4,))


def test_what_changes_packets_is_no_statement_of_a_list() -> None:
    with pytest.raises(Unprovable, match=r"p.np:\d+: changes packets"):
        proved(of_node(L.opaque("-j MARK --set-mark 1")), iptables())


THIRD = "-m statistic --mode random --probability 0.3333333333"


@pytest.mark.parametrize(
    ("items", "rules", "wanted"),
    [
        ([L.rule("deny", chance=3)], [f"{THIRD} -j DROP"], True),
        ([L.rule("deny", chance=3)], ["-m statistic --mode random --probability 0.33333333349 -j DROP"], True),
        ([L.rule("deny", chance=3)], ["-m statistic --mode random --probability 0.25 -j DROP"], False),
        ([L.rule("deny", chance=3)], ["-m statistic --mode nth --every 3 --packet 0 -j DROP"], False),
        ([L.rule("deny", chance=3)], ["-j DROP"], False),
        ([L.rule("deny", chance=3)], [], False),
        ([L.rule("deny", chance=3)], [f"{THIRD} -j REJECT"], False),
        # Every throw is another one: what is asked twice holds more often.
        ([L.rule("deny", chance=3)], [f"{THIRD} -j DROP"] * 2, False),
        ([L.rule("deny", chance=3), L.rule("deny", chance=3)], [f"{THIRD} -j DROP"] * 2, True),
        # Two of three: a half of what the third leaves.
        (
            [L.rule("deny", chance=3), L.rule("reject", chance=2), L.rule("allow")],
            [f"{THIRD} -j DROP", "-m statistic --mode random --probability 0.5 -j REJECT"],
            True,
        ),
        (
            [L.rule("deny", chance=3), L.rule("reject", chance=2), L.rule("allow")],
            ["-m statistic --mode random --probability 0.5 -j REJECT", f"{THIRD} -j DROP"],
            False,
        ),
        # Another way to say the same: one in six each of two, none of them twice.
        (
            [L.within(L.rule("deny", LOW), L.rule("reject"), chance=2)],
            [
                "-s 10.0.0.0/8 -m statistic --mode random --probability 0.5 -j DROP",
                "! -s 10.0.0.0/8 -m statistic --mode random --probability 0.5 -j REJECT",
            ],
            True,
        ),
        ([L.rule("deny", chance=1)], ["-j DROP"], True),
    ],
)
def test_chance(items: list[Item], rules: list[str], wanted: bool) -> None:
    assert proved(of_node(*items), iptables(*rules), (4,)) is wanted


def test_chance_of_nftables() -> None:
    program = of_node(L.rule("deny", LOW, chance=7))
    assert proved(program, nftables("ip saddr 10.0.0.0/8 numgen random mod 7 0 drop"))
    assert not proved(program, nftables("ip saddr 10.0.0.0/8 numgen random mod 8 0 drop"))


def test_a_limit_that_only_logs_is_no_chance() -> None:
    program = of_node(L.rule("deny", LOW))
    assert proved(program, iptables("-s 10.0.0.0/8 -m limit --limit 5/min -j LOG", "-s 10.0.0.0/8 -j DROP"), (4,))


def test_conditions_and_other_lists() -> None:
    """By hand: what is asked before replies pass, of marks and source ports, and of what is forwarded."""
    ports = (PortRange(protocol=6, first=0, last=65535),)
    everyone = {"source": ANYONE, "target": ANYONE}
    program = Program(
        policies=(
            PolicyBlock(
                name="p",
                tier="admin",
                priority=1,
                rules=(L.rule("allow", LOW, ANYONE),),
                text="",
                span=Span("p.np", 1, 1, 1, 2),
            ),
        ),
        node_packets=(
            L.rule("deny", states=("invalid", "established")),
            L.rule("allow", LOW),
            L.rule("deny", source_ports=((53, 53), (123, 124)), ports=ports),
        ),
        forward_packets=(L.rule("reject", **everyone, states=("related",)),),
        forward=(
            L.rule("log", **everyone),
            L.rule("leave", LOW, ANYONE, marked={"value": 2, "mask": 6}),
            L.rule("deny", **everyone),
        ),
    )
    text = """table inet t {
      chain input { type filter hook input priority 0; policy accept;
        ct state invalid,established drop
        jump packets
        ct state related accept
      }
      chain packets { ip saddr 10.0.0.0/8 return
        tcp sport { 53, 123-124 } drop
      }
      chain forward { type filter hook forward priority 0; policy accept;
        ct state related reject
        ct state established accept
        ip saddr 10.0.0.0/8 meta mark & 0x6 == 0x2 accept
        drop
      }
      chain output { type filter hook output priority 0; policy accept; }
    }"""
    assert proved(program, {"nft": text})
    for part, mistake in (
        ("invalid,established", "invalid"),
        ("ip saddr 10.0.0.0/8 return", ""),
        ("123-124", "123-125"),
        ("ct state related reject", "ct state related accept"),
        ("& 0x6 ==", "& 0x7 =="),
        ("accept\n        drop", "accept"),
    ):
        assert part in text
        assert not proved(program, {"nft": text.replace(part, mistake)}), mistake


def test_a_witness_of_chance_has_both_sides_odds() -> None:
    texts = iptables("-m statistic --mode random --probability 0.25 -j DROP")
    told, *_ = Prover([], Snapshot(), of_node(L.rule("deny", chance=3))).prove(None, texts.items(), (4,)).witnesses
    assert "policies: allowed: by chance, accept (2/3) or drop (1/3)" in told
    assert "rules: by chance, accept (3/4) or drop (1/4)" in told


def expecting(can: bool, *items: Item) -> Program:
    place = Span("p.np", 900, 1, 900, 2)
    wanted = Reaches(source=LOW, target=US, ports=None, can=can, only=False, text="expected", span=place)
    return Program(node=items, expectations=(wanted,))


@pytest.mark.parametrize(
    ("can", "item", "holds"),
    [
        (True, L.opaque("-m recent --name n --set"), True),
        (True, L.opaque("-p udp -m recent --name n --rcheck -j DROP"), False),  # some fail, at times
        (False, L.opaque("-m recent --name n --rcheck -j DROP"), False),
        (False, L.opaque("-j DROP"), True),
        (True, L.rule("deny", chance=1000), False),
        (False, L.rule("deny", chance=2), False),
    ],
)
def test_expectations_hold_however_unknowns_and_throws_end(can: bool, item: Item, holds: bool) -> None:
    judged = judge(expecting(can, item), [], Snapshot())
    assert bool(judged.failed) is not holds
    assert not judged.unconstrained or isinstance(item, Rule)  # what is as written is not counted


def test_nobody_can_expect_anything_of_a_statement_that_is_not_known() -> None:
    with pytest.raises(Unprovable, match=r"p.np:900: nobody knows what becomes of some of its packets"):
        judge(expecting(False, L.opaque("-p udp -j NFQUEUE --queue-num 1"), L.rule("deny")), [], Snapshot())


@pytest.mark.parametrize(
    ("tool", "hook", "rule", "meets"),
    [
        ("iptables", "output", "-i eth0 -j DROP", False),
        ("iptables", "output", "! -i eth0 -j DROP", True),
        ("nft", "output", 'iifname "eth0" drop', False),
        ("nft", "output", 'iifname "" drop', True),
        ("nft", "input", 'oifname "eth0" drop', False),
        ("nft", "input", 'oifname != "eth0" drop', True),
    ],
)
def test_no_packet_has_the_other_interface(tool: str, hook: str, rule: str, meets: bool) -> None:
    """What the node sends came in by none, which has the empty name, and what it receives does not go out."""
    program = of_node(L.opaque(rule, tool, hook))
    backend = Backend.IPTABLES if tool == "iptables" else Backend.NFTABLES
    made = Compiler((), Snapshot(), program, None).compile(Target(backend, None))
    proof = Prover([], Snapshot(), program).prove(None, made.files.items(), (4, 6))
    assert proof.equal, proof.witnesses[0]
    ends = {"source" if hook == "output" else "target": US, "target" if hook == "output" else "source": ANYONE}
    place = Span("p.np", 900, 1, 900, 2)
    can = Reaches(**ends, ports=None, can=not meets, only=False, text="expected", span=place)  # type: ignore[arg-type]
    assert not judge(program.model_copy(update={"expectations": (can,)}), [], Snapshot()).failed


def test_witnesses_have_interfaces_by_names_of_interfaces() -> None:
    program = of_node(L.rule("deny", Interfaces(names=("lo",))))
    told = Prover([], Snapshot(), program).prove(None, nftables('iifname "lo*" drop').items(), (4,)).witnesses
    assert "in by lo0)" in told[0]
