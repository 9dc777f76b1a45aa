"""`syncbridge check` against a real Postgres and a Salesforce sandbox over HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from syncbridge.cli import main
from syncbridge.sandbox.salesforce.server import SandboxServer

ROOT = Path(__file__).parents[2]
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
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@dataclass
class Project:
    """A project folder with the example mappings, and what `check` says of it."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def edit(self, mapping: str, old: str, new: str) -> None:
        path = self.folder / "mappings" / f"{mapping}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def check(self, *arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["check", *arguments])
        told = self.capture.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, told.out + told.err


@pytest.fixture
def project(
    tmp_path: Path,
    dsn: str,
    server: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Project:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(DDL)
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    (tmp_path / "syncbridge.toml").write_text(
        f'[destinations.salesforce]\ntype = "salesforce"\nlogin = "client_credentials"\n'
        f'instance_url = "{server.url}"\nclient_id = "{server.credentials.client_id}"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", dsn)
    monkeypatch.setenv("SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET", server.credentials.client_secret)
    return Project(tmp_path, capsys)


def test_the_example_mappings_fit_salesforces_standard_objects(project: Project) -> None:
    assert project.check() == (0, "All is well: companies, orders, people.\n")


def test_mistakes_on_both_sides_are_told_by_file_and_line(project: Project) -> None:
    project.edit("people", "FirstName: first_name", "FirstNam: frst_name")
    project.edit("people", "where: not is_test", "where: not is_tst")
    project.edit("orders", "public.orders", "public.order")
    code, told = project.check()
    assert code == 1
    assert told.splitlines() == [
        "mappings/orders.yaml",
        "    6  error    there is no table public.order; did you mean public.orders?",
        "",
        "mappings/people.yaml",
        '    8  error    entity.where: column "is_tst" does not exist',
        '                Perhaps you meant to reference the column "people.is_test".',
        "   11  error    fields.FirstNam: public.people has no column 'frst_name'; did you mean 'first_name'?",
        "   11  error    fields.FirstNam: Contact has no field 'FirstNam'; did you mean 'FirstName'?",
        "",
        "4 errors, 0 warnings.",
    ]


def test_findings_come_as_json_for_programs(project: Project) -> None:
    project.edit("people", "LeadSource: {constant: Web}", "LeadSource: {constant: Wep}")
    code, told = project.check("--json", "people")
    document = json.loads(told)
    assert code == 0  # a warning stops nothing
    assert (document["mappings"], document["errors"], document["warnings"]) == (["people"], 0, 1)
    finding = document["findings"][0]
    assert finding["where"] == "mappings/people.yaml:16"
    assert finding["severity"] == "warning"
    assert "did you mean 'Web'?" in finding["message"]


def test_only_the_named_mappings_are_checked(project: Project) -> None:
    project.edit("orders", "public.orders", "public.order")
    assert project.check("people", "companies") == (0, "All is well: companies, people.\n")


def test_an_unknown_mapping_is_a_wrong_call(project: Project) -> None:
    code, told = project.check("peple")
    assert code == 2
    assert "there is no mapping 'peple'; did you mean 'people'?" in told


def test_files_that_cannot_be_read_do_not_hide_findings_of_the_others(project: Project) -> None:
    project.edit("orders", "fields:", "feilds:")
    project.edit("people", "object: Contact", "object: Contcat")
    code, told = project.check()
    assert code == 1
    assert "unknown key 'feilds'; did you mean 'fields'?" in told
    assert "mappings/people.yaml" in told
    assert "Contact" in told


def test_an_unknown_destination_is_told_where_it_stands(project: Project) -> None:
    project.edit("people", "destination: salesforce", "destination: salesfroce")
    code, told = project.check("people")
    assert code == 1
    assert "    3  error    the settings have no destination 'salesfroce'; did you mean 'salesforce'?" in told


def test_a_refused_login_is_a_finding_and_postgres_is_checked_all_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET", "hunter2")
    project.edit("people", "first_name", "frst_name")
    code, told = project.check()
    assert code == 1
    assert "destination salesforce" in told
    assert "public.people has no column 'frst_name'" in told
    assert "hunter2" not in told


def test_wrong_settings_of_a_destination_are_findings(project: Project) -> None:
    toml = project.folder / "syncbridge.toml"
    toml.write_text(toml.read_text() + 'apiversion = "5"\n')
    code, told = project.check()
    assert code == 1
    assert "destinations.salesforce.apiversion: unknown setting; did you mean api_version?" in told


def test_an_unreachable_postgres_is_a_finding(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", "postgresql://me:hunter2@127.0.0.1:1/app?connect_timeout=2")
    project.edit("people", "object: Contact", "object: Contcat")
    code, told = project.check()
    assert code == 1
    assert told.count("source\n") == 1
    assert "mappings/people.yaml" in told
    assert "hunter2" not in told


def test_wrong_settings_end_with_code_2(project: Project) -> None:
    (project.folder / "syncbridge.toml").write_text("[worker]\nbacth = 1\n")
    code, told = project.check()
    assert code == 2
    assert "syncbridge.toml:2: worker.bacth: unknown setting; did you mean batch?" in told


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("count(*)", "aggregate functions are not allowed in WHERE"),
        ("row_number() over ()", "window functions are not allowed in WHERE"),
        ("generate_series(1, 2)", "set-returning functions are not allowed in WHERE"),
        ("title, notes", "the type record cannot be delivered as it is"),
        ("upper(titel)", 'column "titel" does not exist'),
        ("nope(title)", "function nope(text) does not exist"),
        ("title::jsonb", "the type jsonb cannot be delivered as it is"),
    ],
)
def test_sql_that_would_break_a_batch_is_told_before_it_does(project: Project, sql: str, message: str) -> None:
    project.edit("orders", "Description: notes", f"Description: {{sql: '{sql}'}}")
    code, told = project.check("orders")
    assert code == 1
    assert message in told


def test_a_filter_must_be_a_condition(project: Project) -> None:
    project.edit("people", "not is_test", "first_name")
    assert "entity.where: argument of WHERE must be type boolean, not type text" in project.check("people")[1]


def test_the_sql_that_mends_a_table_mends_it(project: Project, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "alter table people replica identity nothing; alter table orders drop constraint orders_pkey"
        )
        code, told = project.check("--json")
        assert code == 1
        statements = [finding["sql"] for finding in json.loads(told)["findings"]]
        assert len(statements) == 2
        for statement in statements:
            connection.execute(statement)
    assert project.check()[0] == 0


def test_a_login_without_rights_is_told_the_grants_and_they_are_enough(
    project: Project, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create role check_login login password 'pw'")
        try:
            mine = psycopg.conninfo.make_conninfo(dsn, user="check_login", password="pw")
            monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", mine)
            code, told = project.check("--json", "people")
            assert code == 1
            for finding in json.loads(told)["findings"]:
                admin.execute(finding["sql"])
            assert project.check("people")[0] == 0
        finally:
            admin.execute("drop owned by check_login; drop role check_login")
