"""Records by the way to them: `/sobjects/Contact/{id}/Account` is a record, `/sobjects/Account/{id}/Contacts` a list.

The path has the same form as one by external id; where its second part is an id of the object, it is a way.
"""

from __future__ import annotations

from dataclasses import replace

from syncbridge.sandbox.salesforce.call import Call, Reply
from syncbridge.sandbox.salesforce.errors import Refusal, not_found
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType
from syncbridge.sandbox.salesforce.rest import query, records

MOST_STEPS = 5
SINCE = 36


def read(call: Call) -> Reply:
    """GET /sobjects/{object}/{external id field}/{value}, or /sobjects/{object}/{id}/{relationship}/..."""
    if not _is_way(call):
        return records.read_by_key(call)
    target, record_id, steps = _walk(call)
    if not steps:
        return records.read(_aimed(call, target, record_id))
    child, ref = _children(call, target, steps)
    asked = call.query.get("fields") or ", ".join(each.name for each in child.fields)
    soql = f"SELECT {asked} FROM {child.name} WHERE {ref.name} = '{record_id}'"  # noqa: S608 - SOQL, parsed again
    return query.query(replace(call, query={"q": soql}))


def update(call: Call) -> Reply:
    """PATCH of the same paths: an upsert by external id, or an update of a parent"""
    if not _is_way(call):
        return records.upsert(call)
    return records.update(_parent(call))


def delete(call: Call) -> Reply:
    """DELETE of the same paths: by external id, or of a parent"""
    if not _is_way(call):
        return records.delete_by_key(call)
    return records.delete(_parent(call))


def _is_way(call: Call) -> bool:
    target, given = call.target(), call.params["field"]
    full = to_18(given) if target.find(given) is None else None
    return full is not None and full[:3] == target.prefix and call.version >= SINCE


def _parent(call: Call) -> Call:
    target, record_id, steps = _walk(call)
    if steps:
        raise Refusal("METHOD_NOT_ALLOWED", "Only the way to a parent can be updated or deleted", status=405)
    return _aimed(call, target, record_id)


def _walk(call: Call) -> tuple[ObjectType, str, list[str]]:
    """Follow the lookups of a path; return the record that it leads to, and what is left of the path."""
    steps = call.params["value"].split("/")
    if len(steps) > MOST_STEPS:
        raise not_found()
    target, record_id = call.target(), to_18(call.params["field"]) or ""
    while True:
        rows = call.sandbox.storage.rows_with(target, ("Id",), "Id", [record_id])
        if not rows:
            raise not_found()
        lookup = target.by_relationship.get(steps[0].lower()) if steps else None
        if lookup is None:
            return target, record_id, steps
        [(value,)] = call.sandbox.storage.rows_with(target, (lookup.name,), "Id", [record_id])
        parent = call.sandbox.org.by_prefix(value[:3]) if value else None
        if parent is None:
            raise not_found()
        target, record_id, steps = parent, value, steps[1:]


def _children(call: Call, target: ObjectType, steps: list[str]) -> tuple[ObjectType, Field]:
    """Return the child object and its lookup for the one step that is left; the way ends there."""
    found = call.sandbox.org.children_named(target.name, steps[0])
    if len(steps) > 1 or not found:
        raise not_found()
    return found[0]


def _aimed(call: Call, target: ObjectType, record_id: str) -> Call:
    return replace(call, params={**call.params, "object": target.name, "id": record_id})
