"""Search by SOSL and by parameters."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from syncbridge.sandbox.salesforce.call import Call, Unfinished
from syncbridge.sandbox.salesforce.rest import search
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [each["attributes"]["url"].rpartition("/")[2] for each in records]


def find(api: Api, text: str) -> list[dict[str, Any]]:
    response = api.get("/search/", params={"q": text})
    assert response.status_code == 200, response.text
    records: list[dict[str, Any]] = response.json()["searchRecords"]
    return records


@pytest.fixture
def people(api: Api) -> dict[str, str]:
    """Ids of an account and three contacts."""
    return {
        "acme": api.create("Account", Name="Acme Import", Phone="555-1234"),
        "ada": api.create("Contact", FirstName="Ada", LastName="Lovelace", Email="ada@example.com"),
        "zoe": api.create("Contact", FirstName="Zoé", LastName="Acme", External_Key__c="K-17"),
        "bob": api.create("Contact", FirstName="Bob", LastName="O'Hara", Title="Acme: 100%_sure"),
    }


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("acme", ["acme", "zoe", "bob"]),
        ("ACME import", ["acme"]),
        ('"Acme Import"', ["acme"]),
        ('"Import Acme"', []),
        ("ac*", ["acme", "zoe", "bob"]),
        ("acm", []),
        ("acm?", ["acme", "zoe", "bob"]),
        ("acme AND NOT import", ["zoe", "bob"]),
        ("lovelace OR import", ["acme", "ada"]),
        ("ada@example.com", ["ada"]),
        ("ada\\@example.com", ["ada"]),
        ("K-17", ["zoe"]),
        ("ZOÉ", ["zoe"]),
        ("O\\'Hara", ["bob"]),
        ("100%_sure", ["bob"]),
        ("1000_sure", []),
    ],
)
def test_words_are_found_as_a_whole_and_in_any_case(
    api: Api, people: dict[str, str], term: str, found: list[str]
) -> None:
    assert ids(find(api, f"FIND {{{term}}} RETURNING Account, Contact")) == [people[each] for each in found]


@pytest.mark.parametrize(
    ("group", "found"), [("ALL", ["acme", "zoe", "bob"]), ("NAME", ["acme", "zoe"]), ("EMAIL", []), ("PHONE", [])]
)
def test_groups_of_fields_narrow_a_search(api: Api, people: dict[str, str], group: str, found: list[str]) -> None:
    assert ids(find(api, f"FIND {{acme}} IN {group} FIELDS")) == [people[each] for each in found]


def test_returning_chooses_fields_conditions_order_and_number(api: Api, people: dict[str, str]) -> None:
    text = (
        "find {acme} in all fields returning Contact(Id, LastName, Account.Name WHERE LastName != 'x, (LIMIT 1)' "
        "ORDER BY LastName DESC LIMIT 1), Account(Name)"
    )
    contact, account = find(api, text)
    assert (contact["LastName"], contact["Account"]) == ("O'Hara", None)
    assert account["Name"] == "Acme Import"
    assert set(find(api, "FIND {acme}")[0]) == {"attributes", "Id"}
    assert len(find(api, "FIND {acme} RETURNING Contact, Account LIMIT 2")) == 2


def test_deleted_records_are_not_found(api: Api, people: dict[str, str]) -> None:
    api.delete(f"/sobjects/Contact/{people['ada']}")
    assert find(api, "FIND {lovelace}") == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("FIND {a}", "MALFORMED_SEARCH"),
        ("FIND {**}", "MALFORMED_SEARCH"),
        ("FIND {acme} IN MANY FIELDS", "MALFORMED_SEARCH"),
        ("FIND {acme} RETURNING", "MALFORMED_SEARCH"),
        ("FIND {acme} RETURNING Contact(Id", "MALFORMED_SEARCH"),
        ("FIND {acme} WITH NETWORK = 'x'", "MALFORMED_SEARCH"),
        ("FIND {(acme)}", "MALFORMED_SEARCH"),
        ("SELECT Id FROM Contact", "MALFORMED_SEARCH"),
        ("", "MALFORMED_SEARCH"),
        ("FIND {acme} RETURNING Nothing", "INVALID_TYPE"),
        ("FIND {acme} RETURNING Contact(Nothing)", "INVALID_FIELD"),
    ],
)
def test_a_search_that_cannot_be_read_is_refused(api: Api, people: dict[str, str], text: str, code: str) -> None:
    response = api.get("/search", params={"q": text})
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, code)


def test_before_v37_a_search_answers_a_bare_list(api: Api, sandbox: SandboxServer, people: dict[str, str]) -> None:
    response = api.get(f"{sandbox.url}/services/data/v36.0/search", params={"q": "FIND {lovelace}"})
    assert ids(response.json()) == [people["ada"]]


def test_parameters_in_the_url_search_by_email_or_external_id(api: Api, people: dict[str, str]) -> None:
    query = {"q": "ada@example.com", "sobject": "Contact", "Contact.fields": "id,name", "Contact.limit": "10"}
    [found] = api.get("/parameterizedSearch/", params=query).json()["searchRecords"]
    assert (found["Id"], found["Name"]) == (people["ada"], "Ada Lovelace")
    assert ids(api.get("/parameterizedSearch", params={"q": "K-17"}).json()["searchRecords"]) == [people["zoe"]]


def test_parameters_in_a_body_say_the_same_and_more(api: Api, people: dict[str, str]) -> None:
    body = {
        "q": "acme",
        "in": "ALL",
        "fields": ["id"],
        "sobjects": [
            {"name": "Contact", "fields": ["id", "lastname"], "where": "LastName like 'A%'"},
            {"name": "Account"},
        ],
        "overallLimit": 100,
    }
    found = api.post("/parameterizedSearch", json=body).json()["searchRecords"]
    assert ids(found) == [people["zoe"], people["acme"]]
    assert found[0]["LastName"] == "Acme"
    one = api.post("/parameterizedSearch", json=body | {"overallLimit": 1}).json()["searchRecords"]
    assert ids(one) == [people["zoe"]]
    refused = api.post("/parameterizedSearch", json={"sobjects": [{"name": "Contact"}]})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "MALFORMED_SEARCH")


def test_others_have_their_turn_while_a_search_reads_through_many_records(
    api: Api, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = [api.create("Contact", LastName=name) for name in ("Ada", "Bob", "Ada", "Bob", "Ada")]
    monkeypatch.setattr(search, "SLICE", 2)
    asked = {"q": "FIND {Ada} RETURNING Contact"}
    call = Call(sandbox.sandbox, "GET", "", "", {"version": "59.0"}, asked, headers={}, body=b"", server="")
    for _ in range(2):
        with pytest.raises(Unfinished), sandbox.sandbox.lock:
            search.search(call)
        created.append(api.create("Contact", LastName="Ada"))
    with sandbox.sandbox.lock:
        reply = search.search(call)
    found = ids(json.loads(reply.body)["searchRecords"])
    assert found[:3] == created[:5:2]
    assert set(found) <= {*created[::2], *created[5:]}


def test_a_search_in_slices_finds_the_same_alone_and_in_a_batch(
    api: Api, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "FIND {lovelace OR ada} RETURNING Contact, Account"
    whole = find(api, text)
    monkeypatch.setattr(search, "SLICE", 1)
    assert find(api, text) == whole
    batch = {"batchRequests": [{"method": "GET", "url": f"v59.0/search?q={quote(text)}"}]}
    [result] = api.post("/composite/batch", json=batch).json()["results"]
    assert result == {"statusCode": 200, "result": {"searchRecords": whole}}
