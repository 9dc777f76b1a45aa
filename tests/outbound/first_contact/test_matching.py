"""First contact: records that are there already are linked, never doubled, and never guessed."""

from __future__ import annotations

import pytest

from syncbridge.model import MappingStatus, Outcome, Reason
from syncbridge.store import conflicts, sync_log
from tests.fix_delivery import SmallProject, Start
from tests.fix_family import COMPANIES, StartFamily
from tests.fix_family import PEOPLE as FAMILY_PEOPLE
from tests.outbound.first_contact.conftest import BY_EMAIL, BY_EMAIL_AND_NAME, calls, held, linked, put, stored


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
