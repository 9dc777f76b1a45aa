"""Salesforce's answers, by remedy. The shapes and wordings are those of real answers."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.destinations.salesforce.errors import (
    RULES,
    breaks_off,
    is_gone,
    is_lock,
    is_too_much,
    refusal,
    rejected,
)
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
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyTrigger: UNABLE_TO_LOCK_ROW, unable to", Remedy.RETRY_SMALLER),
        ("CANNOT_EXECUTE_FLOW_TRIGGER", "The flow failed: Apex CPU time limit exceeded", Remedy.RETRY_SMALLER),
        ("APEX_ERROR", "System.LimitException: Apex heap size too large: 6291456", Remedy.RETRY_SMALLER),
        ("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", Remedy.RETRY),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyTrigger: Too many SOQL queries: 101", Remedy.RETRY_SMALLER),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyTrigger: execution of BeforeInsert", Remedy.RECORD),
        ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", Remedy.WAIT),
        ("SOMETHING_NEW", "whatever", Remedy.RECORD),
    ],
)
def test_a_refused_row_has_the_remedy_of_its_code(code: str, message: str, remedy: Remedy) -> None:
    assert rejected(row(code, message)).remedy is remedy


#: What each known code means for a row of an answer.
OF_A_ROW = {
    Remedy.RETRY_SMALLER: (
        "UNABLE_TO_LOCK_ROW TooManyLockFailure QUERY_TIMEOUT REQUEST_RUNNING_TOO_LONG TOO_MANY_APEX_REQUESTS"
        " EXCEEDED_ID_LIMIT QUERY_TOO_COMPLICATED UNKNOWN_EXCEPTION"
    ),
    Remedy.RETRY: (
        "SERVER_UNAVAILABLE TXN_SECURITY_METERING_ERROR ALL_OR_NONE_OPERATION_ROLLED_BACK INVALID_QUERY_LOCATOR"
    ),
    Remedy.WAIT: (
        "INVALID_SESSION_ID INVALID_AUTH_HEADER REQUEST_LIMIT_EXCEEDED API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED"
        " FUNCTIONALITY_NOT_ENABLED INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE STORAGE_LIMIT_EXCEEDED"
        " LICENSE_LIMIT_EXCEEDED INVALID_REPLICATION_DATE"
    ),
    Remedy.SCHEMA: "INVALID_FIELD INVALID_TYPE INVALID_FIELD_FOR_INSERT_UPDATE MALFORMED_QUERY",
    Remedy.AFTER_PARENT: "INVALID_CROSS_REFERENCE_KEY DELETE_FAILED DEPENDENCY_EXISTS",
    Remedy.GONE: "ENTITY_IS_DELETED NOT_FOUND",
    Remedy.RECORD: (
        "DUPLICATE_VALUE DUPLICATE_EXTERNAL_ID DUPLICATES_DETECTED INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
        " INSUFFICIENT_ACCESS_OR_READONLY REQUIRED_FIELD_MISSING MISSING_ARGUMENT FIELD_CUSTOM_VALIDATION_EXCEPTION"
        " STRING_TOO_LONG INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST INVALID_EMAIL_ADDRESS MALFORMED_ID"
        " NUMBER_OUTSIDE_VALID_RANGE INVALID_TYPE_ON_FIELD_IN_RECORD JSON_PARSER_ERROR APEX_ERROR"
        " CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_EXECUTE_FLOW_TRIGGER FIELD_INTEGRITY_EXCEPTION"
        " FIELD_FILTER_VALIDATION_EXCEPTION CANNOT_UPDATE_CONVERTED_LEAD ENTITY_IS_LOCKED OPERATION_TOO_LARGE"
    ),
}
#: What each code means for a whole call, where that is not the remedy of its records.
OF_A_CALL = {
    LoginRefused: "INVALID_SESSION_ID INVALID_AUTH_HEADER",
    QuotaExhausted: "REQUEST_LIMIT_EXCEEDED",
    NeedsOperator: (
        "API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED FUNCTIONALITY_NOT_ENABLED INVALID_REPLICATION_DATE"
    ),
    SchemaDrift: "INVALID_FIELD INVALID_TYPE INVALID_FIELD_FOR_INSERT_UPDATE MALFORMED_QUERY NOT_FOUND",
    RetryLater: (
        "SERVER_UNAVAILABLE TXN_SECURITY_METERING_ERROR TOO_MANY_APEX_REQUESTS"
        " INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "remedy"), [(code, remedy) for remedy, codes in OF_A_ROW.items() for code in codes.split()]
)
def test_each_known_code_has_its_remedy_for_a_row_and_for_a_whole_call(code: str, remedy: Remedy) -> None:
    refused = rejected(row(code, "no"))
    assert (refused.remedy, refused.uncertain) == (remedy, False)
    raised = next((kind for kind, codes in OF_A_CALL.items() if code in codes.split()), None)
    whole = refusal(400, [{"errorCode": code, "message": "no"}])
    assert type(whole) is raised if raised is not None else whole == refused


def test_no_rule_is_without_an_expected_remedy() -> None:
    assert {*RULES} == {code for codes in OF_A_ROW.values() for code in codes.split()}


def test_a_full_org_is_not_asked_again_at_once() -> None:
    for code in ("STORAGE_LIMIT_EXCEEDED", "LICENSE_LIMIT_EXCEEDED"):
        assert rejected(row(code, "no")).delay == 900.0


def test_locks_apex_limits_and_code_that_breaks_off_are_told_apart() -> None:
    trigger = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    lock = rejected(row(trigger, "People: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"))
    limit = rejected(row(trigger, "People: Too many DML statements: 151"))
    defect = rejected(row(trigger, "People: execution of BeforeInsert caused by: System.NullPointerException"))
    told = [
        (is_lock(each), is_too_much(each) and not is_lock(each), breaks_off(each)) for each in (lock, limit, defect)
    ]
    assert told == [(True, False, False), (False, True, False), (False, False, True)]


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
