"""Merges: a record takes over the records that look up to its doubles, and the doubles go to the bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from syncbridge.sandbox.salesforce.errors import Refusal, entity_deleted, invalid_reference
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Record
from syncbridge.sandbox.salesforce.store.storage import Storage
from syncbridge.sandbox.salesforce.store.writes import Writes

MOST_LOSERS = 2
MASTER_FIELD = "MasterRecordId"


@dataclass(slots=True)
class Merge:
    """What a merge did: SOAP's MergeResult of a success."""

    id: str
    merged_ids: list[str]
    related_ids: list[str] = field(default_factory=list)


class Merges:
    """Merges records of one object, as SOAP's merge() does; REST has no such call."""

    def __init__(self, org: Org, storage: Storage, writes: Writes) -> None:
        self._org = org
        self._storage = storage
        self._writes = writes

    def merge(self, target: ObjectType, master_id: str, loser_ids: Sequence[str], values: Record) -> Merge:
        """Let one record take the place of up to two others of its object, and give it `values`.

        What looks up to a loser looks up to the master from then on. Losers are deleted, with the master's id in
        MasterRecordId. A Refusal is raised when that is not possible; then nothing has changed.
        """
        master, losers = self._check(target, master_id, loser_ids)
        result = Merge(master, losers)
        with self._storage.transaction():
            [outcome] = self._writes.update([(target, {**values, "Id": master})])
            if outcome.refusal is not None:
                raise outcome.refusal
            for child, ref in self._org.children_of(target.name):
                if ref.createable:
                    result.related_ids += self._reparent(child, ref, master, losers)
            self._storage.touch(target, ("IsDeleted", MASTER_FIELD), [(1, master, each) for each in losers])
        return result

    def _check(self, target: ObjectType, master_id: str, loser_ids: Sequence[str]) -> tuple[str, list[str]]:
        if not target.mergeable or target.find(MASTER_FIELD) is None:
            raise Refusal("INVALID_TYPE", f"entity type {target.name} does not support merge")
        if not 1 <= len(loser_ids) <= MOST_LOSERS:
            raise Refusal("LIMIT_EXCEEDED", f"1 to {MOST_LOSERS} records can be merged into another one at once")
        ids = []
        for given in (master_id, *loser_ids):
            full = to_18(given.strip())
            if full is None or full[:3] != target.prefix:
                raise Refusal("MALFORMED_ID", f"{target.label} ID: id value of incorrect type: {given}", fields=["Id"])
            ids.append(full)
        if len(set(ids)) != len(ids):
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "a record cannot be merged with itself")
        there = dict(self._storage.rows_with(target, ("Id", "IsDeleted"), "Id", ids, deleted=True))
        for each in ids:
            if each not in there:
                raise invalid_reference()
            if there[each]:
                raise entity_deleted()
        return ids[0], ids[1:]

    def _reparent(self, child: ObjectType, ref: Field, master: str, losers: list[str]) -> list[str]:
        """Turn lookups to the losers to the master; the master's own lookup to a loser is cleared."""
        rows = self._storage.rows_with(child, ("Id",), ref.name, losers)
        moving = [row[0] for row in rows if row[0] not in losers]
        self._storage.touch(child, (ref.name,), [(None if each == master else master, each) for each in moving])
        return [each for each in moving if each != master]
