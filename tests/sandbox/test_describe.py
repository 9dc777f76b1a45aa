"""Describes: what the org says of itself, against facts of real orgs."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest

from syncbridge.sandbox.salesforce.org.describe import describe_object
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

KEYS = """
    aggregatable aiPredictionField autoNumber byteLength calculated calculatedFormula cascadeDelete caseSensitive
    compoundFieldName controllerName createable custom defaultValue defaultValueFormula defaultedOnCreate
    dependentPicklist deprecatedAndHidden digits displayLocationInDecimal encrypted externalId extraTypeInfo filterable
    filteredLookupInfo formulaTreatNullNumberAsZero groupable highScaleNumber htmlFormatted idLookup inlineHelpText
    label length mask maskType name nameField namePointing nillable permissionable picklistValues polymorphicForeignKey
    precision queryByDistance referenceTargetField referenceTo relationshipName relationshipOrder restrictedDelete
    restrictedPicklist scale searchPrefilterable soapType sortable type unique updateable
    writeRequiresMasterRead
"""
FIELD_KEYS = set(KEYS.split())
#: name, type, length, precision, scale, digits; nillable, createable, updateable, defaultedOnCreate
FACTS = {
    "Account": """
        Id id 18 0 0 0 ---d
        Name string 255 0 0 0 -cu-
        Type picklist 40 0 0 0 ncu-
        BillingStreet textarea 255 0 0 0 ncu-
        BillingLatitude double 0 18 15 0 ncu-
        BillingAddress address 0 0 0 0 n---
        Phone phone 40 0 0 0 ncu-
        Website url 255 0 0 0 ncu-
        AnnualRevenue currency 0 18 0 0 ncu-
        NumberOfEmployees int 0 0 0 8 ncu-
        Description textarea 32000 0 0 0 ncu-
        OwnerId reference 18 0 0 0 -cud
        IsDeleted boolean 0 0 0 0 ---d
        IsPartner boolean 0 0 0 0 --ud
        CreatedDate datetime 0 0 0 0 ---d
        SystemModstamp datetime 0 0 0 0 ---d
        LastActivityDate date 0 0 0 0 n---
        LastViewedDate datetime 0 0 0 0 n---""",
    "Contact": """
        LastName string 80 0 0 0 -cu-
        FirstName string 40 0 0 0 ncu-
        Name string 121 0 0 0 ----
        Email email 80 0 0 0 ncu-
        Birthdate date 0 0 0 0 ncu-
        AccountId reference 18 0 0 0 ncu-
        LeadSource picklist 255 0 0 0 ncu-""",
    "Lead": """
        Company string 255 0 0 0 -cu-
        Status picklist 255 0 0 0 -cud
        IsConverted boolean 0 0 0 0 -c-d
        EmailBouncedReason string 255 0 0 0 n-u-""",
    "Opportunity": """
        Name string 120 0 0 0 -cu-
        StageName picklist 255 0 0 0 -cu-
        CloseDate date 0 0 0 0 -cu-
        Amount currency 0 18 2 0 ncu-
        Probability percent 0 3 0 0 ncud
        ContactId reference 18 0 0 0 nc--""",
    "Case": """
        CaseNumber string 30 0 0 0 ---d
        Status picklist 40 0 0 0 ncud
        Comments textarea 4000 0 0 0 ncu-""",
}


def described(name: str) -> dict[str, Any]:
    org = load_org()
    target = org.find(name)
    assert target is not None
    return describe_object(org, target, "/services/data/v59.0")


def fields(name: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in described(name)["fields"]}


@pytest.mark.parametrize("name", ["Account", "Contact", "Lead", "Opportunity", "Case", "User", "Organization"])
def test_every_field_has_the_57_keys_of_a_real_describe(name: str) -> None:
    assert len(FIELD_KEYS) == 57
    assert all(set(each) == FIELD_KEYS for each in described(name)["fields"])


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, text in FACTS.items() for line in text.split("\n")[1:]]
)
def test_standard_fields_are_as_in_real_orgs(name: str, line: str) -> None:
    field, *expected = line.split()
    found = fields(name)[field]
    flags = "".join(
        letter if found[key] else "-"
        for letter, key in (("n", "nillable"), ("c", "createable"), ("u", "updateable"), ("d", "defaultedOnCreate"))
    )
    numbers = [str(found[key]) for key in ("length", "precision", "scale", "digits")]
    assert [found["type"], *numbers, flags] == expected


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("Account", {"Name"}),
        ("Contact", {"LastName"}),
        ("Lead", {"LastName", "Company"}),
        ("Opportunity", {"Name", "StageName", "CloseDate"}),
        ("Case", set()),
    ],
)
def test_what_a_create_must_give(name: str, required: set[str]) -> None:
    found = {
        each["name"]
        for each in described(name)["fields"]
        if each["createable"] and not each["nillable"] and not each["defaultedOnCreate"]
    }
    assert found == required


def test_the_external_id_is_like_a_real_one() -> None:
    for name in ("Account", "Contact", "Lead", "Opportunity", "Case"):
        key = fields(name)["External_Key__c"]
        shown = {each: key[each] for each in ("type", "length", "unique", "externalId", "idLookup", "caseSensitive")}
        assert shown == {
            "type": "string",
            "length": 191,
            "unique": True,
            "externalId": True,
            "idLookup": True,
            "caseSensitive": False,
        }


def test_who_is_found_by_what() -> None:
    lookups = {
        (name, each["name"])
        for name in ("Contact", "Lead", "Opportunity", "Case")
        for each in described(name)["fields"]
        if each["idLookup"] and not each["externalId"] and each["name"] != "Id"
    }
    assert lookups == {
        ("Contact", "Email"),
        ("Lead", "Email"),
        ("Opportunity", "Name"),
        ("Case", "CaseNumber"),
    }


def test_types_decide_what_can_be_filtered_sorted_and_grouped() -> None:
    account = fields("Account")
    shown = {
        name: tuple(account[name][key] for key in ("filterable", "sortable", "groupable", "aggregatable", "soapType"))
        for name in ("Name", "Description", "AnnualRevenue", "BillingAddress", "IsDeleted", "CreatedDate", "OwnerId")
    }
    assert shown == {
        "Name": (True, True, True, True, "xsd:string"),
        "Description": (False, False, False, False, "xsd:string"),
        "AnnualRevenue": (True, True, False, True, "xsd:double"),
        "BillingAddress": (True, False, False, False, "urn:address"),
        "IsDeleted": (True, True, True, False, "xsd:boolean"),
        "CreatedDate": (True, True, False, True, "xsd:dateTime"),
        "OwnerId": (True, True, True, True, "tns:ID"),
    }
    assert account["Name"]["byteLength"] == 765
    assert account["OwnerId"]["byteLength"] == 18


def test_picklists_restrictions_defaults_and_references() -> None:
    lead = fields("Lead")
    assert lead["Rating"]["picklistValues"][0] == {
        "active": True,
        "defaultValue": False,
        "label": "Hot",
        "validFor": None,
        "value": "Hot",
    }
    assert lead["Status"]["defaultValue"] == "Open - Not Contacted"
    assert [each["value"] for each in lead["Status"]["picklistValues"] if each["defaultValue"]] == [
        "Open - Not Contacted"
    ]
    assert lead["CleanStatus"]["restrictedPicklist"] is True
    assert lead["OwnerId"]["referenceTo"] == ["Group", "User"]
    assert lead["OwnerId"]["polymorphicForeignKey"] is True
    assert fields("Contact")["AccountId"]["relationshipName"] == "Account"


def test_children_say_whether_they_go_along() -> None:
    children = {(each["childSObject"], each["field"]): each for each in described("Account")["childRelationships"]}
    assert children["Contact", "AccountId"]["cascadeDelete"] is True
    assert children["Case", "AccountId"]["restrictedDelete"] is True
    assert children["Account", "ParentId"]["relationshipName"] == "ChildAccounts"


def test_describes_are_served_cached_and_compressed(api: Api) -> None:
    first = api.get("/sobjects/contact/describe/")
    assert first.headers["Content-Encoding"] == "gzip"
    assert first.json() == described("Contact")
    headers = {"If-Modified-Since": first.headers["Last-Modified"]}
    again = api.get("/sobjects/Contact/describe", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_changed_org_is_described_anew(api: Api, sandbox: SandboxServer) -> None:
    first = api.get("/sobjects/Contact/describe")
    sandbox.control.advance_clock(2)
    sandbox.control.remove_field("Contact", "Fax")
    headers = {"If-Modified-Since": first.headers["Last-Modified"]}
    again = api.get("/sobjects/Contact/describe", headers=headers)
    assert again.status_code == 200
    assert "Fax" not in {each["name"] for each in again.json()["fields"]}


def test_a_change_within_a_second_is_seen_and_a_later_date_is_good_enough(api: Api, sandbox: SandboxServer) -> None:
    first = api.get("/sobjects/Contact/describe").headers["Last-Modified"]
    later = format_datetime(parsedate_to_datetime(first) + timedelta(hours=1), usegmt=True)
    assert api.get("/sobjects", headers={"If-Modified-Since": later}).status_code == 304
    sandbox.control.remove_field("Contact", "Fax")
    assert api.get("/sobjects/Contact/describe", headers={"If-Modified-Since": first}).status_code == 200
    assert api.get("/sobjects", headers={"If-Unmodified-Since": first}).status_code == 412


def test_the_global_describe_lists_all_objects(api: Api) -> None:
    body = api.get("/sobjects").json()
    assert (body["encoding"], body["maxBatchSize"]) == ("UTF-8", 200)
    prefixes = {each["name"]: each["keyPrefix"] for each in body["sobjects"]}
    assert prefixes == {
        "Account": "001",
        "ApexClass": "01p",
        "ApexTrigger": "01q",
        "Case": "500",
        "Contact": "003",
        "Lead": "00Q",
        "Opportunity": "006",
        "Organization": "00D",
        "Profile": "00e",
        "RecordType": "012",
        "User": "005",
        "UserRole": "00E",
    }
    assert body["sobjects"][0]["urls"]["describe"] == "/services/data/v59.0/sobjects/Account/describe"


def test_limits_and_counts(api: Api, sandbox: SandboxServer) -> None:
    sandbox.control.set_usage(used=100, max=1000)
    assert api.get("/limits/").json()["DailyApiRequests"] == {"Max": 1000, "Remaining": 899}
    api.create("Lead", LastName="x", Company="c")
    counts = api.get("/limits/recordCount", params={"sObjects": "Lead,Contact,Nothing"}).json()
    assert counts == {"sObjects": [{"count": 1, "name": "Lead"}]}


def test_the_organization_and_its_user_are_there(api: Api) -> None:
    [organization] = api.rows("SELECT Name, IsSandbox, InstanceName, OrganizationType FROM Organization")
    assert organization["IsSandbox"] is True
    assert api.rows("SELECT Name, IsActive FROM User") == [{"Name": "Sandbox User", "IsActive": True}]
    assert api.get("/sobjects/Account").json()["objectDescribe"]["name"] == "Account"
    assert api.get("").json()["query"] == "/services/data/v59.0/query"
