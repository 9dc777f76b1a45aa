"""What keys of a mapping file say that does not go together. The raw values are read, so that it is told even where
other parts of the file are wrong, and all mistakes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.sql import fragment_fault, split_table
from syncbridge.mapping.tree import grow

_SOURCES = ("column", "sql", "constant", "lookup")
#: What a field may say beside what fills it.
_BESIDE = {"constant": ("default", "values", "key", "missing"), "lookup": ("default", "values")}
_INBOUND = ("conflict", "creates", "poll")


class Contradiction(NamedTuple):
    """One thing that does not go with the rest of the file, and the key that says it."""

    route: tuple[str, ...]
    message: str
    remedy: str = ""


def contradictions(data: Mapping[str, Any]) -> Iterator[Contradiction]:
    """All that is wrong between the keys of these raw values."""
    fields = data.get("fields")
    if isinstance(fields, Mapping):
        yield from _one_source(fields)
        yield from _distinct_names(fields, data.get("external_id"))
        yield from _match_on(data, fields)
    yield from _set_fields(data)
    yield from _one_way(data)
    yield from _relations(data)
    yield from _schedule(data)


def _schedule(data: Mapping[str, Any]) -> Iterator[Contradiction]:
    """A time of the day needs days."""
    given = data.get("reconcile")
    every = given.get("every") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and "at" in given and isinstance(every, str) and not every.strip().endswith("d"):
        message = "reconcile.at: goes with a number of days, as `every: 1d`"
        yield Contradiction(("reconcile", "at"), message)


def _one_source(fields: Mapping[str, Any]) -> Iterator[Contradiction]:
    for name, value in fields.items():
        if not isinstance(value, Mapping):
            continue
        given = [source for source in _SOURCES if source in value]
        if not given:
            yield Contradiction(("fields", name), f"fields.{name}: needs one of column, sql, constant or lookup")
        elif len(given) > 1:
            yield Contradiction(("fields", name), f"fields.{name}: {' and '.join(given)} are given; only one can be")
        else:
            yield from _beside(name, given[0], value)
        if "values" in value and value["values"] in (None, {}):
            yield Contradiction(("fields", name, "values"), f"fields.{name}.values: is empty")


def _beside(name: str, source: str, value: Mapping[str, Any]) -> Iterator[Contradiction]:
    for extra in _BESIDE.get(source, ("key", "missing")):
        if extra in value:
            message = f"fields.{name}: {extra} has no meaning beside a {source}"
            yield Contradiction(("fields", name, extra), message.replace("a sql", "an sql"))
    if source == "lookup" and "key" not in value:
        message = f"fields.{name}: lookup needs key, the column that holds the key of that mapping's entity"
        yield Contradiction(("fields", name), message)


def _distinct_names(fields: Mapping[str, Any], external_id: object) -> Iterator[Contradiction]:
    """Destinations compare names without case, and some would take the last of two."""
    first: dict[str, str] = {}
    for name in fields:
        held = first.setdefault(name.lower(), name)
        if held != name:
            yield Contradiction(
                ("fields", name), f"fields.{name} and fields.{held} differ only by case: they are one field"
            )
        if isinstance(external_id, str) and name.lower() == external_id.lower():
            yield Contradiction(
                ("fields", name), f"fields.{name}: external_id already fills this field with the key", "Leave it out."
            )


def _set_fields(data: Mapping[str, Any]) -> Iterator[Contradiction]:
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
            yield Contradiction(("deletes", "to_destination", "set", name), message)


def _match_on(data: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Existing records are found by what the mapping itself sends."""
    match_on = data.get("match_on")
    known = {name.lower() for name in fields}
    for name in match_on if isinstance(match_on, list) else [match_on]:
        if isinstance(name, str) and name.lower() not in known:
            message = f"match_on: {name} is not one of the fields{did_you_mean(name, list(fields))}"
            yield Contradiction(("match_on",), message)


def _one_way(data: Mapping[str, Any]) -> Iterator[Contradiction]:
    """What only the way back to Postgres reads."""
    if data.get("direction", "to_destination") != "to_destination":
        return
    remedy = "It needs `direction: both` or `to_postgres`."
    for name in _INBOUND:
        if name in data:
            yield Contradiction((name,), f"{name} has no meaning with direction to_destination", remedy)
    deletes = data.get("deletes")
    if isinstance(deletes, Mapping) and "to_postgres" in deletes:
        message = "deletes.to_postgres has no meaning with direction to_destination"
        yield Contradiction(("deletes", "to_postgres"), message, remedy)


def _relations(data: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Names of relations, and the tree that their `on` make."""
    entity = data.get("entity")
    related = entity.get("related") if isinstance(entity, Mapping) else None
    table = entity.get("table") if isinstance(entity, Mapping) else None
    if not isinstance(related, Mapping) or not isinstance(table, str):
        return
    try:
        root = split_table(table)[1]
    except ValueError:
        return
    whole: dict[str, tuple[str, bool]] = {}
    for name, relation in related.items():
        yield from _relation(root, name, relation)
        if isinstance(relation, Mapping) and isinstance(on := relation.get("on"), str) and not fragment_fault(on):
            whole[name] = on, bool(relation.get("rollup"))
    if len(whole) < len(related):
        return  # what hangs on one that cannot be read would be told too
    for fault in grow(root, whole)[1]:
        route = ("entity", "related", fault.name, fault.part)
        yield Contradiction(route, f"{'.'.join(route)}: {fault.message}", fault.remedy)


def _relation(root: str, name: str, relation: object) -> Iterator[Contradiction]:
    """The table keeps its own name in SQL, so no relation can have it; and one name is ours."""
    route = ("entity", "related", name)
    label = ".".join(route)
    if name == root:
        yield Contradiction(route, f"{label}: the entity's own table has this name in SQL; choose another")
    elif name.startswith("_syncbridge"):
        yield Contradiction(route, f"{label}: names that begin with _syncbridge are taken; choose another")
    if isinstance(relation, Mapping) and "rollup" in relation and not relation["rollup"]:
        yield Contradiction((*route, "rollup"), f"{label}.rollup: is empty", "Or leave it out.")
