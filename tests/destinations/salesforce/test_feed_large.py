"""More records of one second than any page takes are all read: a place in the feed is a time and an id."""

from __future__ import annotations

import time

from syncbridge.destinations.base import Delivered
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import KEY, FakeTime, open_for, record

RECORDS = 12_000


def test_twelve_thousand_records_of_one_second_are_all_read_once(fake_time: FakeTime) -> None:
    now = time.time()
    with SandboxServer(clock=lambda: now) as server:  # its time stands still
        destination = open_for(server, fake_time)
        position = destination.changes("Contact", ["LastName"], None).position
        results = destination.upsert("Contact", KEY, [record(number) for number in range(RECORDS)])
        assert all(isinstance(each, Delivered) for each in results)
        read: list[str] = []
        pages, more = 0, True
        while more:
            page = destination.changes("Contact", ["LastName"], position)
            read += [change.remote_id for change in page.changes]
            position, more, pages = page.position, page.more, pages + 1
        destination.close()
    assert (len(read), len(set(read))) == (RECORDS, RECORDS)
    assert pages == RECORDS // 2000 + 1
