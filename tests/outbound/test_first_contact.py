"""First contact: records that are there already are linked, never doubled, and never guessed."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from psycopg import Connection

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy, RetryLater
from syncbridge.model import Fields, MappingStatus, Outcome, Reason
from syncbridge.outbound.deliver import Limits
from syncbridge.outbound.first_contact import FirstContact
from syncbridge.store import conflicts, links, sync_log
from tests.fix_delivery import RecordingDestination, SmallProject, Start
from tests.fix_family import COMPANIES, StartFamily
from tests.fix_family import PEOPLE as FAMILY_PEOPLE
from tests.fix_store import end_leases

BY_EMAIL = ("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email")
BY_EMAIL_AND_NAME = (BY_EMAIL[0], "external_id: Person_Key__c\nmatch_on: [Email, LastName]")


@pytest.fixture
def project(start: Start) -> SmallProject:
    """People matched by their email; those of `add` are named after their number."""
    return start(BY_EMAIL)


def put(project: SmallProject, **fields: Any) -> str:
    """A record that somebody created at the destination."""
    return project.destination.put("Contact", fields)


def stored(project: SmallProject, remote_id: str) -> Fields:
    return project.destination.stored("Contact")[remote_id]


def held(project: SmallProject) -> dict[str, tuple[str, ...]]:
    """Key -> candidates."""
    return {each.key: each.candidates for each in conflicts.held(project.store)}


def linked(project: SmallProject, key: object) -> str | None:
    link = links.read(project.store, project.mapping_id, str(key))
    return None if link is None else link.remote_id


def calls(project: SmallProject) -> list[str]:
    return [operation for operation, _, _ in project.destination.calls]


def test_an_existing_record_is_linked_and_updated_and_none_is_created(project: SmallProject) -> None:
    remote_id = put(project, Email="1@EXAMPLE.org", FirstName="Old", Score__c=3.0, Active__c=True)
    project.add(1)
    project.deliver()
    assert list(project.destination.stored("Contact")) == [remote_id]
    record = stored(project, remote_id)
    assert (record["Person_Key__c"], record["FirstName"], record["Score__c"]) == ("1", "First 1", None)
    assert record["Active__c"] is True  # not mapped
    assert linked(project, 1) == remote_id
    assert project.base(1) == {name: record[name] for name in project.base(1) or {}}
    last = sync_log.read(project.store, key="1")[-1]
    assert (last.outcome, last.operation, last.remote_id) == (Outcome.DELIVERED, "update", remote_id)
    assert last.message == "linked an existing record, found by Email"


def test_what_has_no_match_is_created(project: SmallProject) -> None:
    put(project, Email="somebody@example.org")
    project.add(1)
    project.deliver()
    assert len(project.destination.stored("Contact")) == 2
    assert calls(project) == ["find", "upsert"]


def test_later_changes_go_by_the_external_id_and_compare_with_the_base(project: SmallProject) -> None:
    remote_id = put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    project.change("update people set first_name = 'Ada' where id = 1", 1)
    project.deliver()
    assert project.destination.sent == [{"Person_Key__c": "1", "FirstName": "Ada"}]
    assert stored(project, remote_id)["FirstName"] == "Ada"


def test_a_resync_after_first_contact_makes_no_call(project: SmallProject) -> None:
    for number in range(1, 6):
        put(project, Email=f"{number}@example.org")
    project.add(*range(1, 9))
    project.deliver()
    before = len(project.destination.calls)
    project.touch(*range(1, 9), reason=Reason.RESYNC)
    project.deliver()
    assert len(project.destination.calls) == before
    assert len(project.destination.stored("Contact")) == 8


def test_all_fields_must_agree_each_as_the_destination_compares(start: Start) -> None:
    project = start(BY_EMAIL_AND_NAME)
    put(project, Email="1@example.org", LastName="Another")
    remote_id = put(project, Email="1@Example.org", LastName="LAST 1")
    project.add(1)
    project.deliver()
    assert linked(project, 1) == remote_id
    assert held(project) == {}


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_values_never_match(start: Start, empty: str | None) -> None:
    project = start(BY_EMAIL_AND_NAME)
    put(project, Email=empty, LastName="Last 1")
    project.writer.execute("insert into people (id, last_name, email) values (1, 'Last 1', %s)", (empty,))
    project.touch(1)
    project.deliver()
    assert calls(project) == ["upsert"]
    assert len(project.destination.stored("Contact")) == 2


def test_a_record_that_carries_another_key_is_never_taken(project: SmallProject) -> None:
    remote_id = put(project, Email="1@example.org", Person_Key__c="77")
    project.add(1)
    project.deliver()
    assert stored(project, remote_id)["Person_Key__c"] == "77"
    assert len(project.destination.stored("Contact")) == 2


def test_a_record_that_is_linked_is_never_taken_even_without_its_key(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    (remote_id,) = project.destination.stored("Contact")
    project.destination.update("Contact", [(remote_id, {"Person_Key__c": None, "Email": "2@example.org"})])
    project.add(2)
    project.deliver()
    assert linked(project, 1) == remote_id != linked(project, 2)


def test_several_matches_are_held_and_nothing_is_sent(project: SmallProject) -> None:
    ids = sorted([put(project, Email="1@example.org"), put(project, Email="1@example.org")])
    project.add(1, 2)
    project.deliver()
    assert held(project) == {"1": tuple(ids)}
    assert all(stored(project, each)["Person_Key__c"] is None for each in ids)
    assert linked(project, 2) is not None
    waiting = project.waiting(1)
    assert waiting is not None
    assert (waiting.status, waiting.attempts, waiting.code) == ("held", 0, "SEVERAL_MATCHES")
    last = sync_log.read(project.store, key="1")[-1]
    assert last.outcome == Outcome.HELD
    assert last.message == f"2 existing records agree in Email: {ids[0]}, {ids[1]}"
    assert project.status() is MappingStatus.ACTIVE


def test_a_held_entity_is_not_asked_about_again_until_something_changes(project: SmallProject) -> None:
    put(project, Email="1@example.org")
    put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    before = len(project.destination.calls)
    assert project.deliver() == 0
    assert len(project.destination.calls) == before


def test_one_record_that_two_entities_want_is_held_for_both(project: SmallProject) -> None:
    remote_id = put(project, Email="same@example.org")
    project.add(1, 2, 3)
    project.change("update people set email = 'same@example.org' where id in (1, 2)")
    project.deliver()
    assert held(project) == {"1": (remote_id,), "2": (remote_id,)}
    assert stored(project, remote_id)["Person_Key__c"] is None


def test_a_record_that_held_entities_want_is_held_for_a_later_one_too(project: SmallProject) -> None:
    remote_id = put(project, Email="same@example.org")
    project.add(1, 2)
    project.change("update people set email = 'same@example.org'")
    project.deliver()
    project.add(3)
    project.change("update people set email = 'SAME@example.org' where id = 3")
    project.deliver()
    assert held(project) == dict.fromkeys("123", (remote_id,))


def test_a_corrected_row_is_matched_anew_and_releases_the_others(project: SmallProject) -> None:
    remote_id = put(project, Email="same@example.org")
    project.add(1, 2)
    project.change("update people set email = 'same@example.org'")
    project.deliver()
    project.change("update people set email = 'two@example.org' where id = 2", 2)
    project.deliver()
    assert held(project) == {}
    assert linked(project, 1) == remote_id
    assert stored(project, linked(project, 2) or "")["Email"] == "two@example.org"
    assert project.store.execute("select count(*) from syncbridge.conflict").fetchone() == (0,)


def test_who_is_released_is_so_in_the_transaction_that_settles_the_other(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, Email="same@example.org")
    project.add(1, 2)
    project.change("update people set email = 'same@example.org'")
    project.deliver()
    project.change("update people set email = 'two@example.org' where id = 2", 2)
    with monkeypatch.context() as patched:
        patched.setattr(conflicts, "release", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            project.deliver()
    assert linked(project, 2) is None
    assert set(held(project)) == {"1"}


def test_a_held_row_that_is_deleted_is_over(project: SmallProject) -> None:
    put(project, Email="1@example.org")
    put(project, Email="1@example.org")
    project.add(1)
    project.deliver()
    project.change("delete from people", 1)
    project.deliver()
    assert project.left() == []
    assert project.store.execute("select count(*) from syncbridge.conflict").fetchone() == (0,)


# -- decisions ----------------------------------------------------------------------------------------------------


def decide(project: SmallProject, key: object, remote_id: str | None) -> None:
    assert conflicts.decide(project.store, project.mapping_id, str(key), remote_id)


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


# -- crashes and refusals -----------------------------------------------------------------------------------------


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


# -- several lanes ------------------------------------------------------------------------------------------------


class Waiting(RecordingDestination):
    """The first `update` tells that it has begun, and waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def update(self, object: str, records: Any, *, lane: str = "") -> Any:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().update(object, records, lane=lane)


def waits_for_lock(store: Connection) -> bool:
    row = store.execute("select count(*) from pg_locks where locktype = 'advisory' and not granted").fetchone()
    return row is not None and row[0] > 0


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
    while not waits_for_lock(project.store):  # it has claimed, and is about to look
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
            row = project.store.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone()
            seen.append(row == (0,))
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


# -- what it costs ------------------------------------------------------------------------------------------------


def test_a_batch_costs_one_look_by_value_and_one_by_key(project: SmallProject) -> None:
    """Each `find` is as many requests as its values need; see the test over HTTP."""
    for number in range(1, 301):
        put(project, Email=f"{number}@example.org")
    project.add(*range(1, 301))
    project.deliver()
    assert project.destination.calls == [
        ("find", "Contact", 300),
        ("find", "Contact", 300),
        ("update", "Contact", 300),
    ]
    assert len(project.destination.stored("Contact")) == 300


# -- with lookups -------------------------------------------------------------------------------------------------


def test_children_of_a_held_parent_wait_until_it_is_decided(start_family: StartFamily) -> None:
    by_name = COMPANIES.replace("external_id: Key__c", "external_id: Key__c\nmatch_on: Name")
    family = start_family(by_name, FAMILY_PEOPLE)
    one, _ = (family.crm.put("Account", {"Name": "ACME"}) for _ in range(2))
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (7, 'Ada', 1)")
    family.touch("people", 7)
    family.touch("companies", 1)
    family.deliver()
    assert family.statuses() == {"1": "held", "7": "waiting"}
    assert conflicts.decide(family.store, family.id("companies"), "1", one)
    family.deliver()
    assert family.remote("Contact")["7"]["AccountId"] == one
    assert family.statuses() == {}


def test_fields_of_the_destinations_own_stay_as_they_are_in_a_linked_record(start: Start) -> None:
    project = start(BY_EMAIL, ("  FirstName: first_name", "  FirstName: {column: first_name, owner: destination}"))
    remote_id = put(project, Email="1@example.org", FirstName="Theirs")
    project.add(1)
    project.deliver()
    assert (stored(project, remote_id)["FirstName"], stored(project, remote_id)["LastName"]) == ("Theirs", "Last 1")
    assert "FirstName" not in (project.base(1) or {})
