"""Manifests -> resources: what is taken, what is passed over, what contradicts itself."""

from __future__ import annotations

import json
import re

import pytest

from compiler.errors import InvalidInput
from compiler.resources import NetworkPolicy
from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod, Service, ServicePort
from compiler.sources.manifests import Manifests, load

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: a}}
  - ports:
    - port: 80
"""


def read(*texts: str, lenient: bool = False) -> Manifests:
    return load([(f"{n}.yaml", text.encode()) for n, text in enumerate(texts)], lenient=lenient)


def codes(*texts: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        read(*texts)
    return [(str(d.span), d.code) for d in caught.value.diagnostics]


def pod(name: str = "a", status: str = "{phase: Running, podIP: 10.0.0.1}", spec: str = "{}", **more: str) -> str:
    metadata = json.dumps({"name": name, **more})
    return f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nspec: {spec}\nstatus: {status}\n---\n"


def test_a_policy_knows_where_its_parts_are() -> None:
    (found,) = read(POLICY).policies
    assert isinstance(found.value, NetworkPolicy)
    assert str(found.span) == "0.yaml:2:1"
    assert str(found.at("spec", "ingress", 0)) == "0.yaml:8:5"
    assert str(found.at("spec", "ingress", 1)) == "0.yaml:10:5"
    assert str(found.at("spec", "ingress", 1, "ports", 0, "port")) == "0.yaml:11:13"
    assert str(found.at("spec", "egress", 0)) == "0.yaml:5:1"  # not there: its parent


def test_positions_are_the_same_in_yaml_json_and_lists() -> None:
    (plain,) = read(POLICY).policies
    value = plain.tree.value
    single = json.dumps(value, indent=2)
    listed = json.dumps({"kind": "List", "apiVersion": "v1", "items": [value]}, indent=2)
    for text, deeper in ((single, 0), (listed, 4)):
        (found,) = load([("f.json", text.encode())]).policies
        line = next(n for n, line in enumerate(text.split("\n"), 1) if '"port":' in line)
        assert found.at("spec", "ingress", 1, "ports", 0, "port").line == line
        assert found.at("spec", "ingress", 1, "ports", 0, "port").column == 21 + deeper
        assert found.value == plain.value


def test_what_is_of_no_use_is_passed_over_and_counted() -> None:
    found = read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: a}\n",
        "apiVersion: crd.antrea.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: SecretList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]\n",
    )
    assert found.skipped == {"ConfigMap": 2, "Service": 1, "NetworkPolicy": 2, "Secret": 2}
    assert (found.policies, found.services) == ((), ())


@pytest.mark.parametrize("version", ["networking.k8s.io/v1beta1", "extensions/v1beta1", "netwroking.k8s.io/v1", "v1"])
def test_a_policy_of_another_version_is_never_passed_over(version: str) -> None:
    assert codes(POLICY.replace("networking.k8s.io/v1", version)) == [("0.yaml:2:13", "unsupported-value")]


@pytest.mark.parametrize("kind", ["NetworkPolicies", "Networkpolicy", "networkPolicy", "NetPol"])
def test_a_policy_of_a_misspelt_kind_is_never_passed_over(kind: str) -> None:
    assert codes(POLICY.replace("NetworkPolicy", kind)) == [("0.yaml:3:7", "unknown-kind")]


def test_what_else_is_in_the_groups_of_policies_is_passed_over() -> None:
    found = read("".join(f"apiVersion: networking.k8s.io/v1\nkind: {kind}\n---\n" for kind in ("Ingress", "IPAddress")))
    assert found.skipped == {"Ingress": 1, "IPAddress": 1}


def test_lists_of_any_kind() -> None:
    pods = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n"
    inner = "{apiVersion: v1, kind: Pod, metadata: {name: c}}"
    nested = f"apiVersion: v1\nkind: List\nitems:\n- kind: List\n  items: [{inner}]\n"
    empty = "apiVersion: v1\nkind: List\nitems: []\n---\napiVersion: v1\nkind: PodList\nitems:\n"
    assert [p.name for p in read(pods, nested, empty).pods] == ["a", "b", "c"]


@pytest.mark.parametrize("late", [False, True])
def test_items_of_a_json_list_take_its_kind_wherever_it_stands(late: bool) -> None:
    items = {"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}
    head = {"apiVersion": "v1", "kind": "PodList"}
    text = json.dumps(items | head if late else head | items)
    assert [p.name for p in load([("f.json", text.encode())]).pods] == ["a", "b"]


def test_a_json_list_is_judged_like_a_yaml_one() -> None:
    items: list[object] = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A"}}, None, {"metadata": {}}]
    text = json.dumps({"apiVersion": "v1", "items": items, "kind": "List"}, indent=1)
    with pytest.raises(InvalidInput) as one:
        load([("f", text.encode())])
    with pytest.raises(InvalidInput) as two:
        load([("f", ("\n# YAML\n" + text).encode())])
    assert [(d.span.line + 2, d.span.column, d.message) for d in one.value.diagnostics] == [
        (d.span.line, d.span.column, d.message) for d in two.value.diagnostics
    ]
    assert len(one.value.diagnostics) == 3


def test_pods() -> None:
    (found,) = read("""
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: web, empty: null}}
spec:
  nodeName: node-1
  containers:
  - ports:
    - {containerPort: 80, name: http}
    - {containerPort: 53, protocol: UDP}
  - {}
  initContainers:
  - {restartPolicy: Always, ports: [{containerPort: 9000, name: mesh}]}
  - {ports: [{containerPort: 1}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'FD00:0::01'}]}
""").pods
    ports = (ContainerPort(80, "TCP", "http"), ContainerPort(53, "UDP"), ContainerPort(9000, "TCP", "mesh"))
    labels = {"app": "web", "empty": ""}
    assert found == Pod("shop", "a", labels, ("10.0.0.1", "fd00::1"), "node-1", False, "Running", ports)


def test_a_pod_says_little_when_it_is_new() -> None:
    (found,) = read("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n").pods
    assert found == Pod("default", "a", phase="Pending")


def test_pod_ip_stands_in_for_pod_ips() -> None:
    assert read(pod(status="{podIP: 10.0.0.9}")).pods[0].ips == ("10.0.0.9",)
    assert read(pod(status="{podIP: 10.0.0.9, podIPs: []}")).pods[0].ips == ("10.0.0.9",)
    assert read(pod(status="{podIP: '', podIPs: null}")).pods[0].ips == ()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"])
def test_templates(kind: str) -> None:
    group = "batch" if kind == "Job" else "apps"
    (found,) = read(f"""
apiVersion: {group}/v1
kind: {kind}
metadata: {{name: web, namespace: shop, labels: {{not: these}}}}
spec:
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{hostNetwork: true, containers: [{{ports: [{{containerPort: 80}}]}}]}}
""").templates
    expected = Pod("shop", "web", {"app": "web"}, (), "", True, "Pending", (ContainerPort(80),), kind)
    assert found == expected


def test_the_template_of_a_cron_job_is_deeper() -> None:
    (found,) = read("""
apiVersion: batch/v1
kind: CronJob
metadata: {generateName: nightly-}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: dump}}}}}}
""").templates
    assert (found.template_of, found.name, found.labels) == ("CronJob", "nightly-", {"app": "dump"})


def test_nodes_namespaces_services() -> None:
    found = read("""
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {zone: a}}
spec: {podCIDR: 10.1.0.0/24}
status:
  addresses:
  - {type: Hostname, address: node-1}
  - {type: InternalIP, address: 192.0.2.1}
  - {type: ExternalIP, address: '2001:DB8::1'}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  clusterIPs: [10.96.0.1, None]
  ports:
  - {port: 80, targetPort: http, name: web}
  - {port: 53, protocol: UDP}
""")
    assert found.nodes == (
        Node("node-1", {"zone": "a"}, ("192.0.2.1", "2001:db8::1"), ("10.1.0.0/24",), ("2001:db8::1",)),
    )
    assert found.nodes[0].own_ips == ("192.0.2.1",)
    assert found.namespaces == (Namespace("shop", {"team": "a"}),)
    ports = (ServicePort(80, "TCP", "web", "http"), ServicePort(53, "UDP", "", 53))
    assert found.services == (Service("shop", "web", {"app": "web"}, ("10.96.0.1",), ports),)


def test_one_object_of_a_name() -> None:
    assert codes(POLICY, POLICY.replace("name: web", "name: web, namespace: default")) == [
        ("1.yaml:4:18", "duplicate-object")
    ]
    read(POLICY, POLICY.replace("name: web", "name: web, namespace: shop"))
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: a, namespace: NS}\n"
    assert codes(node, node.replace("NS", "other")) == [("1.yaml:3:18", "duplicate-object")]
    read(pod("a", "{}"), "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\nspec: {template: {}}\n---\n"
    assert len(read(job + job).templates) == 2


def test_one_pod_of_an_address() -> None:
    assert codes(pod("a"), pod("b")) == [("1.yaml:5:33", "address-conflict")]
    assert codes(pod("a"), pod("b", "{podIPs: [{ip: 10.0.0.2}, {ip: 10.0.0.1}]}")) == [
        ("1.yaml:5:40", "address-conflict")
    ]
    message = r"10\.0\.0\.1 is the address of pod x/a already, at 0\.yaml:1:1"
    with pytest.raises(InvalidInput) as caught:
        read(pod("a", namespace="x"), pod("b"))
    assert caught.match("1 problems")
    assert re.search(message, caught.value.render())


@pytest.mark.parametrize(
    ("status", "spec"),
    [
        ("{phase: Succeeded, podIP: 10.0.0.1}", "{}"),
        ("{phase: Failed, podIP: 10.0.0.1}", "{}"),
        ("{phase: Running, podIP: 10.0.0.1}", "{hostNetwork: true}"),
        ("{phase: Running}", "{}"),
    ],
)
def test_who_holds_no_address_conflicts_with_nobody(status: str, spec: str) -> None:
    assert len(read(pod("a"), pod("b", status, spec)).pods) == 2


def test_lenient_takes_and_warns() -> None:
    text = POLICY.replace("podSelector: {matchLabels: {app: a}}", "ipBlock: {cidr: 10.0.0.1/8}") + "extra: 1\n"
    assert [code for _, code in codes(text)] == ["host-bits", "unknown-field"]
    found = read(text, lenient=True)
    assert [(d.severity.value, d.code, d.span.line) for d in found.warnings] == [
        ("warning", "host-bits", 9),
        ("warning", "unknown-field", 12),
    ]
    policy = found.policies[0].value
    assert isinstance(policy, NetworkPolicy)
    assert policy.spec.ingress is not None
    block = policy.spec.ingress[0].from_[0].ip_block  # type: ignore[index]
    assert block is not None
    assert block.cidr == "10.0.0.0/8"


def test_lenient_takes_no_unknown_field_inside_the_spec() -> None:
    with pytest.raises(InvalidInput) as caught:
        read(POLICY.replace("  ingress:", "  ingres:"), lenient=True)
    assert [d.code for d in caught.value.diagnostics] == ["unknown-field"]


def test_every_problem_of_every_file_is_told() -> None:
    bad = POLICY.replace("port: 80", "port: 0").replace("name: web", "name: Web")
    assert codes("a: b: c\n---\n" + bad, bad, pod("A", "{podIP: x}")) == [
        ("0.yaml:1:5", "yaml-syntax"),
        ("0.yaml:6:18", "bad-name"),
        ("0.yaml:13:13", "out-of-range"),
        ("1.yaml:4:18", "bad-name"),
        ("1.yaml:11:13", "out-of-range"),
        ("2.yaml:3:20", "bad-name"),
        ("2.yaml:5:17", "bad-address"),
    ]


def test_nothing_is_something() -> None:
    assert read() == Manifests()
    assert read("", "# nothing\n---\n---\n") == Manifests()
