"""Faults on request: rules that make the sandbox slow, refuse, break off or fail single rows, as a client may meet it.

A rule says which requests it is for, how many to let pass first and how many times to strike. Kinds:

    latency            wait `seconds` first; other requests are not held up
    expired_session    401 INVALID_SESSION_ID, and the session used is no longer valid
    daily_limit        403 REQUEST_LIMIT_EXCEEDED, TotalRequests
    concurrent_limit   403 REQUEST_LIMIT_EXCEEDED, ConcurrentRequests
    too_many_requests  429        server_error  500        unavailable  503
    status             any `status`, `body` and `headers`
    drop_before        the connection is closed, nothing was done
    drop_after         everything was done, and the connection is closed without an answer
    rows               rows of a write fail with `code` and `message`: each `every`-th, or those with `value` in `field`
    job_failed         a Bulk job fails with `code` and `message` once `rows` of its records are processed
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Key

from syncbridge.sandbox.salesforce.errors import LOCK_MESSAGE, TOO_MANY_LOCK_FAILURES, Refusal

Kind = Literal[
    "latency", "expired_session", "daily_limit", "concurrent_limit", "too_many_requests", "server_error", "unavailable",
    "status", "drop_before", "drop_after", "rows", "job_failed",
]  # fmt: skip
#: Kinds that strike within a request or a job, not instead of its answer.
INSIDE = frozenset({"rows", "job_failed"})
QUERIED_OBJECT = re.compile(r"\bfrom[\s+]+(\w+)", re.IGNORECASE)
OBJECT_IN_URL = re.compile(r"/sobjects/(\w+)")


class Rule(BaseModel):
    """One fault: for which requests, when, how often, and what."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    id: int = 0
    method: str | None = None
    path: str | None = None
    object: str | None = None
    route: str | None = None
    after: Annotated[int, Key(ge=0)] = 0
    times: Annotated[int | None, Key(gt=0)] = None
    seconds: Annotated[float, Key(ge=0)] = 0.0
    status: int = 500
    body: Any = None
    headers: dict[str, str] = {}
    code: str = "UNABLE_TO_LOCK_ROW"
    message: str = LOCK_MESSAGE
    fields: list[str] = []
    every: Annotated[int, Key(gt=0)] = 1
    rows: Annotated[int, Key(ge=0)] = 0
    field: str | None = None
    value: Any = None
    struck: int = 0
    passed: int = 0

    def strike(self) -> bool:
        """Count one match; True when the rule strikes this time."""
        if self.passed < self.after:
            self.passed += 1
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True

    def wants(self, method: str, path: str, route: str, objects: set[str]) -> bool:
        """Say whether the rule is for such a request."""
        return (
            (self.method is None or self.method.upper() == method)
            and (self.path is None or self.path.lower() in path.lower())
            and (self.route is None or self.route == route)
            and (self.object is None or self.object.lower() in objects)
        )

    def job_error(self) -> tuple[str, str]:
        """Return code and message of a job that fails."""
        given = self.model_fields_set
        code, message = TOO_MANY_LOCK_FAILURES
        return self.code if "code" in given else code, self.message if "message" in given else message

    def row_refusal(self, index: int, record: dict[str, Any]) -> Refusal | None:
        """Return the refusal of one row, or None when the rule leaves it alone."""
        if self.object is not None:
            attributes = record.get("attributes")
            named = attributes.get("type", "") if isinstance(attributes, dict) else ""
            if named and str(named).lower() != self.object.lower():
                return None
        if (index + 1) % self.every or (self.field is not None and record.get(self.field) != self.value):
            return None
        return Refusal(self.code, self.message, fields=self.fields) if self.strike() else None


class Faults:
    """The rules in force; they are tried in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._last_id = 0

    def add(self, kind: Kind, **settings: Any) -> Rule:
        """Put a rule in force and return it; unknown settings are a pydantic ValidationError."""
        rule = Rule.model_validate({"kind": kind, **settings})
        with self._lock:
            self._last_id += 1
            rule.id = self._last_id
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def remove(self, rule_id: int) -> bool:
        """Remove one rule; False when there is none with this id."""
        with self._lock:
            before = len(self._rules)
            self._rules = [each for each in self._rules if each.id != rule_id]
            return len(self._rules) < before

    def rules(self) -> list[Rule]:
        """Return the rules in force with their counts."""
        with self._lock:
            return list(self._rules)

    def matching(self, method: str, path: str, route: str, objects: set[str]) -> tuple[list[Rule], list[Rule]]:
        """Return the rules that strike this request now, and the row rules that may strike its rows."""
        with self._lock:
            wanted = [each for each in self._rules if each.wants(method, path, route, objects)]
            striking = []
            for rule in wanted:
                if rule.kind not in INSIDE and rule.strike():
                    striking.append(rule)
                    if rule.kind != "latency":
                        break
            return striking, [each for each in wanted if each.kind == "rows"]

    def wanted(self, kind: Kind, route: str, path: str, object: str) -> list[Rule]:
        """Return the rules of a kind that are for the job of this path; none has struck yet."""
        with self._lock:
            rules = [each for each in self._rules if each.kind == kind]
        return [each for each in rules if each.method is None and each.wants("", path, route, {object.lower()})]


def objects_in(path_object: str | None, query: str, body: Any) -> set[str]:
    """Return the lower-case names of the objects that a request is about."""
    names = {path_object} if path_object else set()
    names |= set(QUERIED_OBJECT.findall(query))
    if isinstance(body, dict):
        names |= _objects_in_body(body)
    return {each.lower() for each in names}


def _objects_in_body(body: dict[str, Any]) -> set[str]:
    names = {each for each in (body.get("object"),) if isinstance(each, str)}  # a Bulk job says it in its body
    names |= set(QUERIED_OBJECT.findall(str(body.get("query", ""))))
    records = body.get("records")
    for record in records if isinstance(records, list) else ():
        attributes = record.get("attributes") if isinstance(record, dict) else None
        if isinstance(attributes, dict):
            names.add(str(attributes.get("type", "")))
    for each in _subrequests(body):
        url = str(each.get("url", ""))
        names |= set(OBJECT_IN_URL.findall(url)) | set(QUERIED_OBJECT.findall(url))
    return names


def _subrequests(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the subrequests of a composite, batch or graph call; what is malformed is left out."""
    graphs = body.get("graphs")
    for holder in (body, *(graphs if isinstance(graphs, list) else ())):
        asked = (holder.get("compositeRequest") or holder.get("batchRequests")) if isinstance(holder, dict) else None
        for each in asked if isinstance(asked, list) else ():
            if isinstance(each, dict):
                yield each


def refusal_of(rule: Rule) -> Refusal | None:
    """Return the refusal that a rule of a fixed kind stands for, or None."""
    match rule.kind:
        case "daily_limit":
            return daily_limit()
        case "concurrent_limit":
            return concurrent_limit()
        case "too_many_requests":
            return Refusal("REQUEST_LIMIT_EXCEEDED", "Too many requests", status=429)
        case "server_error":
            return Refusal("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId", status=500)
        case "unavailable":
            return Refusal("SERVER_UNAVAILABLE", "Too many requests. Please try again later.", status=503)
    return None


def concurrent_limit() -> Refusal:
    """Return the refusal while too many requests run for long."""
    text = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    return Refusal("REQUEST_LIMIT_EXCEEDED", text, status=403)


def daily_limit() -> Refusal:
    """Return the refusal when the day's API calls are used up."""
    return Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
