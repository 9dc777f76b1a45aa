"""Bulk API 1.0 over HTTP: open a job, add batches, close it, ask, and download results batch by batch."""

from __future__ import annotations

import csv

from syncbridge.sandbox.salesforce.bulk.jobs import COMPLETE, FAILED, IngestJob, QueryJob
from syncbridge.sandbox.salesforce.bulk.lines import BYTE_ORDER_MARK
from syncbridge.sandbox.salesforce.bulk_v1.jobs import CLOSED, OPEN, BatchJob, BatchJobs, Work, result_id
from syncbridge.sandbox.salesforce.bulk_v1.messages import JSON, read_settings, write
from syncbridge.sandbox.salesforce.bulk_v1.rows import json_to_csv, query_json, results_csv, results_json
from syncbridge.sandbox.salesforce.call import Call, Reply
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.rest.versions import known_version

OPERATIONS = frozenset({"insert", "update", "upsert", "delete", "query", "queryAll"})
CONTENT_TYPES = ("CSV", "JSON")
LARGEST_BATCH, MOST_RECORDS = 10_000_000, 10_000
ABORTED = "Aborted"
CSV = "text/csv"


def create(call: Call) -> Reply:
    """POST /services/async/N/job"""
    settings, bulk = read_settings(call), call.sandbox.bulk
    version = _version(call)
    operation, content_type = settings.get("operation", ""), settings.get("contentType", "XML")
    target = call.sandbox.org.find(settings.get("object", ""))
    if operation not in OPERATIONS:
        raise Refusal("InvalidJob", f"Unsupported operation: {operation or 'none'}")
    if target is None:
        raise Refusal("InvalidEntity", f"Entity '{settings.get('object', '')}' is not supported by the Bulk API.")
    if content_type not in CONTENT_TYPES:
        raise Refusal("InvalidJob", f"Unsupported content type: {content_type}; the sandbox takes CSV and JSON")
    key = settings.get("externalIdFieldName")
    if operation == "upsert":
        known = target.find(key or "")
        if known is None or not known.upsert_key:
            raise Refusal("InvalidJob", f"External ID field {key} was not found on {target.name}")
    stamp = call.sandbox.clock.stamp()
    job = BatchJob(
        id=bulk.jobs.new_id(), operation=operation, object=target.name, content_type=content_type, version=version,
        created=stamp, modified=stamp, external_id=key if operation == "upsert" else None,
        concurrency=settings.get("concurrencyMode", "Parallel"),
    )  # fmt: skip
    bulk.batch_jobs.add(job)
    return write(call, "jobInfo", job.details(), status=201)


def read(call: Call) -> Reply:
    """GET /services/async/N/job/{job}"""
    return write(call, "jobInfo", _job(call).details())


def update(call: Call) -> Reply:
    """POST /services/async/N/job/{job}: state Closed or Aborted"""
    job, state = _job(call), read_settings(call).get("state")
    if state not in (CLOSED, ABORTED):
        raise Refusal("InvalidJobState", f"A job's state can be set to Closed or Aborted, not to {state}")
    if job.state != OPEN:
        raise Refusal("InvalidJobState", f"{state[:-2]}ing already {job.state} Job not allowed")
    if state == ABORTED:
        for each in job.batches:
            if not each.ended:
                call.sandbox.bulk.abort(each)
    job.move(state, call.sandbox.clock.stamp())
    return write(call, "jobInfo", job.details())


def add_batch(call: Call) -> Reply:
    """POST /services/async/N/job/{job}/batch: records as CSV or JSON, or one SOQL statement"""
    job, bulk = _job(call), call.sandbox.bulk
    if job.state != OPEN:
        raise Refusal("InvalidJobState", f"Batches can only be added to an Open job; this one is {job.state}")
    if len(call.body) > LARGEST_BATCH:
        raise Refusal("ClientInputError", f"Failed to read request. Exceeded max size limit of {LARGEST_BATCH}")
    bulk.usage.check_batches()
    work = _query(call, job) if job.is_query else _ingest(call, job)
    job.batches.append(work)
    if not work.ended:
        bulk.runner.submit(work)
    return write(call, "batchInfo", job.batch(work), status=201, as_json=job.is_json)


def list_batches(call: Call) -> Reply:
    """GET /services/async/N/job/{job}/batch"""
    job = _job(call)
    found = {"batchInfo": [job.batch(each) for each in job.batches]}
    return write(call, "batchInfoList", found, as_json=job.is_json)


def read_batch(call: Call) -> Reply:
    """GET /services/async/N/job/{job}/batch/{batch}"""
    job, work = _batch(call)
    return write(call, "batchInfo", job.batch(work), as_json=job.is_json)


def request(call: Call) -> Reply:
    """GET /services/async/N/job/{job}/batch/{batch}/request: what was sent, as CSV"""
    _, work = _batch(call)
    sent = work.query.encode() if isinstance(work, QueryJob) else work.data.read_bytes()
    return Reply(200, sent, {}, CSV)


def results(call: Call) -> Reply:
    """GET .../batch/{batch}/result: what became of each record; for a query, the ids of its results"""
    job, work = _batch(call)
    if not work.ended:
        raise Refusal("InvalidBatch", f"Batch not completed: {work.id}")
    if work.state != COMPLETE:
        raise Refusal("InvalidBatch", work.error or f"Batch was not processed: {work.id}")
    if isinstance(work, QueryJob):
        found = [result_id(work)]
        return write(call, "result-list", found if job.is_json else {"result": found}, as_json=job.is_json)
    if job.is_json:
        return write(call, "results", results_json(work), as_json=True)
    return Reply(200, results_csv(work), {}, CSV)


def result(call: Call) -> Reply:
    """GET /services/async/N/job/{job}/batch/{batch}/result/{result}: the records of a query"""
    job, work = _batch(call)
    if not isinstance(work, QueryJob) or work.state != COMPLETE or to_18(call.params["result"]) != result_id(work):
        raise Refusal("InvalidBatch", f"There is no result {call.params['result']}")
    if job.is_json:
        base = f"/services/data/v{job.version:.1f}"
        return Reply(content_type=JSON, chunks=query_json(call.sandbox.org, work, base))
    return Reply(200, work.results.read_bytes(), {}, CSV)


def _ingest(call: Call, job: BatchJob) -> IngestJob:
    data = json_to_csv(call.body) if job.is_json else call.body.removeprefix(BYTE_ORDER_MARK)
    data = data.replace(b"\r\n", b"\n")
    work = IngestJob(
        operation=job.operation, object=job.object, version=job.version, external_id=job.external_id, ordered=True
    )
    call.sandbox.bulk.batch_jobs.work.add(work, call.sandbox.clock.stamp())
    work.data.write_bytes(data)
    with work.data.open(encoding="utf-8", errors="replace", newline="") as file:
        number = sum(1 for row in csv.reader(file) if row) - 1
    if number > MOST_RECORDS:
        error = f"ExceededQuota : {number} records are more than the {MOST_RECORDS} of a batch"
        work.move(FAILED, work.created, error)
    return work


def _query(call: Call, job: BatchJob) -> QueryJob:
    text = call.body.decode("utf-8", "replace").strip()
    work = QueryJob(operation=job.operation, object=job.object, version=job.version, query=text)
    call.sandbox.bulk.batch_jobs.work.add(work, call.sandbox.clock.stamp())
    try:
        work.object = call.sandbox.bulk.extract.check(text)
    except Refusal as refusal:
        error = f"InvalidBatch : Failed to process query: {refusal.code}: {refusal.message}"
        work.move(FAILED, work.created, error)
    return work


def _version(call: Call) -> float:
    version = known_version(call.params["async_version"])
    if version is None:
        raise Refusal("InvalidVersion", f"Api version {call.params['async_version']} is not supported")
    return version


def _jobs(call: Call) -> BatchJobs:
    return call.sandbox.bulk.batch_jobs


def _job(call: Call) -> BatchJob:
    _version(call)
    job = _jobs(call).find(call.params["batch_job"])
    if job is None:
        raise Refusal("InvalidJob", f"Unable to find job: {call.params['batch_job']}")
    return job


def _batch(call: Call) -> tuple[BatchJob, Work]:
    job, wanted = _job(call), to_18(call.params["batch"])
    work = next((each for each in job.batches if each.id == wanted), None)
    if work is None:
        raise Refusal("InvalidBatch", f"Unable to find batch: {call.params['batch']}")
    return job, work
