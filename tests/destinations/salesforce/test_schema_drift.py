"""What the destination does when objects, fields or API versions are not as they were."""

from __future__ import annotations

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.errors import Remedy, SchemaDrift
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.destinations.salesforce.fix_salesforce import KEY, FakeTime, open_for, record


def test_a_field_that_went_away_is_named_and_the_description_renewed(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    assert "Title" in destination.describe("contact").fields
    server.control.remove_field("Contact", "Title")
    assert "Title" in destination.describe("Contact").fields
    (refused,) = destination.upsert("Contact", KEY, [record(1, Title="Countess")])
    assert isinstance(refused, Rejected)
    assert (refused.remedy, refused.fields) == (Remedy.SCHEMA, ("Title",))
    assert "Title" not in destination.describe("Contact").fields


def test_a_new_field_is_seen_after_refresh(server: SandboxServer, destination: SalesforceDestination) -> None:
    destination.describe("Contact")
    server.control.put_field("Contact", "Badge__c", "string(20)")
    assert "Badge__c" not in destination.describe("Contact").fields
    assert "Badge__c" in destination.describe("Contact", refresh=True).fields


def test_a_key_that_is_no_external_id_is_schema_drift(destination: SalesforceDestination) -> None:
    with pytest.raises(SchemaDrift):
        destination.upsert("Contact", "No_Such_Key__c", [{"No_Such_Key__c": "k1", "LastName": "x"}])


def test_reading_a_field_that_is_missing_names_near_ones(destination: SalesforceDestination) -> None:
    with pytest.raises(SchemaDrift) as drift:
        destination.read("Contact", ["003000000000001AAA"], ["FirstNam"])
    assert "FirstName" in drift.value.hint


@pytest.mark.parametrize("name", ["Contact where", "../limits", "Contact'", ""])
def test_a_name_that_could_be_more_than_a_name_is_refused(destination: SalesforceDestination, name: str) -> None:
    with pytest.raises(SchemaDrift):
        destination.describe(name)
    with pytest.raises(SchemaDrift):
        destination.upsert(name, KEY, [record(1)])


def test_verify_tells_of_an_api_version_that_the_org_does_not_offer(server: SandboxServer, fake_time: FakeTime) -> None:
    destination = open_for(server, fake_time, api_version="999.0")
    (finding,) = destination.verify()
    assert finding.severity == "error"
    assert "999.0" in finding.message
    destination.close()
