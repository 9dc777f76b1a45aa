"""The key and the external id of a converted mapping: from Heroku's unique identifier where there is one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncbridge.importing.heroku_subject import Paired, Subject, heroku_column, spoken_column
from syncbridge.mapping.sql import lightly_quoted
from syncbridge.mapping.suggesting.suggest import choose_key
from syncbridge.mapping.suggesting.text import scalars

#: The field that is proposed where Salesforce has none that carries the key: `check` refuses it until it is created.
NEW_FIELD = "Postgres_Key__c"


@dataclass(frozen=True, slots=True)
class Keyed:
    """What identifies rows and records."""

    columns: tuple[str, ...]
    external_id: str
    key_remark: str = ""
    external_remark: str = ""
    questions: tuple[str, ...] = ()
    sql: tuple[str, ...] = ()


def keyed(subject: Subject, paired: Mapping[str, Paired]) -> Keyed:
    """By `Id` on the way back alone, where the table has a column for it; else by the unique identifier; else by a key
    of the table and a field for it.
    """
    upsert = subject.config.upsert_field
    if subject.direction == "to_postgres" and _holds_remote_ids(subject):
        return _by_remote_id(subject)
    if upsert is not None and (column := _upsert_column(subject, upsert, paired)):
        return _by_upsert_field(subject, upsert, column)
    if subject.direction == "to_postgres":
        return _by_remote_id(subject)
    return _by_own_key(subject, upsert)


def _holds_remote_ids(subject: Subject) -> bool:
    """Heroku's own tables do: every row has the record's id, also one whose record carries no unique identifier."""
    return not subject.own or (subject.known.table is not None and "sfid" in subject.known.table.columns)


def _upsert_column(subject: Subject, upsert: str, paired: Mapping[str, Paired]) -> str:
    """The column of the unique identifier; empty when the user's own table has none that is unique."""
    if not subject.own:
        return heroku_column(upsert)
    pair = next((each for name, each in paired.items() if name.lower() == upsert.lower()), None)
    column = pair.column if pair is not None and pair.sure else ""
    table = subject.known.table
    if table is None:
        return column or spoken_column(upsert)
    return column if (column,) in (table.primary_key, *table.unique_keys) else ""


def _by_upsert_field(subject: Subject, upsert: str, column: str) -> Keyed:
    unique = any(index.unique for name, index in subject.config.indexes.items() if name.lower() == upsert.lower())
    table = subject.known.table
    if table is not None:
        unique = (column,) in (table.primary_key, *table.unique_keys)
    solid = table is not None and column in table.columns and table.columns[column].not_null
    questions, sql = [], []
    where = ".".join(lightly_quoted(part) for part in subject.table)
    if not unique:
        said = (
            "the table has no unique index on it" if table is not None else "the export does not say that it is unique"
        )
        questions.append(f"{column} is to be the key, but {said}. Can two rows have the same {column}?")
        sql.append(f"CREATE UNIQUE INDEX ON {where} ({lightly_quoted(column)});")
    if not solid:
        questions.append(
            f"Is {column} ever null? A key is not: Heroku leaves it null for records that were made in Salesforce"
            f" without {upsert}. Fill it on both sides first; `syncbridge check` prints the SQL that its index needs."
        )
        sql.append(f"ALTER TABLE {where} ALTER COLUMN {lightly_quoted(column)} SET NOT NULL;")
    if subject.direction == "both" and not (solid and table is not None and table.columns[column].has_default):
        questions.append(
            f"Which {column} gets a row whose record was made in Salesforce without {upsert}? It needs a default, or"
            " `creates: {to_postgres: ignore}`."
        )
        if table is None or (column in table.columns and table.columns[column].base_type in ("text", "varchar")):
            sql.append(f"ALTER TABLE {where} ALTER COLUMN {lightly_quoted(column)} SET DEFAULT gen_random_uuid();")
    remark = "the unique identifier" + ("; its index is unique" if unique else "")
    return Keyed((column,), upsert, remark, "upsert_field of the export", tuple(questions), tuple(sql))


def _by_remote_id(subject: Subject) -> Keyed:
    """Rows are only written by us, so the record's own id is a key that never meets another."""
    questions = []
    table = subject.known.table
    if table is not None and "sfid" not in table.columns:
        questions.append(
            f"{subject.table_text} has no column sfid for the record's id, by which rows are found: add it?"
        )
    return Keyed(
        ("sfid",),
        "Id",
        "the record's id",
        "rows come from there alone",
        tuple(questions),
    )


def _by_own_key(subject: Subject, upsert: str | None) -> Keyed:
    table = subject.known.table
    chosen = choose_key(table) if table is not None and subject.own else ("id",)
    key = chosen or ("id",)
    questions = []
    if not chosen:
        questions.append(f"{subject.table_text} has no primary key. Which columns identify a row?")
    if upsert is not None:
        questions.append(
            f"No unique column of {subject.table_text} looks like {upsert}, by which Heroku recognised records. If"
            f" there is one, it had better be the key, and {upsert} the external_id."
        )
    field = subject.wishes.external_id or NEW_FIELD
    there = subject.field(field)
    if there is None and not (subject.known.remote is None and subject.wishes.external_id):
        questions.append(
            f"In Salesforce Setup, create {field} on {subject.object}: Text(40), external id, unique, case-sensitive,"
            " and give the login the right to read and edit it. `syncbridge adopt` fills it for existing records."
        )
    made = "it exists" if there is not None else "--external-id" if subject.wishes.external_id else "to be created"
    remark = (
        "as Heroku made it" if not subject.own else "the primary key" if table is not None and chosen else "a guess"
    )
    return Keyed(key, field, remark, f"{made}; carries {scalars(key)}", tuple(questions))
