"""Loads: a mapping's first one, and resyncs from the destination."""

from __future__ import annotations

from syncbridge.destinations.feed import RemoteChange
from syncbridge.model import MappingStatus, Outcome
from syncbridge.store import loads, mappings, watermarks, way_back
from tests.fix_two_way import StartTwoWay, TwoWayProject

KEY = "Person_Key__c"


def there(project: TwoWayProject, number: int, **fields: object) -> str:
    """A record that somebody made in the destination, with the key of a row."""
    record = {"LastName": f"Last {number}", "FirstName": f"First {number}", "Email": f"{number}@example.org", **fields}
    return project.out.destination.put("Contact", {KEY: str(number), **record})  # type: ignore[dict-item]


def kinds(project: TwoWayProject, since: int) -> list[str]:
    return [call[0] for call in project.out.destination.calls[since:]]


# -- the first load ---------------------------------------------------------------------------------------------------


def test_records_that_carry_the_key_of_a_row_are_linked_and_merged_by_rule(unloaded: TwoWayProject) -> None:
    one, two = there(unloaded, 1), there(unloaded, 2, FirstName="Theirs")
    run = unloaded.load(unloaded.ask_first_load())
    assert (run.status, run.enqueued, run.total) == ("done", 2, 2)
    assert (unloaded.remote_id(1), unloaded.remote_id(2)) == (one, two)
    assert unloaded.row(1) == ("First 1", "Last 1", "1@example.org")
    assert unloaded.row(2, "first_name") == ("Theirs",)
    assert [entry.outcome for entry in unloaded.log(2)] == [Outcome.WRITTEN]


def test_both_sides_are_one_after_the_first_load_and_the_first_sync(unloaded: TwoWayProject) -> None:
    there(unloaded, 1)
    there(unloaded, 2, FirstName="Theirs")
    unloaded.load(unloaded.ask_first_load())
    unloaded.out.deliver()
    unloaded.settle()
    stored = {str(each[KEY]): each["FirstName"] for each in unloaded.out.destination.stored("Contact").values()}
    assert stored == {"1": "First 1", "2": "Theirs", "3": "First 3"}
    assert unloaded.row(2, "first_name") == ("Theirs",)
    assert [sent[KEY] for sent in unloaded.out.destination.sent] == ["3"]


def test_nothing_is_delivered_before_the_first_load_is_over(unloaded: TwoWayProject) -> None:
    there(unloaded, 1, FirstName="Theirs")
    assert unloaded.out.deliver() == 0
    unloaded.load(unloaded.ask_first_load())
    assert unloaded.out.deliver() > 0


def test_what_changes_during_the_first_load_is_polled_after_it(unloaded: TwoWayProject) -> None:
    there(unloaded, 1)
    loader = unloaded.loader()
    run_id = unloaded.ask_first_load()
    watermark = watermarks.read(unloaded.out.store, unloaded.out.mapping_id)
    unloaded.out.destination.faults.hold_jobs()
    loader.step(unloaded.run(run_id))
    unloaded.out.destination.put("Contact", {KEY: "2", "LastName": "Last 2", "FirstName": "During"})
    unloaded.poll()
    assert watermarks.read(unloaded.out.store, unloaded.out.mapping_id) == watermark
    assert unloaded.row(2, "first_name") == ("First 2",)
    unloaded.out.destination.faults.clear()
    unloaded.load(run_id, loader)
    unloaded.poll()
    assert unloaded.row(2, "first_name") == ("During",)


def test_the_watermark_is_taken_before_the_first_record_is_read(unloaded: TwoWayProject) -> None:
    unloaded.out.store.execute("delete from syncbridge.watermark")
    run_id = unloaded.ask_first_load()
    loader = unloaded.loader()
    assert loader.step(unloaded.run(run_id)) > 0
    assert "scan" not in kinds(unloaded, 0)
    unloaded.poll()
    unloaded.load(run_id, loader)
    assert "scan" in kinds(unloaded, 0)


def test_a_mapping_that_is_paused_is_not_loaded(unloaded: TwoWayProject) -> None:
    there(unloaded, 1)
    run_id, loader = unloaded.ask_first_load(), unloaded.loader()
    way_back.set_status(unloaded.out.store, unloaded.out.mapping_id, MappingStatus.PAUSED)
    assert loader.step(unloaded.run(run_id)) > 0
    assert "scan" not in kinds(unloaded, 0)
    way_back.resume(unloaded.out.store, unloaded.out.mapping_id)
    assert unloaded.load(run_id, loader).status == "done"


def test_a_scan_that_is_lost_begins_anew(unloaded: TwoWayProject) -> None:
    for number in (1, 2, 3):
        there(unloaded, number)
    unloaded.out.destination.batch_size = 2
    run_id, loader = unloaded.ask_first_load(), unloaded.loader()
    loader.step(unloaded.run(run_id))
    assert unloaded.run(run_id).enqueued == 2
    unloaded.out.destination.scans.begun.clear()
    assert loader.step(unloaded.run(run_id)) > 0
    assert unloaded.run(run_id).position is None
    run = unloaded.load(run_id, loader)
    assert (run.status, run.enqueued) == ("done", 3)


def test_a_mapping_whose_way_back_is_taken_away_delivers_again(unloaded: TwoWayProject) -> None:
    run_id = unloaded.ask_first_load()
    loads.cancel(unloaded.out.store, unloaded.out.mapping_id)
    assert unloaded.run(run_id).status == "cancelled"
    assert unloaded.out.deliver() > 0


# -- resync -----------------------------------------------------------------------------------------------------------


def unseen(project: TwoWayProject) -> None:
    """As if the poller had missed all that happened so far."""
    page = project.out.destination.changes("Contact", [KEY], None)
    position = watermarks.read(project.out.store, project.out.mapping_id)
    assert watermarks.advance(project.out.store, project.out.mapping_id, page.position, after=position, caught_up=True)


def test_a_resync_of_equal_records_writes_nothing_and_costs_only_its_pages(both: TwoWayProject) -> None:
    links = both.out.store.execute("select xmin::text, key from syncbridge.link order by key").fetchall()
    rows = both.out.writer.execute("select xmin::text, id from people order by id").fetchall()
    before = len(both.out.destination.calls)
    run = both.load(both.ask_resync())
    assert (run.status, run.enqueued) == ("done", 2)
    assert kinds(both, before) == ["scan"]
    assert both.out.store.execute("select xmin::text, key from syncbridge.link order by key").fetchall() == links
    assert both.out.writer.execute("select xmin::text, id from people order by id").fetchall() == rows
    assert both.out.store.execute("select count(*) from syncbridge.scanned").fetchone() == (0,)
    assert both.log(1) == []


def test_a_resync_finds_a_change_that_no_poll_saw(both: TwoWayProject) -> None:
    both.edit(1, FirstName="Grace")
    unseen(both)
    both.poll()
    assert both.row(1, "first_name") == ("First 1",)
    both.load(both.ask_resync())
    assert both.row(1, "first_name") == ("Grace",)


def test_a_resync_finds_a_record_that_is_gone(start_two_way: StartTwoWay) -> None:
    both = start_two_way(("{to_destination: delete}", "{to_destination: delete, to_postgres: delete}"))
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.drop(1)
    unseen(both)
    before = len(both.out.destination.calls)
    run = both.load(both.ask_resync())
    assert run.status == "done"
    assert both.row(1) is None
    assert both.row(2) is not None
    assert kinds(both, before) == ["scan", "read"]


def test_what_was_written_after_a_scan_began_is_looked_at_by_its_id(both: TwoWayProject) -> None:
    run_id, loader = both.ask_resync(), both.loader()
    older = RemoteChange(
        both.remote_id(1), both.now, {KEY: "1", "FirstName": "Older", "LastName": "Last 1", "Email": "1@example.org"}
    )
    both.out.destination.faults.hold_jobs()
    loader.step(both.run(run_id))
    both.out.change("update people set first_name = 'Newer' where id = 1", 1)
    both.out.deliver()
    writer = loader.poller.writer()
    began = both.run(run_id).started_at
    assert began is not None
    assert writer.write([older], began).postponed == {older.remote_id}
    both.out.destination.faults.clear()
    both.load(run_id, loader)
    both.poll()
    assert both.row(1, "first_name") == ("Newer",)
    assert both.out.remote()["1"]["FirstName"] == "Newer"


def test_records_that_are_linked_during_a_scan_are_not_taken_for_gone(both: TwoWayProject) -> None:
    run_id, loader = both.ask_resync(), both.loader()
    both.out.destination.faults.hold_jobs()
    loader.step(both.run(run_id))
    both.out.add(3)
    both.out.deliver()
    both.out.destination.faults.clear()
    before = len(both.out.destination.calls)
    both.load(run_id, loader)
    assert kinds(both, before) == ["scan"]


def test_a_filter_reads_the_records_of_its_rows_by_their_ids(both: TwoWayProject) -> None:
    both.edit(1, FirstName="Grace")
    both.edit(2, FirstName="Ada")
    unseen(both)
    before = len(both.out.destination.calls)
    run = both.load(both.ask_resync("people.id = 2"))
    assert (run.status, run.enqueued) == ("done", 1)
    assert both.row(1, "first_name") == ("First 1",)
    assert both.row(2, "first_name") == ("Ada",)
    assert kinds(both, before) == ["read"]


def test_a_filter_that_postgres_refuses_ends_the_run_and_halts_nothing(both: TwoWayProject) -> None:
    run = both.load(both.ask_resync("no_such_column > 1"))
    assert run.status == "failed"
    assert mappings.is_active(both.out.store, both.out.mapping_id)


def test_pages_are_written_in_parts_and_the_position_moves_after_the_last(both: TwoWayProject) -> None:
    both.out.add(*range(3, 12))
    both.out.deliver()
    both.age_links()
    run_id, loader = both.ask_resync(), both.loader(part=4)
    seen = []
    while both.run(run_id).status == "pending" and both.run(run_id).phase == "scan":
        loader.step(both.run(run_id))
        seen.append((loader.busy, both.run(run_id).enqueued))
    assert seen == [(True, 0), (True, 0), (False, 11)]


def test_a_resync_that_is_asked_for_twice_is_one(both: TwoWayProject) -> None:
    assert both.ask_resync() == both.ask_resync()
    assert both.ask_resync("id = 1") != both.ask_resync()
