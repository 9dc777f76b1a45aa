"""sObject collections: up to 200 records in one call, one result per record, in the order of the request."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeGuard

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal, no_such_column, unsupported_type
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.rest.reading import read_records
from syncbridge.sandbox.salesforce.rest.records import external_id
from syncbridge.sandbox.salesforce.store.changes import Outcome, Record

MOST_RECORDS = 200
MOST_READ = 2000
#: Records of one type in a row are a chunk.
MOST_CHUNKS = 10
NO_TYPE = Refusal("JSON_PARSER_ERROR", "Unable to find the attributes.type of the record; it must come first")


def create(call: Call) -> Reply:
    """POST /composite/sobjects"""
    records, all_or_none = _body(call)
    outcomes = call.sandbox.writes.create(_typed(call, records), all_or_none=all_or_none, fault=call.row_fault)
    return answer(_results(outcomes))


def update(call: Call) -> Reply:
    """PATCH /composite/sobjects"""
    records, all_or_none = _body(call)
    outcomes = call.sandbox.writes.update(_typed(call, records), all_or_none=all_or_none, fault=call.row_fault)
    return answer(_results(outcomes))


def upsert(call: Call) -> Reply:
    """PATCH /composite/sobjects/{object}/{external id field}"""
    target = call.target()
    key = external_id(target, call.params["field"])
    records, all_or_none = _body(call)
    types = [_type_of(call, each) for each in records]
    wrong = next((each for each in types if isinstance(each, ObjectType) and each is not target), None)
    if wrong is not None:
        raise Refusal("INVALID_TYPE", f"all records of an upsert must be of type {target.name}, not {wrong.name}")
    outcomes = call.sandbox.writes.upsert(
        target,
        key,
        records,
        all_or_none=all_or_none,
        fault=lambda index, record: _missing_type(types[index]) or call.row_fault(index, record),
    )
    return answer(_results(outcomes, with_created=True))


def delete(call: Call) -> Reply:
    """DELETE /composite/sobjects?ids=a,b&allOrNone=false"""
    ids = [each.strip() for each in call.query.get("ids", "").split(",") if each.strip()]
    if not ids:
        raise Refusal("MISSING_ARGUMENT", "The ids parameter is required")
    check_number(len(ids))
    all_or_none = call.query.get("allOrNone", "").lower() == "true"
    return answer(_results(call.sandbox.deletes.delete(ids, all_or_none=all_or_none, fault=call.row_fault)))


def retrieve(call: Call) -> Reply:
    """GET or POST /composite/sobjects/{object}: records by id, null for those that are not there"""
    target = call.target()
    if call.method == "POST":
        body = call.record()
        ids, fields = body.get("ids"), body.get("fields")
    else:
        ids, fields = call.query.get("ids", "").split(","), call.query.get("fields", "").split(",")
    if not _are_texts(ids) or not _are_texts(fields):
        raise Refusal("MISSING_ARGUMENT", "ids and fields are required")
    check_number(len(ids), MOST_READ)
    for name in fields:
        if target.find(name.strip()) is None and "." not in name:
            raise no_such_column(name, target.name)
    full = [to_18(each.strip()) or "" for each in ids]
    found = read_records(call, target, fields, full)
    return answer([found.get(each) for each in full])


def _body(call: Call) -> tuple[list[Record], bool]:
    body = call.record()
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise Refusal("JSON_PARSER_ERROR", "The body needs a list of records under 'records'")
    check_number(len(records))
    return records, body.get("allOrNone") in (True, "true")


def check_number(number: int, most: int = MOST_RECORDS) -> None:
    """Refuse more records than a call takes."""
    if number > most:
        text = f"record limit reached. cannot submit more than {most} records into this call"
        raise Refusal("EXCEEDED_ID_LIMIT", text)


def _typed(call: Call, records: list[Record]) -> list[tuple[ObjectType | Refusal, Record]]:
    typed = [(_type_of(call, each), each) for each in records]
    kinds = [kind for kind, _ in typed if isinstance(kind, ObjectType)]
    chunks = sum(before is not after for before, after in pairwise([None, *kinds]))
    if chunks > MOST_CHUNKS:
        text = f"Cannot have more than {MOST_CHUNKS} chunks in a single operation. Please rearrange the data to reduce "
        raise Refusal("LIMIT_EXCEEDED", f"{text}chunking.")
    return typed


def _type_of(call: Call, record: Record) -> ObjectType | Refusal:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        return NO_TYPE
    return call.sandbox.org.find(name) or unsupported_type(name)


def _missing_type(found: ObjectType | Refusal) -> Refusal | None:
    return found if isinstance(found, Refusal) else None


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) and each for each in value)


def _results(outcomes: list[Outcome], *, with_created: bool = False) -> list[dict[str, Any]]:
    results = []
    for outcome in outcomes:
        result: dict[str, Any]
        if outcome.refusal is None:
            result = {"id": outcome.id, "success": True, "errors": []}
        else:
            known = {} if outcome.id is None else {"id": outcome.id}
            result = {**known, "success": False, "errors": [outcome.refusal.as_row()]}
        if with_created:
            result["created"] = outcome.created
        results.append(result)
    return results
