"""A whole small project: Postgres, a Salesforce sandbox, a folder with settings and mappings, and worker processes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from syncbridge import config
from syncbridge.cli import main
from syncbridge.model import Lsn
from syncbridge.project import Project
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import mappings
from syncbridge.store.mappings import AppliedMapping
from syncbridge.worker import Worker
from tests.both_sides import compare
from tests.project_files import OBJECTS, ORG, PARTS, PEOPLE, SETTINGS, TABLES

#: Processes keep what they compiled, whatever the shell says: hundreds of workers are started.
COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}

T = TypeVar("T")


def until(condition: Callable[[], T], *, seconds: float = 40.0, what: str = "") -> T:
    """Ask again and again until the answer is true, and return it; a failure when it never is. For other processes."""
    asking = threading.Event()
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what or condition}")
        asking.wait(0.03)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class WorkerProcess:
    """`syncbridge run` in a process group of its own."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def ended(self, seconds: float = 30.0) -> int:
        """Its exit code, when it ends by itself."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """End it as an operator would; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the worker does not end:\n{self.log[-3000:]}")


@dataclass
class WholeProject:
    """Everything, and short ways to look at both sides. Nothing is in force until `setup`."""

    folder: Path
    dsn: str
    salesforce: SandboxServer
    postgres: psycopg.Connection  # to write rows with, and to look into the state
    environment: dict[str, str]
    opened: ExitStack = field(default_factory=ExitStack)
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def slot(self) -> str:
        return str(conninfo_to_dict(self.dsn)["dbname"])

    @property
    def settings_file(self) -> Path:
        return self.folder / "syncbridge.toml"

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own; its rows."""
        cursor = self.postgres.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def write_mapping(self, name: str, text: str) -> None:
        (self.folder / "mappings" / f"{name}.yaml").write_text(text)

    def add_settings(self, text: str) -> None:
        self.settings_file.write_text(self.settings_file.read_text() + text)

    # -- commands -----------------------------------------------------------------------------------------------------

    def run(self, *arguments: str, **environment: str) -> Ended:
        """Run a command to its end, in this process; `environment` changes what it sees."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self.environment | environment):
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
                main(["--config", str(self.settings_file), *arguments])
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def done(self, *arguments: str) -> Ended:
        """Run a command that must end well."""
        ended = self.run(*arguments)
        assert ended.code == 0, ended.out + ended.err
        return ended

    def start(self, *arguments: str, **environment: str) -> WorkerProcess:
        """Start `syncbridge run` as a process; it is ended with the test."""
        log_file = self.folder / f"worker-{len(self.workers)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "syncbridge", "--config", str(self.settings_file), "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **COMPILED_ONCE, **self.environment, **environment},
                start_new_session=True,
            )
        self.opened.callback(_end_group, process)
        self.workers.append(WorkerProcess(process, log_file))
        return self.workers[-1]

    def wait(self, *arguments: str) -> Ended:
        """`syncbridge wait`, which must say that everything is delivered."""
        return self.done("wait", "--timeout", "60s", *arguments)

    @contextmanager
    def worker_here(self, roles: Sequence[str] = ("capture", "deliver")) -> Iterator[Worker]:
        """A worker in a thread of this process, whose constants a test may have changed."""
        with self.project() as project:
            worker = Worker(project, roles=roles)
            thread = threading.Thread(target=worker.run, name="worker")
            thread.start()
            try:
                until(lambda: worker.ready.is_set() or not thread.is_alive())
                yield worker
            finally:
                worker.stop.set()
                thread.join()

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The project, opened in this process."""
        with Project(config.load(self.settings_file, {**os.environ, **self.environment})) as project:
            yield project

    # -- looking ------------------------------------------------------------------------------------------------------

    def records(self, mapping: str = "people", *, deleted: bool = False) -> list[dict[str, Any]]:
        """Remote records of a mapping that carry a key, in the order of their creation."""
        name, key = OBJECTS[mapping]
        return [r for r in self.salesforce.control.records(name, deleted=deleted) if r[key] is not None]

    def record(self, key: object, mapping: str = "people") -> dict[str, Any] | None:
        """The remote record of one entity; a failure when there are two."""
        found = [each for each in self.records(mapping) if each[OBJECTS[mapping][1]] == str(key)]
        assert len(found) <= 1, f"{len(found)} records of {mapping} {key}"
        return found[0] if found else None

    def mapping(self, name: str = "people") -> AppliedMapping:
        """The mapping as it stands."""
        return mappings.read(self.postgres, name)

    def waiting(self, mapping: str | None = None) -> int:
        """Rows of the outbox that are not dead letters."""
        return int(
            self.sql(
                "select count(*) from syncbridge.outbox o join syncbridge.mapping m on m.id = o.mapping_id"
                " where o.status = 'pending' and (%s::text is null or m.name = %s)",
                mapping,
                mapping,
            )[0][0]
        )

    def dead(self) -> dict[str, str]:
        """Key -> code of every dead letter."""
        return dict(self.sql("select key, error_code from syncbridge.outbox where status = 'dead'"))

    def confirmed(self) -> Lsn:
        """The position from which Postgres keeps its log for us."""
        found = self.sql("select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", self.slot)
        return Lsn.parse(found[0][0])

    def end_of_log(self) -> Lsn:
        return Lsn.parse(self.sql("select pg_current_wal_insert_lsn()::text")[0][0])

    def assert_equal(self) -> None:
        """Both sides hold the same records, one each, and nothing else."""
        with self.project() as project:
            remote = {name: self.salesforce.control.records(name) for name, _ in OBJECTS.values()}
            compared = compare(project, remote)
        for name, external in OBJECTS.values():
            keys = [record[external] for record in remote[name] if record[external] is not None]
            assert len(keys) == len(set(keys)), f"two records of one key in {name}"
        assert [each for each in compared if not each.agree] == []


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it started, by its own number."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def salesforce(tmp_path: Path) -> Iterator[SandboxServer]:
    """An org of the test's own, with ORG's objects and fields."""
    org = tmp_path / "org.yaml"
    org.write_text(ORG)
    with SandboxServer(org=org) as server:
        yield server


@pytest.fixture
def whole(
    dsn: str, connection: psycopg.Connection, salesforce: SandboxServer, tmp_path: Path
) -> Iterator[WholeProject]:
    """A project of two mappings with a few rows; nothing is in force yet, nothing runs."""
    connection.execute(TABLES)
    with ExitStack() as opened:
        yield make_project(tmp_path / "project", dsn, connection, salesforce, opened)


def make_project(
    folder: Path, dsn: str, postgres: psycopg.Connection, salesforce: SandboxServer, opened: ExitStack
) -> WholeProject:
    """Write the folder; `opened` ends what is started."""
    (folder / "mappings").mkdir(parents=True)
    environment = {
        "SYNCBRIDGE_SOURCE__DSN": dsn,
        "SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET": salesforce.credentials.client_secret,
    }
    made = WholeProject(folder, dsn, salesforce, postgres, environment, opened)
    made.settings_file.write_text(
        SETTINGS.format(slot=made.slot, url=salesforce.url, client_id=salesforce.credentials.client_id)
    )
    made.write_mapping("people", PEOPLE)
    made.write_mapping("parts", PARTS)
    return made


@pytest.fixture
def running(state: None, whole: WholeProject) -> WholeProject:
    """The project in force, a worker process runs, and the first sync is delivered."""
    whole.done("setup")
    whole.start()
    whole.wait()
    return whole
