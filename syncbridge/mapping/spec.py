"""The mapping file as models: what may be written, and what is wrong with a value, in words.

`files` reads them. Nothing here knows a table or a remote object; `check` does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, PrivateAttr

from syncbridge.mapping import forms
from syncbridge.mapping.document import Document
from syncbridge.mapping.forms import Rate, Scalar, Share
from syncbridge.mapping.sql import split_table

__all__ = ["EntitySpec", "FieldSpec", "MappingSpec", "Rate", "RelationSpec", "Scalar", "Share"]


def _short_form(value: object) -> object:
    """`Remote: column` is `Remote: {column: column}`."""
    if isinstance(value, dict | FieldSpec):
        return value
    return {"column": value}


# What each value may be: the function says it for the file, the type beside it for the JSON Schema that editors use.
_SCALAR = str | int | float | bool
_NAME = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,62}$")]
_RATE = Annotated[
    str, Field(pattern="^([0-9][0-9_]* per (second|minute|hour|day)|off)$", examples=["100 per hour", "off"])
]
_SHARE = Annotated[str, Field(pattern="^([0-9]{1,3} ?% per (minute|hour|day)|off)$", examples=["20% per hour", "off"])]
_SECONDS = Annotated[str, Field(pattern="^[0-9]{1,6} ?[smhd]$", examples=["30s", "10m"])]
_TIME_OF_DAY = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["03:30"])]
_SECONDS_OR_OFF = Annotated[str, Field(pattern="^([0-9]{1,6} ?[smhd]|off)$", examples=["1h", "off"])]
_SIDES = Literal["to_destination", "to_postgres", "both"]
_WINNERS = Literal["newest", "postgres", "destination", "hold"]
_NEW = Literal["insert", "ignore"]


class _Set(BaseModel):
    """`{set: {Field: value}}`"""

    model_config = ConfigDict(extra="forbid")
    set: dict[str, _SCALAR | None]


Text = Annotated[str, PlainValidator(forms.text, str)]
Name = Annotated[str, PlainValidator(forms.mapping_name, _NAME)]
Alias = Annotated[str, PlainValidator(forms.alias, str)]
TableName = Annotated[str, PlainValidator(forms.table, str)]
Fragment = Annotated[str, PlainValidator(forms.fragment, str)]
Columns = Annotated[tuple[str, ...], PlainValidator(forms.columns, str | list[str])]
RemoteNames = Annotated[tuple[str, ...], PlainValidator(forms.remote_names, str | list[str])]
ConstantOrNull = Annotated[Scalar | None, PlainValidator(forms.scalar_or_null, _SCALAR | None)]
YesNo = Annotated[bool, PlainValidator(forms.yes_no, bool)]
# Of keys that may be left out, but not be null: the function sees the null, and refuses it.
OptionalText = Annotated[str | None, PlainValidator(forms.text, str)]
OptionalName = Annotated[str | None, PlainValidator(forms.mapping_name, _NAME)]
OptionalFragment = Annotated[str | None, PlainValidator(forms.fragment, str)]
OptionalColumns = Annotated[tuple[str, ...] | None, PlainValidator(forms.columns, str | list[str])]
OptionalConstant = Annotated[Scalar | None, PlainValidator(forms.scalar, _SCALAR)]
Missing = Annotated[Literal["wait", "empty"], PlainValidator(forms.one_of("wait", "empty"), Literal["wait", "empty"])]
Owner = Annotated[
    Literal["postgres", "destination"] | None,
    PlainValidator(forms.one_of("postgres", "destination"), Literal["postgres", "destination"]),
]
Direction = Annotated[_SIDES, PlainValidator(forms.one_of(*get_args(_SIDES)), _SIDES)]
Conflict = Annotated[_WINNERS, PlainValidator(forms.one_of(*get_args(_WINNERS)), _WINNERS)]
OnDelete = Annotated[
    Literal["delete", "ignore"] | dict[str, Any], PlainValidator(forms.on_delete, Literal["delete", "ignore"] | _Set)
]
OnCreate = Annotated[_NEW, PlainValidator(forms.one_of(*get_args(_NEW)), _NEW)]
OptionalRate = Annotated[Rate | None, PlainValidator(forms.rate, _RATE | None)]
OptionalShare = Annotated[Share | None, PlainValidator(forms.share, _SHARE | None)]


class Part(BaseModel):
    """A part of a mapping file: frozen, strict about names and types. The text beneath a key is what editors show."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class RelationSpec(Part):
    """Rows of another table that belong to an entity: one of them, or many that are rolled up."""

    table: TableName
    """`schema.table`, or `table` in the schema public."""
    on: Fragment
    """How its rows are found: `company.id = people.company_id`; several equalities are joined by `and`."""
    where: OptionalFragment = None
    """SQL condition: which of its rows count."""
    rollup: dict[Alias, Fragment] = {}
    """Many rows belong to an entity: names, and the SQL aggregates that make one value of them."""

    @property
    def table_name(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return split_table(self.table)


class EntitySpec(Part):
    """Which rows are entities, and which rows of other tables belong to them."""

    table: TableName
    """`schema.table`, or `table` in the schema public."""
    key: Columns
    """The column that identifies a row, or a list of them: the primary key or another unique key without nulls."""
    where: OptionalFragment = None
    """SQL condition. A row that does not pass, or stops passing, is treated as if it were gone."""
    related: dict[Alias, RelationSpec] = {}
    """Rows of other tables that belong to the entity, by the name that SQL then uses for them."""

    @property
    def table_name(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return split_table(self.table)


class FieldSpec(Part):
    """What fills one remote field: exactly one of column, sql, constant, lookup."""

    column: OptionalText = None
    """A column of the table, or `relation.column` of a related one."""
    sql: OptionalFragment = None
    """An SQL expression that Postgres evaluates when the record is composed."""
    constant: OptionalConstant = None
    """The same value for every record."""
    lookup: OptionalName = None
    """A mapping: the value is the id of the record that it keeps for the entity named by `key`."""
    key: OptionalColumns = None
    """With lookup: the column, or columns, that hold the key of that mapping's entity."""
    missing: Missing = "wait"
    """With lookup, while there is no such record: wait, or send the field empty first."""
    default: OptionalConstant = None
    """What is sent where the value is null."""
    values: dict[str, ConstantOrNull] | None = None
    """Translates: the value as Postgres writes it -> what is sent. What is not listed refuses its record."""
    owner: Owner = None
    """`destination`: sent when the record is created, never afterwards."""
    sensitive: YesNo = False
    """Masked in logs, listings and pages."""


class DeletesSpec(Part):
    """What happens on one side when the other side's record is gone."""

    to_destination: OnDelete = "delete"
    """delete, ignore, or `{set: {Field: value}}`."""
    to_postgres: OnDelete = "ignore"
    """With direction both or to_postgres: delete, ignore, or `{set: {column: value}}`."""


class CreatesSpec(Part):
    """What happens on one side when the other side has a new record."""

    to_postgres: OnCreate = "insert"
    """With direction both or to_postgres: insert a row for a new remote record, or ignore it."""


class GuardSpec(Part):
    """Above these rates the mapping stops and asks. None: no limit."""

    deletes: OptionalRate = Rate(100, 3600)
    """Deleted records, as `100 per hour`; `off` takes the limit away."""
    changes: OptionalRate = None
    """Created and updated records, as `50000 per hour`; first syncs and resyncs are not counted."""
    refused: OptionalShare = None
    """The share of records that are refused, as `20% per hour`."""


class PollSpec(Part):
    """How often the destination is asked for changes."""

    every: Annotated[int, PlainValidator(forms.seconds, _SECONDS)] = 30
    """A length of time: `30s`, `10m`, `1h`. In seconds once read."""
    formulas: Annotated[int | None, PlainValidator(forms.seconds_or_off, _SECONDS_OR_OFF)] = 3600
    """How often fields that the destination calculates are read of every record; `off` never does."""


class ReconcileSpec(Part):
    """A full comparison of both sides, by a worker, again and again."""

    every: Annotated[int, PlainValidator(forms.seconds, _SECONDS)]
    """A length of time: `7d`, `12h`. In seconds once read."""
    at: Annotated[int | None, PlainValidator(forms.time_of_day, _TIME_OF_DAY)] = None
    """With whole days: at this time of the day, in UTC, as `"03:30"`. In minutes once read."""


class MappingSpec(Part):
    """One mapping: which rows of a table become which records of a remote object."""

    mapping: Name
    """Its name: small letters, digits, `-` and `_`."""
    destination: Text
    """A name from the settings: `[destinations.NAME]`."""
    object: Text
    """The remote object, as `Contact`."""
    entity: EntitySpec
    """Which rows."""
    external_id: Text
    """The remote field that carries the entity's key; it makes repeated writes harmless."""
    match_on: RemoteNames = ()
    """First contact: the remote field, or list of fields, by which records that are already there are found."""
    direction: Direction = "to_destination"
    """Which way changes go."""
    conflict: Conflict = "newest"
    """With direction both: who wins where both sides changed."""
    fields: Annotated[
        dict[str, Annotated[FieldSpec, BeforeValidator(_short_form, str | FieldSpec)]], Field(min_length=1)
    ]
    """What fills the remote fields: `Remote_Field: column`, or one of the longer forms."""
    require: dict[Alias, Fragment] = {}
    """Rules of data quality: name -> SQL condition that must be true for an entity to be sent."""
    creates: CreatesSpec = CreatesSpec()
    """What happens when there is a new record."""
    deletes: DeletesSpec = DeletesSpec()
    """What happens when a row is gone."""
    poll: PollSpec = PollSpec()
    """With direction both or to_postgres: how often the destination is asked for changes."""
    guard: GuardSpec = GuardSpec()
    """When to stop and ask."""
    reconcile: ReconcileSpec | None = None
    """When both sides are compared completely, as `{every: 7d, at: "03:30"}`. Without it: when somebody asks."""

    _document: Document = PrivateAttr(default=Document("", None, {}))

    def stands_in(self, document: Document) -> MappingSpec:
        """Remember the file it was read from, for messages."""
        self._document = document
        return self

    def at(self, *route: str | int) -> str:
        """`file:line` of a key of this mapping."""
        return self._document.at(*route) if self._document.name else f"mapping {self.mapping}"

    @property
    def tables(self) -> tuple[tuple[str, str], ...]:
        """Schema and name of every table that it reads, the entity's first."""
        names = [self.entity.table_name, *(relation.table_name for relation in self.entity.related.values())]
        return tuple(dict.fromkeys(names))

    def definition(self) -> dict[str, Any]:
        """Everything that was said, as plain values in one canonical form; `files.restore_mapping` takes it back."""
        plain: dict[str, Any] = _listed(
            self.model_dump(exclude={"deletes", "guard", "poll", "reconcile"}, exclude_defaults=True)
        )
        plain["deletes"] = self.deletes.model_dump(exclude_defaults=True)
        plain["deletes"]["to_destination"] = self.deletes.to_destination
        plain["guard"] = {
            "deletes": str(self.guard.deletes or "off"),
            "changes": str(self.guard.changes or "off"),
        }
        if self.guard.refused is not None:
            plain["guard"]["refused"] = str(self.guard.refused)
        if self.poll != PollSpec():
            plain["poll"] = {"every": forms.duration(self.poll.every)}
        if self.reconcile is not None:
            plain["reconcile"] = {"every": forms.duration(self.reconcile.every)}
            if self.reconcile.at is not None:
                plain["reconcile"]["at"] = forms.clock(self.reconcile.at)
        if self.poll.formulas != PollSpec().formulas:
            formulas = self.poll.formulas
            plain["poll"]["formulas"] = "off" if formulas is None else forms.duration(formulas)
        return plain


def _listed(value: Any) -> Any:
    """With lists where pydantic gives tuples, as JSON will have them."""
    if isinstance(value, dict):
        return {name: _listed(part) for name, part in value.items()}
    return [_listed(part) for part in value] if isinstance(value, tuple) else value
