"""A compiled query for records: its SQL in all the forms that pages need, and what a response shows of its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from syncbridge.sandbox.salesforce.org.model import Field, ObjectType
from syncbridge.sandbox.salesforce.soql.polymorphic import Joined

ADDRESS_PARTS = (
    ("city", "City"), ("country", "Country"), ("geocodeAccuracy", "GeocodeAccuracy"), ("latitude", "Latitude"),
    ("longitude", "Longitude"), ("postalCode", "PostalCode"), ("state", "State"), ("street", "Street"),
)  # fmt: skip
Format = Callable[[Any], Any]


@dataclass(slots=True)
class Node:
    """What a response shows of one object in the select list. `order` has the keys of all that follows it."""

    target: ObjectType
    joined: Joined
    id_column: int = -1
    type_column: int = -1
    order: dict[str, None] = field(default_factory=dict)
    fields: dict[str, tuple[Field, int]] = field(default_factory=dict)
    formats: dict[str, Format] = field(default_factory=dict)
    parents: dict[str, Node] = field(default_factory=dict)
    types: dict[str, list[Node]] = field(default_factory=dict)
    children: dict[str, Statement] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A selected field, as a table shows it: its path, its place in a row, and how FORMAT() writes it."""

    name: str
    field: Field
    at: int
    format: Format | None = None


@dataclass(slots=True)
class Statement:
    """SQL for one query. `columns` starts with the row number, by which pages are read again.

    `flat` has what is selected, one by one. Of a child subquery `parent` is the column of the parent's id.
    """

    target: ObjectType
    root: Node
    columns: list[str]
    flat: list[Column]
    tables: str
    condition: str
    values: list[Any]
    order: str
    limit: int | None
    offset: int
    parent: str = ""

    def select(self, what: str | None = None, *, limit: int | None = None) -> tuple[str, list[Any]]:
        """Return the SQL and values that select the columns, or something else, of all rows or the first ones."""
        sql = f"select {what or ', '.join(self.columns)} from {self.tables} where {self.condition}{self.order}"  # noqa: S608
        bounds = [each for each in (self.limit, limit) if each is not None]
        if bounds or self.offset:
            sql += f" limit {min(bounds, default=-1)} offset {self.offset}"
        return sql, self.values

    def select_by(self, column: str, *, deleted: bool) -> str:
        """Return the SQL that selects the columns of rows given by a column's values, as one JSON list."""
        root = self.root.joined.alias
        live = "" if deleted else f' and {root}."IsDeleted" = 0'
        chosen = f'where {root}."{column}" in (select value from json_each(?)){live}'  # noqa: S608
        return f"select {', '.join(self.columns)} from {self.tables} {chosen}"  # noqa: S608

    def count_by_parent(self) -> str:
        """Return the SQL that counts a child subquery's rows by parent; the parents' ids come last, as a JSON list."""
        return f"select {self.parent}, count(*) from {self._of_parents()} group by {self.parent}"  # noqa: S608

    def select_by_parent(self, most: int) -> str:
        """Return the SQL for at most so many rows of each parent: the columns, and the parent's id behind them."""
        places = f"row_number() over (partition by {self.parent}{self.order})"
        inner = f'select {", ".join(self.columns)}, {self.parent}, {places} as ":place" from {self._of_parents()}'  # noqa: S608
        last = self.offset + min(most, most if self.limit is None else self.limit)
        return f'select * from ({inner}) where ":place" > {self.offset} and ":place" <= {last} order by ":place"'  # noqa: S608

    def select_of_parent(self) -> tuple[str, list[Any]]:
        """Return the SQL and values that select the row numbers of a list of parents, which comes last."""
        seq = f'{self.root.joined.alias}."seq"'
        limit = -1 if self.limit is None else self.limit
        sql = f"select {seq} from {self._of_parents()}{self.order} limit {limit} offset {self.offset}"  # noqa: S608
        return sql, self.values

    def size(self, found: int) -> int:
        """Return how many of so many rows of one parent remain after LIMIT and OFFSET."""
        rest = max(found - self.offset, 0)
        return rest if self.limit is None else min(rest, self.limit)

    def _of_parents(self) -> str:
        given = f"{self.parent} in (select value from json_each(?))"  # noqa: S608
        return f"{self.tables} where {self.condition} and {given}"
