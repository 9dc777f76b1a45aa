"""Remote changes come into their rows, once, and nothing comes back as an echo."""

from __future__ import annotations

from syncbridge.model import MappingStatus, Outcome
from syncbridge.store import way_back
from tests.fix_two_way import StartTwoWay, TwoWayProject


def test_a_remote_change_reaches_its_row_and_the_log(both: TwoWayProject) -> None:
    both.edit(1, FirstName="Grace")
    both.poll()
    assert both.row(1) == ("Grace", "Last 1", "1@example.org")
    assert both.row(2) == ("First 2", "Last 2", "2@example.org")
    (entry,) = both.log(1)
    assert (entry.outcome, entry.operation, entry.fields) == (Outcome.WRITTEN, "update", "FirstName")
    assert (both.base(1) or {})["FirstName"] == "Grace"


def test_what_came_in_does_not_go_out_again(both: TwoWayProject) -> None:
    both.edit(1, FirstName="Grace")
    both.poll()
    sent = len(both.out.destination.sent)
    both.settle()
    assert len(both.out.destination.sent) == sent
    assert len(both.log(1)) == 1


def test_what_went_out_does_not_come_in_again(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Grace' where id = 1", 1)
    both.out.deliver()
    both.poll()
    both.settle()
    assert both.log(1) == []
    assert both.row(1, "first_name") == ("Grace",)


def test_a_poll_without_changes_makes_one_call_and_one_watermark(both: TwoWayProject) -> None:
    before = len(both.out.destination.calls)
    both.poll()
    both.poll()
    assert [call[0] for call in both.out.destination.calls[before:]] == ["changes", "changes"]


def test_the_first_poll_brings_nothing_that_was_there_before(start_two_way: StartTwoWay) -> None:
    project = start_two_way()
    project.out.add(1)
    project.out.deliver()
    project.poll()
    assert project.log(1) == []


def test_what_a_poll_cannot_mend_halts_the_way_back_and_nothing_else(both: TwoWayProject) -> None:
    both.out.destination.undescribe("Email")
    both.poller.step()
    back = way_back.read_all(both.out.store)[both.out.mapping_id]
    assert back.status is MappingStatus.HALTED
    assert "Email" in back.reason
    assert both.out.status() is MappingStatus.ACTIVE
    calls = len(both.out.destination.calls)
    assert both.poller.step() > 0
    assert len(both.out.destination.calls) == calls
    assert way_back.resume(both.out.store, both.out.mapping_id)


def test_only_changed_columns_are_written(both: TwoWayProject) -> None:
    both.out.writer.execute(
        "create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'"
    )
    both.out.writer.execute("create trigger t before update of email on people for each row execute function refuse()")
    both.edit(1, FirstName="Grace")
    both.poll()
    assert both.row(1, "first_name") == ("Grace",)
    both.edit(1, Email="grace@example.org")
    both.poll()
    assert both.row(1, "email") == ("1@example.org",)


def test_a_conflict_is_decided_by_rule_and_logged_with_both_values(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Local', email = 'l@example.org' where id = 1", 1)
    both.after(+60)
    both.edit(1, FirstName="Remote")
    both.poll()
    assert both.row(1) == ("Remote", "Last 1", "l@example.org")
    (decision,) = both.decisions(1)
    assert decision["FirstName"].items() >= {
        "verdict": "destination wins", "rule": "newest", "base": "First 1", "local": "Local", "remote": "Remote"
    }.items()  # fmt: skip
    both.out.deliver()
    assert both.out.remote()["1"]["Email"] == "l@example.org"
    assert both.out.remote()["1"]["FirstName"] == "Remote"


def test_an_older_remote_change_loses_and_the_row_goes_out(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'Local' where id = 1", 1)
    both.after(-60)
    both.edit(1, FirstName="Remote")
    both.poll()
    both.poll()
    assert both.row(1, "first_name") == ("Local",)
    assert [entry.outcome for entry in both.log(1)] == [Outcome.KEPT]
    both.out.deliver()
    assert both.out.remote()["1"]["FirstName"] == "Local"


def test_a_change_that_capture_has_not_seen_is_the_newer_one(both: TwoWayProject) -> None:
    both.out.writer.execute("update people set first_name = 'Local' where id = 1")
    both.after(+3600)
    both.edit(1, FirstName="Remote")
    both.poll()
    assert both.row(1, "first_name") == ("Local",)
    both.out.touch(1)
    both.out.deliver()
    assert both.out.remote()["1"]["FirstName"] == "Local"


def test_a_held_conflict_moves_neither_side_and_is_told_once(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("guard:", "conflict: hold\nguard:"))
    both.out.add(1)
    both.out.deliver()
    both.out.change("update people set first_name = 'Local' where id = 1", 1)
    both.age_links()
    both.edit(1, FirstName="Remote", Email="new@example.org")
    both.poll()
    both.edit(1, Score__c=5)
    both.poll()
    assert both.row(1, "first_name", "email", "score") == ("Local", "new@example.org", 5)
    assert [entry.outcome for entry in both.log(1)] == [Outcome.WRITTEN, Outcome.WRITTEN]
    held = both.held(1)
    assert held is not None
    assert held.fields == {"FirstName": {"base": "First 1", "local": "Local", "remote": "Remote"}}


def test_a_field_that_postgres_owns_is_put_back(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("Email: email", "Email: {column: email, owner: postgres}"))
    both.out.add(1)
    both.out.deliver()
    both.age_links()
    both.edit(1, Email="theirs@example.org")
    both.poll()
    assert both.out.left() == ["1"]
    both.out.deliver()
    assert both.out.remote()["1"]["Email"] == "1@example.org"
    assert both.row(1, "email") == ("1@example.org",)


def test_a_field_that_the_destination_owns_wins_over_a_newer_row(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("Email: email", "Email: {column: email, owner: destination}"))
    both.out.add(1)
    both.out.deliver()
    both.age_links()
    both.out.change("update people set email = 'ours@example.org' where id = 1", 1)
    both.after(-60)
    both.edit(1, Email="theirs@example.org")
    both.poll()
    assert both.row(1, "email") == ("theirs@example.org",)
    both.out.deliver()
    assert both.out.remote()["1"]["Email"] == "theirs@example.org"


def test_a_row_that_postgres_refuses_is_held_with_its_message_and_others_go_on(both: TwoWayProject) -> None:
    both.out.writer.execute("alter table people add constraint short_name check (length(first_name) < 12)")
    both.edit(1, FirstName="A very long name")
    both.edit(2, FirstName="Grace")
    both.poll()
    assert both.row(1, "first_name") == ("First 1",)
    assert both.row(2, "first_name") == ("Grace",)
    held = both.held(1)
    assert held is not None
    assert (held.kind, held.code) == ("refused", "23514")
    assert "short_name" in (held.message or "")
    assert "long" not in (held.message or "")
    assert [entry.outcome for entry in both.log(1)] == [Outcome.REFUSED]
    both.edit(1, FirstName="Ada")
    both.poll()
    assert both.row(1, "first_name") == ("Ada",)
    assert both.held(1) is None


def test_a_value_that_a_column_would_not_hold_is_held(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("Score__c: score", "Score__c: parts"))
    both.out.add(1)
    both.out.deliver()
    both.age_links()
    both.edit(1, Score__c=1.5)
    both.poll()
    held = both.held(1)
    assert held is not None
    assert held.kind == "refused"
    assert held.code
    assert both.row(1, "parts") == (None,)
