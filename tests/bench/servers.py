"""Salesforce servers for the benches, each in a process of its own: `python -m tests.bench.servers null | stamped`.

`null` answers every write at once and keeps nothing, so that the worker alone is measured; logins and describes are the
sandbox's, and it has no Bulk API. `stamped` is the sandbox itself, and notes for each write when its answer was about
to go out: from then on every reader of the sandbox sees the record.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncbridge.sandbox.salesforce.auth import Credentials
from syncbridge.sandbox.salesforce.routes import application
from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.server import listen, make_server

COUNTS = "/bench/counts"
STAMPS = "/bench/stamps"


class NullWrites:
    """Answers collection upserts with made-up ids, and passes everything else on."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._records = 0
        self._calls: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == COUNTS:
            await _answer(send, {"calls": self._calls, "records": self._records})
            return
        if scope["path"].endswith("/jobs/ingest"):  # an org without Bulk API: everything goes by calls
            missing = {"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}
            await _answer(send, [missing], status=404)
            return
        kind = f"{scope['method']} {scope['path']}"
        self._calls[kind] = self._calls.get(kind, 0) + 1
        if scope["method"] != "PATCH":
            await self._application(scope, receive, send)
            return
        count = (await _body(receive)).count(b'"attributes":')
        first, self._records = self._records, self._records + count
        rows = [
            {"id": f"003{n:015d}", "success": True, "errors": [], "created": True} for n in range(first, first + count)
        ]
        await _answer(send, rows)


class Stamps:
    """Notes the body of every collection upsert and the moment its answer goes out; monotonic nanoseconds."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._noted: list[tuple[int, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == STAMPS:
            noted, self._noted = self._noted, []
            await _answer(send, [[moment, orjson.loads(body)["records"]] for moment, body in noted])
            return
        if scope["method"] != "PATCH" or "/composite/sobjects/" not in scope["path"]:  # a first sync may go by jobs
            await self._application(scope, receive, send)
            return
        body = await _body(receive)

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def stamp(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._noted.append((time.monotonic_ns(), body))
            await send(message)

        await self._application(scope, again, stamp)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, value: Any, *, status: int = 200) -> None:
    body = orjson.dumps(value)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(kind: str) -> None:
    """Serve until SIGTERM; the first line of output says where and how to log in."""
    sandbox = Sandbox(credentials=Credentials())
    sandbox.usage.max = 10_000_000
    listener = listen()
    server = make_server(sandbox)
    server.config.app = NullWrites(application(sandbox)) if kind == "null" else Stamps(application(sandbox))
    credentials = sandbox.sessions.credentials
    facts = {
        "url": f"http://127.0.0.1:{listener.getsockname()[1]}",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }
    sys.stdout.write(orjson.dumps(facts).decode() + "\n")
    sys.stdout.flush()
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        sandbox.close()


if __name__ == "__main__":
    main(sys.argv[1])
