"""What `check` read of both sides, as one JSON file: `check --save` writes it, `check --offline` reads it.

It holds names, types and limits; no secret, no row, and nothing that moves by itself (estimates, free slots, ids that
another database would not share), so that it changes when a schema does. Names are sorted and a column or field stands
on one line, so that a review shows what changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from syncbridge.errors import SettingsError
from syncbridge.schemas import Catalog, Column, QueryFault, RemoteField, RemoteObject, Table

FORMAT = 1
FILE_NAME = "schemas.json"
WRITE_ANEW = "Write it anew: `syncbridge check --save`."

_ABOUT = "Written by `syncbridge check --save` for `syncbridge check --offline`. Do not edit; save anew."
_LINE = 160
#: Facts that move by themselves, or that another database with the same schema would not share.
LEFT_OUT = {
    Catalog: {"tables", "free_replication_slots", "free_wal_senders", "slots", "publications", "near", "saved_in"},
    Table: {"schema", "name", "oid", "rows", "columns", "index_names"},
    Column: {"name", "type_oid"},
    RemoteObject: {"name", "label", "fields"},
    RemoteField: {"name", "label"},
    QueryFault: set(),
}


@dataclass(frozen=True, slots=True)
class SavedFragment:
    """An SQL fragment as Postgres described it; `column` and `fault` are None of one that gives no value."""

    query: str
    column: Column | None = None
    fault: QueryFault | None = None


@dataclass(frozen=True, slots=True)
class SavedDestination:
    """Objects of one destination, by name."""

    type: str
    objects: Mapping[str, RemoteObject] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedSchemas:
    """Both sides as they were read. Fragments stand under their mapping and its place in the file."""

    catalog: Catalog
    publication: str
    destinations: Mapping[str, SavedDestination] = field(default_factory=dict)
    fragments: Mapping[str, Mapping[str, SavedFragment]] = field(default_factory=dict)

    def described(self) -> dict[str, Column | QueryFault | None]:
        """What is known of each query, whichever mapping asked it."""
        known = (fragment for places in self.fragments.values() for fragment in places.values())
        return {fragment.query: fragment.fault or fragment.column for fragment in known}


# -- writing ----------------------------------------------------------------------------------------------------------


def write(path: Path, saved: SavedSchemas) -> bool:
    """Write the file at once or not at all; False when it says the same already. Raises SettingsError."""
    text = to_text(saved)
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return False
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None
    return True


def to_text(saved: SavedSchemas) -> str:
    """The JSON document; equal schemas give equal texts."""
    tables: dict[str, dict[str, Any]] = {}
    for (schema, name), table in saved.catalog.tables.items():
        tables.setdefault(schema, {})[name] = _table(table)
    published = saved.catalog.publications.get(saved.publication)
    document = {
        "about": _ABOUT,
        "format": FORMAT,
        "source": {
            "server": _plain(saved.catalog),
            "publication": saved.publication,
            "published": None if published is None else sorted(list(name) for name in published),
            "tables": tables,
        },
        "destinations": {name: _destination(each) for name, each in saved.destinations.items()},
        "fragments": {
            mapping: {place: _fragment(each) for place, each in places.items()}
            for mapping, places in saved.fragments.items()
        },
    }
    return "\n".join(_laid_out(document)) + "\n"


def _table(table: Table) -> dict[str, Any]:
    # sorted by their columns: the server's order is that of their making
    keys = sorted(table.unique_keys, key=lambda key: (key != table.primary_key, key))
    indexes = [[list(columns), table.index_names[columns]] for columns in sorted(table.index_names)]
    return {
        **_plain(table),
        **({"unique_keys": keys} if keys else {}),
        **({"indexes": indexes} if indexes else {}),
        "columns": {name: _plain(column) for name, column in table.columns.items()},
    }


def _destination(destination: SavedDestination) -> dict[str, Any]:
    objects = {
        remote.name: {**_plain(remote), "fields": {name: _plain(each) for name, each in remote.fields.items()}}
        for remote in destination.objects.values()
    }
    return {"type": destination.type, "objects": objects}


def _fragment(fragment: SavedFragment) -> dict[str, Any]:
    if fragment.fault is not None:
        return {"query": fragment.query, "fault": _plain(fragment.fault)}
    column = fragment.column
    return {"query": fragment.query, "column": None if column is None else {"name": column.name, **_plain(column)}}


def _plain(value: Any) -> dict[str, Any]:
    """What differs from the default."""
    left_out = LEFT_OUT[type(value)]
    told = {each.name: getattr(value, each.name) for each in fields(value) if each.name not in left_out}
    defaults = {each.name: _default(each) for each in fields(value)}
    named = {name: each for name, each in told.items() if each != defaults[name]}
    return {name: sorted(each) if isinstance(each, frozenset) else each for name, each in named.items()}


def _default(member: Any) -> Any:
    return member.default_factory() if member.default_factory is not MISSING else member.default


def _laid_out(value: Mapping[str, Any], name: str = "", depth: int = 0, end: str = "") -> Iterator[str]:
    """The lines of a JSON object, keys sorted; one that holds no other object stands on a line, unless too long."""
    indent = "  " * depth
    label = f"{_json(name)}: " if depth else ""
    whole = _json(value)
    holds_objects = any(isinstance(each, Mapping) for each in value.values())
    if not value or (not holds_objects and len(indent) + len(label) + len(whole) <= _LINE):
        yield f"{indent}{label}{whole}{end}"
        return
    yield f"{indent}{label}{{"
    for key in sorted(value):
        comma = "," if key != max(value) else ""
        if isinstance(value[key], Mapping):
            yield from _laid_out(value[key], key, depth + 1, comma)
        else:
            yield f"{indent}  {_json(key)}: {_json(value[key])}{comma}"
    yield f"{indent}}}{end}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)  # orjson leaves no blanks for people


# -- reading ----------------------------------------------------------------------------------------------------------


def read(path: Path, shown: str) -> SavedSchemas:
    """Read the file. Raises SettingsError when it is not there, of another version, or not what `write` writes."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "`syncbridge check --save` writes it, where both sides can be reached; commit it with the mappings."
        raise SettingsError(f"{shown}: there is no such file", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{shown}: cannot be read: {reason}") from None
    except json.JSONDecodeError as error:
        raise SettingsError(f"{shown}:{error.lineno}: not valid JSON: {error.msg}", hint=WRITE_ANEW) from None
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        message = f"{shown}: its format is {found!r}, and this version reads format {FORMAT}"
        raise SettingsError(message, hint=WRITE_ANEW)
    try:
        return _restored(_Document.model_validate(data), shown)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        message = f"{shown}: not what `syncbridge check --save` writes: {place}: {first['msg']}"
    except (AttributeError, TypeError, ValueError):  # a list where names should stand, or the other way round
        message = f"{shown}: not what `syncbridge check --save` writes"
    raise SettingsError(message, hint=WRITE_ANEW)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Source(_Part):
    server: dict[str, Any]
    publication: str
    published: list[tuple[str, str]] | None
    tables: dict[str, dict[str, dict[str, Any]]]


class _Destination(_Part):
    type: str
    objects: dict[str, dict[str, Any]]


class _Document(_Part):
    about: str
    format: int
    source: _Source
    destinations: dict[str, _Destination]
    fragments: dict[str, dict[str, SavedFragment]]


_CATALOG = TypeAdapter(Catalog)
_TABLE = TypeAdapter(Table)
_REMOTE = TypeAdapter(RemoteObject)


def _restored(document: _Document, shown: str) -> SavedSchemas:
    source = document.source
    tables = {
        (schema, name): _restored_table(schema, name, facts)
        for schema, named in source.tables.items()
        for name, facts in named.items()
    }
    published = {} if source.published is None else {source.publication: frozenset(source.published)}
    catalog = _CATALOG.validate_python(
        {
            **source.server,
            "tables": tables,
            "publications": published,
            # who is asked offline cannot know how many are free today
            "free_replication_slots": 1,
            "free_wal_senders": 1,
            "saved_in": shown,
        }
    )
    destinations = {
        name: SavedDestination(each.type, {n: _restored_object(n, facts) for n, facts in each.objects.items()})
        for name, each in document.destinations.items()
    }
    return SavedSchemas(catalog, source.publication, destinations, document.fragments)


def _restored_table(schema: str, name: str, facts: Mapping[str, Any]) -> Table:
    kept = {key: value for key, value in facts.items() if key != "indexes"}
    kept["index_names"] = {tuple(columns): index for columns, index in facts.get("indexes", ())}
    kept["columns"] = {column: {"name": column, **told} for column, told in facts.get("columns", {}).items()}
    return _TABLE.validate_python({"schema": schema, "name": name, **kept})


def _restored_object(name: str, facts: Mapping[str, Any]) -> RemoteObject:
    told = {field: {"name": field, **each} for field, each in facts.get("fields", {}).items()}
    return _REMOTE.validate_python({"name": name, **facts, "fields": told})
