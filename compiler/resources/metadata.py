"""metav1.ObjectMeta: the fields that every object has, and the rules that the API server holds for them."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator

from compiler.resources.labels import KEY, Labels, string_map
from compiler.resources.model import Checked, Fault, Int64, Model, Objects, Raw, Strings, raise_faults, text
from compiler.resources.names import dns_label_fault, label_key_fault, subdomain_fault

#: "TotalAnnotationSizeLimitB": all keys and values of one object's annotations, in bytes.
ANNOTATIONS_BYTES = 256 * 1024

_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,]\d+)?(?:Z|[+-](\d{2}):(\d{2}))",
    re.ASCII,
)


def time_fault(value: str) -> str | None:
    """metav1.Time: "RFC 3339"."""
    found = _TIME.fullmatch(value)
    if found is None:
        return "expected a time of RFC 3339, such as 2024-05-01T12:00:00Z"
    year, month, day, hour, minute, second, *zone = (int(part or 0) for part in found.groups())
    fits = 1 <= month <= 12 and 1 <= day <= monthrange(year or 4, month)[1] and hour < 24 and minute < 60
    if not fits or second >= 60 or zone[0] > 24 or zone[1] >= 60:
        return "expected a time of RFC 3339, one of its numbers is out of range"
    return None


def _generate_name_fault(value: str) -> str | None:
    """A prefix of a name: a hyphen may end it, five characters will follow."""
    masked = value[:-1] + "a" if len(value) > 1 and value.endswith("-") else value
    return subdomain_fault(masked) if value else None


def annotation_map(value: Any) -> dict[str, str]:
    """Keys like labels' in any case, values of any text; 256 KiB together."""
    found = string_map(value)
    faults = [
        Fault((key, KEY), "bad-annotation-key", reason)
        for key in found
        if (reason := label_key_fault(key.lower())) is not None
    ]
    size = sum(len(part.encode("utf-8", "surrogatepass")) for entry in found.items() for part in entry)
    if size > ANNOTATIONS_BYTES:
        faults.append(Fault((), "too-long", f"must be at most {ANNOTATIONS_BYTES} bytes together, are {size}"))
    raise_faults(faults, value)
    return found


def _null_is_empty(value: Any) -> Any:
    return "" if value is None else value


#: A Go string: null and absent are the empty string.
GoString = Annotated[str, BeforeValidator(_null_is_empty)]
Name = Annotated[str, text(lambda value: subdomain_fault(value) if value else None, "bad-name")]
NamespaceName = Annotated[str, text(lambda value: dns_label_fault(value) if value else None, "bad-namespace")]
Finalizer = Annotated[str, text(label_key_fault, "bad-finalizer")]
Time = Annotated[str, text(time_fault, "bad-time")]
Annotations = Annotated[Mapping[str, str], PlainValidator(annotation_map)]


class OwnerReference(Model):
    """metav1.OwnerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ManagedFields(Model):
    """metav1.ManagedFieldsEntry: who set which field. netpolc reads none of it."""

    manager: str | None = None
    operation: str | None = None
    api_version: str | None = None
    time: Time | None = None
    fields_type: str | None = None
    fields_v1: Any = None
    subresource: str | None = None


class ObjectMeta(Checked):
    """metav1.ObjectMeta. An object has a name or, for the server to make one, a generateName."""

    name: Annotated[Name, BeforeValidator(_null_is_empty)] = ""
    generate_name: Annotated[str, text(_generate_name_fault, "bad-name")] | None = None
    namespace: NamespaceName | None = None
    labels: Labels | None = None
    annotations: Annotations | None = None
    finalizers: Strings[Finalizer] | None = None
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
        if not raw.get("name") and not raw.get("generateName"):
            yield Fault(("name",), "required", "expected a name or a generateName")
