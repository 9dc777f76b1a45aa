"""The slot is lost: capture notices, says which range was not captured, and goes on by itself; only what really differs
is sent, whatever happened meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, WorkerProcess, make_project, until
from tests.project_files import TABLES

#: In one transaction, so that no slot can be made before these changes are committed.
CHANGES_AND_A_DROP = """
do $$ begin
    update people set first_name = 'Not captured' where id = 1;
    delete from people where id = 2;
    insert into people (id, first_name, last_name) values (6, 'New', 'Person');
    update people set first_name = 'Touched' where id = 3;
    update people set first_name = 'First 3' where id = 3;
    for attempt in 1..1000 loop
        begin
            perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{slot}';
            perform pg_sleep(0.01);
            perform pg_drop_replication_slot('{slot}');
            return;
        exception when object_in_use then null;
        end;
    end loop;
    raise exception 'the slot stays in use';
end $$
"""
SENT = ["1", "2", "6"]


def delivered(whole: WholeProject) -> int:
    """How many deliveries the log holds so far."""
    return int(whole.sql("select count(*) from syncbridge.sync_log where outcome = 'delivered'")[0][0])


def sent_since(whole: WholeProject, count: int) -> list[str]:
    """Keys of what was delivered after the first so many."""
    found = whole.sql(
        "select key from syncbridge.sync_log where outcome = 'delivered' order by at, id offset %s", count
    )
    return sorted(key for (key,) in found)


def wait_for_gap(whole: WholeProject) -> tuple[str, str]:
    """Where the gap begins and ends, once the slot is made anew."""
    until(lambda: whole.sql("select 1 from syncbridge.gap"), what="the slot is made anew")
    ((first, last),) = whole.sql("select from_lsn::text, to_lsn::text from syncbridge.gap")
    return first, last


def assert_made_good(whole: WholeProject, before: int) -> None:
    """Only the differences were sent, both sides are equal, and later changes flow."""
    whole.wait()
    whole.assert_equal()
    assert sent_since(whole, before) == SENT
    whole.sql("update people set first_name = 'Live again' where id = 4")
    whole.wait()
    whole.assert_equal()
    assert sent_since(whole, before) == sorted([*SENT, "4"])


def test_a_slot_dropped_under_running_workers_is_made_anew_by_one_and_only_true_differences_are_sent(
    running: WholeProject,
) -> None:
    running.start()
    until(lambda: len(running.run("status", "--json").json["workers"]) == 2, what="two workers run")
    before = delivered(running)
    running.sql(CHANGES_AND_A_DROP.format(slot=running.slot))
    first, last = wait_for_gap(running)
    assert_made_good(running, before)
    told = f"changes after {first}"
    logs = running.workers[0].log + running.workers[1].log
    assert logs.count(told) == 1
    assert f"and before {last}" in logs
    status = running.run("status")
    assert told in " ".join(status.out.split())
    assert running.run("status", "--json").json["capture"]["gap"]["from_lsn"] == first


def test_a_slot_that_kept_too_much_log_is_made_anew(short_of_room: WholeProject) -> None:
    whole = short_of_room
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    worker.stop()
    before = delivered(whole)
    whole.sql("update people set first_name = 'Not captured' where id = 1")
    for _ in range(3):
        whole.sql("select pg_logical_emit_message(true, 'filler', 'x')")
        whole.sql("select pg_switch_wal()")
        whole.sql("checkpoint")
    assert whole.sql("select wal_status from pg_replication_slots") == [("lost",)]
    whole.start()
    wait_for_gap(whole)
    whole.wait()
    whole.assert_equal()
    assert sent_since(whole, before) == ["1"]
    assert "was invalidated" in whole.workers[-1].log


@pytest.fixture
def short_of_room(salesforce: SandboxServer, tmp_path: Path) -> Iterator[WholeProject]:
    """A project on a server that keeps next to no log for slots."""
    with (
        LocalPostgres(settings={"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB"}) as server,
        ExitStack() as opened,
        psycopg.connect(server.dsn, autocommit=True) as postgres,
    ):
        postgres.execute(TABLES)
        yield make_project(tmp_path / "project", server.dsn, postgres, salesforce, opened)


def test_a_worker_that_may_not_stops_and_says_what_to_run(whole: WholeProject) -> None:
    whole.environment["SYNCBRIDGE_SOURCE__SLOT_LOST"] = "stop"
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    worker.stop()
    before = delivered(whole)
    whole.sql(CHANGES_AND_A_DROP.format(slot=whole.slot))
    worker = whole.start()
    until(lambda: "capture stopped" in worker.log, what="capture says that it stopped")
    assert "changes may be missing, after " in worker.log
    assert "syncbridge setup --recreate-slot" in worker.log
    until(lambda: "does not exist" in whole.run("status").out, what="status says that the slot is gone")
    assert whole.run("status").code == 1
    refused = whole.run("setup")
    assert refused.code == 4
    assert "--recreate-slot" in refused.err
    assert sent_since(whole, before) == []
    whole.done("setup", "--recreate-slot")
    worker.stop()
    worker = whole.start()
    assert_made_good(whole, before)
    drop_the_publication(whole, worker)


def drop_the_publication(whole: WholeProject, worker: WorkerProcess) -> None:
    """The same command mends it; what was committed without a publication arrives."""
    worker.stop()
    whole.sql(f'drop publication "{whole.slot}"')
    whole.sql("update people set first_name = 'Not published' where id = 4")
    worker = whole.start()
    until(lambda: "the publication does not exist any more" in worker.log, what="capture says that it stopped")
    assert "syncbridge setup --recreate-slot" in worker.log
    worker.stop()
    whole.done("setup", "--recreate-slot")
    whole.start()
    whole.wait()
    whole.assert_equal()
    assert whole.record(4)["FirstName"] == "Not published"  # type: ignore[index]
