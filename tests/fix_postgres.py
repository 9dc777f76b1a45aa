"""A real Postgres for tests: one server per test process, a fresh database per test cloned from a template.

`SYNCBRIDGE_TEST_POSTGRES` chooses the server: unset, the one from the wheel; a major version (`15`), the system's
server of that version; anything else is taken as the conninfo of a running server with wal_level=logical.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from syncbridge.sandbox.postgres import LocalPostgres, all_binaries
from syncbridge.store import database

#: Bytes that a server of tests may come to need: write-ahead log, and the databases of a few tests at a time.
ROOM = 4 * 1024**3

_serial = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Conninfo of a running server's `postgres` database, as superuser."""
    chosen = os.environ.get("SYNCBRIDGE_TEST_POSTGRES") or os.environ.get("SYNCBRIDGE_POSTGRES_DSN") or ""
    if chosen and not chosen.isdigit():
        yield chosen
        return
    with (
        _in_memory() as folder,
        LocalPostgres(binaries=all_binaries()[int(chosen)] if chosen else None, folder=folder) as server,
    ):
        yield server.dsn


@contextmanager
def _in_memory() -> Iterator[Path | None]:
    """A folder in memory, where there is room: each test makes and drops a database, which disks are slow at."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < ROOM:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="syncbridge-tests-", dir=memory) as folder:
        Path(folder).chmod(0o777)  # the server may run as another user
        yield Path(folder)


@dataclass(frozen=True)
class Databases:
    """Makes databases of a server, and removes them with all that hangs on them."""

    server: str  # conninfo, as superuser
    admin: psycopg.Connection

    @contextmanager
    def new(self, template: str = "template0") -> Iterator[str]:
        """Conninfo of a new database like `template`; its slots, sessions and itself are removed at the end."""
        name = f"test_{os.getpid()}_{next(_serial)}"
        # Copied as files: half the time of what is the default from 15 on, to write each block to the log.
        strategy = "strategy file_copy" if self.admin.info.server_version >= 150000 else ""
        self.admin.execute(f'create database "{name}" template "{template}" {strategy}')
        yield psycopg.conninfo.make_conninfo(self.server, dbname=name)
        self.leave(name)
        for (slot,) in self.admin.execute(
            "select slot_name from pg_replication_slots where database = %s", (name,)
        ).fetchall():
            _drop_slot(self.admin, slot)
        self.admin.execute(f'drop database "{name}" with (force)')

    def leave(self, name: str) -> None:
        """End the sessions of a database and wait for that: to drop or to copy it would wait in steps of 0.1 s."""
        for _ in range(2000):
            ended = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
            if not self.admin.execute(ended, (name,)).fetchall():
                return
            self.admin.execute("select pg_sleep(0.005)")


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Iterator[Databases]:
    """Databases of the server that all tests of a session share."""
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        yield Databases(postgres_server, admin)


@pytest.fixture(scope="session")
def state_template(databases: Databases) -> Iterator[str]:
    """Name of a database that holds the state schema and nothing else, to make others like it."""
    with databases.new() as made:
        with database.connect(made, purpose="template") as connection:
            database.setup(connection)
        name = str(conninfo_to_dict(made)["dbname"])
        databases.leave(name)
        yield name


@pytest.fixture
def state() -> None:
    """For those who want the state schema in place: `dsn` is then a copy of a database that has it."""


@pytest.fixture
def dsn(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """Conninfo of a new database: empty, or with the state schema where the test or its fixtures ask for `state`."""
    template = request.getfixturevalue("state_template") if "state" in request.fixturenames else "template0"
    with databases.new(template) as made:
        yield made


def _drop_slot(admin: psycopg.Connection, slot: str) -> None:
    """A terminated walsender lets go of its slot a moment later: try until it has."""
    for attempt in range(200):
        try:
            admin.execute("select pg_drop_replication_slot(%s)", (slot,))
            return
        except psycopg.errors.ObjectInUse:
            admin.execute("select pg_sleep(0.05)")
            if attempt == 199:
                raise


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the test's database."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


@pytest.fixture
def own_server() -> Iterator[LocalPostgres]:
    """A server of the test's own, to stop, restart or break."""
    chosen = os.environ.get("SYNCBRIDGE_TEST_POSTGRES", "")
    with LocalPostgres(binaries=all_binaries()[int(chosen)] if chosen.isdigit() else None) as server:
        yield server


@pytest.fixture
def server_version(connection: psycopg.Connection) -> int:
    """Major version of the server under test."""
    return connection.info.server_version // 10000


def pytest_report_header() -> str:
    servers = ", ".join(f"{major} ({path})" for major, path in all_binaries().items())
    return f"postgres servers found: {servers or 'none'}"
