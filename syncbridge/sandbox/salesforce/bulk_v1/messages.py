"""Messages of Bulk API 1.0: XML, or JSON where the client says so in Content-Type or Accept; and its own errors."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import orjson

from syncbridge.sandbox.salesforce.call import Call, Dialect, Reply
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.soap.xml import HEAD, element, local

NAMESPACE = ' xmlns="http://www.force.com/2009/06/asyncapi/dataload"'
XML, JSON = "application/xml", "application/json"
#: Codes of the other APIs in the words of this one; its own codes pass as they are.
CODES = {
    "INVALID_SESSION_ID": "InvalidSessionId", "INVALID_AUTH_HEADER": "InvalidSessionId",
    "REQUEST_LIMIT_EXCEEDED": "ExceededQuota", "EXCEEDEDQUOTA": "ExceededQuota",
    "METHOD_NOT_ALLOWED": "InvalidUrl", "NOT_FOUND": "InvalidUrl", "SERVER_UNAVAILABLE": "ServerUnavailable",
}  # fmt: skip


def wants_json(call: Call) -> bool:
    """True for a client that speaks JSON."""
    return any("json" in call.headers.get(each, "").lower() for each in ("content-type", "accept"))


def read_settings(call: Call) -> dict[str, str]:
    """Return the settings in a job's XML or JSON, or refuse the body."""
    if wants_json(call):
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError as error:
            raise Refusal("InvalidJob", f"{error}") from None
        if not isinstance(body, dict):
            raise Refusal("InvalidJob", "The body is required to be one JSON object")
        return {name: str(value) for name, value in body.items() if value is not None}
    if b"<!DOCTYPE" in call.body:
        raise Refusal("InvalidJob", "DOCTYPE is not allowed")
    try:
        root = ElementTree.fromstring(call.body)
    except ElementTree.ParseError as error:
        raise Refusal("InvalidJob", f"Unable to parse Job: {error}") from None
    return {local(each): (each.text or "").strip() for each in root}


def write(call: Call, name: str, value: Any, *, status: int = 200, as_json: bool | None = None) -> Reply:
    """Return a value under an element of this name, or as JSON: if `as_json`, or if the client asks for it.

    What is about batches has the form of the job's data, whatever the client asks for: tap-salesforce relies on it.
    """
    if wants_json(call) if as_json is None else as_json:
        return Reply(status, orjson.dumps(value), {}, JSON)
    return Reply(status, (HEAD + element(name, value, NAMESPACE)).encode(), {}, XML)


def _session(call: Call) -> str:
    token = call.headers.get("x-sfdc-session")
    if token is not None:
        return call.sandbox.sessions.check(token)
    return call.sandbox.sessions.check_header(call.headers.get("authorization"))


def _refused(call: Call, refusal: Refusal) -> Reply:
    error = {"exceptionCode": CODES.get(refusal.code, refusal.code), "exceptionMessage": refusal.message}
    return write(call, "error", error, status=refusal.status)


BULK_V1 = Dialect(_session, _refused)
