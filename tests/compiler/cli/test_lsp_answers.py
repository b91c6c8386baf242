"""`netpolc lsp`, asked about places: what an editor shows of names, ends and statements, and what it changes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from grammar.dsl import parse
from grammar.format import format_file
from grammar.source import Source
from tests.compiler.cli.lsp_client import EXAMPLES, ROOT, Editor, Refused

SHOP = ROOT / "fixtures" / "examples" / "shop"
EDGE = "edge-node.np"


# ---- What names are


def test_hover_tells_what_a_set_holds(editor: Editor) -> None:
    editor.open(EDGE)
    shown = editor.hover(EDGE, editor.texts[EDGE].index("admins  -> pods"))
    assert "set admins = { 10.0.0.4, 2001:db8::4, 192.0.2.0/24 except 192.0.2.7 }" in shown
    assert "257 addresses: 10.0.0.4, 192.0.2.0-192.0.2.6, 192.0.2.8-192.0.2.255, 2001:db8::4" in shown
    assert f"{EDGE}:13" in shown


def test_hover_tells_what_a_service_is_across_files(editor: Editor) -> None:
    editor.open(EDGE)
    shown = editor.hover(EDGE, editor.texts[EDGE].index("kubelet + tcp"))
    assert "service kubelet = tcp/10250" in shown
    assert "services.np:5" in shown


def test_hover_tells_what_names_inside_of_names_are(editor: Editor) -> None:
    text = (
        "# Who may.\n# All of them.\nset x = { 10.0.0.1 }\nset y = { x, 10.0.0.2 }\n"
        "zone z = y and iface eth0 except x\n"
        "service s = tcp/80\nservice u = s + udp/53\npolicy p { allow z -> y : u }\n"
    )
    editor.open("names.np", text)
    assert "= { { 10.0.0.1 }, 10.0.0.2 } and iface eth0 except { 10.0.0.1 }" in editor.hover(
        "names.np", text.index("z -> y")
    )
    assert "= tcp/80 + udp/53" in editor.hover("names.np", text.index("u }"))
    assert "Who may.  \nAll of them." in editor.hover("names.np", text.index("x = "))
    assert "2 addresses: 10.0.0.1-10.0.0.2" in editor.hover("names.np", text.index("y : u"))


def test_hover_tells_who_is_there_now(workspace: Path) -> None:
    cluster = workspace.parent / "cluster"
    shutil.copytree(SHOP, cluster)
    editor = Editor(workspace, options={"cluster": "../cluster", "node": "node-a"})
    text = (
        "zone shop = pods(namespace: shop, tier=backend)\nzone ours = nodes\n"
        "zone some = { shop, 10.244.2.0/24 } except 10.244.2.12\n"
        "zone out = iface eth0\npolicy p { deny some -> ours }\n"
    )
    editor.open("now.np", text)
    shown = editor.hover("now.np", text.index("shop ="))
    assert "2 pods:" in shown
    assert "shop/backend-5c7d9f6b8d-m2x9p (10.244.1.12, fd00:10:244:1::12)" in shown
    assert "addresses: 10.244.1.12, 10.244.2.12, fd00:10:244:1::12, fd00:10:244:2::12" in shown
    assert "node-a" in editor.hover("now.np", text.index("ours ="))
    assert "by eth0" in editor.hover("now.np", text.index("out ="))
    some = editor.hover("now.np", text.index("some ->"))
    assert "shop/backend-5c7d9f6b8d-m2x9p" in some
    assert "10.244.2.0-10.244.2.11" in some
    assert "shop/backend" in editor.hover("now.np", text.index("pods("))
    pods = (cluster / "pods.yaml").read_text()
    (cluster / "pods.yaml").write_text(pods.replace("10.244.1.12", "10.244.1.99"))
    assert "addresses: 10.244.1.99, 10.244.2.12" in editor.hover("now.np", text.index("shop ="))
    status, errors = editor.quit()
    assert (status, set(errors.splitlines())) == (0, {"note: passed over: 1 ConfigMap"})


def test_a_cluster_that_cannot_be_read_is_told_once(workspace: Path) -> None:
    (workspace.parent / "cluster.yaml").write_text("kind: [\n")
    editor = Editor(workspace, "--cluster", str(workspace.parent / "cluster.yaml"))
    editor.open(EDGE)
    editor.settled()
    editor.type(EDGE, 0, 0, "# more\n")
    editor.settled()
    told = [one for one in editor.told if one["method"] == "window/showMessage"]
    assert len(told) == 1
    assert "cluster.yaml:" in told[0]["params"]["message"]
    assert "set admins" in editor.hover(EDGE, editor.texts[EDGE].index("admins"))
    assert editor.quit() == (0, "")


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("deny  pods    -> metadata", "FORWARD"),
        ("allow admins -> self", "INPUT, what comes to this node"),
        ("masquerade", "POSTROUTING"),
        ("dnat ", "PREROUTING"),
        ("mark shop", "mangle: PREROUTING"),
        ("notrack", "raw: PREROUTING and OUTPUT"),
        ("can reach ingress", "proved when the program is compiled"),
        ("policy guard", "in the order of their priorities"),
    ],
)
def test_hover_tells_where_a_statement_is_asked(reader: Editor, words: str, where: str) -> None:
    reader.open(EDGE)
    assert where in reader.hover(EDGE, reader.texts[EDGE].index(words) + 1)


def test_definitions_are_found_across_files(editor: Editor) -> None:
    editor.open(EDGE)
    editor.open("services.np")
    (found,) = editor.about("definition", EDGE, editor.texts[EDGE].index("kubelet + "))
    assert found["uri"] == editor.uri("services.np")
    assert editor.shown("services.np", found["range"]) == "kubelet"
    assert editor.offset("services.np", found["range"]["start"]) == editor.texts["services.np"].index("kubelet")
    (found,) = editor.about("definition", EDGE, editor.texts[EDGE].index("services.np"))
    assert found["uri"] == editor.uri("services.np")


def test_references_are_found_across_files(editor: Editor) -> None:
    """From where a service is defined: in all programs that include the file."""
    for name in (EDGE, "services.np", "web-server.np"):
        editor.open(name)
    context = {"includeDeclaration": True}
    found = editor.about("references", "services.np", editor.texts["services.np"].index("kubelet"), context=context)
    places = {(Path(one["uri"]).name, editor.offset(Path(one["uri"]).name, one["range"]["start"])) for one in found}
    text = editor.texts[EDGE]
    uses = {(EDGE, one.start()) for one in re.finditer(r"\bkubelet\b", text) if text[: one.start()].count("#") < 9}
    assert {place for place in places if place[0] == EDGE} == uses
    assert ("services.np", editor.texts["services.np"].index("kubelet")) in places
    less = editor.about(
        "references", "services.np", editor.texts["services.np"].index("kubelet"), context={"includeDeclaration": False}
    )
    assert len(less) == len(found) - 1


def test_names_of_two_programs_are_not_mixed(editor: Editor) -> None:
    """Two examples have a zone world each."""
    editor.open(EDGE)
    found = editor.about("references", EDGE, editor.texts[EDGE].index("world  "), context={"includeDeclaration": True})
    assert {Path(one["uri"]).name for one in found} == {EDGE}


def test_names_in_a_broken_statement_are_found(editor: Editor) -> None:
    text = "zone web = any\npolicy p {\n  allow web web\n}\n# web\n"
    editor.open("broken.np", text)
    (found,) = editor.about("definition", "broken.np", text.index("web web"))
    assert editor.offset("broken.np", found["range"]["start"]) == text.index("web")
    assert "zone web = any" in editor.hover("broken.np", text.index("web web") + 5)
    assert editor.hover("broken.np", text.index("# web") + 3) == ""


def test_lists_in_lists(editor: Editor) -> None:
    text = (
        "zone lan = iface lan0\nforward packets {\n  within lan -> any state invalid {\n    deny lan -> local\n  }\n}\n"
        'node { opaque x nft input "tcp dport 1 drop" }\nnat { mark tcp/80 0x1/0xff }\n'
    )
    editor.open("lists.np", text)
    (block,) = [one for one in editor.outline("lists.np") if one["name"] == "forward packets"]
    (within,) = block["children"]
    assert within["name"] == "within lan -> any state invalid"
    assert [one["name"] for one in within["children"]] == ["deny lan -> local"]
    head = editor.hover("lists.np", text.index("within"))
    assert "FORWARD" in head
    assert "Every packet" in head
    assert "its head is about" in head
    assert "list around it" in editor.hover("lists.np", text.index("deny"))
    assert "node's own" in editor.hover("lists.np", text.index("local"))
    assert "not proved" in editor.hover("lists.np", text.index("opaque"))
    context = {"includeDeclaration": False}
    found = editor.about("references", "lists.np", text.index("lan ="), context=context)
    assert len(found) == 2
    assert "zone lan = iface lan0" in editor.hover("lists.np", text.index("lan -> local"))
    assert "first packet" in editor.hover("lists.np", text.index("mark"))


# ---- Outline, completion, layout, names


def test_outline_has_definitions_blocks_and_statements(editor: Editor) -> None:
    editor.open(EDGE)
    found = {one["name"]: one for one in editor.outline(EDGE)}
    text = editor.texts[EDGE]
    assert {"world", "shop", "admins", "policy guard tier admin priority 10", "node", "nat", "expect"} <= found.keys()
    rules = found["policy guard tier admin priority 10"]["children"]
    assert [one["name"] for one in rules][1] == "deny tenants -> nodes : tcp/10250,10255"
    for one in [*found.values(), *rules]:
        whole, head = editor.shown(EDGE, one["range"]), editor.shown(EDGE, one["selectionRange"])
        assert head in whole
        assert head in text
    assert editor.shown(EDGE, found["shop"]["selectionRange"]) == "shop"


def offered(editor: Editor, name: str, text: str) -> set[str]:
    """What is offered at the bar in a text; the others are kept."""
    at = text.index("|")
    text = text[:at] + text[at + 1 :]
    editor.write(name, text) if name in editor.texts else editor.open(name, text)
    found = editor.about("completion", name, at)
    for one in found:
        inserted = one["textEdit"]["range"]
        assert editor.offset(name, inserted["end"]) == at
    return {one["label"] for one in found}


@pytest.mark.parametrize(
    ("text", "some", "none"),
    [
        ("|", {"policy", "zone", "expect"}, {"allow", "web"}),
        ("policy p { | }", {"allow", "deny", "reject", "pass"}, {"dnat", "zone"}),
        ("policy p { al| }", {"allow"}, {"world"}),
        ("policy p { allow | }", {"world", "admins", "pods", "any", "bogons"}, {"web", "tcp", "allow"}),
        ("policy p { allow world -> | }", {"world", "self"}, {"web"}),
        ("policy p { allow world -> world : | }", {"web", "tcp", "icmp", "proto"}, {"world", "any"}),
        ("policy p { allow world -> world : icmp/| }", {"echo-request"}, {"nd-redirect", "web"}),
        ("policy p { allow world -> world : icmpv6/echo-reply,nd| }", {"nd-redirect"}, {"web"}),
        ("policy p { reject world -> world with | }", {"tcp-reset"}, {"web"}),
        ("policy p { allow world -> world | }", {"log", "limit", "unless", "with", "and"}, {"world"}),
        ("set s = { | }", {"admins", "bogons"}, {"world", "web"}),
        ("service s = |", {"web", "udp"}, {"world"}),
        ("nat { | }", {"dnat", "masquerade"}, {"allow"}),
        ("mangle { dscp | af41 }", {"world", "web", "admins"}, set()),
        ("forward { | }", {"within", "leave", "log", "opaque", "allow"}, {"dnat"}),
        ("forward { log | }", {"world", "local", "any"}, {"allow"}),
        ("forward { within world -> any | }", {"state", "marked", "source", "chance", "unless"}, {"log", "with"}),
        ("forward { within world -> any { | } }", {"leave", "within"}, {"dnat"}),
        ("nat { within world -> any { | } }", {"dnat", "leave", "mark"}, {"allow"}),
        ("node | ", {"packets"}, {"allow"}),
        ("node packets { deny any -> self state new,| }", {"invalid", "related"}, {"world"}),
        ("node { opaque x | }", {"iptables", "nft"}, {"ipv4"}),
        ("node { opaque | }", set(), {"iptables", "world"}),
        ("expect { | }", {"only", "world"}, {"can"}),
        ("expect { world | }", {"can", "cannot"}, {"world"}),
        ("policy |", set(), {"world"}),
        ("zone |", set(), {"world", "zone"}),
        ("# al|", set(), {"allow"}),
        ('policy p { allow any -> any "| }', set(), {"allow"}),
        ("policy p {\n  alow world\n  | }", {"allow"}, {"world"}),
        ("policy p {\n  allow world, world | }", set(), {"allow", "world"}),
    ],
)
def test_completion_offers_what_can_stand_there(reader: Editor, text: str, some: set[str], none: set[str]) -> None:
    defined = "zone world = iface eth0\nset admins = { 10.0.0.1 }\nservice web = tcp/80\n"
    reader.open("defined.np", defined)
    found = offered(reader, "completed.np", 'include "defined.np"\n' + text)
    assert some <= found
    assert not none & found


def test_completion_offers_what_the_cluster_has(workspace: Path) -> None:
    editor = Editor(workspace, "--cluster", str(SHOP))
    assert {"shop", "monitoring"} <= offered(editor, "c.np", "zone a = pods(namespace: |)")
    assert "app" in offered(editor, "c.np", "zone a = pods(|)")
    assert {"backend", "frontend"} <= offered(editor, "c.np", "zone a = pods(tier in (frontend, |))")
    assert "backend" in offered(editor, "c.np", "zone a = pods(tier=ba|)")
    assert {"http", "metrics"} <= offered(editor, "c.np", "policy p { allow any -> pods : tcp/| }")
    assert "topology.kubernetes.io/zone" in offered(editor, "c.np", "zone a = nodes(|)")
    assert editor.quit()[0] == 0


@pytest.mark.parametrize("name", sorted(one.name for one in EXAMPLES.glob("*.np")))
def test_formatting_is_that_of_fmt(editor: Editor, name: str) -> None:
    text = re.sub(r"(?<!#) +", "  ", (EXAMPLES / name).read_text()) + "\n\n"
    editor.open(name, text)
    source = Source(name, text)
    tree = parse(source, lambda flaw: pytest.fail(str(flaw)))
    assert tree is not None
    assert editor.laid_out(name) == format_file(source, tree) != text
    editor.write(name, format_file(source, tree))
    assert editor.laid_out(name) == editor.texts[name]
    editor.type(name, 0, 0, "polic {")
    assert editor.laid_out(name) is None


def test_renaming_changes_every_file(editor: Editor, workspace: Path) -> None:
    editor.open("services.np")
    at = editor.texts["services.np"].index("kubelet")
    assert editor.about("prepareRename", "services.np", at)["placeholder"] == "kubelet"
    changes = editor.about("rename", "services.np", at, newName="kube")["changes"]
    before = editor.wrong(EDGE)
    for uri, edits in changes.items():
        name = Path(uri).name
        if name not in editor.texts:
            editor.open(name)
        for edit in sorted(edits, key=lambda edit: -editor.offset(name, edit["range"]["start"])):
            begin, end = (editor.offset(name, edit["range"][at]) for at in ("start", "end"))
            editor.type(name, begin, end, edit["newText"])
    assert {Path(uri).name for uri in changes} >= {EDGE, "services.np"}
    assert "service kube = tcp/10250" in editor.texts["services.np"]
    assert [one.split(": ", 1)[1] for one in editor.wrong(EDGE)] == [one.split(": ", 1)[1] for one in before]


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("policy", "a word of the language"),
        ("tcp", '"tcp" is a protocol and cannot name a zone'),
        ("dns", "dns stands in edge-node.np already"),
        ("a b", 'expected "=", found "b"'),
        ("-", "expected a name"),
        ("x" * 64, "at most 63 characters"),
    ],
)
def test_renaming_to_what_is_no_name_is_refused(reader: Editor, new: str, words: str) -> None:
    reader.open(EDGE)
    with pytest.raises(Refused, match=re.escape(words)):
        reader.about("rename", EDGE, reader.texts[EDGE].index("shop"), newName=new)


def test_renaming_waits_for_errors_to_be_mended(editor: Editor) -> None:
    editor.open(EDGE)
    editor.type(EDGE, len(editor.texts[EDGE]), len(editor.texts[EDGE]), "polic p {")
    with pytest.raises(Refused, match="mend this first"):
        editor.about("prepareRename", EDGE, editor.texts[EDGE].index("shop"))
