"""The syntax of Kubernetes names: each function says why a text is no such name, or None when it is one.

Sources: "Object Names and IDs" and "Labels and Selectors" of the Kubernetes documentation, RFC 1123 for names of
objects, RFC 6335 section 5.1 for names of ports. Lengths count bytes, as the API server does; the alphabets are
ASCII, so that only matters for texts that are wrong anyway.

Names repeat thousands of times in one input, hence the caches.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUALIFIED = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

DNS_LABEL_BYTES = 63
DNS_SUBDOMAIN_BYTES = 253
LABEL_BYTES = 63
PORT_NAME_BYTES = 15

_QUALIFIED_FORM = "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=8192)
def subdomain_fault(text: str) -> str | None:
    """A DNS subdomain of RFC 1123, as names of most objects must be: at most 253 bytes."""
    if _size(text) > DNS_SUBDOMAIN_BYTES:
        return f"must be at most {DNS_SUBDOMAIN_BYTES} bytes long, is {_size(text)}"
    if not _DNS_SUBDOMAIN.fullmatch(text):
        return (
            "expected a DNS subdomain: lower case letters, digits, '-' and '.', every part beginning and ending with "
            "a letter or digit"
        )
    return None


@lru_cache(maxsize=8192)
def dns_label_fault(text: str) -> str | None:
    """One label of a DNS name, as names of namespaces must be: at most 63 bytes."""
    if _size(text) > DNS_LABEL_BYTES:
        return f"must be at most {DNS_LABEL_BYTES} bytes long, is {_size(text)}"
    if not _DNS_LABEL.fullmatch(text):
        return "expected a DNS label: lower case letters, digits and '-', beginning and ending with a letter or digit"
    return None


@lru_cache(maxsize=8192)
def label_key_fault(text: str) -> str | None:
    """A label's key, "qualified name": an optional DNS subdomain and a slash, then a name of at most 63 bytes."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return "expected [PREFIX/]NAME with one slash at most"
    if slash and not prefix:
        return "expected a DNS subdomain before the slash"
    if prefix and (reason := subdomain_fault(prefix)) is not None:
        return f"prefix {prefix!r}: {reason}"
    if not name:
        return "expected [PREFIX/]NAME, the name is empty"
    if _size(name) > LABEL_BYTES:
        return f"the name must be at most {LABEL_BYTES} bytes long, is {_size(name)}"
    if not _QUALIFIED.fullmatch(name):
        return f"expected a name of {_QUALIFIED_FORM}"
    return None


@lru_cache(maxsize=8192)
def label_value_fault(text: str) -> str | None:
    """A label's value: empty, or like the name of a key."""
    if _size(text) > LABEL_BYTES:
        return f"must be at most {LABEL_BYTES} bytes long, is {_size(text)}"
    if text and not _QUALIFIED.fullmatch(text):
        return f"expected nothing or {_QUALIFIED_FORM}"
    return None


@lru_cache(maxsize=1024)
def port_name_fault(text: str) -> str | None:
    """The name of a port, IANA_SVC_NAME in lower case: at most 15 bytes, one letter at least."""
    if not text:
        return "the name of a port is empty"
    if _size(text) > PORT_NAME_BYTES:
        return f"the name of a port has at most {PORT_NAME_BYTES} bytes, this has {_size(text)}"
    if not re.fullmatch(r"[-a-z0-9]+", text):
        return "the name of a port has only lower case letters, digits and '-'"
    if not re.search(r"[a-z]", text):
        return "the name of a port has a letter; write a port number without quotes"
    if "--" in text:
        return "the name of a port has no two hyphens in a row"
    if text[0] == "-" or text[-1] == "-":
        return "the name of a port begins and ends with a letter or digit"
    return None
