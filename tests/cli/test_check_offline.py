"""`check --save` reads both sides into a file; `check --offline` needs nothing but that file and the mappings."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_check import CheckProject

ALONE = "Against schemas.json alone; nothing was connected to."


@pytest.fixture
def saved(check_project: CheckProject) -> CheckProject:
    """The example project after `check --save`."""
    code, told = check_project.check("--save")
    assert (code, told.splitlines()[-1]) == (0, "Saved in schemas.json: 3 tables, 3 objects.")
    return check_project


@pytest.fixture
def cut_off(check_project: CheckProject, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the machine one for CI: no side can be reached, and no setting says where they are."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("something was connected to")

    def cut() -> None:
        for name in [name for name in os.environ if name.startswith("SYNCBRIDGE_")]:
            monkeypatch.delenv(name)
        (check_project.folder / "syncbridge.toml").unlink()
        monkeypatch.setattr(psycopg.Connection, "connect", refuse)
        monkeypatch.setattr(psycopg, "connect", refuse)
        for method in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, method, refuse)
        monkeypatch.setattr("syncbridge.project.open_destination", refuse)

    return cut


@pytest.fixture
def offline(saved: CheckProject, cut_off: Callable[[], None]) -> CheckProject:
    """The saved project on a machine for CI."""
    cut_off()
    return saved


def test_nothing_is_needed_but_the_mappings_and_the_file(offline: CheckProject) -> None:
    assert sorted(path.name for path in offline.folder.iterdir()) == ["mappings", "schemas.json"]
    assert offline.check("--offline") == (0, f"All is well: companies, orders, people.\n{ALONE}\n")


def test_settings_that_point_to_nowhere_are_not_followed(
    offline: CheckProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", "postgresql://me:hunter2@127.0.0.1:1/app")
    (offline.folder / "syncbridge.toml").write_text(
        '[destinations.salesforce]\ntype = "salesforce"\nlogin = "client_credentials"\n'
        'instance_url = "http://127.0.0.1:1"\nclient_id = "x"\n'
    )
    assert offline.check("--offline")[0] == 0


def test_mistakes_are_told_as_they_are_with_both_sides_there(saved: CheckProject, cut_off: Callable[[], None]) -> None:
    saved.edit("people", "FirstName: first_name", "FirstNam: frst_name")
    saved.edit("people", "LeadSource: {constant: Web}", "LeadSource: {constant: Wep}")
    saved.edit("people", "external_id: External_Key__c", "external_id: Email")
    saved.edit("orders", "won: Closed Won", "wonn: Closed Wonn")
    saved.edit("orders", "Amount: amount", "Amount: notes")
    saved.edit("companies", "NumberOfEmployees: employees", "NumberOfEmployees: {constant: many}")
    code, told = saved.check()
    cut_off()
    assert code == 1
    assert saved.check("--offline") == (1, f"{told}{ALONE}\n")


def test_sql_that_was_saved_is_verified_whatever_field_it_fills(offline: CheckProject) -> None:
    offline.edit("companies", "AnnualRevenue: {sql: round(annual_revenue)}", "Website__c: {sql: round(annual_revenue)}")
    code, told = offline.check("--offline", "companies")
    assert code == 1
    assert "Account has no field 'Website__c'" in told
    assert "not verified offline" not in told


def test_sql_that_was_changed_since_is_a_warning_at_its_line(offline: CheckProject) -> None:
    offline.edit("companies", "round(annual_revenue)", "trunc(annual_revenue)")
    offline.edit("people", "not is_test", "not is_test and email is not null")
    code, told = offline.check("--offline")
    assert code == 0
    revenue, where = offline.line("companies", "AnnualRevenue"), offline.line("people", "where:")
    unknown = "this SQL is not verified offline: schemas.json does not know it"
    again = "                If it is new, save anew where both sides can be reached: `syncbridge check --save`."
    assert told.splitlines() == [
        "mappings/companies.yaml",
        f"{revenue:5}  warning  fields.AnnualRevenue: {unknown}",
        again,
        "",
        "mappings/people.yaml",
        f"{where:5}  warning  entity.where: {unknown}",
        again,
        "",
        "0 errors, 2 warnings.",
        ALONE,
    ]


def test_sql_that_postgres_refused_when_it_was_saved_is_an_error_offline_too(
    check_project: CheckProject, cut_off: Callable[[], None]
) -> None:
    check_project.edit("people", "where: not is_test", "where: not is_tst")
    code, told = check_project.check("--save")
    assert code == 1
    assert told.splitlines()[-1].startswith("Saved in schemas.json")
    cut_off()
    code, told = check_project.check("--offline", "people")
    assert code == 1
    assert 'entity.where: column "is_tst" does not exist' in told


def test_a_new_mapping_over_another_table_of_the_schema_can_be_checked(
    check_project: CheckProject, dsn: str, cut_off: Callable[[], None]
) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table tickets (id int primary key, subject text not null)")
        connection.execute("create schema apart create table apart.other (id int primary key)")
    assert check_project.check("--save", "--object", "salesforce:Case")[0] == 0
    document = json.loads((check_project.folder / "schemas.json").read_text())
    assert set(document["source"]["tables"]) == {"public"}
    assert set(document["source"]["tables"]["public"]) == {"companies", "orders", "people", "tickets"}
    cut_off()
    (check_project.folder / "mappings" / "tickets.yaml").write_text(
        "mapping: tickets\ndestination: salesforce\nobject: case\nentity: {table: tickets, key: id}\n"
        "external_id: External_Key__c\nfields: {Subject: subject}\n"
    )
    assert check_project.check("--offline", "tickets") == (0, f"All is well: tickets.\n{ALONE}\n")


COMPANY = "    company: {table: public.companies, on: company.id = people.company_id}\n"
RELATED = """\
    company: {table: public.companies, on: company.id = people.company_id}
    colleagues: {table: public.people, on: colleagues.company_id = people.company_id, rollup: {heads: count(*)}}
"""


def test_related_tables_are_verified_offline_too(check_project: CheckProject, cut_off: Callable[[], None]) -> None:
    check_project.edit("people", COMPANY, RELATED)
    check_project.edit("people", "Title: title", "Title: {sql: upper(company.name)}")
    code, told = check_project.check("--save")
    assert told.splitlines()[-1] == "Saved in schemas.json: 3 tables, 3 objects."
    cut_off()
    assert check_project.check("--offline") == (code, f"{_without_last_line(told)}{ALONE}\n")
    check_project.edit("people", "heads: count(*)", "heads: count(*) filter (where is_test)")
    _, told = check_project.check("--offline", "people")
    assert "entity.related.colleagues.rollup.heads: this SQL is not verified offline" in told
    check_project.edit("people", "public.companies", "public.firms")
    code, told = check_project.check("--offline", "people")
    assert code == 1
    assert "schemas.json holds no table public.firms" in told


def _without_last_line(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


def test_what_the_file_does_not_know_is_told_with_the_way_to_save_it(offline: CheckProject) -> None:
    offline.edit("people", "public.people", "public.peopel")
    offline.edit("people", "= people.company_id", "= peopel.company_id")
    offline.edit("orders", "object: Opportunity", "object: Lead")
    offline.edit("companies", "destination: salesforce", "destination: hubspot")
    code, told = offline.check("--offline", "--json")
    assert code == 1
    findings = json.loads(told)["findings"]
    assert {finding["remedy"] for finding in findings if "schemas.json" in finding["message"]} == {
        "If it is new, save anew where both sides can be reached: `syncbridge check --save`."
    }
    messages = {(finding["where"], finding["message"]) for finding in findings}
    assert messages >= {
        (
            f"mappings/people.yaml:{offline.line('people', 'table: public.peopel')}",
            "schemas.json holds no table public.peopel; did you mean public.people?",
        ),
        (
            f"mappings/orders.yaml:{offline.line('orders', 'object:')}",
            "schemas.json holds no object 'Lead' of salesforce; known are Account, Contact, Opportunity",
        ),
        (
            f"mappings/companies.yaml:{offline.line('companies', 'destination: hubspot')}",
            "schemas.json holds no destination 'hubspot'; known are salesforce",
        ),
    }


def test_saving_again_writes_the_same_whatever_rows_and_slots_there_are(saved: CheckProject, dsn: str) -> None:
    before = (saved.folder / "schemas.json").read_bytes()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into companies (name) select 'x' from generate_series(1, 500); analyze companies")
        slot = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
    assert saved.check("--save")[1].splitlines()[-1] == "Nothing new in schemas.json: 3 tables, 3 objects."
    assert (saved.folder / "schemas.json").read_bytes() == before


def test_a_new_column_is_one_line_of_the_file(saved: CheckProject, dsn: str) -> None:
    before = (saved.folder / "schemas.json").read_text().splitlines()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("alter table people add column nickname varchar(40)")
    saved.check("--save")
    after = (saved.folder / "schemas.json").read_text().splitlines()
    assert [line.strip() for line in after if line not in before] == [
        '"nickname": {"base_type": "varchar", "length": 40, "type": "character varying(40)"},'
    ]
    assert len(after) == len(before) + 1


def test_the_file_holds_no_secret_and_no_row(
    check_project: CheckProject, dsn: str, check_org: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("insert into people (first_name, email) values ('Ada-of-the-rows', 'ada@rows.example')")
        admin.execute("create role saving_login superuser login password 'hunter2'")
        try:
            mine = psycopg.conninfo.make_conninfo(dsn, user="saving_login", password="hunter2")
            monkeypatch.setenv("SYNCBRIDGE_POSTGRES_DSN", mine)
            assert check_project.check("--save")[0] == 0
        finally:
            admin.execute("drop role saving_login")
    text = (check_project.folder / "schemas.json").read_text()
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    for hidden in ("hunter2", "rows", check_org.credentials.client_secret, check_org.url, f"{parts['host']}/"):
        assert hidden not in text
    assert '"first_name"' in text


def test_a_side_that_cannot_be_read_keeps_the_file_as_it_was(
    saved: CheckProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (saved.folder / "schemas.json").read_bytes()
    monkeypatch.setenv("SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET", "wrong")
    code, told = saved.check("--save")
    assert (code, told.splitlines()[-1]) == (1, "Not saved: not read: destination salesforce.")
    assert (saved.folder / "schemas.json").read_bytes() == before


def test_mapping_files_with_mistakes_are_not_saved_from(check_project: CheckProject) -> None:
    check_project.edit("orders", "fields:", "feilds:")
    code, told = check_project.check("--save")
    assert (code, told.splitlines()[-1]) == (1, "Not saved: mend the mapping files first.")
    assert not (check_project.folder / "schemas.json").exists()


def test_an_object_that_is_not_there_is_told_and_nothing_is_saved(check_project: CheckProject) -> None:
    code, told = check_project.check("--save", "--object", "salesforce:Laed")
    assert code == 1
    assert "--object salesforce:Laed" in told
    assert not (check_project.folder / "schemas.json").exists()


def test_without_the_file_the_call_is_wrong_and_says_how_to_write_it(check_project: CheckProject) -> None:
    code, told = check_project.check("--offline")
    assert code == 2
    assert "error: schemas.json: there is no such file" in told
    assert "`syncbridge check --save` writes it" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "schemas.json:1: not valid JSON: Expecting property name enclosed in double quotes"),
        ('{"format": 99}', "schemas.json: its format is 99, and this version reads format 1"),
        ("[]", "schemas.json: its format is None, and this version reads format 1"),
        (
            '{"format": 1, "source": {}, "destinations": {}, "fragments": {}}',
            "schemas.json: not what `syncbridge check --save` writes: about: Field required",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_a_wrong_configuration(
    check_project: CheckProject, text: str, message: str
) -> None:
    (check_project.folder / "schemas.json").write_text(text)
    code, told = check_project.check("--offline")
    assert code == 2
    assert f"error: {message}" in told
    assert "Write it anew: `syncbridge check --save`." in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save", "--offline"], "--save reads both sides, --offline neither"),
        (["--save", "people"], "--save takes all mappings"),
        (["--schemas", "x.json"], "--schemas goes with --save or --offline"),
        (["--object", "salesforce:Lead"], "--object goes with --save"),
        (["--save", "--object", "Lead"], "write DESTINATION:OBJECT, not 'Lead'"),
        (["--save", "--object", "salesfroce:Lead"], "no destination 'salesfroce'; did you mean 'salesforce'?"),
        (["--offline", "peple"], "there is no mapping 'peple'; did you mean 'people'?"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    saved: CheckProject, arguments: list[str], message: str
) -> None:
    code, told = saved.check(*arguments)
    assert code == 2
    assert message in told


def test_mistakes_in_the_settings_still_count_offline(offline: CheckProject) -> None:
    (offline.folder / "syncbridge.toml").write_text("[worker]\nbacth = 1\n")
    code, told = offline.check("--offline")
    assert code == 2
    assert "did you mean batch?" in told
    assert "where is Postgres?" not in told


def test_the_file_may_have_another_name(check_project: CheckProject, cut_off: Callable[[], None]) -> None:
    assert check_project.check("--save", "--schemas", "production.json")[0] == 0
    cut_off()
    code, told = check_project.check("--offline", "--schemas", "production.json")
    assert (code, told.splitlines()[-1]) == (0, "Against production.json alone; nothing was connected to.")


def test_the_folder_of_mappings_may_lie_elsewhere_with_the_file_beside_it(offline: CheckProject) -> None:
    other = Path("elsewhere")
    other.mkdir()
    (offline.folder / "mappings").rename(other / "maps")
    (offline.folder / "schemas.json").rename(other / "schemas.json")
    (offline.folder / "syncbridge.toml").write_text('mappings = "elsewhere/maps"\n')
    code, told = offline.check("--offline")
    assert (code, told.splitlines()[-1]) == (0, "Against elsewhere/schemas.json alone; nothing was connected to.")
