"""Rows of a query as the records that a response shows: attributes, fields in order, parents nested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncbridge.sandbox.salesforce.soql.sql import ADDRESS_PARTS, Node

Row = tuple[Any, ...]
Shower = Callable[[Row], dict[str, Any] | None]


def shower(node: Node, base: str) -> Shower:
    """Return the function that makes a record of a row; a parent that is not there is None."""
    url = f"{base}/sobjects/{node.target.name}/"
    kind, id_column = node.target.name, node.id_column
    plain, special = [], []
    for name, (field, column) in node.fields.items():
        plain.append((name, column))
        if field.type in ("boolean", "address"):
            special.append((name, column, field.type == "boolean"))
    parents = [(name, shower(each, base)) for name, each in node.parents.items()]

    def show(row: Row) -> dict[str, Any] | None:
        record_id = row[id_column]
        if record_id is None:
            return None
        record: dict[str, Any] = {"attributes": {"type": kind, "url": url + record_id}}
        for name, column in plain:
            record[name] = row[column]
        for name, column, is_boolean in special:
            record[name] = bool(row[column]) if is_boolean else _address(row, column)
        for name, show_parent in parents:
            record[name] = show_parent(row)
        return record

    return show


def _address(row: Row, first: int) -> dict[str, Any] | None:
    parts = {name: row[first + at] for at, (name, _) in enumerate(ADDRESS_PARTS)}
    return parts if any(each is not None for each in parts.values()) else None
