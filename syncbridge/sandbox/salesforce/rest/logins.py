"""Logging in: the OAuth endpoints, SOAP login, and who the user is."""

from __future__ import annotations

from urllib.parse import parse_qsl

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.soap import soap_login
from syncbridge.sandbox.salesforce.store.storage import ORGANIZATION_ID, USER_ID


def token(call: Call) -> Reply:
    """POST /services/oauth2/token"""
    return answer(call.sandbox.sessions.grant(_form(call), call.headers.get("authorization"), _own_url(call)))


def introspect(call: Call) -> Reply:
    """POST /services/oauth2/introspect"""
    return answer(call.sandbox.sessions.introspect(_form(call).get("token", "")))


def revoke(call: Call) -> Reply:
    """POST /services/oauth2/revoke"""
    call.sandbox.sessions.expire(_form(call).get("token", ""))
    return Reply(200)


def userinfo(call: Call) -> Reply:
    """GET /services/oauth2/userinfo"""
    url, known = _own_url(call), call.sandbox.sessions.credentials
    return answer(
        {
            "sub": f"{url}/id/{ORGANIZATION_ID}/{USER_ID}", "user_id": USER_ID, "organization_id": ORGANIZATION_ID,
            "preferred_username": known.user, "email": known.user, "name": "Sandbox User", "active": True,
            "urls": {"rest": f"{url}/services/data/v{{version}}/"},
        }
    )  # fmt: skip


def soap(call: Call) -> Reply:
    """POST /services/Soap/u/N"""
    status, xml = soap_login(call.sandbox.sessions, call.body, _own_url(call), call.path.rstrip("/"))
    return Reply(status, xml.encode(), {}, "text/xml;charset=UTF-8")


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)) | dict(call.query)


def _own_url(call: Call) -> str:
    """Return the address by which the client reached this server, also when it asked for a Salesforce host."""
    host = call.headers.get("host", "")
    if not host or host.split(":")[0].endswith("salesforce.com"):
        host = call.server
    return f"http://{host}"
