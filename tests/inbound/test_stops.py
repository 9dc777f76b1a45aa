"""What stops the way back, says why, and goes on after `resume` without a restart: mass deletes and schema drift."""

from __future__ import annotations

import pytest

from syncbridge.model import MappingStatus
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject
from syncbridge.store import way_back
from syncbridge.store.way_back import WayBack
from tests.fix_two_way import StartTwoWay, TwoWayProject

GUARDED = (
    ("guard: {deletes: off, changes: off}", "guard: {deletes: 3 per hour}"),
    ("to_destination: delete}", "to_destination: delete, to_postgres: delete}"),
)


def people(both: TwoWayProject) -> int:
    return len(both.out.writer.execute("select from people").fetchall())


def resume(both: TwoWayProject) -> None:
    assert way_back.resume(both.out.store, both.out.mapping_id)


def back(both: TwoWayProject) -> WayBack:
    return way_back.read_all(both.out.store)[both.out.mapping_id]


def test_a_mass_delete_over_there_stops_and_asks(start_two_way: StartTwoWay) -> None:
    both = start_two_way(*GUARDED)
    both.out.add(*range(1, 11))
    both.out.deliver()
    both.poll()
    both.age_links()
    for key in (1, 2):
        both.drop(key)
    both.poll()
    assert people(both) == 8
    for key in range(3, 9):
        both.drop(key)
    both.poll()
    assert people(both) == 8
    assert back(both).status is MappingStatus.GUARD
    assert "6 records were deleted there" in back(both).reason
    resume(both)
    both.poll()
    assert people(both) == 2
    assert back(both).status is MappingStatus.ACTIVE
    both.settle()
    assert sorted(both.out.remote()) == ["10", "9"]


def test_ignored_deletes_are_not_counted(start_two_way: StartTwoWay) -> None:
    both = start_two_way(GUARDED[0])
    both.out.add(*range(1, 7))
    both.out.deliver()
    both.poll()
    both.age_links()
    for key in range(1, 7):
        both.drop(key)
    both.poll()
    assert back(both).status is MappingStatus.ACTIVE


def test_a_field_that_is_removed_halts_with_its_name_and_goes_on_after_resume(both: TwoWayProject) -> None:
    contact = both.out.destination.describe("Contact")
    both.out.destination.undescribe("Email")
    both.poll()
    assert back(both).status is MappingStatus.HALTED
    assert "Email" in back(both).reason
    both.out.destination._objects["contact"] = contact
    both.edit(1, FirstName="Grace")
    resume(both)
    both.poll()
    assert both.row(1, "first_name") == ("Grace",)
    assert back(both).status is MappingStatus.ACTIVE


def test_a_field_of_another_type_halts_with_its_name_once_records_change(
    both: TwoWayProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncbridge.inbound.poll.DESCRIBE_EVERY", -1.0)
    contact = both.out.destination.describe("Contact")
    fields = {**contact.fields, "Score__c": RemoteField("Score__c", FieldKind.BOOLEAN)}
    both.poll()
    both.out.destination._objects["contact"] = RemoteObject("Contact", fields)
    both.edit(1, FirstName="Grace")
    both.poller.step()
    assert back(both).status is MappingStatus.HALTED
    assert "Score__c" in back(both).reason
    assert both.row(1, "first_name") == ("First 1",)
