"""What a person sees of delivery: records are created, changed and deleted as the rows are, and nothing more."""

from __future__ import annotations

from syncbridge.model import MappingStatus, Outcome, Reason
from syncbridge.outbound.deliver import Limits
from syncbridge.store import backlog, sync_log
from tests.fix_delivery import SmallProject, Start

SET_INACTIVE = ("{to_destination: delete}", "{to_destination: {set: {Active__c: false}}}")


def test_a_new_row_becomes_a_record_with_all_of_its_fields(project: SmallProject) -> None:
    project.change("insert into people values (1, 'Ada', null, null, 1.50, '1815-12-10')", 1)
    project.deliver()
    record = project.remote()["1"]
    assert record["FirstName"] == "Ada"
    assert record["LastName"] == "Unknown"
    assert record["Email"] is None
    assert record["Score__c"] == 1.5
    assert record["Born__c"] == "1815-12-10"
    assert project.left() == []


def test_values_arrive_as_they_are(project: SmallProject) -> None:
    names = {1: "", 2: "O'Brien", 3: 'say "hi" \\ {a,b}', 4: "Zoë 🎈 한", 5: "0", 6: "NULL", 7: " x "}
    for key, name in names.items():
        project.writer.execute("insert into people (id, first_name, score) values (%s, %s, 0)", (key, name))
    project.touch(*names)
    project.deliver()
    assert {int(key): record["FirstName"] for key, record in project.remote().items()} == names
    assert {record["Score__c"] for record in project.remote().values()} == {0.0}


def test_only_fields_that_changed_are_sent(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set email = 'new@example.org' where id = 1", 1)
    project.deliver()
    assert project.destination.sent[-1] == {"Person_Key__c": "1", "Email": "new@example.org"}
    assert project.remote()["1"]["FirstName"] == "First 1"


def test_a_field_that_becomes_null_is_cleared(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set email = null where id = 1", 1)
    project.deliver()
    assert project.remote()["1"]["Email"] is None


def test_a_row_equal_to_its_base_makes_no_call(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    calls = len(project.destination.calls)
    project.change("update people set parts = 7 where id = 1", 1)
    project.touch(1)
    project.deliver()
    assert len(project.destination.calls) == calls
    assert project.left() == []


def test_many_changes_of_one_row_cost_one_delivery(project: SmallProject) -> None:
    project.add(1)
    for n in range(5):
        project.change(f"update people set first_name = 'n{n}' where id = 1", 1)
    project.deliver()
    assert len(project.destination.sent) == 1
    assert project.remote()["1"]["FirstName"] == "n4"


def test_a_row_that_came_and_went_before_its_first_delivery_makes_no_call(project: SmallProject) -> None:
    project.add(1)
    project.change("delete from people", 1)
    project.deliver()
    assert project.destination.calls == []
    assert project.left() == []


def test_a_deleted_row_deletes_its_record(project: SmallProject) -> None:
    project.add(1, 2)
    project.deliver()
    project.change("delete from people where id = 1", 1)
    project.deliver()
    assert set(project.remote()) == {"2"}
    assert project.base(1) is None


def test_a_row_that_stops_passing_the_filter_is_deleted_and_one_that_passes_again_is_created(
    project: SmallProject,
) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set is_test = true", 1)
    project.deliver()
    assert project.remote() == {}
    project.change("update people set is_test = false", 1)
    project.deliver()
    assert project.remote()["1"]["LastName"] == "Last 1"


def test_a_changed_key_deletes_the_old_record_before_the_new_one_is_created(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set id = 2", 1, 2)
    project.deliver()
    assert set(project.remote()) == {"2"}
    assert [call[0] for call in project.destination.calls] == ["upsert", "delete", "upsert"]


def test_deletes_can_be_ignored(start: Start) -> None:
    project = start(("{to_destination: delete}", "{to_destination: ignore}"))
    project.add(1)
    project.deliver()
    project.change("delete from people", 1)
    project.deliver()
    assert set(project.remote()) == {"1"}
    assert project.base(1) is None
    assert project.left() == []
    assert sync_log.read(project.store, key="1")[-1].outcome == Outcome.IGNORED


def test_a_record_whose_delete_was_ignored_is_taken_up_again_with_its_row(start: Start) -> None:
    project = start(("{to_destination: delete}", "{to_destination: ignore}"))
    project.add(1)
    project.deliver()
    project.change("delete from people", 1)
    project.deliver()
    project.add(1)
    project.deliver()
    assert len(project.remote()) == 1
    assert project.base(1) is not None


def test_deletes_can_set_a_field_instead(start: Start) -> None:
    project = start(SET_INACTIVE)
    project.add(1)
    project.deliver()
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote()["1"]["Active__c"] is False
    assert project.remote()["1"]["LastName"] == "Last 1"
    calls = len(project.destination.calls)
    project.touch(1)
    project.deliver()
    assert len(project.destination.calls) == calls


def test_a_marked_record_gets_its_fields_back_with_its_row(start: Start) -> None:
    project = start(SET_INACTIVE, ("  Email: email", "  Email: email\n  Active__c: {constant: true}"))
    project.add(1)
    project.deliver()
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote()["1"]["Active__c"] is False
    project.add(1)
    project.deliver()
    assert project.remote()["1"]["Active__c"] is True


def test_a_record_that_somebody_deleted_is_not_brought_back_to_be_marked(start: Start) -> None:
    project = start(SET_INACTIVE)
    project.add(1)
    project.deliver()
    (remote_id,) = project.destination.stored("Contact")
    project.destination.delete("Contact", [remote_id])
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote() == {}
    assert project.base(1) is None
    assert project.left() == []


def test_a_record_that_somebody_deleted_is_created_again_complete_by_a_partial_update(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    (remote_id,) = project.destination.stored("Contact")
    project.destination.delete("Contact", [remote_id])
    project.change("update people set email = 'new@example.org'", 1)
    project.deliver()
    record = project.remote()["1"]
    assert (record["FirstName"], record["LastName"], record["Email"]) == ("First 1", "Last 1", "new@example.org")
    assert project.base(1) == {name: value for name, value in record.items() if name in (project.base(1) or {})}


def test_the_sync_log_tells_what_was_sent_without_its_values(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set email = 'secret@example.org'", 1)
    project.deliver()
    project.change("delete from people", 1)
    project.deliver()
    story = sync_log.read(project.store, mapping="people", key="1")
    assert [(entry.operation, entry.outcome) for entry in story] == [
        ("create", "delivered"),
        ("update", "delivered"),
        ("delete", "delivered"),
    ]
    assert story[1].fields == "Email"
    assert all(entry.remote_id == "m00000001" and entry.reason == "change" for entry in story)
    assert "secret" not in str(story)


def test_a_resend_writes_every_field_again(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    (remote_id,) = project.destination.stored("Contact")
    project.destination.upsert("Contact", "Person_Key__c", [{"Person_Key__c": "1", "FirstName": "Somebody"}])
    project.touch(1, reason=Reason.RESYNC, resend=True)
    project.deliver()
    assert project.destination.stored("Contact")[remote_id]["FirstName"] == "First 1"


def test_a_resend_asked_for_while_a_delivery_is_in_flight_is_not_lost(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set email = 'new@example.org'", 1)
    project.destination.faults.fail_after_write(0)
    upsert = project.destination.upsert

    def meanwhile(*arguments: object, **names: object) -> object:
        project.touch(1, reason=Reason.RESYNC, resend=True)
        return upsert(*arguments, **names)  # type: ignore[arg-type]

    project.destination.upsert = meanwhile  # type: ignore[method-assign]
    project.deliverer.step()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    project.deliver()
    assert set(project.destination.sent[-1]) > {"FirstName", "LastName", "Email"}


def test_a_paused_mapping_claims_nothing_and_goes_on_where_it_stopped(project: SmallProject) -> None:
    project.add(1, 2)
    project.deliverer = project.lane(limits=type(project.deliverer.limits)(batch=1))
    assert project.deliverer.step() == 1
    project.store.execute("update syncbridge.mapping set status = 'paused'")
    assert project.deliver() == 0
    assert project.status() is MappingStatus.PAUSED
    assert len(project.remote()) == 1
    assert backlog.summary(project.store)[project.mapping_id].pending == 1
    project.store.execute("update syncbridge.mapping set status = 'active'")
    project.deliver()
    assert set(project.remote()) == {"1", "2"}


def test_counts_tell_what_was_done(project: SmallProject) -> None:
    project.add(1, 2)
    project.deliver()
    project.touch(1)
    project.destination.faults.reject("2", "STRING_TOO_LONG")
    project.change("update people set email = 'x' where id = 2", 2)
    project.deliver()
    counts = project.deliverer.counts
    assert (counts.delivered, counts.same, counts.retried, counts.dead) == (2, 1, 1, 1)


def test_while_nothing_has_to_be_sent_claims_grow_and_a_batch_is_still_all_that_is_sent(start: Start) -> None:
    """What differs beyond one batch is given back and delivered by the next claims; nothing is lost."""
    project = start(limits=Limits(batch=5))
    project.add(*range(1, 41))
    project.deliver()
    lane = project.deliverer
    project.touch(*range(1, 21))
    assert [lane.step() for _ in range(3)] == [5, 10, 5]
    project.touch(*range(1, 6))
    assert lane.step() == 5
    project.change("update people set first_name = 'other'", *range(1, 41))
    calls = len(project.destination.calls)
    assert lane.step() == 10
    assert [count for _, _, count in project.destination.calls[calls:]] == [5]
    project.deliver()
    assert {record["FirstName"] for record in project.remote().values()} == {"other"}
    assert project.left() == []
