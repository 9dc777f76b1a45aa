"""`syncbridge suggest` against a real Postgres and a Salesforce sandbox over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncbridge.mapping.files import parse_mapping
from syncbridge.quickstart import services
from tests.fix_check import CheckProject

SAME = {"companies": "Account", "orders": "Opportunity", "people": "Contact"}


@pytest.fixture
def empty(check_project: CheckProject) -> CheckProject:
    """The project without its mapping files."""
    for path in (check_project.folder / "mappings").iterdir():
        path.unlink()
    return check_project


@pytest.fixture
def quickstart_tables(dsn: str, check_project: CheckProject) -> None:
    """The quickstart's own tables with a few rows, in place of the project's."""
    script = Path(services.__file__).with_name("crm.sql").read_text()
    for name in ("companies", "people", "orders"):
        script = script.replace(f":{name}", "5")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("drop table people, orders, companies")
        connection.execute(script.encode())


@pytest.fixture
def login(dsn: str, check_project: CheckProject) -> Iterator[str]:
    """A login that may read nothing yet."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create role suggest_login login password 'pw'")
        yield "suggest_login"
        admin.execute("drop owned by suggest_login; drop role suggest_login")


@pytest.mark.usefixtures("quickstart_tables")
def test_the_quickstarts_tables_get_drafts_that_check_without_an_error(empty: CheckProject) -> None:
    for table, object in SAME.items():
        code, told = empty.run("suggest", table, "--to", f"salesforce:{object}", "--write")
        wanted = f"wrote  mappings/{table}.yaml\nNext: read it, then run: syncbridge check {table}\n"
        assert (code, told) == (0, wanted)
    code, told = empty.check()
    assert code == 0
    assert told.splitlines()[-1] == "0 errors, 2 warnings."  # rounding, and a required field that may be null


def test_drafts_pair_what_the_example_mappings_pair(check_project: CheckProject) -> None:
    for table, object in SAME.items():
        code, told = check_project.run("suggest", table, "--to", f"salesforce:{object}")
        assert code == 0
        example = parse_mapping((check_project.folder / "mappings" / f"{table}.yaml").read_text())
        drafted = parse_mapping(told)
        plain = {field.column for field in example.fields.values() if field.column and "." not in field.column}
        columns = {name: field.column for name, field in example.fields.items() if field.column in plain}
        assert {name: drafted.fields[name].column for name in columns} == columns
        assert drafted.external_id == example.external_id


def test_a_lookup_goes_to_the_mapping_that_there_is(check_project: CheckProject) -> None:
    _, told = check_project.run("suggest", "people", "--to", "salesforce:Contact", "--name", "contacts")
    assert "mapping: contacts" in told
    assert "  # AccountId: {lookup: companies, key: company_id}" in told


def test_json_holds_pairs_with_their_reasons_what_is_left_and_the_draft(check_project: CheckProject) -> None:
    _, text = check_project.run("suggest", "people", "--to", "salesforce:Contact", "--name", "contacts")
    code, told = check_project.run(
        "suggest", "people", "--to", "salesforce:Contact", "--name", "contacts", "--write", "--json"
    )
    said = json.loads(told)
    assert code == 0
    assert said["draft"] == text == (check_project.folder / "mappings" / "contacts.yaml").read_text()
    assert (said["mapping"], said["written"], said["key"]) == ("contacts", "mappings/contacts.yaml", ["id"])
    (pair,) = [each for each in said["pairs"] if each["field"] == "LastName"]
    assert (pair["column"], pair["sureness"], pair["cast"]) == ("last_name", "sure", None)
    assert pair["score"] >= 0.88
    assert pair["reason"]
    used = {each["column"] for each in said["pairs"]} | {each["column"] for each in said["misfits"]}
    assert not used & set(said["columns_left"])
    drafted = {field.column for field in parse_mapping(text).fields.values() if field.column}
    assert drafted <= {each["column"] for each in said["pairs"] if each["sureness"] != "perhaps"}


def test_nothing_that_is_there_is_written_over(check_project: CheckProject) -> None:
    before = (check_project.folder / "mappings" / "people.yaml").read_text()
    arguments = ("suggest", "people", "--to", "salesforce:Contact", "--write")
    code, told = check_project.run(*arguments)
    assert code == 2
    assert "mappings/people.yaml:3: there is a mapping named 'people' already" in told
    (check_project.folder / "mappings" / "people.yaml").write_text("not: a mapping\n")
    code, told = check_project.run(*arguments)
    assert code == 2
    assert "mappings/people.yaml: is there already, and is left as it is" in told
    (check_project.folder / "mappings" / "people.yaml").write_text(before)
    code, told = check_project.run(*arguments, "--name", "contacts")
    assert (code, told.splitlines()[0]) == (0, "wrote  mappings/contacts.yaml")


def test_editors_find_the_schema_where_there_is_one(check_project: CheckProject) -> None:
    arguments = ("suggest", "people", "--to", "salesforce:Contact")
    assert check_project.run(*arguments)[1].startswith("# A draft")
    assert check_project.run("schema", "--write", "mapping.schema.json")[0] == 0
    first = check_project.run(*arguments)[1].splitlines()[0]
    assert first == "# yaml-language-server: $schema=../mapping.schema.json"


def test_the_folder_of_mappings_is_made(empty: CheckProject) -> None:
    (empty.folder / "mappings").rmdir()
    assert empty.run("suggest", "people", "--to", "salesforce:Contact", "--write")[0] == 0
    assert parse_mapping((empty.folder / "mappings" / "people.yaml").read_text()).mapping == "people"


def test_a_table_of_another_schema_with_an_odd_name_is_named_lawfully(empty: CheckProject, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            'create schema crm; create table crm."My People" (id int primary key, last_name text not null)'
        )
    code, told = empty.run("suggest", 'crm."My People"', "--to", "salesforce:Contact")
    assert code == 0
    spec = parse_mapping(told)
    assert (spec.mapping, spec.entity.table_name) == ("my_people", ("crm", "My People"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["peple", "--to", "salesforce:Contact"], "there is no table public.peple that the login can see"),
        (["peple", "--to", "salesforce:Contact"], "Did you mean public.people?"),
        (["people", "--to", "Contact"], "write DESTINATION:OBJECT, as in salesforce:Contact, not 'Contact'"),
        (["people", "--to", "hubspot:Contact"], "no destination named 'hubspot' in the settings"),
        (["people", "--to", "salesforce:Contact", "--name", "My Map"], "a mapping's name is made of small letters"),
        (["a.b.c", "--to", "salesforce:Contact"], "write schema.table"),
        (["lively", "--to", "salesforce:Contact"], "public.lively is a view; it has no changes to read"),
    ],
)
def test_a_wrong_call_is_told_what_is_right(
    check_project: CheckProject, dsn: str, arguments: list[str], message: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create view lively as select * from people")
    code, told = check_project.run("suggest", *arguments)
    assert code == 2
    assert message in told


def test_a_table_that_the_login_may_not_read_is_told_with_the_grant(
    empty: CheckProject, dsn: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", make_conninfo(dsn, user=login, password="pw"))
    code, told = empty.run("suggest", "people", "--to", "salesforce:Contact", "--write")
    assert code == 2
    assert f"the login {login} may not read public.people" in told
    assert f'GRANT SELECT ON "public"."people" TO "{login}";' in told
    assert not list((empty.folder / "mappings").iterdir())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("grant select (id, first_name) on people to suggest_login")
    code, told = empty.run("suggest", "people", "--to", "salesforce:Contact")
    assert (code, list(parse_mapping(told).fields)) == (0, ["FirstName"])


def test_an_object_that_is_not_there_is_told_with_near_names(check_project: CheckProject) -> None:
    code, told = check_project.run("suggest", "people", "--to", "salesforce:Contcat")
    assert code == 4
    assert "There is no object Contcat" in told
    assert "Contact" in told
