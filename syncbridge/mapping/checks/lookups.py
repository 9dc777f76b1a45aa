"""Do lookups fit: the mapping that they name, the key that they give it, the remote field that takes the id. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from syncbridge.errors import Finding
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.related import Related
from syncbridge.mapping.spec import FieldSpec, MappingSpec
from syncbridge.schemas import Catalog, Column, FieldKind, RemoteField

#: Kinds of remote field that can hold an id.
_HOLDS_IDS = frozenset({FieldKind.REFERENCE, FieldKind.STRING, FieldKind.TEXT})
#: Types of which equal values have equal texts, so that one finds the other's key.
_SAME_TEXTS = (frozenset({"int2", "int4", "int8"}), frozenset({"text", "varchar", "enum"}))


def check_lookups(
    spec: MappingSpec,
    known: Mapping[str, MappingSpec],
    catalog: Catalog,
    related: Related | None,
    *,
    all_known: bool = True,
) -> Iterator[Finding]:
    """Lookups of one mapping, as far as mappings and tables can tell; there are more unless `all_known`."""
    for name, field in spec.fields.items():
        if field.lookup is None:
            continue
        label = f"fields.{name}.lookup"
        where = spec.at("fields", name, "lookup")
        parent = known.get(field.lookup)
        if parent is None and not all_known:
            continue  # the file that could not be read may be the one
        if parent is None:
            message = f"{label}: there is no mapping {field.lookup!r}{did_you_mean(field.lookup, known)}"
            yield Finding("error", where, message, "A lookup names a mapping of this project.")
        elif parent.destination != spec.destination:
            message = f"{label}: {parent.mapping} goes to {parent.destination}, this mapping to {spec.destination}"
            yield Finding("error", where, message, "Records can only refer to records of their own destination.")
        else:
            if field.missing == "wait" and parent.entity.where is not None:
                message = f"{label}: {parent.mapping} has a `where`: what looks up a row it leaves out waits for good"
                yield Finding("warning", where, message, "With `missing: empty` it is sent without the field.")
            if related is not None:
                yield from _check_key(spec, name, field, parent, catalog, related)


def _check_key(
    spec: MappingSpec, name: str, field: FieldSpec, parent: MappingSpec, catalog: Catalog, related: Related
) -> Iterator[Finding]:
    where, label = spec.at("fields", name, "key"), f"fields.{name}.key"
    given, wanted = field.key or (), parent.entity.key
    columns: list[Column] = []
    for each in given:
        reference = related.refer(each)
        if reference is None:
            yield Finding("error", where, f"{label}: {related.unknown(each)}")
        elif reference.column is None:
            yield Finding("error", where, f"{label}: {each} is a roll-up, which is no key")
        else:
            columns.append(reference.column)
    if len(given) != len(wanted):
        message = f"{label}: the key of {parent.mapping} has {_counted(wanted)}, this is {len(given)}"
        yield Finding("error", where, message, f"Give the columns that hold its {', '.join(wanted)}, in this order.")
        return
    table = catalog.tables.get(parent.entity.table_name)
    if table is None or len(columns) < len(given):
        return
    for column, key in zip(columns, wanted, strict=True):
        if key in table.columns and not _same_text(column, table.columns[key]):
            theirs = table.columns[key]
            message = f"{label}: {column.name} is {column.type}, but {parent.mapping}.{key} is {theirs.type}"
            yield Finding("error", where, message, "Their values are compared as texts: give both the same type.")


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} column{'s' * (len(names) != 1)}"


def _same_text(one: Column, other: Column) -> bool:
    """Whether a value of one finds the key that the other makes."""
    if any({one.base_type, other.base_type} <= types for types in _SAME_TEXTS):
        return True
    return one.base_type == other.base_type and (one.scale, one.base_type == "bpchar" and one.length) == (
        other.scale,
        other.base_type == "bpchar" and other.length,
    )


def check_reference(
    spec: MappingSpec, name: str, field: FieldSpec, parent: MappingSpec | None, target: RemoteField
) -> Iterator[Finding]:
    """Whether the remote field can refer to the records of the mapping that is looked up."""
    where, label = spec.at("fields", name), f"fields.{name}"
    if target.kind not in _HOLDS_IDS:
        message = f"{label}: {target.name} is a {target.kind} field, which cannot hold the id of a record"
        yield Finding("error", where, message, "Use a field that refers to other records.")
    elif parent is not None and target.refers_to and parent.object.lower() not in map(str.lower, target.refers_to):
        theirs = " or ".join(target.refers_to)
        message = f"{label}: {target.name} refers to {theirs}, but {parent.mapping} keeps {parent.object} records"
        yield Finding("error", where, message, "Look up the mapping of that object.")
    if target.required and field.missing == "empty":
        message = f"{label}: {target.name} is required, so that no record can be sent without it"
        yield Finding("error", where, message, "Leave `missing: empty` out: the record then waits.")


def check_owner(spec: MappingSpec, name: str, field: FieldSpec, target: RemoteField) -> Iterator[Finding]:
    """A field of the destination's own is only ever given to new records."""
    if field.owner == "destination" and not target.createable:
        message = f"fields.{name}: {target.name} cannot be given on create, and with this owner it never is afterwards"
        yield Finding("error", spec.at("fields", name), message, "Leave the field out.")
