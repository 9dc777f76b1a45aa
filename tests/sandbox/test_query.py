"""Queries over HTTP: what is selected, in what order, on which page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


def names(api: Api, condition: str) -> list[str]:
    """Names of the accounts that a condition selects, in order of creation."""
    return [row["Name"] for row in api.rows(f"SELECT Name FROM Account WHERE {condition}")]


@pytest.fixture
def accounts(api: Api) -> Api:
    """Five accounts that differ in text, number, boolean and empty fields."""
    api.create("Account", Name="Alpha", Industry="Banking", NumberOfEmployees=10, AnnualRevenue=1000, Site="x%y")
    api.create("Account", Name="beta", Industry="banking", NumberOfEmployees=20, Rating="Hot", Site="x_y")
    api.create("Account", Name="Gamma", Industry="Energy", AnnualRevenue=2500, Site="xzy")
    api.create("Account", Name="Delta's \\ Ltd", NumberOfEmployees=-5, Site="back\\slash")
    api.create("Account", Name="Ünïcode", Rating="Cold")
    return api


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Name = 'ALPHA'", ["Alpha"]),
        ("Name != 'alpha'", ["beta", "Gamma", "Delta's \\ Ltd", "Ünïcode"]),
        ("Name <> 'alpha' AND Industry = 'Banking'", ["beta"]),
        ("Industry != 'Banking'", ["Gamma", "Delta's \\ Ltd", "Ünïcode"]),
        ("NOT Industry = 'Banking'", ["Gamma", "Delta's \\ Ltd", "Ünïcode"]),
        ("NOT (Industry = 'Banking' AND Rating = 'Hot')", ["Alpha", "Gamma", "Delta's \\ Ltd", "Ünïcode"]),
        ("Industry = null", ["Delta's \\ Ltd", "Ünïcode"]),
        ("Industry = ''", ["Delta's \\ Ltd", "Ünïcode"]),
        ("Industry != NULL", ["Alpha", "beta", "Gamma"]),
        ("NumberOfEmployees > 10", ["beta"]),
        ("NumberOfEmployees <= 10", ["Alpha", "Delta's \\ Ltd"]),
        ("NOT NumberOfEmployees > 10", ["Alpha", "Gamma", "Delta's \\ Ltd", "Ünïcode"]),
        ("NumberOfEmployees < -4.5", ["Delta's \\ Ltd"]),
        ("AnnualRevenue >= 1e3", ["Alpha", "Gamma"]),
        ("Industry IN ('Energy', 'x')", ["Gamma"]),
        ("Industry NOT IN ('Energy', 'x')", ["Alpha", "beta", "Delta's \\ Ltd", "Ünïcode"]),
        ("Industry IN ('Energy', null)", ["Gamma", "Delta's \\ Ltd", "Ünïcode"]),
        ("Industry NOT IN ('Energy', null)", ["Alpha", "beta"]),
        ("NOT Industry IN ('Energy')", ["Alpha", "beta", "Delta's \\ Ltd", "Ünïcode"]),
        ("Name LIKE '%a'", ["Alpha", "beta", "Gamma"]),
        ("NOT Name LIKE '%a'", ["Delta's \\ Ltd", "Ünïcode"]),
        ("Name LIKE 'b_ta'", ["beta"]),
        ("Site LIKE 'x\\%y'", ["Alpha"]),
        ("Site LIKE 'x\\_y'", ["beta"]),
        ("Site LIKE 'back\\\\%'", ["Delta's \\ Ltd"]),
        ("Name = 'Delta\\'s \\\\ Ltd'", ["Delta's \\ Ltd"]),
        ("Name = 'Ünïcode'", ["Ünïcode"]),
        ("(Rating = 'Hot' OR Rating = 'Cold') AND Name != 'beta'", ["Ünïcode"]),
        ("Rating = 'Hot' OR (Rating = 'Cold' AND Name = 'Ünïcode')", ["beta", "Ünïcode"]),
        ("IsDeleted = FALSE AND IsPartner = false AND Name = 'beta'", ["beta"]),
        ("IsDeleted = true", []),
        ("Account.Name = 'beta'", ["beta"]),
    ],
)
def test_conditions_select_as_salesforce_does(accounts: Api, condition: str, expected: list[str]) -> None:
    assert names(accounts, condition) == expected


def test_a_list_may_be_long_but_the_uri_not_longer_than_16384_bytes(api: Api) -> None:
    api.create("Account", Name="a", External_Key__c="k999")

    def response(number: int) -> httpx.Response:
        wanted = ",".join(f"'k{each}'" for each in range(number))
        return api.get("/query", params={"q": f"SELECT Name FROM Account WHERE External_Key__c IN ({wanted})"})

    assert response(1000).json()["totalSize"] == 1
    assert response(3000).status_code == 414


def test_ids_compare_in_both_lengths_and_nonsense_is_refused(api: Api) -> None:
    record_id = api.create("Account", Name="a")
    assert names(api, f"Id = '{record_id}'") == names(api, f"Id IN ('{record_id[:15]}')") == ["a"]
    assert names(api, "ParentId = ''") == ["a"]
    response = api.get("/query", params={"q": "SELECT Id FROM Account WHERE Id = 'junk'"})
    assert response.json()[0]["errorCode"] == "INVALID_QUERY_FILTER_OPERATOR"
    assert "invalid ID field: junk" in response.json()[0]["message"]


def test_dates_and_datetimes_compare_with_literals(api: Api) -> None:
    for day in ("2026-01-31", "2026-02-01"):
        api.create("Opportunity", Name=day, StageName="Prospecting", CloseDate=day)

    def found(condition: str) -> list[str]:
        return [row["Name"] for row in api.rows(f"SELECT Name FROM Opportunity WHERE {condition}")]

    assert found("CloseDate > 2026-01-31") == ["2026-02-01"]
    assert found("CloseDate = 2026-01-31") == ["2026-01-31"]
    assert found("CreatedDate > 2020-01-01T00:00:00Z AND CreatedDate < 2099-01-01T00:00:00.000+01:00") != []
    assert found("CreatedDate < 2020-01-01T00:00:00Z") == []
    assert found("SystemModstamp >= LAST_N_DAYS:1 AND CreatedDate = TODAY") == ["2026-01-31", "2026-02-01"]
    assert found("CreatedDate < TODAY OR CreatedDate > TODAY") == []
    assert found("NOT CreatedDate = TODAY") == []
    assert found("CloseDate <= N_DAYS_AGO:0") == found("CloseDate < TOMORROW")


def test_a_datetime_with_a_part_of_a_second_lies_after_that_second(api: Api) -> None:
    api.create("Contact", LastName="x", EmailBouncedDate="2026-05-01T10:00:00Z")
    rows = "SELECT Id FROM Contact WHERE EmailBouncedDate "
    assert len(api.rows(rows + ">= 2026-05-01T10:00:00.000Z")) == 1
    assert len(api.rows(rows + "< 2026-05-01T10:00:00.500Z")) == 1
    assert len(api.rows(rows + ">= 2026-05-01T10:00:00.500Z")) == 0
    assert len(api.rows(rows + "= 2026-05-01T12:00:00+02:00")) == 1


def test_multipicklists_include_and_exclude(api: Api, sandbox: SandboxServer) -> None:
    sandbox.control.put_field("Contact", "Tags__c", {"type": "multipicklist", "values": ["a", "b", "c"]})
    for tags in ("c;a", "b", None):
        api.create("Contact", LastName=tags or "none", Tags__c=tags)
    assert [row["Tags__c"] for row in api.rows("SELECT Tags__c FROM Contact")] == ["a;c", "b", None]

    def found(condition: str) -> list[str]:
        return [row["LastName"] for row in api.rows(f"SELECT LastName FROM Contact WHERE Tags__c {condition}")]

    assert found("INCLUDES ('a;c', 'b')") == ["c;a", "b"]
    assert found("INCLUDES ('a;b')") == []
    assert found("EXCLUDES ('b')") == ["c;a", "none"]


def test_parents_nest_and_are_null_where_there_is_none(api: Api) -> None:
    top = api.create("Account", Name="top")
    mid = api.create("Account", Name="mid", ParentId=top)
    api.create("Contact", LastName="with", AccountId=mid)
    api.create("Contact", LastName="without")
    answer = api.query(
        "SELECT LastName, Account.Name, Account.Parent.Name, Owner.Name FROM Contact c ORDER BY c.LastName"
    )
    base = "/services/data/v59.0/sobjects"
    with_parent, without = answer["records"]
    assert with_parent["Account"] == {
        "attributes": {"type": "Account", "url": f"{base}/Account/{mid}"},
        "Name": "mid",
        "Parent": {"attributes": {"type": "Account", "url": f"{base}/Account/{top}"}, "Name": "top"},
    }
    assert with_parent["Owner"]["Name"] == "Sandbox User"
    assert without["Account"] is None
    condition = "SELECT LastName FROM Contact WHERE Account.Parent.Name = 'top'"
    assert api.rows(condition) == [{"LastName": "with"}]
    assert api.rows("SELECT LastName FROM Contact WHERE Account.Name = null") == [{"LastName": "without"}]


def test_custom_relationships_go_by_their_r_name(api: Api, sandbox: SandboxServer) -> None:
    sandbox.control.put_field("Contact", "Partner__c", {"type": "reference", "to": "Account"})
    api.create("Account", Name="p", External_Key__c="p")
    api.create("Contact", LastName="x", Partner__r={"External_Key__c": "p"})
    assert api.query("SELECT Partner__r.Name FROM Contact")["records"][0]["Partner__r"]["Name"] == "p"


def test_order_limit_and_offset(accounts: Api) -> None:
    def ordered(clause: str) -> list[Any]:
        return [row["NumberOfEmployees"] for row in accounts.rows(f"SELECT NumberOfEmployees FROM Account {clause}")]

    assert ordered("ORDER BY NumberOfEmployees") == [None, None, -5, 10, 20]
    assert ordered("ORDER BY NumberOfEmployees ASC NULLS LAST") == [-5, 10, 20, None, None]
    assert ordered("ORDER BY NumberOfEmployees DESC NULLS LAST LIMIT 2") == [20, 10]
    assert ordered("ORDER BY NumberOfEmployees DESC NULLS LAST LIMIT 2 OFFSET 1") == [10, -5]
    assert ordered("LIMIT 0") == []
    by_two = accounts.rows("SELECT Name FROM Account ORDER BY Industry NULLS LAST, Name DESC")
    assert [row["Name"] for row in by_two] == ["beta", "Alpha", "Gamma", "Ünïcode", "Delta's \\ Ltd"]


def test_counts(accounts: Api) -> None:
    assert accounts.query("SELECT COUNT() FROM Account WHERE Industry != null") == {
        "totalSize": 3,
        "done": True,
        "records": [],
    }
    assert accounts.query("select count(Rating) from Account")["records"] == [
        {"attributes": {"type": "AggregateResult"}, "expr0": 2}
    ]


def test_field_groups_need_a_limit_but_for_standard(api: Api) -> None:
    api.create("Account", Name="a", External_Key__c="k")
    [row] = api.rows("SELECT FIELDS(ALL) FROM Account LIMIT 200")
    assert {"Id", "Name", "External_Key__c", "BillingAddress"} <= set(row)
    assert api.rows("SELECT FIELDS(CUSTOM) FROM Account LIMIT 1") == [{"External_Key__c": "k"}]
    assert "External_Key__c" not in api.rows("SELECT FIELDS(STANDARD) FROM Account")[0]
    for soql in ("SELECT FIELDS(ALL) FROM Account", "SELECT FIELDS(CUSTOM) FROM Account LIMIT 201"):
        error = api.get("/query", params={"q": soql}).json()[0]
        assert error["errorCode"] == "MALFORMED_QUERY"
        assert "LIMIT of at most 200" in error["message"]


def test_deleted_records_show_in_query_all_only(api: Api) -> None:
    record_id = api.create("Account", Name="a")
    api.delete(f"/sobjects/Account/{record_id}")
    soql = "SELECT Id, IsDeleted FROM Account"
    assert api.query(soql)["records"] == []
    [row] = api.get("/queryAll", params={"q": soql}).json()["records"]
    assert (row["Id"], row["IsDeleted"]) == (record_id, True)
    assert api.get("/queryAll", params={"q": "SELECT count() FROM Account"}).json()["totalSize"] == 1


class TestPaging:
    def fill(self, api: Api, number: int) -> None:
        for start in range(0, number, 200):
            records = [
                {"attributes": {"type": "Account"}, "Name": f"{at:05d}"}
                for at in range(start, min(start + 200, number))
            ]
            api.collection("POST", "", records)

    def pages(self, api: Api, sandbox: SandboxServer, soql: str, **headers: str) -> list[list[str]]:
        answer = api.query(soql, **headers)
        pages = [[row["Name"] for row in answer["records"]]]
        while "nextRecordsUrl" in answer:
            assert answer["done"] is False
            answer = api.get(sandbox.url + answer["nextRecordsUrl"]).json()
            pages.append([row["Name"] for row in answer["records"]])
        assert answer["done"] is True
        return pages

    def test_a_page_holds_2000_records_and_the_next_url_says_where_it_starts(
        self, api: Api, sandbox: SandboxServer
    ) -> None:
        self.fill(api, 2001)
        answer = api.query("SELECT Name FROM Account")
        assert (answer["totalSize"], len(answer["records"])) == (2001, 2000)
        assert answer["nextRecordsUrl"].startswith("/services/data/v59.0/query/0r8")
        assert answer["nextRecordsUrl"].endswith("-2000")
        assert [len(page) for page in self.pages(api, sandbox, "SELECT Name FROM Account LIMIT 2001")] == [2000, 1]
        assert [len(page) for page in self.pages(api, sandbox, "SELECT Name FROM Account LIMIT 2000")] == [2000]

    def test_the_batch_size_is_at_least_200(self, api: Api, sandbox: SandboxServer) -> None:
        self.fill(api, 450)
        for asked, sizes in (("10", [200, 200, 50]), ("300", [300, 150]), ("5000", [450])):
            options = {"Sforce-Query-Options": f"batchSize={asked}"}
            pages = self.pages(api, sandbox, "SELECT Name FROM Account ORDER BY Name DESC", **options)
            assert [len(page) for page in pages] == sizes
            assert [name for page in pages for name in page] == [f"{at:05d}" for at in reversed(range(450))]

    def test_the_control_can_make_pages_small(self, api: Api, sandbox: SandboxServer) -> None:
        self.fill(api, 7)
        sandbox.control.set_page_size(3)
        assert [len(page) for page in self.pages(api, sandbox, "SELECT Name FROM Account")] == [3, 3, 1]

    def test_a_later_page_shows_the_values_of_now_and_no_new_records(self, api: Api, sandbox: SandboxServer) -> None:
        self.fill(api, 3)
        sandbox.control.set_page_size(2)
        answer = api.query("SELECT Id, Name FROM Account ORDER BY Name")
        last = api.rows("SELECT Id FROM Account WHERE Name = '00002'")[0]["Id"]
        api.patch(f"/sobjects/Account/{last}", json={"Name": "changed"})
        api.create("Account", Name="99999")
        rest = api.get(sandbox.url + answer["nextRecordsUrl"]).json()
        assert [row["Name"] for row in rest["records"]] == ["changed"]
        assert rest["totalSize"] == 3

    def test_an_unknown_locator_is_refused(self, api: Api) -> None:
        for locator in ("0r8000000000000-2000", "junk"):
            response = api.get(f"/query/{locator}")
            assert response.status_code == 400
            assert response.json() == [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]


@pytest.mark.parametrize(
    "condition", ["Name = 'zoË'", "Name IN ('ZOË', 'x')", "Name NOT IN ('x', 'y') AND NOT Name IN ('Ärger')"]
)
def test_texts_are_compared_without_regard_to_case_in_every_alphabet(api: Api, condition: str) -> None:
    api.create("Account", Name="Zoë")
    found = api.get("/query", params={"q": f"SELECT Name FROM Account WHERE {condition}"}).json()
    assert [each["Name"] for each in found["records"]] == ["Zoë"]


def test_an_external_id_in_another_case_of_any_alphabet_is_the_same_record(api: Api) -> None:
    for key in ("Zoë", "ZOË"):
        record = {"attributes": {"type": "Account"}, "Name": key, "External_Key__c": key}
        body = {"records": [record]}
        (result,) = api.patch("/composite/sobjects/Account/External_Key__c", json=body).json()
        assert result["success"], result
    assert api.get("/query", params={"q": "SELECT Id FROM Account"}).json()["totalSize"] == 1


def test_updated_and_deleted_ids_of_a_window(api: Api, sandbox: SandboxServer) -> None:
    kept, gone = api.create("Account", Name="a"), api.create("Account", Name="b")
    sandbox.control.advance_clock(60)
    api.delete(f"/sobjects/Account/{gone}")
    sandbox.control.advance_clock(60)
    now = sandbox.sandbox.clock
    window = {"start": now.stamp_before(3600), "end": now.stamp_before(-3600)}
    updated = api.get("/sobjects/Account/updated/", params=window).json()
    assert updated == {"ids": [kept], "latestDateCovered": now.stamp()}
    deleted = api.get("/sobjects/Account/deleted", params=window).json()
    assert [each["id"] for each in deleted["deletedRecords"]] == [gone]
    assert set(deleted) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}
    narrow = {"start": now.stamp_before(30), "end": now.stamp_before(-3600)}
    assert api.get("/sobjects/Account/updated", params=narrow).json()["ids"] == []


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), ("junk", "2099-01-01T00:00:00Z"), ("2001-01-01", "2099-01-01")],
)
def test_bad_windows_are_invalid_replication_dates(api: Api, start: str, end: str) -> None:
    response = api.get("/sobjects/Account/updated", params={"start": start, "end": end})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_REPLICATION_DATE")


def test_conditions_beyond_measure_are_too_complicated(api: Api) -> None:
    nested = "(" * 1500 + "Name='a'" + ")" * 1500
    many = " OR ".join(["Id=null"] * 1001)
    for condition in (nested, many):
        response = api.get("/query", params={"q": f"SELECT Id FROM Account WHERE {condition}"})
        assert (response.status_code, response.json()[0]["errorCode"]) == (400, "QUERY_TOO_COMPLICATED")
