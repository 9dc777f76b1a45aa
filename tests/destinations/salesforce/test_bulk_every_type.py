"""Every row of docs/types.md goes through a bulk job as it goes through calls: from a column, as CSV, and back."""

from __future__ import annotations

import pytest

from syncbridge.destinations.base import BulkResult, BulkState, Delivered
from syncbridge.mapping.types.table import RULES
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.test_every_type import Bench, bench
from tests.type_cases import names, there_cases, with_id

__all__ = ["bench"]  # a fixture
KEY = "External_Key__c"


def load(bench: Bench, records: dict[str, Fields], columns: list[str]) -> dict[object, BulkResult]:
    bulk = bench.destination.bulk
    assert bulk is not None
    job = bulk.begin("Contact", "upsert", KEY)
    sent = [{**record, KEY: key} for key, record in records.items()]
    assert bulk.upload(job, columns, sent) == (len(records), ())
    bench.server.control.finish_jobs()
    progress = bulk.progress(job)
    assert (progress.state, progress.failed, progress.failure) == (BulkState.DONE, 0, None)
    return {result.key: result for result in bulk.results(job, progress)}


def test_every_example_arrives_and_comes_back_with_the_results(bench: Bench, server: SandboxServer) -> None:
    cases = [case for rule in RULES for case in there_cases(rule)]
    pairs = names(cases)
    bench.build("source", cases)
    for key, case in enumerate(cases):
        at = pairs[case.column, case.field]
        through = "::numeric" if case.column == "money" else ""
        bench.connection.execute(
            f"insert into source (id, c{at}) values (%s, %s::text{through}::{case.column})",
            (key, with_id(case.example.value, bench.account)),
        )
    composed = bench.compose("source", len(pairs), [str(key) for key in range(len(cases))]).records
    assert len(composed) > 300
    columns = [KEY, "LastName", *(f"F{at}__c" for at in range(len(pairs)))]
    results = load(bench, composed, columns)
    assert {key: result.sent for key, result in results.items()} == composed
    for result in results.values():
        types = {name: type(value) for name, value in composed[str(result.key)].items()}
        assert {name: type(value) for name, value in result.sent.items()} == types
    ids = [result.result.remote_id for result in results.values() if isinstance(result.result, Delivered)]
    read = bench.destination.read("Contact", ids, columns[1:])
    assert [record and record.fields for record in read] == [result.sent for result in results.values()]


@pytest.mark.parametrize("times", [1, 2])
def test_sending_the_same_again_is_the_same(bench: Bench, times: int) -> None:
    records: dict[str, Fields] = {"k1": {"LastName": "Lovelace", "Balance__c": 0.1, "Seen_At__c": None}}
    for number in range(times):
        (result,) = load(bench, records, [KEY, "LastName", "Balance__c", "Seen_At__c"]).values()
        assert isinstance(result.result, Delivered)
        assert result.result.created == (number == 0)
        assert result.sent == records["k1"]
