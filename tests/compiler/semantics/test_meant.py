"""The words beside a set that somebody fills by hand: read as whoever wrote them meant them, or refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends import ipset, nftables
from compiler.ir.match import Field
from compiler.ir.ruleset import Ruleset, Set
from compiler.net import Family
from compiler.policy import PodSelector, Requirement, Selector
from compiler.resources.labels import LabelSelector
from compiler.semantics.packet import TCP
from compiler.semantics.proof.meant import Domains, Itself, Meant, Nodes, Pods, Serving, meant
from compiler.semantics.reading import selects
from compiler.semantics.rules import reads_ipset, reads_nftables
from grammar.source import Source

HOSTILE = st.sampled_from(["app", "all", "a/b", "", "in", "notin", "!", "a,b", "x in (y, z)", "%61", "''", "pods("])
WORDS = st.one_of(HOSTILE, st.text(max_size=300))
REQUIREMENTS = st.builds(
    lambda key, operator, values: Requirement(key, operator, values if operator.endswith("In") else ()),
    WORDS,
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.lists(WORDS, min_size=1, max_size=12).map(lambda values: tuple(sorted(set(values)))),
)
SELECTORS = st.lists(REQUIREMENTS, max_size=4).map(lambda found: Selector(tuple(found)))


def declared(note: str) -> Mapping[str, Meant | None]:
    """What both tools' texts say of a set with this note."""
    content = Set("s4-x", Family.IPV4, (Field.SOURCE,), (), (note,), by_hand=True)
    script = nftables.emit(Ruleset((), (content,)))["netpolc.nft"]
    saved = ipset.emit([content], {"s4-x": "netpolc-s4-x"}, ())
    (table,) = reads_nftables.read(Source("a.nft", script))
    return {
        "nft": meant(table.sets["s4-x"]),
        "ipset": meant(reads_ipset.read(Source("b.save", saved))["netpolc-s4-x"].content),
    }


def agree(one: Selector, two: LabelSelector, labels: Mapping[str, str]) -> bool:
    return one.matches(labels) is selects(two, labels)


@given(SELECTORS, st.one_of(st.sampled_from(["shop", "a-b"]), SELECTORS), st.data())
def test_any_selector_is_read_as_it_was_written(pods: Selector, place: str | Selector, data: st.DataObject) -> None:
    """Whatever text its keys and values have, however long: the same labels match."""
    note = f"to be filled: {PodSelector(place, pods)} (Deployment shop/web)"
    keys = [r.key for r in (*pods.requirements, *(place.requirements if isinstance(place, Selector) else ()))]
    values = [v for r in pods.requirements for v in r.values]
    labels = data.draw(st.dictionaries(st.sampled_from([*keys, "app"]), st.sampled_from([*values, "other"])))
    for found in declared(note).values():
        assert isinstance(found, Pods)
        assert agree(pods, found.pods, labels)
        if isinstance(place, Selector):
            assert agree(place, found.namespaces, labels)
        else:
            assert found.namespaces.match_labels == {"kubernetes.io/metadata.name": place}


def test_other_words() -> None:
    role = declared("to be filled: nodes(role notin (edge))")["nft"]
    assert isinstance(role, Nodes)
    assert selects(role.nodes, {"role": "core"})
    assert not selects(role.nodes, {"role": "edge"})
    assert set(declared("to be filled: domains(example.org, *.example.net)").values()) == {
        Domains(("example.org", "*.example.net"))
    }
    served = "to be filled: pods that serve {}port named {}, with protocol and port"
    assert set(declared(served.format("tcp ", "http")).values()) == {Serving("http", TCP)}
    assert set(declared(served.format("", "")).values()) == {Serving("", None)}
    itself = "a pod always reaches itself: to be filled with every pod's address, twice"
    assert set(declared(itself).values()) == {Itself()}
    assert set(declared("what pods may receive").values()) == {None}


@pytest.mark.parametrize(
    "words",
    [
        "pods(a = b) in shop",
        "pods(a in (b)c) in shop",
        "pods(a=b)",
        "pods(a=b) in Shop!",
        "nobody",
        "pods(a(b) in shop",
    ],
)
def test_what_is_not_understood_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        declared(f"to be filled: {words}")


def test_the_comment_of_a_loaded_set_counts() -> None:
    """As `nft list ruleset` prints it; what was cut there and stands nowhere else is not understood."""
    text = 'table inet t {{\n\tset a {{\n\t\ttype ipv4_addr\n\t\tcomment "to be filled: {}"\n\t}}\n}}\n'
    (table,) = reads_nftables.read(Source("live", text.format("pods(app=web) in shop (Deployment shop/we...")))
    assert isinstance(meant(table.sets["a"]), Pods)
    (table,) = reads_nftables.read(Source("live", text.format("pods(app in (web, ap...")))
    with pytest.raises(ValueError, match="app in"):
        meant(table.sets["a"])
