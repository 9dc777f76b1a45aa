"""Tables, columns, objects and fields that are no longer as mapped: the mapping halts with a hint, its rows wait."""

from __future__ import annotations

from syncbridge.errors import Remedy, RetryLater, SchemaDrift
from syncbridge.model import MappingStatus
from syncbridge.store import backlog, mappings
from tests.fix_delivery import SmallProject, Start


def test_a_dropped_table_halts_the_mapping_with_a_hint(project: SmallProject) -> None:
    project.add(1)
    project.writer.execute("drop table people")
    project.deliver()
    applied = project.applied()
    assert applied.status is MappingStatus.HALTED
    assert "people" in applied.reason
    assert "syncbridge check" in applied.hint
    assert project.left() == ["1"]


def test_a_dropped_column_halts_the_mapping_and_a_mended_one_goes_on(project: SmallProject) -> None:
    project.add(1)
    project.writer.execute("alter table people rename email to mail")
    project.deliver()
    assert project.status() is MappingStatus.HALTED
    project.writer.execute("alter table people rename mail to email")
    mappings.resume(project.store, project.mapping_id)
    project.deliver()
    assert set(project.remote()) == {"1"}


def test_a_column_whose_type_changes_goes_on_with_the_new_type(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.writer.execute("alter table people alter score type integer")
    project.change("update people set score = 7", 1)
    project.deliver()
    assert project.remote()["1"]["Score__c"] == 7
    assert project.status() is MappingStatus.ACTIVE


def test_sql_that_writes_is_refused_by_the_source_and_halts_the_mapping(start: Start) -> None:
    project = start(("  Email: email", "  Email: email\n  Share__c: {sql: \"setval('counter', 1)\"}"))
    project.writer.execute("create sequence counter")
    project.add(1)
    project.deliver()
    assert project.status() is MappingStatus.HALTED
    assert "read" in project.applied().hint


def test_a_field_refused_for_the_schema_is_described_once_anew_then_the_mapping_halts(project: SmallProject) -> None:
    project.destination.faults.reject("1", "INVALID_FIELD", remedy=Remedy.SCHEMA)
    project.add(1, 2)
    project.deliverer.step()
    assert project.destination.refreshed == 1
    assert project.status() is MappingStatus.ACTIVE
    project.deliver()
    assert project.destination.refreshed == 1
    applied = project.applied()
    assert applied.status is MappingStatus.HALTED
    assert "INVALID_FIELD" in applied.reason
    assert "syncbridge check" in applied.hint
    assert set(project.remote()) == {"2"}


def test_an_outage_before_does_not_count_as_a_description_that_was_refused(project: SmallProject) -> None:
    project.destination.faults.fail(RetryLater("not available"))
    project.add(1)
    project.deliver()
    project.wake()
    project.destination.faults.reject("1", "INVALID_FIELD", remedy=Remedy.SCHEMA)
    project.deliverer.step()
    assert project.destination.refreshed == 1
    assert project.status() is MappingStatus.ACTIVE


def test_rows_never_become_dead_letters_for_a_schema_that_is_at_fault(project: SmallProject) -> None:
    project.destination.faults.reject("1", "INVALID_FIELD", remedy=Remedy.SCHEMA)
    project.add(1)
    for _ in range(5):
        project.deliver()
        mappings.resume(project.store, project.mapping_id)
    assert backlog.dead_letters(project.store) == []
    project.destination.faults.clear()
    project.deliver()
    assert set(project.remote()) == {"1"}


def test_a_field_that_was_removed_halts_the_mapping_by_name(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.undescribe("Email")
    project.change("update people set email = 'x@example.org'", 1)
    project.deliver()
    assert project.status() is MappingStatus.HALTED
    assert "Email" in project.applied().reason
    assert project.left() == ["1"]


def test_an_object_that_is_gone_when_it_is_described_anew_halts_the_mapping(project: SmallProject) -> None:
    project.destination.faults.reject("1", "INVALID_TYPE", remedy=Remedy.SCHEMA)
    project.add(1)
    describe = project.destination.describe

    def gone(object: str, *, refresh: bool = False) -> object:
        if refresh:
            raise SchemaDrift("There is no object Contact.", hint="Mend it.")
        return describe(object)

    project.destination.describe = gone  # type: ignore[method-assign, assignment]
    project.deliver()
    assert project.status() is MappingStatus.HALTED
    assert project.applied().reason == "There is no object Contact."
