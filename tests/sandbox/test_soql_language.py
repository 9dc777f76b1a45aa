"""More of SOQL: semi-joins, references to several objects, TYPEOF, functions of values, escapes, clauses, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.soql.parser import parse
from syncbridge.sandbox.salesforce.soql.sql import compile_query
from tests.sandbox.conftest import Api
from tests.sandbox.test_soql import NOW, refused


def found(api: Api, soql: str) -> list[str]:
    """Return the first selected value of each row."""
    return [next(iter(row.values())) for row in api.rows(soql)]


@pytest.fixture
def people(api: Api) -> Api:
    """Accounts one, two, three; contacts of the first two and of none; an opportunity of the second."""
    one, two, _ = [api.create("Account", Name=name) for name in ("one", "two", "three")]
    api.create("Contact", LastName="ada", AccountId=one, Email="ada@example.com")
    api.create("Contact", LastName="bob", AccountId=two)
    api.create("Contact", LastName="zed")
    api.create("Opportunity", Name="deal", StageName="New", CloseDate="2026-05-01", AccountId=two, Amount=1234.5)
    return api


class TestSemiJoins:
    @pytest.mark.parametrize(
        ("condition", "names"),
        [
            ("Id IN (SELECT AccountId FROM Contact)", ["one", "two"]),
            ("Id NOT IN (SELECT AccountId FROM Contact)", ["three"]),
            ("Id IN (SELECT AccountId FROM Contact WHERE Email != null)", ["one"]),
            ("Id IN (SELECT c.Account.Id FROM Contact c WHERE c.Account.Name = 'two')", ["two"]),
            (
                "Name != 'x' AND Id IN (SELECT AccountId FROM Contact WHERE LastName > 'a') AND "
                "Id NOT IN (SELECT AccountId FROM Opportunity WHERE Amount > 1000) AND Name LIKE 'o%'",
                ["one"],
            ),
        ],
    )
    def test_they_select_parents_by_their_children(self, people: Api, condition: str, names: list[str]) -> None:
        assert found(people, f"SELECT Name FROM Account WHERE {condition}") == names

    def test_they_select_children_by_their_parents_and_by_siblings(self, people: Api) -> None:
        soql = "SELECT LastName FROM Contact WHERE AccountId "
        assert found(people, soql + "IN (SELECT Id FROM Account WHERE Name = 'one')") == ["ada"]
        assert found(people, soql + "IN (SELECT AccountId FROM Opportunity)") == ["bob"]
        assert found(people, soql + "NOT IN (SELECT Id FROM Account WHERE Name = 'one')") == ["bob", "zed"]

    @pytest.mark.parametrize(
        ("condition", "message"),
        [
            ("Name = 'x' OR Id IN (SELECT AccountId FROM Contact)", "are not allowed with the 'OR' operator"),
            (
                "Name = 'x' AND (Name = 'y' OR Id IN (SELECT AccountId FROM Contact))",
                "are only allowed at the top level WHERE expressions and not in nested WHERE expressions.",
            ),
            ("NOT Id IN (SELECT AccountId FROM Contact)", "are only allowed at the top level WHERE expressions"),
            (
                " AND ".join(["Id IN (SELECT AccountId FROM Contact)"] * 3),
                "Maximum 2 semi join sub-selects are allowed",
            ),
            (
                "Id IN (SELECT AccountId FROM Contact WHERE Id IN (SELECT ContactId FROM Case))",
                "Nesting of semi join sub-selects is not supported",
            ),
            ("Id IN (SELECT ParentId FROM Account)", "inner and outer selects should not be on the same object type"),
            ("Name IN (SELECT AccountId FROM Contact)", "should be an id field, cannot use: 'Name'"),
            ("Parent.Id IN (SELECT AccountId FROM Contact)", "should be an id field, cannot use: 'Parent.Id'"),
            ("Id IN (SELECT LastName FROM Contact)", "inner select field 'LastName'"),
            ("Id IN (SELECT ReportsToId FROM Contact)", "should point to the same object type"),
            (
                "Id IN (SELECT Account.Parent.Id FROM Contact)",
                "inner select field cannot have more than one level of relationships",
            ),
            ("Id IN (SELECT Id, AccountId FROM Contact)", "exactly one field"),
            ("Id IN (SELECT AccountId FROM Contact LIMIT 5)", "LIMIT"),
        ],
    )
    def test_their_limits(self, condition: str, message: str) -> None:
        code, text = refused(f"SELECT Id FROM Account WHERE {condition}")
        assert code == "MALFORMED_QUERY"
        assert message in text.splitlines()[-1]


class TestReferencesToSeveralObjects:
    @pytest.fixture(autouse=True)
    def visits(self, people: Api, sandbox: SandboxServer) -> None:
        """Records that are about an account, an opportunity, or nothing."""
        sandbox.control.put_object(
            "Visit__c",
            {"fields": {"What__c": {"type": "reference", "to": ["Account", "Opportunity"], "relationship": "What__r"}}},
        )
        about = [people.rows(f"SELECT Id FROM {each} WHERE Name IN ('one', 'deal')")[0]["Id"] for each in
                 ("Account", "Opportunity")]  # fmt: skip
        for name, target in (("a", about[0]), ("o", about[1]), ("n", None)):
            people.create("Visit__c", Name=name, What__c=target)

    def test_they_show_what_they_lead_to_as_a_name_with_its_type(self, people: Api) -> None:
        rows = people.rows("SELECT Name, What__r.Name, What__r.Type FROM Visit__c ORDER BY Name DESC")
        assert [row["What__r"] and (row["What__r"]["Name"], row["What__r"]["Type"]) for row in rows] == [
            ("deal", "Opportunity"), None, ("one", "Account"),
        ]  # fmt: skip
        attributes = rows[0]["What__r"]["attributes"]
        assert attributes["type"] == "Name"
        assert "/sobjects/Opportunity/006" in attributes["url"]

    def test_they_filter_and_sort_by_name_and_type(self, people: Api) -> None:
        assert found(people, "SELECT Name FROM Visit__c WHERE What__r.Type = 'Account'") == ["a"]
        assert found(people, "SELECT Name FROM Visit__c WHERE What__r.Type IN ('Account', 'Opportunity')") == ["a", "o"]
        assert found(people, "SELECT Name FROM Visit__c WHERE What__r.Name = 'DEAL'") == ["o"]
        assert found(people, "SELECT Name FROM Visit__c ORDER BY What__r.Name DESC NULLS LAST") == ["a", "o", "n"]

    def test_typeof_chooses_fields_by_the_object(self, people: Api) -> None:
        branches = "WHEN Account THEN Name, Industry WHEN Opportunity THEN Amount"
        soql = "SELECT Name, TYPEOF What__r {} END, Id FROM Visit__c"
        a, o, n = (row["What__r"] for row in people.rows(soql.format(branches)))
        assert ({k: a[k] for k in ("Name", "Industry")}, a["attributes"]["type"]) == (
            {"Name": "one", "Industry": None},
            "Account",
        )
        assert (o["Amount"], o["attributes"]["type"], n) == (1234.5, "Opportunity", None)
        a, o, n = (row["What__r"] for row in people.rows(soql.format("WHEN Opportunity THEN Amount ELSE Name, Type")))
        assert (a["Name"], a["Type"], a["attributes"]["type"]) == ("one", "Account", "Name")
        assert (set(o), n) == ({"attributes", "Amount"}, None)
        assert [row["What__r"] is None for row in people.rows(soql.format("WHEN Opportunity THEN Amount"))] == [
            True, False, True,
        ]  # fmt: skip

    def test_the_owner_of_a_lead_is_such_a_reference(self, people: Api) -> None:
        people.create("Lead", LastName="l", Company="c")
        [lead] = people.rows("SELECT Owner.Name, Owner.Email FROM Lead WHERE Owner.Type = 'User'")
        assert (lead["Owner"]["attributes"]["type"], lead["Owner"]["Name"]) == ("Name", "Sandbox User")
        [lead] = people.rows("SELECT TYPEOF Owner WHEN Group THEN Name WHEN User THEN Alias END FROM Lead")
        assert (lead["Owner"]["attributes"]["type"], lead["Owner"]["Alias"]) == ("User", "sandbox")


@pytest.mark.parametrize(
    ("soql", "message"),
    [
        ("SELECT TYPEOF Account WHEN Account THEN Name END FROM Contact", "TYPEOF is for relationships to several"),
        ("SELECT TYPEOF Owner WHEN Contact THEN Name END FROM Lead", "Owner does not refer to Contact"),
        ("SELECT Owner.Name, TYPEOF Owner WHEN User THEN Name END FROM Lead", "Owner is selected twice"),
        ("SELECT TYPEOF Owner WHEN User THEN Name END, Owner.Name FROM Lead", "TYPEOF already"),
        ("SELECT TYPEOF Owner ELSE Name END FROM Lead", "unexpected token: 'ELSE'"),
        ("SELECT Id FROM Contact ALL ROWS", "ALL ROWS not allowed in this context"),
        ("SELECT Id FROM Contact WHERE Name = :name", "Bind variables only allowed in Apex code"),
        (r"SELECT Id FROM Contact WHERE Name = 'a\qb'", r"Illegal character sequence '\q' in string literal."),
        (r"SELECT Id FROM Contact WHERE Name = 'a\%b'", r"Illegal character sequence '\%' in string literal."),
        (r"SELECT Id FROM Contact WHERE Name = '\u12'", r"Illegal character sequence '\u' in string literal."),
        ("SELECT Id FROM Opportunity WHERE Amount > EUR500", "orgs with several currencies"),
        ("SELECT convertCurrency(Amount) FROM Opportunity", "orgs with several currencies"),
        ("SELECT Id FROM Contact USING SCOPE team", "scope team is not supported by the sandbox"),
        ("SELECT Id FROM Contact WITH DATA CATEGORY a AT b", "DATA CATEGORY is not supported by the sandbox"),
        ("SELECT DISTANCE(Id, Id, 'mi') FROM Contact", "DISTANCE() is not supported by the sandbox"),
        ("SELECT CALENDAR_YEAR(CreatedDate) FROM Contact", "only with GROUP BY"),
        ("SELECT Id FROM Contact WHERE FORMAT(Name) = 'x'", "FORMAT() is for the SELECT clause only"),
        ("SELECT Account.Name, Account.Name FROM Contact", "duplicate field selected: Account.Name"),
        ("SELECT FIELDS(STANDARD), Id FROM Contact", "duplicate field selected: Id"),
        ("SELECT Account.Parent.Parent.Parent.Parent.Parent.Name FROM Contact", "more than 5 levels up"),
    ],
)
def test_what_is_refused_as_malformed(soql: str, message: str) -> None:
    code, text = refused(soql)
    assert code == "MALFORMED_QUERY"
    assert message in text.splitlines()[-1]


def test_at_most_55_parents() -> None:
    org = load_org()
    ref = org.objects["contact"].by_name["accountid"]
    for at in range(56):
        org.put_field("Contact", replace(ref, name=f"R{at}__c", relationship=f"R{at}__r", children=None))

    def soql(number: int) -> str:
        return "SELECT " + ", ".join(f"R{at}__r.Name" for at in range(number)) + " FROM Contact"

    assert len(compile_query(org, parse(soql(55)), NOW).root.parents) == 55
    with pytest.raises(Refusal, match="55 parents"):
        compile_query(org, parse(soql(56)), NOW)


def test_the_place_of_an_error_is_shown_between_whole_words() -> None:
    """As in messages of real orgs: whole words on both sides, as many as make 30 characters."""
    fields = "Id,Name,Industry,Website,BillingStreet,BillingCity,Nope,Phone,Fax,ShippingStreet,ShippingCity,Type"
    code, text = refused(f"SELECT {fields} FROM Account")
    assert code == "INVALID_FIELD"
    assert text.splitlines()[1:4] == [
        "Website,BillingStreet,BillingCity,Nope,Phone,Fax,ShippingStreet,",
        " " * 34 + "^",
        "ERROR at Row:1:Column:59",
    ]


def test_strings_have_escapes(people: Api) -> None:
    assert found(people, r"SELECT LastName FROM Contact WHERE LastName = '\u0061da'") == ["ada"]
    assert found(people, r"SELECT LastName FROM Contact WHERE LastName LIKE '\u0061d_'") == ["ada"]
    people.create("Contact", LastName="tab\t100%_\"'\\x")
    for condition in (r"= 'tab\t100%_\"\'\\x'", r"LIKE 'TAB\T100\%\_%'", r"LIKE '%\\x'"):
        assert len(found(people, f"SELECT LastName FROM Contact WHERE LastName {condition}")) == 1, condition
    assert found(people, r"SELECT LastName FROM Contact WHERE LastName LIKE 'tab\t100\_%'") == []
    people.create("Contact", LastName="Zoë")
    assert found(people, "SELECT LastName FROM Contact WHERE LastName LIKE 'ZOË%'") == ["Zoë"]


def test_keywords_names_and_aliases_come_in_any_case(people: Api) -> None:
    soql = (
        "select c.lastname, a.NAME from CONTACT as c, c.account a where a.name = 'ONE' order by A.Name desc nulls last"
    )
    [row] = people.rows(soql)
    assert (row["LastName"], row["Account"]["Name"]) == ("ada", "one")


def test_labels_and_formatted_values(people: Api) -> None:
    [row] = people.rows("SELECT toLabel(StageName), FORMAT(Amount) shown, Amount, FORMAT(CloseDate) FROM Opportunity")
    assert row == {"StageName": "New", "shown": "$1,234.50", "Amount": 1234.5, "CloseDate": "5/1/2026"}
    assert found(people, "SELECT Name FROM Opportunity WHERE toLabel(StageName) = 'new'") == ["deal"]
    [row] = people.rows("SELECT FORMAT(MAX(Amount)) most, FORMAT(MIN(Amount)) FROM Opportunity")
    assert row == {"most": "$1,234.50", "expr0": "$1,234.50"}


@pytest.mark.parametrize(
    "clauses",
    [
        "USING SCOPE everything", "USING SCOPE mine", "WHERE Id != null WITH SECURITY_ENFORCED", "WITH USER_MODE",
        "WITH SYSTEM_MODE ORDER BY Id", "LIMIT 5 FOR VIEW", "FOR REFERENCE", "FOR UPDATE", "FOR VIEW UPDATE TRACKING",
    ],
)  # fmt: skip
def test_clauses_that_change_nothing_for_the_one_user(people: Api, clauses: str) -> None:
    assert found(people, f"SELECT Name FROM Account {clauses}") == ["one", "two", "three"]


def test_the_scope_mine_leaves_out_what_others_own(people: Api, sandbox: SandboxServer) -> None:
    [row] = people.rows("SELECT Id FROM Account WHERE Name = 'two'")
    sandbox.control.set_values("Account", row["Id"], {"OwnerId": "005000000000001AAA"})
    assert found(people, "SELECT Name FROM Account USING SCOPE mine") == ["one", "three"]
