"""Reconcile finds exactly what drifted behind everybody's back, and after a repair both sides agree."""

from __future__ import annotations

from typing import Any

from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE

BOTH = PEOPLE.replace("deletes: {to_destination: delete}", "direction: both\npoll: {every: 1s}")


def edit(whole: WholeProject, remote_id: str, **values: Any) -> None:
    """Somebody changes a record in Salesforce."""
    with whole.project() as project:
        (result,) = project.destination("crm").update("Contact", [(remote_id, values)])
    assert not hasattr(result, "code"), result


def change_unseen(whole: WholeProject, statement: str) -> None:
    """Change rows, and lose what capture noticed of it."""
    whole.done("pause", "people")
    before = whole.waiting("people")
    whole.sql(statement)
    until(lambda: whole.waiting("people") > before)
    whole.sql(
        "delete from syncbridge.outbox o using syncbridge.mapping m where m.id = o.mapping_id and m.name = 'people'"
    )
    whole.done("resume", "people")


def reconcile(whole: WholeProject, *arguments: str) -> tuple[int, Any]:
    ended = whole.run("reconcile", "people", "--json", *arguments)
    assert ended.out, ended.err
    return ended.code, ended.json


def test_a_live_system_that_agrees_reconciles_to_nothing_at_the_cost_of_few_calls(running: WholeProject) -> None:
    people = len(running.records())
    whole = running
    whole.sql("update people set first_name = 'New' where id = 1")
    code, report = reconcile(whole)
    assert (code, report["drift"], report["on_its_way"]) == (0, 0, 0)
    assert (report["agreeing"], report["entities"]) == (people, people)
    assert report["calls"] <= 3
    shown = whole.done("reconcile", "people").out
    assert f"people: {people} entities and {people} records of Contact: agree" in shown
    (drift,) = whole.sql("select drift from syncbridge.reconciliation order by id limit 1")[0]
    assert drift == 0


def test_drift_is_found_and_repaired_with_postgres_right(running: WholeProject) -> None:
    whole = running
    ids = {int(record["Person_Key__c"]): record["Id"] for record in whole.records()}
    first, second, third = sorted(ids)[:3]
    change_unseen(whole, f"update people set first_name = 'Unseen', email = 'secret@example.org' where id = {first}")
    change_unseen(whole, f"delete from people where id = {third}")
    edit(whole, ids[second], LastName="Theirs")
    code, report = reconcile(whole)
    assert code == 1
    assert (report["kinds"], report["fields"]) == (
        {"extra": 1, "fields": 2},
        {"Email": 1, "FirstName": 1, "LastName": 1},
    )
    examples = {each["key"]: each for each in report["examples"]}
    assert examples[str(first)]["fields"]["FirstName"] == {"postgres": "Unseen", "destination": f"First {first}"}
    told = whole.run("reconcile", "people")
    assert told.code == 1
    assert "secret@example.org" not in told.out + str(report)
    code, report = reconcile(whole, "--repair", "postgres", "--delete-extra", "--yes")
    assert (code, report["repaired"]["sent"]) == (0, 3)
    whole.wait()
    code, report = reconcile(whole)
    assert (code, report["drift"]) == (0, 0)
    whole.assert_equal()


def test_a_two_way_mapping_takes_what_the_records_hold(whole: WholeProject) -> None:
    whole.write_mapping("people", BOTH)
    whole.done("setup")
    whole.start()
    whole.wait()
    until(lambda: whole.sql("select 1 from syncbridge.watermark where polled_at is not null"))
    change_unseen(whole, "update people set first_name = 'Unseen' where id in (1, 2)")
    code, report = reconcile(whole, "--repair", "destination", "--yes")
    assert (code, report["kinds"], report["repaired"]["looked_at"]) == (0, {"fields": 2}, 2)
    until(
        lambda: (
            whole.sql("select first_name from people where id in (1, 2) order by id") == [("First 1",), ("First 2",)]
        )
    )
    whole.wait()
    assert reconcile(whole)[0] == 0


def test_both_sides_are_counted_when_somebody_asks_and_then_for_ten_minutes_at_no_call(running: WholeProject) -> None:
    people = len(running.records())
    running.salesforce.control.reset_stats()
    counts = {each["mapping"]: each for each in running.run("status", "--counts", "--json").json["counts"]}
    assert (counts["people"]["entities"], counts["people"]["records"]) == (people, people)
    assert running.salesforce.control.calls("query") == len(counts)
    told = running.run("status", "people", "--counts").out
    assert "records with a key" in told
    assert running.salesforce.control.calls("query") == len(counts)


def test_what_cannot_be_asked_for_is_refused(running: WholeProject) -> None:
    for arguments, message in (
        (("--delete-extra",), "go with --repair"),
        (("--repair", "postgres"), "needs --yes"),
        (("--repair", "destination", "--yes"), "goes one way"),
    ):
        ended = running.run("reconcile", "people", *arguments)
        assert ended.code == 2
        assert message in ended.err
    ended = running.run("reconcile", "poeple")
    assert (ended.code, "did you mean 'people'" in ended.err) == (2, True)


def test_a_sample_costs_few_calls_and_tells_how_sure_it_is(running: WholeProject) -> None:
    people = len(running.records())
    code, report = reconcile(running, "--sample", "1000")
    assert (code, report["sample"], report["drift"]) == (0, people, 0)
    assert report["share_high"] > 0
    assert report["calls"] <= 3
    assert running.sql("select count(*) from syncbridge.reconciliation") == [(0,)]
