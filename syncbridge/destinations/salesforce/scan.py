"""A scan: all records of an object, by a query job where there are many, else by queries of 2,000 in the order of Id.

The first query tells how many there are, and has the first page of a small object. A query job costs three calls or
more and some seconds, then a page has up to 50,000 records; 10,000 records are five queries. Where no job is to be had,
or it fails, queries do it all: they need nothing that Salesforce keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from syncbridge.destinations.base import BulkRefused
from syncbridge.destinations.feed import RemoteChange, ScanLost, ScanPage
from syncbridge.destinations.salesforce.bulk.query import QueryFailed, QueryJobs
from syncbridge.destinations.salesforce.bulk.records import JobRecords
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.describe import field_of
from syncbridge.destinations.salesforce.feed import PAGE, STAMP, moment
from syncbridge.destinations.salesforce.reading import Shape
from syncbridge.errors import NeedsOperator
from syncbridge.schemas import RemoteObject

log = logging.getLogger("syncbridge.salesforce")

#: Objects of so many records are read by queries.
BY_QUERIES = 10_000
#: Records of the first page of a job's results: it tells how large they are.
FIRST_PAGE = 5_000
#: Later pages: as many characters, and at most as many records.
PAGE_SIZE, PAGE_MOST = 10_000_000, 50_000
#: Seconds after which a job is asked how far it is; each time longer, up to the second.
POLL_FIRST, POLL_LAST = 0.5, 20.0

Ask = Callable[[Request], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan goes on; this is the position."""

    version: str  # of the API: results are told in that of the job only
    total: int | None = None
    after: str = ""  # by queries: behind this id
    job: str = ""  # the query job
    asked: int = 0  # how often it was asked whether it is done
    locator: str = ""  # of the next page of its results
    most: int = 0  # records of that page
    reading: bool = False  # it is done

    @classmethod
    def read(cls, position: str) -> Place:
        """NeedsOperator when the text is no position of a scan."""
        try:
            return cls(**orjson.loads(position))
        except (orjson.JSONDecodeError, TypeError):
            raise NeedsOperator("the position in Salesforce's records cannot be read") from None

    def __str__(self) -> str:
        return orjson.dumps(asdict(self)).decode()


class Scan:
    """Pages of one object's records. `ask` makes a call that reads; `jobs` is None where there shall be none."""

    def __init__(
        self,
        described: RemoteObject,
        fields: Sequence[str],
        ask: Ask,
        jobs: QueryJobs | None,
        *,
        version: str,
        lane: str,
    ) -> None:
        self._described = described
        self._ask = ask
        self._jobs = jobs
        self._version = version
        self._lane = lane
        self._shape = Shape(described, fields)
        stamp = field_of(described, STAMP).name
        self._columns = list(dict.fromkeys((*self._shape.columns, stamp)))
        self._of_job = JobRecords(described, fields, self._columns, stamp)

    def page(self, position: str | None) -> ScanPage:
        """The page at a position, None for the first. Raises ScanLost."""
        place = Place(self._version) if position is None else Place.read(position)
        if not place.job:
            return self._by_query(place)
        if place.version != self._version or self._jobs is None:
            raise ScanLost("The settings changed while a query job was read.", code="SCAN_LOST")
        try:
            return self._by_job(place, self._jobs)
        except QueryFailed as failed:
            log.warning("%s: the query job failed, reading by queries: %s", self._described.name, failed.message)
            return self._by_query(Place(self._version, after=_BEFORE_ALL))

    # -- by queries ---------------------------------------------------------------------------------------------------

    def _by_query(self, place: Place) -> ScanPage:
        answer = self._ask(Request("query", "GET", "query", params={"q": self._statement(place)}))
        first, rows = not place.after, answer["records"]
        if first:  # it has no limit, so it tells how many there are
            place = replace(place, total=answer["totalSize"])
            if self._jobs is not None and (place.total or 0) > BY_QUERIES:
                started = self._begin_job(place, self._jobs)
                if started is not None:
                    return started
        more = bool(rows) and (len(rows) == PAGE or not answer["done"])
        if rows:
            place = replace(place, after=rows[-1]["Id"])
        return ScanPage(tuple(map(self._record, rows)), str(place), more, total=place.total)

    def _statement(self, place: Place) -> str:
        # Names were checked against the describe.
        select = f"SELECT {', '.join(self._columns)} FROM {self._described.name}"  # noqa: S608
        if not place.after:
            return f"{select} ORDER BY Id"
        return f"{select} WHERE Id > '{place.after}' ORDER BY Id LIMIT {PAGE}"

    # -- by a job -----------------------------------------------------------------------------------------------------

    def _begin_job(self, place: Place, jobs: QueryJobs) -> ScanPage | None:
        """A page without records; None where no job is to be had."""
        statement = f"SELECT {', '.join(self._columns)} FROM {self._described.name}"  # noqa: S608 - as above
        try:
            job = jobs.begin(statement, lane=self._lane)
        except BulkRefused as refused:
            log.warning("%s: no query job, reading by queries: %s", self._described.name, refused.message)
            return None
        place = replace(place, job=job, most=FIRST_PAGE)
        return ScanPage((), str(place), more=True, delay=POLL_FIRST, total=place.total)

    def _by_job(self, place: Place, jobs: QueryJobs) -> ScanPage:
        if not place.reading:
            found = jobs.finished(place.job, lane=self._lane)
            if found is None:
                delay = min(POLL_FIRST * 1.5**place.asked, POLL_LAST)
                waiting = replace(place, asked=min(place.asked + 1, 20))
                return ScanPage((), str(waiting), more=True, delay=delay, total=place.total)
            place = replace(place, reading=True, total=found)
        page = jobs.page(place.job, self._columns, place.locator, place.most, lane=self._lane)
        following = replace(place, locator=page.following, most=_most(page.rows))
        return ScanPage(self._of_job(page.rows), str(following), more=bool(page.following), total=place.total)

    def _record(self, row: Any) -> RemoteChange:
        return RemoteChange(row["Id"], moment(row[STAMP]), self._shape.record(row).fields)


#: An id that all others are behind.
_BEFORE_ALL = "0" * 15


def _most(rows: Sequence[Sequence[str]]) -> int:
    """How many records the next page may have."""
    size = sum(sum(map(len, row)) for row in rows) / max(1, len(rows))
    return max(1, min(PAGE_MOST, int(PAGE_SIZE / max(1.0, size))))


def job_of(position: str) -> str:
    """The job that a position waits for; empty where there is nothing to end."""
    place = Place.read(position)
    return "" if place.reading else place.job
