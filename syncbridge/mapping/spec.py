"""The mapping file as models: what may be written, and what is wrong with a value, in words.

`files` reads them. Nothing here knows a table or a remote object; `check` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, PrivateAttr

from syncbridge.mapping.document import Document
from syncbridge.mapping.sql import fragment_fault, split_table

Scalar = str | int | float | bool

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"(\d[\d_]*) per (second|minute|hour|day)")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a length of time: `100 per hour`."""

    count: int
    seconds: int

    def __str__(self) -> str:
        period = next(name for name, seconds in _PERIODS.items() if seconds == self.seconds)
        return f"{self.count} per {period}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("should be text" + ("; put it in quotes" if isinstance(value, int | float) else ""))
    if not value.strip():
        raise ValueError("is empty")
    return value


def _mapping_name(value: object) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", text := _text(value)):
        raise ValueError("a mapping's name is made of small letters, digits, - and _, and begins with a letter")
    return text


def _fragment(value: object) -> str:
    text = _text(value)
    if fault := fragment_fault(text):
        raise ValueError(f"this SQL {fault}")
    return text.strip()


def _table(value: object) -> str:
    split_table(text := _text(value))
    return text


def _key(value: object) -> tuple[str, ...]:
    """One column, or a list of them."""
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("should be a column, or a list of columns")
    if len(set(names)) < len(names):
        raise ValueError("names a column twice")
    return tuple(names)


def _scalar(value: object) -> Scalar:
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError("is empty" if value is None else "should be a text, a number, true or false")


def _scalar_or_null(value: object) -> Scalar | None:
    return None if value is None else _scalar(value)


def _yes_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def _rate(value: object) -> Rate | None:
    if value is None or value == "off":
        return None
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("should read like `100 per hour` (second, minute, hour, day), or `off`")
    return Rate(int(match[1]), _PERIODS[match[2]])


def _short_form(value: object) -> object:
    """`Remote: column` is `Remote: {column: column}`."""
    if isinstance(value, dict | FieldSpec):
        return value
    return {"column": value}


def _direction(value: object) -> str:
    if value in ("both", "to_postgres"):
        raise ValueError(f"`{value}` is not available in this version yet; only to_destination is")
    if value != "to_destination":
        raise ValueError("should be to_destination")
    return "to_destination"


def _on_delete(value: object) -> object:
    """`delete`, `ignore`, or `{set: {Field: value}}`."""
    if value in ("delete", "ignore"):
        return value
    if isinstance(value, dict) and list(value) == ["set"]:
        fields = value["set"]
        if isinstance(fields, dict) and fields:
            return {"set": {name: _scalar_or_null(constant) for name, constant in fields.items()}}
        raise ValueError("set: needs at least one `Field: value`")
    raise ValueError("should be delete, ignore, or {set: {Field: value}}")


Text = Annotated[str, PlainValidator(_text)]


class Part(BaseModel):
    """A part of a mapping file: frozen, strict about names and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class EntitySpec(Part):
    """Which rows are entities."""

    table: Annotated[str, PlainValidator(_table)]
    key: Annotated[tuple[str, ...], PlainValidator(_key)]
    where: Annotated[str | None, PlainValidator(_fragment)] = None

    @property
    def table_name(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return split_table(self.table)


class FieldSpec(Part):
    """What fills one remote field: exactly one of column, sql, constant."""

    column: Annotated[str | None, PlainValidator(_text)] = None
    sql: Annotated[str | None, PlainValidator(_fragment)] = None
    constant: Annotated[Scalar | None, PlainValidator(_scalar)] = None
    default: Annotated[Scalar | None, PlainValidator(_scalar)] = None
    values: dict[str, Annotated[Scalar | None, PlainValidator(_scalar_or_null)]] | None = None
    sensitive: Annotated[bool, PlainValidator(_yes_no)] = False


class DeletesSpec(Part):
    """What happens to the remote record when its entity is gone."""

    to_destination: Annotated[Literal["delete", "ignore"] | dict[str, Any], PlainValidator(_on_delete)] = "delete"


class GuardSpec(Part):
    """Above these rates the mapping stops and asks. None: no limit."""

    deletes: Annotated[Rate | None, PlainValidator(_rate)] = Rate(100, 3600)
    changes: Annotated[Rate | None, PlainValidator(_rate)] = None


class MappingSpec(Part):
    """One mapping file."""

    mapping: Annotated[str, PlainValidator(_mapping_name)]
    destination: Text
    object: Text
    entity: EntitySpec
    external_id: Text
    direction: Annotated[str, PlainValidator(_direction)] = "to_destination"
    fields: Annotated[dict[str, Annotated[FieldSpec, BeforeValidator(_short_form)]], Field(min_length=1)]
    deletes: DeletesSpec = DeletesSpec()
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
        plain = self.model_dump(exclude={"deletes", "guard"}, exclude_defaults=True)
        plain["entity"]["key"] = list(self.entity.key)
        plain["deletes"] = {"to_destination": self.deletes.to_destination}
        plain["guard"] = {
            "deletes": str(self.guard.deletes or "off"),
            "changes": str(self.guard.changes or "off"),
        }
        return plain
