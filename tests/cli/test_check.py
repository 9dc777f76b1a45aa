"""`syncbridge check` against a real Postgres and a Salesforce sandbox over HTTP."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.fix_check import CheckProject


@pytest.fixture
def project(check_project: CheckProject) -> CheckProject:
    return check_project


def test_the_example_mappings_fit_salesforces_standard_objects(project: CheckProject) -> None:
    assert project.check() == (0, "All is well: companies, orders, people.\n")


def test_mistakes_on_both_sides_are_told_by_file_and_line(project: CheckProject) -> None:
    project.edit("people", "FirstName: first_name", "FirstNam: frst_name")
    project.edit("people", "where: not is_test", "where: not is_tst")
    project.edit("orders", "public.orders", "public.order")
    name = project.line("people", "FirstNam:")
    code, told = project.check()
    assert code == 1
    assert told.splitlines() == [
        "mappings/orders.yaml",
        f"{project.line('orders', 'table:'):5}  error    there is no table public.order; did you mean public.orders?",
        "",
        "mappings/people.yaml",
        f'{project.line("people", "where:"):5}  error    entity.where: column "is_tst" does not exist',
        '                Perhaps you meant to reference the column "people.is_test".',
        f"{name:5}  error    fields.FirstNam: public.people has no column 'frst_name'; did you mean 'first_name'?",
        f"{name:5}  error    fields.FirstNam: Contact has no field 'FirstNam'; did you mean 'FirstName'?",
        "",
        "4 errors, 0 warnings.",
    ]


def test_findings_come_as_json_for_programs(project: CheckProject) -> None:
    project.edit("people", "LeadSource: {constant: Web}", "LeadSource: {constant: Wep}")
    code, told = project.check("--json", "people")
    document = json.loads(told)
    assert code == 0  # a warning stops nothing
    assert (document["mappings"], document["errors"], document["warnings"]) == (["people"], 0, 1)
    finding = document["findings"][0]
    assert finding["where"] == f"mappings/people.yaml:{project.line('people', 'LeadSource')}"
    assert finding["severity"] == "warning"
    assert "did you mean 'Web'?" in finding["message"]


def test_only_the_named_mappings_are_checked(project: CheckProject) -> None:
    project.edit("orders", "public.orders", "public.order")
    assert project.check("people", "companies") == (0, "All is well: companies, people.\n")


def test_an_unknown_mapping_is_a_wrong_call(project: CheckProject) -> None:
    code, told = project.check("peple")
    assert code == 2
    assert "there is no mapping 'peple'; did you mean 'people'?" in told


def test_files_that_cannot_be_read_do_not_hide_findings_of_the_others(project: CheckProject) -> None:
    project.edit("orders", "fields:", "feilds:")
    project.edit("people", "object: Contact", "object: Contcat")
    code, told = project.check()
    assert code == 1
    assert "unknown key 'feilds'; did you mean 'fields'?" in told
    assert "mappings/people.yaml" in told
    assert "Contact" in told


def test_a_lookup_of_a_mapping_whose_file_cannot_be_read_is_not_called_wrong(project: CheckProject) -> None:
    project.edit("companies", "fields:", "feilds:")
    for arguments in ((), ("people",), ("--save",)):
        code, told = project.check(*arguments)
        assert code == 1
        assert "unknown key 'feilds'" in told
        assert "there is no mapping" not in told
    (project.folder / "mappings" / "companies.yaml").unlink()
    assert "there is no mapping 'companies'" in project.check()[1]


def test_an_unknown_destination_is_told_where_it_stands(project: CheckProject) -> None:
    project.edit("people", "destination: salesforce", "destination: salesfroce")
    code, told = project.check("people")
    assert code == 1
    assert (
        f"{project.line('people', 'destination: salesf'):5}  error    "
        "the settings have no destination 'salesfroce'; did you mean 'salesforce'?"
    ) in told


def test_a_refused_login_is_a_finding_and_postgres_is_checked_all_the_same(
    project: CheckProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET", "hunter2")
    project.edit("people", "first_name", "frst_name")
    code, told = project.check()
    assert code == 1
    assert "destination salesforce" in told
    assert "public.people has no column 'frst_name'" in told
    assert "hunter2" not in told


def test_wrong_settings_of_a_destination_are_findings(project: CheckProject) -> None:
    toml = project.folder / "syncbridge.toml"
    toml.write_text(toml.read_text() + 'apiversion = "5"\n')
    code, told = project.check()
    assert code == 1
    assert "destinations.salesforce.apiversion: unknown setting; did you mean api_version?" in told


def test_an_unreachable_postgres_is_a_finding(project: CheckProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", "postgresql://me:hunter2@127.0.0.1:1/app?connect_timeout=2")
    project.edit("people", "object: Contact", "object: Contcat")
    code, told = project.check()
    assert code == 1
    assert told.count("source\n") == 1
    assert "mappings/people.yaml" in told
    assert "hunter2" not in told


def test_wrong_settings_end_with_code_2(project: CheckProject) -> None:
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
def test_sql_that_would_break_a_batch_is_told_before_it_does(project: CheckProject, sql: str, message: str) -> None:
    project.edit("orders", "Description: notes", f"Description: {{sql: '{sql}'}}")
    code, told = project.check("orders")
    assert code == 1
    assert message in told


def test_a_filter_must_be_a_condition(project: CheckProject) -> None:
    project.edit("people", "not is_test", "first_name")
    assert "entity.where: argument of WHERE must be type boolean, not type text" in project.check("people")[1]


def test_the_sql_that_mends_a_table_mends_it(project: CheckProject, dsn: str) -> None:
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
    project: CheckProject, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create role check_login login password 'pw'")
        try:
            mine = psycopg.conninfo.make_conninfo(dsn, user="check_login", password="pw")
            monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", mine)
            code, told = project.check("--json")
            assert code == 1
            for finding in json.loads(told)["findings"]:
                if finding["sql"]:  # of a table that several mappings name it is told once
                    admin.execute(finding["sql"])
            (left,) = (f for f in json.loads(project.check("--json")[1])["findings"] if f["severity"] == "error")
            assert "does not own public.companies, public.orders, public.people, so" in left["message"]
            assert "grant the owning role to the login" in left["remedy"]
            admin.execute("grant postgres to check_login")
            assert project.check()[0] == 0
        finally:
            admin.execute("drop owned by check_login; drop role check_login")
