"""Logging in: the OAuth endpoints. SOAP login is in soap/sessions.py."""

from __future__ import annotations

from urllib.parse import parse_qsl

from syncbridge.sandbox.salesforce.call import Call, Reply, answer


def token(call: Call) -> Reply:
    """POST /services/oauth2/token"""
    return answer(call.sandbox.sessions.grant(_form(call), call.headers.get("authorization"), call.own_url))


def introspect(call: Call) -> Reply:
    """POST /services/oauth2/introspect"""
    return answer(call.sandbox.sessions.introspect(_form(call).get("token", "")))


def revoke(call: Call) -> Reply:
    """POST /services/oauth2/revoke"""
    call.sandbox.sessions.expire(_form(call).get("token", ""))
    return Reply(200)


def authorize(call: Call) -> Reply:
    """GET /services/oauth2/authorize: sends the browser back with a code at once, as the one user has nothing to say"""
    sessions = call.sandbox.sessions
    sessions.check_client({"grant_type": "authorization_code", "client_id": call.query.get("client_id", "")})
    return Reply(302, b"", {"Location": sessions.codes.give(dict(call.query))})


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)) | dict(call.query)
