"""Which Postgres type fits which kind of remote field: fits, fits with a remark, or needs a cast in `sql:`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncbridge.mapping.values import READABLE
from syncbridge.schemas import FieldKind

_WHOLE = frozenset({"int2", "int4", "int8", "oid"})
_FLOATS = frozenset({"float4", "float8"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name", "enum"})
_MOMENTS = frozenset({"timestamp", "timestamptz"})
_ARRAYS = frozenset(name for name in READABLE if name.endswith("[]"))

#: Kinds that hold text.
TEXT_KINDS = frozenset({FieldKind.STRING, FieldKind.TEXT, FieldKind.EMAIL, FieldKind.PHONE, FieldKind.URL})
#: Kinds that hold chosen options.
CHOICES = frozenset({FieldKind.PICKLIST, FieldKind.MULTIPICKLIST})

_FITS: Mapping[FieldKind, frozenset[str]] = {
    FieldKind.STRING: _TEXTS | _WHOLE | {"numeric", "uuid", "bool", "date"},
    FieldKind.TEXT: _TEXTS | _WHOLE | {"numeric", "uuid", "bool", "date"},
    FieldKind.EMAIL: _TEXTS,
    FieldKind.PHONE: _TEXTS | _WHOLE,
    FieldKind.URL: _TEXTS,
    FieldKind.BOOLEAN: frozenset({"bool"}),
    FieldKind.INTEGER: _WHOLE,
    FieldKind.NUMBER: _WHOLE | _FLOATS | {"numeric"},
    FieldKind.DATE: frozenset({"date"}),
    FieldKind.DATETIME: _MOMENTS,
    FieldKind.TIME: frozenset({"time"}),
    FieldKind.PICKLIST: _TEXTS | _WHOLE | {"bool"},
    FieldKind.MULTIPICKLIST: _ARRAYS | _TEXTS,
    FieldKind.REFERENCE: _TEXTS,
}
_CASTS: Mapping[FieldKind, str] = {
    FieldKind.BOOLEAN: "boolean",
    FieldKind.INTEGER: "bigint",
    FieldKind.NUMBER: "numeric",
    FieldKind.DATE: "date",
    FieldKind.DATETIME: "timestamptz",
    FieldKind.TIME: "time",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """How a type fits a kind: `severity` is empty where nothing is to be said."""

    severity: str = ""  # error | warning
    message: str = ""
    cast: str = ""  # SQL that would mend it, with {} for the expression


def fit(base_type: str, kind: FieldKind) -> Fit:
    """Whether values of this base type can be delivered to a field of this kind."""
    if kind is FieldKind.OTHER:
        return Fit("error", "the remote field is of a type that cannot be written (compound or binary)")
    if kind is FieldKind.IDENTIFIER:
        return Fit("error", "the remote field is the record's own id, which only the destination gives")
    if base_type not in READABLE:
        return Fit("error", f"the type {base_type} cannot be delivered as it is", _cast(kind))
    if base_type in _FITS[kind]:
        return Fit()
    return _with_remark(base_type, kind)


def _with_remark(base_type: str, kind: FieldKind) -> Fit:
    if kind is FieldKind.DATE and base_type in _MOMENTS:
        return Fit("warning", "the day is taken in UTC", "({} at time zone 'Europe/Berlin')::date")
    if kind is FieldKind.DATETIME and base_type == "date":
        return Fit("warning", "a date becomes midnight in UTC", "{}::timestamp at time zone 'Europe/Berlin'")
    if kind is FieldKind.INTEGER and base_type == "numeric":
        return Fit("warning", "a number that is not whole is refused", "round({})")
    if base_type in _ARRAYS and kind in TEXT_KINDS:
        return Fit("error", "an array is no text", "array_to_string({}, ', ')")
    return Fit("error", f"{base_type} does not fit a field of type {kind}", _cast(kind))


def _cast(kind: FieldKind) -> str:
    if kind is FieldKind.REFERENCE:
        return ""  # only a text that is a remote id makes sense
    return "{}::" + _CASTS.get(kind, "text")
