"""query and queryAll: SOQL to pages of records. A cursor remembers which rows; a page shows their values of now."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.soql.parser import TOO_COMPLICATED, Query, parse
from syncbridge.sandbox.salesforce.soql.rows import shower
from syncbridge.sandbox.salesforce.soql.sql import Statement, compile_query

SMALLEST_PAGE, LARGEST_PAGE = 200, 2000
OPEN_CURSORS = 500
LOCATOR_PREFIX = "0r8"


@dataclass(slots=True)
class Cursor:
    """A query whose rows did not fit on one page."""

    statement: Statement
    rows: list[int]
    page_size: int


def query(call: Call) -> Reply:
    """GET /query?q="""
    return _first_page(call, with_deleted=False)


def query_all(call: Call) -> Reply:
    """GET /queryAll?q="""
    return _first_page(call, with_deleted=True)


def query_more(call: Call) -> Reply:
    """GET /query/{locator}-{offset}"""
    name, _, offset = call.params["locator"].partition("-")
    cursor = call.sandbox.cursors.get(name)
    if cursor is None or not offset.isdigit() or int(offset) >= len(cursor.rows):
        raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
    return answer(_page(call, name, cursor, int(offset)))


def _first_page(call: Call, *, with_deleted: bool) -> Reply:
    text = call.query.get("q")
    if not text:
        raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
    try:
        return _run(call, text, with_deleted=with_deleted)
    except sqlite3.OperationalError as error:
        raise Refusal("QUERY_TOO_COMPLICATED", f"{TOO_COMPLICATED} ({error})") from None


def _run(call: Call, text: str, *, with_deleted: bool) -> Reply:
    parsed = parse(text)
    sandbox = call.sandbox
    statement = compile_query(sandbox.org, parsed, sandbox.clock.now(), with_deleted=with_deleted)
    if parsed.counted:
        return answer(_count(call, parsed, statement))
    page_size = _page_size(call)
    rows = sandbox.storage.select(*statement.select(limit=page_size + 1))
    if len(rows) <= page_size:
        return answer({"totalSize": len(rows), "done": True, "records": _show(call, statement, rows)})
    numbers = [row[0] for row in sandbox.storage.select(*statement.select('t0."seq"'))]
    name = LOCATOR_PREFIX + secrets.token_hex(6)
    while len(sandbox.cursors) >= OPEN_CURSORS:
        del sandbox.cursors[next(iter(sandbox.cursors))]
    cursor = sandbox.cursors[name] = Cursor(statement, numbers, page_size)
    return answer(_page(call, name, cursor, 0))


def _count(call: Call, parsed: Query, statement: Statement) -> dict[str, Any]:
    inner, values = statement.select('t0."seq"')
    sql = f"select count(*) from ({inner})"  # noqa: S608 - compiled SQL with bound values
    number = call.sandbox.storage.select(sql, values)[0][0]
    if parsed.count_field is None:
        return {"totalSize": number, "done": True, "records": []}
    return {"totalSize": 1, "done": True, "records": [{"attributes": {"type": "AggregateResult"}, "expr0": number}]}


def _page(call: Call, name: str, cursor: Cursor, offset: int) -> dict[str, Any]:
    end = offset + cursor.page_size
    numbers = cursor.rows[offset:end]
    found = call.sandbox.storage.select(
        cursor.statement.select_by("seq", deleted=True), (orjson.dumps(numbers).decode(),)
    )
    by_number = {row[0]: row for row in found}
    rows = [by_number[each] for each in numbers if each in by_number]
    page: dict[str, Any] = {"totalSize": len(cursor.rows), "done": end >= len(cursor.rows)}
    if not page["done"]:
        page["nextRecordsUrl"] = f"{call.base}/query/{name}-{end}"
    page["records"] = _show(call, cursor.statement, rows)
    return page


def _show(call: Call, statement: Statement, rows: list[tuple[Any, ...]]) -> list[dict[str, Any] | None]:
    show = shower(statement.root, call.base)
    return [show(row) for row in rows]


def _page_size(call: Call) -> int:
    if call.sandbox.settings.page_size is not None:
        return call.sandbox.settings.page_size
    for option in call.headers.get("sforce-query-options", "").split(","):
        name, _, value = option.partition("=")
        if name.strip().lower() == "batchsize" and value.strip().isdigit():
            return min(max(int(value), SMALLEST_PAGE), LARGEST_PAGE)
    return LARGEST_PAGE
