"""A small project whose people go to a Salesforce sandbox over HTTP, and its command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_cli import TABLES, CliProject, open_cli_project
from tests.fix_sandbox import sandbox as org
from tests.fix_sandbox import sandbox_server

__all__ = ["org", "sandbox_server"]

SETTINGS = """
[source]
slot = "{slot}"
publication = "{slot}"

[destinations.salesforce]
type = "salesforce"
login = "client_credentials"
instance_url = "{url}"
client_id = "{client_id}"
"""

#: Puts mapping files (name -> text) in force with more settings; a worker is there, and nothing waits.
StartCli = Callable[..., CliProject]


@pytest.fixture
def start_cli(dsn: str, tmp_path: Path, org: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartCli]:
    with ExitStack() as opened:

        def start(mappings: dict[str, str], *, settings: str = "") -> CliProject:
            login = org.credentials
            slot = conninfo_to_dict(dsn)["dbname"]
            text = SETTINGS.format(slot=slot, url=org.url, client_id=login.client_id)
            (tmp_path / "syncbridge.toml").write_text(text + settings)
            (tmp_path / "mappings").mkdir()
            for name, mapping in mappings.items():
                (tmp_path / "mappings" / f"{name}.yaml").write_text(mapping)
            monkeypatch.chdir(tmp_path)
            monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", dsn)
            monkeypatch.setenv("SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET", login.client_secret)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(TABLES)
            made = opened.enter_context(open_cli_project(tmp_path, dsn))
            made.worker()
            return made

        yield start
