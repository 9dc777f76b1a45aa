"""Postgres comes back as it was some time ago: nothing is sent or written until a person says which side is right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, make_project, until
from tests.project_files import PEOPLE, TABLES

BOTH = PEOPLE.replace(
    "deletes: {to_destination: delete}",
    "direction: both\npoll: {every: 1s}\ndeletes: {to_destination: delete, to_postgres: delete}",
)


class Restorable:
    """A project on a server of its own, of which a backup was made."""

    def __init__(self, server: LocalPostgres, whole: WholeProject) -> None:
        self.server = server
        self.whole = whole
        self._copy = server.data.with_name("backup")

    def back_up(self) -> None:
        """Copy the whole cluster, as a snapshot of its volume does."""
        self.whole.postgres.close()
        self.server.stop()
        shutil.copytree(self.server.data, self._copy)
        self._own(self._copy)
        self.start()

    def restore(self, *, recovered: bool) -> None:
        """Put the copy in its place; `recovered` from an archive, which begins a new timeline."""
        self.whole.postgres.close()
        self.server.stop()
        shutil.rmtree(self.server.data)
        shutil.move(self._copy, self.server.data)
        if recovered:
            (self.server.data / "recovery.signal").touch()
            (self.server.data / "postgresql.auto.conf").write_text("restore_command = 'false'\n")
            self._own(self.server.data)
        self.start()

    def start(self) -> None:
        self.server.start()
        self.whole.postgres = self.whole.opened.enter_context(psycopg.connect(self.server.dsn, autocommit=True))

    def _own(self, folder: Path) -> None:
        """Like the data folder that the server made."""
        owner = self.server.data.stat() if folder is not self.server.data else folder.stat()
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, owner.st_uid, owner.st_gid)


@pytest.fixture
def restorable(salesforce: SandboxServer, tmp_path: Path) -> Iterator[Restorable]:
    """Two mappings, people in both directions, delivered, backed up; then more was changed and delivered.

    A worker runs.
    """
    with _project(salesforce, tmp_path) as made:
        whole = made.whole
        whole.write_mapping("people", BOTH)
        whole.done("setup")
        whole.start()
        whole.wait()
        until(lambda: whole.sql("select 1 from syncbridge.watermark where polled_at is not null"))
        made.back_up()
        whole.sql("update people set first_name = 'After the backup' where id = 1")
        whole.sql("update parts set stock = 100 where number = 1")
        for changed in ("delete from people where id = 5", "insert into people (id, last_name) values (6, 'Later')"):
            whole.sql(changed)
        for changed in ("delete from parts where number = 2", "insert into parts values ('acme', 4, 'Later', 4)"):
            whole.sql(changed)
        whole.wait()
        yield made


@contextmanager
def _project(salesforce: SandboxServer, tmp_path: Path) -> Iterator[Restorable]:
    with LocalPostgres() as server, ExitStack() as opened:
        postgres = opened.enter_context(psycopg.connect(server.dsn, autocommit=True))
        postgres.execute(TABLES)
        yield Restorable(server, make_project(tmp_path / "project", server.dsn, postgres, salesforce, opened))


def stamps(whole: WholeProject) -> list[str]:
    return [record["SystemModstamp"] for name in ("people", "parts") for record in whole.records(name)]


def deliveries(whole: WholeProject) -> list[str]:
    """Keys of what was delivered, as far as the state knows, in order."""
    found = whole.sql(
        "select key from syncbridge.sync_log where outcome = 'delivered' and direction = 'out' order by at, id"
    )
    return [key for (key,) in found]


def assert_stands_still(whole: WholeProject) -> None:
    """The worker halts every mapping, says why, and nothing moved; nor does `setup --recreate-slot` go on blindly."""
    before = stamps(whole)
    worker = whole.start()
    until(lambda: "every mapping is halted" in worker.log, what="the worker stands still")
    until(lambda: "capture stopped" in worker.log, what="capture says so too")
    assert whole.mapping("people").status.value == whole.mapping("parts").status.value == "halted"
    whole.sql("update people set last_name = 'Edited after the restore' where id = 2")
    assert whole.run("status").code == 1
    refused = whole.run("setup", "--recreate-slot")
    assert refused.code == 4
    assert "setup --restored" in refused.err
    assert stamps(whole) == before
    worker.stop()


def go_on(whole: WholeProject, **sides: str) -> None:
    """A person decides which side is right, mapping by mapping; nothing is sent or written before they resume."""
    before, rows = stamps(whole), whole.sql("select * from people order by id")
    whole.done("setup", "--restored")
    assert whole.mapping("people").status.value == whole.mapping("parts").status.value == "paused"
    whole.start()
    for mapping, side in sides.items():
        assert whole.run("reconcile", mapping).code == 1  # it shows what differs
        left = whole.run("reconcile", mapping, "--repair", side, "--yes")
        if side == "postgres":  # a record whose row is missing stays unless somebody says otherwise
            assert (left.code, "--delete-extra" in left.out) == (1, True)
            left = whole.run("reconcile", mapping, "--repair", side, "--delete-extra", "--yes")
        assert left.code == 0, left.out + left.err
    assert stamps(whole) == before
    assert whole.sql("select * from people order by id") == rows
    whole.done("resume", "--all")


def test_a_backup_that_was_recovered_stands_still_until_a_person_decides(restorable: Restorable) -> None:
    whole = restorable.whole
    whole.workers[0].stop()
    restorable.restore(recovered=True)
    assert whole.sql("select first_name from people where id = 1") == [("First 1",)]
    assert_stands_still(whole)
    before = deliveries(whole)
    go_on(whole, people="rules", parts="postgres")
    until(lambda: whole.sql("select first_name from people where id = 1") == [("After the backup",)])
    whole.wait()
    whole.assert_equal()
    assert whole.record(2)["LastName"] == "Edited after the restore"  # type: ignore[index]
    # of people each side has what was newer; of parts the rows were right
    assert [key for (key,) in whole.sql("select id from people order by id")] == [1, 2, 3, 4, 6]
    assert sorted(record["Part_Key__c"][-3] for record in whole.records("parts")) == ["1", "2", "3"]
    assert sorted(set(deliveries(whole)[len(before) :])) == ["2", *(f'["acme", "{n}"]' for n in (1, 2, 4))]


def test_a_volume_that_is_put_back_under_a_running_worker_is_noticed_by_what_that_remembers(
    restorable: Restorable,
) -> None:
    whole, worker = restorable.whole, restorable.whole.workers[0]
    before = stamps(whole)
    restorable.restore(recovered=False)
    until(lambda: "every mapping is halted" in worker.log, what="the worker stands still")
    assert "and had come to" in worker.log
    assert stamps(whole) == before
    assert whole.mapping("people").status.value == "halted"


def test_with_a_state_elsewhere_old_rows_are_no_edits_and_the_destination_can_be_right(
    salesforce: SandboxServer, tmp_path: Path, dsn: str
) -> None:
    """The rows are older than the bases: what is sent by comparison would undo what happened since."""
    with _project(salesforce, tmp_path) as made, psycopg.connect(dsn, autocommit=True) as state:
        whole = made.whole
        whole.environment["SYNCBRIDGE_STORE__DSN"] = dsn
        whole.write_mapping("people", BOTH)
        whole.done("setup")
        worker = whole.start()
        whole.wait()
        made.back_up()
        whole.sql("update people set first_name = 'After the backup' where id = 1")
        whole.wait()
        worker.stop()
        before = stamps(whole)
        made.restore(recovered=True)
        worker = whole.start()
        until(lambda: "every mapping is halted" in worker.log, what="the worker stands still")
        assert "the server's log ends at" in worker.log
        assert state.execute("select distinct status from syncbridge.mapping").fetchall() == [("halted",)]
        worker.stop()
        whole.done("setup", "--restored")
        whole.start()
        whole.done("reconcile", "people", "--repair", "destination", "--yes")
        whole.done("resume", "--all")
        until(lambda: whole.sql("select first_name from people where id = 1") == [("After the backup",)])
        whole.wait()
        whole.assert_equal()
        assert stamps(whole) == before
