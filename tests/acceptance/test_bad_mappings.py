"""Mapping files with mistakes: told by file and line, code 2, and nothing that is in force is touched."""

from __future__ import annotations

from syncbridge.model import MappingStatus
from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE


def test_every_typo_is_told_with_its_line_and_the_nearest_name(whole: WholeProject) -> None:
    whole.write_mapping("people", PEOPLE.replace("external_id:", "externalid:").replace("where:", "wehre:"))
    ended = whole.run("setup")
    assert ended.code == 2
    assert "people.yaml:8" in ended.err
    assert "did you mean 'where'?" in ended.err
    assert "people.yaml:9" in ended.err
    assert "did you mean 'external_id'?" in ended.err
    assert whole.sql("select 1 from pg_namespace where nspname = 'syncbridge'") == []


def test_unknown_tables_columns_and_fields_are_told_by_check(whole: WholeProject) -> None:
    whole.write_mapping("people", PEOPLE.replace("FirstName: first_name", "FristName: first_nam"))
    whole.write_mapping("parts", PEOPLE.replace("people", "peopel"))
    checked = whole.run("check")
    assert checked.code == 1
    for told in ("first_name", "FirstName", "public.peopel", "public.people"):
        assert told in checked.out


def test_setup_puts_nothing_in_force_in_which_check_finds_an_error(whole: WholeProject) -> None:
    whole.write_mapping("people", PEOPLE.replace("FirstName: first_name", "FristName: first_name"))
    ended = whole.run("setup")
    assert ended.code == 2, ended
    assert "people.yaml" in ended.err
    assert "Contact has no field 'FristName'; did you mean 'FirstName'?" in ended.err
    assert whole.sql("select 1 from pg_namespace where nspname = 'syncbridge'") == []
    assert whole.sql("select 1 from pg_replication_slots where slot_name = %s", whole.slot) == []
    whole.write_mapping("people", PEOPLE)
    whole.done("setup")


def test_a_broken_file_leaves_what_is_in_force_alone(running: WholeProject) -> None:
    running.write_mapping("people", PEOPLE.replace("first_name", "first_nam"))
    ended = running.run("apply", "--yes")
    assert ended.code == 2, ended
    assert "people.yaml" in ended.out
    assert "first_nam" in ended.out
    running.sql("update people set first_name = 'Still delivered'")
    running.wait()
    record = running.record(1)
    assert record is not None
    assert record["FirstName"] == "Still delivered"


def test_a_worker_refuses_files_that_are_not_in_force(whole: WholeProject) -> None:
    whole.done("setup")
    whole.write_mapping("people", PEOPLE.replace("LastName: last_name", "LastName: {column: last_name, default: X}"))
    worker = whole.start()
    assert worker.ended() == 2
    assert "changed: people" in worker.log
    assert "syncbridge apply" in worker.log


def test_an_unknown_destination_is_code_2(whole: WholeProject) -> None:
    whole.write_mapping("people", PEOPLE.replace("destination: crm", "destination: crn"))
    ended = whole.run("setup")
    assert ended.code == 2
    assert "the settings have no destination 'crn'; did you mean 'crm'?" in ended.err
    assert whole.sql("select 1 from pg_namespace where nspname = 'syncbridge'") == []


def test_a_secret_in_the_settings_file_is_refused_without_repeating_it(whole: WholeProject) -> None:
    whole.add_settings('client_secret = "hush-hush"\n')
    ended = whole.run("setup", SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET="")
    assert ended.code == 2
    assert "may not stand in syncbridge.toml" in ended.err
    assert "hush-hush" not in ended.err


def test_a_column_that_is_dropped_halts_its_mapping_alone_and_nothing_is_lost(running: WholeProject) -> None:
    running.sql("alter table people drop column first_name")
    running.sql("delete from people where id = 1")
    running.sql("update parts set stock = 11")
    running.wait("parts")
    waited = running.run("wait", "people")
    assert waited.code == 4, waited
    assert running.mapping().status is MappingStatus.HALTED
    running.workers[0].stop()
    running.start()  # it finds a mapping that does not fit its table
    running.sql("delete from people where id = 2")
    running.sql("update parts set stock = 12")
    running.wait("parts")
    running.sql("alter table people add column first_name text")
    running.done("resume", "people")
    running.wait()
    running.assert_equal()
    assert len(running.records()) == 3


def test_a_table_that_is_dropped_halts_its_mapping_alone(running: WholeProject) -> None:
    running.sql("drop table people")
    until(lambda: running.mapping().status is MappingStatus.HALTED, what="the mapping halts")
    assert "there is no table public.people" in running.mapping().reason
    running.sql("update parts set stock = 13")
    running.wait("parts")
    assert {each["Stock__c"] for each in running.records("parts")} == {13}
    assert len(running.records()) == 5
