"""Records by id, shown with chosen fields or all of them."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from syncbridge.sandbox.salesforce.call import Call
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.soql.rows import shower
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from syncbridge.sandbox.salesforce.soql.statement import Statement
from syncbridge.sandbox.salesforce.soql.tokens import Source
from syncbridge.sandbox.salesforce.soql.tree import FieldGroup, Path, Query
from syncbridge.sandbox.salesforce.store.changes import Record
from syncbridge.sandbox.salesforce.store.values import Stored


def read_records(call: Call, target: ObjectType, names: Sequence[str] | None, ids: list[str]) -> dict[str, Record]:
    """Return the live records with these ids, by id; all fields where no names are given."""
    statement = _statement(call, target, names)
    rows = call.sandbox.storage.select(statement.select_by("Id", deleted=False), (orjson.dumps(ids).decode(),))
    show = shower(statement.root, call.base)
    found = {}
    for row in rows:
        record = show(row)
        if record is not None:
            found[row[statement.root.id_column]] = record
    return found


def stored_values(call: Call, name: str, record_id: str, columns: tuple[str, ...]) -> dict[str, Stored]:
    """Return stored values of a record that every org has, by field."""
    [row] = call.sandbox.storage.rows_with(call.sandbox.org.original(name), columns, "Id", [record_id])
    return dict(zip(columns, row, strict=True))


def _statement(call: Call, target: ObjectType, names: Sequence[str] | None) -> Statement:
    unique = list(dict.fromkeys(each.strip() for each in names)) if names is not None else ["FIELDS(ALL)"]
    fields: tuple[Path | FieldGroup, ...] = (FieldGroup("all", 0),)
    if names is not None:
        fields = tuple(Path(tuple(each.split(".")), 0) for each in unique)
    source = Source(f"SELECT {', '.join(unique)} FROM {target.name}")  # noqa: S608 - SOQL, shown in errors only
    query = Query(source=source, fields=fields, object_name=target.name, limit=1)
    return compile_query(call.sandbox.org, query, call.sandbox.clock.now())
