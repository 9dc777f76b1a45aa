"""Rows that Salesforce refuses are dead letters with its code; all others arrive, and mending the row mends all."""

from __future__ import annotations

from tests.fix_project import WholeProject

#: What is wrong with each row, and the code that Salesforce has for it.
BAD = {
    "101": ("first_name", "x" * 300, "STRING_TOO_LONG"),
    "102": ("last_name", None, "REQUIRED_FIELD_MISSING"),
    "103": ("email", "not an email", "INVALID_EMAIL_ADDRESS"),
    "104": ("level", "Platinum", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
    "105": ("badge", "B-1", "DUPLICATE_VALUE"),
}


def insert_bad_rows(whole: WholeProject) -> None:
    whole.sql("update people set badge = 'B-1' where id = 1")
    whole.wait()
    whole.sql("begin")
    whole.sql("insert into people (id, last_name) select n, 'Good ' || n from generate_series(90, 110) as n")
    for key, (column, value, _) in BAD.items():
        whole.sql(f"update people set {column} = %s where id = %s", value, int(key))
    whole.sql("commit")


def test_each_is_a_dead_letter_with_its_code_and_mending_the_row_delivers_it(running: WholeProject) -> None:
    insert_bad_rows(running)
    running.sql("update parts set stock = 5")
    ended = running.run("wait", "--timeout", "60s")
    assert ended.code == 1
    assert "5 dead letters" in ended.out
    assert running.dead() == {key: code for key, (_, _, code) in BAD.items()}
    listed = running.run("dead", "people")
    assert all(code in listed.out for _, _, code in BAD.values())
    assert "not an email" not in listed.out
    assert len(running.records()) == 5 + 21 - 5
    running.sql("update people set first_name = null where id = 101")
    running.sql("update people set last_name = 'Mended' where id = 102")
    running.sql("update people set email = 'mended@example.com' where id = 103")
    running.sql("update people set level = 'Gold' where id = 104")
    running.sql("update people set badge = 'B-5' where id = 105")
    running.wait()
    assert running.dead() == {}
    running.assert_equal()


def test_a_refused_update_leaves_the_record_as_it_was_until_salesforce_is_mended_and_it_is_requeued(
    running: WholeProject,
) -> None:
    running.sql("update people set level = 'Platinum' where id = 2")
    assert running.run("wait", "--timeout", "60s").code == 1
    record = running.record(2)
    assert record is not None
    assert record["Level__c"] is None
    status = running.run("status")
    assert status.code == 1
    assert "! people: 1 dead letter" in status.out
    running.salesforce.control.change_field("Contact", "Level__c", values=("Gold", "Silver", "Platinum"))
    running.done("requeue", "people", "--code", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    running.wait()
    running.assert_equal()
