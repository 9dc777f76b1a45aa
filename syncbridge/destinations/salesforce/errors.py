"""Salesforce's error codes as data: where each one occurs, what has to happen next, and what to tell the operator.

Salesforce words messages for people and often repeats the refused value in them. Messages here have such values cut out
before anything is stored or logged: by a pattern where the wording of a code is known, and by rule where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from syncbridge.destinations.base import Rejected, Result
from syncbridge.destinations.salesforce.normal_form import long_id
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


class Place(StrEnum):
    """Whom a code concerns when it answers a whole call; a row is always a row."""

    LOGIN = "login"  # the session: signing in again may help
    DAILY = "daily"  # the allowance of the day
    BUSY = "busy"  # the org is busy or down: the same call works later
    SCHEMA = "schema"  # the object or field is not as mapped
    OPERATOR = "operator"  # the org or the user must be changed
    RECORDS = "records"  # the records of the call: see the remedy


@dataclass(frozen=True, slots=True)
class Rule:
    """What one code means. `cut` matches the part of its message that repeats a value."""

    place: Place
    remedy: Remedy
    hint: str = ""
    cut: str = ""
    delay: float | None = None  # seconds that a refused row waits at least


_AFTER_COLON = r"(?<=: )[^:]*$"
_NAMES_ONLY = r"(?!)"  # the message quotes names of fields and objects, never values: nothing is cut

RULES: Mapping[str, Rule] = {
    # -- the session, the allowance, the org ------------------------------------------------------------------------
    "INVALID_SESSION_ID": Rule(Place.LOGIN, Remedy.WAIT, "A new session was refused as well: see the login history."),
    "INVALID_AUTH_HEADER": Rule(Place.LOGIN, Remedy.WAIT, "A new session was refused as well: see the login history."),
    "REQUEST_LIMIT_EXCEEDED": Rule(Place.DAILY, Remedy.WAIT, "The API calls of the last 24 hours are used up."),
    "API_DISABLED_FOR_ORG": Rule(Place.OPERATOR, Remedy.WAIT, "This edition of Salesforce has no API."),
    "API_CURRENTLY_DISABLED": Rule(Place.OPERATOR, Remedy.WAIT, "Give the user the permission `API Enabled`."),
    "FUNCTIONALITY_NOT_ENABLED": Rule(Place.OPERATOR, Remedy.WAIT, "Enable the feature in Salesforce's setup."),
    "SERVER_UNAVAILABLE": Rule(Place.BUSY, Remedy.RETRY),
    "UNABLE_TO_LOCK_ROW": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
    "TooManyLockFailure": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
    "QUERY_TIMEOUT": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
    "REQUEST_RUNNING_TOO_LONG": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
    "QUERY_TOO_COMPLICATED": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
    "INVALID_QUERY_LOCATOR": Rule(Place.RECORDS, Remedy.RETRY),  # the query begins anew
    "INVALID_REPLICATION_DATE": Rule(Place.OPERATOR, Remedy.WAIT, "Salesforce keeps no changes so old: resync."),
    "OPERATION_TOO_LARGE": Rule(Place.RECORDS, Remedy.RECORD, "Give the user `View All Data`."),
    "EXCEEDED_ID_LIMIT": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
    "TXN_SECURITY_METERING_ERROR": Rule(
        Place.BUSY, Remedy.RETRY, "Give the user `Exempt from Transaction Security` if this goes on."
    ),
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": Rule(Place.BUSY, Remedy.WAIT, delay=300.0),
    "STORAGE_LIMIT_EXCEEDED": Rule(
        Place.RECORDS, Remedy.WAIT, "The org's data storage is full: free some or buy more.", delay=900.0
    ),
    "LICENSE_LIMIT_EXCEEDED": Rule(
        Place.RECORDS, Remedy.WAIT, "The org has no licence left for this kind of record.", delay=900.0
    ),
    "TOO_MANY_APEX_REQUESTS": Rule(Place.BUSY, Remedy.RETRY_SMALLER),
    # -- the schema ---------------------------------------------------------------------------------------------------
    "INVALID_FIELD": Rule(
        Place.SCHEMA, Remedy.SCHEMA, "The field is missing, or field-level security hides it.", _NAMES_ONLY
    ),
    "INVALID_TYPE": Rule(Place.SCHEMA, Remedy.SCHEMA, "The object is missing or not visible to the user.", _NAMES_ONLY),
    "INVALID_FIELD_FOR_INSERT_UPDATE": Rule(
        Place.SCHEMA, Remedy.SCHEMA, "The user may not write this field: change its field-level security.", _NAMES_ONLY
    ),
    "NOT_FOUND": Rule(Place.SCHEMA, Remedy.GONE, cut=_NAMES_ONLY),
    "MALFORMED_QUERY": Rule(Place.SCHEMA, Remedy.SCHEMA),
    # -- the record ---------------------------------------------------------------------------------------------------
    "DUPLICATE_VALUE": Rule(Place.RECORDS, Remedy.ADOPT, cut=r"(?<=Duplicate external id specified: ).*"),
    "ENTITY_IS_DELETED": Rule(Place.RECORDS, Remedy.GONE),
    "INVALID_CROSS_REFERENCE_KEY": Rule(Place.RECORDS, Remedy.AFTER_PARENT, "The record it refers to is not there."),
    "DELETE_FAILED": Rule(Place.RECORDS, Remedy.AFTER_PARENT, "Other records refer to it."),
    "DEPENDENCY_EXISTS": Rule(Place.RECORDS, Remedy.AFTER_PARENT, "Other records refer to it."),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": Rule(Place.RECORDS, Remedy.RETRY),
    "DUPLICATE_EXTERNAL_ID": Rule(
        Place.RECORDS, Remedy.RECORD, "Several records hold this key: make the field unique and merge them."
    ),
    "DUPLICATES_DETECTED": Rule(
        Place.RECORDS, Remedy.RECORD, 'A duplicate rule stopped it; `duplicate_rules = "allow_save"` overrules it.'
    ),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Rule(
        Place.RECORDS, Remedy.RECORD, "The user may not see or change the record it refers to."
    ),
    "INSUFFICIENT_ACCESS_OR_READONLY": Rule(Place.RECORDS, Remedy.RECORD, "The user may not change this record."),
    "REQUIRED_FIELD_MISSING": Rule(Place.RECORDS, Remedy.RECORD, cut=_NAMES_ONLY),
    "MISSING_ARGUMENT": Rule(Place.RECORDS, Remedy.RECORD),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Rule(Place.RECORDS, Remedy.RECORD, "A validation rule of the org refuses it."),
    "STRING_TOO_LONG": Rule(Place.RECORDS, Remedy.RECORD, cut=r"(?<=data value too large: ).*(?= \(max length)"),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Rule(
        Place.RECORDS, Remedy.RECORD, "Add the value to the picklist, or translate it with `values:`.", _AFTER_COLON
    ),
    "INVALID_EMAIL_ADDRESS": Rule(Place.RECORDS, Remedy.RECORD, cut=r"(?<=invalid email address: ).*"),
    "MALFORMED_ID": Rule(Place.RECORDS, Remedy.RECORD, cut=_AFTER_COLON),
    "NUMBER_OUTSIDE_VALID_RANGE": Rule(Place.RECORDS, Remedy.RECORD, cut=r"(?<=numeric field: ).*"),
    "INVALID_TYPE_ON_FIELD_IN_RECORD": Rule(Place.RECORDS, Remedy.RECORD, cut=r"(?<=required type: ).*"),
    "JSON_PARSER_ERROR": Rule(Place.RECORDS, Remedy.RECORD, cut=r"(?<= value ).*(?= or request may)"),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Rule(Place.RECORDS, Remedy.RECORD, "An Apex trigger or a flow refuses it."),
    "CANNOT_EXECUTE_FLOW_TRIGGER": Rule(Place.RECORDS, Remedy.RECORD, "A flow of the org fails on it."),
    "APEX_ERROR": Rule(Place.RECORDS, Remedy.RECORD, "Apex code of the org fails on it."),
    "FIELD_INTEGRITY_EXCEPTION": Rule(Place.RECORDS, Remedy.RECORD, cut=_AFTER_COLON),
    "FIELD_FILTER_VALIDATION_EXCEPTION": Rule(Place.RECORDS, Remedy.RECORD, "The lookup's filter refuses it."),
    "CANNOT_UPDATE_CONVERTED_LEAD": Rule(Place.RECORDS, Remedy.RECORD, "Converted leads cannot be changed."),
    "ENTITY_IS_LOCKED": Rule(Place.RECORDS, Remedy.RECORD, "An approval holds the record until it ends."),
    "UNKNOWN_EXCEPTION": Rule(Place.RECORDS, Remedy.RETRY_SMALLER),
}

_RAISED: Mapping[Place, type[SyncbridgeError]] = {
    Place.LOGIN: LoginRefused,
    Place.DAILY: QuotaExhausted,
    Place.SCHEMA: SchemaDrift,
    Place.OPERATOR: NeedsOperator,
}
_OTHER = Rule(Place.RECORDS, Remedy.RECORD)
_DELETED_CODES = frozenset(("ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"))
_LOCK = re.compile(r"UNABLE_TO_LOCK_ROW|exclusive access|lock request time out", re.IGNORECASE)
#: What a transaction of Apex code or of a flow may use; a smaller call uses less.
_APEX_LIMIT = re.compile(
    r"System\.LimitException|CPU time limit|heap size|"
    r"too many (?:SOQL|SOSL|DML|query rows|callouts|future calls|queueable|email)",
    re.IGNORECASE,
)
#: An exception that nobody caught in a trigger or a flow breaks off the whole transaction: every row of it is refused.
_BREAK_OFF = frozenset(("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "APEX_ERROR"))
_MISSING_PARENT = re.compile(r"(?<=Foreign key external ID: ).*(?= not found for field)")
_HOLDER = re.compile(r"with id: ([0-9A-Za-z]{18}|[0-9A-Za-z]{15})")
_DUPLICATE_FIELD = re.compile(r"duplicate value found: (\w+)")
_COLUMN = re.compile(r"No such column '(\w+)'")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s@<>]+@[^\s@<>]+")
_CUTS = {code: re.compile(rule.cut, re.DOTALL) for code, rule in RULES.items() if rule.cut}


def rejected(error: Mapping[str, Any]) -> Rejected:
    """The rejection that one entry of a row's `errors` means."""
    code, text = code_of(error), str(error.get("message") or "")
    rule = RULES.get(code, _OTHER)
    fields = tuple(str(name) for name in error.get("fields") or ())
    return Rejected(
        code,
        worded(code, text),
        _remedy(code, text, rule),
        fields=fields or _fields_in(text),
        remote_id=long_id(match[1]) if (match := _HOLDER.search(text)) else None,
        delay=rule.delay,
    )


def is_lock(result: Result) -> bool:
    """Whether somebody else holds the record or its parent: it works when they are done."""
    return isinstance(result, Rejected) and (
        result.code in ("UNABLE_TO_LOCK_ROW", "TooManyLockFailure") or bool(_LOCK.search(result.message))
    )


def is_too_much(result: Result) -> bool:
    """Whether a call was perhaps refused for its size alone."""
    if not isinstance(result, Rejected):
        return False
    return _remedy(result.code, result.message, RULES.get(result.code, _OTHER)) is Remedy.RETRY_SMALLER


def breaks_off(result: Result) -> bool:
    """Whether the refusal of one record can take all others of its call with it."""
    return isinstance(result, Rejected) and result.code in _BREAK_OFF and result.remedy is Remedy.RECORD


def is_gone(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a refused delete means that there is nothing left to delete."""
    return bool(errors) and code_of(errors[0]) in _DELETED_CODES


def refusal(
    status: int, errors: Sequence[Mapping[str, Any]], *, delay: float | None = None
) -> SyncbridgeError | Rejected:
    """What an answer to a whole call means: an error to raise, or a rejection of each record of the call."""
    first = errors[0] if errors else {}
    code, text = code_of(first) or f"HTTP_{status}", str(first.get("message") or f"HTTP status {status}")
    rule = RULES.get(code)
    if rule is None or status in (420, 429):
        return _by_status(status, code, worded(code, text), delay)
    message = f"{code}: {worded(code, text)}"
    if code == "REQUEST_LIMIT_EXCEEDED" and "concurrent" in text.lower():
        return RateLimited(message, code=code, hint="Too many long calls are running in the org.", delay=delay)
    if rule.place is Place.RECORDS:
        return rejected(first)
    if rule.place is Place.BUSY:
        return RetryLater(message, code=code, hint=rule.hint, delay=delay)
    raised: type[SyncbridgeError] = _RAISED[rule.place]
    return raised(message, code=code, hint=rule.hint)


def worded(code: str, text: str) -> str:
    """A message without the values it may repeat."""
    text = _MISSING_PARENT.sub("…", text)
    cut = _CUTS.get(code)
    if cut is not None:
        return cut.sub("…", text)
    return _QUOTED.sub("…", text)


def code_of(error: Mapping[str, Any]) -> str:
    """`errorCode` of a whole call's error, `statusCode` of a row's."""
    return str(error.get("errorCode") or error.get("statusCode") or "")


def _by_status(status: int, code: str, message: str, delay: float | None) -> SyncbridgeError | Rejected:
    """An answer whose code says nothing: mostly from a proxy or a load balancer before Salesforce."""
    told = f"{code}: {message}"
    if status == 401:
        return LoginRefused(told, code=code)
    if status in (420, 429):
        return RateLimited(told, code=code, delay=delay)
    if status in (406, 408, 503):
        return RetryLater(told, code=code, delay=delay, uncertain=True)
    if status >= 500:
        return Rejected(code, message, Remedy.RETRY, uncertain=True, delay=delay)
    if status in (403, 405, 409, 415) or status < 400:
        return NeedsOperator(told, code=code, hint="The answer is not one that syncbridge knows.")
    return Rejected(code, message, Remedy.RECORD)


def _remedy(code: str, text: str, rule: Rule) -> Remedy:
    if _LOCK.search(text) or _APEX_LIMIT.search(text):
        return Remedy.RETRY_SMALLER
    if code == "INVALID_FIELD" and _MISSING_PARENT.search(text):
        return Remedy.AFTER_PARENT
    if code == "DUPLICATE_VALUE" and not _HOLDER.search(text):
        return Remedy.RETRY if "Duplicate external id specified" in text else Remedy.RECORD
    if code == "REQUEST_LIMIT_EXCEEDED" and "concurrent" in text.lower():
        return Remedy.RETRY
    return rule.remedy


def _fields_in(text: str) -> tuple[str, ...]:
    for pattern in (_COLUMN, _DUPLICATE_FIELD):
        match = pattern.search(text)
        if match:
            return (match[1],)
    return ()
