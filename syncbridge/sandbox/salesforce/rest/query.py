"""query and queryAll: SOQL to pages of records. A cursor remembers which rows; a page shows their values of now."""

from __future__ import annotations

import sqlite3
from array import array
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.rest.children import Children
from syncbridge.sandbox.salesforce.rest.columns import columns
from syncbridge.sandbox.salesforce.soql.cursors import Cursor
from syncbridge.sandbox.salesforce.soql.filters import DEEPEST_CHILDREN
from syncbridge.sandbox.salesforce.soql.grouped import compile_groups
from syncbridge.sandbox.salesforce.soql.parser import TOO_COMPLICATED, parse
from syncbridge.sandbox.salesforce.soql.rows import shower
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from syncbridge.sandbox.salesforce.soql.statement import Statement
from syncbridge.sandbox.salesforce.soql.tree import Query

SMALLEST_PAGE, LARGEST_PAGE = 200, 2000
DEEP_CHILDREN_SINCE = 58
NO_MORE = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
Row = tuple[Any, ...]


def query(call: Call) -> Reply:
    """GET /query?q="""
    return _first_page(call, with_deleted=False)


def query_all(call: Call) -> Reply:
    """GET /queryAll?q="""
    return _first_page(call, with_deleted=True)


def query_more(call: Call) -> Reply:
    """GET /query/{locator}-{offset}"""
    sandbox = call.sandbox
    locator, cursor, offset = sandbox.cursors.find(call.params["locator"], sandbox.clock.seconds())
    with sandbox.storage.seen_by_queries():
        return answer(_page(call, locator, cursor, offset))


def _first_page(call: Call, *, with_deleted: bool) -> Reply:
    text = call.query.get("q")
    if "explain" in call.query:
        raise Refusal("FUNCTIONALITY_NOT_ENABLED", "The sandbox has no query plans to explain")
    if not text:
        raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
    try:
        parsed = parse(text)
        with call.sandbox.storage.seen_by_queries():
            shown = _run(call, parsed, with_deleted=with_deleted)
    except sqlite3.OperationalError as error:
        raise Refusal("QUERY_TOO_COMPLICATED", f"{TOO_COMPLICATED} ({error})") from None
    return columns(call, parsed) if call.query.get("columns") == "true" else answer(shown)


def _run(call: Call, parsed: Query, *, with_deleted: bool) -> dict[str, Any]:
    if parsed.aggregated and not (parsed.counted and parsed.grouping is None):
        return _groups(call, parsed, with_deleted=with_deleted)
    sandbox = call.sandbox
    levels = DEEPEST_CHILDREN if call.version >= DEEP_CHILDREN_SINCE else 1
    now = sandbox.clock.now()
    statement = compile_query(sandbox.org, parsed, now, with_deleted=with_deleted, child_levels=levels)
    if parsed.counted:
        return _count(call, statement)
    page_size = _page_size(call, statement)
    rows = sandbox.storage.select(*statement.select(limit=page_size + 1))
    if len(rows) <= page_size and _children(call, page_size).fitting(statement.root, rows) == len(rows):
        return {"totalSize": len(rows), "done": True, "records": _show(call, statement, rows, page_size)}
    found = sandbox.storage.numbers(*statement.select('t0."seq"'))
    cursor = Cursor(statement, found, page_size, sandbox.clock.seconds())
    return _page(call, sandbox.cursors.open(cursor), cursor, 0)


def _groups(call: Call, parsed: Query, *, with_deleted: bool) -> dict[str, Any]:
    sandbox = call.sandbox
    groups = compile_groups(sandbox.org, parsed, sandbox.clock.now(), with_deleted=with_deleted)
    rows = sandbox.storage.select(groups.sql, groups.values)
    if len(rows) > _page_size(call):
        raise Refusal("EXCEEDED_ID_LIMIT", NO_MORE)
    return {"totalSize": len(rows), "done": True, "records": [groups.show(row) for row in rows]}


def _count(call: Call, statement: Statement) -> dict[str, Any]:
    inner, values = statement.select('t0."seq"')
    sql = f"select count(*) from ({inner})"  # noqa: S608 - compiled SQL with bound values
    return {"totalSize": call.sandbox.storage.select(sql, values)[0][0], "done": True, "records": []}


def _page(call: Call, locator: str, cursor: Cursor, offset: int) -> dict[str, Any]:
    statement, page_size = cursor.statement, cursor.page_size
    numbers = cursor.rows[offset : offset + page_size].tolist()
    found = call.sandbox.storage.select(statement.select_by("seq", deleted=True), (orjson.dumps(numbers).decode(),))
    by_number = {row[0]: row for row in found}
    there = [each for each in numbers if each in by_number]
    rows = [by_number[each] for each in there]
    if statement.root.children and rows:
        fitting = _children(call, page_size).fitting(statement.root, rows)
        if fitting < len(rows):
            numbers = numbers[: numbers.index(there[fitting])]
            rows = rows[:fitting]
    end = offset + len(numbers)
    page: dict[str, Any] = {"totalSize": len(cursor.rows), "done": end >= len(cursor.rows)}
    if not page["done"]:
        page["nextRecordsUrl"] = _url(call, locator, end)
    page["records"] = _show(call, statement, rows, page_size)
    return page


def _show(call: Call, statement: Statement, rows: list[Row], page_size: int) -> list[dict[str, Any] | None]:
    root = statement.root
    children = _children(call, page_size).found(root, rows) if root.children else None
    show = shower(root, call.base, children)
    return [show(row) for row in rows]


def _children(call: Call, page_size: int) -> Children:
    def opener(child: Statement, rows: array[int], end: int) -> str:
        cursor = Cursor(child, rows, page_size, call.sandbox.clock.seconds())
        return _url(call, call.sandbox.cursors.open(cursor), end)

    return Children(call, page_size, opener)


def _url(call: Call, locator: str, offset: int) -> str:
    return f"{call.base}/query/{locator}-{offset}"


def _page_size(call: Call, statement: Statement | None = None) -> int:
    if call.sandbox.settings.page_size is not None:
        return call.sandbox.settings.page_size
    size = LARGEST_PAGE
    for option in call.headers.get("sforce-query-options", "").split(","):
        name, _, value = option.partition("=")
        if name.strip().lower() == "batchsize" and value.strip().isdigit():
            size = min(max(int(value), SMALLEST_PAGE), LARGEST_PAGE)
    long = [each for each in statement.flat if each.field.is_long_text and each.field.custom] if statement else []
    return SMALLEST_PAGE if len(long) > 1 else size
