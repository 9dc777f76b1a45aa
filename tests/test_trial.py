"""`syncbridge test`: one record goes the whole way, and its calls are shown without a secret."""

from __future__ import annotations

import json

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy, RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.outbound.masking import MASK
from syncbridge.store import claims
from syncbridge.trial import send
from tests.fix_cli import CliProject
from tests.fix_project import WholeProject


def one(connection: object, mapping: CompiledMapping) -> str:
    return "1"


def test_only_this_record_is_sent_in_full_and_settled(cli_project: CliProject) -> None:
    cli_project.enqueue("2")
    trial = send(cli_project.project, "people", one)
    assert [fields["Person_Key__c"] for fields in cli_project.destination.stored("Contact").values()] == ["1"]
    assert trial.entry is not None
    assert (trial.entry.outcome, trial.entry.operation) == ("delivered", "create")
    assert trial.waiting is None
    (call,) = trial.calls
    assert (call.method, call.path) == ("upsert", "Contact")
    assert call.request[0]["FirstName"] == "Ada"
    assert cli_project.store.execute("select key from syncbridge.outbox").fetchall() == [("2",)]
    again = send(cli_project.project, "people", one)
    assert set(again.calls[0].request[0]) == {"Person_Key__c", "FirstName", "LastName", "Email"}


def test_sensitive_values_are_masked_wherever_they_stand(cli_project: CliProject) -> None:
    refused = Rejected("REFUSED", "no room for ada@example.com here", Remedy.RECORD)
    cli_project.destination.faults.rejections["1"] = refused
    trial = send(cli_project.project, "people", one)
    shown = json.dumps([trial.calls[0].request, trial.calls[0].answer])
    assert "ada@example.com" not in shown
    assert f"no room for {MASK} here" in shown


def test_a_refused_record_is_a_dead_letter_as_ever(cli_project: CliProject) -> None:
    cli_project.destination.faults.reject("1", "STRING_TOO_LONG")
    trial = send(cli_project.project, "people", one)
    assert trial.waiting is not None
    assert trial.waiting.status == "dead"
    assert trial.entry is not None
    assert trial.entry.code == "STRING_TOO_LONG"


def test_what_a_worker_holds_under_lease_is_left_to_it(cli_project: CliProject) -> None:
    cli_project.enqueue("1")
    number = cli_project.applied().id
    assert claims.claim(cli_project.store, number, limit=1, lease=60.0)[1]
    before = cli_project.store.execute("select o::text from syncbridge.outbox o").fetchall()
    with pytest.raises(RetryLater, match="just being delivered by a worker"):
        send(cli_project.project, "people", one)
    assert cli_project.store.execute("select o::text from syncbridge.outbox o").fetchall() == before
    assert cli_project.destination.calls == []


def test_a_paused_mapping_can_be_tried(cli_project: CliProject) -> None:
    assert cli_project.run("pause", "people").code == 0
    assert send(cli_project.project, "people", one).entry is not None
    assert len(cli_project.destination.stored("Contact")) == 1


def test_the_command_shows_request_and_answer(cli_project: CliProject) -> None:
    ran = cli_project.run("test", "people", "--key", "1")
    assert ran.code == 0, ran
    assert ran.out.startswith("people 1 -> memory Contact\n\nupsert Contact\n")
    assert '"FirstName": "Ada"' in ran.out
    assert f'"Email": "{MASK}"' in ran.out
    assert ran.out.rstrip().endswith("delivered: create m00000001, FirstName, LastName, Email")
    gone = cli_project.run("test", "people", "--key", "77")
    assert (gone.code, gone.out.splitlines()[-1]) == (0, "nothing to send: no entity now, and no record of it")


def test_salesforce_shows_the_wire_without_a_token(whole: WholeProject) -> None:
    whole.done("setup")
    ended = whole.run("test", "people", "--key", "1", "--json")
    assert ended.code == 0, ended
    told = json.loads(ended.out)
    (call,) = told["calls"]
    assert call["method"] == "PATCH"
    assert call["path"].endswith("/composite/sobjects/Contact/Person_Key__c")
    assert call["status"] == 200
    assert call["request"]["records"][0]["FirstName"] == "First 1"
    assert call["request"]["records"][0]["Email"] == MASK
    assert call["answer"][0]["success"] is True
    assert "Bearer" not in ended.out
    assert whole.salesforce.credentials.client_secret not in ended.out
    assert [each["Person_Key__c"] for each in whole.records()] == ["1"]


def test_salesforce_is_only_read_by_plan_records(whole: WholeProject) -> None:
    control = whole.salesforce.control
    whole.done("setup")
    whole.done("test", "people", "--key", "1")
    whole.sql("update people set last_name = 'Changed' where id = 1")
    state = whole.sql("select o::text from syncbridge.outbox o")
    before = [control.calls(route) for route in ("collections_upsert", "collections_delete")]
    ended = whole.run("plan", "--records", "--json")
    assert ended.code == 1, ended
    told = [json.loads(line) for line in ended.out.splitlines()]
    people = next(each for each in told if each["mapping"] == "people" and "counts" in each)
    assert (people["counts"]["create"], people["counts"]["update"], people["rows"]) == (4, 1, 5)
    assert people["calls"] >= 2
    update = next(each for each in told if each.get("fate") == "update")
    assert update["fields"] == [
        {"field": "LastName", "before": "Last 1", "after": "Changed", "sent": True, "held": False}
    ]
    assert [control.calls(route) for route in ("collections_upsert", "collections_delete")] == before
    assert whole.sql("select o::text from syncbridge.outbox o") == state
