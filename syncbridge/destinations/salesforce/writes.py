"""Writing with sObject collections: what one call sends, and what its answer means for each record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from syncbridge.destinations.base import Delivered, Rejected, Result
from syncbridge.destinations.salesforce.client import CallRejected
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.errors import is_gone, rejected
from syncbridge.errors import Remedy
from syncbridge.model import Fields

Send = Callable[[Request], Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One kind of write: how records become a request, and an answered row a result."""

    request: Callable[[Sequence[Any]], Request]
    result: Callable[[Any, Any], Result]


def upserts(object: str, external_id: str) -> Write:
    """Create or update by external id; each record holds its key."""
    path = f"composite/sobjects/{object}/{external_id}"
    attributes = {"attributes": {"type": object}}

    def request(records: Sequence[Fields]) -> Request:
        body = {"allOrNone": False, "records": [attributes | record for record in records]}
        return Request("upsert", "PATCH", path, orjson.dumps(body))

    return Write(request, _upserted)


def updates(object: str) -> Write:
    """Write existing records; each is (remote id, fields)."""
    attributes = {"type": object}

    def request(records: Sequence[tuple[str, Fields]]) -> Request:
        written = [{"attributes": attributes, "id": remote_id, **fields} for remote_id, fields in records]
        body = {"allOrNone": False, "records": written}
        return Request("update", "PATCH", "composite/sobjects", orjson.dumps(body))

    return Write(request, _updated)


def deletes() -> Write:
    """Delete by remote id."""

    def request(remote_ids: Sequence[str]) -> Request:
        params = {"ids": ",".join(remote_ids), "allOrNone": "false"}
        return Request("delete", "DELETE", "composite/sobjects", params=params)

    return Write(request, _deleted)


def send_one(write: Write, records: Sequence[Any], send: Send) -> list[Result]:
    """Make one call and return a result for each of its records; raises what concerns every call."""
    try:
        rows = send(write.request(records))
    except CallRejected as refused:
        return [_alone(refused.rejected, len(records))] * len(records)
    if not isinstance(rows, list) or len(rows) != len(records):
        lost = Rejected("UNEXPECTED_ANSWER", "the answer is not one result per record", Remedy.RETRY, uncertain=True)
        return [lost] * len(records)
    result = write.result
    return [result(row, record) for row, record in zip(rows, records, strict=True)]


def _alone(whole: Rejected, count: int) -> Rejected:
    """What a rejection of a whole call means for its records: of several, one may be at fault for all."""
    if count > 1 and whole.remedy is Remedy.RECORD and not whole.uncertain:
        return replace(whole, remedy=Remedy.RETRY_SMALLER)
    if count == 1 and whole.remedy is Remedy.RETRY_SMALLER:
        return replace(whole, remedy=Remedy.RETRY)
    return whole


def _upserted(row: Any, record: Fields) -> Result:
    if row["success"]:
        return Delivered(row["id"], row.get("created", False))
    return _refused_row(row)


def _updated(row: Any, record: tuple[str, Fields]) -> Result:
    if row["success"]:
        return Delivered(record[0])
    refused = _refused_row(row)
    if is_gone(row.get("errors") or ()) and not refused.fields:  # with fields it says that a lookup leads nowhere
        return replace(refused, remedy=Remedy.GONE)
    return refused


def _deleted(row: Any, remote_id: str) -> Result:
    if row["success"] or is_gone(row.get("errors") or ()):
        return Delivered(remote_id)
    return _refused_row(row)


def _refused_row(row: Any) -> Rejected:
    errors = row.get("errors") or [{}]
    first = rejected(errors[0])
    if len(errors) == 1:
        return first
    fields = tuple(dict.fromkeys(name for error in errors for name in rejected(error).fields))
    message = "; ".join(rejected(error).message for error in errors)
    return replace(first, message=message, fields=fields)
