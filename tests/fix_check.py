"""A project folder with the example mappings, a real Postgres and a Salesforce sandbox, never put in force."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from syncbridge.cli import main
from syncbridge.sandbox.salesforce.server import SandboxServer

ROOT = Path(__file__).parents[1]
DDL = """
create table companies (
    id bigint generated always as identity primary key, name text not null, domain text, industry text,
    employees integer, annual_revenue numeric(14, 2), updated_at timestamptz not null default now());
create table people (
    id bigint generated always as identity primary key, company_id bigint references companies, first_name text,
    last_name text, email text, phone text, title text, status text not null default 'active',
    is_test boolean not null default false, created_at timestamptz not null default now());
create table orders (
    id bigint generated always as identity primary key, company_id bigint references companies, title text not null,
    stage text not null default 'open', amount numeric(12, 2), close_date date not null, notes text);
alter table orders replica identity full;
create index on people (company_id);
create index on orders (company_id);
"""


@pytest.fixture(scope="module")
def check_org() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@dataclass
class CheckProject:
    """A project folder with the example mappings, and what `check` says of it."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def edit(self, mapping: str, old: str, new: str) -> None:
        path = self.folder / "mappings" / f"{mapping}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def line(self, mapping: str, text: str) -> int:
        """Number of the one line of a mapping's file that holds this."""
        lines = (self.folder / "mappings" / f"{mapping}.yaml").read_text().splitlines()
        (number,) = (number for number, line in enumerate(lines, 1) if text in line)
        return number

    def check(self, *arguments: str) -> tuple[int, str]:
        """Exit code and all that was said."""
        return self.run("check", *arguments)

    def run(self, *arguments: str) -> tuple[int, str]:
        """As `check`, of any command."""
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        told = self.capture.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, told.out + told.err


@pytest.fixture
def check_project(
    tmp_path: Path,
    dsn: str,
    check_org: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CheckProject:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(DDL)
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    (tmp_path / "syncbridge.toml").write_text(
        f'[destinations.salesforce]\ntype = "salesforce"\nlogin = "client_credentials"\n'
        f'instance_url = "{check_org.url}"\nclient_id = "{check_org.credentials.client_id}"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", dsn)
    monkeypatch.setenv("SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET", check_org.credentials.client_secret)
    return CheckProject(tmp_path, capsys)
