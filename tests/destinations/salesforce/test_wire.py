"""What goes over the wire to Salesforce, pinned in cassettes: methods, paths, headers and bodies.

Each cassette in ../cassettes/ was recorded against the sandbox. A test plays it back without any server: a request that
differs from the recorded one in method, path, query, a header that matters, or body finds no answer and fails the test.
To record again after a change that was meant:

    SYNCBRIDGE_RECORD=1 python -m pytest tests/destinations/salesforce/test_wire.py

and read the difference before committing it. Secrets, session ids and the sandbox's port are replaced while recording.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import vcr

from syncbridge.destinations.base import Delivered
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import FakeTime, open_for

CASSETTES = Path(__file__).parent.parent / "cassettes"
RECORDING = bool(os.environ.get("SYNCBRIDGE_RECORD"))
STAND_IN = "127.0.0.1:1"
SECRET = "replaced"
PINNED = (
    "accept",
    "accept-encoding",
    "content-type",
    "sforce-auto-assign",
    "sforce-call-options",
    "sforce-duplicate-rule-header",
    "user-agent",
)
KEY = "External_Key__c"


def _anonymous(text: str) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", STAND_IN, text)


def _recorded_request(request: Any) -> Any:
    if hasattr(request.body, "read"):  # a file is kept as its content
        request = vcr.request.Request(request.method, request.uri, request.body.read(), request.headers)
    request.uri = _anonymous(request.uri)
    headers = {name.lower(): value for name, value in request.headers.items()}
    pinned = {name: headers[name] for name in PINNED if name in headers}
    authorization = headers.get("authorization", "")
    request.headers = pinned | ({"authorization": f"{authorization.split()[0]} {SECRET}"} if authorization else {})
    return request


def _recorded_response(response: Any) -> Any:
    body = response["body"]["string"]
    if b"access_token" in body:
        answer = orjson.loads(_anonymous(body.decode()))
        response["body"]["string"] = orjson.dumps(answer | {"access_token": SECRET, "signature": SECRET})
    elif b'"sobjects":' in body or b'"fields":[{' in body:
        response["body"]["string"] = orjson.dumps(_shortened(orjson.loads(body)))
    kept = ("Content-Type", "Sforce-Limit-Info")
    response["headers"] = {
        name: value for name, value in response["headers"].items() if name.lower() in map(str.lower, kept)
    }
    return response


def _shortened(described: dict[str, Any]) -> dict[str, Any]:
    """A describe without what no test looks at."""
    top: tuple[str, ...] = ("name", "label", "createable", "updateable", "deletable")
    few: dict[str, Any] = {name: described[name] for name in top if name in described}
    for part, names in (("sobjects", ("Contact", "Lead")), ("fields", ("Id", "LastName", "FirstName", KEY))):
        if part in described:
            few[part] = [each for each in described[part] if each["name"] in names]
    return few


def _same_headers(today: Any, recorded: Any) -> None:
    assert dict(today.headers) == dict(recorded.headers)


def _same_body(today: Any, recorded: Any) -> None:
    assert today.body == recorded.body


RECORDER = vcr.VCR(
    cassette_library_dir=str(CASSETTES),
    record_mode=vcr.mode.ALL if RECORDING else vcr.mode.NONE,
    match_on=["method", "uri", "same_headers", "same_body"],
    before_record_request=_recorded_request,
    before_record_response=_recorded_response,
    decode_compressed_response=True,
)
RECORDER.register_matcher("same_headers", _same_headers)
RECORDER.register_matcher("same_body", _same_body)


@contextmanager
def played(name: str, shared_server: SandboxServer, **changes: object) -> Iterator[SalesforceDestination]:
    """A destination whose requests must be those of a cassette, all of them."""
    shared_server.control.reset()
    url = shared_server.url if RECORDING else f"http://{STAND_IN}"
    destination = open_for(shared_server, FakeTime(), instance_url=url, calls_in_flight=1, **changes)
    file = CASSETTES / f"{name}.yaml"
    if RECORDING:
        file.unlink(missing_ok=True)
    try:
        with RECORDER.use_cassette(file.name) as cassette:
            yield destination
        assert RECORDING or cassette.all_played, "a recorded request was not made"
    finally:
        destination.close()


def people(count: int) -> list[Fields]:
    return [{KEY: f"k{number}", "LastName": "Lovelace", "FirstName": "Ada"} for number in range(count)]


def test_sign_in_and_describe(shared_server: SandboxServer) -> None:
    with played("describe", shared_server) as destination:
        assert destination.describe("Contact").fields["LastName"].required
        assert "Contact" in destination.objects()


def test_upsert_update_and_clear(shared_server: SandboxServer) -> None:
    with played("upsert", shared_server) as destination:
        created = destination.upsert("Contact", KEY, people(2))
        cleared = destination.upsert("Contact", KEY, [{KEY: "k0", "FirstName": None}])
    assert [isinstance(result, Delivered) and result.created for result in (*created, *cleared)] == [True, True, False]


def test_upsert_of_more_than_a_call_takes(shared_server: SandboxServer) -> None:
    with played("upsert_split", shared_server) as destination:
        assert len(destination.upsert("Contact", KEY, people(201))) == 201


def test_upsert_with_rules_of_the_org(shared_server: SandboxServer) -> None:
    changes = {"assignment_rules": True, "duplicate_rules": "allow_save"}
    with played("upsert_rules", shared_server, **changes) as destination:
        assert isinstance(destination.upsert("Contact", KEY, people(1))[0], Delivered)


def test_read_find_and_delete(shared_server: SandboxServer) -> None:
    with played("read_find_delete", shared_server) as destination:
        (result,) = destination.upsert("Contact", KEY, [{KEY: "O'Hara & søn", "LastName": "x"}])
        assert isinstance(result, Delivered)
        assert destination.find("Contact", KEY, ["O'Hara & søn"], ["LastName"])
        assert destination.read("Contact", [result.remote_id], ["LastName", KEY])[0]
        assert destination.delete("Contact", [result.remote_id]) == [Delivered(result.remote_id)]
        assert destination.delete("Contact", [result.remote_id]) == [Delivered(result.remote_id)]


def test_a_bulk_job(shared_server: SandboxServer) -> None:
    with played("bulk", shared_server) as destination:
        assert destination.bulk is not None
        job = destination.bulk.begin("Contact", "upsert", KEY)
        records: list[Fields] = [
            *people(2),
            {KEY: "k2", "LastName": 'O"Hara', "FirstName": None},
            {KEY: "k3", "LastName": "x" * 99},
        ]
        destination.bulk.upload(job, (KEY, "LastName", "FirstName"), records)
        if RECORDING:
            shared_server.control.finish_jobs()
        results = list(destination.bulk.results(job, destination.bulk.progress(job)))
    assert [isinstance(result.result, Delivered) for result in sorted(results)] == [True, True, True, False]
    assert {result.sent.get("FirstName", "absent") for result in results} == {"Ada", None, "absent"}


def test_verify(shared_server: SandboxServer) -> None:
    with played("verify", shared_server) as destination:
        assert destination.verify() == []


@pytest.mark.parametrize("cassette", sorted(CASSETTES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_cassette_holds_no_secret(cassette: Path, shared_server: SandboxServer) -> None:
    text = cassette.read_text()
    known = shared_server.credentials
    assert known.client_secret not in text
    assert known.token not in text
    assert set(re.findall(r"\b(?:Basic|Bearer) (\S+)", text)) == {SECRET}
