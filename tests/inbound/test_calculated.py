"""Fields that Postgres calculates, where a row and a record meet for the first time: only true differences are told."""

from __future__ import annotations

import pytest

from syncbridge.model import Outcome
from tests.fix_family_both import COMPANIES, PEOPLE, StartFamilyBoth
from tests.fix_two_way import StartTwoWay, TwoWayProject
from tests.inbound.test_load import there

MAIL = "'mail-' || id || '@example.org'"
CALCULATED = (
    ("Email: email", f'Email: {{sql: "{MAIL}"}}\n  Active__c: {{constant: true}}'),
    ("Score__c: score", 'Score__c: {sql: "100 / parts"}'),
)


@pytest.fixture
def calculated(start_two_way: StartTwoWay) -> TwoWayProject:
    """Three rows, of which none was delivered, and a mapping that waits for its first load."""
    project = start_two_way(*CALCULATED)
    project.out.add(1, 2, 3)
    project.out.writer.execute("update people set parts = 20")
    project.ask_first_load()
    return project


def meets(project: TwoWayProject, number: int, **fields: object) -> str:
    same = {"Email": f"mail-{number}@example.org", "Score__c": 5, "Active__c": True}
    return there(project, number, **{**same, **fields})


def load(project: TwoWayProject) -> None:
    project.load(project.ask_first_load())


def test_a_first_load_logs_nothing_where_calculated_fields_agree(calculated: TwoWayProject) -> None:
    meets(calculated, 1)
    load(calculated)
    assert calculated.log(1) == []
    assert calculated.base(1) is not None
    calculated.out.deliver()
    calculated.settle()
    assert [sent["Person_Key__c"] for sent in calculated.out.destination.sent] == ["2", "3"]


def test_a_calculated_field_that_differs_is_told_with_both_values_and_put_back(calculated: TwoWayProject) -> None:
    meets(calculated, 1, Email="theirs@example.org", Active__c=False)
    load(calculated)
    (entry,) = calculated.log(1)
    assert (entry.outcome, entry.fields) == (Outcome.KEPT, "Email, Active__c")
    (told,) = calculated.decisions(1)
    assert told["Email"] == {
        "verdict": "postgres wins",
        "rule": "postgres owns it",
        "local": "mail-1@example.org",
        "remote": "theirs@example.org",
    }
    calculated.out.deliver()
    assert calculated.out.remote()["1"]["Email"] == "mail-1@example.org"
    assert calculated.out.remote()["1"]["Active__c"] is True


def test_a_row_whose_expression_fails_stops_no_other(calculated: TwoWayProject) -> None:
    for number in (1, 2, 3):
        meets(calculated, number, FirstName="Theirs")
    calculated.out.writer.execute("update people set parts = 0 where id = 2")
    load(calculated)
    assert [entry.fields for entry in calculated.log(1)] == ["FirstName"]
    assert [entry.fields for entry in calculated.log(3)] == ["FirstName"]
    assert calculated.base(2) is not None


def test_a_field_that_is_calculated_since_then_is_told_only_where_it_differs(calculated: TwoWayProject) -> None:
    meets(calculated, 1)
    meets(calculated, 2)
    load(calculated)
    calculated.out.store.execute("update syncbridge.link set base = (base::jsonb - 'Email')::json")
    calculated.age_links()
    calculated.edit(1, FirstName="Theirs")
    calculated.edit(2, FirstName="Theirs", Email="theirs@example.org")
    calculated.poll()
    assert [set(each) for each in calculated.decisions(1)] == []
    assert [set(each) for each in calculated.decisions(2)] == [{"Email"}]


def test_a_lookup_that_postgres_owns_is_told_only_where_it_differs(start_family_both: StartFamilyBoth) -> None:
    owned = "{lookup: companies, key: company_id, owner: postgres}"
    both = start_family_both(COMPANIES, PEOPLE.replace("{lookup: companies, key: company_id}", owned))
    both.family.sql("insert into companies (id, name) values (1, 'one'), (2, 'two')")
    both.family.touch("companies", 1, 2)
    both.family.deliver()
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1), (2, 'Bob', 1), (3, 'Eve', null)")
    accounts = {1: both.id("companies", 1), 2: both.id("companies", 2), 3: None}
    for key, name in ((1, "Ada"), (2, "Bob"), (3, "Eve")):
        both.make("Contact", Key__c=str(key), Name=name, AccountId=accounts[key], ReportsToId=None)
    both.poll()
    assert both.log("people", 1) == []
    assert both.log("people", 3) == []
    (entry,) = both.log("people", 2)
    assert (entry.outcome, entry.fields) == (Outcome.KEPT, "AccountId")
