"""A suggestion as a mapping file for a person to finish: every line says why, what is open stands at the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import lightly_quoted
from syncbridge.mapping.suggesting.questions import NEW_FIELD, numbered, questions, untranslated
from syncbridge.mapping.suggesting.relations import Relations, relations
from syncbridge.mapping.suggesting.suggest import Pair, Sureness, is_mail, is_personal, suggest
from syncbridge.mapping.suggesting.text import Line, laid_out, one_line, scalar, scalars, table_text
from syncbridge.mapping.suggesting.words import words_of
from syncbridge.schemas import FieldKind, ForeignKey, RemoteField, RemoteObject, Table

#: Rows that such columns mark are often left out.
_MARKS = frozenset({"test", "deleted", "delete", "demo", "archived", "archive"})


@dataclass(frozen=True, slots=True)
class Sources:
    """What a draft is made from. `others`: the mappings that there are."""

    table: Table
    remote: RemoteObject
    destination: str
    name: str
    foreign_keys: Sequence[ForeignKey] = ()
    others: Sequence[MappingSpec] = ()
    json_schema: str = ""  # for editors: its path from the folder of mappings


def draft(sources: Sources) -> str:
    """The text of a mapping file. It parses when at least one column looks like a field."""
    table = sources.table
    found = suggest(table, sources.remote, sources.foreign_keys)
    related = relations(table, sources.remote, sources.destination, sources.name, sources.foreign_keys, sources.others)
    lines = [
        *_head(sources),
        *_entity(table, found.key or tuple(table.columns)[:1], related),
        *_external_id(found.external_ids),
        *_match_on(found.pairs),
        *_direction(),
        *_fields(found.pairs, related),
        Line(""),
        Line("deletes: {to_destination: delete}", "delete | ignore | {set: {Some_Field: false}}"),
        Line("guard: {deletes: 100 per hour}", "above this the mapping stops and asks"),
    ]
    asked = [*related.questions, *questions(table, sources.remote, found)]
    return "\n".join([*laid_out(lines), *numbered(asked)]) + "\n"


def _head(sources: Sources) -> Iterator[Line]:
    made_of = f"{one_line(sources.table.qualified)} and {sources.destination}:{sources.remote.name}"
    if sources.json_schema:
        yield Line(f"# yaml-language-server: $schema={one_line(sources.json_schema)}")
    yield Line(f"# A draft, made by `syncbridge suggest` of {made_of}.")
    yield Line("# Read every line, answer the questions at the end, then run:")
    yield Line(f"#     syncbridge check {sources.name}")
    yield Line(f"mapping: {sources.name}")
    yield Line(f"destination: {sources.destination}")
    yield Line(f"object: {scalar(sources.remote.name)}")
    yield Line("")


def _entity(table: Table, key: Sequence[str], related: Relations) -> Iterator[Line]:
    yield Line("entity:")
    yield Line(f"  table: {table_text(table.schema, table.name)}")
    unique = "a unique key" if tuple(key) in table.unique_keys else ""
    yield Line(f"  key: {scalars(key)}", "the primary key" if tuple(key) == table.primary_key else unique)
    for condition in _filters(table):
        yield Line(f"  where: {scalar(condition)}", "a row that stops passing is treated as gone", active=False)
    if related.entries:
        yield Line("  related:", "rows of other tables, for column and sql", active=False)
        for entry in related.entries:
            yield Line(f"    {entry}", active=False)
    yield Line("")


def _filters(table: Table) -> Iterator[str]:
    for column in table.columns.values():
        if _MARKS & set(words_of(column.name)):
            if column.base_type == "bool":
                yield f"not {lightly_quoted(column.name)}"
            elif column.base_type in ("timestamp", "timestamptz", "date"):
                yield f"{lightly_quoted(column.name)} is null"


def _external_id(candidates: Sequence[RemoteField]) -> Iterator[Line]:
    if not candidates:
        yield Line(f"external_id: {NEW_FIELD}", "carries the key; it does not exist yet, see the questions")
    for index, field in enumerate(candidates):
        length = f", {field.length} characters" if field.length else ""
        remark = f"carries the key: an external id, unique{length}" if index == 0 else "could carry it too"
        yield Line(f"external_id: {scalar(field.name)}", remark, active=index == 0)
    yield Line("")


def _match_on(pairs: Sequence[Pair]) -> Iterator[Line]:
    mail = next((pair for pair in pairs if is_mail(pair)), None)
    if mail is not None:
        remark = "links records that are there already, in place of new ones"
        yield Line(f"match_on: {scalar(mail.field.name)}", remark, active=False)
        yield Line("")


def _direction() -> Iterator[Line]:
    remark = "changes there come back, too; the login needs UPDATE, INSERT"
    yield Line("direction: both", remark, active=False)
    yield Line("")


def _fields(pairs: Sequence[Pair], related: Relations) -> Iterator[Line]:
    written = [pair for pair in pairs if pair.sureness is not Sureness.PERHAPS and not untranslated(pair)]
    yield Line("fields:") if written else Line("fields: {}", "no column looks like a field for sure: fill this in")
    for pair in written:
        yield Line(f"  {_field(pair)}", _remark(pair))
    for pair in pairs:
        if pair not in written:
            yield Line(f"  {_field(pair)}", _remark(pair), active=False)
    for entry, remark in related.lookups:
        yield Line(f"  {entry}", remark, active=False)


def _field(pair: Pair) -> str:
    name = pair.column.name
    by_column = "." not in name  # `company.name` would be a column of a related table
    parts = [f"column: {scalar(name)}" if by_column else f"sql: {scalar(lightly_quoted(name))}"]
    if untranslated(pair):
        parts.append(f"values: {{{', '.join(f'{scalar(option)}: ...' for option in pair.column.options)}}}")
    if is_personal(pair.column, pair.field):
        parts.append("sensitive: true")
    short = by_column and len(parts) == 1
    return f"{scalar(pair.field.name)}: {scalar(name) if short else '{' + ', '.join(parts) + '}'}"


def _remark(pair: Pair) -> str:
    column, field = pair.column, pair.field
    size = (
        f"({field.length})" if field.length else f"({field.precision}, {field.scale or 0})" if field.precision else ""
    )
    notes = [f"{pair.sureness}: {pair.reason}; {column.type} to {field.kind}{size}"]
    if column.length is not None and field.length is not None and column.length > field.length:
        notes.append("may be too long")
    if field.kind is FieldKind.NUMBER and column.scale is not None and column.scale > (field.scale or 0):
        notes.append(f"rounded to {field.scale or 0} digits after the point")
    if field.required and not column.not_null:
        notes.append("may be null, but is required there")
    return "; ".join(notes)
