"""The control surface: everything a test may do to a sandbox from outside the API. HTTP under /sandbox/ is the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from syncbridge.sandbox.salesforce.bulk.jobs import RUNNING, UPLOADED
from syncbridge.sandbox.salesforce.bulk.runner import Hold
from syncbridge.sandbox.salesforce.faults import Faults
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.org.org_file import parse_field, parse_object, parse_rules
from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.store.values import Stored

DUMPED_AT_ONCE = 2000


class UnknownName(KeyError):
    """There is no such object or field in the org."""

    def __str__(self) -> str:
        return str(self.args[0])


class Control:
    """Direct access to a sandbox, safe from any thread while its server runs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def faults(self) -> Faults:
        """The fault rules in force."""
        return self._sandbox.faults

    def reset(self) -> None:
        """Be as at the start, without records."""
        self._sandbox.reset()

    def refresh(self, *, records: bool = False) -> None:
        """Be another org at the same address: another org id, no sessions, and no records unless `records` stay."""
        self._sandbox.refresh(records=records)

    def reset_data(self) -> None:
        """Remove all records; org, sessions, faults and counts stay."""
        self._sandbox.reset_data()

    def stats(self) -> dict[str, Any]:
        """Return calls by method and route, their total, API usage, and the number of records per object."""
        sandbox = self._sandbox
        with sandbox.lock:
            counts = {each.name: sandbox.storage.count(each) for each in sandbox.org.objects.values()}
            return {
                "calls": dict(sorted(sandbox.counts.calls.items())),
                "total": sandbox.counts.calls.total(),
                "usage": {"used": sandbox.usage.used, "max": sandbox.usage.max},
                "records": {name: number for name, number in counts.items() if number},
            }

    def calls(self, route: str | None = None) -> int:
        """Return how many requests came in since the last reset, all or of one route like `collections_upsert`."""
        with self._sandbox.lock:
            calls = dict(self._sandbox.counts.calls)
        return sum(number for name, number in calls.items() if route is None or name.partition(" ")[2] == route)

    def requests(self) -> list[dict[str, Any]]:
        """Return the last requests, oldest first."""
        with self._sandbox.lock:
            return list(self._sandbox.counts.log)

    def reset_stats(self) -> None:
        """Count calls from zero; API usage stays."""
        with self._sandbox.lock:
            self._sandbox.counts.clear()

    def set_usage(self, *, used: int | None = None, max: int | None = None) -> None:
        """Set the API calls used today and the day's limit."""
        usage = self._sandbox.usage
        with self._sandbox.lock:
            usage.used = usage.used if used is None else used
            usage.max = usage.max if max is None else max

    def set_page_size(self, size: int | None) -> None:
        """Let every query answer in pages of this many records, whatever it asks for; None ends that."""
        self._sandbox.settings.page_size = size

    def set_latency(self, seconds: float) -> None:
        """Let every request take this much longer."""
        self._sandbox.settings.latency = seconds

    def set_late_visibility(self, least: float, most: float) -> None:
        """Let what each request writes be seen by queries and feeds some seconds late, between these two; 0, 0 ends it.

        What was written before keeps its time; `advance_clock` makes it visible without waiting.
        """
        if not 0 <= least <= most:
            raise TypeError(f"late visibility is from least to most seconds, not from {least:g} to {most:g}")
        with self._sandbox.lock:
            self._sandbox.storage.late.set(least, most)

    def set_row_seconds(self, seconds: float) -> None:
        """Let each record of a write hold its locks for this long; the answer comes when all have had their time."""
        self._sandbox.locks.row_seconds = seconds

    def set_lock_wait(self, seconds: float) -> None:
        """Let a write wait for so long for locks of others (10 s) before its records fail with UNABLE_TO_LOCK_ROW."""
        self._sandbox.locks.wait_seconds = seconds

    def set_concurrent_max(self, number: int) -> None:
        """Refuse requests while this many (25) are under way for more than 20 s of the sandbox's clock."""
        self._sandbox.in_flight.concurrent_max = number

    def hold_writes(self, number: int | None = None) -> None:
        """Keep the next writes, so many or all, under way until they are released: locked, and without an answer.

        A write is a request, or a slice of 400 records of a Bulk job.
        """
        self._sandbox.locks.hold(number)

    def release_writes(self) -> None:
        """Let held writes be answered, and hold none any longer."""
        self._sandbox.locks.release_held()

    def wait_for_held_writes(self, number: int = 1, seconds: float = 60.0) -> None:
        """Wait until so many writes are held. TimeoutError when that takes too long."""
        if not self._sandbox.locks.wait_for_held(number, seconds):
            raise TimeoutError(f"not {number} writes were held after {seconds:g} s")

    def wait_for_waiting_writes(self, number: int = 1, seconds: float = 60.0) -> None:
        """Wait until so many writes wait for locks of others. TimeoutError when that takes too long."""
        if not self._sandbox.locks.wait_for_waiting(number, seconds):
            raise TimeoutError(f"not {number} writes waited for locks after {seconds:g} s")

    def jobs(self) -> list[dict[str, Any]]:
        """Return all Bulk jobs, oldest first, as polling each of them shows them."""
        with self._sandbox.lock:
            return [each.details() for each in self._sandbox.bulk.jobs.every()]

    def hold_jobs(self, state: str = UPLOADED, *, rows: int = 0) -> None:
        """Hold jobs in UploadComplete, or in InProgress once that many rows are processed, until they are released."""
        if state not in (UPLOADED, RUNNING):
            raise TypeError(f"jobs can be held in {UPLOADED} or {RUNNING}, not in {state}")
        self._sandbox.bulk.runner.hold(Hold(state, rows))

    def release_jobs(self) -> None:
        """Hold no jobs any longer."""
        self._sandbox.bulk.runner.hold(None)

    def finish_jobs(self, seconds: float = 60.0) -> None:
        """Wait until every Bulk job that was closed has ended or is held. TimeoutError when that takes too long."""
        if not self._sandbox.bulk.runner.wait(seconds):
            raise TimeoutError(f"Bulk jobs were not done after {seconds:g} s")

    def set_bulk_usage(self, **values: int) -> None:
        """Set any of `batches`, `rows`, `query_jobs` of the day, and `max_` of each."""
        usage = self._sandbox.bulk.usage
        unknown = set(values) - set(asdict(usage))
        if unknown:
            raise TypeError(f"unknown: {', '.join(sorted(unknown))}")
        with self._sandbox.lock:
            for name, value in values.items():
                setattr(usage, name, value)

    def expire_tokens(self) -> None:
        """End all sessions; every call answers 401 until the client logs in again."""
        with self._sandbox.lock:
            self._sandbox.sessions.expire_all()

    def expire_cursors(self) -> None:
        """Let all query locators expire, as they do after two days; their next page is INVALID_QUERY_LOCATOR."""
        with self._sandbox.lock:
            self._sandbox.cursors.clear()

    def advance_clock(self, seconds: float) -> None:
        """Move the sandbox's clock forward, instead of waiting for SystemModstamp's next second."""
        with self._sandbox.lock:
            self._sandbox.clock.advance(seconds)

    def records(self, object: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """Return all records of an object in the order of their creation, with all stored fields."""
        return [each for chunk in self.record_chunks(object, deleted=deleted) for each in chunk]

    def record_chunks(self, object: str, *, deleted: bool = False) -> Iterator[list[dict[str, Any]]]:
        """Yield all records of an object in chunks, so that the lock is never held for long."""
        target = self._object(object)
        names = [each.name for each in target.fields if each.type != "address"]
        booleans = [each.name for each in target.fields if each.type == "boolean"]
        columns = ", ".join(f'"{each}"' for each in names)
        live = "" if deleted else 'and "IsDeleted" = 0 '
        sql = f'select "seq", {columns} from "{target.name}" where "seq" > ? {live}order by "seq" limit ?'  # noqa: S608
        last = 0
        while True:
            with self._sandbox.lock:
                rows = self._sandbox.storage.select(sql, (last, DUMPED_AT_ONCE))
            if not rows:
                return
            last = rows[-1][0]
            chunk = [dict(zip(names, row[1:], strict=True)) for row in rows]
            for record in chunk:
                record |= {each: bool(record[each]) for each in booleans}
            yield chunk

    def undelete(self, object: str, ids: list[str]) -> int:
        """Take records of an object out of the bin, with the details deleted with them; return how many were there."""
        prefix = self._object(object).prefix
        with self._sandbox.lock:
            outcomes = self._sandbox.deletes.undelete([each for each in ids if each.startswith(prefix)])
        return sum(each.refusal is None for each in outcomes)

    def merge(self, object: str, master_id: str, loser_ids: list[str], **values: Any) -> list[str]:
        """Merge up to two records into another one, which gets `values`; return the ids of what was reparented.

        A Refusal says why it is not possible.
        """
        with self._sandbox.lock:
            done = self._sandbox.merges.merge(self._object(object), master_id, loser_ids, values)
        return done.related_ids

    def set_values(self, object: str, record_id: str, values: dict[str, Stored]) -> None:
        """Overwrite stored values as they are: no checks, no normal form, no new SystemModstamp."""
        target = self._object(object)
        with self._sandbox.lock, self._sandbox.storage.transaction():
            self._sandbox.storage.update(target, tuple(values), [(*values.values(), record_id)])

    def remove_field(self, object: str, field: str) -> None:
        """Let the org lose a field."""
        with self._sandbox.lock:
            if self._object(object).find(field) is None:
                raise UnknownName(f"{object} has no field {field}")
            self._sandbox.org.remove_field(object, field)

    def put_field(self, object: str, field: str, definition: Any) -> None:
        """Let the org gain a field, or change one, given as in an org file."""
        with self._sandbox.lock:
            self._object(object)
            self._sandbox.org.put_field(object, parse_field(field, definition))
            self._sandbox.storage.follow_org()

    def change_field(self, object: str, field: str, **changes: Any) -> None:
        """Change attributes of a field (`length=20`, `updateable=False`); what is stored stays."""
        with self._sandbox.lock:
            known = self._object(object).find(field)
            if known is None:
                raise UnknownName(f"{object} has no field {field}")
            self._sandbox.org.put_field(object, replace(known, **changes))

    def put_rules(self, object: str, definition: Any) -> None:
        """Give an object these rules instead of its own: validation_rules, duplicate_rules, automations, most_records.

        They are given as in an org file; wrong ones are a pydantic ValidationError or a ValueError.
        """
        with self._sandbox.lock:
            changed = parse_rules(self._sandbox.org, self._object(object).name, definition)
            self._sandbox.org.put(changed)
            self._sandbox.storage.follow_org()

    def remove_object(self, object: str) -> None:
        """Let the org lose an object."""
        with self._sandbox.lock:
            self._sandbox.org.remove_object(self._object(object).name)

    def put_object(self, name: str, definition: Any) -> None:
        """Let the org gain an object, given as in an org file."""
        with self._sandbox.lock:
            self._sandbox.org.put(parse_object(self._sandbox.org, name, definition))
            self._sandbox.storage.follow_org()

    def _object(self, name: str) -> ObjectType:
        found = self._sandbox.org.find(name)
        if found is None:
            raise UnknownName(f"there is no object {name}")
        return found
