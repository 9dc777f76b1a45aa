"""A record that somebody deleted, which the mapping ignores, does not come back by itself, whatever happens here."""

from __future__ import annotations

import pytest

from syncbridge.model import Reason
from syncbridge.preview import Fate
from syncbridge.resync import Progress, step
from syncbridge.store import kept_rows, runs
from tests.fix_bulk import FROM, StartBulk
from tests.fix_reconcile import Reconciliations
from tests.fix_two_way import BOTH, StartTwoWay, TwoWayProject, polled
from tests.test_preview import looked


def kept(both: TwoWayProject) -> set[str]:
    rows = both.out.store.execute("select key from syncbridge.kept_row")
    return {key for (key,) in rows}


@pytest.fixture
def dropped(both: TwoWayProject) -> TwoWayProject:
    """Somebody changed a record there and then deleted it, and both were polled."""
    both.edit(1, FirstName="Theirs")
    both.poll()
    both.drop(1)
    both.poll()
    assert kept(both) == {"1"}
    return both


def test_capture_of_our_own_write_does_not_bring_a_deleted_record_back(dropped: TwoWayProject) -> None:
    dropped.out.touch(1)
    dropped.out.deliver()
    assert list(dropped.out.remote()) == ["2"]
    assert dropped.out.left() == []
    assert dropped.row(1, "first_name") == ("Theirs",)


def test_a_later_change_of_the_row_does_not_bring_it_back(dropped: TwoWayProject) -> None:
    dropped.out.change("update people set first_name = 'Later' where id = 1", 1)
    dropped.settle()
    assert list(dropped.out.remote()) == ["2"]
    assert dropped.out.left() == []


@pytest.mark.parametrize("force", [False, True])
def test_no_resync_of_a_mapping_brings_it_back(dropped: TwoWayProject, force: bool) -> None:
    out = dropped.out
    run = runs.request(out.store, out.mapping_id, Reason.RESYNC, filter="", resend=force)
    for _ in range(20):
        if step(out.store, out.deliverer.source, run, out.mapping) is Progress.OVER:
            break
    out.deliver()
    assert list(out.remote()) == ["2"]
    assert out.left() == []


def test_a_row_that_is_marked_instead_does_not_bring_it_back_either(start_two_way: StartTwoWay) -> None:
    marks = ("deletes: {to_destination: delete}", "deletes: {to_postgres: {set: {last_name: Gone}}}")
    both = start_two_way(marks)
    both.out.add(1)
    both.out.deliver()
    both.poll()
    both.age_links()
    both.drop(1)
    both.settle()
    assert both.out.remote() == {}
    assert both.row(1, "last_name") == ("Gone",)


def test_a_kept_row_that_would_be_refused_is_no_dead_letter(dropped: TwoWayProject) -> None:
    dropped.out.change("update people set last_name = repeat('x', 100) where id = 1", 1)
    dropped.out.deliver()
    assert dropped.out.left() == []


def test_a_row_that_is_deleted_and_made_anew_goes_out(dropped: TwoWayProject) -> None:
    dropped.out.change("delete from people where id = 1", 1)
    dropped.out.deliver()
    assert kept(dropped) == set()
    dropped.out.add(1)
    dropped.out.deliver()
    assert sorted(dropped.out.remote()) == ["1", "2"]


def test_an_undeleted_record_is_linked_with_what_was_agreed_on(both: TwoWayProject) -> None:
    """So that a change of the row meanwhile goes out, and older values of the record do not come in."""
    both.after(+60)
    remote_id = both.remote_id(1)
    record = both.out.destination._records["contact"][remote_id]
    both.drop(1)
    both.poll()
    base = kept_rows.read(both.out.store, both.out.mapping_id, ["1"])["1"].base
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.deliver()
    both.out.store.execute("update syncbridge.departure set at = at - interval '1 hour'")
    both.after(+120)
    both.out.destination._records["contact"][remote_id] = record
    both.out.destination.feed.note("Contact", remote_id)
    both.poll()
    assert both.remote_id(1) == remote_id
    assert both.base(1) == base
    assert kept(both) == set()
    both.settle()
    assert both.row(1, "first_name") == ("Ours",)
    assert both.out.remote()["1"]["FirstName"] == "Ours"


def test_a_new_record_with_the_same_key_is_linked(dropped: TwoWayProject) -> None:
    dropped.out.store.execute("update syncbridge.departure set at = at - interval '1 hour'")
    dropped.out.destination.put("Contact", {"Person_Key__c": "1", "FirstName": "New", "LastName": "One"})
    dropped.settle()
    assert kept(dropped) == set()
    assert sorted(dropped.out.remote()) == ["1", "2"]
    assert dropped.row(1, "last_name") == (dropped.out.remote()["1"]["LastName"],)


def test_bulk_jobs_leave_kept_rows(start_bulk: StartBulk) -> None:
    bulk = start_bulk(BOTH)
    both = polled(bulk.small)
    both.out.add(*range(1, 2 * FROM + 1))
    both.out.deliver()
    both.poll()
    both.age_links()
    for key in range(1, FROM + 1):
        both.drop(key)
    both.poll()
    both.out.touch(*range(1, 2 * FROM + 1))
    both.out.add(*range(100, 100 + FROM))
    bulk.carry(bulk.open())
    both.out.deliver()
    assert sum(bulk.uploaded()) == FROM
    assert not {str(key) for key in range(1, FROM + 1)} & both.out.remote().keys()
    assert both.out.left() == []


def test_a_preview_counts_kept_rows_as_ignored_and_keeps_them(dropped: TwoWayProject) -> None:
    found, counts = looked(dropped.out)
    assert (found["1"].fate, found["2"].fate) == (Fate.IGNORED, Fate.SAME)
    assert counts.fates[Fate.CREATE] == 0
    assert kept(dropped) == {"1"}


def test_reconcile_finds_no_drift_in_kept_rows_when_the_log_is_gone(dropped: TwoWayProject) -> None:
    dropped.out.store.execute("truncate syncbridge.sync_log")
    dropped.age_links()
    report = Reconciliations(dropped.out).run()
    assert (report.by_rule, report.drift) == (1, 0)
