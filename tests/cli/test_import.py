"""`syncbridge import heroku-connect` against a real Postgres and a Salesforce sandbox, and against neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from syncbridge.cli import cli
from syncbridge.mapping.files import read_mappings
from tests.fix_check import CheckProject
from tests.importing.fix_heroku import export, text

#: What Heroku makes: sfid, a number of its own, marks of its own, and the fields in small letters.
HEROKU = """
create schema salesforce;
create table salesforce.account (id serial primary key, sfid varchar(18) unique, name varchar(255),
    createddate timestamp, systemmodstamp timestamp, isdeleted boolean, _hc_lastop varchar(32), _hc_err text);
create table salesforce.contact (id serial primary key, sfid varchar(18) unique, firstname varchar(40),
    lastname varchar(80), name varchar(121), email varchar(80), accountid varchar(18), external_key__c varchar(191),
    createddate timestamp, systemmodstamp timestamp, isdeleted boolean, _hc_lastop varchar(32), _hc_err text);
create unique index hcu_idx_contact_external_key__c on salesforce.contact (external_key__c);
create table salesforce.lead (id serial primary key, sfid varchar(18) unique, lastname varchar(80),
    company varchar(255), systemmodstamp timestamp, isdeleted boolean, _hc_lastop varchar(32), _hc_err text);
"""


@pytest.fixture
def moving(check_project: CheckProject, dsn: str) -> CheckProject:
    """A project without mapping files, beside the tables that Heroku made and its export."""
    for path in (check_project.folder / "mappings").iterdir():
        path.unlink()
    (check_project.folder / "export.json").write_text(text())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(HEROKU)
    return check_project


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCBRIDGE_SOURCE__DSN", raising=False)
    monkeypatch.delenv("SYNCBRIDGE_POSTGRES_DSN", raising=False)
    (tmp_path / "export.json").write_text(text())
    return tmp_path


def imported(project: CheckProject, *arguments: str) -> tuple[int, str]:
    return project.run("import", "heroku-connect", "export.json", *arguments)


def sql(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements.encode())


def test_files_are_written_and_the_report_says_what_became_of_each(moving: CheckProject) -> None:
    code, told = imported(moving)
    assert code == 0
    assert {path.name for path in (moving.folder / "mappings").iterdir()} == {
        "account.yaml",
        "contact.yaml",
        "lead.yaml",
    }
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines() if " -> " in line}
    assert rows["Contact"][:4] == ["salesforce.contact", "both", "external_key__c", "->"]
    assert rows["Lead"][1:6] == ["both", "id", "->", "Postgres_Key__c", "3"]
    assert "features.brand_new: not known to this version" in told
    assert "not looked at" not in told


def test_one_way_files_check_without_an_error_once_their_questions_are_answered(moving: CheckProject, dsn: str) -> None:
    code, told = imported(moving, "--direction", "to_destination", "--external-id", "External_Key__c")
    assert code == 1  # Account is read_only
    assert "Account: read_only" in told
    code, told = moving.check()
    assert (code, "external_key__c may be null" in told or "REPLICA IDENTITY" in told) == (1, True)
    sql(
        dsn,
        "alter table salesforce.contact alter external_key__c set not null;"
        " alter table salesforce.contact replica identity using index hcu_idx_contact_external_key__c",
    )
    code, told = moving.check()
    assert (code, told.splitlines()[-1].split(",")[0]) == (0, "0 errors")


def test_files_that_keep_their_direction_check_without_an_error_too(moving: CheckProject, dsn: str) -> None:
    imported(moving, "--external-id", "External_Key__c")
    sql(
        dsn,
        "alter table salesforce.contact alter external_key__c set not null;"
        " alter table salesforce.contact replica identity using index hcu_idx_contact_external_key__c;"
        " alter table salesforce.account alter sfid set not null",
    )
    code, told = moving.check()
    assert (code, told.splitlines()[-1].split(",")[0]) == (0, "0 errors"), told


def test_a_field_that_is_to_be_created_is_refused_by_check_until_it_is(moving: CheckProject) -> None:
    imported(moving, "--direction", "to_destination")
    _, told = moving.check("lead")
    assert "Lead has no field 'Postgres_Key__c'" in told
    assert "Create it on Lead: text, external id, unique, case-sensitive." in told


def test_no_file_is_written_over(moving: CheckProject) -> None:
    path = moving.folder / "mappings" / "lead.yaml"
    path.write_text("mine")
    code, told = imported(moving)
    assert (code, path.read_text()) == (1, "mine")
    assert "mappings/lead.yaml is there already, and is left as it is" in told
    assert (moving.folder / "mappings" / "contact.yaml").is_file()


def test_a_dry_run_writes_nothing_and_says_the_same(moving: CheckProject) -> None:
    code, told = imported(moving, "--dry-run")
    assert code == 0
    assert told.endswith("Nothing was written.\n")
    assert list((moving.folder / "mappings").iterdir()) == []
    assert told.splitlines()[:-1] == imported(moving)[1].splitlines()[:-1]


def test_own_tables_are_read_from_both_live_schemas(moving: CheckProject) -> None:
    (moving.folder / "tables.yaml").write_text("Contact: public.people\n")
    code, told = imported(moving, "--tables", "tables.yaml", "--direction", "to_destination", "--json")
    assert code == 1
    (spec,) = [spec for spec in read_mappings(moving.folder / "mappings") if spec.mapping == "contact"]
    assert (spec.entity.table, spec.entity.key, spec.external_id) == ("public.people", ("id",), "Postgres_Key__c")
    assert {name: field.column for name, field in spec.fields.items()} == {
        "FirstName": "first_name",
        "LastName": "last_name",
        "Email": "email",
    }
    assert "CREATE INDEX ON public.people (email);" in told


def test_without_settings_it_works_and_says_that_nothing_was_looked_at(nowhere: Path) -> None:
    ran = CliRunner().invoke(cli, ["import", "heroku-connect", "export.json", "--out", "here"])
    assert ran.exit_code == 0
    assert "neither side was looked at: source: where is Postgres?" in ran.output
    assert {spec.mapping for spec in read_mappings(nowhere / "here")} == {"account", "contact", "lead"}


def test_a_side_that_cannot_be_reached_is_told_and_stops_nothing(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_SOURCE__DSN", "postgresql://nobody@127.0.0.1:1/none")
    ran = CliRunner().invoke(cli, ["import", "heroku-connect", "export.json", "--dry-run"])
    assert ran.exit_code == 0
    assert "salesforce was not looked at: no destination named 'salesforce' in the settings" in ran.output
    assert "Postgres was not looked at" in ran.output


@pytest.mark.usefixtures("nowhere")
def test_the_report_as_json() -> None:
    ran = CliRunner().invoke(cli, ["import", "heroku-connect", "export.json", "--offline", "--dry-run", "--json"])
    told: dict[str, Any] = json.loads(ran.output)
    lead = told["mappings"][2]
    assert (lead["object"], lead["direction"], lead["key"], lead["poll_seconds"]) == ("Lead", "both", ["id"], 1800)
    assert (lead["written"], lead["fields"]) == (False, ["Id", "LastName", "Company"])
    assert told["not_looked_at"] == ["--offline: neither side was looked at"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["broken.json"], "broken.json: mappings[1].config.fields: should be an object"),
        (["nothing.json"], "does not exist"),
        (["export.json", "--tables", "Contact="], "--tables: write schema.table"),
        (["export.json", "--tables", "missing.yaml"], "--tables: missing.yaml:1: cannot be read"),
        (["export.json", "--tables", "list.yaml"], "--tables: list.yaml:1: is no list of `Object: schema.table`"),
        (["export.json", "--tables", "wrong.yaml"], "--tables: wrong.yaml:1: Contact needs a table"),
        (["export.json", "--direction", "both"], "Invalid value for '--direction'"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    nowhere: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    data = export()
    data["mappings"][1]["config"]["fields"] = ["Id"]
    (nowhere / "broken.json").write_text(text(data))
    (nowhere / "list.yaml").write_text("- a\n")
    (nowhere / "wrong.yaml").write_text("Contact: 7\n")
    project = CheckProject(nowhere, capsys)
    code, said = project.run("import", "heroku-connect", *arguments)
    assert (code, told in said) == (2, True), said
