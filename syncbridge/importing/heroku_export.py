"""A Heroku Connect export file as values; what is wrong with it is said with its place: `mappings[2].config.fields`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from syncbridge.errors import SettingsError

#: The version of the format that is known.
KNOWN_VERSION = 1
_MOST_TOLD = 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
_TYPES = {
    "missing": "is missing",
    "string_type": "should be text",
    "dict_type": "should be an object",
    "model_type": "should be an object",
    "model_attributes_type": "should be an object",
    "list_type": "should be a list",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
}


def _api_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is not the API name of an object or field")
    return name


ApiName = Annotated[str, AfterValidator(_api_name)]


class _Part(BaseModel):
    """Keys that are not known are kept, to be told."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, hide_input_in_errors=True)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Keys that mean nothing to this version."""
        return tuple(sorted(self.model_extra or {}))


class ExportedIndex(_Part):
    """An index of one field."""

    unique: bool = False


class ExportedConfig(_Part):
    """How one object was synced."""

    access: Literal["read_only", "read_write"]
    fields: dict[ApiName, dict[str, Any] | None]
    indexes: dict[ApiName, ExportedIndex] = {}
    upsert_field: ApiName | None = None
    sf_polling_seconds: int | None = None
    sf_notify_enabled: bool = False
    sf_max_daily_api_calls: int | None = None
    applied_at: str | None = None
    revision: Any = None


class ExportedMapping(_Part):
    """One object."""

    object_name: ApiName
    config: ExportedConfig


class ExportedConnection(_Part):
    """The connection as a whole."""

    organization_id: str | None = None
    app_name: str | None = None
    name: str | None = None
    exported_at: str | None = None
    api_version: str | None = None
    features: dict[str, Any] = {}
    logplex_log_enabled: bool = False


class Export(_Part):
    """The whole file."""

    mappings: Annotated[list[ExportedMapping], Field(min_length=1)]
    connection: ExportedConnection = ExportedConnection()
    version: int | None = None


def read_export(text: str, name: str) -> Export:
    """Read a file's text. SettingsError with each mistake and its place, one a line."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{name}:{error.lineno}: not valid JSON: {error.msg}", hint=_HINT) from None
    except RecursionError:
        raise SettingsError(f"{name}: is nested too deeply", hint=_HINT) from None
    if not isinstance(data, dict) or "mappings" not in data:
        raise SettingsError(f"{name}: is no Heroku Connect export: it has no `mappings`", hint=_HINT)
    try:
        export = Export.model_validate(data)
    except ValidationError as error:
        raise _mistakes(name, [_worded(each["loc"], each["type"], each["msg"]) for each in error.errors()]) from None
    if doubled := list(_doubled(export)):
        raise _mistakes(name, doubled)
    return export


_HINT = "It is what `heroku connect:export` writes."


def _mistakes(name: str, mistakes: Sequence[str]) -> SettingsError:
    told = [f"{name}: {mistake}" for mistake in mistakes[:_MOST_TOLD]]
    if len(mistakes) > _MOST_TOLD:
        told.append(f"{name}: and {len(mistakes) - _MOST_TOLD} more")
    return SettingsError("\n".join(told), hint=_HINT)


def _worded(route: Sequence[str | int], kind: str, message: str) -> str:
    told = _TYPES.get(kind) or message.removeprefix("Value error, ").replace("Input should", "should")
    return f"{_place(route)}: {told}"


def _place(route: Sequence[str | int]) -> str:
    """`mappings[2].config.fields`"""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in route if part != "[key]"]
    return "".join(parts).removeprefix(".")


def _doubled(export: Export) -> Iterator[str]:
    """Salesforce compares names without case."""
    objects: set[str] = set()
    for number, mapping in enumerate(export.mappings):
        if mapping.object_name.lower() in objects:
            yield f"mappings[{number}].object_name: {mapping.object_name} stands here twice"
        objects.add(mapping.object_name.lower())
        fields: set[str] = set()
        for field in mapping.config.fields:
            if field.lower() in fields:
                yield f"mappings[{number}].config.fields: {field} stands here twice"
            fields.add(field.lower())
