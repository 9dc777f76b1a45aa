"""A copy of the database, and an old copy of the state: neither does harm, and both can be worked with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE

BOTH = PEOPLE.replace("deletes: {to_destination: delete}", "direction: both\npoll: {every: 1s}")


def copy(admin: psycopg.Connection, database: str, to: str) -> None:
    """As `createdb --template` does: relations keep their numbers, as in a snapshot."""
    admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", (database,))
    admin.execute(f'create database "{to}" template "{database}"'.encode())


@contextmanager
def dropped_later(postgres_server: str, *databases: str) -> Iterator[psycopg.Connection]:
    """A connection to the server; what was copied is gone at the end."""
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        yield admin
        for database in databases:
            slots = "select slot_name from pg_replication_slots where database = %s"
            for (slot,) in admin.execute(slots, (database,)).fetchall():
                until(lambda slot=slot: _dropped(admin, slot))  # type: ignore[misc]
            admin.execute(f'drop database if exists "{database}" with (force)'.encode())


def _dropped(admin: psycopg.Connection, slot: str) -> bool:
    try:
        admin.execute("select pg_drop_replication_slot(%s)", (slot,))
    except psycopg.errors.ObjectInUse:
        return False
    return True


def test_a_copy_that_becomes_staging_writes_nothing_there_and_leaves_the_slot_of_production_alone(
    whole: WholeProject, postgres_server: str, tmp_path: Path
) -> None:
    staging = f"{whole.slot}_staging"
    whole.write_mapping("people", BOTH)
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.workers[0].stop()
    stamps = [record["SystemModstamp"] for record in whole.records()]
    with (
        dropped_later(postgres_server, staging) as admin,
        SandboxServer(org=tmp_path / "org.yaml") as other,
    ):
        copy(admin, whole.slot, staging)
        production, at_home = whole.postgres, dict(whole.environment)
        whole.environment["SYNCBRIDGE_SOURCE__DSN"] = make_conninfo(whole.dsn, dbname=staging)
        with psycopg.connect(whole.environment["SYNCBRIDGE_SOURCE__DSN"], autocommit=True) as whole.postgres:
            whole.sql("update people set first_name = 'Made up' where id = 1")
            worker = whole.start()
            until(lambda: "every mapping is halted" in worker.log, what="the worker stands still")
            assert "drop its schema `syncbridge`" in worker.log
            for command in ("--recreate-slot", "--restored"):
                assert whole.run("setup", command).code == 4
            worker.stop()

            whole.sql("drop schema syncbridge cascade")
            whole.environment["SYNCBRIDGE_SOURCE__SLOT"] = staging
            whole.environment["SYNCBRIDGE_DESTINATIONS__CRM__INSTANCE_URL"] = other.url
            whole.done("setup")
            whole.start()
            whole.wait()
            assert len(other.control.records("Contact")) == 5
            whole.workers[-1].stop()
        whole.postgres, whole.environment = psycopg.connect(whole.dsn, autocommit=True), at_home
        production.close()
    assert [record["SystemModstamp"] for record in whole.records()] == stamps
    with whole.postgres:
        whole.sql("update people set first_name = 'At home' where id = 2")
        whole.start()
        whole.wait()
        whole.assert_equal()
        assert "halted" not in whole.workers[-1].log


def test_a_state_that_is_older_than_the_slot_stops_capture_and_every_field_is_sent_again(
    whole: WholeProject, postgres_server: str
) -> None:
    state, backup = f"{whole.slot}_state", f"{whole.slot}_backup"
    whole.environment["SYNCBRIDGE_STORE__DSN"] = make_conninfo(whole.dsn, dbname=state)
    with dropped_later(postgres_server, state, backup) as admin:
        admin.execute(f'create database "{state}"'.encode())
        whole.write_mapping("people", BOTH)
        whole.done("setup")
        whole.start()
        whole.wait()
        whole.workers[0].stop()
        copy(admin, state, backup)

        worker = whole.start()
        whole.sql("update people set first_name = 'Sent' where id = 1")
        whole.sql("delete from people where id = 3")
        whole.sql("insert into people (id, last_name) values (6, 'Not known to the backup')")
        edit(whole, 2, LastName="Came in")
        until(lambda: whole.sql("select 1 from people where last_name = 'Came in'"))
        whole.wait()
        worker.stop()

        admin.execute(f'drop database "{state}" with (force)'.encode())
        admin.execute(f'alter database "{backup}" rename to "{state}"'.encode())
        whole.sql("update people set first_name = 'Not captured' where id = 4")
        edit(whole, 5, LastName="Not polled")
        worker = whole.start()
        until(lambda: "or the state was restored from a backup" in worker.log, what="capture says that it stopped")
        assert "syncbridge setup --recreate-slot" in worker.log
        assert whole.run("wait").code == 4
        worker.stop()
        whole.done("setup", "--recreate-slot")
        whole.start()
        whole.wait()
        until(lambda: whole.sql("select 1 from people where last_name = 'Not polled'"))
        whole.wait()
        whole.assert_equal()
        rows = whole.sql("select id, first_name, last_name from people order by id")
        assert rows == [
            (1, "Sent", "Last 1"),
            (2, "First 2", "Came in"),
            (4, "Not captured", "Last 4"),
            (5, "First 5", "Not polled"),
            (6, None, "Not known to the backup"),
        ]
        whole.workers[-1].stop()


def edit(whole: WholeProject, key: int, **values: object) -> None:
    """Somebody changes a record in Salesforce."""
    record = whole.record(key)
    assert record is not None
    with whole.project() as project:
        (result,) = project.destination("crm").update("Contact", [(record["Id"], dict(values))])  # type: ignore[arg-type]
    assert not hasattr(result, "code"), result
