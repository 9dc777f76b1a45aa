"""What the quickstart starts and ends: a folder, Postgres, a Salesforce sandbox of its own, the worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from syncbridge import config
from syncbridge.applying.apply import apply
from syncbridge.errors import RetryLater
from syncbridge.project import Project
from syncbridge.sandbox.postgres import LocalPostgres
from syncbridge.worker import Worker

DATABASE = "syncbridge_quickstart"

_SETTINGS = """\
[source]
slot = "{database}"
publication = "{database}"
heartbeat = "2s"

[destinations.salesforce]
type = "salesforce"
login = "client_credentials"
instance_url = "{url}"
client_id = "{client_id}"
"""


@dataclass(frozen=True, slots=True)
class Size:
    """Rows of the data set."""

    companies: int = 200
    people: int = 2000
    orders: int = 800


@dataclass(slots=True)
class Services:
    """Everything that runs, in a folder that goes at the end. Use in a `with` block; nothing is left running.

    `say` is told each step in plain words.
    """

    size: Size = field(default_factory=Size)
    say: Callable[[str], None] = lambda text: None
    folder: Path = field(init=False)
    dsn: str = field(init=False, default="")
    sandbox_url: str = field(init=False, default="")
    credentials: dict[str, Any] = field(init=False, default_factory=dict)
    project: Project = field(init=False)
    server_name: str = field(init=False, default="")
    _ends: ExitStack = field(init=False, default_factory=ExitStack)
    _worker_failure: BaseException | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="syncbridge-quickstart-"))
            self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._start_postgres()
            self._load()
            self._start_sandbox()
            self._make_project()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def connect(self) -> psycopg.Connection:
        """An autocommit connection to the CRM, as an application would have it."""
        return psycopg.connect(self.dsn, autocommit=True, application_name="quickstart crm")

    def start_worker(self) -> None:
        """Put the mappings in force and start the worker; it ends with the block."""
        apply(self.project)
        stop = threading.Event()
        worker = Worker(self.project, stop=stop)
        thread = threading.Thread(target=self._run_worker, args=(worker,), name="worker")
        thread.start()
        self._ends.callback(thread.join)
        self._ends.callback(stop.set)
        while not worker.ready.wait(0.1):
            if not thread.is_alive():
                raise self._worker_failure or RetryLater("the worker ended before it was ready")

    def _run_worker(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:
            self._worker_failure = error

    def _start_postgres(self) -> None:
        given = os.environ.get("SYNCBRIDGE_POSTGRES_DSN")
        if given is None:
            server = LocalPostgres(folder=None, settings={"max_wal_size": "1GB"})
            server.start()
            self._ends.callback(server.close)
            given = server.dsn
        with psycopg.connect(given, autocommit=True) as admin:
            self.server_name = f"Postgres {admin.info.server_version // 10000}.{admin.info.server_version % 10000}"
            _drop(admin)
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
        self.dsn = psycopg.conninfo.make_conninfo(given, dbname=DATABASE)
        self._ends.callback(self._drop_database, given)
        self.say(
            f"{self.server_name} is up, with wal_level=logical"
            if "SYNCBRIDGE_POSTGRES_DSN" not in os.environ
            else f"using your {self.server_name}, in a database of its own: {DATABASE}"
        )

    @staticmethod
    def _drop_database(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as admin:
            _drop(admin)

    def _load(self) -> None:
        script = Path(__file__).with_name("crm.sql").read_text()
        for name in ("companies", "people", "orders"):
            script = script.replace(f":{name}", str(getattr(self.size, name)))
        with self.connect() as connection:
            connection.execute(script.encode())
            connection.execute("analyze")
        self.say(f"a small CRM: {self.size.companies} companies, {self.size.people} people, {self.size.orders} orders")

    def _start_sandbox(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncbridge", "sandbox", "salesforce", "--port", "0", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; we end it ourselves
        )
        self._ends.callback(_end, process)
        assert process.stdout is not None  # a pipe was asked for
        line = process.stdout.readline()
        if not line:
            raise RetryLater("the Salesforce sandbox did not start")
        self.credentials = json.loads(line)
        self.sandbox_url = self.credentials["url"]
        self.say(f"a local Salesforce speaks its REST API at {self.sandbox_url}")

    def _make_project(self) -> None:
        (self.folder / "syncbridge.toml").write_text(
            _SETTINGS.format(database=DATABASE, url=self.sandbox_url, client_id=self.credentials["client_id"])
        )
        shutil.copytree(_mappings(), self.folder / "mappings", ignore=shutil.ignore_patterns("README*"))
        for file in (self.folder / "mappings").glob("*.yaml"):
            file.write_text(file.read_text().replace("poll: {every: 30s}", "poll: {every: 1s}"))  # nobody waits so long
        secret = self.credentials["client_secret"]
        (self.folder / ".env").write_text(  # so that every command works on this project, from any terminal
            f"SYNCBRIDGE_SOURCE__DSN='{self.dsn}'\nSYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET='{secret}'\n"
        )
        self.project = Project(config.load(self.folder / "syncbridge.toml", {}))
        self._ends.callback(self.project.close)


def _mappings() -> Path:
    """The example mappings: beside this file in an installed package, at the top of a checkout."""
    packaged = Path(__file__).with_name("mappings")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "mappings"


def _drop(admin: psycopg.Connection) -> None:
    """Remove what an earlier quickstart left on this server: its slot, then its database."""
    admin.execute(
        "select pg_terminate_backend(active_pid) from pg_replication_slots"
        " where slot_name = %s and database = %s and active_pid is not null",
        (DATABASE, DATABASE),
    )
    for _ in range(100):
        try:
            admin.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                " where slot_name = %s and database = %s",
                (DATABASE, DATABASE),
            )
            break
        except psycopg.errors.ObjectInUse:
            admin.execute("select pg_sleep(0.05)")
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE)))


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
