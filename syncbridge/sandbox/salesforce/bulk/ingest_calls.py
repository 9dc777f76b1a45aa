"""Ingest jobs over HTTP: create, upload, close or abort, ask, download what became of the records, delete."""

from __future__ import annotations

from typing import Any

import orjson

from syncbridge.sandbox.salesforce.bulk.jobs import ABORTED, OPEN, UPLOADED, IngestJob
from syncbridge.sandbox.salesforce.bulk.limits import TOO_LARGE
from syncbridge.sandbox.salesforce.bulk.listing import job_format, listing, member
from syncbridge.sandbox.salesforce.bulk.multipart import split_parts
from syncbridge.sandbox.salesforce.bulk.results import HEADERS, result_chunks, unprocessed_chunks
from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal, not_found
from syncbridge.sandbox.salesforce.org.model import ObjectType

OPERATIONS = frozenset({"insert", "update", "upsert", "delete"})
NO_HARD_DELETE = (
    "hardDelete operation requires special user profile permission, please contact your system administrator"
)
ENDED_AS = {"JobComplete": "Completed", "Failed": "Failed", "Aborted": "Aborted"}


def create(call: Call) -> Reply:
    """POST /jobs/ingest: JSON, or a multipart body with the job and its data"""
    content_type = call.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/"):
        return answer(_add(call, call.record()).created_now())
    description, data = split_parts(content_type, call.body)
    try:
        body = orjson.loads(description)
    except orjson.JSONDecodeError as error:
        raise Refusal("JSON_PARSER_ERROR", f"{error}") from None
    if not isinstance(body, dict):
        raise Refusal("JSON_PARSER_ERROR", "The part 'job' is required to be one JSON object")
    job = _add(call, body)
    job.data.write_bytes(data)
    _submit(call, job)
    return answer(job.created_now())


def upload(call: Call) -> Reply:
    """PUT /jobs/ingest/{job}/batches: all data of the job, once"""
    job = _job(call)
    if job.state != OPEN:
        raise Refusal("INVALIDJOBSTATE", f"Job state must be Open to upload data, it is {job.state}")
    if call.upload is None:
        raise TOO_LARGE
    if job.data.exists():
        raise Refusal(
            "BULK_API_ERROR",
            f"Found multipe contents for job: <{job.id[:15]}>, please 'Close' / 'Abort' / 'Delete' the current Job "
            "then create a new Job and make sure you only do 'PUT' once on a given Job.",
        )
    call.upload.rename(job.data)
    return Reply(201)


def update(call: Call) -> Reply:
    """PATCH /jobs/ingest/{job}: {"state": "UploadComplete"} or {"state": "Aborted"}"""
    job = _job(call)
    state = call.record().get("state")
    if state == UPLOADED:
        if job.state != OPEN:
            raise Refusal("INVALIDJOBSTATE", f"Closing already {_shown(job)} Job not allowed")
        _submit(call, job)
    elif state == ABORTED:
        if job.ended:
            raise Refusal("INVALIDJOBSTATE", f"Aborting already {_shown(job)} Job not allowed")
        call.sandbox.bulk.abort(job)
    else:
        raise Refusal("INVALIDJOBSTATE", f"A job's state can be set to UploadComplete or Aborted, not to {state}")
    return answer(job.brief())


def read(call: Call) -> Reply:
    """GET /jobs/ingest/{job}"""
    return answer(_job(call).details())


def list_jobs(call: Call) -> Reply:
    """GET /jobs/ingest"""
    return answer(listing(call, "ingest", "V2Ingest", call.sandbox.bulk.jobs.all(IngestJob)))


def results(call: Call) -> Reply:
    """GET /jobs/ingest/{job}/successfulResults, failedResults or unprocessedrecords, in any case"""
    job = _job(call)
    kind = call.params["results"].lower()
    if kind not in HEADERS and kind != "unprocessedrecords":
        raise not_found()
    if not job.ended:
        raise Refusal("INVALIDJOBSTATE", f"Results are there when the job has ended; its state is {job.state}")
    chunks = result_chunks(job, kind) if kind in HEADERS else unprocessed_chunks(job)
    return Reply(content_type="text/csv; charset=UTF-8", chunks=chunks)


def delete(call: Call) -> Reply:
    """DELETE /jobs/ingest/{job}"""
    job = _job(call)
    if not (job.ended or job.state == UPLOADED):
        text = "A job can be deleted in the states UploadComplete, JobComplete, Aborted and Failed"
        raise Refusal("INVALIDJOBSTATE", f"{text}; it is {job.state}")
    if not job.ended:
        call.sandbox.bulk.abort(job)
    call.sandbox.bulk.jobs.remove(job)
    return Reply(204)


def _job(call: Call) -> IngestJob:
    return member(call, IngestJob)


def _submit(call: Call, job: IngestJob) -> None:
    job.move(UPLOADED, call.sandbox.clock.stamp())
    call.sandbox.bulk.runner.submit(job)


def _shown(job: IngestJob) -> str:
    return ENDED_AS.get(job.state, "Closed")


def _add(call: Call, body: dict[str, Any]) -> IngestJob:
    bulk = call.sandbox.bulk
    bulk.usage.check_batches()
    operation = body.get("operation")
    if operation == "hardDelete":
        raise Refusal("FEATURENOTENABLED", NO_HARD_DELETE)
    if operation not in OPERATIONS:
        raise Refusal("INVALIDJOB", f"Operation must be one of {', '.join(sorted(OPERATIONS))}, not {operation}")
    target = call.sandbox.org.find(str(body.get("object")))
    if target is None:
        raise Refusal("INVALIDJOB", f"Unable to find object: {body.get('object')}")
    delimiter, line_ending = job_format(body)
    rule = body.get("assignmentRuleId")
    job = IngestJob(
        operation=operation,
        object=target.name,
        version=call.version,
        delimiter=delimiter,
        line_ending=line_ending,
        external_id=_external_id(target, body) if operation == "upsert" else None,
        assignment_rule=None if rule is None else str(rule),
    )
    bulk.jobs.add(job, call.sandbox.clock.stamp())
    job.state = OPEN
    return job


def _external_id(target: ObjectType, body: dict[str, Any]) -> str:
    name = body.get("externalIdFieldName")
    if not name:
        text = f"External ID was blank for {target.name}. An External ID must be specified for upsert."
        raise Refusal("INVALIDJOB", text)
    known = target.find(str(name))
    if known is None or not known.upsert_key:
        text = f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for "
        raise Refusal("INVALIDJOB", f"{text}{target.name}")
    return known.name
