"""What Salesforce says against a job or one of its records, by remedy."""

from __future__ import annotations

import re

from syncbridge.destinations.base import BulkRefused, Delivered, Rejected, Result
from syncbridge.destinations.salesforce import errors
from syncbridge.errors import NeedsOperator, Remedy, RetryLater, SchemaDrift, SyncbridgeError

#: Seconds until a job is asked for again after one was refused.
ASK_AGAIN = 3600.0

_NO_COLUMN = re.compile(r"Field name not found : ([\w.:]+)")
_NO_OBJECT = re.compile(r"Unable to find object|does not match an External ID")
_MISTYPED = re.compile(r"(?<=Due to, ).*(?= is not a valid value)", re.DOTALL)
_SPENT = re.compile(r"ExceededQuota|EXCEEDEDQUOTA|LIMIT_EXCEEDED|Limit exceeded", re.IGNORECASE)


def of_refusal(rejected: Rejected) -> SyncbridgeError:
    """The error that a refusal of a job or its file means. What calls can still do is BulkRefused."""
    if rejected.uncertain or rejected.remedy in (Remedy.RETRY, Remedy.RETRY_SMALLER):
        return of_call(rejected)
    message = f"{rejected.code}: {rejected.message}"
    if _NO_OBJECT.search(rejected.message):
        return SchemaDrift(message, code=rejected.code, hint="Run: syncbridge check")
    hint = "Its records are sent by calls. `bulk_from = 0` says so for good."
    return BulkRefused(message, code=rejected.code, hint=hint, delay=ASK_AGAIN)


def of_call(rejected: Rejected) -> SyncbridgeError:
    """The error that any other refusal or a lost answer means."""
    message = f"{rejected.code}: {rejected.message}"
    if rejected.uncertain or rejected.remedy in (Remedy.RETRY, Remedy.RETRY_SMALLER, Remedy.WAIT):
        return RetryLater(message, code=rejected.code, delay=rejected.delay, uncertain=rejected.uncertain)
    return NeedsOperator(message, code=rejected.code)


def of_job(message: str) -> Rejected:
    """What the `errorMessage` of a failed job means for the records that it did not come to.

    It reads `InvalidBatch : Field name not found : X`. What a job cannot do, calls may: they also find what is wrong
    with the single record that a whole job failed for.
    """
    code, _, text = message.partition(" : ")
    code, text = code.strip() or "Failed", errors.worded(code.strip(), text.removeprefix(f"{code} : ").strip())
    column = _NO_COLUMN.search(message)
    if column is not None:
        return Rejected(code, text, Remedy.SCHEMA, fields=(column[1],))
    if _NO_OBJECT.search(message):
        return Rejected(code, text, Remedy.SCHEMA)
    return Rejected(code, text, Remedy.WAIT if _SPENT.search(message) else Remedy.RETRY_SMALLER)


def of_record(remote_id: str, text: str, *, deleting: bool, allow_save: bool) -> Result:
    """What an `sf__Error` means: `CODE:message:fields --`."""
    code, _, rest = text.partition(":")
    message, _, names = rest.rpartition(":")
    fields = [name.strip() for name in names.removesuffix("--").split(",") if name.strip()]
    error = {"statusCode": code, "message": message, "fields": fields}
    if deleting and errors.is_gone([error]):
        return Delivered(remote_id)
    if code == "INVALID_FIELD" and _MISTYPED.search(message):  # elsewhere this code is about the field, not its value
        return Rejected(code, _MISTYPED.sub("…", message), Remedy.RECORD, tuple(fields))
    rejected = errors.rejected(error)
    if allow_save and code == "DUPLICATES_DETECTED":
        # The header that saves in spite of alerts is none of Bulk's: a call brings it.
        return Rejected(rejected.code, rejected.message, Remedy.RETRY_SMALLER, rejected.fields)
    return rejected
