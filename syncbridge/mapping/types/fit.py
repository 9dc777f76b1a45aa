"""Which Postgres type fits which kind of remote field: fits, fits with a remark, or needs a cast in `sql:`.

What fits is what `table` has a rule for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncbridge.mapping.types.casts import CAST_COLUMNS, cast
from syncbridge.mapping.types.reading import READABLE
from syncbridge.mapping.types.table import RULES, TypeRule
from syncbridge.schemas import FieldKind

#: Kinds that hold text.
TEXT_KINDS = frozenset({FieldKind.STRING, FieldKind.TEXT, FieldKind.EMAIL, FieldKind.PHONE, FieldKind.URL})
#: Kinds that hold chosen options.
CHOICES = frozenset({FieldKind.PICKLIST, FieldKind.MULTIPICKLIST})
_RULES: Mapping[tuple[str, FieldKind], TypeRule] = {
    (base_type, kind): rule for rule in RULES for base_type in rule.types for kind in rule.kinds
}


@dataclass(frozen=True, slots=True)
class Fit:
    """How a type fits a kind: `severity` is empty where nothing is to be said."""

    severity: str = ""  # error | warning
    message: str = ""
    cast: str = ""  # SQL that would mend it, with {} for the expression


def fit(base_type: str, kind: FieldKind) -> Fit:
    """Whether a column of this base type can be delivered to a field of this kind."""
    if kind is FieldKind.OTHER:
        return Fit("error", "the remote field is of a type that cannot be written (compound or binary)")
    if kind is FieldKind.IDENTIFIER:
        return Fit("error", "the remote field is the record's own id, which only the destination gives")
    rule = _RULES.get((base_type, kind))
    if rule is not None:
        return Fit("warning", rule.warning, rule.cast) if rule.warning else Fit()
    if base_type not in READABLE and base_type not in CAST_COLUMNS:
        return Fit("error", f"the type {base_type} cannot be delivered as it is", cast(base_type, kind))
    if base_type.endswith("[]") and kind in TEXT_KINDS:
        return Fit("error", "an array is no text", cast(base_type, kind))
    return Fit("error", f"{base_type} does not fit a field of type {kind}", cast(base_type, kind))


def fit_back(base_type: str, kind: FieldKind) -> Fit:
    """Whether a column of this base type takes what such a field holds: the record's own id too, as it does others."""
    return fit(base_type, FieldKind.REFERENCE if kind is FieldKind.IDENTIFIER else kind)


def fit_of_expression(base_type: str, kind: FieldKind) -> Fit:
    """The same for what an `sql:` gives: it is read as it is, so its own SQL has to do the cast."""
    if base_type in CAST_COLUMNS:
        return Fit("error", f"the type {base_type} cannot be delivered as it is", cast(base_type, kind))
    return fit(base_type, kind)
