"""Tables and objects as values, for tests of what only looks at them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from syncbridge.destinations.salesforce.describe import described
from syncbridge.sandbox.salesforce.org.describe import describe_object
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.schemas import Column, FieldKind, RemoteField, RemoteObject, Table

_ORG = load_org()
_BASE_TYPES = {"bigint": "int8", "integer": "int4", "boolean": "bool", "double precision": "float8"}


def standard(name: str) -> RemoteObject:
    """A standard Salesforce object, as the sandbox describes it."""
    return described(describe_object(_ORG, _ORG.objects[name.lower()], "/services/data/v66.0"))


def remote(*fields: RemoteField, name: str = "Thing__c") -> RemoteObject:
    """An object of these fields."""
    return RemoteObject(name, {field.name: field for field in fields})


def field(name: str, kind: FieldKind = FieldKind.STRING, **facts: object) -> RemoteField:
    """A field that can be written."""
    return RemoteField(name, kind, **facts)  # type: ignore[arg-type]


def column(text: str) -> Column:
    """A column of DDL: `email varchar(80) not null`; of an enum `mood enum(sad, glad)`."""
    name, _, rest = text.partition(" ")
    type = rest.removesuffix(" not null")
    base, numbers = re.sub(r"\(.*\)", "", type), re.findall(r"\d+", type)
    text_type = base in ("varchar", "char")
    return Column(
        name,
        type,
        base_type=_BASE_TYPES.get(base, base),
        not_null=rest.endswith(" not null"),
        length=int(numbers[0]) if text_type and numbers else None,
        precision=int(numbers[0]) if base == "numeric" and numbers else None,
        scale=int(numbers[1]) if base == "numeric" and numbers else None,
        options=tuple(re.sub(r".*\(|\)", "", type).split(", ")) if base == "enum" else (),
    )


def table(name: str, *columns: str, key: Sequence[str] = ("id",), schema: str = "public") -> Table:
    """A table of these columns; `id bigint` comes first where it is the key."""
    given = [column(text) for text in columns]
    if key == ("id",) and "id" not in [each.name for each in given]:
        given.insert(0, column("id bigint not null"))
    keys = (tuple(key),) if key else ()
    return Table(schema, name, {each.name: each for each in given}, primary_key=tuple(key), unique_keys=keys)
