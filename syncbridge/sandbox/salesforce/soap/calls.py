"""The operations of the partner API, and how a call finds its own: by the first element of the body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncbridge.sandbox.salesforce.call import Action, Call, Dialect, Reply
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.rest.versions import known_version
from syncbridge.sandbox.salesforce.soap import reading, sessions, writing
from syncbridge.sandbox.salesforce.soap.xml import (
    ENTERPRISE,
    PARTNER,
    Envelope,
    Xml,
    element,
    envelope,
    fault,
    read_envelope,
)

Operation = Callable[[Call, Envelope], Any]
CONTENT = "text/xml;charset=UTF-8"
OPERATIONS: dict[str, Operation] = {
    "login": sessions.login, "logout": sessions.logout, "getServerTimestamp": sessions.server_timestamp,
    "getUserInfo": sessions.user_info,
    "query": reading.run_query, "queryAll": reading.run_query_all, "queryMore": reading.query_more,
    "retrieve": reading.retrieve, "describeGlobal": reading.describe_global,
    "describeSObject": reading.describe_object, "describeSObjects": reading.describe_objects,
    "getUpdated": reading.get_updated, "getDeleted": reading.get_deleted,
    "create": writing.create, "update": writing.update, "upsert": writing.upsert, "delete": writing.delete,
    "undelete": writing.undelete, "merge": writing.merge,
}  # fmt: skip
#: The enterprise API has types made for each org; the sandbox has only what does not depend on them.
ENTERPRISE_OPERATIONS = frozenset({"login", "logout", "getServerTimestamp", "getUserInfo"})


def soap_action(call: Call) -> Action:
    """Return the action that the body asks for, by the name `soap_login` and so on."""
    try:
        name = read_envelope(call.body).operation
    except Refusal:
        return Action("soap", soap_run, "login", dialect=SOAP)
    known = name in OPERATIONS and (call.params["kind"] == "u" or name in ENTERPRISE_OPERATIONS)
    route = f"soap_{name}" if known else "soap"
    return Action(route, soap_run, "login" if name == "login" or not known else "data", dialect=SOAP)


def soap_run(call: Call) -> Reply:
    """POST /services/Soap/u/N"""
    request = read_envelope(call.body)
    allowed = OPERATIONS if call.params["kind"] == "u" else ENTERPRISE_OPERATIONS
    if request.operation not in allowed:
        raise Refusal("INVALID_OPERATION", f"the sandbox does not know {request.operation} over SOAP")
    result = OPERATIONS[request.operation](_versioned(call), request)
    content = result if isinstance(result, Xml) else element("result", result)
    own = _namespace(call)
    answered = f"<{request.operation}Response>{content}</{request.operation}Response>"
    return Reply(200, envelope(own, answered, _limits(call, request)), {}, CONTENT)


def _versioned(call: Call) -> Call:
    """Return the call with the version of its path as REST writes it, or refuse the version."""
    given = call.params["soap_version"]
    number = known_version(given)
    if number is None:
        raise Refusal("UNSUPPORTED_API_VERSION", f"Invalid Api version specified on URL: {given}")
    call.params = {**call.params, "version": f"{number:.1f}"}
    return call


def _limits(call: Call, request: Envelope) -> str:
    if request.operation == "login":
        return ""
    usage = call.sandbox.usage
    info = {"limitInfo": {"current": usage.used, "limit": usage.max, "type": "API REQUESTS"}}
    return element("LimitInfoHeader", info)


def _session(call: Call) -> str:
    sessions = call.sandbox.sessions
    token = read_envelope(call.body).headers.get("sessionid", "")
    if not sessions.is_valid(token):
        text = "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session key"
        raise Refusal("INVALID_SESSION_ID", text)
    return token


def _refused(call: Call, refusal: Refusal) -> Reply:
    return Reply(500, fault(_namespace(call), refusal), {}, CONTENT)


def _namespace(call: Call) -> str:
    return PARTNER if call.params["kind"] == "u" else ENTERPRISE


SOAP = Dialect(_session, _refused)
