"""Can what comes back be written: the login's rights, keys of new rows, how existing ones are found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from syncbridge.errors import Finding
from syncbridge.mapping.checks.source import sql_name
from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import quoted
from syncbridge.mapping.two_way import returning
from syncbridge.schemas import Catalog, Table


def check_creates(spec: MappingSpec, table: Table) -> Iterator[Finding]:
    """New remote records can become rows."""
    if spec.direction == "to_destination" or spec.creates.to_postgres == "ignore":
        return
    where = spec.at("creates", "to_postgres")
    bare = [name for name in spec.entity.key if name in table.columns and not table.columns[name].has_default]
    if bare and spec.external_id.lower() != "id":
        message = f"new records that carry no key do not become rows: {', '.join(bare)} has no default"
        remedy = "Give it one (an identity, a sequence, gen_random_uuid()), or write `creates: {to_postgres: ignore}`."
        yield Finding("warning", where, message, remedy)
    columns = {name.lower() for name, field in spec.fields.items() if field.column in table.columns}
    for name in spec.match_on if spec.direction == "both" else ():
        if name.lower() not in columns:
            message = f"match_on: no column of {table.qualified} holds {name}, so rows cannot be found by it"
            remedy = "Use a field that has a column, or write `creates: {to_postgres: ignore}`."
            yield Finding("error", spec.at("match_on"), message, remedy)
    made = {field.column for field in spec.fields.values()} | set(spec.entity.key)
    empty = [c.name for c in table.columns.values() if c.not_null and not (c.has_default or c.generated)]
    if missing := [name for name in empty if name not in made]:
        message = f"new rows are refused: {', '.join(missing)} may not be null, and nothing fills it"
        remedy = "Give the column a default, map a field to it, or write `creates: {to_postgres: ignore}`."
        yield Finding("warning", where, message, remedy)


def check_write_rights(spec: MappingSpec, table: Table, catalog: Catalog) -> Iterator[Finding]:
    """The login may change, make and delete the rows that the way back does."""
    if spec.direction == "to_destination":
        return
    rule = spec.deletes.to_postgres
    filled = {name for names in returning(spec, table).values() for name in names}
    marked = table.columns.keys() & set(rule["set"] if isinstance(rule, dict) else ())
    columns = table.columns.values()
    rights = [*_missing("UPDATE", filled | marked, [column.name for column in columns if column.updatable])]
    if spec.creates.to_postgres == "insert":
        made = table.columns.keys() & set(spec.entity.key) | filled
        yield from _closed_sequences(spec, table, catalog)
        rights += _missing("INSERT", made, [column.name for column in columns if column.insertable])
    if rule == "delete" and not table.deletable:
        rights.append("DELETE")
    if rights:
        verbs = ", ".join(dict.fromkeys(right.partition(" ")[0] for right in rights))
        message = (
            f"`direction: {spec.direction}` writes rows of {table.qualified}: the login {catalog.user} lacks {verbs}"
        )
        user = quoted(catalog.user) if catalog.user else "the_login"
        sql = f"GRANT {', '.join(rights)} ON {sql_name(table)} TO {user};"
        yield Finding("error", spec.at("direction"), message, "", sql)


def _closed_sequences(spec: MappingSpec, table: Table, catalog: Catalog) -> Iterator[Finding]:
    """Keys of new rows are drawn by us, and sequences moved past keys that records bring along."""
    keys = [table.columns[name] for name in spec.entity.key if name in table.columns]
    for column in keys:
        if column.sequence and not column.drawable:
            user = quoted(catalog.user) if catalog.user else "the_login"
            message = f"new records become rows with keys of {column.sequence}: the login {catalog.user} may not use it"
            sql = f"GRANT USAGE, UPDATE ON SEQUENCE {column.sequence} TO {user};"
            yield Finding("error", spec.at("direction"), message, "", sql)


def _missing(right: str, columns: Collection[str], granted: Collection[str]) -> Iterator[str]:
    """What to grant: on the table where no column has it, else on columns that lack it."""
    if not granted:
        yield right
    elif closed := sorted(set(columns) - set(granted)):
        yield f"{right} ({', '.join(map(quoted, closed))})"
