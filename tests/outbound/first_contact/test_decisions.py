"""First contact: what a person decided about held records is done, whatever happens meanwhile."""

from __future__ import annotations

import pytest

from syncbridge.errors import Remedy, RetryLater
from syncbridge.store import conflicts, sync_log
from tests.fix_delivery import SmallProject
from tests.outbound.first_contact.conftest import decide, held, linked, put, stored


def test_the_record_that_a_person_chose_is_linked(project: SmallProject) -> None:
    one, two = put(project, Email="1@example.org"), put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    decide(project, 1, two)
    project.deliver()
    assert linked(project, 1) == two
    assert (stored(project, one)["Person_Key__c"], stored(project, two)["Person_Key__c"]) == (None, "1")
    assert held(project) == {}
    last = sync_log.read(project.store, key="1")[-1]
    assert last.message == "linked an existing record, chosen by a person"


def test_a_person_may_choose_a_new_record(project: SmallProject) -> None:
    put(project, Email="1@example.org")
    put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    decide(project, 1, None)
    project.deliver()
    assert len(project.destination.stored("Contact")) == 3
    assert stored(project, linked(project, 1) or "")["Person_Key__c"] == "1"


def test_what_is_decided_about_one_settles_the_other(project: SmallProject) -> None:
    remote_id = put(project, Email="same@example.org")
    project.add(1, 2)
    project.change("update people set email = 'same@example.org'")
    project.deliver()
    decide(project, 2, remote_id)
    project.deliver()
    assert linked(project, 2) == remote_id
    assert linked(project, 1) not in (None, remote_id)
    assert held(project) == {}


def test_a_decision_outlives_a_lost_answer_and_an_outage(project: SmallProject) -> None:
    put(project, Email="1@example.org")
    two = put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    decide(project, 1, two)
    project.destination.faults.fail(RetryLater("down"))
    project.deliver()
    project.wake()
    project.destination.faults.reject(two, "LOCKED", remedy=Remedy.RETRY)
    project.deliverer.step()
    project.destination.faults.clear()
    project.deliver()
    assert linked(project, 1) == two


@pytest.mark.parametrize("lost", ["gone", "taken"])
def test_a_chosen_record_that_is_lost_meanwhile_is_held_again(project: SmallProject, lost: str) -> None:
    put(project, Email="1@example.org")
    two = put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    decide(project, 1, two)
    if lost == "gone":
        project.destination.delete("Contact", [two])
    else:
        project.destination.update("Contact", [(two, {"Person_Key__c": "99"})])
    project.deliver()
    (conflict,) = conflicts.held(project.store)
    assert (conflict.key, conflict.decision) == ("1", None)
    assert two in conflict.detail
    assert linked(project, 1) is None


def test_one_record_chosen_for_two_entities_is_given_to_one(project: SmallProject) -> None:
    remote_id = put(project, Email="same@example.org")
    project.add(1, 2)
    project.change("update people set email = 'same@example.org'")
    project.deliver()
    decide(project, 1, remote_id)
    decide(project, 2, remote_id)
    project.deliverer.step()
    assert linked(project, 1) == remote_id
    assert linked(project, 2) is None
    assert stored(project, remote_id)["Person_Key__c"] == "1"
