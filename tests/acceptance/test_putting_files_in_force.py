"""A field that is added fills itself for existing records; nothing else is sent. Killed halfway, it goes on."""

from __future__ import annotations

from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE

WITH_TITLE = PEOPLE.replace("  Badge__c: badge\n", "  Badge__c: badge\n  Title: {sql: \"'No. ' || id\"}\n")


def test_a_field_that_is_added_is_filled_for_existing_records_and_only_it_is_sent(running: WholeProject) -> None:
    record = running.record(4)
    assert record is not None
    running.salesforce.control.set_values("Contact", record["Id"], {"LastName": "Changed by hand"})
    running.write_mapping("people", WITH_TITLE)
    planned = running.run("plan")
    assert planned.code == 1, planned
    assert "+ Title" in planned.out
    running.done("apply", "--yes")
    running.wait()
    assert {each["Title"] for each in running.records()} == {f"No. {n}" for n in range(1, 6)}
    touched = running.record(4)
    assert touched is not None
    assert touched["LastName"] == "Changed by hand"  # it was not sent
    sent = running.sql(
        "select distinct fields from syncbridge.sync_log where reason = 'resync' and operation = 'update'"
    )
    assert sent == [("Title",)]
    assert running.run("plan").code == 0


def test_a_field_that_comes_back_is_filled_with_what_is_true_now(running: WholeProject) -> None:
    without = PEOPLE.replace("  FirstName: first_name\n", "")
    running.write_mapping("people", without)
    running.done("apply", "--yes")
    running.wait()
    record = running.record(1)
    assert record is not None
    assert record["FirstName"] == "First 1"  # no longer mapped: it stays
    running.salesforce.control.set_values("Contact", record["Id"], {"FirstName": "Changed meanwhile"})
    running.write_mapping("people", PEOPLE)
    running.done("apply", "--yes")
    running.wait()
    running.assert_equal()


def test_a_worker_that_runs_while_files_are_applied_by_another_takes_them_up(running: WholeProject) -> None:
    ended = running.start("--apply")
    running.write_mapping("people", WITH_TITLE)
    running.done("apply", "--yes")
    running.sql("insert into people (id, last_name) values (9, 'Late')")
    running.wait()
    until(lambda: (running.record(9) or {}).get("Title") == "No. 9", what="the new field is sent by every worker")
    assert {each["Title"] for each in running.records()} == {f"No. {n}" for n in (1, 2, 3, 4, 5, 9)}
    ended.stop()
