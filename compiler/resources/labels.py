"""metav1.LabelSelector, as the API server checks it in its own kinds and in custom resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import PlainValidator

from compiler.resources.model import Checked, Fault, Items, Model, Objects, Raw, Strings, broken, raise_faults, text
from compiler.resources.names import label_key_fault, label_value_fault

_WITH_VALUES = ("In", "NotIn")
_WITHOUT_VALUES = ("Exists", "DoesNotExist")


def go_map(value: Any) -> tuple[dict[str, str], list[Fault]]:
    """A Go map[string]string, and what in it is none: a null value is the empty string."""
    if not isinstance(value, dict):
        raise broken("bad-type", "must be an object")
    faults = [Fault((key,), "bad-type", "must be a string") for key, item in value.items() if not _text(item)]
    return {key: item or "" for key, item in value.items() if _text(item)}, faults


def _text(item: Any) -> bool:
    return item is None or isinstance(item, str)


def string_map(value: Any) -> dict[str, str]:
    """A map of strings in a custom resource: any keys and values; a key whose value is null is absent."""
    found, faults = go_map(value)
    raise_faults(faults, value)
    return {key: item for key, item in found.items() if value[key] is not None}


def label_map(value: Any) -> dict[str, str]:
    """Keys and values by the syntax of labels."""
    found, faults = go_map(value)
    for key, item in found.items():
        if (reason := label_key_fault(key)) is not None:
            faults.append(Fault((key,), "bad-label-key", reason, on_key=True))
        if (reason := label_value_fault(item)) is not None:
            faults.append(Fault((key,), "bad-label-value", reason))
    raise_faults(faults, value)
    return found


StringMap = Annotated[Mapping[str, str], PlainValidator(string_map)]
Labels = Annotated[Mapping[str, str], PlainValidator(label_map)]
LabelKey = Annotated[str, text(label_key_fault, "bad-label-key")]
LabelValue = Annotated[str, text(label_value_fault, "bad-label-value")]


class LabelSelectorRequirement(Model):
    """metav1.LabelSelectorRequirement in a custom resource, whose schema checks types alone."""

    key: str
    operator: str
    values: Items[str] | None = None


class LabelSelector(Model):
    """ "A label selector is a label query over a set of resources. The result of matchLabels and matchExpressions
    are ANDed." In a custom resource any operator, key and value passes."""

    match_labels: StringMap | None = None
    match_expressions: Items[LabelSelectorRequirement] | None = None


class CheckedRequirement(Checked, LabelSelectorRequirement):
    """metav1.LabelSelectorRequirement in the API's own kinds.

    values: "If the operator is In or NotIn, the values array must be non-empty. If the operator is Exists or
    DoesNotExist, the values array must be empty."
    """

    key: LabelKey
    values: Strings[LabelValue] | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        operator, values = raw.get("operator"), raw.get("values")
        if operator in _WITH_VALUES and (values is None or values == []):
            yield Fault(("values",), "required", f"the operator {operator} needs one value at least")
        elif operator in _WITHOUT_VALUES and isinstance(values, list) and values:
            yield Fault(("values",), "forbidden", f"the operator {operator} takes no values")
        elif isinstance(operator, str) and operator not in _WITH_VALUES + _WITHOUT_VALUES:
            yield Fault(("operator",), "unsupported-value", "expected In, NotIn, Exists or DoesNotExist")


class CheckedLabelSelector(LabelSelector):
    """metav1.LabelSelector in the API's own kinds."""

    match_labels: Labels | None = None
    match_expressions: Objects[CheckedRequirement] | None = None
