"""Describes as values. The shapes are those of real orgs, shortened."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from syncbridge.destinations.salesforce.describe import Descriptions, Names, described, field_of
from syncbridge.errors import SchemaDrift
from syncbridge.schemas import FieldKind


def field(name: str, type: str, **more: Any) -> dict[str, Any]:
    common = {
        "name": name, "type": type, "label": name.title(), "length": 0, "precision": 0, "scale": 0, "digits": 0,
        "createable": True, "updateable": True, "nillable": True, "defaultedOnCreate": False, "calculated": False,
        "unique": False, "externalId": False, "idLookup": False, "caseSensitive": False, "restrictedPicklist": False,
        "picklistValues": [], "referenceTo": [],
    }  # fmt: skip
    return common | more


ACCOUNT = {
    "name": "Account", "label": "Account", "createable": True, "updateable": True, "deletable": False,
    "fields": [
        field("Id", "id", length=18, createable=False, updateable=False, nillable=False, defaultedOnCreate=True),
        field("Name", "string", length=255, nillable=False),
        field("IsActive__c", "boolean", nillable=False),
        field("OwnerId", "reference", length=18, nillable=False, defaultedOnCreate=True, referenceTo=["User"]),
        field("AnnualRevenue", "currency", precision=18, scale=0),
        field("NumberOfEmployees", "int", digits=8),
        field("BillingLatitude", "double", precision=18, scale=15),
        field("Rating", "picklist", length=40, restrictedPicklist=True, picklistValues=[
            {"active": True, "value": "Hot"}, {"active": False, "value": "Tepid"}, {"active": True, "value": "Cold"}]),
        field("Key__c", "string", length=191, unique=True, externalId=True, idLookup=True),
        field("Owner_Name__c", "string", length=1300, calculated=True, createable=False, updateable=False),
        field("BillingAddress", "address", createable=False, updateable=False),
        field("Something__c", "type from the future"),
    ],
}  # fmt: skip


def test_a_describe_becomes_fields_that_mappings_understand() -> None:
    account = described(ACCOUNT)
    fields = account.fields
    assert not account.deletable
    assert fields["Name"].required
    assert fields["Name"].length == 255
    assert not fields["IsActive__c"].required
    assert not fields["OwnerId"].required
    assert fields["OwnerId"].refers_to == ("User",)
    assert (fields["AnnualRevenue"].kind, fields["AnnualRevenue"].precision, fields["AnnualRevenue"].scale) == (
        FieldKind.NUMBER,
        18,
        0,
    )
    assert (fields["NumberOfEmployees"].kind, fields["NumberOfEmployees"].precision) == (FieldKind.INTEGER, 8)
    assert fields["BillingLatitude"].scale == 15
    assert fields["Rating"].options == ("Hot", "Cold")
    assert fields["Rating"].restricted
    assert fields["Key__c"].unique
    assert fields["Key__c"].external_id
    assert fields["Owner_Name__c"].calculated
    assert fields["BillingAddress"].kind is fields["Something__c"].kind is FieldKind.OTHER


def test_names_are_found_in_any_spelling_and_listed_in_their_own() -> None:
    names = Names({"FirstName": 1, "Key__c": 2})
    assert names["firstname"] == names["FIRSTNAME"] == 1
    assert "KEY__C" in names
    assert "Key" not in names
    assert names.get("key__c") == 2
    assert names.get("missing") is None
    assert list(names) == ["FirstName", "Key__c"]
    with pytest.raises(KeyError):
        names["missing"]


def test_an_unknown_field_is_schema_drift_with_near_names() -> None:
    account = described(ACCOUNT)
    assert field_of(account, "annualrevenue").name == "AnnualRevenue"
    with pytest.raises(SchemaDrift) as drift:
        field_of(account, "AnualRevenue")
    assert "AnnualRevenue" in drift.value.hint


def test_each_object_is_described_once_until_asked_again() -> None:
    asked: list[str] = []

    def fetch(object: str) -> Any:
        asked.append(object)
        return ACCOUNT

    descriptions = Descriptions(fetch)
    descriptions.get("Account")
    descriptions.get("account")
    assert asked == ["Account"]
    descriptions.get("Account", refresh=True)
    descriptions.forget("ACCOUNT")
    descriptions.get("Account")
    assert asked == ["Account"] * 3


def test_threads_that_want_one_object_at_the_same_time_share_a_call() -> None:
    asked: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def fetch(object: str) -> Any:
        asked.append(object)
        begun.set()
        assert go_on.wait(30)
        return ACCOUNT

    descriptions = Descriptions(fetch)
    threads = [threading.Thread(target=descriptions.get, args=("Account",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert asked == ["Account"]
