"""Whatever a body or a parameter holds, the answer is a result or a refusal, never a breakdown of the server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.conftest import Api

BASE = "/services/data/v59.0"
WORDS = st.sampled_from(
    [
        *("Account", "Contact", "Contacts", "Name", "a", "@{a.id}", "@{a[0].id}", "%40%7Ba", "POST", "GET", "PATCH"),
        *(f"{BASE}/sobjects/Account", f"{BASE}/sobjects/Account/@{{a.id}}", f"{BASE}/query?q=SELECT+Id+FROM+Account"),
        *(
            "v59.0/limits",
            "v9x/limits",
            "v5.9.0/limits",
            "/services/data/v5.9.0/sobjects/Account",
            "\u00b2",
            "0018K0000009999QAA",
            "",
            "\x00",
            "\u00e9",
            "acme*",
            '"',
            "((",
            "\\",
            "Id",
        ),
    ]
)
KEYS = st.sampled_from(
    [
        *("records", "attributes", "type", "referenceId", "compositeRequest", "graphs", "graphId", "method", "url"),
        *("httpHeaders", "batchRequests", "richInput", "allOrNone", "haltOnError", "Name", "LastName", "Contacts"),
        *("Id", "body", "Account", "q", "in", "sobjects", "name", "fields", "where", "limit", "orderBy", "ids"),
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.floats(-1e9, 1e9), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=6,
)
SUBREQUESTS = st.fixed_dictionaries(
    {}, optional={"method": WORDS, "url": WORDS, "referenceId": WORDS, "body": VALUES, "httpHeaders": VALUES}
)
RECORDS = st.fixed_dictionaries(
    {"attributes": st.one_of(VALUES, st.fixed_dictionaries({"type": WORDS, "referenceId": WORDS}))},
    optional={"Name": VALUES, "Contacts": VALUES, "id": VALUES, "Parent": VALUES},
)
BODIES = st.one_of(
    VALUES,
    st.fixed_dictionaries({"compositeRequest": st.lists(SUBREQUESTS, max_size=3), "allOrNone": VALUES}),
    st.fixed_dictionaries(
        {
            "graphs": st.lists(
                st.fixed_dictionaries({"graphId": WORDS, "compositeRequest": st.lists(SUBREQUESTS, max_size=2)}),
                max_size=2,
            )
        }
    ),
    st.fixed_dictionaries({"batchRequests": st.lists(SUBREQUESTS, max_size=3), "haltOnError": VALUES}),
    st.fixed_dictionaries({"records": st.lists(RECORDS, max_size=3)}),
    st.fixed_dictionaries(
        {"q": WORDS}, optional={"in": VALUES, "sobjects": VALUES, "fields": VALUES, "overallLimit": VALUES}
    ),
)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/composite"),
        ("POST", "/composite/graph"),
        ("POST", "/composite/batch"),
        ("POST", "/composite/tree/Account"),
        ("POST", "/composite/sobjects"),
        ("PATCH", "/composite/sobjects"),
        ("PATCH", "/composite/sobjects/Account/External_Key__c"),
        ("POST", "/composite/sobjects/Account"),
        ("POST", "/parameterizedSearch"),
        ("POST", "/sobjects/Contact"),
    ],
)
@settings(max_examples=25)
@given(body=BODIES)
def test_odd_bodies_are_answered(api: Api, method: str, path: str, body: Any) -> None:
    response = api.request(method, path, json=body)
    assert response.status_code < 500, response.text
    assert response.json() is not None


@settings(max_examples=25)
@given(path=st.lists(WORDS, max_size=4), query=st.dictionaries(KEYS, WORDS, max_size=3))
def test_odd_paths_and_parameters_are_answered(api: Api, path: list[str], query: dict[str, str]) -> None:
    for start in ("/sobjects", "/search", "/parameterizedSearch", "/recent", "/composite/sobjects", "/query"):
        response = api.get("/".join([start, *(each.strip("/\x00") for each in path)]), params=query)
        assert response.status_code < 500, response.text


@settings(max_examples=25)
@given(words=st.lists(st.one_of(WORDS, st.text(max_size=8)), min_size=1, max_size=5))
def test_odd_searches_are_answered(api: Api, words: list[str]) -> None:
    for text in (f"FIND {{{' '.join(words)}}}", f"FIND {{acme}} RETURNING {' '.join(words)}", " ".join(words)):
        assert api.get("/search", params={"q": text}).status_code < 500
