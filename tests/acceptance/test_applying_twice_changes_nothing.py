"""Applying twice changes nothing: equal records are not written, and a lost answer makes no second record."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject, until


def writes(whole: WholeProject) -> int:
    """Calls that change records."""
    return sum(whole.salesforce.control.calls(route) for route in ("collections_upsert", "collections_delete"))


def test_a_resync_of_equal_records_makes_no_write_call(running: WholeProject) -> None:
    before = writes(running)
    assert before > 0
    running.done("resync", "people")
    running.done("resync", "parts")
    running.wait()
    assert writes(running) == before
    running.assert_equal()


def test_an_update_that_changes_nothing_makes_no_write_call(running: WholeProject) -> None:
    before = writes(running)
    running.sql("update people set first_name = first_name")
    running.wait()
    assert writes(running) == before


def test_setup_a_second_time_changes_nothing(running: WholeProject) -> None:
    before = writes(running)
    assert running.done("setup").out.strip() == "everything is in force already."
    running.wait()
    assert writes(running) == before


@pytest.mark.parametrize("times", [1, 3])
def test_an_answer_that_is_lost_after_the_write_makes_no_second_record(running: WholeProject, times: int) -> None:
    rule = running.salesforce.faults.add("drop_after", path="/composite/sobjects/Contact", times=times)
    running.sql("insert into people (id, last_name) values (20, 'Once'), (21, 'Only')")
    running.wait()
    assert rule.struck == times
    keys = [each["Person_Key__c"] for each in running.records(deleted=True)]
    assert sorted(keys) == ["1", "2", "20", "21", "3", "4", "5"]
    running.assert_equal()


def test_a_timeout_after_the_write_makes_no_second_record(whole: WholeProject) -> None:
    whole.add_settings('read_timeout = "500ms"\n')
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.salesforce.faults.add("latency", path="/composite/sobjects/Contact", seconds=1.5, times=1)
    whole.sql("insert into people (id, last_name) values (30, 'Late')")
    whole.wait()
    assert [each["Person_Key__c"] for each in whole.records(deleted=True)].count("30") == 1
    whole.assert_equal()


def test_a_row_that_is_deleted_while_the_answer_to_its_insert_is_lost_leaves_nothing_behind(
    running: WholeProject,
) -> None:
    rule = running.salesforce.faults.add("drop_after", path="/composite/sobjects/Contact", times=1)
    running.sql("insert into people (id, last_name) values (40, 'Brief')")
    until(lambda: rule.struck == 1)
    running.sql("delete from people where id = 40")
    running.wait()
    assert running.record(40) is None
    running.assert_equal()
