"""What clients ask for when they start: recent items, and lists that are empty in an org without pages."""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.org.describe import describe_briefly
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.store.changes import Record

RECENT_PER_OBJECT, MOST_RECENT = 5, 200


def object_info(call: Call) -> Reply:
    """GET /sobjects/{object}"""
    target = call.target()
    items = [item for _, item in _recent(call, target)]
    return answer({"objectDescribe": describe_briefly(target, call.base), "recentItems": items})


def recent(call: Call) -> Reply:
    """GET /recent?limit=N"""
    asked = call.query.get("limit", "")
    limit = min(int(asked), MOST_RECENT) if asked.isdecimal() else MOST_RECENT
    items = [pair for target in call.sandbox.org.objects.values() for pair in _recent(call, target)]
    items.sort(key=lambda pair: pair[0], reverse=True)
    return answer([item for _, item in items[:limit]])


def no_items(call: Call) -> Reply:
    """GET /tabs, /quickActions: lists of what the org's pages have, and it has no pages"""
    return answer([])


def theme(call: Call) -> Reply:
    """GET /theme"""
    return answer({"themeItems": []})


def _recent(call: Call, target: ObjectType) -> list[tuple[str, Record]]:
    """Return the items changed last with their SystemModstamp, the newest first."""
    name = next((each.name for each in target.fields if each.name_field), "Id")
    sql = (
        f'select "SystemModstamp", "Id", "{name}" from "{target.name}" where "IsDeleted" = 0 '  # noqa: S608
        'and "SystemModstamp" is not null order by "SystemModstamp" desc, "seq" desc limit ?'
    )
    rows: list[tuple[Any, ...]] = call.sandbox.storage.select(sql, (RECENT_PER_OBJECT,))
    url = f"{call.base}/sobjects/{target.name}/"
    return [
        (stamp, {"attributes": {"type": target.name, "url": url + found}, "Id": found, "Name": named})
        for stamp, found, named in rows
    ]
