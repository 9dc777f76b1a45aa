"""What a person mends in the destination is noticed: no record stays refused because of an old description."""

from __future__ import annotations

from dataclasses import replace

from syncbridge.model import MappingStatus, Reason
from syncbridge.outbound.comparing import DESCRIBE_EVERY
from syncbridge.schemas import RemoteObject
from syncbridge.store import mappings
from tests.fix_delivery import SmallProject

INSERT = "insert into people (id, first_name, last_name) values ({0}, repeat('x', 50), 'Long')"


def lengthen(project: SmallProject) -> None:
    """Somebody makes the field long enough."""
    contact = project.destination._objects["contact"]
    fields = {**contact.fields, "FirstName": replace(contact.fields["FirstName"], length=60)}
    project.destination._objects["contact"] = RemoteObject("Contact", fields)


def test_a_dead_letter_that_is_requeued_is_judged_by_a_new_description(project: SmallProject) -> None:
    project.change(INSERT.format(1), 1)
    project.deliverer.step()
    assert project.destination.sent == []
    lengthen(project)
    project.touch(1, reason=Reason.REQUEUE)
    project.deliverer.step()
    assert [record["Person_Key__c"] for record in project.destination.sent] == ["1"]


def test_records_are_refused_by_a_description_that_is_not_older_than_a_minute(project: SmallProject) -> None:
    now = 0.0
    project.deliverer = project.lane(clock=lambda: now)
    project.change(INSERT.format(1), 1)
    project.deliverer.step()
    lengthen(project)
    now = DESCRIBE_EVERY + 1
    project.change(INSERT.format(2), 2)
    project.deliverer.step()
    assert [record["Person_Key__c"] for record in project.destination.sent] == ["2"]


def test_refused_records_do_not_describe_again_and_again(project: SmallProject) -> None:
    project.deliverer = project.lane(clock=lambda: 0.0)
    for key in range(1, 6):
        project.change(INSERT.format(key), key)
        project.deliverer.step()
    assert project.destination.refreshed == 1


def test_a_halted_mapping_that_is_resumed_is_judged_by_a_new_description(project: SmallProject) -> None:
    contact = project.destination._objects["contact"]
    project.destination.undescribe("Email")
    project.change("insert into people (id, last_name) values (1, 'Hopper')", 1)
    project.deliverer.step()
    assert project.status() is MappingStatus.HALTED
    refreshed = project.destination.refreshed
    project.destination._objects["contact"] = contact
    mappings.resume(project.store, project.mapping_id)
    project.deliverer.step()
    assert project.destination.refreshed > refreshed
    assert [record["Person_Key__c"] for record in project.destination.sent] == ["1"]
