"""A Heroku Connect export becomes mapping files, with a report of what was taken over and what has no equivalent. Pure.

The rules stand in docs/from-heroku-connect.md. Nothing is guessed silently: what the export does not say is a question
at the end of the file and in the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from syncbridge.importing.heroku_export import KNOWN_VERSION, Export, ExportedMapping
from syncbridge.importing.heroku_fields import SYSTEM_FIELDS, FieldLines, field_lines
from syncbridge.importing.heroku_keys import Keyed, keyed
from syncbridge.importing.heroku_subject import Direction, Known, Paired, Subject, Wishes, columns, heroku_column
from syncbridge.mapping import forms
from syncbridge.mapping.sql import lightly_quoted
from syncbridge.mapping.suggesting.questions import numbered
from syncbridge.mapping.suggesting.text import Line, laid_out, lawful, one_line, scalar, scalars, table_text

__all__ = ["Converted", "Import", "Known", "Wishes", "convert", "table_of"]

#: Seconds between polls: what Heroku takes where nothing is said, and what it allows.
DEFAULT_POLL, SHORTEST_POLL, LONGEST_POLL = 600, 60, 3600

#: What becomes of the features that a connection can have on.
_FEATURES = {
    "poll_db_no_merge": "ordered writes: syncbridge always sends a record's newest state, and parents before children",
    "disable_bulk_writes": "no equivalent for one object: backlogs go by bulk jobs from `bulk_from` rows on",
    "poll_external_ids": "not needed: links hold the remote id of every record",
    "use_assignment_rules": "no equivalent: assignment rules are not triggered",
    "force_picklist_255": "not needed: no columns are made",
    "cdc_for_accelerated_polling": "no equivalent: `poll` asks at its interval",
    "rest_count_only": "not needed",
    "ucs_basic_collation_index": "not needed: no indexes are made",
}


@dataclass(frozen=True, slots=True)
class Converted:
    """One mapping file, and what is to be told of it."""

    object: str
    mapping: str
    table: str
    direction: str
    key: tuple[str, ...]
    external_id: str
    poll: int | None  # seconds
    fields: tuple[str, ...]  # that count
    text: str
    lost: tuple[str, ...]
    questions: tuple[str, ...]
    sql: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """What an export came to. `left_out`: object -> why it has no file. `notes` are of the connection as a whole."""

    converted: tuple[Converted, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Told:
    lost: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def convert(export: Export, wishes: Wishes, known: Mapping[str, Known]) -> Import:
    """Convert every object. `known` is by object in small letters, as far as the sides could be asked."""
    names = _names(export, wishes)
    converted, left_out = [], {}
    for mapping in export.mappings:
        object = mapping.object_name
        if object.lower() not in names:
            left_out[object] = "read_only: nothing of it is written to Salesforce, and --direction asks for that alone"
            continue
        subject = _subject(mapping, wishes, known.get(object.lower(), Known()), names)
        made = _convert(subject)
        if made is None:
            left_out[object] = "none of its fields can be mapped for sure"
        else:
            converted.append(made)
    return Import(tuple(converted), left_out, tuple(_connection_notes(export, wishes)))


def table_of(object: str, wishes: Wishes) -> tuple[str, str]:
    """The table of an object: one of the user's own, else Heroku's, which has its name in small letters."""
    return wishes.tables.get(object.lower()) or (wishes.schema, heroku_column(object))


def _names(export: Export, wishes: Wishes) -> dict[str, str]:
    """Object in small letters -> name of its mapping, each name once."""
    names: dict[str, str] = {}
    for mapping in export.mappings:
        if wishes.one_way and mapping.config.access == "read_only":
            continue
        object = mapping.object_name.lower()
        base = name = lawful(object, dashes=True)
        number = 1
        while name in names.values():
            number += 1
            name = f"{base}_{number}"
        names[object] = name
    return names


def _subject(mapping: ExportedMapping, wishes: Wishes, known: Known, names: Mapping[str, str]) -> Subject:
    object = mapping.object_name
    direction: Direction = "both" if mapping.config.access == "read_write" else "to_postgres"
    return Subject(
        object=object,
        config=mapping.config,
        mapping=names[object.lower()],
        table=table_of(object, wishes),
        own=object.lower() in wishes.tables,
        direction="to_destination" if wishes.one_way else direction,
        wishes=wishes,
        known=known,
        mappings=names,
    )


def _convert(subject: Subject) -> Converted | None:
    paired = columns(subject)
    key = keyed(subject, paired)
    fields = list(field_lines(subject, paired, key.external_id))
    if not any(each.active for each in fields):
        return None
    told = _Told()
    told.questions += [*_missing(subject), *key.questions, *(each.question for each in fields if each.question)]
    told.questions += _required(subject, fields, key.external_id)
    poll = _poll(subject, told)
    told.lost += [f"{each.name}: {each.lost}" for each in fields if each.lost]
    told.lost += _config_lost(subject)
    lines = [*_head(subject), *_entity(subject, key), Line("fields:")]
    lines += [line for each in fields for line in each.lines]
    lines += _tail(subject, poll)
    return Converted(
        object=subject.object,
        mapping=subject.mapping,
        table=subject.table_text,
        direction=subject.direction,
        key=key.columns,
        external_id=key.external_id,
        poll=poll,
        fields=tuple(each.name for each in fields if each.active),
        text="\n".join([*laid_out(lines), *numbered(told.questions)]) + "\n",
        lost=tuple(told.lost),
        questions=tuple(told.questions),
        sql=(*key.sql, *(_indexes(subject, paired) if subject.own else ())),
    )


# -- the text ---------------------------------------------------------------------------------------------------------


def _head(subject: Subject) -> Iterator[Line]:
    if subject.wishes.json_schema:
        yield Line(f"# yaml-language-server: $schema={one_line(subject.wishes.json_schema)}")
    yield Line(f"# Made by `syncbridge import heroku-connect` of {subject.object}, which was {subject.config.access}.")
    yield Line("# Read it, answer the questions at the end, then run:")
    yield Line(f"#     syncbridge check {subject.mapping}")
    yield Line(f"mapping: {subject.mapping}")
    yield Line(f"destination: {scalar(subject.wishes.destination)}")
    yield Line(f"object: {scalar(subject.object)}")
    if subject.direction != "to_destination":
        yield Line(f"direction: {subject.direction}", "nothing is sent" if subject.direction == "to_postgres" else "")
    if subject.direction == "both":
        yield Line("conflict: newest", "the last writer wins, as in Heroku Connect")
    yield Line("")


def _entity(subject: Subject, key: Keyed) -> Iterator[Line]:
    schema, name = subject.table
    yield Line("entity:")
    yield Line(f"  table: {table_text(schema, name)}", "" if subject.own else "as Heroku made it")
    yield Line(f"  key: {scalars(key.columns)}", key.key_remark)
    yield Line("")
    yield Line(f"external_id: {scalar(key.external_id)}", key.external_remark)
    yield Line("")


def _tail(subject: Subject, poll: int | None) -> Iterator[Line]:
    yield Line("")
    if subject.direction == "to_destination":
        yield Line(
            "deletes: {to_destination: delete}", "as in Heroku Connect; or ignore, or {set: {Some_Field: false}}"
        )
    elif subject.direction == "both":
        yield Line("deletes: {to_destination: delete, to_postgres: delete}", "both as in Heroku Connect")
    else:
        yield Line(
            "deletes: {to_destination: ignore, to_postgres: delete}", "as in Heroku Connect; ignore keeps the row"
        )
    if poll is not None:
        yield Line(f"poll: {{every: {forms.duration(poll)}}}")
    if subject.direction != "to_postgres":
        yield Line("guard: {deletes: 100 per hour}", "new here: above this the mapping stops and asks")


# -- what is told -----------------------------------------------------------------------------------------------------


def _missing(subject: Subject) -> Iterator[str]:
    if subject.known.table_missing:
        yield f"There is no table {subject.table_text} that the login can see. Is --schema, or --tables, right?"


def _required(subject: Subject, fields: list[FieldLines], external_id: str) -> Iterator[str]:
    if subject.known.remote is None or subject.direction == "to_postgres":
        return
    filled = {each.name.lower() for each in fields if each.active} | {external_id.lower()}
    for name, described in subject.known.remote.fields.items():
        if described.required and name.lower() not in filled:
            yield f"{subject.object}.{name} is required for new records, and no field fills it. What does?"


def _poll(subject: Subject, told: _Told) -> int | None:
    asked = subject.config.sf_polling_seconds
    if subject.direction == "to_destination":
        return None
    if asked is None:
        return DEFAULT_POLL
    taken = min(max(asked, SHORTEST_POLL), LONGEST_POLL)
    if taken != asked:
        told.lost.append(
            f"sf_polling_seconds: {asked} is not between {SHORTEST_POLL} and {LONGEST_POLL}; {taken} is taken"
        )
    return taken


def _config_lost(subject: Subject) -> Iterator[str]:
    config = subject.config
    if subject.direction == "to_destination":
        yield "the way back: --direction to_destination leaves it out, changes in Salesforce do not reach Postgres"
    if config.sf_notify_enabled:
        yield "sf_notify_enabled: no equivalent; `poll` asks at its interval"
    for name in config.unknown:
        yield f"config.{name}: not known to this version, and not taken over"
    listed = {name.lower() for name in config.fields}
    for name in config.indexes:
        if name.lower() not in listed:
            yield f"indexes.{name}: of a field that is not exported"
    unlisted = config.upsert_field is not None and config.upsert_field.lower() not in listed
    if unlisted:
        yield f"upsert_field: {config.upsert_field} is not among the exported fields; its column is taken by name"


def _indexes(subject: Subject, paired: Mapping[str, Paired]) -> Iterator[str]:
    """What Heroku had on its own table, for the user's."""
    table = ".".join(lightly_quoted(part) for part in subject.table)
    for name, index in subject.config.indexes.items():
        pair = next((each for each_name, each in paired.items() if each_name.lower() == name.lower()), None)
        if pair is None or not pair.column or (name.lower() in SYSTEM_FIELDS and subject.direction == "to_destination"):
            continue
        known = subject.known.table
        if known is not None and (pair.column,) in (known.primary_key, *known.unique_keys):
            continue
        yield f"CREATE {'UNIQUE ' if index.unique else ''}INDEX ON {table} ({lightly_quoted(pair.column)});"


def _connection_notes(export: Export, wishes: Wishes) -> Iterator[str]:
    connection = export.connection
    if export.version != KNOWN_VERSION:
        yield f"version: {export.version or 'none'}; this version of syncbridge knows {KNOWN_VERSION}. Look twice."
    for name in export.unknown:
        yield f"{name}: not known to this version, and not taken over"
    for name in connection.unknown:
        yield f"connection.{name}: not known to this version, and not taken over"
    if connection.api_version:
        yield f"api_version: {connection.api_version}; here `api_version` of [destinations.{wishes.destination}]"
    budgets = {each.config.sf_max_daily_api_calls for each in export.mappings} - {None}
    if budgets:
        listed = ", ".join(str(each) for each in sorted(each for each in budgets if each is not None))
        yield (
            f"sf_max_daily_api_calls: {listed} for each object; here `daily_share` of"
            f" [destinations.{wishes.destination}] is one share of the org's calls for all. Heroku's own calls were not"
            " counted by Salesforce, ours are"
        )
    for name, value in sorted(connection.features.items()):
        if value:
            yield f"features.{name}: {_FEATURES.get(name, 'not known to this version, and not taken over')}"
    if connection.logplex_log_enabled:
        yield "logplex_log_enabled: the worker writes its log to standard error"
    unused = sorted(wishes.tables.keys() - {each.object_name.lower() for each in export.mappings})
    for object in unused:
        yield f"--tables: the export has no object {object}"
