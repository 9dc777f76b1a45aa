"""Rows of a query as the records that a response shows: attributes, then all that was selected, in that order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from syncbridge.sandbox.salesforce.soql.statement import ADDRESS_PARTS, Node

Row = tuple[Any, ...]
Shown = dict[str, Any] | None
Shower = Callable[[Row], Shown]
#: By name of a child subquery: what it found, by the id of the parent.
Children = Mapping[str, Mapping[str, Any]]


def shower(node: Node, base: str, children: Children | None = None) -> Shower:
    """Return the function that makes a record of a row; a parent that is not there is None."""
    names = list(node.order)
    places = [node.fields[name][1] if name in node.fields else node.id_column for name in names]
    values = itemgetter(*places) if len(places) > 1 else lambda row: tuple(row[each] for each in places)
    parts = _parts(node, base, children or {})
    kind, id_column, type_column = node.target.name, node.id_column, node.type_column
    url = f"{base}/sobjects/{kind}/"

    def show(row: Row) -> Shown:
        record_id = row[id_column]
        if record_id is None:
            return None
        record: dict[str, Any] = {"attributes": {"type": kind, "url": url + record_id}}
        if type_column >= 0:
            record["attributes"]["url"] = f"{base}/sobjects/{row[type_column]}/{record_id}"
        record.update(zip(names, values(row), strict=True))
        for name, part in parts:
            record[name] = part(row)
        return record

    return show


def _parts(node: Node, base: str, children: Children) -> list[tuple[str, Callable[[Row], Any]]]:
    """Return what is more than a stored value: booleans, addresses, formatted values, parents, children."""
    parts: list[tuple[str, Callable[[Row], Any]]] = []
    for name, (known, at) in node.fields.items():
        if known.type == "boolean":
            parts.append((name, _boolean(at)))
        elif known.type == "address":
            parts.append((name, _address(at)))
        elif name in node.formats:
            parts.append((name, _formatted(node.formats[name], at)))
    parts += [(name, shower(each, base)) for name, each in node.parents.items()]
    parts += [(name, _first([shower(each, base) for each in nodes])) for name, nodes in node.types.items()]
    parts += [(name, _found(children.get(name, {}), node.id_column)) for name in node.children]
    return parts


def _boolean(at: int) -> Callable[[Row], bool]:
    return lambda row: bool(row[at])


def _formatted(write: Callable[[Any], Any], at: int) -> Callable[[Row], Any]:
    return lambda row: write(row[at])


def _first(showers: list[Shower]) -> Shower:
    """Of the branches of a TYPEOF, show the first whose object is there."""
    return lambda row: next((shown for show in showers if (shown := show(row)) is not None), None)


def _found(found: Mapping[str, Any], id_column: int) -> Callable[[Row], Any]:
    return lambda row: found.get(row[id_column])


def _address(first: int) -> Callable[[Row], Shown]:
    def show(row: Row) -> Shown:
        parts = {name: row[first + at] for at, (name, _) in enumerate(ADDRESS_PARTS)}
        return parts if any(each is not None for each in parts.values()) else None

    return show
