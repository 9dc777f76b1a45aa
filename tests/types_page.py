"""docs/types.md, made from the table of types. `python -m tests.types_page` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from syncbridge.mapping.types.casts import cast
from syncbridge.mapping.types.fit import fit
from syncbridge.mapping.types.rows_texts import LONG_ID, SHORT_ID
from syncbridge.mapping.types.rule import SAME, Refused, TypeRule
from syncbridge.mapping.types.table import RULES
from syncbridge.schemas import FieldKind

PAGE = Path(__file__).parents[1] / "docs" / "types.md"
F = FieldKind
TYPE_NAMES = {
    "int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real", "float8": "double precision",
    "bool": "boolean", "bpchar": "char(n)", "varchar": "varchar(n)", "enum": "enums", "varchar[]": "varchar[]",
    "bpchar[]": "char(n)[]", "enum[]": "enum[]",
}  # fmt: skip
KIND_NAMES = {
    F.STRING: "Text", F.TEXT: "Text Area", F.EMAIL: "Email", F.PHONE: "Phone", F.URL: "URL", F.BOOLEAN: "Checkbox",
    F.INTEGER: "Integer", F.NUMBER: "Number, Currency, Percent", F.DATE: "Date", F.DATETIME: "Date/Time",
    F.TIME: "Time", F.PICKLIST: "Picklist", F.MULTIPICKLIST: "Multi-Select Picklist", F.REFERENCE: "Lookup",
}  # fmt: skip
#: Types that fit nothing, by what a mapping writes instead.
WITHOUT_RULE = ("interval", "bytea", "json", "jsonb", "timetz", "int4[]", "int4range", "inet", "xml")
INSTEAD = (F.STRING, F.NUMBER, F.BOOLEAN, F.TIME, F.MULTIPICKLIST)

HEAD = """\
# Types

What happens to a value between a Postgres column and a Salesforce field, in both directions. This page is made
from the table that `syncbridge check` and the conversions go by, and every example on it is a test: from a real
column over HTTP into the [sandbox](sandbox.md), read again, and into a real column again; and once more through a
[two-way mapping](mapping.md#the-way-back) that runs, from what somebody enters in Salesforce.

Five rules hold for all types:

* **Compared in normal form.** What counts is what Salesforce stores and returns. A value whose normal form did
  not change is not sent, and nothing is written back: blanks, capitals of an email, parts of a second that
  Salesforce does not keep stay in Postgres until somebody changes the field in Salesforce. Only a number, a boolean
  or a uuid that somebody enters in a text field is sent back once, in its column's spelling: `0042` becomes `42`.
* **Refused, not bent.** A value that the other side cannot hold refuses its own record, with a code, and no
  other record. The way there rounds only numbers, to the field's digits, and cuts seconds; each is said below.
  The way back rounds and cuts nothing, because the rounded value would then go out and change what somebody has
  just entered.
* **Null** is null on both sides; where the mapping has a `default:`, null goes there as the default, and the default
  comes back as null, unless the column is `not null`. Salesforce knows no `''`: an empty
  text becomes null. Back, null is null; where the column is `not null`, it is `''` in a text, `{}` in an array,
  and refused in others.
* **No setting matters:** neither the zone of a session nor its `DateStyle`, `lc_monetary` or `bytea_output`.
* **Domains** are treated as the type below them, whose length and scale count. What an
  `sql:` gives, and generated columns, go there only.

`values:` goes by text and needs no fitting type. Back, each right side becomes its left side (with
`active: Former`, a Former into active); what is on no right side refuses its record, with `VALUE_NOT_MAPPED`. Two
left sides with one right side have no way back and are for one-way fields only. A null that comes back is null;
in a column that is `not null` it is the left side that stands for null.

## What fits
"""
MISFITS = """
## What has to be cast

These fit no field as they are. A mapping says what it means in `sql:`, and `check` prints these lines with the
column's name; `'key'` is an example. They go there only.
"""
REGENERATE = "docs/types.md is not what the table of types says: run `python -m tests.types_page`"


def page() -> str:
    """The whole document."""
    families = list(dict.fromkeys(rule.family for rule in RULES))
    parts = [HEAD, *_overview()]
    for family in families:
        parts += ["", f"## {family}", ""]
        for rule in RULES:
            if rule.family == family:
                parts += _section(rule)
    return "\n".join([*parts, MISFITS, *_misfits()]) + "\n"


def _overview() -> Iterator[str]:
    yield from ("| Postgres | fits | with a warning |", "| --- | --- | --- |")
    rows: dict[tuple[str, str], list[str]] = {}
    for base_type in dict.fromkeys(each for rule in RULES for each in rule.types):
        found = {kind: fit(base_type, kind) for kind in KIND_NAMES}
        plain = ", ".join(KIND_NAMES[kind] for kind, each in found.items() if not each.severity)
        warned = ", ".join(
            f"{KIND_NAMES[k]}: {each.message}" for k, each in found.items() if each.severity == "warning"
        )
        rows.setdefault((plain, warned), []).append(base_type)
    for (plain, warned), base_types in rows.items():
        yield f"| {_types(base_types)} | {plain} | {warned} |"


def _section(rule: TypeRule) -> Iterator[str]:
    yield f"### {_types(rule.types)} and {', '.join(KIND_NAMES[kind] for kind in rule.kinds)}"
    yield ""
    yield f"*There:* {rule.there}"
    yield ""
    yield f"*Back:* {rule.back}"
    yield ""
    if rule.warning:
        yield f"`check` warns: {rule.warning}. Instead, you may write `sql: {rule.cast.format('the_column')}`."
        yield ""
    yield from ("| in the column | in Salesforce | then in the column |", "| --- | --- | --- |")
    for there in rule.examples:
        value = _sql(there.value) + _of(there.column)
        remote = _refused(there.remote) if isinstance(there.remote, Refused) else _json(there.remote)
        back = "" if isinstance(there.remote, Refused) else "the same" if there.back == SAME else _sql(there.back)
        why = f" ({there.why})" if there.why else ""
        yield f"| {value}{why} | {remote}{_of(there.field)} | {back} |"
    for back_only in rule.returns:
        stored = back_only.value
        then = _refused(stored) if isinstance(stored, Refused) else _sql(stored)
        why = f" ({back_only.why})" if back_only.why else ""
        yield f"| | {_json(back_only.remote)}{_of(back_only.field)}{why} | {then}{_of(back_only.column)} |"
    yield ""


def _misfits() -> Iterator[str]:
    yield "| Postgres | " + " | ".join(KIND_NAMES[kind].partition(",")[0] for kind in INSTEAD) + " |"
    yield "| --- |" + " --- |" * len(INSTEAD)
    for base_type in WITHOUT_RULE:
        casts = [cast(base_type, kind).format("c") for kind in INSTEAD]
        yield f"| {_types([base_type])} | " + " | ".join(f"`{each}`" if each else "" for each in casts) + " |"
    casts = [cast("money", kind).format("c") for kind in INSTEAD]
    yield "| `money` from an `sql:` | " + " | ".join(f"`{each}`" if each else "" for each in casts) + " |"


def _types(base_types: Sequence[str]) -> str:
    named = [TYPE_NAMES.get(each, each.replace("int4", "integer") if "[]" in each else each) for each in base_types]
    return ", ".join(name if name == "enums" else f"`{name}`" for name in named)


def _of(type_name: str) -> str:
    return f" in `{type_name.replace('mood', 'an_enum')}`" if type_name else ""


def _sql(value: str | None) -> str:
    if value is None:
        return "null"
    if value in (LONG_ID, SHORT_ID):
        return value.strip("()")
    spelled = value.replace("'", "''")
    if "\n" in value or "\r" in value or "\\" in value:
        spelled = "E'" + spelled.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n") + "'"
        return f"`{spelled}`"
    return f"`'{spelled}'`"


def _json(value: object) -> str:
    if value in (LONG_ID, SHORT_ID):
        return str(value).strip("()")
    return "null" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _refused(refused: Refused) -> str:
    return f"refused: `{refused.code}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
