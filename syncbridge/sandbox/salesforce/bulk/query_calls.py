"""Query jobs over HTTP: create, ask, download page by page or several pages at once, abort, delete."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from syncbridge.sandbox.salesforce.bulk.extract import page_of
from syncbridge.sandbox.salesforce.bulk.jobs import ABORTED, COMPLETE, RUNNING, QueryJob
from syncbridge.sandbox.salesforce.bulk.listing import job_format, listing, member
from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal

DEFAULT_PAGE = 100_000
PAGES_AT_ONCE = 5
LAST_LOCATOR = "null"


def create(call: Call) -> Reply:
    """POST /jobs/query; the query is checked before there is a job"""
    body = call.record()
    operation, text = body.get("operation"), body.get("query")
    if operation not in ("query", "queryAll"):
        raise Refusal("INVALIDJOB", f"Operation must be query or queryAll, not {operation}")
    if not isinstance(text, str) or not text.strip():
        raise Refusal("INVALIDJOB", "A query has to be specified")
    delimiter, line_ending = job_format(body)
    bulk = call.sandbox.bulk
    about = bulk.extract.check(text)
    bulk.usage.take_query_job()
    job = QueryJob(
        operation=operation,
        object=about,
        query=text,
        version=call.version,
        delimiter=delimiter,
        line_ending=line_ending,
    )
    bulk.jobs.add(job, call.sandbox.clock.stamp())
    bulk.runner.submit(job)
    return answer(job.created_now())


def read(call: Call) -> Reply:
    """GET /jobs/query/{job}"""
    return answer(member(call, QueryJob).details())


def list_jobs(call: Call) -> Reply:
    """GET /jobs/query"""
    return answer(listing(call, "query", "V2Query", call.sandbox.bulk.jobs.all(QueryJob)))


def update(call: Call) -> Reply:
    """PATCH /jobs/query/{job}: {"state": "Aborted"}"""
    job = member(call, QueryJob)
    state = call.record().get("state")
    if state != ABORTED:
        raise Refusal("INVALIDJOBSTATE", f"A query job's state can be set to Aborted, not to {state}")
    if job.ended:
        shown = "Completed" if job.state == COMPLETE else job.state
        raise Refusal("INVALIDJOBSTATE", f"Aborting already {shown} Job not allowed")
    call.sandbox.bulk.abort(job)
    return answer(job.brief())


def delete(call: Call) -> Reply:
    """DELETE /jobs/query/{job}"""
    job = member(call, QueryJob)
    if job.state == RUNNING:
        raise Refusal("INVALIDJOBSTATE", "A job in progress cannot be deleted; abort it first")
    if not job.ended:
        call.sandbox.bulk.abort(job)
    call.sandbox.bulk.jobs.remove(job)
    return Reply(204)


def results(call: Call) -> Reply:
    """GET /jobs/query/{job}/results?locator=&maxRecords="""
    job = _complete(call)
    first = _offset(job, call.query.get("locator"))
    chunks, number, following = page_of(job, first, _most(call))
    headers = {"Sforce-NumberOfRecords": str(number), "Sforce-Locator": _locator(following)}
    return Reply(content_type="text/csv; charset=UTF-8", headers=headers, chunks=chunks)


def result_pages(call: Call) -> Reply:
    """GET /jobs/query/{job}/resultPages: up to five URLs of results to download side by side"""
    job = _complete(call)
    first, most = _offset(job, call.query.get("locator")), _most(call)
    base = f"{call.base}/jobs/query/{job.id}"
    starts = list(range(first, max(job.processed, first + 1), most))
    pages = [{"resultUrl": f"{base}/results?locator={_locator(at)}&maxRecords={most}"} for at in starts[:PAGES_AT_ONCE]]
    body: dict[str, Any] = {"resultPages": pages, "done": len(starts) <= PAGES_AT_ONCE}
    if not body["done"]:
        following = _locator(starts[PAGES_AT_ONCE])
        body["nextRecordsUrl"] = f"{base}/resultPages?locator={following}&maxRecords={most}"
    return answer(body)


def _complete(call: Call) -> QueryJob:
    job = member(call, QueryJob)
    if job.version != call.version:
        text = f"Results must be read with the API version of the job, {job.version}"
        raise Refusal("API_ERROR", text, status=409)
    if job.state != COMPLETE:
        raise Refusal("INVALIDJOBSTATE", f"Results are there when the job is complete; its state is {job.state}")
    return job


def _most(call: Call) -> int:
    asked = call.query.get("maxRecords")
    if asked is None:
        return call.sandbox.settings.page_size or DEFAULT_PAGE
    if not asked.isdigit() or int(asked) < 1:
        raise Refusal("INVALIDINPUT", f"maxRecords must be a positive number, not {asked}")
    return min(int(asked), call.sandbox.settings.page_size or int(asked))


def _locator(first: int | None) -> str:
    """Return the locator of the results from a record on; they look like Salesforce's, and are as little to be made."""
    return LAST_LOCATOR if first is None else base64.urlsafe_b64encode(str(first).encode()).decode().rstrip("=")


def _offset(job: QueryJob, locator: str | None) -> int:
    if not locator:
        return 0
    try:
        first = int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)))
    except (ValueError, binascii.Error):
        first = -1
    if not 0 <= first <= job.processed or locator == LAST_LOCATOR:
        raise Refusal("INVALIDLOCATOR", f"Locator {locator} is not valid")
    return first
