"""Batch calls: up to 25 independent requests in one, each committed on its own and counted as an API call."""

from __future__ import annotations

from typing import Any

import orjson

from syncbridge.sandbox.salesforce.call import Call, Reply, answer, refused
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.rest.subrequests import Subrequests, resource_of, version_of

MOST_SUBREQUESTS = 25
OLDEST_VERSION = 34.0
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
RESOURCES = frozenset({"limits", "sobjects", "query", "queryall", "search", "parameterizedsearch"})
PREFIX = "/services/data/"
HALTED = Refusal("BATCH_PROCESSING_HALTED", "Batch processing halted per request", status=412)


class Batches:
    """The batch call."""

    def __init__(self, subrequests: Subrequests) -> None:
        self._subrequests = subrequests

    def batch(self, call: Call) -> Reply:
        """POST /composite/batch"""
        body = call.record()
        halting = body.get("haltOnError") in (True, "true")
        results: list[dict[str, Any]] = []
        errors = 0
        for at, asked in enumerate(_read(body)):
            reply = refused(HALTED) if errors and halting else self._run(call, asked, first=at == 0)
            errors += reply.status >= 400
            results.append({"statusCode": reply.status, "result": orjson.Fragment(reply.body) if reply.body else None})
        return answer({"hasErrors": errors > 0, "results": results})

    def _run(self, call: Call, asked: dict[str, Any], *, first: bool) -> Reply:
        url = asked["url"]
        path = url if url.startswith(PREFIX) else PREFIX + url.lstrip("/")
        try:
            _check(call, path)
            if not first:  # it has the call of the batch itself
                call.sandbox.usage.take()
        except Refusal as refusal:
            return refused(refusal)
        return self._subrequests.run(call, asked["method"], path, body=asked.get("richInput"))


def _read(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the subrequests, or refuse all of them for one that is not well-formed."""
    given = body.get("batchRequests")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise Refusal("JSON_PARSER_ERROR", "The body needs a list of subrequests under 'batchRequests'")
    if len(given) > MOST_SUBREQUESTS:
        raise Refusal("LIMIT_EXCEEDED", f"A batch request can have at most {MOST_SUBREQUESTS} subrequests")
    for each in given:
        if each.get("method") not in METHODS or not isinstance(each.get("url"), str):
            raise Refusal(
                "JSON_PARSER_ERROR", f"A subrequest needs a 'url' and one of {', '.join(METHODS)} as 'method'"
            )
        if "binaryPartName" in each or "binaryPartNameAlias" in each:
            raise Refusal("JSON_PARSER_ERROR", "The sandbox keeps no blobs: a subrequest cannot have a binary part")
    return given


def _check(call: Call, path: str) -> None:
    if not OLDEST_VERSION <= version_of(path) <= call.version:
        text = f"A subrequest of this batch must be of v{OLDEST_VERSION} to v{call.version}, not {path}"
        raise Refusal("INVALID_INPUT", text)
    if resource_of(path).partition("/")[0] not in RESOURCES:
        raise Refusal("INVALID_INPUT", f"The resource {path} is not supported in a batch request")
