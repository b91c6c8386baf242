"""metav1.ObjectMeta: the fields that every object has, and the rules that the API server holds for them."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator

from compiler.resources.labels import Labels, go_map
from compiler.resources.model import (
    INT64,
    Checked,
    Fault,
    Int64,
    Model,
    Objects,
    Raw,
    Strings,
    Whole,
    raise_faults,
    text,
)
from compiler.resources.names import dns_label_fault, label_key_fault, subdomain_fault

#: "TotalAnnotationSizeLimitB": all keys and values of one object's annotations, in bytes.
ANNOTATIONS_BYTES = 256 * 1024
#: What the server keeps of a generateName before it appends five characters.
_PREFIX_BYTES = 58
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
#: A version, behind its group and a slash where it has one.
_VERSION = re.compile(r"(?:[^/]*/)?[^/]+")
#: As Go reads RFC 3339: an hour of one digit too, a comma for the point.
_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{1,2}):(\d{2}):(\d{2})(?:[.,]\d+)?(?:Z|[+-](\d{2}):(\d{2}))",
    re.ASCII,
)


def time_fault(value: str) -> str | None:
    """metav1.Time: "RFC 3339"."""
    found = _TIME.fullmatch(value)
    if found is None:
        return "expected a time of RFC 3339, such as 2024-05-01T12:00:00Z"
    year, month, day, hour, minute, second, *zone = (int(part or 0) for part in found.groups())
    fits = 1 <= month <= 12 and 1 <= day <= monthrange(year or 4, month)[1] and hour < 24 and minute < 60
    if not fits or second >= 60 or zone[0] > 24 or zone[1] > 60:
        return "expected a time of RFC 3339, one of its numbers is out of range"
    return None


def _prefix_fault(value: str) -> str | None:
    """generateName by itself: a hyphen may end it, and then what stands before is not looked at."""
    masked = value[:-2] + "a" if len(value) > 1 and value.endswith("-") else value
    return subdomain_fault(masked) if value else None


def annotation_map(value: Any) -> dict[str, str]:
    """Keys like labels' in any case, values of any text; 256 KiB together."""
    found, faults = go_map(value)
    faults += [
        Fault((key,), "bad-annotation-key", reason, on_key=True)
        for key in found
        if (reason := label_key_fault(key.lower())) is not None
    ]
    size = sum(len(part.encode("utf-8", "surrogatepass")) for entry in found.items() for part in entry)
    if size > ANNOTATIONS_BYTES:
        faults.append(Fault((), "too-long", f"must be at most {ANNOTATIONS_BYTES} bytes together, are {size}"))
    raise_faults(faults, value)
    return found


def finalizer_fault(value: str) -> str | None:
    """The API's own kinds take finalizers of a domain, and Kubernetes' three."""
    if (reason := label_key_fault(value)) is not None:
        return reason
    if "/" not in value and value not in _STANDARD_FINALIZERS:
        return f"expected DOMAIN/NAME, or one of {', '.join(_STANDARD_FINALIZERS)}"
    return None


def _null_is_empty(value: Any) -> Any:
    return "" if value is None else value


def _optional(reason: Callable[[str], str | None], code: str) -> BeforeValidator:
    """The rule for a Go string that may be empty, which is absent."""
    return text(lambda value: reason(value) if value else None, code)


Time = Annotated[str, text(time_fault, "bad-time")]
Annotations = Annotated[Mapping[str, str], PlainValidator(annotation_map)]


class OwnerReference(Checked):
    """metav1.OwnerReference."""

    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None
    block_owner_deletion: bool | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        for field in ("kind", "name", "uid"):
            if raw.get(field) in (None, ""):
                yield Fault((field,), "required", f"expected the owner's {field}")
        version = raw.get("apiVersion") or ""
        if isinstance(version, str) and not _VERSION.fullmatch(version):
            yield Fault(("apiVersion",), "bad-owner", "expected GROUP/VERSION or VERSION")
        if version in ("v1", "/v1") and raw.get("kind") == "Event":
            yield Fault((), "bad-owner", "an Event owns nothing")


class ManagedFields(Model):
    """metav1.ManagedFieldsEntry: who set which field. The server makes it anew; netpolc reads none of it."""

    manager: str | None = None
    operation: str | None = None
    api_version: str | None = None
    time: Time | None = None
    fields_type: str | None = None
    fields_v1: Any = None
    subresource: str | None = None


class ObjectMeta(Checked):
    """metav1.ObjectMeta of the API's own kinds. An object has a name or, for the server to make one, a
    generateName; what the server sets itself (uid, resourceVersion, times) may be there and is ignored."""

    name: Annotated[str, _optional(subdomain_fault, "bad-name"), BeforeValidator(_null_is_empty)] = ""
    generate_name: Annotated[str, _optional(_prefix_fault, "bad-name")] | None = None
    namespace: Annotated[str, _optional(dns_label_fault, "bad-namespace")] | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None
    finalizers: Strings[Annotated[str, text(finalizer_fault, "bad-finalizer")]] | None = None
    owner_references: Objects[OwnerReference] | None = None
    managed_fields: Objects[ManagedFields] | None = None
    uid: str | None = None
    resource_version: str | None = None
    self_link: str | None = None
    generation: Int64 | None = None
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    deletion_grace_period_seconds: Int64 | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        prefix = raw.get("generateName")
        if raw.get("name") in (None, ""):
            if prefix in (None, ""):
                yield Fault(("name",), "required", "expected a name or a generateName")
            elif isinstance(prefix, str) and _prefix_fault(prefix) is None:
                made = f"{prefix[:_PREFIX_BYTES]}xxxxx"
                if (reason := subdomain_fault(made)) is not None:
                    yield Fault(("generateName",), "bad-name", f"makes a name such as {made}: {reason}")
        yield from _owners_faults(raw.get("ownerReferences"))
        finalizers = raw.get("finalizers")
        if isinstance(finalizers, list) and "orphan" in finalizers and "foregroundDeletion" in finalizers:
            yield Fault(("finalizers",), "bad-finalizer", "orphan and foregroundDeletion exclude each other")


def _owners_faults(owners: Any) -> Iterator[Fault]:
    """ownerReferences: "There cannot be more than one managing controller". The same owner twice counts once."""
    managing: dict[int, Raw] = {}
    for n, owner in enumerate(owners if isinstance(owners, list) else ()):
        if isinstance(owner, dict) and owner.get("controller") is True:
            said = {field: value for field, value in owner.items() if value not in (None, "")}
            if said not in managing.values():
                managing[n] = said
    for n in list(managing)[1:]:
        place = f"ownerReferences[{min(managing)}]"
        yield Fault(("ownerReferences", n, "controller"), "bad-owner", f"{place} is the controller already")


class CustomObjectMeta(ObjectMeta):
    """metav1.ObjectMeta of the cluster-wide custom resources, where a namespace means nothing, any qualified name
    is a finalizer, and 80.0 is an integer."""

    namespace: str | None = None
    finalizers: Strings[Annotated[str, text(label_key_fault, "bad-finalizer")]] | None = None
    generation: Annotated[Whole, INT64] | None = None
    deletion_grace_period_seconds: Annotated[Whole, INT64] | None = None
