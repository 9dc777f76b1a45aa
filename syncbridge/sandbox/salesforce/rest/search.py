"""Search: SOSL, and the same by parameters. Every record can be found at once; there is no index that lags behind.

Records are read through one after the other, slice by slice, and other requests have their turn in between.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply, Work, answer, do_part
from syncbridge.sandbox.salesforce.errors import unsupported_type
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType
from syncbridge.sandbox.salesforce.rest import query
from syncbridge.sandbox.salesforce.rest.sosl import (
    MOST_RESULTS,
    Search,
    Wanted,
    group_of,
    literal_of,
    malformed,
    parse,
    parse_term,
    pattern_of,
)

WRAPPED_SINCE = 37
#: How many records are read through at once.
SLICE = 5_000
TYPES = {
    "all": {"string", "textarea", "email", "phone", "url", "combobox", "picklist", "multipicklist"},
    "email": {"email"},
    "phone": {"phone"},
    "name": set[str](),
}
TYPES["sidebar"] = TYPES["all"]


def search(call: Call) -> Reply:
    """GET /search?q=FIND {...}"""
    return do_part(call, _search)


def parameterized(call: Call) -> Reply:
    """GET /parameterizedSearch?q=, or POST with a JSON object"""
    return do_part(call, _parameterized)


def _search(call: Call) -> Work:
    text = call.query.get("q")
    if not text:
        raise malformed("a search string has to be specified under q")
    found = yield from _run(call, parse(text))
    return answer({"searchRecords": found} if call.version >= WRAPPED_SINCE else found)


def _parameterized(call: Call) -> Work:
    asked = call.record() if call.method == "POST" else _from_query(call)
    term = asked.get("q")
    if not isinstance(term, str) or not term.strip():
        raise malformed("a search string has to be specified under q")
    found = Search(parse_term(term), group_of(str(asked.get("in") or "all")))
    objects = asked.get("sobjects")
    if objects:
        found.wanted = [_wanted(each, asked) for each in objects]
    found.limit = min(_number(asked.get("overallLimit")) or MOST_RESULTS, MOST_RESULTS)
    records = yield from _run(call, found)
    return answer({"searchRecords": records})


def _from_query(call: Call) -> dict[str, Any]:
    """Return the parameters of a URL in the form of the JSON object."""
    asked: dict[str, Any] = {each: call.query.get(each) for each in ("q", "in", "overallLimit", "defaultLimit")}
    asked["fields"] = call.query.get("fields")
    objects = [each.strip() for each in call.query.get("sobject", "").split(",") if each.strip()]
    asked["sobjects"] = [
        {"name": name} | {key: call.query.get(f"{name}.{key}") for key in ("fields", "where", "limit", "orderBy")}
        for name in objects
    ]
    return asked


def _wanted(given: Any, asked: dict[str, Any]) -> Wanted:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise malformed("an object of 'sobjects' needs a 'name'")
    fields = given.get("fields") or asked.get("fields") or "Id"
    limit = _number(given.get("limit")) or _number(asked.get("defaultLimit"))
    order = given.get("orderBy")
    return Wanted(
        given["name"],
        ", ".join(fields) if isinstance(fields, list) else str(fields),
        str(given.get("where") or ""),
        (f" ORDER BY {order}" if order else "") + (f" LIMIT {limit}" if limit else ""),
    )


def _number(value: Any) -> int:
    return int(value) if str(value).isdecimal() else 0


def _run(call: Call, asked: Search) -> Generator[None, None, list[Any]]:
    """Return the records found, object by object, in the order asked for."""
    wanted = asked.wanted
    if wanted is None:
        wanted = [Wanted(each.name) for each in sorted(call.sandbox.org.objects.values(), key=lambda each: each.name)]
    found: list[Any] = []
    for each in wanted:
        target = call.sandbox.org.find(each.object)
        if target is None:
            raise unsupported_type(each.object)
        ids = yield from _matching(call, target, asked)
        if ids:
            found += _shown(call, target, each, ids)
        if len(found) >= asked.limit:
            break
    return found[: asked.limit]


def _matching(call: Call, target: ObjectType, asked: Search) -> Generator[None, None, list[str]]:
    """Return the ids of the records that match, at most as many as a search shows, in the order of creation."""
    columns = [each.name for each in target.fields if _is_searched(each, asked.group)]
    found: dict[str, None] = {}
    for words in asked.alternatives if columns else ():
        patterns = [(pattern_of(word), excluded) for word, excluded in words]
        for start in range(0, call.sandbox.storage.last_number(target), SLICE):
            if start:
                yield
            for record_id, *values in _candidates(call, target, columns, words, start):
                text = "\n".join(str(value) for value in values if value is not None)
                if all((pattern.search(text) is None) == excluded for pattern, excluded in patterns):
                    found[record_id] = None
            if len(found) >= MOST_RESULTS:
                return list(found)[:MOST_RESULTS]
    return list(found)


def _candidates(
    call: Call, target: ObjectType, columns: list[str], words: list[tuple[str, bool]], start: int
) -> list[tuple[Any, ...]]:
    """Return id and searched columns of those of a slice that have the letters of every word that must be there."""
    conditions, values = ['"seq" > ?', '"seq" <= ?', '"IsDeleted" = 0'], list[Any]([start, start + SLICE])
    for word, excluded in words:
        if excluded:
            continue
        letters = max(literal_of(word).replace("?", "*").split("*"), key=len).lower()
        pattern = letters.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        column = '"{}"' if letters.isascii() else 'fold("{}")'  # SQLite tells É from é
        conditions.append("(" + " or ".join(f"{column.format(each)} like ? escape '\\'" for each in columns) + ")")
        values += [f"%{pattern}%"] * len(columns)
    names = ", ".join(f'"{each}"' for each in columns)
    sql = (
        f'select "Id", {names} from "{target.name}" where {" and ".join(conditions)} '  # noqa: S608 - names of the org
        'order by "seq"'
    )
    return call.sandbox.storage.select(sql, values)


def _is_searched(field: Field, group: str) -> bool:
    if group == "name":
        return field.name_field or field.extra == "personname"
    return field.type in TYPES[group]


def _shown(call: Call, target: ObjectType, wanted: Wanted, ids: list[str]) -> list[Any]:
    """Return the fields asked for, by a query over what was found."""
    listed = ", ".join(f"'{each}'" for each in ids)
    narrowed = f" AND ({wanted.where})" if wanted.where else ""
    soql = f"SELECT {wanted.fields} FROM {target.name} WHERE Id IN ({listed}){narrowed}{wanted.tail}"  # noqa: S608
    reply = query.query(replace(call, query={"q": soql}, headers={}))
    records: list[Any] = orjson.loads(reply.body)["records"]
    return records
