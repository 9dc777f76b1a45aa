"""Which org a login reached, read from its answer."""

from __future__ import annotations

import pytest

from syncbridge.destinations.salesforce.organization import organization

ORG, LONG = "00D8K0000000001", "00D8K0000000001UAA"
LOGIN = "https://login.salesforce.com/id"


@pytest.mark.parametrize(
    ("token", "answer", "expected"),
    [
        ("opaque", {"id": f"{LOGIN}/{LONG}/0058K0000000001QAA"}, LONG),
        ("opaque", {"id": f"{LOGIN}/{ORG}/0058K0000000001"}, LONG),
        (f"{ORG}!AQ8AQ", {}, LONG),
        (f"{ORG}!AQ8AQ", {"id": f"{LOGIN}/00D8K0000000002EAA/005"}, "00D8K0000000002EAA"),
        ("eyJhbGciOi.eyJzdWIi.c2ln", {}, None),
        (f"{ORG}AQ8AQ", {"id": None}, None),
        ("opaque", {"id": "https://example.com/elsewhere"}, None),
    ],
)
def test_answers_and_tokens(token: str, answer: dict[str, object], expected: str | None) -> None:
    assert organization(token, answer) == expected
