"""One record's trouble: refused, its answer lost, its worker killed. Its neighbours go on, and nothing is lost."""

from __future__ import annotations

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.errors import Remedy
from syncbridge.model import MappingStatus
from syncbridge.outbound.deliver import Limits
from syncbridge.store import backlog, sync_log
from tests.fix_delivery import SmallProject, Start
from tests.fix_store import end_leases

SET_INACTIVE = ("{to_destination: delete}", "{to_destination: {set: {Active__c: false}}}")


def test_one_bad_record_does_not_fail_its_neighbours(project: SmallProject) -> None:
    project.destination.faults.reject("2", "STRING_TOO_LONG")
    project.add(1, 2, 3)
    project.deliver()
    assert set(project.remote()) == {"1", "3"}
    assert project.status() is MappingStatus.ACTIVE
    waiting = project.waiting(2)
    assert waiting is not None
    assert (waiting.status, waiting.code, waiting.attempts) == ("dead", "STRING_TOO_LONG", 1)
    assert len(project.destination.sent) == 3  # the good ones were not sent again
    assert project.applied().last_error_key == "2"


def test_a_row_whose_expression_fails_is_refused_alone_while_999_others_go_on(start: Start) -> None:
    project = start(("  Email: email", "  Email: email\n  Share__c: {sql: 100 / parts}"))
    project.writer.execute("insert into people (id, parts) select n, n % 1000 from generate_series(1, 1000) n")
    project.touch(*range(1, 1001))
    assert project.deliverer.step() == 1000
    assert len(project.remote()) == 999
    (dead,) = backlog.dead_letters(project.store)
    assert (dead.key, dead.code, dead.message) == ("1000", "EXPRESSION_FAILED", "division by zero")


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("born", "'infinity'", "DATE_OUT_OF_RANGE"),
        ("born", "'0044-03-15 BC'", "DATE_OUT_OF_RANGE"),
        ("score", "'NaN'", "NOT_A_NUMBER"),
        ("first_name", "repeat('x', 41)", "STRING_TOO_LONG"),
    ],
)
def test_a_value_that_can_never_be_stored_is_refused_alone(
    project: SmallProject, column: str, value: str, code: str
) -> None:
    project.add(1, 2)
    project.change(f"update people set {column} = {value} where id = 2")
    project.deliver()
    assert set(project.remote()) == {"1"}
    waiting = project.waiting(2)
    assert waiting is not None
    assert waiting.code == code


def test_a_key_that_the_external_id_cannot_hold_is_refused_alone(start: Start) -> None:
    project = start(("key: id", "key: email"))
    project.writer.execute("insert into people (id, email) values (1, 'short'), (2, repeat('x', 41))")
    project.touch("short", "x" * 41)
    project.deliver()
    assert set(project.remote()) == {"short"}
    assert project.status() is MappingStatus.ACTIVE
    assert len(backlog.dead_letters(project.store)) == 1


def test_a_message_never_carries_the_value(start: Start) -> None:
    project = start(("  Email: email", "  Email: email\n  Share__c: {sql: 'first_name::integer'}"))
    project.writer.execute("insert into people (id, first_name) values (1, 'Top\"Secret')")
    project.touch(1)
    project.deliver()
    waiting = project.waiting(1)
    assert waiting is not None
    assert "invalid input syntax" in (waiting.message or "")
    assert "Secret" not in str((waiting, sync_log.read(project.store), project.applied()))


def test_a_dead_letter_is_tried_again_by_itself_when_its_row_changes(project: SmallProject) -> None:
    project.add(1)
    project.change("update people set first_name = repeat('x', 41)")
    project.deliver()
    assert len(backlog.dead_letters(project.store)) == 1
    project.change("update people set first_name = 'Ada'", 1)
    project.deliver()
    assert project.remote()["1"]["FirstName"] == "Ada"
    assert project.left() == []


def test_a_dead_letter_whose_row_does_not_change_stays_until_a_person_requeues_it(project: SmallProject) -> None:
    project.destination.faults.reject("1", "DUPLICATE_VALUE")
    project.add(1)
    project.deliver()
    assert project.deliver() == 0
    project.destination.faults.clear()
    assert backlog.requeue(project.store, project.mapping_id, ["1"]) == 1
    project.deliver()
    assert set(project.remote()) == {"1"}


def test_a_passing_refusal_is_tried_again_until_its_attempts_are_used_up(project: SmallProject) -> None:
    project.destination.faults.reject("1", "UNABLE_TO_LOCK_ROW", remedy=Remedy.RETRY)
    project.add(1)
    project.deliver()
    waiting = project.waiting(1)
    assert waiting is not None
    assert (waiting.status, waiting.attempts) == ("dead", Limits().max_attempts)
    outcomes = [entry.outcome for entry in sync_log.read(project.store, key="1")]
    assert outcomes == ["retry"] * 11 + ["dead"]


def test_attempts_count_from_the_start_when_the_row_changes(project: SmallProject) -> None:
    project.destination.faults.reject("1", "UNABLE_TO_LOCK_ROW", remedy=Remedy.RETRY)
    project.add(1)
    project.deliverer.step()
    project.touch(1)
    waiting = project.waiting(1)
    assert waiting is not None
    assert (waiting.attempts, waiting.claimed) == (0, False)


def test_a_refused_part_is_sent_once_more_in_full(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.faults.reject("1", "REQUIRED_FIELD_MISSING")
    project.change("update people set email = 'new@example.org'", 1)
    project.deliver()
    assert set(project.destination.sent[-1]) >= {"FirstName", "LastName", "Email"}
    assert len(project.destination.sent) == 3
    assert len(backlog.dead_letters(project.store)) == 1


def test_a_lost_answer_makes_no_second_record_and_the_base_is_right_afterwards(project: SmallProject) -> None:
    project.destination.faults.fail_after_write()
    project.add(1)
    project.deliver()
    assert len(project.destination.stored("Contact")) == 1
    record = project.remote()["1"]
    assert project.base(1) == {name: record[name] for name in ("FirstName", "LastName", "Email", "Score__c", "Born__c")}
    assert project.left() == []


def test_lost_answers_never_use_up_the_attempts(project: SmallProject) -> None:
    project.destination.faults.fail_after_write(20)
    project.add(1)
    project.deliver()
    assert project.left() == []
    assert backlog.dead_letters(project.store) == []


def test_an_update_with_a_lost_answer_is_undone_when_the_row_went_back_before_the_retry(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.faults.fail_after_write()
    project.change("update people set first_name = 'Other'", 1)
    project.deliverer.step()
    assert project.remote()["1"]["FirstName"] == "Other"
    project.change("update people set first_name = 'First 1'", 1)  # equal to the base again
    project.deliver()
    assert project.remote()["1"]["FirstName"] == "First 1"


def test_the_same_when_the_row_goes_back_while_the_call_is_in_flight(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.faults.fail_after_write()
    upsert = project.destination.upsert

    def meanwhile(*arguments: object, **names: object) -> object:
        project.change("update people set first_name = 'First 1'", 1)
        return upsert(*arguments, **names)  # type: ignore[arg-type]

    project.change("update people set first_name = 'Other'", 1)
    project.destination.upsert = meanwhile  # type: ignore[method-assign]
    project.deliverer.step()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    project.deliver()
    assert project.remote()["1"]["FirstName"] == "First 1"


def test_a_create_with_a_lost_answer_is_deleted_when_its_row_is_gone_before_the_retry(project: SmallProject) -> None:
    project.destination.faults.fail_after_write()
    project.add(1)
    project.deliverer.step()
    assert set(project.remote()) == {"1"}
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote() == {}
    assert project.left() == []


def test_a_create_with_a_lost_answer_is_marked_when_its_row_is_gone_before_the_retry(start: Start) -> None:
    project = start(SET_INACTIVE)
    project.destination.faults.fail_after_write()
    project.add(1)
    project.deliverer.step()
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote()["1"]["Active__c"] is False
    assert project.left() == []


def test_a_delete_with_a_lost_answer_is_repeated(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.faults.fail_after_write()
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote() == {}
    assert project.base(1) is None
    asked = [call[0] for call in project.destination.calls]
    assert asked == ["upsert", "delete", "find", "delete"]  # looked up: the link may name a record that is gone


def test_a_record_that_was_deleted_and_made_anew_with_lost_answers_is_deleted_when_its_row_is_gone_again(
    project: SmallProject,
) -> None:
    """The link still names the first record; the one to delete is another."""
    project.add(1)
    project.deliver()
    project.destination.faults.fail_after_write()
    project.change("delete from people", 1)
    project.deliverer.step()
    assert project.remote() == {}
    project.destination.faults.fail_after_write()
    project.add(1)
    project.deliverer.step()
    assert set(project.remote()) == {"1"}
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote() == {}
    assert project.left() == []


def test_a_row_that_comes_back_after_a_delete_with_a_lost_answer_is_created_again(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.destination.faults.fail_after_write()
    project.change("delete from people", 1)
    project.deliverer.step()
    project.add(1)
    project.deliver()
    assert project.remote()["1"]["LastName"] == "Last 1"


def test_what_a_killed_worker_held_is_sent_again_in_full(project: SmallProject) -> None:
    project.add(1)
    project.deliver()
    project.change("update people set first_name = 'Other'", 1)
    upsert = project.destination.upsert

    def killed(*arguments: object, **names: object) -> object:
        upsert(*arguments, **names)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    project.destination.upsert = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        project.deliverer.step()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    project.change("update people set first_name = 'First 1'", 1)
    assert project.deliver() == 0  # its lease still runs
    project.kill()
    project.deliver()
    assert project.remote()["1"]["FirstName"] == "First 1"
    assert project.left() == []


def test_a_late_answer_of_a_claim_that_was_taken_over_records_nothing(project: SmallProject) -> None:
    project.add(1)
    other = project.lane()
    upsert = project.destination.upsert

    def overtaken(*arguments: object, **names: object) -> object:
        answers = upsert(*arguments, **names)  # type: ignore[arg-type]
        project.destination.upsert = upsert  # type: ignore[method-assign]
        end_leases(project.store)
        project.change("update people set first_name = 'Newer'", 1)
        assert other.step() == 1
        return answers

    project.destination.upsert = overtaken  # type: ignore[method-assign]
    project.deliverer.step()
    assert (project.base(1) or {})["FirstName"] == "Newer"
    assert len(sync_log.read(project.store, key="1")) == 1
    assert project.left() == []


def test_a_change_while_a_delivery_is_in_flight_makes_a_second_one(project: SmallProject) -> None:
    project.add(1)
    upsert = project.destination.upsert

    def meanwhile(*arguments: object, **names: object) -> object:
        project.change("update people set first_name = 'Newer'", 1)
        return upsert(*arguments, **names)  # type: ignore[arg-type]

    project.destination.upsert = meanwhile  # type: ignore[method-assign]
    project.deliverer.step()
    project.destination.upsert = upsert  # type: ignore[method-assign]
    assert project.remote()["1"]["FirstName"] == "First 1"
    project.deliver()
    assert project.remote()["1"]["FirstName"] == "Newer"
    assert project.destination.sent[-1] == {"Person_Key__c": "1", "FirstName": "Newer"}


def test_a_message_with_a_nul_does_not_stop_the_settlement(project: SmallProject) -> None:
    project.destination.faults.rejections["1"] = Rejected("ODD", "a\0b", Remedy.RECORD)
    project.add(1, 2)
    project.deliver()
    assert set(project.remote()) == {"2"}
    waiting = project.waiting(1)
    assert waiting is not None
    assert waiting.message == "ab"
