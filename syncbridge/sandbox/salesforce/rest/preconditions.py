"""Conditional requests: If-Match and its kin, for records and describes. Of the records only accounts have ETags."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.rest.reading import read_records
from syncbridge.sandbox.salesforce.store.values import parse_datetime

WITH_ETAGS = "Account"
CONDITIONS = ("if-match", "if-none-match", "if-unmodified-since", "if-modified-since")
FAILED = Refusal("PRECONDITION_FAILED", "The precondition of the request does not hold for this record", status=412)


def validators(call: Call, target: ObjectType, record_id: str) -> dict[str, str]:
    """Return the response headers that say which state of a record this is; none for a record that is not there."""
    rows = call.sandbox.storage.rows_with(target, ("LastModifiedDate",), "Id", [record_id])
    moment = parse_datetime(rows[0][0]) if rows and rows[0][0] else None
    headers = {"Last-Modified": format_datetime(moment, usegmt=True)} if moment else {}
    if target.name == WITH_ETAGS and rows:
        headers["ETag"] = f'"{_hash(call, target, record_id)}"'
    return headers


def not_modified(call: Call, headers: dict[str, str]) -> Reply | None:
    """Return the 304 that a read is answered with, or None; a precondition that fails is a refusal with 412."""
    tags = call.headers.get("if-match")
    if tags is not None and not _matches(tags, headers):
        raise FAILED
    _check_unmodified(call, headers)
    tags = call.headers.get("if-none-match")
    if tags is not None:
        return Reply(304, b"", headers) if _matches(tags, headers) else None
    since = _moment(call.headers.get("if-modified-since"))
    if since is not None and _modified(headers) <= since:
        return Reply(304, b"", headers)
    return None


def check_write(call: Call, target: ObjectType, record_id: str) -> None:
    """Refuse a write whose precondition does not hold (412) or cannot be read (400)."""
    if not any(call.headers.get(each) for each in CONDITIONS):
        return
    headers = validators(call, target, record_id)
    tags, others = call.headers.get("if-match"), call.headers.get("if-none-match")
    for name, value in (("If-Match", tags), ("If-None-Match", others)):
        if value is not None and '"' not in value and value.strip() != "*":
            raise _malformed(name, value)
    given = call.headers.get("if-unmodified-since")
    if given is not None and _moment(given) is None:
        raise _malformed("If-Unmodified-Since", given)
    if not headers:
        return
    if tags is not None and not _matches(tags, headers):
        raise FAILED
    if others is not None and _matches(others, headers):
        raise FAILED
    _check_unmodified(call, headers)


def _check_unmodified(call: Call, headers: dict[str, str]) -> None:
    limit = _moment(call.headers.get("if-unmodified-since"))
    if limit is not None and _modified(headers) > limit:
        raise FAILED


def _matches(tags: str, headers: dict[str, str]) -> bool:
    """Say whether a list of ETags has the record's; the suffix for packed answers does not matter."""
    own = headers.get("ETag")
    if own is None:
        return tags.strip() == "*"
    listed = [each.strip().removeprefix("W/").strip('"') for each in tags.split(",")]
    return "*" in listed or own.strip('"') in [each.removesuffix("gzip").rstrip("-") for each in listed]


def _hash(call: Call, target: ObjectType, record_id: str) -> str:
    record = read_records(call, target, None, [record_id])[record_id]
    del record["attributes"]
    return b64encode(hashlib.sha256(orjson.dumps(record)).digest()).decode()


def _modified(headers: dict[str, str]) -> datetime:
    return parsedate_to_datetime(headers["Last-Modified"])


def _moment(text: str | None) -> datetime | None:
    """Return the moment of an HTTP date, or None when it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _malformed(name: str, value: str) -> Refusal:
    return Refusal("INVALID_HEADER", f"{name} has a value that cannot be read: {value}")
