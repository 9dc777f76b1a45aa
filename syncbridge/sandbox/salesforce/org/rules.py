"""What an org does by itself when records are written: validation rules, duplicate rules, automations.

Their conditions and values are SQLite expressions, see `expressions`; an org file writes them as the entries say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Key

Moment = Literal["create", "update"]
DUPLICATE_MESSAGE = "Use one of these records?"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRule:
    """Refuses records for which `error_if` is true once they are written; the error is shown at `field`."""

    name: str
    error_if: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRule:
    """Refuses records that agree with another one in all of these fields; `alert` lets a request insist on them."""

    name: str
    fields: tuple[str, ...]
    action: Literal["block", "alert"]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """Stands for a trigger or a flow: it runs with a write, sets fields of the record or of its parents, or fails.

    `when` names the fields one of which an update must have changed; `cpu_limit` is the number of records in one
    transaction from which on Apex has no time left.
    """

    name: str
    on: tuple[Moment, ...]
    when: tuple[str, ...]
    condition: str | None
    set: tuple[tuple[str, str], ...]
    set_parent: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    error: str | None
    cpu_limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules of one object."""

    validations: tuple[ValidationRule, ...] = ()
    duplicates: tuple[DuplicateRule, ...] = ()
    automations: tuple[Automation, ...] = ()
    most_records: int | None = None

    @property
    def any(self) -> bool:
        """True when a write has to ask them; a limit of records is asked for elsewhere."""
        return bool(self.validations or self.duplicates or self.automations)


class ValidationEntry(BaseModel):
    """A validation rule as an org file writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    error_if: str
    message: str
    field: str | None = None


class DuplicateEntry(BaseModel):
    """A duplicate rule as an org file writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    fields: Annotated[list[str], Key(min_length=1)]
    action: Literal["block", "alert"] = "block"
    message: str = DUPLICATE_MESSAGE


class AutomationEntry(BaseModel):
    """An automation as an org file writes it."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    on: list[Moment] = ["create", "update"]
    when: list[str] = []
    condition: Annotated[str | None, Key(alias="if")] = None
    set: dict[str, str] = {}
    set_parent: dict[str, dict[str, str]] = {}
    error: str | None = None
    cpu_limit: Annotated[int | None, Key(ge=0)] = None

    @model_validator(mode="after")
    def _does_something(self) -> AutomationEntry:
        if not (self.set or self.set_parent or self.error is not None or self.cpu_limit is not None):
            raise ValueError("an automation needs `set`, `set_parent`, `error` or `cpu_limit`")
        return self


class RulesEntry(BaseModel):
    """The rules of one object as an org file writes them, beside its fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    validation_rules: dict[str, ValidationEntry] = {}
    duplicate_rules: dict[str, DuplicateEntry] = {}
    automations: dict[str, AutomationEntry] = {}
    most_records: Annotated[int | None, Key(ge=0)] = None


#: The keys of an object's entry that are about rules; a standard object may have them, too.
RULE_KEYS = frozenset(RulesEntry.model_fields)


def build_rules(entry: RulesEntry) -> Rules:
    """Return the rules that an entry writes."""
    return Rules(
        validations=tuple(
            ValidationRule(name=name, error_if=each.error_if, message=each.message, field=each.field)
            for name, each in entry.validation_rules.items()
        ),
        duplicates=tuple(
            DuplicateRule(name=name, fields=tuple(each.fields), action=each.action, message=each.message)
            for name, each in entry.duplicate_rules.items()
        ),
        automations=tuple(_automation(name, each) for name, each in entry.automations.items()),
        most_records=entry.most_records,
    )


def _automation(name: str, entry: AutomationEntry) -> Automation:
    return Automation(
        name=name,
        on=tuple(entry.on),
        when=tuple(entry.when),
        condition=entry.condition,
        set=tuple(entry.set.items()),
        set_parent=tuple((parent, tuple(values.items())) for parent, values in entry.set_parent.items()),
        error=entry.error,
        cpu_limit=entry.cpu_limit,
    )
