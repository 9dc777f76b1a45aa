"""The feed of changes: an object's records in the order of SystemModstamp and Id, those in the bin among them.

One query finds changes, deletes, undeletes and merges. SystemModstamp has whole seconds, and a record can become
visible seconds after later ones (a transaction stamps early and commits late), so a *round* begins a little before the
one before it, and every few minutes far before it. That wide round also asks for the deletes of the last minutes, which
a query cannot show once the bin is emptied. Times are the org's own, from the Date header. Sources: facts of
docs/sandbox.md on late visibility and getDeleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from syncbridge.destinations.base import RemoteRecord
from syncbridge.destinations.feed import ChangesPage, RemoteChange
from syncbridge.destinations.salesforce.client import Client
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.describe import field_of
from syncbridge.destinations.salesforce.reading import Shape
from syncbridge.destinations.salesforce.writes import Send
from syncbridge.errors import NeedsOperator
from syncbridge.schemas import RemoteObject

PAGE = 2000
#: How far a round reaches back behind the begin of the one before: records were seen to show up 1 to 3 s late.
OVERLAP = timedelta(seconds=15)
#: How often a round is wide, and how far that reaches back behind the last wide one: the longest transaction.
WIDE = timedelta(minutes=10)
#: getDeleted answers for the last 15 days.
DELETES_KEPT = timedelta(days=14, hours=23)

#: Ids that one query can name.
IDS_AT_ONCE = 400

STAMP, DELETED, MASTER = "SystemModstamp", "IsDeleted", "MasterRecordId"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the feed goes on: behind (`since`, `after`). Times are texts as SOQL has them; this is the position."""

    since: str
    after: str = ""  # an id: the last record of the page before; empty at the begin of a round
    began: str = ""  # when the first page of this round was read
    wide: str = ""  # when the last wide round began
    deletes_since: str = ""  # in a wide round

    @classmethod
    def read(cls, position: str) -> Place:
        """NeedsOperator when the text is no position of this feed."""
        try:
            return cls(**orjson.loads(position))
        except (orjson.JSONDecodeError, TypeError):
            raise NeedsOperator("the position in Salesforce's changes cannot be read") from None

    def __str__(self) -> str:
        return orjson.dumps(asdict(self)).decode()


def as_change(record: RemoteRecord) -> RemoteChange:
    """A record that was read with its STAMP."""
    fields = dict(record.fields)
    return RemoteChange(record.remote_id, moment(str(fields.pop(STAMP))), fields)


def first_place(now: datetime) -> Place:
    """What changes from now on."""
    return Place(since=_text(now - OVERLAP), wide=_text(now))


def next_round(place: Place) -> Place:
    """Where the next round begins, after the last page of this one."""
    began, wide = moment(place.began), moment(place.wide)
    if began - wide < WIDE:
        return Place(since=_text(began - OVERLAP), wide=place.wide)
    far = _text(wide - WIDE)
    return Place(since=far, wide=place.began, deletes_since=far)


def statement(described: RemoteObject, columns: Sequence[str], place: Place) -> str:
    """The query of the next page; names were checked against the describe."""
    behind = f"{STAMP} >= {place.since}"
    if place.after:
        behind = f"({STAMP} > {place.since} OR ({STAMP} = {place.since} AND Id > '{place.after}'))"
    return f"SELECT {', '.join(columns)} FROM {described.name} WHERE {behind} ORDER BY {STAMP}, Id LIMIT {PAGE}"  # noqa: S608


class Feed:
    """Pages of one object's changes. Calls are made where `send` makes them."""

    def __init__(
        self, client: Client, described: RemoteObject, fields: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._described = described
        self._clock = clock
        self._shape = Shape(described, fields)
        field_of(described, STAMP)
        extra = [name for name in (STAMP, DELETED, MASTER) if name in described.fields]
        self._columns = list(dict.fromkeys((*self._shape.columns, *extra)))

    def begin(self, send: Send) -> ChangesPage:
        """An empty page, with the position of now."""
        query = f"SELECT Id FROM {self._described.name} LIMIT 1"  # noqa: S608
        _, now = self._timed(send, Request("query", "GET", "queryAll", params={"q": query}))
        return ChangesPage((), str(first_place(now)), more=False)

    def page(self, place: Place, send: Send) -> ChangesPage:
        """The page behind this place."""
        query = statement(self._described, self._columns, place)
        answer, now = self._timed(send, Request("query", "GET", "queryAll", params={"q": query}))
        rows = answer["records"]
        changes = [self._change(row) for row in rows]
        place = replace(place, began=place.began or _text(now))
        if rows and (len(rows) == PAGE or not answer["done"]):
            last = rows[-1]
            following = replace(place, since=_text(moment(last[STAMP])), after=last["Id"])
            return ChangesPage(tuple(changes), str(following), more=True)
        if place.deletes_since:
            changes += self._deletes(place, now, send)
        return ChangesPage(tuple(changes), str(next_round(place)), more=False)

    def gone(self, remote_ids: Sequence[str], send: Send) -> dict[str, RemoteChange]:
        """What is known of records that are gone; one that cannot be found any more was deleted now."""
        listed = ", ".join(f"'{each}'" for each in remote_ids)
        query = f"SELECT {', '.join(self._columns)} FROM {self._described.name} WHERE Id IN ({listed})"  # noqa: S608
        answer, now = self._timed(send, Request("query", "GET", "queryAll", params={"q": query}))
        found = {row["Id"]: self._change(row) for row in answer["records"] if row.get(DELETED)}
        return {each: found.get(each) or RemoteChange(each, now, {}, deleted=True) for each in remote_ids}

    def _deletes(self, place: Place, now: datetime, send: Send) -> list[RemoteChange]:
        since = max(moment(place.deletes_since), now - DELETES_KEPT)
        window = {"start": _text(since), "end": _text(now + timedelta(minutes=1))}
        answer = send(Request("query", "GET", f"sobjects/{self._described.name}/deleted", params=window))
        return [
            RemoteChange(each["id"], moment(each["deletedDate"]), {}, deleted=True) for each in answer["deletedRecords"]
        ]

    def _change(self, row: Mapping[str, Any]) -> RemoteChange:
        modified = moment(row[STAMP])
        if row.get(DELETED):
            return RemoteChange(row["Id"], modified, {}, deleted=True, merged_into=row.get(MASTER))
        return RemoteChange(row["Id"], modified, self._shape.record(row).fields)

    def _timed(self, send: Send, request: Request) -> tuple[Any, datetime]:
        """The answer, and the org's time when it was asked: not later than what it shows."""
        before = self._clock()
        answer = send(request)
        took = self._clock() - before
        now = self._client.server_time() or datetime.now(UTC)
        return answer, now - timedelta(seconds=took)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """A datetime as Salesforce writes it, in JSON or CSV."""
    return datetime.fromisoformat(text).astimezone(UTC)
