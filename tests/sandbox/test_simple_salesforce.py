"""The real simple-salesforce client, with each of its ways to log in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import api, exceptions
from simple_salesforce.format import format_soql

from syncbridge.sandbox.salesforce.server import SandboxServer

Salesforce: Any = api.Salesforce


def use(client: Any) -> None:
    client.Account.upsert("External_Key__c/k", {"Name": "Acme"})
    assert client.query("SELECT Name FROM Account")["records"][0]["Name"] == "Acme"


def test_logs_in_over_soap(sandbox: SandboxServer, https: requests.Session) -> None:
    known = sandbox.credentials
    client = Salesforce(
        username=known.user, password=known.password, security_token=known.security_token, session=https
    )
    assert f"http://{client.sf_instance}" == sandbox.url
    use(client)


def test_logs_in_with_password_and_consumer(sandbox: SandboxServer, https: requests.Session) -> None:
    known = sandbox.credentials
    client = Salesforce(
        username=known.user,
        password=known.password,
        consumer_key=known.client_id,
        consumer_secret=known.client_secret,
        session=https,
    )
    use(client)


def test_logs_in_with_client_credentials(sandbox: SandboxServer, https: requests.Session) -> None:
    known = sandbox.credentials
    client = Salesforce(
        consumer_key=known.client_id, consumer_secret=known.client_secret, domain="acme.my", session=https
    )
    use(client)


def test_logs_in_with_jwt(sandbox: SandboxServer, https: requests.Session) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    known = sandbox.credentials
    use(Salesforce(username=known.user, consumer_key=known.client_id, privatekey=key.decode(), session=https))


def test_reports_a_wrong_password(sandbox: SandboxServer, https: requests.Session) -> None:
    with pytest.raises(exceptions.SalesforceAuthenticationFailed, match=r"INVALID_LOGIN.*Invalid username, password"):
        Salesforce(username=sandbox.credentials.user, password="x", security_token="y", session=https)


def test_pages_describes_and_counts_its_quota(sandbox: SandboxServer, https: requests.Session) -> None:
    client = Salesforce(instance_url=sandbox.url, session_id=sandbox.credentials.token, session=https, version="60.0")
    for name in "abc":
        client.Contact.create({"LastName": name})
    sandbox.control.set_page_size(2)
    assert [row["LastName"] for row in client.query_all_iter("SELECT LastName FROM Contact ORDER BY LastName")] == [
        "a",
        "b",
        "c",
    ]
    assert client.Contact.describe()["keyPrefix"] == "003"
    assert {each["name"] for each in client.describe()["sobjects"]} >= {"Account", "Contact", "Lead"}
    assert client.api_usage["api-usage"].total == 15000
    assert client.query(format_soql("SELECT Id FROM Contact WHERE LastName = {}", "it's"))["totalSize"] == 0
    assert client.limits()["DailyApiRequests"]["Max"] == 15000


def test_sees_refusals_as_its_own_errors(sandbox: SandboxServer, https: requests.Session) -> None:
    client = Salesforce(instance_url=sandbox.url, session_id=sandbox.credentials.token, session=https)
    with pytest.raises(exceptions.SalesforceMalformedRequest, match="REQUIRED_FIELD_MISSING"):
        client.Contact.create({})
    sandbox.control.expire_tokens()
    with pytest.raises(exceptions.SalesforceExpiredSession, match="INVALID_SESSION_ID"):
        client.query("SELECT Id FROM Contact")


def test_searches_composes_and_reads_change_feeds(sandbox: SandboxServer, https: requests.Session) -> None:
    client = Salesforce(instance_url=sandbox.url, session_id=sandbox.credentials.token, session=https, version="60.0")
    url = "/services/data/v60.0/sobjects/Account"
    parts = [{"method": "POST", "url": url, "referenceId": "a", "body": {"Name": "Acme"}}]
    [created] = client.restful("composite", method="POST", json={"compositeRequest": parts})["compositeResponse"]
    record_id = created["body"]["id"]
    assert client.quick_search("Acme")["searchRecords"][0]["Id"] == record_id
    assert client.search("FIND {nobody} RETURNING Account")["searchRecords"] == []
    sandbox.control.advance_clock(180)
    window = (sandbox.sandbox.clock.now() - timedelta(minutes=9), sandbox.sandbox.clock.now())
    assert client.Account.updated(*window)["ids"] == [record_id]
    client.Account.delete(record_id)
    sandbox.control.advance_clock(60)
    window = (window[0], sandbox.sandbox.clock.now())
    assert [each["id"] for each in client.Account.deleted(*window)["deletedRecords"]] == [record_id]
