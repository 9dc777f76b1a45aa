"""Salesforce's answers, by remedy. The shapes and wordings are those of real answers."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.destinations.salesforce.errors import RULES, is_gone, refusal, rejected
from syncbridge.errors import (
    LoginRefused,
    NeedsOperator,
    QuotaExhausted,
    RateLimited,
    Remedy,
    RetryLater,
    SchemaDrift,
    SyncbridgeError,
)


def row(code: str, message: str, fields: list[str] | None = None) -> dict[str, Any]:
    return {"statusCode": code, "message": message, "fields": fields or []}


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records: 0015500", Remedy.RETRY),
        ("REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", Remedy.RECORD),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", Remedy.AFTER_PARENT),
        ("INVALID_FIELD", "No such column 'foo' on sobject of type Bar", Remedy.SCHEMA),
        (
            "INVALID_FIELD",
            "Foreign key external ID: 7 not found for field Ext__c in entity Account",
            Remedy.AFTER_PARENT,
        ),
        ("ENTITY_IS_DELETED", "entity is deleted", Remedy.GONE),
        ("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", Remedy.RECORD),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyTrigger: UNABLE_TO_LOCK_ROW, unable to obtain", Remedy.RETRY),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyTrigger: Too many SOQL queries: 101", Remedy.RETRY_SMALLER),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyTrigger: execution of BeforeInsert", Remedy.RECORD),
        ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", Remedy.WAIT),
        ("SOMETHING_NEW", "whatever", Remedy.RECORD),
    ],
)
def test_a_refused_row_has_the_remedy_of_its_code(code: str, message: str, remedy: Remedy) -> None:
    assert rejected(row(code, message)).remedy is remedy


def test_a_duplicate_names_the_record_that_holds_the_value() -> None:
    message = "duplicate value found: Person_Key__c duplicates value on record with id: 0034S000005YJVl"
    found = rejected(row("DUPLICATE_VALUE", message))
    assert (found.remedy, found.remote_id) == (Remedy.ADOPT, "0034S000005YJVlQAO")
    assert found.fields == ("Person_Key__c",)


def test_a_duplicate_that_names_nobody_is_no_adoption() -> None:
    assert rejected(row("DUPLICATE_VALUE", "duplicate value found: <unknown>")).remedy is Remedy.RECORD
    twice = rejected(row("DUPLICATE_VALUE", "Duplicate external id specified: ada@example.com"))
    assert (twice.remedy, "ada" in twice.message) == (Remedy.RETRY, False)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INVALID_EMAIL_ADDRESS", "email_field: invalid email address: SECRET"),
        ("STRING_TOO_LONG", "Billing City: data value too large: SECRET, Metropolitan (SECRET) (max length=40)"),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Status: bad value for restricted picklist field: SECRET"),
        ("MALFORMED_ID", "Account ID: id value of incorrect type: SECRET"),
        ("NUMBER_OUTSIDE_VALID_RANGE", "Amount: value outside of valid range on numeric field: SECRET"),
        ("INVALID_TYPE_ON_FIELD_IN_RECORD", "Birthdate: value not of required type: SECRET"),
        (
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of date from VALUE_STRING value SECRET or request may be missing a required"
            " field at [line:1, column:80]",
        ),
        ("INVALID_FIELD", "Foreign key external ID: SECRET not found for field Ext__c in entity Account"),
        ("FIELD_INTEGRITY_EXCEPTION", "There's a problem with this state: Please select one from the list: SECRET"),
        ("SOMETHING_NEW", "the value 'SECRET' and \"SECRET\" of SECRET@example.com are wrong"),
    ],
)
def test_values_are_cut_out_of_messages(code: str, message: str) -> None:
    found = rejected(row(code, message))
    assert "SECRET" not in found.message
    assert "…" in found.message
    assert found.message[:5] == message[:5] or code in ("SOMETHING_NEW", "INVALID_FIELD")


def test_names_of_fields_stay_in_messages() -> None:
    found = rejected(row("INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account"))
    assert "Foo__c" in found.message
    assert found.fields == ("Foo__c",)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", LoginRefused),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", QuotaExhausted),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", RateLimited),
        (403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization", NeedsOperator),
        (403, "SOMETHING_NEW", "forbidden", NeedsOperator),
        (404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: Key__c", SchemaDrift),
        (400, "INVALID_FIELD", "No such column 'foo' on sobject of type Bar", SchemaDrift),
        (503, "SERVER_UNAVAILABLE", "We are down for maintenance.", RetryLater),
        (302, "", "", NeedsOperator),
    ],
)
def test_a_refused_call_raises_by_remedy(status: int, code: str, message: str, kind: type[SyncbridgeError]) -> None:
    found = refusal(status, [{"errorCode": code, "message": message}] if code else [])
    assert type(found) is kind


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (420, RateLimited), (503, RetryLater)])
def test_an_answer_without_a_body_is_known_by_its_status(status: int, kind: type[RetryLater]) -> None:
    found = refusal(status, [], delay=7.0)
    assert isinstance(found, kind)
    assert found.delay == 7.0


def test_a_server_error_leaves_it_open_whether_the_records_were_stored() -> None:
    for status in (500, 502, 504):
        found = refusal(status, [])
        assert isinstance(found, Rejected)
        assert found.uncertain


def test_an_unknown_code_of_a_whole_call_concerns_its_records() -> None:
    found = refusal(400, [{"errorCode": "SOMETHING_NEW", "message": "no"}])
    assert isinstance(found, Rejected)
    assert (found.remedy, found.uncertain) == (Remedy.RECORD, False)


def test_deleting_what_is_gone_is_told_from_not_being_allowed_to() -> None:
    assert is_gone([row("ENTITY_IS_DELETED", "entity is deleted")])
    assert is_gone([row("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")])
    assert not is_gone([row("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")])
    assert not is_gone([])


def test_every_rule_of_a_known_code_can_be_told() -> None:
    for code in RULES:
        assert isinstance(refusal(400, [{"errorCode": code, "message": ""}]), SyncbridgeError | Rejected)
