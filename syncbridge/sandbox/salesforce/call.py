"""A request and a reply as the routes see them: read completely, with no waiting left to do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from syncbridge.sandbox.salesforce.errors import Refusal, SeveralMatches, not_found
from syncbridge.sandbox.salesforce.faults import Rule
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.store.changes import Record

JSON = "application/json;charset=UTF-8"


@dataclass(slots=True)
class Reply:
    """What is sent back; `body` is ready to be sent. Where there are `chunks`, they are sent instead, one by one."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    chunks: Iterator[bytes] | None = None


@dataclass(slots=True)
class Call:
    """One request to the API. `upload` has the body of a call whose action wants it in a file; None if too large.

    `work` is what is left of an action that does its work in parts.

    `counted` says that it has taken its share of the day's quota; one that waits for locks is run several times.
    `org_number` says which org it was for: after a reset there is another one, which it does not concern.
    """

    sandbox: Sandbox
    method: str
    path: str
    url: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    server: str
    scheme: str = "http"
    org_number: int = 0
    token: str = ""
    row_rules: list[Rule] = field(default_factory=list)
    upload: Path | None = None
    work: Work | None = None
    counted: bool = False

    @property
    def version(self) -> float:
        """The API version that the path asks for."""
        return float(self.params["version"])

    @property
    def base(self) -> str:
        """The path of the API version asked for."""
        return f"/services/data/v{self.params['version']}"

    @property
    def own_url(self) -> str:
        """The address by which the client reached this server, also when it asked for a Salesforce host."""
        host = self.headers.get("host", "")
        if not host or host.split(":")[0].endswith("salesforce.com"):
            host = self.server
        return f"{self.scheme}://{host}"

    def json(self) -> Any:
        """Return the body as JSON, or refuse it."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Refusal("JSON_PARSER_ERROR", f"{error}") from None

    def record(self) -> Record:
        """Return the body as one JSON object, or refuse it: forms, XML and the parts of a blob are 415."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("", "application/json"):
            text = f"Content-Type header specified in HTTP request is not supported: {kind}"
            raise Refusal("UNSUPPORTED_MEDIA_TYPE", text, status=415)
        value = self.json()
        if not isinstance(value, dict):
            raise Refusal("JSON_PARSER_ERROR", "The HTTP entity body is required to be one JSON object")
        return value

    def target(self) -> ObjectType:
        """Return the object that the path names, or refuse."""
        found = self.sandbox.org.find(self.params["object"])
        if found is None:
            raise not_found()
        return found

    def row_fault(self, index: int, record: Record) -> Refusal | None:
        """Return the refusal that a fault has for this row, or None."""
        for rule in self.row_rules:
            refusal = rule.row_refusal(index, record)
            if refusal is not None:
                return refusal
        return None


Run = Callable[[Call], Reply]
#: The work on a call, done part by part, with the reply at its end.
Work = Generator[None, None, Reply]


class Unfinished(Exception):
    """A part of the work on a call is done; the action is to be run again once other requests had their turn."""


def do_part(call: Call, begin: Callable[[Call], Work]) -> Reply:
    """Do the next part of the work on a call, which `begin` begins. Unfinished, unless it was the last."""
    call.work = call.work or begin(call)
    try:
        next(call.work)
    except StopIteration as end:
        reply: Reply = end.value
        return reply
    raise Unfinished


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """Return a JSON reply."""
    return Reply(status, orjson.dumps(value), headers or {})


def refused(refusal: Refusal) -> Reply:
    """Return the reply to a request that is refused as a whole."""
    if isinstance(refusal, SeveralMatches):
        return answer(refusal.urls, 300)
    return answer(refusal.as_body(), refusal.status)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an API has of its own: where a call says its session id, which is checked, and how a refusal is worded."""

    session: Callable[[Call], str]
    refused: Callable[[Call, Refusal], Reply]


REST = Dialect(
    lambda call: call.sandbox.sessions.check_header(call.headers.get("authorization")),
    lambda call, refusal: refused(refusal),
)


@dataclass(frozen=True, slots=True)
class Action:
    """What a path does for one method. Counts and faults know it by `name`. Only `data` needs a session and quota.

    The body of an `upload` goes to a file, which the action may keep, and is never in memory as a whole. API versions
    below `since` do not have it. Where one path has many calls, `by_body` gives the action that a body asks for.
    """

    name: str
    run: Run
    area: Literal["data", "login", "control"] = "data"
    upload: bool = False
    since: float = 0.0
    dialect: Dialect = REST
    by_body: Callable[[Call], Action] | None = None
