"""The ASGI application: every request passes one gate (faults, session, quota, counts), then its route's function.

The functions are synchronous, short and run one at a time in the event loop, holding the sandbox's lock. Only reading
the body, waiting for a latency fault and sending the answer wait, so a slow request does not hold up others.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from contextlib import suppress
from email.utils import formatdate
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from syncbridge.sandbox.salesforce.auth import expired_session
from syncbridge.sandbox.salesforce.auth_codes import AuthRefusal
from syncbridge.sandbox.salesforce.call import REST, Action, Call, Reply, Unfinished, answer, refused
from syncbridge.sandbox.salesforce.errors import Refusal, not_allowed
from syncbridge.sandbox.salesforce.faults import Rule, objects_in, refusal_of
from syncbridge.sandbox.salesforce.rest.versions import check_version
from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.store.locks import POLL_SECONDS, Holder, LocksHeld
from syncbridge.sandbox.salesforce.streams import GZIP_LEVEL, in_turn, received

SMALLEST_GZIP = 2048
DROP = "syncbridge.drop"
LONGEST_HEAD = 16_384
READ_BY_SERVER = (b"content-length", b"transfer-encoding", b"connection")
URI_TOO_LONG = Refusal("URI_TOO_LONG", "The URI and the headers are longer than 16384 bytes", status=414)


class _OrgIsGone(Exception):
    """The sandbox was reset since the request came in."""


class HeaderName(bytes):
    """A name that keeps its capitals, as Salesforce's do: uvicorn would write it in lower case.

    Airbyte's source tells the two apart. Names that uvicorn itself looks at are given to it as ever.
    """

    __slots__ = ()

    def lower(self) -> bytes:
        return bytes.lower(self) if bytes.lower(self) in READ_BY_SERVER else self


class Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(self, sandbox: Sandbox, actions: dict[str, Action]) -> None:
        self._sandbox = sandbox
        self._actions = actions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one that breaks off before its end has changed nothing and has nobody to be answered."""
        request = Request(scope, receive)
        action = self._actions.get("GET" if request.method == "HEAD" else request.method)
        with suppress(ClientDisconnect):
            if action is None or not action.upload:
                call = _read(self._sandbox, request, await request.body())
                if action is not None and action.by_body is not None:
                    action = action.by_body(call)
                await self._handle(call, action, scope, receive, send)
                return
            call = _read(self._sandbox, request, b"")
            async with received(request, self._sandbox.bulk.upload_path()) as call.upload:
                await self._handle(call, action, scope, receive, send)

    async def _handle(self, call: Call, action: Action | None, scope: Scope, receive: Receive, send: Send) -> None:
        if action is None or action.area == "control":
            await _send(send, self._answer(call, action, None, Holder()), call)
            return
        reply = None
        with suppress(_OrgIsGone), self._sandbox.in_flight.request():
            reply = await self._reply(call, action)
        if reply is None:
            await _drop(scope, receive)
        else:
            await _send(send, reply, call)

    async def _reply(self, call: Call, action: Action) -> Reply | None:
        """Return the answer, once everything has taken its time; None where the connection is to be closed instead."""
        started = asyncio.get_running_loop().time()
        rules = self._struck_by(call, action)
        wait = self._sandbox.settings.latency + sum(each.seconds for each in rules if each.kind == "latency")
        if wait:
            await asyncio.sleep(wait)
        final = next((each for each in rules if each.kind != "latency"), None)
        reply = None
        if final is None or final.kind != "drop_before":
            reply = await self._answer_in_turns(call, action, final)
        if final is not None and final.kind == "drop_after":
            reply = None
        self._note(call, action, reply, final or next(iter(rules), None), asyncio.get_running_loop().time() - started)
        return reply

    async def _answer_in_turns(self, call: Call, action: Action, rule: Rule | None) -> Reply:
        """Answer; wait as long as Salesforce does for records that others hold, and let others in between long work."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._sandbox.locks.wait_seconds
        async with self._sandbox.in_flight.locks(may_wait=not call.row_rules) as holder:
            while True:
                try:
                    return self._answer(call, action, rule, holder)
                except LocksHeld:
                    await asyncio.sleep(POLL_SECONDS)
                    holder.may_wait = clock() < deadline
                except Unfinished:
                    await asyncio.sleep(0)

    def _struck_by(self, call: Call, action: Action) -> list[Rule]:
        """Return the fault rules for this call; those for single rows are left with the call."""
        faults = self._sandbox.faults
        if not faults.rules():
            return []
        body = None
        if action.area == "data" and call.body:
            try:
                body = orjson.loads(call.body)
            except orjson.JSONDecodeError:
                body = None
        objects = objects_in(self._object_of(call), call.query.get("q", ""), body)
        striking, call.row_rules = faults.matching(call.method, call.url, action.name, objects)
        return striking

    def _object_of(self, call: Call) -> str | None:
        """Return the object that the path is about, by its name or by a job's id."""
        job = call.params.get("job")
        return self._sandbox.bulk.jobs.object_of(job) if job else call.params.get("object")

    def _answer(self, call: Call, action: Action | None, rule: Rule | None, holder: Holder) -> Reply:
        try:
            with self._sandbox.lock:
                self._check_org(call)
                self._sandbox.locks.holder = holder
                return self._run(call, action, rule)
        except AuthRefusal as refusal:
            return answer(refusal.body, 400)
        except Refusal as refusal:
            return action.dialect.refused(call, refusal) if action else refused(refusal)

    def _check_org(self, call: Call) -> None:
        if call.org_number != self._sandbox.org_number:
            raise _OrgIsGone

    def _run(self, call: Call, action: Action | None, rule: Rule | None) -> Reply:
        if action is None:
            raise not_allowed(call.method, self._actions)
        check_version(call, action)
        if action.area == "data":
            call.token = action.dialect.session(call)
            if action.dialect is REST:
                _check_accept(call)
        if rule is not None and rule.kind != "drop_after":
            return self._struck(call, rule)
        if action.area == "data" and not call.counted:
            self._sandbox.in_flight.check()
            self._sandbox.usage.take()
            call.counted = True
        self._sandbox.writes.allow_duplicates = _allows_duplicates(call)
        return action.run(call)

    def _struck(self, call: Call, rule: Rule) -> Reply:
        if rule.kind == "expired_session":
            self._sandbox.sessions.expire(call.token)
            raise expired_session()
        refusal = refusal_of(rule)
        if refusal is not None:
            raise refusal
        if isinstance(rule.body, str):
            return Reply(rule.status, rule.body.encode(), dict(rule.headers), "text/html;charset=UTF-8")
        return Reply(rule.status, b"" if rule.body is None else orjson.dumps(rule.body), dict(rule.headers))

    def _note(self, call: Call, action: Action, reply: Reply | None, rule: Rule | None, seconds: float) -> None:
        """Count the call and remember it; tell the quota in the reply."""
        usage = self._sandbox.usage
        if reply is not None and action.area == "data":
            reply.headers["Sforce-Limit-Info"] = f"api-usage={usage.used}/{usage.max}"
        entry = {
            "method": call.method,
            "path": call.url,
            "route": action.name,
            "object": self._object_of(call),
            "client": call.headers.get("sforce-call-options"),
            "status": reply.status if reply else None,
            "fault": rule.kind if rule else None,
            "milliseconds": round(seconds * 1000, 3),
        }
        with self._sandbox.lock:
            self._check_org(call)
            self._sandbox.counts.calls[f"{call.method} {action.name}"] += 1
            self._sandbox.counts.log.append(entry)


class Application:
    """The outermost layer: slashes too many, method override, and the answer for paths that are not there.

    `sf org login access-token` keeps an instance URL that ends in a slash, so that all its paths begin with two.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if len(path) > 1 and scope["raw_path"].partition(b"?")[0].endswith(b"/"):
            path = path.rstrip("/")
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        scope["path"] = path
        query: bytes = scope["query_string"]
        if len(path) + len(query) + sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEAD:
            await _send(send, answer(URI_TOO_LONG.as_body(), URI_TOO_LONG.status), None)
            return
        if scope["method"] == "POST" and b"_HttpMethod=" in query:
            scope["method"] = dict(parse_qsl(query.decode())).get("_HttpMethod", "POST").upper()
        await self._router(scope, receive, send)


def _read(sandbox: Sandbox, request: Request, body: bytes) -> Call:
    headers = request.headers
    if headers.get("content-encoding", "").lower() == "gzip":
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            body = b""
    query = request.url.query
    return Call(
        sandbox=sandbox,
        method=request.method,
        path=request.url.path,
        url=f"{request.url.path}?{query}" if query else request.url.path,
        params=request.path_params,
        query=request.query_params,
        headers=headers,
        body=body,
        server="{}:{}".format(*request.scope["server"]),
        scheme=request.scope["scheme"],
        org_number=sandbox.org_number,
    )


def _check_accept(call: Call) -> None:
    """Refuse a client that understands nothing but XML."""
    accepted = call.headers.get("accept", "").lower()
    if "xml" in accepted and not any(each in accepted for each in ("json", "csv", "*/*")):
        raise Refusal("NOT_ACCEPTABLE", "The sandbox answers REST calls in JSON, not in XML", status=406)


def _allows_duplicates(call: Call) -> bool:
    """Say whether the request insists on records that a duplicate rule warns of."""
    options = call.headers.get("sforce-duplicate-rule-header", "").replace(" ", "").lower()
    return "allowsave=true" in options.replace(",", ";").split(";")


async def _drop(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer."""
    scope["extensions"][DROP]()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, reply: Reply, call: Call | None) -> None:
    headers = dict(reply.headers)
    if reply.body or reply.chunks is not None:
        headers = {"Content-Type": reply.content_type, **headers}
    gzipped = False
    if call is not None:
        headers["Date"] = formatdate(call.sandbox.clock.seconds(), usegmt=True)
        large = reply.chunks is not None or len(reply.body) >= SMALLEST_GZIP
        gzipped = large and "gzip" in call.headers.get("accept-encoding", "")
    body = gzip.compress(reply.body, GZIP_LEVEL) if gzipped and reply.chunks is None else reply.body
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    if reply.status not in (204, 304) and reply.chunks is None:
        headers["Content-Length"] = str(len(body))
    raw = [(HeaderName(name.encode("latin-1")), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    if reply.chunks is not None:
        async for chunk in in_turn(reply.chunks, gzipped=gzipped):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": body})
