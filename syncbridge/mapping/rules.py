"""Rules of a mapping file that concern several keys. They read the raw values, so that they hold even where other
parts of the file are wrong, and all mistakes can be told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: Keys of the mapping language that a later version will understand, by the part they stand in.
NOT_YET: dict[str, tuple[str, ...]] = {
    "": ("match_on", "conflict", "poll"),
    "entity": ("related",),
    "fields": ("lookup", "owner", "key"),
    "deletes": ("to_postgres",),
}
_SOURCES = ("column", "sql", "constant")


class BrokenRule(NamedTuple):
    """One rule that does not hold, and the key it concerns."""

    route: tuple[str, ...]
    message: str
    remedy: str = ""


def broken_rules(data: Mapping[str, Any]) -> Iterator[BrokenRule]:
    """All rules that these raw values break."""
    fields = data.get("fields")
    if isinstance(fields, Mapping):
        yield from _one_source(fields)
        yield from _distinct_names(fields, data.get("external_id"))
    yield from _set_fields(data)


def _one_source(fields: Mapping[str, Any]) -> Iterator[BrokenRule]:
    for name, value in fields.items():
        if not isinstance(value, Mapping) or "lookup" in value:
            continue
        given = [source for source in _SOURCES if source in value]
        if not given:
            yield BrokenRule(("fields", name), f"fields.{name}: needs one of column, sql or constant")
        elif len(given) > 1:
            yield BrokenRule(("fields", name), f"fields.{name}: {' and '.join(given)} are given; only one can be")
        for extra in ("default", "values"):
            if given == ["constant"] and extra in value:
                yield BrokenRule(("fields", name, extra), f"fields.{name}: {extra} has no meaning beside a constant")
        if "values" in value and value["values"] in (None, {}):
            yield BrokenRule(("fields", name, "values"), f"fields.{name}.values: is empty")


def _distinct_names(fields: Mapping[str, Any], external_id: object) -> Iterator[BrokenRule]:
    """Destinations compare names without case, and some would take the last of two."""
    first: dict[str, str] = {}
    for name in fields:
        held = first.setdefault(name.lower(), name)
        if held != name:
            yield BrokenRule(
                ("fields", name), f"fields.{name} and fields.{held} differ only by case: they are one field"
            )
        if isinstance(external_id, str) and name.lower() == external_id.lower():
            yield BrokenRule(
                ("fields", name), f"fields.{name}: external_id already fills this field with the key", "Leave it out."
            )


def _set_fields(data: Mapping[str, Any]) -> Iterator[BrokenRule]:
    """Setting the external id on delete would cut the tie to the entity."""
    deletes = data.get("deletes")
    rule = deletes.get("to_destination") if isinstance(deletes, Mapping) else None
    fields = rule.get("set") if isinstance(rule, Mapping) else None
    external_id = data.get("external_id")
    if not isinstance(fields, Mapping) or not isinstance(external_id, str):
        return
    for name in fields:
        if name.lower() == external_id.lower():
            message = f"deletes.to_destination.set.{name}: external_id carries the key and cannot be set"
            yield BrokenRule(("deletes", "to_destination", "set", name), message)
