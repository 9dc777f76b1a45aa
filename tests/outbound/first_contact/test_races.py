"""First contact: lost answers, killed lanes, lanes that match one record, and records that vanish."""

from __future__ import annotations

import threading
from typing import Any

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy
from syncbridge.model import MappingStatus
from syncbridge.outbound.deliver import Limits
from syncbridge.outbound.first_contact import FirstContact
from tests.fix_delivery import RecordingDestination, SmallProject, Start
from tests.fix_store import advisory_locks, end_leases
from tests.outbound.first_contact.conftest import BY_EMAIL, calls, linked, put, stored


def test_a_link_whose_answer_was_lost_is_found_by_its_key(project: SmallProject) -> None:
    remote_id = put(project, Email="1@example.org")
    project.add(1)
    project.destination.faults.fail_after_write()
    project.deliverer.step()
    assert stored(project, remote_id)["Person_Key__c"] == "1"
    assert linked(project, 1) is None
    project.deliver()
    assert linked(project, 1) == remote_id
    assert list(project.destination.stored("Contact")) == [remote_id]


def test_a_lane_killed_between_link_and_settlement_leaves_nothing_double(project: SmallProject) -> None:
    remote_id = put(project, Email="1@example.org")
    other = put(project, Email="old@example.org")
    project.add(1)
    project.destination.update("Contact", [(remote_id, {"Person_Key__c": "1"})])  # as far as it came
    project.deliverer.store.close()
    project.kill()
    project.change("update people set email = 'old@example.org' where id = 1", 1)
    project.deliver()
    assert linked(project, 1) == remote_id  # by its key, though another record has the new email
    assert stored(project, other)["Person_Key__c"] is None
    assert len(project.destination.stored("Contact")) == 2


def test_a_match_that_vanishes_before_it_is_written_is_created(project: SmallProject) -> None:
    remote_id = put(project, Email="1@example.org")
    project.add(1)

    class Vanishing(RecordingDestination):
        def update(self, object: str, records: Any, *, lane: str = "") -> Any:
            self.delete(object, [each for each, _ in records])
            return super().update(object, records, lane=lane)

    project.destination.__class__ = Vanishing
    project.deliver()
    assert linked(project, 1) not in (None, remote_id)
    assert len(project.destination.stored("Contact")) == 1


def test_a_refused_link_is_a_dead_letter_of_its_own_record(project: SmallProject) -> None:
    remote_id = put(project, Email="1@example.org")
    put(project, Email="2@example.org")
    project.add(1, 2)
    project.destination.faults.rejections[remote_id] = Rejected("LOCKED_BY_APPROVAL", "no", Remedy.RECORD)
    project.deliver()
    waiting = project.waiting(1)
    assert waiting is not None
    assert (waiting.status, waiting.code) == ("dead", "LOCKED_BY_APPROVAL")
    assert linked(project, 2) is not None


class Waiting(RecordingDestination):
    """The first `update` tells that it has begun, and waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def update(self, object: str, records: Any, *, lane: str = "") -> Any:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().update(object, records, lane=lane)


def test_two_lanes_that_match_one_record_at_the_same_time_link_it_once(start: Start) -> None:
    crm = Waiting()
    project = start(BY_EMAIL, destination=crm, limits=Limits(batch=1))
    remote_id = put(project, Email="same@example.org")
    project.add(1, 2)
    project.change("update people set email = 'same@example.org'")
    first = threading.Thread(target=project.deliverer.step)
    first.start()
    assert crm.begun.wait(30)
    other = project.lane(limits=Limits(batch=1))
    second = threading.Thread(target=other.step)
    second.start()
    while not advisory_locks(project.store, waiting=True):  # it has claimed, and is about to look
        assert second.is_alive()
    assert calls(project).count("find") == 2  # by email and by key, of the first lane alone
    crm.go_on.set()
    first.join()
    second.join()
    owners = {key for key in ("1", "2") if linked(project, key) == remote_id}
    assert len(owners) == 1
    assert stored(project, remote_id)["Person_Key__c"] in owners
    assert len(project.destination.stored("Contact")) == 2
    assert project.left() == []


def test_a_batch_without_matches_does_not_keep_others_waiting(project: SmallProject) -> None:
    project.add(1)
    seen: list[bool] = []

    class Asking(RecordingDestination):
        def upsert(self, object: str, external_id: str, records: Any, *, lane: str = "") -> Any:
            seen.append(not advisory_locks(project.store, waiting=False))
            return super().upsert(object, external_id, records, lane=lane)

    project.destination.__class__ = Asking
    project.deliver()
    assert seen == [True]


def test_a_lane_that_waits_too_long_for_another_tries_again_later(project: SmallProject) -> None:
    put(project, Email="1@example.org")
    project.add(1)
    blocker = FirstContact(project.mapping_id, project.mapping, project.destination, project.stores())
    blocker._lock(1.0)
    lease, calls_take = project.deliverer._lease()
    almost = lease - calls_take - 0.2  # so long it waits for the other lane
    project.deliverer.clock = iter([0.0, 0.0, almost, *[1e6] * 10]).__next__
    project.deliverer.step()
    assert project.status() is MappingStatus.WAITING
    assert "another lane" in project.applied().reason
    assert calls(project) == []
    blocker.release()
    project.wake()
    lane = project.lane()
    end_leases(project.store)
    project.deliverer = lane
    project.deliver()
    assert linked(project, 1) is not None
