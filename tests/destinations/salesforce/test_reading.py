"""Reading by id and by value: few calls, normal form, any spelling of names."""

from __future__ import annotations

import logging

import pytest

from syncbridge.destinations.base import Delivered
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.reading import LONGEST, literal, lookups
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.schemas import FieldKind, RemoteField

KEY = "External_Key__c"


def create(destination: SalesforceDestination, count: int, **fields: str) -> list[str]:
    records: list[Fields] = [{KEY: f"k{number}", "LastName": "Lovelace", **fields} for number in range(count)]
    results = destination.upsert("Contact", KEY, records)
    return [result.remote_id for result in results if isinstance(result, Delivered)]


def test_two_thousand_records_are_read_in_one_call(server: SandboxServer, destination: SalesforceDestination) -> None:
    ids = create(destination, 2001)
    found = destination.read("contact", ids, ["external_key__C", "LASTNAME"])
    assert server.control.calls("collections_retrieve") == 2
    assert [record and record.fields["external_key__C"] for record in found] == [f"k{number}" for number in range(2001)]
    assert found[0] is not None
    assert found[0].fields["LASTNAME"] == "Lovelace"


def test_an_id_that_never_was_is_none(destination: SalesforceDestination) -> None:
    assert destination.read("Contact", ["003000000000001AAA"], ["LastName"]) == [None]


def test_find_follows_all_pages(server: SandboxServer, destination: SalesforceDestination) -> None:
    ids = create(destination, 25, FirstName="Ada")
    server.control.set_page_size(10)
    found = destination.find("Contact", "FirstName", ["ada"])
    assert {record.remote_id for record in found["ada"]} == set(ids)
    assert server.control.calls("query_more") == 2


def test_find_of_many_values_takes_several_short_statements(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    ids = create(destination, 3)
    values = [f"k{number}" for number in range(3000)]
    found = destination.find("Contact", KEY, values)
    assert [record.remote_id for key in ("k0", "k1", "k2") for record in found[key]] == ids
    assert len(found) == 3
    paths = [each["path"] for each in server.control.requests() if each["route"] == "query"]
    assert len(paths) > 1
    assert max(map(len, paths)) < LONGEST + 200


def test_find_by_id(destination: SalesforceDestination) -> None:
    (remote_id,) = create(destination, 1)
    assert destination.find("Contact", "Id", [remote_id], ["LastName"])[remote_id][0].fields["LastName"] == "Lovelace"


def test_a_value_that_breaks_a_later_rule_is_read_as_it_is(
    server: SandboxServer, destination: SalesforceDestination
) -> None:
    (remote_id,) = create(destination, 1, LeadSource="Web")
    server.control.change_field("Contact", "LeadSource", restricted=True, values=("Phone",))
    destination.describe("Contact", refresh=True)
    (found,) = destination.read("Contact", [remote_id], ["LeadSource", "LastName"])
    assert found is not None
    assert found.fields == {"LeadSource": "Web", "LastName": "Lovelace"}


def test_values_that_are_looked_up_and_secrets_reach_no_log(
    server: SandboxServer, destination: SalesforceDestination, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    create(destination, 1)
    destination.find("Contact", "LastName", ["Lovelace"])
    assert "/query" in caplog.text
    assert "Lovelace" not in caplog.text
    assert server.credentials.client_secret not in caplog.text


def test_literals_are_spelled_for_their_field_and_cannot_end_the_text() -> None:
    text = RemoteField("Name", FieldKind.STRING)
    assert literal(text, "O'Hara \\ x\n") == "'O\\'Hara \\\\ x\\n'"
    assert literal(RemoteField("At", FieldKind.DATETIME), "2026-05-01T07:25:37.000+0000") == "2026-05-01T07:25:37.000Z"
    assert literal(RemoteField("On", FieldKind.DATE), "2026-05-01") == "2026-05-01"
    assert literal(RemoteField("Active", FieldKind.BOOLEAN), True) == "true"
    assert literal(RemoteField("Score", FieldKind.NUMBER), 12.5) == "12.5"


def test_every_value_is_in_exactly_one_statement() -> None:
    values = [f"värde {number}" for number in range(2000)]
    statements = list(lookups("Contact", RemoteField("Name", FieldKind.STRING), ["Id", "Name"], values))
    text = "".join(statements)
    assert all(text.count(f"'{value}'") == 1 for value in values)
    assert list(lookups("Contact", RemoteField("Name", FieldKind.STRING), ["Id"], [])) == []
