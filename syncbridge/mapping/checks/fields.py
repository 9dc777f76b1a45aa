"""Does each remote field take what fills it: written at all, of a fitting type, long enough, a known choice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from syncbridge.errors import Finding, RecordRejected
from syncbridge.mapping.names import near
from syncbridge.mapping.spec import FieldSpec, MappingSpec, Scalar
from syncbridge.mapping.sql import qualified, quoted, shown
from syncbridge.mapping.types.fit import CHOICES, fit, fit_of_expression
from syncbridge.model import Normaliser
from syncbridge.schemas import Column, FieldKind, RemoteField, Table

#: As a destination gives it.
NormaliserOf = Callable[[RemoteField], Normaliser]

#: Numbers travel as JSON, whose readers keep so many digits.
_EXACT_DIGITS = 15


def check_writable(where: str, label: str, field: RemoteField) -> Iterator[Finding]:
    """Whether the field can be written on create and on update."""
    if field.calculated:
        yield Finding("error", where, f"{label}: the destination calculates this field itself", "Leave it out.")
    elif not field.createable and not field.updateable:
        remedy = "Leave it out, or give the login the right to edit it."
        yield Finding("error", where, f"{label}: this field cannot be written", remedy)
    elif not field.updateable:
        message = f"{label}: this field is set on create only; a later change of it is refused"
        yield Finding("warning", where, message)
    elif not field.createable:
        yield Finding("warning", where, f"{label}: this field cannot be given on create, only changed afterwards")


def check_type(
    spec: MappingSpec, remote: str, source: FieldSpec, column: Column, field: RemoteField, table: Table | None
) -> Iterator[Finding]:
    """Whether values of the column (or SQL expression) fit, as far as types can tell."""
    where, label = spec.at("fields", remote), f"fields.{remote}"
    fits = (fit_of_expression if source.sql is not None else fit)(column.base_type, field.kind)
    if fits.severity:
        named = shown(column.name) if source.column == column.name else source.column
        expression = f"({source.sql})" if source.sql else named
        remedy = f"Write `sql: {fits.cast.format(expression)}`." if fits.cast else ""
        yield Finding(fits.severity, where, f"{label}: {fits.message}", remedy)
        if fits.severity == "error":
            return
    yield from _check_length(where, label, source, column, field, table)
    yield from _check_digits(where, label, source, column, field, table)
    if column.base_type in ("enum", "enum[]"):
        for option in column.options:
            yield from check_option(where, label, option, field)


def _check_length(
    where: str, label: str, source: FieldSpec, column: Column, field: RemoteField, table: Table | None
) -> Iterator[Finding]:
    """A text without a limit of its own says nothing of what it holds, so only lengths are compared."""
    if column.length is None or field.length is None or column.length <= field.length or field.kind in CHOICES:
        return
    message = f"{label}: {column.type} may not fit into {field.length} characters; a longer value is refused"
    condition = f"char_length({_expression(source, column)}) > {field.length}"
    yield Finding(
        "warning", where, message, f"Write `sql: left(..., {field.length})` to cut it.", _count(table, condition)
    )


def _check_digits(
    where: str, label: str, source: FieldSpec, column: Column, field: RemoteField, table: Table | None
) -> Iterator[Finding]:
    """As with lengths: only a declared precision says what a column holds."""
    if field.kind not in (FieldKind.NUMBER, FieldKind.INTEGER) or not field.precision or column.precision is None:
        return
    scale, column_scale = field.scale or 0, column.scale or 0
    if column_scale > scale and field.kind is FieldKind.NUMBER:
        yield Finding("warning", where, f"{label}: {column.type} is rounded to {scale} digits after the point")
    if column.precision > _EXACT_DIGITS:
        yield Finding(
            "warning", where, f"{label}: more than {_EXACT_DIGITS} digits of {column.type} are not kept exactly"
        )
    whole = field.precision - scale
    if column.precision - column_scale > whole:
        message = f"{label}: {column.type} may not fit into {whole} digits before the point; a greater one is refused"
        condition = f"abs({_expression(source, column)}) >= 1e{whole}::numeric"
        yield Finding("warning", where, message, "", _count(table, condition))


def _expression(source: FieldSpec, column: Column) -> str:
    return f"({source.sql})" if source.sql is not None else quoted(column.name)


def _count(table: Table | None, condition: str) -> str:
    """SQL for a person: how many rows it concerns."""
    if table is None:
        return ""
    return f"SELECT count(*) FROM {qualified(table.schema, table.name)} WHERE {condition};"  # noqa: S608 - shown, not run


def check_choices(
    spec: MappingSpec, remote: str, source: FieldSpec, field: RemoteField, normaliser: NormaliserOf | None
) -> Iterator[Finding]:
    """Everything the mapping itself would send: constant, default, the right side of `values`."""
    label = f"fields.{remote}"
    if source.constant is not None:
        route = ("fields", remote, "constant")
        yield from check_fixed(spec.at(*route), f"{label}.constant", source.constant, field, normaliser)
    if source.default is not None:
        route = ("fields", remote, "default")
        yield from check_fixed(spec.at(*route), f"{label}.default", source.default, field, normaliser)
    for text, value in (source.values or {}).items():
        where = spec.at("fields", remote, "values", text)
        yield from check_fixed(where, f"{label}.values.{text}", value, field, normaliser)


def check_fixed(
    where: str, label: str, value: Scalar | None, field: RemoteField, normaliser: NormaliserOf | None
) -> Iterator[Finding]:
    """A value that stands in the mapping file: the destination's own normal form decides."""
    if value is None:
        if field.required:
            yield Finding("warning", where, f"{label}: {field.name} is required and cannot be cleared")
        return
    if field.options:
        findings = [found for option in _chosen(value, field) for found in check_option(where, label, option, field)]
        yield from findings
        if findings:
            return
    if normaliser is None:
        return
    try:
        normaliser(field)(value)
    except RecordRejected as refused:
        message = refused.message.removeprefix(f"{field.name}: ")
        yield Finding("error", where, f"{label}: {field.name} does not take {value!r}: {message}")


def _chosen(value: Scalar, field: RemoteField) -> Sequence[str]:
    text = str(value)
    return [part.strip() for part in text.split(";")] if field.kind is FieldKind.MULTIPICKLIST else [text.strip()]


def check_option(where: str, label: str, option: str, field: RemoteField) -> Iterator[Finding]:
    """Whether a picklist offers this; picklists match whatever the case, and store as they spell it."""
    if field.kind not in CHOICES or not field.options or not option:
        return
    if option.lower() in (known.lower() for known in field.options):
        return
    meant = near(option, field.options)
    perhaps = f"; did you mean {meant!r}?" if meant else f"; it offers {', '.join(field.options[:12])}"
    if field.restricted:
        yield Finding("error", where, f"{label}: {field.name} refuses {option!r}{perhaps}")
    else:
        yield Finding("warning", where, f"{label}: {option!r} is not among the options of {field.name}{perhaps}")
