"""Requests inside a request: the paths of composite, batch and graph calls, run here without HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.routing import compile_path

from syncbridge.sandbox.salesforce.call import Action, Call, Reply, Unfinished, refused
from syncbridge.sandbox.salesforce.errors import Refusal, not_allowed, not_found
from syncbridge.sandbox.salesforce.rest.versions import check_version

VERSIONED = re.compile(r"/services/data/v(\d\d\.0)(?:/|$)", re.ASCII)
JSON_BODY = {"content-type": "application/json"}


class Subrequests:
    """Finds and runs the action of a URL, as the server does for a request of its own."""

    def __init__(self, paths: Mapping[str, Mapping[str, Action]]) -> None:
        self._routes = [(compile_path(path)[0], actions) for path, actions in paths.items()]

    def run(
        self, outer: Call, method: str, url: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Run one subrequest and return its reply, also when it is refused. Session and quota are the outer call's."""
        path, _, query = url.partition("?")
        call = replace(
            outer,
            method=method,
            path=unquote(path),
            url=url,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={"host": outer.headers.get("host", "")} | JSON_BODY | _lowered(headers or {}),
            body=b"" if body is None else orjson.dumps(body),
        )
        try:
            action, call.params = self._find(call)
            check_version(call, action)
            call.row_rules = _row_rules(outer, call, action)
            while True:
                with suppress(Unfinished):  # the call around it is done in one go, with all its transactions
                    return action.run(call)
        except Refusal as refusal:
            return refused(refusal)

    def _find(self, call: Call) -> tuple[Action, dict[str, str]]:
        path = call.path.rstrip("/")
        for pattern, actions in self._routes:
            match = pattern.match(path)
            if match is None:
                continue
            action = actions.get(call.method)
            if action is None:
                raise not_allowed(call.method, actions)
            return action, match.groupdict()
        raise not_found()


def resource_of(url: str) -> str:
    """Return what a URL asks for below its API version, in lower case: `sobjects/account`."""
    path = unquote(url.partition("?")[0]).strip("/")
    return path.removeprefix("services/data/").partition("/")[2].lower()


def version_of(url: str) -> float:
    """Return the API version of a URL such as `/services/data/v60.0/limits`, 0 where it names none."""
    match = VERSIONED.match(url)
    return float(match.group(1)) if match else 0.0


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in headers.items()}


def _row_rules(outer: Call, call: Call, action: Action) -> list[Any]:
    """Return the fault rules for rows of the outer call or of the subrequest alone, and not of another object."""
    object = call.params.get("object", "").lower()
    return [
        each
        for each in outer.sandbox.faults.rules()
        if each.kind == "rows"
        and (each in outer.row_rules or each.wants(call.method, call.url, action.name, {object}))
        and (not object or each.object is None or each.object.lower() == object)
    ]
