"""Composite calls: subrequests that may use each other's answers, in one transaction where that is asked for."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply, answer, refused
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.rest.references import names_in, resolve, resolve_url
from syncbridge.sandbox.salesforce.rest.subrequests import Subrequests, resource_of

MOST_SUBREQUESTS, MOST_QUERIES = 25, 5
METHODS = ("POST", "PUT", "PATCH", "GET", "DELETE")
#: From this version on a reference id with other characters is refused; before, it only could not be referred to.
STRICT_IDS_SINCE = 52
REFERENCE_ID = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
INHERITED_HEADERS = frozenset({"accept", "authorization", "content-type"})
SINGLE, COLLECTIONS, QUERIES = "sobjects", "composite/sobjects", ("query", "queryall")
ROLLED_BACK = Refusal(
    "PROCESSING_HALTED",
    "The transaction was rolled back since another operation in the same transaction failed.",
)


@dataclass(slots=True)
class Subrequest:
    """One request of a composite or graph call."""

    method: str
    url: str
    reference: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """What the URL asks for, below the API version."""
        return resource_of(self.url)


class Composite:
    """The composite call, and the running of subrequests that the graph call shares with it."""

    def __init__(self, subrequests: Subrequests) -> None:
        self._subrequests = subrequests

    def composite(self, call: Call) -> Reply:
        """POST /composite"""
        body = call.record()
        asked = read_subrequests(body, call.version)
        if len(asked) > MOST_SUBREQUESTS:
            raise Refusal("LIMIT_EXCEEDED", f"A composite request can have at most {MOST_SUBREQUESTS} subrequests")
        if sum(_is_query(each) for each in asked) > MOST_QUERIES:
            text = f"A composite request can have at most {MOST_QUERIES} query and collections subrequests"
            raise Refusal("LIMIT_EXCEEDED", text)
        responses, _ = self.run(call, asked, all_or_none=body.get("allOrNone") in (True, "true"))
        return answer({"compositeResponse": responses})

    def run(self, call: Call, asked: list[Subrequest], *, all_or_none: bool) -> tuple[list[dict[str, Any]], bool]:
        """Run subrequests in their order; return one response each, and whether all of them succeeded.

        With `all_or_none` the first failure ends the run and undoes it; the others answer PROCESSING_HALTED.
        """
        replies: dict[str, Reply] = {}
        try:
            with call.sandbox.storage.transaction() if all_or_none else nullcontext():
                failed = self._run_in_order(call, asked, replies, all_or_none=all_or_none)
                if failed and all_or_none:
                    raise _Undo
        except _Undo:
            replies = {each: replies[each] for each in failed}
        halted = refused(ROLLED_BACK)
        return [_response(each, replies.get(each.reference, halted)) for each in asked], not failed

    def _run_in_order(
        self, call: Call, asked: list[Subrequest], replies: dict[str, Reply], *, all_or_none: bool
    ) -> list[str]:
        """Fill in the replies by reference id; return the reference ids of those that failed."""
        failed = []
        bodies: dict[str, Any] = {}
        for each in asked:
            reply = self._run_one(call, each, bodies)
            replies[each.reference] = reply
            bodies[each.reference] = _body_of(reply)
            if _has_failed(reply, bodies[each.reference]):
                failed.append(each.reference)
                if all_or_none:
                    break
        return failed

    def _run_one(self, call: Call, asked: Subrequest, bodies: dict[str, Any]) -> Reply:
        if not _is_allowed(asked):
            text = f"The resource {asked.url} is not supported in a composite request"
            return refused(Refusal("PROCESSING_HALTED", text))
        try:
            url = resolve_url(asked.url, bodies, call.version)
            body = resolve(asked.body, bodies, call.version)
        except Refusal as refusal:
            return refused(refusal)
        return self._subrequests.run(call, asked.method, url, body=body, headers=asked.headers)


class _Undo(Exception):
    """Ends a transaction without its changes."""


def resources(call: Call) -> Reply:
    """GET /composite"""
    return answer({each: f"{call.base}/composite/{each}" for each in ("tree", "batch", "sobjects", "graph")})


def read_subrequests(body: dict[str, Any], version: float) -> list[Subrequest]:
    """Return the subrequests of a composite call or of one graph; refuse all of them for one that is malformed."""
    given = body.get("compositeRequest")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise _malformed("The body needs a list of subrequests under 'compositeRequest'")
    asked = [_read(each, version) for each in given]
    seen: set[str] = set()
    for each in asked:
        if each.reference in seen:
            raise _malformed(f"Duplicate referenceId '{each.reference}': each subrequest needs one of its own")
        seen.add(each.reference)
    return asked


def _read(given: dict[str, Any], version: float) -> Subrequest:
    method, url = given.get("method"), given.get("url")
    reference = given.get("referenceId", given.get("referenceID"))  # the guide spells it both ways
    if method not in METHODS:
        raise _malformed(f"The method of a subrequest must be one of {', '.join(METHODS)}, in capitals: {method}")
    if not isinstance(url, str) or not isinstance(reference, str):
        raise _malformed("A subrequest needs a 'url' and a 'referenceId'")
    if version >= STRICT_IDS_SINCE and not REFERENCE_ID.fullmatch(reference):
        raise _malformed(
            f"Provided referenceId ('{reference}') must start with a letter or a number, and it can contain only "
            "letters, numbers and underscores ('_')."
        )
    headers = given.get("httpHeaders") or {}
    inherited = [each for each in headers if each.lower() in INHERITED_HEADERS]
    if inherited:
        raise _malformed(f"A subrequest takes {inherited[0]} from the request around it and must not have its own")
    return Subrequest(method, url, reference, given.get("body"), headers)


def depth_of(asked: list[Subrequest]) -> int:
    """Return the length of the longest chain of subrequests that refer to each other."""
    depths: dict[str, int] = {}
    for each in asked:
        parents = names_in(each.url) | names_in(each.body)
        depths[each.reference] = 1 + max((depths.get(name, 0) for name in parents), default=0)
    return max(depths.values(), default=0)


def _malformed(message: str) -> Refusal:
    return Refusal("JSON_PARSER_ERROR", message)


def _is_query(asked: Subrequest) -> bool:
    resource = asked.resource
    return resource.startswith(COLLECTIONS) or resource.partition("/")[0] in QUERIES


def _is_allowed(asked: Subrequest) -> bool:
    return asked.resource.partition("/")[0] == SINGLE or _is_query(asked)


def _has_failed(reply: Reply, body: Any) -> bool:
    """True for a refusal, and for a collections call with a row that failed."""
    if reply.status >= 300 and reply.status != 304:
        return True
    return isinstance(body, list) and any(isinstance(row, dict) and row.get("success") is False for row in body)


def _body_of(reply: Reply) -> Any:
    return orjson.loads(reply.body) if reply.body else None


def _response(asked: Subrequest, reply: Reply) -> dict[str, Any]:
    return {
        "body": orjson.Fragment(reply.body) if reply.body else None,
        "httpHeaders": reply.headers,
        "httpStatusCode": reply.status,
        "referenceId": asked.reference,
    }
