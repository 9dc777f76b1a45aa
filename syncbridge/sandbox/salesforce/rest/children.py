"""Child subqueries of a page of records: one statement per relationship and page, however many parents."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call
from syncbridge.sandbox.salesforce.soql.rows import shower
from syncbridge.sandbox.salesforce.soql.statement import Node, Statement

Row = tuple[Any, ...]
#: How many parents' children are counted at first, to see how many fit on a page.
FIRST_COUNTED = 50
#: Opens a cursor over rows and returns the URL of its records from an offset on.
Opener = Callable[[Statement, "array[int]", int], str]


class Children:
    """Reads the children of the records of one query; no parent shows more than `page_size` of each kind at once."""

    def __init__(self, call: Call, page_size: int, opener: Opener) -> None:
        self._call = call
        self._storage = call.sandbox.storage
        self._page_size = page_size
        self._opener = opener

    def fitting(self, root: Node, rows: list[Row]) -> int:
        """Return how many of the first rows fit on a page together with their children; at least one does."""
        taken = start = 0
        while start < len(rows):
            part = rows[start : start + max(FIRST_COUNTED, start)]  # twice as many each time: most pages end early
            counts = [self._sizes(child, root, part) for child in root.children.values()]
            for place, row in enumerate(part, start):
                taken += 1 + sum(min(sizes.get(row[root.id_column], 0), self._page_size) for sizes in counts)
                if taken > self._page_size and place:
                    return place
            start += len(part)
        return len(rows)

    def found(self, root: Node, rows: list[Row]) -> dict[str, dict[str, Any]]:
        """Return what each child subquery finds, by its name and the parent's id; parents without are left out."""
        return {name: self._pages(child, root, rows) for name, child in root.children.items() if rows}

    def _sizes(self, child: Statement, root: Node, rows: list[Row]) -> dict[str, int]:
        counted = self._storage.select(child.count_by_parent(), [*child.values, _ids(root, rows)])
        return {parent: size for parent, number in counted if (size := child.size(number))}

    def _pages(self, child: Statement, root: Node, rows: list[Row]) -> dict[str, Any]:
        sizes = self._sizes(child, root, rows)
        values = [*child.values, _ids(root, rows)]
        found = self._storage.select(child.select_by_parent(self._page_size), values)
        show = shower(child.root, self._call.base, self.found(child.root, found))
        pages: dict[str, Any] = {
            parent: {"totalSize": size, "done": size <= self._page_size, "records": []}
            for parent, size in sizes.items()
        }
        for row in found:
            pages[row[-2]]["records"].append(show(row))
        for parent, page in pages.items():
            if not page["done"]:
                page["nextRecordsUrl"] = self._opener(child, self._numbers(child, parent), len(page["records"]))
        return pages

    def _numbers(self, child: Statement, parent: str) -> array[int]:
        sql, values = child.select_of_parent()
        return self._storage.numbers(sql, [*values, orjson.dumps([parent]).decode()])


def _ids(root: Node, rows: list[Row]) -> str:
    return orjson.dumps([row[root.id_column] for row in rows]).decode()
