"""Adopt: rows are linked to the records that they name; what is doubtful is told, and left as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncbridge.errors import ConfigurationError, Remedy, RetryLater
from syncbridge.model import Fields, MappingStatus, Reason
from syncbridge.outbound.adopt import Adopted, Adoption, Problem
from syncbridge.source import rows
from syncbridge.store import conflicts, links, mappings, sync_log, way_back
from tests.fix_delivery import SmallProject, Start
from tests.fix_two_way import StartTwoWay


@pytest.fixture
def project(start: Start) -> SmallProject:
    """Put in force and paused, over a table whose rows may name records."""
    made = start()
    made.writer.execute("alter table people add sfid text")
    mappings.set_status(made.store, made.mapping_id, MappingStatus.PAUSED)
    return made


def adoption(project: SmallProject, **values: Any) -> Adoption:
    source = project.stores()
    rows.prepare(source)
    return Adoption(project.mapping_id, project.mapping, project.destination, project.store, source, **values)


def run(project: SmallProject, **values: Any) -> Adopted:
    return adoption(project, **values).adopt("sfid")


def add(project: SmallProject, number: int, sfid: str | None, name: str = "Same") -> None:
    project.writer.execute("insert into people (id, last_name, sfid) values (%s, %s, %s)", (number, name, sfid))


def put(project: SmallProject, name: str = "Same", **fields: Any) -> str:
    return project.destination.put("Contact", {"LastName": name, **fields})


def record(project: SmallProject, remote_id: str) -> Fields:
    """Without the fields that are empty."""
    stored = project.destination.stored("Contact")[remote_id]
    return {name: value for name, value in stored.items() if value is not None}


def left(done: Adopted) -> dict[str, Problem]:
    return {each.key: each.problem for each in done.unlinked}


def calls(project: SmallProject) -> list[str]:
    return [operation for operation, _, _ in project.destination.calls]


def sync(project: SmallProject) -> None:
    """Resume, and do what the first sync would."""
    keys = [key for (key,) in project.writer.execute("select id::text from people")]
    mappings.resume(project.store, project.mapping_id)
    project.destination.calls.clear()
    project.touch(*keys, reason=Reason.FIRST_SYNC)
    project.deliver()


def test_a_row_is_linked_to_its_record_which_gets_the_key_and_nothing_else(project: SmallProject) -> None:
    remote_id = put(project, "Remote", FirstName="Theirs")
    add(project, 1, remote_id, "Local")
    done = run(project)
    assert (done.rows, done.linked, done.keys_written, done.unlinked) == (1, 1, 1, [])
    assert record(project, remote_id) == {"LastName": "Remote", "FirstName": "Theirs", "Person_Key__c": "1"}
    link = links.read(project.store, project.mapping_id, "1")
    assert link is not None
    assert (link.remote_id, link.base["LastName"], link.base["FirstName"]) == (remote_id, "Remote", "Theirs")
    last = sync_log.read(project.store, key="1")[-1]
    assert (last.reason, last.outcome, last.operation, last.fields) == ("adopt", "delivered", "update", "Person_Key__c")


def test_afterwards_only_differences_are_sent_and_nothing_is_created(project: SmallProject) -> None:
    ids = [put(project) for _ in range(5)]
    for number, remote_id in enumerate(ids, 1):
        add(project, number, remote_id, "Other" if number == 3 else "Same")
    run(project)
    project.destination.sent.clear()
    sync(project)
    assert project.destination.sent == [{"Person_Key__c": "3", "LastName": "Other"}]
    assert list(project.destination.stored("Contact")) == ids


def test_a_record_that_carries_its_key_is_only_read(project: SmallProject) -> None:
    add(project, 1, put(project, Person_Key__c="1"))
    done = run(project)
    assert (done.linked, done.keys_written, calls(project)) == (1, 0, ["read"])


def test_a_second_run_makes_no_call_and_changes_nothing(project: SmallProject) -> None:
    add(project, 1, put(project))
    run(project)
    project.destination.calls.clear()
    done = run(project)
    assert (done.known, done.linked, done.unlinked, calls(project)) == (1, 0, [], [])


def test_a_dry_run_says_the_same_and_writes_nothing(project: SmallProject) -> None:
    remote_id = put(project)
    add(project, 1, remote_id)
    add(project, 2, "gone")
    done = run(project, dry_run=True)
    assert (done.linked, done.keys_written, left(done)) == (1, 1, {"2": Problem.GONE})
    assert record(project, remote_id) == {"LastName": "Same"}
    assert links.count(project.store, project.mapping_id) == 0
    assert sync_log.read(project.store, key="1") == []


def test_rows_without_a_remote_id_and_rows_outside_the_filter_are_left_alone(project: SmallProject) -> None:
    """A link of a row that does not pass would delete its record."""
    remote_id = put(project)
    add(project, 1, None)
    add(project, 2, "  ")
    add(project, 3, remote_id)
    project.writer.execute("update people set is_test = true where id = 3")
    done = run(project)
    assert (done.rows, calls(project)) == (0, [])
    sync(project)
    assert record(project, remote_id) == {"LastName": "Same"}


def test_what_is_doubtful_is_told_and_left_as_it_is(project: SmallProject) -> None:
    twice, other, mine, taken = put(project), put(project, Person_Key__c="77"), put(project), put(project)
    add(project, 1, "003gone")
    add(project, 2, twice)
    add(project, 3, twice)
    add(project, 4, other)
    add(project, 5, mine)
    add(project, 6, taken)
    add(project, 7, put(project, Person_Key__c="7"))
    links.upsert(project.store, project.mapping_id, {"5": ("another", {}), "0": (taken, {})})
    before = project.destination.stored("Contact")
    done = run(project)
    assert left(done) == {
        "1": Problem.GONE,
        "2": Problem.TWICE,
        "3": Problem.TWICE,
        "4": Problem.OTHER_KEY,
        "5": Problem.OTHER_RECORD,
        "6": Problem.TAKEN,
    }
    assert (done.linked, done.keys_written) == (1, 0)
    assert project.destination.stored("Contact") == before


def test_rows_that_name_one_record_are_found_on_different_pages(project: SmallProject) -> None:
    twice = put(project)
    for number in range(1, 8):
        add(project, number, twice if number in (1, 7) else put(project))
    done = run(project, page=2)
    assert left(done) == {"1": Problem.TWICE, "7": Problem.TWICE}
    assert done.linked == 5


def test_a_key_that_another_record_carries_is_not_written_a_second_time(project: SmallProject) -> None:
    remote_id, elsewhere = put(project), put(project, Person_Key__c="1")
    add(project, 1, remote_id)
    done = run(project)
    assert left(done) == {"1": Problem.KEY_ELSEWHERE}
    assert elsewhere in done.unlinked[0].detail
    assert record(project, remote_id) == {"LastName": "Same"}


def test_a_refused_key_leaves_its_own_row_only(project: SmallProject) -> None:
    add(project, 1, bad := put(project))
    add(project, 2, put(project))
    project.destination.faults.reject(bad, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    done = run(project)
    assert (left(done), done.linked) == ({"1": Problem.REFUSED}, 1)
    project.destination.faults.clear()
    assert run(project).linked == 1


def test_a_key_that_the_external_id_cannot_hold_leaves_its_own_row_only(start: Start) -> None:
    project = start(("key: id,", "key: last_name,"), ("  LastName: {column: last_name, default: Unknown}\n", ""))
    project.writer.execute("alter table people add sfid text, alter last_name set not null, add unique (last_name)")
    mappings.set_status(project.store, project.mapping_id, MappingStatus.PAUSED)
    add(project, 1, put(project), "x" * 41)
    add(project, 2, put(project), "short")
    done = run(project)
    assert (left(done), done.linked) == ({"x" * 41: Problem.REFUSED}, 1)


def test_a_spent_allowance_stops_it_and_the_next_run_goes_on(project: SmallProject) -> None:
    add(project, 1, first := put(project))
    add(project, 2, put(project))
    project.destination.faults.reject(first, "REQUEST_LIMIT_EXCEEDED", remedy=Remedy.WAIT)
    with pytest.raises(RetryLater, match="REQUEST_LIMIT_EXCEEDED"):
        run(project)
    project.destination.faults.clear()
    done = run(project)
    assert (done.linked, done.known) == (1, 1)


def test_killed_after_the_keys_were_written_and_before_the_links_it_goes_on(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [put(project) for _ in range(7)]
    for number, remote_id in enumerate(ids, 1):
        add(project, number, remote_id)

    class Killed(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Killed

    pages: list[int] = []

    def at_the_second_page(done: int) -> None:
        pages.append(done)
        monkeypatch.setattr(links, "upsert", die)

    with pytest.raises(Killed):
        run(project, page=3, told=at_the_second_page)
    monkeypatch.undo()
    assert pages == [3]
    assert links.count(project.store, project.mapping_id) == 3
    assert sum("Person_Key__c" in record(project, each) for each in ids) == 6
    done = run(project, page=3)
    assert (done.known, done.linked, done.keys_written, done.unlinked) == (3, 4, 1, [])
    sync(project)
    assert (calls(project), list(project.destination.stored("Contact"))) == ([], ids)


def test_killed_after_the_keys_were_written_a_sync_makes_no_double(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody runs it again: the records carry their keys, so that upserts find them."""
    remote_id = put(project)
    add(project, 1, remote_id, "Local")

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(links, "upsert", die)
    with pytest.raises(KeyboardInterrupt):
        run(project)
    monkeypatch.undo()
    sync(project)
    assert list(project.destination.stored("Contact")) == [remote_id]
    assert record(project, remote_id)["LastName"] == "Local"


def test_lost_answers_are_told_and_the_next_run_finds_the_keys(project: SmallProject) -> None:
    add(project, 1, put(project))
    source = adoption(project)
    original: Callable[..., Any] = project.destination.update

    def lose(*arguments: Any, **named: Any) -> Any:
        project.destination.faults.fail_after_write()
        return original(*arguments, **named)

    project.destination.update = lose  # type: ignore[method-assign]
    done = source.adopt("sfid")
    assert left(done) == {"1": Problem.REFUSED}
    project.destination.update = original  # type: ignore[method-assign]
    again = run(project)
    assert (again.linked, again.keys_written) == (1, 0)


def test_a_mapping_that_delivers_is_not_adopted(project: SmallProject) -> None:
    mappings.resume(project.store, project.mapping_id)
    add(project, 1, put(project))
    with pytest.raises(ConfigurationError, match="not paused"):
        run(project)
    assert calls(project) == []


def test_it_stops_when_somebody_resumes_the_mapping_meanwhile(project: SmallProject) -> None:
    for number in range(1, 5):
        add(project, number, put(project))
    with pytest.raises(ConfigurationError, match="not paused"):
        run(project, page=2, told=lambda done: bool(mappings.resume(project.store, project.mapping_id)) and None)
    assert links.count(project.store, project.mapping_id) == 2


def test_an_entity_that_was_held_for_a_decision_goes_on_as_the_record_that_its_row_names(start: Start) -> None:
    project = start(("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: LastName"))
    project.writer.execute("alter table people add sfid text")
    remote_id, other = put(project), put(project)
    add(project, 1, remote_id)
    project.touch("1")
    project.deliver()
    assert [each.candidates for each in conflicts.held(project.store)] == [tuple(sorted((remote_id, other)))]
    mappings.set_status(project.store, project.mapping_id, MappingStatus.PAUSED)
    assert run(project).linked == 1
    sync(project)
    assert conflicts.held(project.store) == []
    assert project.left() == []
    assert record(project, other) == {"LastName": "Same"}


def test_a_worker_that_still_delivers_is_waited_for(project: SmallProject) -> None:
    project.touch(1)
    project.store.execute("update syncbridge.outbox set claim = 1, lease_until = now() + interval '1 minute'")
    with pytest.raises(RetryLater, match="still delivering"):
        run(project)


def test_with_a_way_back_the_base_is_what_both_sides_agree_on(start_two_way: StartTwoWay) -> None:
    """Who changed the rest is not known: were it in the base, a newer remote value would be overwritten unseen."""
    out = start_two_way().out
    out.writer.execute("alter table people add sfid text")
    remote_id = put(out, "Theirs")
    add(out, 1, remote_id, "Ours")
    mappings.set_status(out.store, out.mapping_id, MappingStatus.PAUSED)
    with pytest.raises(ConfigurationError, match="is not paused"):
        run(out)
    way_back.set_status(out.store, out.mapping_id, MappingStatus.PAUSED)
    assert run(out).linked == 1
    link = links.read(out.store, out.mapping_id, "1")
    assert link is not None
    assert "LastName" not in link.base
    assert link.base["FirstName"] is None
