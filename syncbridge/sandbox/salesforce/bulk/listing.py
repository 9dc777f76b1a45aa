"""What calls about both kinds of job share: finding one, listing all, and the form of their CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncbridge.sandbox.salesforce.bulk.jobs import DELIMITERS, LINE_ENDINGS, AnyJob, IngestJob, QueryJob
from syncbridge.sandbox.salesforce.call import Call
from syncbridge.sandbox.salesforce.errors import Refusal, not_found

LISTED_AT_ONCE = 1_000


def member(call: Call, kind: type[AnyJob]) -> AnyJob:
    """Return the job that the path names, or refuse; a job of the other kind is not there."""
    found = call.sandbox.bulk.jobs.find(kind, call.params["job"])
    if found is None:
        raise not_found()
    return found


def job_format(body: dict[str, Any]) -> tuple[str, str]:
    """Return delimiter and line ending by name, or refuse what a job cannot have."""
    if body.get("contentType", "CSV") != "CSV":
        raise Refusal("INVALIDJOB", f"Content type must be CSV, not {body['contentType']}")
    delimiter, line_ending = body.get("columnDelimiter") or "COMMA", body.get("lineEnding") or "LF"
    if delimiter not in DELIMITERS:
        raise Refusal("INVALIDJOB", f"Column delimiter must be one of {', '.join(DELIMITERS)}, not {delimiter}")
    if line_ending not in LINE_ENDINGS:
        raise Refusal("INVALIDJOB", f"Line ending must be LF or CRLF, not {line_ending}")
    return delimiter, line_ending


def listing(call: Call, kind: str, job_type: str, jobs: Sequence[IngestJob | QueryJob]) -> dict[str, Any]:
    """Return one page of the list of jobs; the locator is the id of its first job."""
    if call.query.get("jobType") not in (None, "", job_type) or call.query.get("isPkChunkingEnabled") == "true":
        jobs = []
    first = call.query.get("queryLocator")
    start = next((at for at, each in enumerate(jobs) if each.id == first), 0) if first else 0
    page: dict[str, Any] = {"done": start + LISTED_AT_ONCE >= len(jobs)}
    page["records"] = [each.listed() for each in jobs[start : start + LISTED_AT_ONCE]]
    following = None if page["done"] else jobs[start + LISTED_AT_ONCE].id
    page["nextRecordsUrl"] = following and f"{call.base}/jobs/{kind}?queryLocator={following}"
    return page
