"""The header of a job's data, and rows as the changes that they ask for.

A column is a field, or a parent's external id: `Account.External_Key__c`, or `Contact:Who.Email__c` where the lookup
may lead to several objects. An empty cell says nothing about its field; `#N/A` empties it.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncbridge.sandbox.salesforce.bulk.jobs import IngestJob
from syncbridge.sandbox.salesforce.bulk.lines import MOST_COLUMNS, JobFailure
from syncbridge.sandbox.salesforce.errors import Refusal, WrongType
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Change, ParentKey
from syncbridge.sandbox.salesforce.store.values import BLANKS, PLAIN_TEXT, Normaliser, normaliser
from syncbridge.sandbox.salesforce.store.writes import take_id

NOTHING = "#N/A"
XSD = {"int": "int", "double": "double", "currency": "double", "percent": "double", "boolean": "boolean",
       "date": "date", "datetime": "dateTime", "time": "time"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Parent:
    """A column that names a parent by its external id."""

    lookup: Field
    target: ObjectType
    key: Field
    normalise: Normaliser


class Columns:
    """The columns of one job. JobFailure for a header that the job cannot be done with."""

    def __init__(self, org: Org, target: ObjectType, job: IngestJob) -> None:
        self._org = org
        self._target = target
        self._id_at: int | None = None
        self._fields: list[tuple[int, str, Normaliser, int]] = []
        self._parents: list[tuple[int, _Parent]] = []
        if len(job.header) > MOST_COLUMNS:
            raise JobFailure("InvalidBatch", f"The header has more than {MOST_COLUMNS} columns")
        for at, name in enumerate(job.header):
            self._place(at, name)
        names = {name.lower() for _, name, *_ in self._fields}
        if len(names) < len(self._fields):
            raise JobFailure("InvalidBatch", "Duplicate field names in the header")
        needed = "Id" if job.operation in ("update", "delete") else job.external_id or ""
        if needed and needed.lower() not in (names | ({"id"} if self._id_at is not None else set())):
            raise _unknown(needed)
        if job.operation == "delete" and len(job.header) > 1:
            raise JobFailure("InvalidBatch", "The 'delete' batch must contain only ids")
        closed = [name for _, name, *_ in self._fields if not (self._may(name, "create") and self._may(name, "update"))]
        self._closed = frozenset(closed)

    def id_of(self, row: list[str]) -> str:
        """Return the id that a row gives, as it stands there; empty without one."""
        return row[self._id_at] if self._id_at is not None else ""

    def change(self, row: list[str]) -> Change:
        """Return the change that a row asks for, with the refusal of what is wrong with it."""
        change = Change(self._target)
        values = change.values
        try:
            for at, name, normalise, plain in self._fields:
                text = row[at]
                if not text:
                    continue
                if text == NOTHING:
                    values[name] = None
                elif plain and len(trimmed := text.strip(BLANKS)) <= plain:
                    values[name] = trimmed or None  # what the normaliser does with most cells, without the call
                else:
                    values[name] = normalise(text)
        except WrongType:
            change.refusal = _wrong_type(at, self._target.by_name[name.lower()], row[at])
        except Refusal as refusal:
            change.refusal = refusal
        if self._closed:
            change.not_createable = [each for each in self._closed & values.keys() if not self._may(each, "create")]
            change.not_updateable = [each for each in self._closed & values.keys() if not self._may(each, "update")]
        if self._parents:
            self._add_parents(change, row)
        if self._id_at is not None and row[self._id_at] and change.refusal is None:
            take_id(change, row[self._id_at])
        return change

    def _may(self, name: str, what: str) -> bool:
        known = self._target.by_name[name.lower()]
        return known.createable if what == "create" else known.updateable

    def _add_parents(self, change: Change, row: list[str]) -> None:
        for at, parent in self._parents:
            text = row[at]
            if text == NOTHING:
                change.values[parent.lookup.name] = None
            elif text:
                try:
                    value = parent.normalise(text)
                except Refusal as refusal:
                    change.refusal = change.refusal or refusal
                    continue
                change.parents.append(ParentKey(parent.lookup, parent.target, parent.key, value))

    def _place(self, at: int, name: str) -> None:
        known = self._target.find(name)
        if known is not None and known.type == "id":
            self._id_at = at
        elif known is not None and known.type != "address":
            plain = known.length if known.type in PLAIN_TEXT else 0
            self._fields.append((at, known.name, normaliser(known), plain))
        elif "." in name:
            self._parents.append((at, self._parent(name)))
        else:
            raise _unknown(name)

    def _parent(self, name: str) -> _Parent:
        path, _, key_name = name.rpartition(".")
        kind, typed, relationship = path.rpartition(":")
        lookup = self._target.by_relationship.get(relationship.lower())
        if lookup is None or not lookup.createable:
            raise _unknown(name)
        several = len(lookup.reference_to) > 1
        if typed and not several:
            text = f"type is not needed for non polymorphic foreign key references: {relationship}"
            raise JobFailure("InvalidBatch", text)
        parent = self._org.find(kind if several else lookup.reference_to[0])
        key = parent.find(key_name) if parent and parent.name in lookup.reference_to else None
        if parent is None or key is None or not (key.external_id or key.id_lookup):
            raise _unknown(name)
        return _Parent(lookup, parent, key, normaliser(key))


def _unknown(name: str) -> JobFailure:
    return JobFailure("InvalidBatch", f"Field name not found : {name}")


def _wrong_type(at: int, known: Field, text: str) -> Refusal:
    kind = XSD.get(known.type, "string")
    return Refusal(
        "INVALID_FIELD",
        f"Failed to deserialize field at col {at}. Due to, '{text}' is not a valid value for the type xsd:{kind}",
        fields=[known.name],
    )
