"""Faults that other products' users met with two-way sync, each as a test that this one does not have it.

Sources: Heroku Connect's documentation (values that flip back, rows that come back, inserts that stay behind), and
issues of MinnPost (359, 445), dayGLANCE (1455), baserow (6113), airbyte (43317) and hq (111). What is normalised, or
set by the org's own automation, is in tests/convergence/test_known_faults.py, over HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from syncbridge.destinations.feed import ChangesPage, RemoteChange
from syncbridge.model import Normal
from syncbridge.store import decisions
from tests.fix_delivery import Start
from tests.fix_store import make_due
from tests.fix_two_way import StartTwoWay, TwoWayProject
from tests.inbound.test_stale_reads import show_earlier

DELETES = ("deletes: {to_destination: delete}", "deletes: {to_destination: delete, to_postgres: delete}")


def started(start: StartTwoWay, *replacements: tuple[str, str]) -> TwoWayProject:
    """Two people are on both sides."""
    both = start(*replacements)
    both.out.add(1, 2)
    both.out.deliver()
    both.poll()
    both.age_links()
    return both


def sent(both: TwoWayProject, work: Callable[[], object]) -> int:
    """Records that are written or deleted meanwhile."""
    calls = both.out.destination.calls
    before = len(calls)
    work()
    return sum(count for operation, _, count in calls[before:] if operation in ("upsert", "update", "delete"))


def go_round(both: TwoWayProject, times: int) -> None:
    """Each direction takes a step in turn, as workers do."""
    for _ in range(times):
        make_due(both.out.store)
        both.out.deliverer.step()
        both.poll()


def show_once_more(both: TwoWayProject, remote_id: str, **fields: Normal) -> None:
    """Let the next page show a record that is gone, as it was before: a query may do so for some seconds."""
    changes = both.out.destination.changes

    def once(*args: Any, **options: Any) -> ChangesPage:
        both.out.destination.changes = changes  # type: ignore[method-assign]
        _, _, position = args
        return ChangesPage((RemoteChange(remote_id, both.now, fields),), position, more=True)

    both.out.destination.changes = once  # type: ignore[method-assign]


def test_a_field_that_is_written_twice_in_a_row_never_flips_back(both: TwoWayProject) -> None:
    both.out.change("update people set first_name = 'One' where id = 1", 1)
    both.out.deliverer.step()
    both.out.change("update people set first_name = 'Two' where id = 1", 1)
    both.poll()  # shows One, which is our own
    assert both.row(1, "first_name") == ("Two",)
    both.out.deliver()
    show_earlier(both, 1, FirstName="One")
    both.poll()
    both.settle()
    assert both.row(1, "first_name") == ("Two",)
    assert both.out.remote()["1"]["FirstName"] == "Two"
    assert both.log(1) == []


def test_a_remote_field_that_is_written_twice_in_a_row_never_flips_back(both: TwoWayProject) -> None:
    both.edit(1, FirstName="One")
    both.poll()
    both.edit(1, FirstName="Two")
    both.out.touch(1)  # the row's change to One is captured as anybody's
    both.out.deliver()
    assert both.out.remote()["1"]["FirstName"] == "Two"
    both.poll()
    both.settle()
    assert both.row(1, "first_name") == ("Two",)
    assert both.out.remote()["1"]["FirstName"] == "Two"


def test_a_row_that_was_deleted_does_not_come_back_for_an_older_remote_change(start_two_way: StartTwoWay) -> None:
    both = started(start_two_way, DELETES)
    both.after(-60)
    both.edit(1, FirstName="Theirs")
    remote_id = both.remote_id(1)
    both.out.change("delete from people where id = 1", 1)
    both.poll()
    both.out.deliver()
    show_once_more(both, remote_id, Person_Key__c="1", FirstName="Theirs", LastName="Last 1")
    both.poller.step()
    assert both.row(1) is None
    both.settle()
    assert both.row(1) is None
    assert list(both.out.remote()) == ["2"]
    assert any("Theirs" in str(decision) for decision in both.decisions(1))


def test_a_record_that_was_deleted_does_not_come_back_for_our_own_last_write(start_two_way: StartTwoWay) -> None:
    both = started(start_two_way, DELETES)
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.out.deliver()
    both.out.touch(1)
    both.drop(1)
    both.out.deliver()
    both.age_links()
    both.poll()
    both.settle()
    assert both.row(1) is None
    assert list(both.out.remote()) == ["2"]


def test_a_row_that_is_deleted_and_inserted_again_stays_one_record(start_two_way: StartTwoWay) -> None:
    both = started(start_two_way, DELETES)
    both.out.change("delete from people where id = 1", 1)
    both.out.change("insert into people (id, first_name, last_name) values (1, 'Again', 'Last')", 1)
    both.out.deliver()
    both.poll()
    both.settle()
    assert both.out.remote()["1"]["FirstName"] == "Again"  # `remote` fails where there are two
    both.out.change("delete from people where id = 1", 1)
    both.out.deliver()
    both.out.change("insert into people (id, first_name, last_name) values (1, 'Once more', 'Last')", 1)
    both.out.deliver()
    both.age_links()
    both.poll()
    both.settle()
    assert both.row(1, "first_name") == ("Once more",)
    assert both.out.remote()["1"]["FirstName"] == "Once more"


def test_what_is_inserted_and_deleted_before_the_first_push_leaves_nothing_behind(both: TwoWayProject) -> None:
    both.out.add(7)
    both.out.change("delete from people where id = 7", 7)
    assert sent(both, both.out.deliver) == 0
    both.poll()
    assert list(both.out.remote()) == ["1", "2"]
    assert both.out.left() == []


@pytest.mark.parametrize("answered", [True, False])
def test_what_is_deleted_while_it_is_first_sent_leaves_nothing_behind(both: TwoWayProject, answered: bool) -> None:
    upsert = both.out.destination.upsert

    def meanwhile(*args: Any, **options: Any) -> Any:
        both.out.destination.upsert = upsert  # type: ignore[method-assign]
        both.out.change("delete from people where id = 7", 7)
        return upsert(*args, **options)

    both.out.add(7)
    both.out.destination.upsert = meanwhile  # type: ignore[method-assign]
    if not answered:
        both.out.destination.faults.fail_after_write()
    both.out.deliverer.step()
    assert list(both.out.remote()) == ["1", "2", "7"]
    go_round(both, 4)
    assert both.row(7) is None
    assert list(both.out.remote()) == ["1", "2"]
    assert both.out.left() == []


def test_an_edit_there_that_no_poll_saw_is_not_overwritten_by_an_update(both: TwoWayProject) -> None:
    """Between reading a row and sending it somebody else changed the record."""
    both.after(60)
    both.edit(1, FirstName="Theirs")
    both.out.change("update people set first_name = 'Ours', last_name = 'Also ours' where id = 1", 1)
    assert sent(both, both.out.deliverer.step) == 0
    go_round(both, 4)
    record = both.out.remote()["1"]
    assert both.row(1, "first_name", "last_name") == ("Theirs", "Also ours")
    assert (record["FirstName"], record["LastName"]) == ("Theirs", "Also ours")
    assert both.decisions(1)[0]["FirstName"]["local"] == "Ours"


def test_one_remote_record_that_two_rows_could_be_is_held_and_not_fought_over(start: Start) -> None:
    out = start(("fields:", "match_on: Email\nfields:"), ("guard: {deletes", "direction: both\nguard: {deletes"))
    out.destination.put("Contact", {"Email": "shared@example.org", "LastName": "There"})
    out.writer.execute(
        "insert into people (id, last_name, email)"
        " values (1, 'One', 'shared@example.org'), (2, 'Two', 'shared@example.org')"
    )
    out.touch(1, 2)
    out.deliver()
    before = len(out.destination.calls)
    for _ in range(3):
        out.touch(1, 2)
        out.deliver()
    writes = [call for call in out.destination.calls[before:] if call[0] in ("upsert", "update", "delete")]
    assert writes == []
    assert [fields["LastName"] for fields in out.destination.stored("Contact").values()] == ["There"]
    assert dict(out.store.execute("select key, status from syncbridge.outbox").fetchall()) == {"1": "held", "2": "held"}


def test_a_decision_to_keep_what_is_here_is_the_new_base_and_is_not_asked_again(start_two_way: StartTwoWay) -> None:
    both = started(start_two_way, ("guard:", "conflict: hold\nguard:"))
    both.out.change("update people set first_name = 'Ours' where id = 1", 1)
    both.edit(1, FirstName="Theirs")
    both.poll()
    held = both.held(1)
    assert held is not None
    assert decisions.take(both.out.store, both.out.mapping_id, "1", held.revision, {"FirstName": "local"})
    for _ in range(3):
        both.poll()
        both.out.touch(1)
        both.out.deliver()
    assert both.held(1) is None
    assert both.out.remote()["1"]["FirstName"] == "Ours"
    assert (both.base(1) or {})["FirstName"] == "Ours"


def test_a_war_in_which_every_cycle_succeeds_is_stopped(both: TwoWayProject) -> None:
    upsert = both.out.destination.upsert

    def automated(object: str, external_id: str, records: object, **options: object) -> object:
        changed = [{**each, **({"FirstName": "There"} if "FirstName" in each else {})} for each in records]  # type: ignore[attr-defined]
        return upsert(object, external_id, changed, **options)  # type: ignore[arg-type]

    both.out.destination.upsert = automated  # type: ignore[method-assign]
    both.out.writer.execute(
        "create function back() returns trigger language plpgsql as"
        " $$ begin new.first_name := 'Here'; return new; end $$;"
        "create trigger back before update on people for each row execute function back()"
    )
    both.out.change("update people set first_name = 'x' where id = 1", 1)

    def go_round() -> None:
        for _ in range(30):
            make_due(both.out.store)
            both.out.deliverer.step()
            both.poll()
            both.out.touch(1)

    go_round()
    assert sent(both, go_round) == 0
    held = both.held(1)
    assert held is not None
    assert (held.fields["FirstName"]["local"], held.fields["FirstName"]["remote"]) == ("Here", "There")


@pytest.mark.timeout(120)
def test_an_edit_that_is_committed_while_its_page_is_written_is_not_lost(
    both: TwoWayProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under read committed a row that was read before somebody's commit would be written over."""
    both.edit(1, FirstName="Theirs")
    writer = both.out.writer
    writer.autocommit = False
    writer.execute("update people set first_name = 'Ours', last_name = 'Also ours' where id = 1")
    polling = threading.Thread(target=both.poll)
    polling.start()
    waiting = "select 1 from pg_locks where not granted and locktype in ('transactionid', 'tuple')"
    for _ in range(3000):
        if both.out.store.execute(waiting).fetchone():
            break
        polling.join(0.01)
        assert polling.is_alive(), "it did not wait for the row"
    writer.commit()
    writer.autocommit = True
    polling.join()
    both.out.touch(1)
    both.out.deliver()
    both.settle()
    row = both.row(1, "first_name", "last_name")
    assert row is not None
    assert row[1] == "Also ours"
    assert both.out.remote()["1"]["LastName"] == "Also ours"
    assert row[0] == both.out.remote()["1"]["FirstName"]
    assert {"Ours", "Theirs"} <= {value for each in both.decisions(1) for value in each["FirstName"].values()}


@pytest.mark.parametrize("hours", [-24 * 365, 24 * 365])
def test_clocks_that_lie_lose_no_edit_and_turn_nothing_back(both: TwoWayProject, hours: int) -> None:
    both.after(hours * 3600)
    both.edit(1, FirstName="Theirs")
    both.out.change("update people set last_name = 'Ours' where id = 1", 1)
    both.settle()
    assert both.row(1, "first_name", "last_name") == ("Theirs", "Ours")
    both.out.change("update people set email = 'ours@example.org' where id = 2", 2)
    both.edit(2, Email="theirs@example.org")
    both.settle()
    row, record = both.row(2, "email"), both.out.remote()["2"]
    assert row == (record["Email"],) == (("ours@example.org",) if hours < 0 else ("theirs@example.org",))
    told = both.decisions(2)[0]["Email"]
    assert (told["local"], told["remote"]) == ("ours@example.org", "theirs@example.org")
    assert sent(both, both.settle) == 0
