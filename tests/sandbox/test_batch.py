"""The batch call: independent subrequests, each committed and counted on its own."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


def batch(api: Api, *requests: dict[str, Any], **more: Any) -> Any:
    response = api.post("/composite/batch", json={"batchRequests": list(requests), **more})
    assert response.status_code == 200, response.text
    return response.json()


def update(record_id: str, **values: Any) -> dict[str, Any]:
    return {"method": "PATCH", "url": f"v59.0/sobjects/account/{record_id}", "richInput": values}


def test_a_batch_updates_and_reads_in_its_order(api: Api) -> None:
    record_id = api.create("Account", Name="Acme")
    read = {"method": "GET", "url": f"/services/data/v34.0/sobjects/account/{record_id}?fields=Name"}
    answer = batch(api, update(record_id, Name="Bolt"), read)
    assert answer["hasErrors"] is False
    assert answer["results"][0] == {"statusCode": 204, "result": None}
    assert answer["results"][1]["statusCode"] == 200
    assert answer["results"][1]["result"]["Name"] == "Bolt"


@pytest.mark.parametrize(("halting", "last", "name"), [(False, 204, "Last"), (True, 412, "First")])
def test_halt_on_error_leaves_the_rest_undone_and_nothing_is_rolled_back(
    api: Api, halting: bool, last: int, name: str
) -> None:
    record_id = api.create("Account", Name="Acme")
    answer = batch(
        api,
        update(record_id, Name="First"),
        update(record_id, Name=None),
        update(record_id, Name="Last"),
        haltOnError=halting,
    )
    assert answer["hasErrors"] is True
    assert [each["statusCode"] for each in answer["results"]] == [204, 400, last]
    assert answer["results"][1]["result"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    if halting:
        assert answer["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert api.rows("SELECT Name FROM Account") == [{"Name": name}]


def test_every_subrequest_counts_as_a_call_until_the_day_is_used_up(api: Api, sandbox: SandboxServer) -> None:
    limits = {"method": "GET", "url": "v59.0/limits"}
    response = api.post("/composite/batch", json={"batchRequests": [limits] * 3})
    assert response.headers["Sforce-Limit-Info"] == "api-usage=3/15000"
    sandbox.control.set_usage(used=14_998)
    answer = batch(api, limits, limits, limits)
    assert [each["statusCode"] for each in answer["results"]] == [200, 200, 403]
    assert answer["results"][2]["result"][0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"


def test_versions_above_the_batch_and_other_resources_are_refused_one_by_one(api: Api) -> None:
    answer = batch(
        api,
        {"method": "GET", "url": "v60.0/limits"},
        {"method": "GET", "url": "v33.0/limits"},
        {"method": "GET", "url": "v5.9.0/limits"},
        {"method": "POST", "url": "v59.0/composite", "richInput": {}},
        {"method": "GET", "url": "v59.0/query?q=SELECT+Id+FROM+Account"},
    )
    assert [each["statusCode"] for each in answer["results"]] == [400, 400, 400, 400, 200]


@pytest.mark.parametrize("wrong", [{"method": "LOOK"}, {"url": None}, {"binaryPartName": "a"}])
def test_a_subrequest_that_is_malformed_fails_the_whole_call(api: Api, wrong: dict[str, Any]) -> None:
    record_id = api.create("Account", Name="Acme")
    requests = [update(record_id, Name="Bolt"), {"method": "GET", "url": "v59.0/limits"} | wrong]
    response = api.post("/composite/batch", json={"batchRequests": requests})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert api.rows("SELECT Name FROM Account") == [{"Name": "Acme"}]


def test_a_batch_has_at_most_25_subrequests(api: Api) -> None:
    limits = {"method": "GET", "url": "v59.0/limits"}
    assert len(batch(api, *[limits] * 25)["results"]) == 25
    response = api.post("/composite/batch", json={"batchRequests": [limits] * 26})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")
