"""Seam 3: a worker dies before, inside and after the transaction that writes a page; nothing is lost or done twice."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.inbound.write import PageWriter
from syncbridge.store import database, held_changes, links, outbox, rechecks, sync_log, watermarks
from tests.fix_two_way import StartTwoWay, TwoWayProject


class Died(BaseException):
    """The process is gone; no `except Exception` sees it."""


def die(*_: Any, **__: Any) -> Any:
    raise Died


def dying_after(work: Any) -> Any:
    """Does the work, and dies."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        work(*arguments, **options)
        raise Died

    return wrapped


def end(both: TwoWayProject) -> None:
    """The poller's session ends; its lock is released first, as the server may take a moment to notice."""
    both.poller.store.execute("select pg_advisory_unlock_all()")
    both.poller.store.close()


def again(both: TwoWayProject) -> None:
    """Another poller takes over, as after the death of the first."""
    store = both.out.stores()
    end(both)
    both.poller = type(both.poller)(
        both.out.mapping_id, both.out.mapping, both.poller.two_way, both.out.destination, store, store
    )
    both.poll()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (held_changes, "hold"),
        (held_changes, "release"),
        (links, "upsert"),
        (sync_log, "append_incoming"),
        (rechecks, "postpone"),
        (watermarks, "advance"),
        (outbox, "make_due"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_death_anywhere_in_a_page_leaves_all_of_it_or_nothing(
    both: TwoWayProject, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    both.edit(1, FirstName="Theirs")
    both.edit(2, FirstName="Theirs")
    with monkeypatch.context() as patched:
        patched.setattr(place, name, die)
        with pytest.raises(Died):
            both.poll()
    whole = place is watermarks
    for key in (1, 2):
        assert both.row(key, "first_name") == (("Theirs",) if whole else (f"First {key}",))
        assert (both.base(key) or {})["FirstName"] == ("Theirs" if whole else f"First {key}")
        assert len(both.log(key)) == whole
    again(both)
    both.settle()
    for key in (1, 2):
        assert both.row(key, "first_name") == ("Theirs",)
        assert both.out.remote()[str(key)]["FirstName"] == "Theirs"
        assert len(both.log(key)) == 1
    assert both.out.remote()["1"]["LastName"] == "Ours"


def test_rows_that_were_written_without_their_record_agree_at_the_next_poll(
    start_two_way: StartTwoWay, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect(dsn, purpose="rows") as rows_of_another_database:
        both = start_two_way(own_store=rows_of_another_database)
        both.out.add(1)
        both.out.deliver()
        both.poll()
        both.age_links()
        both.edit(1, FirstName="Theirs")
        with monkeypatch.context() as patched:
            patched.setattr(PageWriter, "_write", dying_after(PageWriter._write))  # the rows are committed then
            with pytest.raises(Died):
                both.poll()
        assert both.row(1, "first_name") == ("Theirs",)
        assert (both.base(1) or {})["FirstName"] == "First 1"
        again(both)
        both.settle()
        assert (both.base(1) or {})["FirstName"] == "Theirs"
        assert both.row(1, "first_name") == ("Theirs",)
        assert both.out.remote()["1"]["FirstName"] == "Theirs"


def test_of_two_pollers_only_one_reads(both: TwoWayProject) -> None:
    store = both.out.stores()
    other = type(both.poller)(
        both.out.mapping_id, both.out.mapping, both.poller.two_way, both.out.destination, store, store
    )
    both.edit(1, FirstName="Theirs")
    before = len(both.out.destination.calls)
    assert other.step() > 0
    assert len(both.out.destination.calls) == before
    end(both)
    assert other.step() > 0
    assert both.row(1, "first_name") == ("Theirs",)


def test_a_position_is_written_only_over_the_one_that_it_follows(both: TwoWayProject) -> None:
    store, id = both.out.store, both.out.mapping_id
    now = watermarks.read(store, id)
    assert watermarks.advance(store, id, "later", after=now, caught_up=True)
    assert not watermarks.advance(store, id, "earlier", after=now, caught_up=True)
    assert not watermarks.advance(store, id, "first", after=None, caught_up=True)
    assert watermarks.read(store, id) == "later"


def test_rows_of_another_database_are_not_written_when_their_decision_cannot_be_told(
    start_two_way: StartTwoWay, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect(dsn, purpose="rows") as rows_of_another_database:
        both = start_two_way(own_store=rows_of_another_database)
        both.out.add(1)
        both.out.deliver()
        both.poll()
        both.age_links()
        both.out.change("update people set first_name = 'Ours' where id = 1", 1)
        both.after(+60)
        both.edit(1, FirstName="Theirs")
        with monkeypatch.context() as patched:
            patched.setattr(sync_log, "append_incoming", die)
            with pytest.raises(Died):
                both.poll()
        assert both.row(1, "first_name") == ("Ours",)
        again(both)
        assert both.row(1, "first_name") == ("Theirs",)
        assert both.decisions(1)[0]["FirstName"]["local"] == "Ours"
