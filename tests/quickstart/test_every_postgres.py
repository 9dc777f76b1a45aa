"""The whole way, on every Postgres server that this machine has: first sync, changes, refusals, both sides compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from syncbridge.sandbox.postgres import LocalPostgres, all_binaries


@pytest.mark.parametrize("version", all_binaries())
def test_both_sides_agree_on_a_server_that_was_there_before(version: int, tmp_path: Path) -> None:
    """Given a running server, the quickstart works in a database of its own and leaves nothing on it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SYNCBRIDGE_")}
    with LocalPostgres(binaries=all_binaries()[version]) as server:
        done = subprocess.run(
            [sys.executable, "-m", "syncbridge", "quickstart", "--once", "--json"],
            cwd=tmp_path,
            env={**environment, "SYNCBRIDGE_POSTGRES_DSN": server.dsn},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary["agree"] is True
        assert summary["postgres"].startswith(f"Postgres {version}.")
        with psycopg.connect(server.dsn) as connection:
            databases = {name for (name,) in connection.execute("select datname from pg_database")}
            slots = connection.execute("select count(*) from pg_replication_slots").fetchone()
        assert databases == {"postgres", "template0", "template1"}
        assert slots == (0,)
