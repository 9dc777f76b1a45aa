"""Can what comes back be written: keys of new rows, and the columns by which existing ones are found. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from syncbridge.errors import Finding
from syncbridge.mapping.spec import MappingSpec
from syncbridge.schemas import Table


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
