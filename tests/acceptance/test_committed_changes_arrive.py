"""A committed change in Postgres reaches Salesforce, whatever kind of change it is, and `syncbridge wait` says when."""

from __future__ import annotations

from tests.fix_project import WholeProject


def test_the_first_sync_delivers_every_row_that_passes_the_filter(whole: WholeProject) -> None:
    whole.sql("update people set is_test = true where id = 5")
    whole.done("setup")
    whole.start()
    assert "delivered" in whole.wait().out
    assert [each["Person_Key__c"] for each in whole.records()] == ["1", "2", "3", "4"]
    assert len(whole.records("parts")) == 3
    whole.assert_equal()


def test_inserts_updates_and_deletes_are_there_when_wait_returns(running: WholeProject) -> None:
    running.sql("insert into people (id, last_name) values (10, 'Noether')")
    running.sql("update people set first_name = 'Emmy' where id = 1")
    running.sql("delete from people where id = 2")
    running.wait()
    created, updated = running.record(10), running.record(1)
    assert created is not None
    assert created["LastName"] == "Noether"
    assert updated is not None
    assert updated["FirstName"] == "Emmy"
    assert running.record(2) is None
    running.assert_equal()


def test_a_row_that_leaves_the_filter_is_deleted_and_comes_back_with_it(running: WholeProject) -> None:
    running.sql("update people set is_test = true where id = 3")
    running.wait("people")
    assert running.record(3) is None
    running.sql("update people set is_test = false where id = 3")
    running.wait("people")
    assert running.record(3) is not None
    running.assert_equal()


def test_a_changed_key_is_a_new_record_in_place_of_the_old_one(running: WholeProject) -> None:
    running.sql("update parts set number = 33 where number = 3")
    running.wait("parts")
    assert len(running.records("parts")) == 3
    running.assert_equal()


def test_truncate_empties_the_other_side(running: WholeProject) -> None:
    running.sql("truncate parts")
    running.wait()
    assert running.records("parts") == []
    assert len(running.records()) == 5
    running.assert_equal()


def test_what_was_rolled_back_is_never_sent(running: WholeProject) -> None:
    running.sql("begin")
    running.sql("insert into people (id, last_name) values (66, 'Nobody')")
    running.sql("rollback")
    running.sql("insert into people (id, last_name) values (67, 'Somebody')")
    running.wait()
    assert running.record(66) is None
    running.assert_equal()


def test_a_new_mapping_file_is_taken_up_by_the_running_worker(running: WholeProject) -> None:
    running.sql("create table tools (id int primary key, name text)")
    running.sql("insert into tools values (1, 'Hammer')")
    running.write_mapping(
        "tools",
        "mapping: tools\ndestination: crm\nobject: Account\nentity: {table: public.tools, key: id}\n"
        "external_id: External_Key__c\nfields: {Name: name}\n",
    )
    running.done("apply", "--yes")
    running.sql("insert into tools values (2, 'Saw')")
    running.wait()
    assert {each["Name"] for each in running.salesforce.control.records("Account")} == {"Hammer", "Saw"}


def test_a_resync_finds_and_mends_what_somebody_changed_behind_our_back(running: WholeProject) -> None:
    record = running.record(4)
    assert record is not None
    running.salesforce.control.set_values("Contact", record["Id"], {"FirstName": "Changed by hand"})
    running.done("resync", "people", "--force")
    running.wait()
    running.assert_equal()


def test_a_resync_delivers_rows_whose_deletion_nobody_captured(whole: WholeProject) -> None:
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    worker.stop()
    whole.sql("delete from parts where number = 1")
    whole.sql("update syncbridge.checkpoint set end_lsn = pg_current_wal_insert_lsn()")  # skipped on purpose
    whole.start()
    whole.wait()
    assert len(whole.records("parts")) == 3
    whole.done("resync", "parts")
    whole.wait()
    assert len(whole.records("parts")) == 2
    whole.assert_equal()
