"""Query locators: which rows a query found, for as long as their pages may be asked for."""

from __future__ import annotations

import secrets
from array import array
from dataclasses import dataclass

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.soql.statement import Statement

LOCATOR_PREFIX = "0r8"
LIFETIME = 2 * 24 * 3600
MOST_CURSORS = 500
#: 8 bytes each: all cursors together hold 160 MB at most.
MOST_ROWS = 20_000_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """A query whose rows did not fit on one page; `opened` is the sandbox's time in seconds."""

    statement: Statement
    rows: array[int]
    page_size: int
    opened: float


class Cursors:
    """The open cursors by locator. The oldest go where there are too many."""

    def __init__(self) -> None:
        self._open: dict[str, Cursor] = {}

    def open(self, cursor: Cursor) -> str:
        """Keep a cursor and return its locator."""
        locator = make_id(LOCATOR_PREFIX, secrets.randbelow(62**9))
        self._open[locator] = cursor
        while len(self._open) > MOST_CURSORS or sum(len(each.rows) for each in self._open.values()) > MOST_ROWS:
            del self._open[next(iter(self._open))]
        return locator

    def find(self, text: str, now: float) -> tuple[str, Cursor, int]:
        """Return locator, cursor and offset that `<locator>-<offset>` names, or raise INVALID_QUERY_LOCATOR."""
        locator, _, offset = text.partition("-")
        cursor = self._open.get(locator)
        if cursor is None or not (offset.isascii() and offset.isdigit()) or int(offset) >= len(cursor.rows):
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        if now - cursor.opened > LIFETIME:
            del self._open[locator]
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        return locator, cursor, int(offset)

    def clear(self) -> None:
        """End all cursors."""
        self._open.clear()
