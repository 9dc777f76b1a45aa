"""Whoever carries a bulk job is killed at every step of it: another one goes on, and each record is sent once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncbridge.outbound import bulk_gather, bulk_results, recording
from syncbridge.outbound.bulk_gather import Gathering
from syncbridge.store import bulk_jobs
from tests.fix_bulk import BulkProject, Carrier

PEOPLE = 50
PAGE = 20  # of claims and of results

#: Where it dies: what is called then, at which call, and whether that was done.
POINTS = [
    ("prepare", 1, "before"),
    ("prepare", 1, "after"),
    ("page", 2, "after"),
    ("begin", 1, "before"),
    ("begin", 1, "after"),
    ("opened", 1, "before"),
    ("opened", 1, "after"),
    ("upload", 1, "before"),
    ("upload", 1, "during"),
    ("upload", 1, "after"),
    ("sent", 1, "before"),
    ("sent", 1, "after"),
    ("progress", 1, "after"),
    ("settle", 5, "before"),  # the first three were of claims
    ("settle", 5, "after"),
    ("settle", 6, "before"),
    ("free", 1, "before"),
    ("free", 1, "after"),
]
OWNERS = {"prepare": bulk_jobs, "opened": bulk_jobs, "sent": bulk_jobs, "free": bulk_jobs, "settle": recording}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_gather, "PAGE", PAGE)
    monkeypatch.setattr(bulk_results, "PAGE", PAGE)


class Killed(BaseException):
    """The process ends here; nothing after it is done."""


def _dying(real: Callable[..., Any], at_call: int, moment: str) -> Callable[..., Any]:
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call and moment == "before":
            raise Killed
        if calls == at_call and moment == "during":
            job, columns, records = arguments
            arguments = (job, columns, _dying_stream(records))
        result = real(*arguments, **named)
        if calls == at_call:
            raise Killed
        return result

    return wrapped


def _dying_stream(records: Any) -> Any:
    for number, record in enumerate(records):
        if number == 30:
            raise Killed
        yield record


def _die_at(bulk: BulkProject, carrier: Carrier, point: tuple[str, int, str]) -> None:
    name, at_call, moment = point
    owner: Any = OWNERS.get(name, Gathering if name == "page" else bulk.jobs)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, _dying(getattr(owner, name), at_call, moment))
        with pytest.raises(Killed):
            bulk.carry(carrier)
    bulk.kill(carrier)


def _records_done(bulk: BulkProject) -> int:
    return sum(len(job.results) for job in bulk.jobs._kept.values())


@pytest.mark.parametrize("point", POINTS, ids=lambda point: "-".join(map(str, point)))
def test_another_process_goes_on_and_nothing_is_sent_twice(bulk: BulkProject, point: tuple[str, int, str]) -> None:
    bulk.small.add(*range(PEOPLE))
    _die_at(bulk, bulk.open(), point)
    bulk.carry(bulk.open())
    bulk.assert_equal()
    assert _records_done(bulk) == PEOPLE
    assert bulk.calls("upsert") == 0


@pytest.mark.parametrize("point", POINTS, ids=lambda point: "-".join(map(str, point)))
def test_changes_meanwhile_arrive(bulk: BulkProject, point: tuple[str, int, str]) -> None:
    """Rows that change, go and come while a job is on its way, and after whoever carried it died."""
    name, at_call, moment = point
    bulk.small.add(*range(PEOPLE))
    bulk.destination.faults.hold_jobs()
    delivery = bulk.open()
    _change(bulk, 0)
    bulk.carry(delivery)
    _change(bulk, 1)
    bulk.destination.faults.clear()
    bulk.jobs.run_jobs()
    if name in ("progress", "settle", "free"):
        _die_at(bulk, delivery, (name, at_call - 3 if name == "settle" else at_call, moment))
    else:
        bulk.carry(delivery)
        bulk.small.change(f"update people set first_name = 'New' where id < {PEOPLE}", *range(PEOPLE))
        _die_at(bulk, delivery, point)
    _change(bulk, 2)
    bulk.small.deliver()
    bulk.carry(bulk.open())
    bulk.small.deliver()
    bulk.assert_equal()


def _change(bulk: BulkProject, number: int) -> None:
    bulk.small.add(10_000 + number)
    some = range(number, PEOPLE, 4)
    bulk.small.change(f"update people set last_name = 'Change {number}' where id = any('{{{_ids(some)}}}')", *some)
    gone = range(number + 5, PEOPLE, 9)
    bulk.small.change(f"delete from people where id = any('{{{_ids(gone)}}}')", *gone)


def _ids(numbers: range) -> str:
    return ",".join(map(str, numbers))
