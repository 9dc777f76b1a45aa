"""Loads that end in the middle, or are written twice; and loads that make rows of new records."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.write import PageWriter
from syncbridge.store import loads
from tests.fix_two_way import StartNew, TwoWayProject
from tests.inbound.test_load import KEY, kinds, there, unseen


class Died(BaseException):
    """A worker's death."""


@pytest.mark.parametrize(
    "step",
    ["before the page is written", "after a part", "before the position moves", "before the missing are found",
     "between pages of the missing", "before the end"],
)  # fmt: skip
def test_a_worker_that_dies_at_any_step_leaves_a_resync_that_another_ends(
    step: str, both: TwoWayProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.out.add(*range(3, 30))
    both.out.deliver()
    both.age_links()
    both.out.destination.batch_size = 10
    both.edit(5, FirstName="Grace")
    for key in (7, 8, 9):
        both.drop(key)
    unseen(both)
    run_id = both.ask_resync()
    with monkeypatch.context() as patched:
        _die_at(step, patched)
        with pytest.raises(Died):
            both.load(run_id, both.loader(part=4))
    run = both.load(run_id, both.loader(part=4))
    assert run.status == "done"
    assert both.row(5, "first_name") == ("Grace",)
    gone = {key: [entry.operation for entry in both.log(key)] for key in range(1, 30) if both.log(key)}
    assert gone == {5: ["update"], 7: ["delete"], 8: ["delete"], 9: ["delete"]}
    assert both.out.store.execute("select count(*) from syncbridge.scanned").fetchone() == (0,)


def _die_at(step: str, patched: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> None:
        raise Died

    def writes_and_dies(writer: PageWriter, *given: Any, **named: Any) -> None:
        write(writer, *given, **named)
        raise Died

    write = PageWriter.write
    match step:
        case "before the page is written":
            patched.setattr(PageWriter, "write", dies)
        case "after a part":
            patched.setattr(PageWriter, "write", writes_and_dies)
        case "before the position moves":
            patched.setattr(loads, "advance", dies)
        case "before the missing are found":
            patched.setattr(loads, "find_missing", dies)
        case "between pages of the missing":
            patched.setattr(loads, "looked_at", dies)
        case _:
            patched.setattr(loads, "finish", dies)


def test_a_first_load_goes_on_in_another_process_from_its_position(unloaded: TwoWayProject) -> None:
    unloaded.out.destination.batch_size = 2
    for number in (1, 2, 3):
        there(unloaded, number)
    run_id = unloaded.ask_first_load()
    unloaded.loader().step(unloaded.run(run_id))
    before = len(unloaded.out.destination.calls)
    assert unloaded.load(run_id, unloaded.loader()).enqueued == 3
    assert kinds(unloaded, before) == ["scan"]


def test_of_two_workers_one_carries_a_mappings_loads(both: TwoWayProject) -> None:
    first, second = both.out.stores(), both.out.stores()
    assert loads.lead(first, both.out.mapping_id)
    assert not loads.lead(second, both.out.mapping_id)
    assert loads.lead(first, both.out.mapping_id)


@pytest.fixture
def new(start_new: StartNew) -> TwoWayProject:
    """Two rows that were never delivered, over a table whose keys come by default, and `match_on` an address."""
    project = start_new(
        ("fields:", "match_on: Email\nfields:"),
        ("guard:", "conflict: destination\nguard:"),
        ("{to_destination: delete}", "{to_destination: delete, to_postgres: delete}"),
    )
    project.out.writer.execute(
        "insert into people (first_name, last_name, email) values"
        " ('Ada', 'Ours', 'ada@example.org'), ('Grace', 'Ours', 'grace@example.org')"
    )
    project.out.touch(1, 2)
    return project


def test_people_whom_both_sides_hold_become_one_and_the_others_come_over(new: TwoWayProject) -> None:
    ada = new.out.destination.put("Contact", {"LastName": "Theirs", "Email": "ada@example.org"})
    mary = new.out.destination.put("Contact", {"LastName": "New", "Email": "mary@example.org"})
    new.load(new.ask_first_load())
    assert (new.remote_id(1), new.remote_id(3)) == (ada, mary)
    new.out.deliver()
    new.settle()
    records = {str(each[KEY]): each["LastName"] for each in new.out.destination.stored("Contact").values()}
    assert records == {"1": "Theirs", "2": "Ours", "3": "New"}
    rows = new.out.writer.execute("select id, last_name from people order by id").fetchall()
    assert rows == [(1, "Theirs"), (2, "Ours"), (3, "New")]


def test_a_load_that_is_written_twice_makes_no_row_twice(new: TwoWayProject, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        new.out.destination.put("Contact", {"LastName": f"New {number}"})
    run_id = new.ask_first_load()
    with monkeypatch.context() as patched:
        _die_at("before the position moves", patched)
        with pytest.raises(Died):
            new.load(run_id, new.loader(part=4))
    new.load(run_id, new.loader(part=4))
    new.out.deliver()
    new.settle()
    assert new.out.writer.execute("select count(*) from people").fetchone() == (12,)
    assert len(new.out.destination.stored("Contact")) == 12


def test_a_record_that_is_deleted_while_a_resync_reads_does_not_come_back(new: TwoWayProject) -> None:
    new.load(new.ask_first_load())
    gone = new.out.destination.put("Contact", {"LastName": "Gone"})
    new.poll()
    new.out.deliver()
    assert new.row(3, "last_name") == ("Gone",)
    run_id, loader = new.ask_resync(), new.loader()
    new.out.destination.faults.hold_jobs()
    new.waited += loader.step(new.run(run_id))
    began = new.run(run_id).started_at
    assert began is not None
    new.out.destination.delete("Contact", [gone])
    new.poll()
    writer = loader.poller.writer()
    seen = RemoteChange(gone, new.now, {KEY: "3", "LastName": "Gone", "FirstName": None, "Email": None})
    assert writer.write([seen], began).postponed == {gone}
    new.out.destination.faults.clear()
    new.load(run_id, loader)
    new.settle()
    assert new.out.writer.execute("select count(*) from people where last_name = 'Gone'").fetchone() == (0,)
