"""Calls that change records: create, update, upsert, delete, undelete and merge."""

from __future__ import annotations

from typing import Any, TypeVar
from xml.etree.ElementTree import Element

from syncbridge.sandbox.salesforce.call import Call
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import ObjectType
from syncbridge.sandbox.salesforce.rest.collections import check_number
from syncbridge.sandbox.salesforce.rest.records import external_id
from syncbridge.sandbox.salesforce.soap.records import read_record, type_of, write_error, write_outcome
from syncbridge.sandbox.salesforce.soap.xml import Envelope
from syncbridge.sandbox.salesforce.store.changes import Record

Given = TypeVar("Given", str, Element)


def create(call: Call, request: Envelope) -> Any:
    """create(sObjects)"""
    outcomes = call.sandbox.writes.create(
        _typed(call, request), all_or_none=_all_or_none(request), fault=call.row_fault
    )
    return [write_outcome(each) for each in outcomes]


def update(call: Call, request: Envelope) -> Any:
    """update(sObjects)"""
    outcomes = call.sandbox.writes.update(
        _typed(call, request), all_or_none=_all_or_none(request), fault=call.row_fault
    )
    return [write_outcome(each) for each in outcomes]


def upsert(call: Call, request: Envelope) -> Any:
    """upsert(externalIDFieldName, sObjects): records of one object"""
    key = request.text("externalIDFieldName")
    typed = _typed(call, request)
    targets = {each.name: each for each, _ in typed if isinstance(each, ObjectType)}
    if len(targets) != 1 or any(isinstance(each, Refusal) for each, _ in typed):
        raise Refusal("INVALID_TYPE", "upsert needs records of one object that the org has")
    [target] = targets.values()
    outcomes = call.sandbox.writes.upsert(
        target,
        external_id(target, key),
        [record for _, record in typed],
        all_or_none=_all_or_none(request),
        fault=call.row_fault,
    )
    return [write_outcome(each, with_created=True) for each in outcomes]


def delete(call: Call, request: Envelope) -> Any:
    """delete(ids)"""
    ids = _ids(request)
    outcomes = call.sandbox.deletes.delete(ids, all_or_none=_all_or_none(request), fault=call.row_fault)
    return [write_outcome(each) for each in outcomes]


def undelete(call: Call, request: Envelope) -> Any:
    """undelete(ids): out of the bin again, with the details that were deleted along with them"""
    return [write_outcome(each) for each in call.sandbox.deletes.undelete(_ids(request))]


def merge(call: Call, request: Envelope) -> Any:
    """merge(mergeRequests): a master with its new values, and the ids of up to two records that become it"""
    results: list[dict[str, Any]] = []
    for each in request.all("mergeRequests"):
        parts = Envelope("merge", each, {})
        master = read_record(parts.all("masterRecord")[0]) if parts.all("masterRecord") else {}
        master_id = str(next((master.pop(name) for name in ("Id", "id", "ID") if name in master), ""))
        target = type_of(call.sandbox.org, master)
        try:
            if isinstance(target, Refusal):
                raise target
            merged = call.sandbox.merges.merge(target, master_id, parts.texts("recordToMergeIds"), master)
        except Refusal as refusal:
            results.append({"errors": write_error(refusal), "id": None, "success": False})
            continue
        results.append({
            "id": merged.id, "mergedRecordIds": merged.merged_ids, "success": True,
            "updatedRelatedIds": merged.related_ids,
        })  # fmt: skip
    return results


def _typed(call: Call, request: Envelope) -> list[tuple[ObjectType | Refusal, Record]]:
    records = [read_record(each) for each in _counted(request.all("sObjects"))]
    return [(type_of(call.sandbox.org, each), each) for each in records]


def _ids(request: Envelope) -> list[str]:
    """Return the ids of a call; beatbox and pyforce have always called them `id`, and orgs take it."""
    return _counted(request.texts("ids") or request.texts("id"))


def _counted(given: list[Given]) -> list[Given]:
    check_number(len(given))
    return given


def _all_or_none(request: Envelope) -> bool:
    return request.headers.get("allornone") == "true"
