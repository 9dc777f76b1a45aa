"""Two Postgres servers: a primary with a whole project, and a standby that can take its place, at its address."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, make_project, until
from tests.project_files import TABLES

#: The physical slot that the standby streams from.
STANDBY = "standby"


@dataclass
class Pair:
    """A project on `primary`, which `standby` follows. Nothing is in force yet."""

    primary: LocalPostgres
    standby: LocalPostgres
    whole: WholeProject

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has written."""
        until(
            lambda: self.whole.sql(
                "select 1 from pg_stat_replication where application_name = 'standby' and replay_lsn >= %s::pg_lsn",
                str(self.whole.end_of_log()),
            ),
            what="the standby has replayed everything",
        )

    def sync_slot(self) -> None:
        """Let the standby synchronize slots, until it has ours, which a worker must move on for that. Postgres 17+."""
        with psycopg.connect(self.standby.dsn, autocommit=True) as standby:
            standby.execute("alter system set sync_replication_slots = on")  # here: it looks ever more seldom
            standby.execute("select pg_reload_conf()")

            def synced() -> bool:
                self.whole.sql("select pg_log_standby_snapshot()")  # where a slot can begin anew
                self.whole.wait()  # which asks the worker to confirm
                there = "select 1 from pg_replication_slots where slot_name = %s and synced and not temporary"
                return standby.execute(there, (self.whole.slot,)).fetchone() is not None

            until(synced, what="the standby has the slot")

    def fail_over(self) -> None:
        """The primary dies, and the standby takes its place."""
        self.whole.postgres.close()
        self.primary.stop(mode="immediate")
        self.standby.stop()
        self.standby.port = self.primary.port
        self.standby.start()
        self.whole.postgres = self.whole.opened.enter_context(psycopg.connect(self.standby.dsn, autocommit=True))
        self.whole.sql("select pg_promote()")


@contextmanager
def replicated(salesforce: SandboxServer, tmp_path: Path) -> Iterator[Pair]:
    """Both servers run."""
    with ExitStack() as opened:
        primary = opened.enter_context(LocalPostgres())
        postgres = opened.enter_context(psycopg.connect(primary.dsn, autocommit=True))
        postgres.execute(TABLES)
        postgres.execute("select pg_create_physical_replication_slot(%s, true)", (STANDBY,))
        postgres.close()
        primary.stop()
        following = {
            "primary_conninfo": f"{primary.dsn} application_name=standby",
            "primary_slot_name": STANDBY,
            "hot_standby_feedback": "on",
            "wal_receiver_status_interval": "1s",
        }
        standby = LocalPostgres(binaries=primary.binaries, settings=following)
        opened.callback(standby.close)
        shutil.copytree(primary.data, standby.data)
        (standby.data / "standby.signal").touch()
        own(standby.data, primary.data)
        primary.start()
        standby.start()
        postgres = opened.enter_context(psycopg.connect(primary.dsn, autocommit=True))
        yield Pair(primary, standby, make_project(tmp_path / "project", primary.dsn, postgres, salesforce, opened))


def own(folder: Path, like: Path) -> None:
    """Give a data folder to the user that the other one belongs to."""
    owner = like.stat()
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
