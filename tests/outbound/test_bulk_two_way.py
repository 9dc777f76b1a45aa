"""Jobs carry the new records of a two-way mapping; what is there already goes by calls, which look at it first."""

from __future__ import annotations

from tests.fix_bulk import FROM, BulkProject, StartBulk
from tests.fix_two_way import BOTH, TwoWayProject, polled


def start(start_bulk: StartBulk, *replacements: tuple[str, str]) -> tuple[BulkProject, TwoWayProject]:
    bulk = start_bulk(*replacements, BOTH)
    return bulk, polled(bulk.small)


def linked(both: TwoWayProject, *ids: int) -> None:
    """People on both sides."""
    both.out.add(*ids)
    both.out.deliver()
    both.poll()
    both.age_links()


def test_new_records_go_by_a_job_and_updates_are_read_before_they_are_written(start_bulk: StartBulk) -> None:
    bulk, both = start(start_bulk)
    linked(both, *range(1, FROM + 1))
    both.out.change("update people set first_name = 'Ours'", *range(1, FROM + 1))
    both.after(+60)
    both.edit(1, FirstName="Theirs")
    both.out.add(*range(100, 100 + 2 * FROM))
    reads = bulk.calls("read")
    bulk.carry(bulk.open())
    assert bulk.uploaded() == [2 * FROM]
    assert bulk.calls("read") == reads
    both.out.deliverer.step()
    assert bulk.calls("read") == reads + 1
    both.settle()
    assert both.row(1, "first_name") == ("Theirs",)
    assert both.row(2, "first_name") == ("Ours",)
    bulk.assert_equal()
    assert bulk.uploaded() == [2 * FROM]


def test_a_backlog_without_new_records_begins_no_job(start_bulk: StartBulk) -> None:
    bulk, both = start(start_bulk)
    linked(both, *range(1, 2 * FROM + 1))
    both.out.change("update people set first_name = 'Ours' where id <= 15", *range(1, 2 * FROM + 1))
    both.out.change("delete from people where id > 15")
    bulk.carry(bulk.open())
    assert bulk.uploaded() == []
    both.out.deliver()
    bulk.assert_equal()


def test_a_record_that_somebody_changes_while_its_job_runs_comes_back(start_bulk: StartBulk) -> None:
    bulk, both = start(start_bulk)
    carrier = bulk.open()
    both.out.add(*range(1, FROM + 1))
    both.out.destination.faults.hold_jobs()
    for _ in range(5):
        carrier.step()
    bulk.jobs.run_jobs()
    (theirs,) = [id for id, each in both.out.destination.stored("Contact").items() if each["Person_Key__c"] == "3"]
    both.out.destination.update("Contact", [(theirs, {"FirstName": "Theirs"})])
    both.poll()
    assert both.row(3, "first_name") == ("First 3",)
    assert len(both.rechecks()) == FROM
    bulk.carry(carrier)
    before = len(both.out.destination.calls)
    both.poll()
    assert both.row(3, "first_name") == ("Theirs",)
    assert both.rechecks() == []
    assert [call[0::2] for call in both.out.destination.calls[before:] if call[0] == "read"] == [("read", 1)]
    both.settle()
    bulk.assert_equal()


def test_what_was_perhaps_created_before_goes_by_calls(start_bulk: StartBulk) -> None:
    bulk, both = start(start_bulk)
    both.out.writer.execute(
        "insert into people (id, first_name, last_name) select n, 'x', 'y' from generate_series(1, 30) n"
    )
    both.out.touch(*range(1, 31), resend=True)
    bulk.carry(bulk.open())
    assert bulk.uploaded() == []
    both.out.deliver()
    bulk.assert_equal()
