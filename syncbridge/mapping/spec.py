"""The mapping file as models: what may be written, and what is wrong with a value, in words.

`files` reads them. Nothing here knows a table or a remote object; `check` does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

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


Text = Annotated[str, PlainValidator(forms.text)]
Name = Annotated[str, PlainValidator(forms.mapping_name)]
Alias = Annotated[str, PlainValidator(forms.alias)]
TableName = Annotated[str, PlainValidator(forms.table)]
Fragment = Annotated[str, PlainValidator(forms.fragment)]
Columns = Annotated[tuple[str, ...], PlainValidator(forms.columns)]
RemoteNames = Annotated[tuple[str, ...], PlainValidator(forms.remote_names)]
ConstantOrNull = Annotated[Scalar | None, PlainValidator(forms.scalar_or_null)]
YesNo = Annotated[bool, PlainValidator(forms.yes_no)]
# Of keys that may be left out, but not be null: the function sees the null, and refuses it.
OptionalText = Annotated[str | None, PlainValidator(forms.text)]
OptionalName = Annotated[str | None, PlainValidator(forms.mapping_name)]
OptionalFragment = Annotated[str | None, PlainValidator(forms.fragment)]
OptionalColumns = Annotated[tuple[str, ...] | None, PlainValidator(forms.columns)]
OptionalConstant = Annotated[Scalar | None, PlainValidator(forms.scalar)]
Missing = Annotated[Literal["wait", "empty"], PlainValidator(forms.one_of("wait", "empty"))]
Owner = Annotated[Literal["postgres", "destination"] | None, PlainValidator(forms.one_of("postgres", "destination"))]
Direction = Annotated[
    Literal["to_destination", "to_postgres", "both"],
    PlainValidator(forms.one_of("to_destination", "to_postgres", "both")),
]
Conflict = Annotated[
    Literal["newest", "postgres", "destination", "hold"],
    PlainValidator(forms.one_of("newest", "postgres", "destination", "hold")),
]


class Part(BaseModel):
    """A part of a mapping file: frozen, strict about names and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class RelationSpec(Part):
    """Rows of another table that belong to an entity: one of them, or many that are rolled up."""

    table: TableName
    on: Fragment  # `company.id = people.company_id`; several equalities joined by `and`
    where: OptionalFragment = None  # which of its rows count
    rollup: dict[Alias, Fragment] = {}  # name -> aggregate; without it, at most one row belongs to an entity

    @property
    def table_name(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return split_table(self.table)


class EntitySpec(Part):
    """Which rows are entities, and which rows of other tables belong to them."""

    table: TableName
    key: Columns
    where: OptionalFragment = None
    related: dict[Alias, RelationSpec] = {}

    @property
    def table_name(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return split_table(self.table)


class FieldSpec(Part):
    """What fills one remote field: exactly one of column, sql, constant, lookup."""

    column: OptionalText = None
    sql: OptionalFragment = None
    constant: OptionalConstant = None
    lookup: OptionalName = None  # a mapping, whose record's remote id is the value
    key: OptionalColumns = None  # columns that hold the key of that mapping's entity
    missing: Missing = "wait"
    default: OptionalConstant = None
    values: dict[str, ConstantOrNull] | None = None
    owner: Owner = None
    sensitive: YesNo = False


class DeletesSpec(Part):
    """What happens on one side when the other side's record is gone."""

    to_destination: Annotated[Literal["delete", "ignore"] | dict[str, Any], PlainValidator(forms.on_delete)] = "delete"
    to_postgres: Annotated[Literal["delete", "ignore"] | dict[str, Any], PlainValidator(forms.on_delete)] = "ignore"


class GuardSpec(Part):
    """Above these rates the mapping stops and asks. None: no limit."""

    deletes: Annotated[Rate | None, PlainValidator(forms.rate)] = Rate(100, 3600)
    changes: Annotated[Rate | None, PlainValidator(forms.rate)] = None
    refused: Annotated[Share | None, PlainValidator(forms.share)] = None


class PollSpec(Part):
    """How often the destination is asked for changes; seconds."""

    every: Annotated[int, PlainValidator(forms.seconds)] = 30


class MappingSpec(Part):
    """One mapping file."""

    mapping: Name
    destination: Text
    object: Text
    entity: EntitySpec
    external_id: Text
    match_on: RemoteNames = ()
    direction: Direction = "to_destination"
    conflict: Conflict = "newest"
    fields: Annotated[dict[str, Annotated[FieldSpec, BeforeValidator(_short_form)]], Field(min_length=1)]
    require: dict[Alias, Fragment] = {}  # rule -> condition that an entity must hold to be sent
    deletes: DeletesSpec = DeletesSpec()
    poll: PollSpec = PollSpec()
    guard: GuardSpec = GuardSpec()

    _document: Document = PrivateAttr(default=Document("", None, {}))

    def stands_in(self, document: Document) -> MappingSpec:
        """Remember the file it was read from, for messages."""
        self._document = document
        return self

    def at(self, *route: str | int) -> str:
        """`file:line` of a key of this mapping."""
        return self._document.at(*route) if self._document.name else f"mapping {self.mapping}"

    def definition(self) -> dict[str, Any]:
        """Everything that was said, as plain values in one canonical form; `files.restore_mapping` takes it back."""
        plain: dict[str, Any] = _listed(self.model_dump(exclude={"deletes", "guard", "poll"}, exclude_defaults=True))
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
        return plain


def _listed(value: Any) -> Any:
    """With lists where pydantic gives tuples, as JSON will have them."""
    if isinstance(value, dict):
        return {name: _listed(part) for name, part in value.items()}
    return [_listed(part) for part in value] if isinstance(value, tuple) else value
