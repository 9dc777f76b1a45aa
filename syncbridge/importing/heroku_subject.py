"""One exported object and all that is known of it: what the rest of the conversion works with. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from syncbridge.importing.heroku_export import ExportedConfig
from syncbridge.mapping.suggesting.suggest import Sureness, suggest
from syncbridge.mapping.suggesting.words import words_of
from syncbridge.schemas import ForeignKey, RemoteField, RemoteObject, Table

#: Characters that Postgres keeps of a name.
NAME_LENGTH = 63

Direction = Literal["to_destination", "to_postgres", "both"]
TableName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """What the two sides say about one object and its table; None where they were not asked, or have none."""

    remote: RemoteObject | None = None
    table: Table | None = None
    foreign_keys: Sequence[ForeignKey] = ()
    table_missing: bool = False  # it was looked for


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person who imports wants."""

    schema: str = "salesforce"  # of the tables that Heroku made
    destination: str = "salesforce"
    tables: Mapping[str, TableName] = field(default_factory=dict)  # of the user's own, by object in small letters
    one_way: bool = False  # to_destination throughout
    external_id: str | None = None  # where the export has no unique identifier
    json_schema: str = ""  # for editors: its path from the folder of mappings


@dataclass(frozen=True, slots=True)
class Subject:
    """One object to be converted. `mappings`: object in small letters -> the name of its mapping."""

    object: str
    config: ExportedConfig
    mapping: str
    table: TableName
    own: bool  # a table of the user's, not one that Heroku made
    direction: Direction
    wishes: Wishes
    known: Known
    mappings: Mapping[str, str]

    @property
    def table_text(self) -> str:
        """`schema.table`, for people."""
        return ".".join(self.table)

    def field(self, name: str) -> RemoteField | None:
        """A remote field as described, whatever its case."""
        if self.known.remote is None:
            return None
        return next((f for n, f in self.known.remote.fields.items() if n.lower() == name.lower()), None)


def heroku_column(name: str) -> str:
    """The column that Heroku made for a field: its name in small letters; `Id` is sfid."""
    return "sfid" if name.lower() == "id" else name.lower()[:NAME_LENGTH]


def spoken_column(name: str) -> str:
    """The column that a person would make for a field: `FirstName`, `ns__First_Name__c` -> first_name."""
    if name.lower() == "id":
        return "sfid"
    bare = re.sub(r"__[a-z]+$", "", name)
    bare = re.sub(r"^[A-Za-z0-9]+?__", "", bare)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", "_", bare).lower().strip("_")[:NAME_LENGTH]


@dataclass(frozen=True, slots=True)
class Paired:
    """The column of a field, empty when there is none, and why."""

    column: str
    remark: str = ""
    sure: bool = True


def columns(subject: Subject) -> dict[str, Paired]:
    """The column of every exported field."""
    names = list(subject.config.fields)
    if not subject.own:
        return {name: _heroku(subject, name) for name in names}
    if subject.known.table is None:
        remark = "by its name; the table was not read"
        return {name: Paired(spoken_column(name), remark, sure=name.lower() != "id") for name in names}
    return _own(subject, subject.known.table, names)


def _heroku(subject: Subject, name: str) -> Paired:
    column, table = heroku_column(name), subject.known.table
    if table is not None and column not in table.columns:
        return Paired("", f"{subject.table_text} has no column {column}", sure=False)
    return Paired(column)


def _own(subject: Subject, table: Table, names: Sequence[str]) -> dict[str, Paired]:
    """By the scores of `suggest` where the object is described, else by equal words."""
    pairs: dict[str, Paired] = {}
    if subject.known.remote is not None:
        for pair in suggest(table, subject.known.remote, subject.known.foreign_keys).pairs:
            sure = pair.sureness is not Sureness.PERHAPS
            pairs[pair.field.name.lower()] = Paired(pair.column.name, f"{pair.sureness}: {pair.reason}", sure)
    taken = {pair.column for pair in pairs.values()}
    free: dict[tuple[str, ...], str] = {}
    for column in table.columns:
        if column not in taken:
            free.setdefault(words_of(column), column)
    found = {}
    for name in names:
        same = free.get(words_of(name), "")
        if name.lower() == "id":  # a column of that name is the row's own
            same = "sfid" if "sfid" in table.columns else ""
        none = Paired("", f"no column of {subject.table_text} looks like it", sure=False)
        found[name] = pairs.get(name.lower()) or (Paired(same, "the same name") if same else none)
    return found
