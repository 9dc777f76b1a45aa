"""getUpdated and getDeleted: which records of an object changed or went to the bin in a window of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.store.values import datetime_text, parse_datetime

UPDATED_DAYS, DELETED_DAYS = 30, 15
MOST_IDS = 600_000


def updated(call: Call) -> Reply:
    """GET /sobjects/{object}/updated?start=&end="""
    start, end = _window(call, UPDATED_DAYS, timedelta(0))
    rows = _rows(call, start, end, deleted=0)
    return answer({"ids": [row[0] for row in rows], "latestDateCovered": _covered(call, end)})


def deleted(call: Call) -> Reply:
    """GET /sobjects/{object}/deleted?start=&end="""
    start, end = _window(call, DELETED_DAYS, timedelta(minutes=1))
    rows = _rows(call, start, end, deleted=1)
    return answer(
        {
            "deletedRecords": [{"deletedDate": row[1], "id": row[0]} for row in rows],
            "earliestDateAvailable": call.sandbox.clock.stamp_before(DELETED_DAYS * 86400),
            "latestDateCovered": _covered(call, end),
        }
    )


def _rows(call: Call, start: datetime, end: datetime, *, deleted: int) -> list[tuple[str, str]]:
    sql = (
        f'select "Id", "SystemModstamp" from "{call.target().name}" where "IsDeleted" = ? and "SystemModstamp" >= ? '  # noqa: S608
        'and "SystemModstamp" < ? order by "SystemModstamp", "Id" limit ?'
    )
    values = (deleted, datetime_text(start), datetime_text(end), MOST_IDS + 1)
    with call.sandbox.storage.seen_by_queries():
        rows = [(row[0], row[1]) for row in call.sandbox.storage.select(sql, values)]
    if len(rows) > MOST_IDS:
        raise Refusal("EXCEEDED_ID_LIMIT", f"more than {MOST_IDS} ids; choose dates that are closer together")
    return rows


def _covered(call: Call, end: datetime) -> str:
    """Return until when nothing can show up any more: before the oldest write that cannot be seen yet."""
    oldest = call.sandbox.storage.late.oldest()
    return datetime_text(end if oldest is None else min(end, datetime.fromtimestamp(int(oldest), UTC)))


def _window(call: Call, days: int, longer_than: timedelta) -> tuple[datetime, datetime]:
    """Return start and end in whole minutes; an end in the future is now."""
    start, end = _moment(call, "start"), _moment(call, "end")
    now = call.sandbox.clock.now()
    if start >= end:
        raise Refusal("INVALID_REPLICATION_DATE", "startDate cannot be the same or after endDate")
    if end - start <= longer_than:
        raise Refusal("INVALID_REPLICATION_DATE", "startDate must precede endDate by more than one minute")
    if start < now - timedelta(days=days):
        raise Refusal("INVALID_REPLICATION_DATE", f"startDate before org replication enabled date or {days} days ago")
    return start, min(end, now)


def _moment(call: Call, name: str) -> datetime:
    text = call.query.get(name, "").replace(" ", "+")
    moment = parse_datetime(text) if text else None
    if moment is None:
        raise Refusal("INVALID_REPLICATION_DATE", f"{name} is not a date: {text}")
    return moment.replace(second=0, microsecond=0)
