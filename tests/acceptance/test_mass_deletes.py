"""Somebody deletes many records in the org: the guard stops the way back, and each way out ends with equal sides."""

from __future__ import annotations

from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE

GUARDED = PEOPLE.replace(
    "deletes: {to_destination: delete}", "direction: both\npoll: {every: 1s}\ndeletes: {to_postgres: delete}"
).replace('guard: {deletes: "off"}', "guard: {deletes: 2 per hour}")


def delete_four(whole: WholeProject) -> list[str]:
    """Delete the records of people 2 to 5, until the guard stops the way back; their ids."""
    ids = [record["Id"] for record in whole.records() if record["Person_Key__c"] != "1"]
    later = "select 1 from syncbridge.mapping where name = 'people' and approved_at > now() - interval '1 second'"
    until(lambda: not whole.sql(later), what="deletes of whole seconds come after what was approved")
    with whole.project() as project:
        project.destination("crm").delete("Contact", ids)
    stopped = "select 1 from syncbridge.mapping where name = 'people' and in_status = 'guard'"
    until(lambda: whole.sql(stopped), what="the guard stops the way back")
    assert whole.sql("select count(*) from people") == [(5,)]
    assert len(whole.records()) == 1
    return ids


def test_many_deletes_there_delete_no_row_before_a_person_decides(whole: WholeProject) -> None:
    whole.write_mapping("people", GUARDED)
    whole.done("setup")
    whole.start()
    whole.wait()

    # undelete them there
    ids = delete_four(whole)
    status = whole.run("status")
    assert status.code == 1
    assert "4 records were deleted there" in " ".join(status.out.split())
    whole.sql("update people set first_name = 'Goes on' where id = 1")
    until(lambda: whole.record(1)["FirstName"] == "Goes on")  # type: ignore[index]
    assert whole.salesforce.control.undelete("Contact", ids) == 4
    whole.done("resume", "people")
    whole.wait()
    whole.assert_equal()
    assert sorted(record["Id"] for record in whole.records())[1:] == sorted(ids)

    # the rows are right
    ids = delete_four(whole)
    assert whole.run("reconcile", "people").code == 1
    whole.done("reconcile", "people", "--repair", "postgres", "--yes")
    whole.done("resume", "people")
    whole.wait()
    whole.assert_equal()
    assert len(whole.records()) == 5
    assert not {record["Id"] for record in whole.records()} & set(ids)

    # they were meant
    delete_four(whole)
    whole.done("resume", "people")
    until(lambda: whole.sql("select id from people") == [(1,)])
    whole.wait()
    whole.assert_equal()
