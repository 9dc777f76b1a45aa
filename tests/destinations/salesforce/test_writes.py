"""What one call's answer means for each of its records. No HTTP here."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from syncbridge.destinations.base import Delivered, Rejected
from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.smaller import send_all
from syncbridge.destinations.salesforce.writes import deletes, upserts
from syncbridge.errors import Remedy, RetryLater, SyncbridgeError
from syncbridge.model import Fields

KEY = "Key__c"


def records(count: int) -> list[Fields]:
    return [{KEY: f"k{number}"} for number in range(count)]


def no_pause(round: int) -> bool:
    return False


def stored(request: Request) -> Any:
    keys = [record[KEY] for record in orjson.loads(request.body or b"")["records"]]
    return [{"id": f"id-{key}", "success": True, "errors": [], "created": False} for key in keys]


def test_results_come_in_the_order_of_the_records() -> None:
    results = send_all(upserts("Contact", KEY), records(5), stored, no_pause)
    assert results == [Delivered(f"id-k{number}") for number in range(5)]


def test_several_errors_of_one_row_are_told_together() -> None:
    errors = [
        {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"]},
        {
            "statusCode": "STRING_TOO_LONG",
            "message": "City: data value too large: x (max length=4)",
            "fields": ["City"],
        },
    ]
    (result,) = send_all(
        upserts("Contact", KEY), records(1), lambda _: [{"success": False, "errors": errors}], no_pause
    )
    assert isinstance(result, Rejected)
    assert result.fields == ("Name", "City")
    assert result.code == "REQUIRED_FIELD_MISSING"


def test_a_delete_of_what_is_gone_is_delivered_and_of_what_is_protected_is_not() -> None:
    rows = [
        {"success": False, "errors": [{"statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}]},
        {"success": False, "errors": [{"statusCode": "INSUFFICIENT_ACCESS_OR_READONLY", "message": "no access"}]},
    ]
    gone, kept = send_all(deletes(), ["003a", "003b"], lambda _: rows, no_pause)
    assert gone == Delivered("003a")
    assert isinstance(kept, Rejected)
    assert kept.remedy is Remedy.RECORD


def test_errors_of_other_kinds_are_not_swallowed() -> None:
    def fail(request: Request) -> Any:
        raise RetryLater("down")

    with pytest.raises(SyncbridgeError):
        send_all(deletes(), ["003a"], fail, no_pause)
