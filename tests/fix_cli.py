"""A small project in a folder, in force, and its command line; destinations are in memory and live in one process."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from syncbridge import config
from syncbridge.applying.apply import apply
from syncbridge.cli import main
from syncbridge.destinations.memory import MemoryDestination
from syncbridge.inbound.poll import Poller
from syncbridge.mapping.kinship import kinship
from syncbridge.model import Lsn, Priority, Reason
from syncbridge.outbound.capture import Capture, CaptureSettings
from syncbridge.outbound.capture_session import Pace
from syncbridge.outbound.deliver import Deliverer
from syncbridge.project import Project
from syncbridge.source import rows
from syncbridge.store import mappings, outbox, workers
from syncbridge.store.mappings import AppliedMapping

SETTINGS = """
[source]
slot = "{slot}"
publication = "{slot}"

[destinations.memory]
type = "memory"

[destinations.memory.objects.Contact]
Person_Key__c = "string"
FirstName = "string"
LastName = "string"
Email = "email"

[destinations.memory.objects.Part]
Part_Key__c = "string"
Name = "string"
"""

PEOPLE = """
mapping: people
destination: memory
object: Contact
entity:
  table: public.people
  key: id
  where: not is_test
external_id: Person_Key__c
fields:
  FirstName: first_name
  LastName: {column: last_name, default: Unknown}
  Email: {column: email, sensitive: true}
deletes: {to_destination: delete}
guard: {deletes: 2 per hour}
"""

PARTS = """
mapping: parts
destination: memory
object: Part
entity:
  table: public.parts
  key: [maker, number]
external_id: Part_Key__c
fields:
  Name: name
"""

TABLES = """
create table people (id int primary key, first_name text, last_name text, email text, is_test bool default false);
create table parts (maker text, number int, name text, primary key (maker, number));
insert into people values (1, 'Ada', 'Lovelace', 'ada@example.com', false),
                          (2, 'Alan', 'Turing', 'alan@example.com', false),
                          (3, 'Test', null, 'test@example.com', true);
insert into parts values ('acme', 7, 'Anvil');
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Of a command that prints JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def run_in(folder: Path, *arguments: str) -> Ran:
    """Run a command with the settings of a folder; its standard input is no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["--config", str(folder / "syncbridge.toml"), *arguments])
    return Ran(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@dataclass
class CliProject:
    """The folder, the project in force, and what a worker would do, by hand."""

    folder: Path
    project: Project
    store: Connection
    source: Connection  # to write rows with
    _serial: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def run(self, *arguments: str) -> Ran:
        """Run a command of this project; its standard input is no terminal."""
        return run_in(self.folder, *arguments)

    @property
    def destination(self) -> MemoryDestination:
        """The destination that `deliver` delivers to; commands open one of their own."""
        opened = self.project.destination("memory")
        assert isinstance(opened, MemoryDestination)
        return opened

    def applied(self, name: str = "people") -> AppliedMapping:
        """The mapping as it stands."""
        return mappings.read(self.store, name)

    def enqueue(self, *keys: str, mapping: str = "people", reason: Reason = Reason.CHANGE) -> None:
        """Mark entities as capture would."""
        lsn = Lsn.parse(rows.position(self.source))
        outbox.enqueue(
            self.store,
            self.applied(mapping).id,
            keys,
            reason=reason,
            priority=Priority.LIVE,
            lsn=lsn,
            moment=datetime.now(UTC),
        )

    def deliver(self, mapping: str = "people") -> int:
        """Deliver one batch of what is due."""
        with self.project.source_admin("test") as catalog, self.project.source("test") as source:
            in_force, _ = self.project.in_force(self.store, catalog)
            ids = {applied.name: applied.id for applied, _ in in_force}
            kin = kinship(ids, {applied.id: compiled for applied, compiled in in_force})
            applied, compiled = self.project.compiled(self.store, catalog, mapping)
            destination = self.project.destination(compiled.destination)
            return Deliverer(applied.id, compiled, destination, self.store, source, kin=kin[applied.id]).step()

    def poll(self, mapping: str = "people") -> None:
        """Poll a mapping's remote changes to their end."""
        while self.poll_once(mapping) == 0:
            pass

    def poll_once(self, mapping: str = "people") -> float:
        """One step of a poller; seconds until the next one."""
        with self.project.source_admin("test") as catalog, self.project.store("test") as store:
            applied, compiled = self.project.compiled(store, catalog, mapping)
            assert compiled.two_way is not None
            destination = self.project.destination(compiled.destination)
            poller = Poller(applied.id, compiled, compiled.two_way, destination, store, store)
            return poller.step()

    def capture(self) -> Capture:
        """Capture of every mapping, to be stepped; it saves each position at once."""
        settings = self.project.settings
        with self.project.source_admin("test") as catalog:
            compiled, _ = self.project.in_force(self.store, catalog)
        return Capture(
            CaptureSettings(
                source=settings.source.conninfo(),
                state=settings.store_conninfo(),
                slot=settings.source.slot,
                publication=settings.source.publication,
                pace=Pace(idle_save=0.0),
            ),
            [watch for applied, mapping in compiled for watch in mapping.watches(applied.id)],
        )

    def skip_capture(self) -> None:
        """Move the checkpoint past everything that a test will write."""
        self.store.execute("update syncbridge.checkpoint set end_lsn = pg_current_wal_insert_lsn() + 1000000000")

    def finish_runs(self) -> None:
        """Forget first syncs and loads that `apply` asked for: what they would find is no part of the test."""
        self.store.execute("update syncbridge.run set status = 'done', finished_at = now()")
        self.store.execute("update syncbridge.mapping set loading = false")

    def worker(self, *, roles: Sequence[str] = ("capture", "deliver"), **facts: Any) -> int:
        """Sign a worker in that says these facts of itself."""
        number = workers.register(self.store, host="host", pid=next(self._serial), roles=roles)
        workers.report(self.store, number, facts)
        return number

    def kill_off(self, key: str, code: str = "STRING_TOO_LONG", *, mapping: str = "people") -> None:
        """Make the delivery of this key a dead letter."""
        self.enqueue(key, mapping=mapping)
        self.destination.faults.reject(key, code)
        while self.store.execute(
            "select 1 from syncbridge.outbox where key = %s and status = 'pending'", (key,)
        ).fetchone():
            self.deliver(mapping)
        self.destination.faults.clear()


@pytest.fixture
def cli_folder(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was never put in force, in the working directory."""
    slot = str(conninfo_to_dict(dsn)["dbname"])
    (tmp_path / "syncbridge.toml").write_text(SETTINGS.format(slot=slot))
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "people.yaml").write_text(PEOPLE)
    (tmp_path / "mappings" / "parts.yaml").write_text(PARTS)
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", dsn)
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLES)
    return tmp_path


@pytest.fixture
def cli_project(state: None, cli_folder: Path, dsn: str) -> Iterator[CliProject]:
    """The project in force, with nothing waiting: two people and a test person, one part, no worker."""
    with open_cli_project(cli_folder, dsn) as made:
        yield made


@contextmanager
def open_cli_project(folder: Path, dsn: str) -> Iterator[CliProject]:
    """Put the project of a folder in force, without its first syncs."""
    with Project(config.load(folder / "syncbridge.toml", os.environ)) as project:
        apply(project)
        with project.store("test") as store, psycopg.connect(dsn, autocommit=True) as source:
            made = CliProject(folder, project, store, source)
            made.finish_runs()
            yield made
