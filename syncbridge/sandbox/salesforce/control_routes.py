"""The control surface over HTTP, under /sandbox/: no session, no quota, no faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from syncbridge.sandbox.salesforce.app import Endpoint
from syncbridge.sandbox.salesforce.call import Action, Call, Reply, answer
from syncbridge.sandbox.salesforce.control import Control, UnknownName
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.sandbox import Sandbox

Step = Callable[[Control, Call, Any], Any]


def control_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of the control surface."""
    control = Control(sandbox)

    def endpoint(**steps: Step) -> Endpoint:
        return Endpoint(
            sandbox, {method: Action("control", _run(control, step), "control") for method, step in steps.items()}
        )

    return [
        Route("/sandbox/faults", endpoint(GET=_faults, POST=_add_fault, DELETE=_clear_faults)),
        Route("/sandbox/faults/{id:int}", endpoint(DELETE=_remove_fault)),
        Route("/sandbox/usage", endpoint(GET=_usage, PUT=_set_usage)),
        Route("/sandbox/stats", endpoint(GET=lambda control, call, body: control.stats(), DELETE=_reset_stats)),
        Route("/sandbox/requests", endpoint(GET=lambda control, call, body: control.requests())),
        Route("/sandbox/settings", endpoint(PUT=_settings)),
        Route("/sandbox/clock", endpoint(POST=lambda control, call, body: control.advance_clock(**body))),
        Route("/sandbox/tokens", endpoint(DELETE=lambda control, call, body: control.expire_tokens())),
        Route("/sandbox/cursors", endpoint(DELETE=_expire_cursors)),
        Route("/sandbox/refresh", endpoint(POST=lambda control, call, body: control.refresh(**body))),
        Route("/sandbox/reset", endpoint(POST=lambda control, call, body: control.reset())),
        Route(
            "/sandbox/jobs",
            endpoint(GET=lambda control, call, body: control.jobs(), PUT=_hold_jobs, DELETE=_release_jobs),
        ),
        Route("/sandbox/writes", endpoint(PUT=_hold_writes, DELETE=_release_writes)),
        Route("/sandbox/bulk-usage", endpoint(PUT=lambda control, call, body: control.set_bulk_usage(**body))),
        Route("/sandbox/records", endpoint(DELETE=lambda control, call, body: control.reset_data())),
        Route("/sandbox/records/{object}", RecordsDump(control)),
        Route("/sandbox/rules/{object}", endpoint(PUT=_put_rules)),
        Route("/sandbox/org/{object}", endpoint(PUT=_put_object, DELETE=_remove_object)),
        Route("/sandbox/org/{object}/{field}", endpoint(PUT=_put_field, PATCH=_change_field, DELETE=_remove_field)),
    ]


def _run(control: Control, step: Step) -> Callable[[Call], Reply]:
    def run(call: Call) -> Reply:
        try:
            return answer(step(control, call, call.json() if call.body else {}))
        except UnknownName as error:
            raise Refusal("NOT_FOUND", str(error), status=404) from None
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(each) for each in problem["loc"])
            raise Refusal("INVALID_CONTROL", f"{where}: {problem['msg']}") from None
        except (TypeError, ValueError) as error:
            raise Refusal("INVALID_CONTROL", str(error)) from None

    return run


def _faults(control: Control, call: Call, body: Any) -> Any:
    return [each.model_dump(exclude_defaults=True) for each in control.faults.rules()]


def _add_fault(control: Control, call: Call, body: Any) -> Any:
    return control.faults.add(**body).model_dump(exclude_defaults=True)


def _clear_faults(control: Control, call: Call, body: Any) -> Any:
    control.faults.clear()


def _remove_fault(control: Control, call: Call, body: Any) -> Any:
    if not control.faults.remove(int(call.params["id"])):
        raise UnknownName("there is no fault with this id")


def _usage(control: Control, call: Call, body: Any) -> Any:
    return control.stats()["usage"]


def _set_usage(control: Control, call: Call, body: Any) -> Any:
    control.set_usage(**body)
    return control.stats()["usage"]


def _reset_stats(control: Control, call: Call, body: Any) -> Any:
    control.reset_stats()


def _settings(control: Control, call: Call, body: Any) -> Any:
    setters: dict[str, Callable[[Any], None]] = {
        "latency": control.set_latency,
        "page_size": control.set_page_size,
        "late_visibility": lambda bounds: control.set_late_visibility(*bounds),
        "row_seconds": control.set_row_seconds,
        "lock_wait": control.set_lock_wait,
        "concurrent_max": control.set_concurrent_max,
    }
    unknown = set(body) - set(setters)
    if unknown:
        raise Refusal("INVALID_CONTROL", f"unknown settings: {', '.join(sorted(unknown))}")
    for name, value in body.items():
        setters[name](value)


def _hold_writes(control: Control, call: Call, body: Any) -> Any:
    control.hold_writes(**body)


def _release_writes(control: Control, call: Call, body: Any) -> Any:
    control.release_writes()


def _hold_jobs(control: Control, call: Call, body: Any) -> Any:
    control.hold_jobs(**body)


def _release_jobs(control: Control, call: Call, body: Any) -> Any:
    control.release_jobs()


def _expire_cursors(control: Control, call: Call, body: Any) -> Any:
    control.expire_cursors()


def _put_object(control: Control, call: Call, body: Any) -> Any:
    control.put_object(call.params["object"], body)


def _put_rules(control: Control, call: Call, body: Any) -> Any:
    control.put_rules(call.params["object"], body)


def _remove_object(control: Control, call: Call, body: Any) -> Any:
    control.remove_object(call.params["object"])


def _put_field(control: Control, call: Call, body: Any) -> Any:
    control.put_field(call.params["object"], call.params["field"], body)


def _change_field(control: Control, call: Call, body: Any) -> Any:
    control.change_field(call.params["object"], call.params["field"], **body)


def _remove_field(control: Control, call: Call, body: Any) -> Any:
    control.remove_field(call.params["object"], call.params["field"])


class RecordsDump:
    """GET /sandbox/records/{object}?deleted=true: all records as JSON lines, sent as they are read."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunks = self._control.record_chunks(
            scope["path_params"]["object"], deleted=b"deleted=true" in scope["query_string"]
        )
        try:
            first = next(chunks, [])
        except UnknownName as error:
            body = orjson.dumps([{"errorCode": "NOT_FOUND", "message": str(error)}])
            await send(
                {"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"application/json")]}
            )
            await send({"type": "http.response.body", "body": body})
            return
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _lines(first), "more_body": True})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": _lines(chunk), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records)
