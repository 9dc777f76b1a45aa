"""Refusals: what the API answers instead of doing it. One class, worded twice: for a whole request and for one row.

A request that is refused answers `[{"message", "errorCode", "fields"?}]`; a row inside a collections call answers
`{"statusCode", "message", "fields"}` in its place among the results.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

RESOURCE_MISSING = "The requested resource does not exist"
LOCK_MESSAGE = "unable to obtain exclusive access to this record or 1 records"
#: Code and message of a Bulk job that gives up.
TOO_MANY_LOCK_FAILURES = ("TooManyLockFailure", "Too many lock failures while saving records")


class Refusal(Exception):
    """The API does not do what was asked, and says why."""

    def __init__(self, code: str, message: str, *, status: int = 400, fields: list[str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields

    def as_body(self) -> list[dict[str, Any]]:
        """Return the body of an error response."""
        body: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            body["fields"] = self.fields
        return [body]

    def as_row(self) -> dict[str, Any]:
        """Return the entry for a row's `errors`."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


class WrongType(Refusal):
    """A JSON value that cannot be this field's type; a whole request calls it a parser error, a row does not."""

    def __init__(self, field: str, expected: str, value: Any) -> None:
        shown = "null" if value is None else str(value)
        token = _json_token(value)
        super().__init__(
            "JSON_PARSER_ERROR",
            f"Cannot deserialize instance of {expected} from {token} value {shown} or request may be missing a "
            "required field at [line:1, column:1]",
        )
        self._row = Refusal(
            "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{field}: value not of required type: {shown}", fields=[field]
        )

    def as_row(self) -> dict[str, Any]:
        return self._row.as_row()


class SeveralMatches(Refusal):
    """An external id matches more than one record: HTTP 300 with their URLs for a request, an error for a row."""

    def __init__(self, field: str, urls: list[str], ids: list[str]) -> None:
        super().__init__(
            "DUPLICATE_EXTERNAL_ID",
            f"{field}: more than one record found for external id field: [{', '.join(ids)}]",
            status=300,
        )
        self.urls = urls


class DuplicatesFound(Refusal):
    """A duplicate rule finds records that agree; only the answer to a single record says which they are."""

    def __init__(self, object_name: str, rule: str, message: str, ids: list[str], *, allow_save: bool) -> None:
        super().__init__("DUPLICATES_DETECTED", message)
        matches = [
            {
                "additionalInformation": [],
                "fieldDiffs": [],
                "matchConfidence": 100.0,
                "record": {"attributes": {"type": object_name}, "Id": each},
            }
            for each in ids
        ]
        result = {
            "entityType": object_name,
            "errors": [],
            "matchEngine": "ExactMatchEngine",
            "matchRecords": matches,
            "rule": rule,
            "size": len(ids),
            "success": True,
        }
        self._found = {
            "allowSave": allow_save,
            "duplicateRule": rule,
            "duplicateRuleEntityType": object_name,
            "errorMessage": message,
            "matchResults": [result],
        }

    def as_body(self) -> list[dict[str, Any]]:
        return [{"duplicateResult": self._found, "errorCode": self.code, "message": self.message}]


def not_found(message: str = RESOURCE_MISSING) -> Refusal:
    """Return the refusal of a path, record or key that is not there."""
    return Refusal("NOT_FOUND", message, status=404)


def not_allowed(method: str, allowed: Iterable[str]) -> Refusal:
    """Return the refusal of a method that a path does not have."""
    text = f"HTTP Method '{method}' not allowed. Allowed are {','.join(allowed)}"
    return Refusal("METHOD_NOT_ALLOWED", text, status=405)


def unsupported_type(name: object) -> Refusal:
    """Return the refusal of an object that the org does not have."""
    return Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")


def invalid_reference(fields: list[str] | None = None) -> Refusal:
    """Return the refusal of an id without a record."""
    return Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=fields)


def entity_deleted() -> Refusal:
    """Return the refusal of an id whose record is in the bin."""
    return Refusal("ENTITY_IS_DELETED", "entity is deleted")


def no_such_column(field: str, object_name: str) -> Refusal:
    """Return the refusal of a field that the object does not have."""
    return Refusal("INVALID_FIELD", f"No such column '{field}' on sobject of type {object_name}")


def _json_token(value: Any) -> str:
    if value is None:
        return "VALUE_NULL"
    if isinstance(value, bool):
        return "VALUE_TRUE" if value else "VALUE_FALSE"
    if isinstance(value, int):
        return "VALUE_NUMBER_INT"
    if isinstance(value, float):
        return "VALUE_NUMBER_FLOAT"
    if isinstance(value, dict | list):
        return "START_OBJECT" if isinstance(value, dict) else "START_ARRAY"
    return "VALUE_STRING"
