"""With a way back: what comes into which column, and what cannot. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from syncbridge.errors import Finding
from syncbridge.mapping.spec import FieldSpec, MappingSpec
from syncbridge.mapping.two_way import returning
from syncbridge.mapping.types.fit import fit_back
from syncbridge.schemas import RemoteField, Table


def check_read_only(
    spec: MappingSpec, remote: str, source: FieldSpec, table: Table | None, field: RemoteField
) -> Iterator[Finding]:
    """Of a field that only the destination fills: a column has to take it, and Postgres cannot own it."""
    where, label = spec.at("fields", remote), f"fields.{remote}"
    fills = "calculates this field itself" if field.calculated else "lets nobody write this field"
    names = returning(spec, table).get(remote, ()) if table is not None else ()
    column = table.columns[names[0]] if table is not None and names and source.column is not None else None
    if source.owner == "postgres":
        message = f"{label}: the destination {fills}, so that Postgres cannot own it"
        yield Finding("error", spec.at("fields", remote, "owner"), message, "Leave `owner` out.")
    elif table is not None and column is None:
        message = f"{label}: the destination {fills}, so that it can only come from there"
        remedy = "Give it a column of the table that no other field writes, or leave it out."
        yield Finding("error", where, message, remedy)
    else:
        yield from check_takes(spec, remote, source, table, field)
    if source.default is not None:
        message = f"{label}.default: the destination {fills}, so that nothing is ever sent"
        yield Finding("warning", spec.at("fields", remote, "default"), message, "Leave it out.")


def check_takes(
    spec: MappingSpec, remote: str, source: FieldSpec, table: Table | None, field: RemoteField
) -> Iterator[Finding]:
    """The column of a field that only comes is of a type that takes it."""
    column = table.columns.get(source.column) if table is not None and source.column is not None else None
    if column is None or source.values is not None:
        return
    if fit_back(column.base_type, field.kind).severity == "error":
        message = f"fields.{remote}: {column.type} does not fit a field of type {field.kind}"
        yield Finding("error", spec.at("fields", remote), message)


def check_shared_columns(spec: MappingSpec, table: Table) -> Iterator[Finding]:
    """A column is written by one field; others that are filled from it follow its row, which is told."""
    written = returning(spec, table)
    writers = {name: remote for remote, names in written.items() for name in names}
    for remote, source in spec.fields.items():
        names = (source.column,) if source.column is not None else source.key or ()
        taken = [name for name in names if name in writers and writers[name] != remote]
        if taken and source.owner != "postgres":
            message = f"fields.{remote}: {taken[0]} takes changes of {writers[taken[0]]}: one of this field is put back"
            yield Finding("warning", spec.at("fields", remote), message, "Write `owner: postgres` to say so.")
