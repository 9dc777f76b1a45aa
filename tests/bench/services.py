"""What a bench runs against: a Postgres with fsync on, a project in a folder, a Salesforce server, the worker."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import Connection

from syncbridge import config
from syncbridge.project import Project
from syncbridge.sandbox.postgres import LocalPostgres
from tests.bench import people
from tests.bench.processes import first_line, running

#: Beside these, and what logical replication needs, the server runs with Postgres's own defaults.
POSTGRES = {"fsync": "on", "max_wal_size": "8GB", "max_connections": "60"}

_SETTINGS = """\
[source]
slot = "bench"
publication = "bench"

[destinations.salesforce]
type = "salesforce"
login = "client_credentials"
instance_url = "{url}"
client_id = "{client_id}"
bulk_from = {bulk_from}
"""


@contextmanager
def postgres() -> Iterator[LocalPostgres]:
    """A server of its own, with an empty table `people`."""
    with LocalPostgres(settings=POSTGRES) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(people.TABLE)
        yield server


@dataclass(frozen=True, slots=True)
class Salesforce:
    """A server that speaks Salesforce's API, in a process of its own."""

    process: subprocess.Popen[str]
    facts: Mapping[str, str]

    def get(self, path: str) -> Any:
        """What one of its control paths answers."""
        return httpx.get(self.facts["url"] + path, timeout=60).json()


@contextmanager
def salesforce(kind: str, folder: Path, *options: str) -> Iterator[Salesforce]:
    """`null`, `stamped` (see `servers`) or `sandbox`, the program as everybody starts it, with these options."""
    log = folder / f"{kind}.log"
    arguments = ["-m", "tests.bench.servers", kind]
    if kind == "sandbox":
        arguments = ["-m", "syncbridge", "sandbox", "salesforce", "--port", "0", "--json", *options]
    with running(arguments, log=log) as process:
        jobs = {"bulk_from": "2000" if kind == "sandbox" else "0"}  # the other servers know no bulk jobs
        yield Salesforce(process, {**jobs, **first_line(process, log)})


@contextmanager
def project(dsn: str, facts: Mapping[str, str], mapping: str = people.MAPPING) -> Iterator[tuple[Project, Path]]:
    """A project with one mapping and no setting but where things are; with the folder it lies in."""
    folder = Path(tempfile.mkdtemp(prefix="syncbridge-bench-"))
    try:
        (folder / "mappings").mkdir()
        (folder / "mappings" / "people.yaml").write_text(mapping)
        (folder / "syncbridge.toml").write_text(_SETTINGS.format(**{"bulk_from": "0", **facts}))
        with Project(config.load(folder / "syncbridge.toml", environment(dsn, facts))) as opened:
            yield opened, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(dsn: str, facts: Mapping[str, str]) -> dict[str, str]:
    """The secrets of that project, for it and for its processes."""
    return {
        "SYNCBRIDGE_SOURCE__DSN": dsn,
        "SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET": facts["client_secret"],
    }


@contextmanager
def worker(folder: Path, variables: Mapping[str, str], store: Connection) -> Iterator[int]:
    """`syncbridge run` as everybody starts it, once it streams and delivers; its process id."""
    log = folder / "worker.log"
    with running(["-m", "syncbridge", "run"], folder=folder, environment=variables, log=log) as process:
        streaming = "select active from pg_replication_slots where slot_name = 'bench'"
        loops = "select count(*) from pg_stat_activity where application_name = 'syncbridge compose people'"
        deadline = time.monotonic() + 30
        while store.execute(streaming).fetchone() != (True,) or store.execute(loops).fetchone() == (0,):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process.pid


def server_pid(server: LocalPostgres) -> int:
    """The process id of a server."""
    return int((server.data / "postmaster.pid").read_text().split()[0])
