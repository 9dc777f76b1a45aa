"""The examples of the table of types as things to build: SQL columns, sandbox fields, and the values between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from syncbridge.mapping.types.rows_texts import LONG_ID, SHORT_ID
from syncbridge.mapping.types.rule import Back, There, TypeRule
from syncbridge.schemas import FieldKind

#: The usual column of each base type, as SQL spells it.
COLUMNS = {
    "int2": "smallint", "int4": "integer", "int8": "bigint", "oid": "oid", "numeric": "numeric(12,3)",
    "money": "money", "float4": "real", "float8": "double precision", "bool": "boolean", "date": "date",
    "timestamp": "timestamp", "timestamptz": "timestamptz", "time": "time", "text": "text", "varchar": "varchar(60)",
    "bpchar": "char(60)", "citext": "citext", "name": "name", "enum": "mood", "uuid": "uuid", "text[]": "text[]",
    "varchar[]": "varchar(60)[]", "bpchar[]": "char(60)[]", "citext[]": "citext[]", "enum[]": "mood[]",
    "uuid[]": "uuid[]",
}  # fmt: skip
#: The usual field of each kind, as a sandbox's org file spells it, but for lists of options.
FIELDS = {
    FieldKind.STRING: "string(60)", FieldKind.TEXT: "textarea", FieldKind.EMAIL: "email", FieldKind.PHONE: "phone",
    FieldKind.URL: "url", FieldKind.BOOLEAN: "boolean", FieldKind.INTEGER: "int", FieldKind.NUMBER: "double(18,2)",
    FieldKind.DATE: "date", FieldKind.DATETIME: "datetime", FieldKind.TIME: "time",
    FieldKind.PICKLIST: "picklist of Red, Green", FieldKind.MULTIPICKLIST: "multipicklist of Red, Green",
    FieldKind.REFERENCE: "reference",
}  # fmt: skip
TYPES = "create extension citext; create type mood as enum ('sad', 'glad')"


@dataclass(frozen=True)
class Case:
    """One example between one column and one field."""

    column: str
    field: str
    example: There | Back


def there_cases(rule: TypeRule) -> list[Case]:
    """Every example with every type and kind of the rule that it is for."""
    return [
        Case(column, field, example)
        for example in rule.examples
        for column in ([example.column] if example.column else [COLUMNS[each] for each in rule.types])
        for field in ([example.field] if example.field else [FIELDS[each] for each in rule.kinds])
    ]


def back_cases(rule: TypeRule) -> list[Case]:
    """What comes back: an example without a column or field of its own is for the first of the rule."""
    return [
        Case(each.column or COLUMNS[rule.types[0]], each.field or FIELDS[rule.kinds[0]], each) for each in rule.returns
    ]


def entry(field: str) -> object:
    """What an org file says of the field."""
    if field == "reference":
        return {"type": "reference", "to": "Account"}
    kind, _, options = field.partition(" of ")
    if not options:
        return field
    restricted = kind.startswith("restricted ")
    return {"type": kind.removeprefix("restricted "), "values": options.split(", "), "restricted": restricted}


def names(cases: list[Case]) -> dict[tuple[str, str], int]:
    """Every pair of column and field, numbered."""
    return {pair: at for at, pair in enumerate(dict.fromkeys((case.column, case.field) for case in cases))}


def with_id(value: object, remote_id: str) -> object:
    """The value, with the id of a real record where an example needs one."""
    return {LONG_ID: remote_id, SHORT_ID: remote_id[:15]}.get(value, value) if isinstance(value, str) else value


def ids(rules: tuple[TypeRule, ...]) -> Iterator[str]:
    """How a rule is called in the list of tests."""
    for rule in rules:
        yield f"{'+'.join(rule.types)} to {'+'.join(rule.kinds)}"
