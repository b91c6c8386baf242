"""Names, label keys and values, port names: the documentation's syntax, at its boundaries."""

from __future__ import annotations

import pytest

from compiler.resources.names import (
    dns_label_fault,
    label_key_fault,
    label_value_fault,
    port_name_fault,
    subdomain_fault,
)

LABELS = ".".join(["l" * 61] * 4)  # 247 bytes, four labels


@pytest.mark.parametrize("name", ["a", "0", "web", "web-1", "1.2.3", "a.b-c.d", "l" * 253, f"{LABELS}.12345"])
def test_subdomain(name: str) -> None:
    """ "contain no more than 253 characters [...] only lowercase alphanumeric characters, '-' or '.' [...] start
    [...] end with an alphanumeric character" """
    assert subdomain_fault(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "DNS subdomain"),
        ("Web", "DNS subdomain"),
        ("we_b", "DNS subdomain"),
        ("-web", "DNS subdomain"),
        ("web-", "DNS subdomain"),
        (".web", "DNS subdomain"),
        ("web.", "DNS subdomain"),
        ("a..b", "DNS subdomain"),
        ("a.-b", "DNS subdomain"),
        ("straße", "DNS subdomain"),
        ("web\n", "DNS subdomain"),
        ("ｗeb", "DNS subdomain"),
        ("l" * 254, "at most 253 bytes long, is 254"),
        ("ß" * 127, "at most 253 bytes long, is 254"),
    ],
)
def test_no_subdomain(name: str, reason: str) -> None:
    assert reason in str(subdomain_fault(name))


@pytest.mark.parametrize("name", ["a", "7", "kube-system", "n" * 63])
def test_dns_label(name: str) -> None:
    """Names of namespaces: "contain at most 63 characters", no dots."""
    assert dns_label_fault(name) is None


@pytest.mark.parametrize("name", ["", "kube.system", "Kube", "-a", "a-", "a_b", "n" * 64, "a\n"])
def test_no_dns_label(name: str) -> None:
    assert dns_label_fault(name) is not None


@pytest.mark.parametrize(
    "key",
    [
        "app",
        "App_1.x-Y",
        "7",
        "app.kubernetes.io/name",
        "a/B",
        "n" * 63,
        f"{'p' * 253}/{'n' * 63}",
    ],
)
def test_label_key(key: str) -> None:
    """ "Valid label keys have two segments: an optional prefix and name, separated by a slash (/)." """
    assert label_key_fault(key) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "the name is empty"),
        ("example.org/", "the name is empty"),
        ("/name", "before the slash"),
        ("a/b/c", "one slash at most"),
        ("a//b", "one slash at most"),
        ("Example.org/name", "prefix 'Example.org'"),
        ("exa_mple/name", "prefix"),
        (f"{'p' * 254}/n", "at most 253 bytes"),
        ("n" * 64, "at most 63 bytes long, is 64"),
        ("ü" * 32, "at most 63 bytes long, is 64"),
        ("-app", "beginning and ending"),
        ("app-", "beginning and ending"),
        ("_app", "beginning and ending"),
        ("app.", "beginning and ending"),
        ("a pp", "beginning and ending"),
        ("a:b", "beginning and ending"),
        ("ä", "beginning and ending"),
        ("app\n", "beginning and ending"),
    ],
)
def test_no_label_key(key: str, reason: str) -> None:
    assert reason in str(label_key_fault(key))


@pytest.mark.parametrize("value", ["", "a", "7", "Web_1.x-Y", "v" * 63])
def test_label_value(value: str) -> None:
    """ "must be 63 characters or less (can be empty)" """
    assert label_value_fault(value) is None


@pytest.mark.parametrize("value", ["-a", "a-", ".", "_a", "a b", "a/b", "é", "v" * 64, "a\n", "é" * 40])
def test_no_label_value(value: str) -> None:
    assert label_value_fault(value) is not None


@pytest.mark.parametrize("name", ["a", "http", "1a", "a1", "80-a", "a-b-c", "p" * 15])
def test_port_name(name: str) -> None:
    """RFC 6335, 5.1, in lower case."""
    assert port_name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("80", "has a letter"),
        ("8-0", "has a letter"),
        ("HTTP", "lower case"),
        ("a_b", "lower case"),
        ("a.b", "lower case"),
        ("ß", "lower case"),
        ("http\n", "lower case"),
        ("a--b", "two hyphens"),
        ("-a", "begins and ends"),
        ("a-", "begins and ends"),
        ("p" * 16, "at most 15 bytes, this has 16"),
    ],
)
def test_no_port_name(name: str, reason: str) -> None:
    assert reason in str(port_name_fault(name))
