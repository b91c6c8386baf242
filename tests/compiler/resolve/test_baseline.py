"""Blocks of the baseline tier as policies: what each direction is about, in which order, and whose addresses."""

from __future__ import annotations

from compiler.net import TCP, UDP, Family, parse_address
from compiler.policy import Action, Anyone, Direction, NamedPort, PodSelector, Policy, Resolved, Selector, Tier
from compiler.resolve.baseline import with_blocks
from compiler.resolve.classes import PodClass, classes
from compiler.resolve.ends import Ends
from compiler.resolve.inventory import Inventory
from compiler.resources.language import Program
from compiler.snapshot import Snapshot, build
from compiler.sources import language
from tests.compiler.models import network_policy, pod, pods, rule, tier_policy

CLUSTER = build(
    [
        pod("a", "app=a", "10.0.0.1", "fd00::1", serves=("tcp/8080/http",)),
        pod("b", "app=b", "10.0.0.2", "fd00::2"),
        pod("c", "app=b", "10.0.0.3"),
    ]
)
EVERY_POD = PodSelector(Selector(), Selector())


def program(text: str) -> Program:
    return language.load([("edge.np", text.encode())], lambda _, name: name)


def policies(text: str, *objects: Policy, cluster: Snapshot = CLUSTER) -> tuple[Policy, ...]:
    return with_blocks(objects, program(text), Ends(Inventory(cluster), None))


def held(classes: tuple[PodClass, ...], direction: Direction) -> list[tuple[list[str], list[str]]]:
    """The addresses of each class, and the rules that it meets."""
    found = (one for one in classes if one.direction is direction)
    return [([ip for p in c.pods for ip in p.ips], [c.origin.place for c in c.policies]) for c in found]


def test_a_rule_is_one_of_each_direction() -> None:
    ingress, egress = policies("policy p tier baseline priority 4 { deny pods(app=a) -> any : tcp/80 + udp }")
    assert (ingress.subject, ingress.only, egress.subject, egress.only) == (
        EVERY_POD,
        None,
        pods("app=a", Selector()),
        None,
    )
    assert [one.peers for one in (*ingress.ingress, *egress.egress)] == [(pods("app=a", Selector()),), (Anyone(),)]
    assert not ingress.egress
    assert not egress.ingress
    assert {one.ports.spans for one in (*ingress.ingress, *egress.egress)} == {((TCP, 80, 80), (UDP, 0, 65535))}
    for one in (ingress, egress):
        assert (one.tier, one.priority, one.is_of_program) == (Tier.BASELINE, 4, True)
        assert str(one.origin) == "policy p rule[0] (edge.np:1)"


def test_blocks_come_before_objects_of_their_priority() -> None:
    text = "".join(
        f"policy {name} tier baseline priority {n} {{ allow any -> any }}" for name, n in (("z", 2), ("b", 1), ("a", 2))
    )
    objects = [tier_policy(Tier.BASELINE, n, pods(), ingress=(rule(Anyone()),)) for n in (1, 2)]
    order = policies(text, network_policy("n", pods()), *objects)
    names = [(one.tier, one.priority, one.origin.name if one.is_of_program else "") for one in order]
    first, *rest = dict.fromkeys(names)
    assert first == (Tier.APPLICATION, 0, "")
    assert [(n, name) for _, n, name in rest] == [(1, "b"), (1, ""), (2, "a"), (2, "z"), (2, "")]
    assert not policies("policy p { deny any -> any }"), "the admin tier is a list in front"


def test_pods_are_told_apart_by_address() -> None:
    found = classes(
        Inventory(CLUSTER),
        policies(
            "policy p tier baseline { allow { 10.0.0.0/31, fd00::/126 except fd00::2 } -> any"
            "  deny any except pods(app=b) -> any }"
        ),
        None,
    )
    assert held(found, Direction.EGRESS) == [(["10.0.0.1", "fd00::1"], ["rule[0]", "rule[1]"])]
    found = classes(Inventory(CLUSTER), policies("policy p tier baseline { deny 10.0.0.2-10.0.0.9 -> any }"), None)
    assert held(found, Direction.EGRESS) == [(["10.0.0.2", "10.0.0.3"], ["rule[0]"])]
    assert held(found, Direction.INGRESS) == [(["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2", "10.0.0.3"], ["rule[0]"])]


def test_classes_of_one_block_have_names_of_their_own() -> None:
    """Which rules decide is all that tells them apart."""
    text = "policy p tier baseline { deny pods(app=a) -> 192.0.2.1  deny pods(app=b) -> 192.0.2.2 }"
    found = classes(Inventory(CLUSTER), policies(text), None)
    keys = [one.key for one in found if one.direction is Direction.EGRESS]
    assert len(keys) == len(set(keys)) == 2


def test_ports_by_name() -> None:
    """Towards pods by labels and anyone as in objects; towards addresses those pods' numbers."""
    _, egress = policies("policy p tier baseline { deny any -> { pods(app=b), pods and 10.0.0.0/30 } : tcp/http }")
    first, second = egress.egress
    assert [type(peer) for peer in first.peers] == [PodSelector, Resolved]
    assert first.ports.named == (NamedPort("http", TCP),)
    assert second.ports.spans == ((TCP, 8080, 8080),)
    assert {one.action for one in egress.egress} == {Action.DENY}
    (peer,) = second.peers
    assert isinstance(peer, Resolved)
    assert peer.holds(*parse_address("10.0.0.1"))
    assert not any(peer.holds(*parse_address(text)) for text in ("10.0.0.0", "10.0.0.2", "fd00::1"))
    assert peer.addresses[Family.IPV6] == ()


def test_blocks_alone_close_no_contested_address() -> None:
    """An address that several pods claim is nobody's; objects close it, blocks are not about it."""
    cluster = build([pod("a", "app=a", "10.0.0.1"), pod("b", "app=b", "10.0.0.1", "fd00::2")])
    blocks = policies("policy p tier baseline { deny any -> any }", cluster=cluster)
    found = classes(Inventory(cluster), blocks, None)
    assert held(found, Direction.INGRESS) == [(["fd00::2"], ["rule[0]"])]
    found = classes(Inventory(cluster), (network_policy("n", pods("app=x")), *blocks), None)
    assert (["10.0.0.1"], []) in held(found, Direction.INGRESS)
