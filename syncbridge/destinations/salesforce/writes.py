"""Writing with sObject collections: up to 200 records a call, one result per record.

Here is what turns many records into calls and their answers back into results in order: records whose keys Salesforce
takes for the same are never in one call, and a call that is refused as a whole because of one record is made again in
smaller parts until that one stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson

from syncbridge.destinations.base import Delivered, Rejected, Result
from syncbridge.destinations.salesforce.client import CallRejected
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.errors import is_gone, rejected
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError
from syncbridge.model import Fields

BATCH = 200
#: Further calls that one refused call may cost: enough to isolate one record of 200, twice.
SMALLER_CALLS = 36

R = TypeVar("R", Fields, str, tuple[str, Fields])
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


def calls_for(keys: Sequence[str], size: int = BATCH) -> Iterator[list[list[int]]]:
    """Waves of calls, each call the positions it holds.

    Equal keys come in later waves, so that they are never in flight together and the last one wins.
    """
    if len(set(keys)) == len(keys):
        yield [list(range(start, min(start + size, len(keys)))) for start in range(0, len(keys), size)]
        return
    waves: list[list[int]] = []
    seen: dict[str, int] = {}
    for position, key in enumerate(keys):
        wave = seen[key] = seen.get(key, -1) + 1
        if wave == len(waves):
            waves.append([])
        waves[wave].append(position)
    for positions in waves:
        yield [positions[start : start + size] for start in range(0, len(positions), size)]


def send_all(write: Write, records: Sequence[R], send: Send) -> list[Result]:
    """Send one call's records, and again in smaller calls those that may then get through.

    Raises what concerns every call, but only before anything was answered.
    """
    results = _send_one(write, records, send)
    parts = _halves(_smaller_helps(results), len(records))
    left = SMALLER_CALLS
    while parts and left:
        left -= 1
        part = parts.pop()
        try:
            answers = _send_one(write, [records[at] for at in part], send)
        except SyncbridgeError as error:
            if isinstance(error, RetryLater) and error.uncertain:
                for at in part:
                    results[at] = Rejected(error.code, error.message, Remedy.RETRY, uncertain=True)
            break
        for at, answer in zip(part, answers, strict=True):
            results[at] = answer
        parts += _halves([part[at] for at in _smaller_helps(answers)], len(part))
    return results


def _halves(positions: list[int], sent_together: int) -> list[list[int]]:
    """Two smaller calls, the first one last; none for what was sent alone."""
    if not positions or sent_together == 1:
        return []
    middle = (len(positions) + 1) // 2
    return [part for part in (positions[middle:], positions[:middle]) if part]


def _send_one(write: Write, records: Sequence[Any], send: Send) -> list[Result]:
    try:
        rows = send(write.request(records))
    except CallRejected as refused:
        return [_alone(refused.rejected, len(records))] * len(records)
    if not isinstance(rows, list) or len(rows) != len(records):
        lost = Rejected("UNEXPECTED_ANSWER", "the answer is not one result per record", Remedy.RETRY, uncertain=True)
        return [lost] * len(records)
    result = write.result
    return [result(row, record) for row, record in zip(rows, records, strict=True)]


def _smaller_helps(results: Sequence[Result]) -> list[int]:
    """Positions of records that may get through in a smaller call."""
    rejected_at = [at for at, result in enumerate(results) if type(result) is Rejected]
    return [at for at in rejected_at if _may_pass(results[at])]


def _may_pass(result: Result) -> bool:
    return type(result) is Rejected and result.remedy is Remedy.RETRY_SMALLER and not result.uncertain


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
