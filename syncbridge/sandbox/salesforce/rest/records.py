"""Single records: create, read, update, delete, and upsert by external id."""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import RESOURCE_MISSING, Refusal, SeveralMatches, no_such_column, not_found
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType
from syncbridge.sandbox.salesforce.rest.preconditions import check_write, not_modified, validators
from syncbridge.sandbox.salesforce.rest.reading import read_records
from syncbridge.sandbox.salesforce.store.changes import Outcome, Record
from syncbridge.sandbox.salesforce.store.values import normaliser

UPSERT_ANSWERS_SINCE = 46
GONE = {"INVALID_CROSS_REFERENCE_KEY": "NOT_FOUND", "ENTITY_IS_DELETED": "ENTITY_IS_DELETED"}


def create(call: Call) -> Reply:
    """POST /sobjects/{object}"""
    target, record = call.target(), call.record()
    _refuse_keys(record, "Id")
    [outcome] = call.sandbox.writes.create([(target, record)], fault=call.row_fault)
    return _created(call, target, outcome, {})


def read(call: Call) -> Reply:
    """GET /sobjects/{object}/{id}"""
    target = call.target()
    return _shown(call, target, _id_in_path(call, target))


def update(call: Call) -> Reply:
    """PATCH /sobjects/{object}/{id}"""
    target, record = call.target(), call.record()
    record_id = _id_in_path(call, target)
    _refuse_keys(record, "Id")
    check_write(call, target, record_id)
    [outcome] = call.sandbox.writes.update([(target, record | {"Id": record_id})], fault=call.row_fault)
    _raise_refusal(outcome, of_path=record_id)
    return Reply(204)


def delete(call: Call) -> Reply:
    """DELETE /sobjects/{object}/{id}"""
    target = call.target()
    record_id = _id_in_path(call, target)
    [outcome] = call.sandbox.deletes.delete([record_id], fault=call.row_fault)
    _raise_refusal(outcome, of_path=record_id)
    return Reply(204)


def read_by_key(call: Call) -> Reply:
    """GET /sobjects/{object}/{external id field}/{value}"""
    target = call.target()
    return _shown(call, target, _id_by_key(call, target))


def delete_by_key(call: Call) -> Reply:
    """DELETE /sobjects/{object}/{external id field}/{value}"""
    target = call.target()
    record_id = _id_by_key(call, target)
    [outcome] = call.sandbox.deletes.delete([record_id], fault=call.row_fault)
    _raise_refusal(outcome, of_path=record_id)
    return Reply(204)


def upsert(call: Call) -> Reply:
    """PATCH /sobjects/{object}/{external id field}/{value}"""
    target, record = call.target(), call.record()
    key = external_id(target, call.params["field"])
    _refuse_keys(record, "Id", key.name)
    update_only = call.query.get("updateOnly", "").lower() == "true"
    [outcome] = call.sandbox.writes.upsert(
        target, key, [{**record, key.name: call.params["value"]}], fault=call.row_fault, update_only=update_only
    )
    if outcome.created or outcome.refusal:
        return _created(call, target, outcome, {"created": True})
    if call.version < UPSERT_ANSWERS_SINCE:
        return Reply(204)
    return answer({"id": outcome.id, "success": True, "errors": [], "created": False})


def external_id(target: ObjectType, name: str) -> Field:
    """Return the field that an upsert may go by, or refuse."""
    field = target.find(name)
    if field is None or not field.upsert_key:
        raise not_found(f"Provided external ID field does not exist or is not accessible: {name}")
    return field


def _created(call: Call, target: ObjectType, outcome: Outcome, extra: dict[str, Any]) -> Reply:
    _raise_refusal(outcome, urls=f"{call.base}/sobjects/")
    location = f"{call.base}/sobjects/{target.name}/{outcome.id}"
    return answer({"id": outcome.id, "success": True, "errors": []} | extra, 201, {"Location": location})


def _raise_refusal(outcome: Outcome, *, of_path: str | None = None, urls: str = "") -> None:
    """Raise what a row was refused for, as the refusal of the request; `of_path` is the id that the path names."""
    refusal = outcome.refusal
    if refusal is None:
        return
    if isinstance(refusal, SeveralMatches):
        refusal.urls = [urls + each for each in refusal.urls]
    elif of_path is not None and refusal.code in GONE and not refusal.fields:
        message = RESOURCE_MISSING if refusal.code != "ENTITY_IS_DELETED" else refusal.message
        raise Refusal(GONE[refusal.code], message, status=404)
    elif (
        refusal.fields is None and refusal.status == 400 and refusal.code not in ("INVALID_FIELD", "JSON_PARSER_ERROR")
    ):
        refusal.fields = []
    raise refusal


def _refuse_keys(record: Record, *names: str) -> None:
    """The id and the external id of an upsert stand in the path and must not stand in the body."""
    for name in names:
        if any(each.lower() == name.lower() for each in record):
            raise Refusal("INVALID_FIELD", f"The {name} field should not be specified in the sobject data.")


def _id_in_path(call: Call, target: ObjectType) -> str:
    given = call.params["id"]
    full = to_18(given)
    if full is None:
        raise not_found(f"Provided external ID field does not exist or is not accessible: {given}")
    if full[:3] != target.prefix:
        raise not_found()
    return full


def _id_by_key(call: Call, target: ObjectType) -> str:
    key = external_id(target, call.params["field"])
    value = normaliser(key)(call.params["value"])
    rows = call.sandbox.storage.rows_with(target, ("Id",), key.name, [value])
    if not rows:
        raise not_found()
    if len(rows) > 1:
        raise SeveralMatches(key.name, [f"{call.base}/sobjects/{target.name}/{row[0]}" for row in rows], [])
    return str(rows[0][0])


def _shown(call: Call, target: ObjectType, record_id: str) -> Reply:
    """Return the reply to a read: the record, or 304 when the client has it already."""
    headers = validators(call, target, record_id)
    if not headers:
        raise not_found()
    return not_modified(call, headers) or answer(_read_one(call, target, record_id), headers=headers)


def _read_one(call: Call, target: ObjectType, record_id: str) -> Record:
    fields = call.query.get("fields")
    names = [each.strip() for each in fields.split(",")] if fields else None
    for name in names or ():
        if target.find(name) is None:
            raise no_such_column(name, target.name)
    found = read_records(call, target, names, [record_id])
    if record_id not in found:
        raise not_found()
    return found[record_id]
