"""How nodes are wired, from configurations as they are found on nodes, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcer.node.choose import LEGACY, NFTABLES, Use
from enforcer.node.wiring import Link, Proxy, Read, Severity, Wiring, interpret
from enforcer.node.wiring_read import enable_bridge_netfilter, read
from tests.kernel.namespace import Namespace

KINDNET = """\
{
	"cniVersion": "0.3.1",
	"name": "kindnet",
	"plugins": [
	{
		"type": "ptp",
		"ipMasq": false,
		"ipam": {
			"type": "host-local",
			"dataDir": "/run/cni-ipam-state",
			"routes": [ { "dst": "0.0.0.0/0" }, { "dst": "::/0" } ],
			"ranges": [ [ { "subnet": "10.244.1.0/24" } ], [ { "subnet": "fd00:10:244:1::/64" } ] ]
		},
		"mtu": 1500
	},
	{ "type": "portmap", "capabilities": { "portMappings": true } }
	]
}
"""
BRIDGE = """\
{
  "cniVersion": "1.0.0", "name": "podnet", "type": "bridge", "bridge": "cni0",
  "isGateway": true, "ipMasq": true, "hairpinMode": true,
  "ipam": { "type": "host-local", "subnet": "10.85.0.0/16", "routes": [ { "dst": "0.0.0.0/0" } ] }
}
"""
FLANNEL = """\
{ "name": "cbr0", "cniVersion": "0.3.1", "plugins": [
  { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
"""
SUBNET = """\
FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.3.1/24
FLANNEL_IPV6_NETWORK=fd42::/56
FLANNEL_IPV6_SUBNET=fd42:0:0:3::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
CALICO = """\
{ "name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
  { "type": "calico", "log_level": "info", "datastore_type": "kubernetes", "nodename": "node-a", "mtu": 0,
    "ipam": { "type": "host-local", "subnet": "usePodCidr" }, "policy": { "type": "k8s" },
    "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig" } },
  { "type": "bandwidth", "capabilities": { "bandwidth": true } } ] }
"""
CILIUM = (
    """{ "cniVersion": "0.3.1", "name": "cilium", "plugins": [ { "type": "cilium-cni", "enable-debug": false } ] }"""
)
MULTUS = json.dumps(
    {
        "cniVersion": "0.3.1",
        "name": "multus-cni-network",
        "type": "multus",
        "delegates": [json.loads(KINDNET)["plugins"][0]],
    }
)
SEEN = {"net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1"}
FORWARDING = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
GOOD = {**SEEN, **FORWARDING}


def wired(**what: Any) -> Wiring:
    return interpret(Read(**{"settings": GOOD, **what}))


def codes(found: Wiring) -> list[tuple[str, str]]:
    return [(one.severity.value, one.code) for one in found.findings]


def ranges(found: Wiring) -> list[str]:
    return [str(prefix) for prefix in found.pod_ranges]


class TestNetworks:
    def test_kindnet(self) -> None:
        found = wired(cni={"10-kindnet.conflist": KINDNET}, pod_cidrs=("10.244.1.0/24", "fd00:10:244:1::/64"))
        assert (found.network, found.plugins) == ("kindnet", ("ptp", "portmap"))
        assert ranges(found) == ["10.244.1.0/24", "fd00:10:244:1::/64"]
        assert codes(found) == []

    def test_flannel(self) -> None:
        links = (Link("flannel.1", "vxlan"), Link("cni0", "bridge"), Link("veth1", "veth", "cni0"))
        found = wired(cni={"10-flannel.conflist": FLANNEL}, flannel=SUBNET, links=links)
        assert found.plugins == ("flannel", "bridge", "portmap")
        assert ranges(found) == ["10.42.3.0/24", "fd42:0:0:3::/64"]
        assert (found.bridges, dict(found.overlays)) == (("cni0",), {"flannel.1": "VXLAN"})
        assert codes(found) == []

    def test_flannels_plugin_is_a_bridge_unless_it_says_otherwise(self) -> None:
        plain = {"name": "f", "type": "flannel"}
        assert wired(cni={"f.conf": json.dumps(plain)}).plugins == ("flannel", "bridge")
        other = {**plain, "delegate": {"type": "ptp"}}
        assert wired(cni={"f.conf": json.dumps(other)}).plugins == ("flannel", "ptp")

    def test_calico(self) -> None:
        found = wired(cni={"10-calico.conflist": CALICO}, pod_cidrs=("10.2.0.0/24",), links=(Link("tunl0", "ipip"),))
        assert ranges(found) == ["10.2.0.0/24"]
        assert found.overlays == {"tunl0": "IP in IP"}
        assert codes(found) == [("info", "enforced-twice")]

    def test_cilium_takes_packets_past_netfilter(self) -> None:
        found = wired(cni={"05-cilium.conflist": CILIUM}, pod_cidrs=("10.2.0.0/24",))
        assert codes(found) == [("error", "past-netfilter"), ("info", "enforced-twice")]

    @pytest.mark.parametrize("kind", ["macvlan", "ipvlan", "host-device", "sriov"])
    def test_so_do_plugins_that_give_pods_a_device(self, kind: str) -> None:
        found = wired(cni={"a.conf": json.dumps({"name": "n", "type": kind})}, pod_cidrs=("10.2.0.0/24",))
        assert codes(found) == [("error", "past-netfilter")]

    def test_multus(self) -> None:
        found = wired(cni={"00-multus.conf": MULTUS})
        assert found.plugins == ("multus", "ptp")
        assert ranges(found) == ["10.244.1.0/24", "fd00:10:244:1::/64"]

    def test_the_first_file_by_name_counts(self) -> None:
        files = {"90-other.conf": BRIDGE, "10-kindnet.conflist": KINDNET, "05-readme.txt": "no configuration"}
        assert wired(cni=files).network == "kindnet"

    def test_what_cannot_be_read_is_told_and_passed_over(self) -> None:
        found = wired(cni={"05-a.conf": '{\n  "name": "a",\n}', "06-b.conf": "[]", "10-kindnet.conflist": KINDNET})
        assert found.network == "kindnet"
        assert [(one.about, one.text) for one in found.findings] == [
            ("05-a.conf:3:1", "no JSON: Expecting property name enclosed in double quotes"),
            ("06-b.conf", "expected an object"),
        ]

    @pytest.mark.parametrize(
        ("config", "why"),
        [
            ({"plugins": {}}, "plugins: expected a list of objects"),
            ({"plugins": [3]}, "plugins: expected a list of objects"),
            ({"plugins": []}, "type: every plugin has to name one"),
            ({"name": "n"}, "type: every plugin has to name one"),
            ({"type": "ptp", "ipam": {"subnet": "10.0.0.0/40"}}, "ipam: subnet: '10.0.0.0/40' is not a CIDR block"),
        ],
    )
    def test_what_is_no_configuration(self, config: object, why: str) -> None:
        assert [one.text for one in wired(cni={"a.conf": json.dumps(config)}, pod_cidrs=("10.2.0.0/24",)).findings] == [
            why
        ]

    def test_any_json_is_no_reason_to_fail(self) -> None:
        for text in ("3", "null", '"a"', '{"type": "x", "ipam": 3}', '{"type": "x", "ipam": {"ranges": [[3], 4]}}'):
            wired(cni={"a.conf": text})


class TestFindings:
    def test_no_pod_range(self) -> None:
        assert codes(wired()) == [("warning", "no-pod-range")]

    def test_the_node_object_says_otherwise(self) -> None:
        found = wired(cni={"a.conflist": KINDNET}, pod_cidrs=("10.99.0.0/24", "fd00:10:244::/56"))
        assert codes(found) == [("warning", "other-range")]
        assert "10.244.1.0/24" in found.findings[0].text

    def test_pods_on_a_bridge_that_netfilter_does_not_see(self) -> None:
        links = (Link("cni0", "bridge"), Link("veth1", "veth", "cni0"), Link("br-idle", "bridge"))
        for settings in (FORWARDING, {**GOOD, "net.bridge.bridge-nf-call-iptables": "0"}):
            found = wired(links=links, settings=settings, pod_cidrs=("10.2.0.0/24",))
            assert codes(found) == [("error", "bridged-unseen")]
            assert found.findings[0].about == "cni0"
            assert "--enable-bridge-nf" in found.findings[0].remedy
        assert codes(wired(links=links, pod_cidrs=("10.2.0.0/24",))) == []

    def test_a_bridge_that_is_only_configured(self) -> None:
        found = wired(cni={"10-flannel.conflist": FLANNEL}, flannel=SUBNET, settings=FORWARDING)
        assert [(one.code, one.about) for one in found.findings] == [("bridged-unseen", "10-flannel.conflist")]

    def test_masquerade_between_nodes(self) -> None:
        assert codes(wired(cni={"a.conf": BRIDGE})) == [("warning", "masqueraded")]

    def test_no_forwarding(self) -> None:
        off = {**SEEN, "net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"}
        assert codes(wired(settings=off, pod_cidrs=("10.2.0.0/24",))) == [
            ("warning", "no-forwarding"),
            ("info", "no-forwarding"),
        ]

    def test_conntrack_is_nearly_full(self) -> None:
        counts = {"net.netfilter.nf_conntrack_count": "250000", "net.netfilter.nf_conntrack_max": "262144"}
        assert codes(wired(settings={**GOOD, **counts}, pod_cidrs=("10.2.0.0/24",))) == [("warning", "conntrack-full")]
        counts["net.netfilter.nf_conntrack_count"] = "2500"
        assert codes(wired(settings={**GOOD, **counts}, pod_cidrs=("10.2.0.0/24",))) == []

    @pytest.mark.parametrize(
        ("what", "proxy", "found"),
        [
            ({"uses": (Use(LEGACY, "kube-proxy", "KUBE-SERVICES"),)}, Proxy.IPTABLES, []),
            ({"uses": (Use(NFTABLES, "kube-proxy", "ip kube-proxy"),)}, Proxy.NFTABLES, []),
            ({"links": (Link("kube-ipvs0", "dummy"),)}, Proxy.IPVS, [("warning", "ipvs")]),
            ({}, Proxy.NONE, []),
        ],
        ids=["iptables", "nftables", "ipvs", "none"],
    )
    def test_proxies(self, what: dict[str, Any], proxy: Proxy, found: list[tuple[str, str]]) -> None:
        result = wired(**what, pod_cidrs=("10.2.0.0/24",))
        assert (result.proxy, codes(result)) == (proxy, found)

    def test_somebody_else_enforces(self) -> None:
        found = wired(uses=(Use(LEGACY, "Calico", "cali-FORWARD"),), pod_cidrs=("10.2.0.0/24",))
        assert [(one.code, one.about) for one in found.findings] == [("enforced-twice", "cali-FORWARD")]

    def test_containers(self) -> None:
        modes = {"c1": "host", "c2": "none", "c3": "container:c1", "c4": "bridge", "c5": "my-network"}
        found = wired(containers=modes, pod_cidrs=("10.2.0.0/24",))
        assert [(one.about, one.code) for one in found.findings] == [
            ("container c1", "host-network"),
            ("container c2", "no-network"),
            ("container c3", "shared-network"),
        ]

    def test_the_worst_comes_first_and_every_one_reads_as_a_line(self) -> None:
        found = wired(cni={"a.conf": BRIDGE}, settings={"net.ipv4.ip_forward": "0"}, containers={"c1": "host"})
        order = [one.severity for one in found.findings]
        assert order == sorted(order, key=list(Severity).index)
        assert str(found.findings[0]).startswith("error: a.conf: pods on one bridge reach each other past every policy")
        assert all("\n" not in str(one) for one in found.findings)


class TestReading:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name, text in {
            "etc/cni/net.d/10-flannel.conflist": FLANNEL,
            "etc/cni/net.d/calico-kubeconfig": "apiVersion: v1",
            "run/flannel/subnet.env": SUBNET,
            "proc/sys/net/ipv4/ip_forward": "1\n",
            "proc/sys/net/bridge/bridge-nf-call-iptables": "0\n",
            "proc/sys/net/bridge/bridge-nf-call-ip6tables": "0\n",
            "var/lib/docker/containers/0123456789abcdef/hostconfig.json": '{"NetworkMode": "host"}',
            "var/lib/docker/containers/fedcba9876543210/hostconfig.json": '{"Netwo',
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    def test_files(self, root: Path) -> None:
        found = read(root, ("10.42.3.0/24",))
        assert found.cni == {"10-flannel.conflist": FLANNEL}
        assert found.flannel == SUBNET
        assert found.settings["net.ipv4.ip_forward"] == "1"
        assert found.containers == {"0123456789ab": "host"}
        assert "bridged-unseen" in [one.code for one in interpret(found).findings]

    def test_nothing_there(self, tmp_path: Path) -> None:
        found = read(tmp_path)
        assert (found.cni, found.flannel, found.settings, found.containers) == ({}, "", {}, {})

    def test_enabling_bridge_netfilter(self, root: Path) -> None:
        enable_bridge_netfilter(root)
        assert "bridged-unseen" not in [one.code for one in interpret(read(root)).findings]


@pytest.mark.kernel
class TestNamespaces:
    """The same of a real node."""

    @pytest.fixture
    def node(self) -> Iterator[Namespace]:
        found = Namespace()
        yield found
        found.close()

    def test_a_bridge_and_an_overlay(self, node: Namespace) -> None:
        node.ip(
            "link add cni0 type bridge",
            "link add v1 type veth peer name v2",
            "link set v1 master cni0",
            "link add flannel.1 type vxlan id 1 dstport 8472 local 127.0.0.1",
            "link add kube-ipvs0 type bridge",
        )
        node.sysctl({"net.bridge.bridge-nf-call-iptables": 0, "net.ipv4.ip_forward": 0})
        with node:
            found = interpret(read())
            assert found.bridges == ("cni0",)
            assert found.overlays == {"flannel.1": "VXLAN"}
            assert found.proxy is Proxy.IPVS
            assert {"bridged-unseen", "no-forwarding", "ipvs"} <= {one.code for one in found.findings}
            enable_bridge_netfilter()
            assert "bridged-unseen" not in {one.code for one in interpret(read()).findings}

    def test_links(self, node: Namespace) -> None:
        node.ip("link add br0 type bridge", "link add v1 type veth peer name v2", "link set v1 master br0")
        with node:
            named = {link.name: link for link in read().links}
        assert named["v1"] == Link("v1", "veth", "br0")
        assert named["v2"] == Link("v2", "veth")
        assert named["br0"] == Link("br0", "bridge")
        assert named["lo"] == Link("lo")
