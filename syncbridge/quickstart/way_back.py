"""The way back: what sales edits in Salesforce, and what both sides edit at once.

Each act edits through Salesforce's API as a person does, waits for the next poll, and reads rows and sync log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from psycopg import Connection

from syncbridge.model import Fields, Normal
from syncbridge.quickstart.sales_desk import SalesDesk
from syncbridge.quickstart.services import Services
from syncbridge.store import decisions, held_changes, links, mappings, sync_log
from syncbridge.store.sync_log import Logged

T = TypeVar("T")

#: Seconds for a change of Salesforce to be in its row; the interval of the polls and some calls are a fraction of it.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class RemoteEdit:
    """One edit in Salesforce in words, and what reached Postgres for it."""

    what: str
    mapping: str
    key: str
    reached: str  # `update: Title`, `create`, `delete`
    milliseconds: float | None  # from the edit to the recorded row


@dataclass(frozen=True, slots=True)
class Clash:
    """One field that both sides changed at once, and who had their way."""

    what: str
    mapping: str
    key: str
    field: str
    row: Normal  # what the row held, in Salesforce's form
    record: Normal  # what the record held
    decided: str  # by which rule, or by whom


#: what it is, in words; the mapping; the object; the key; the fields
_EDITS: Sequence[tuple[str, str, str, str, Fields]] = (
    ("sales corrects a job title", "people", "Contact", "51", {"Title": "Head of Procurement"}),
    ("sales closes a deal", "orders", "Opportunity", "41", {"StageName": "Closed Won"}),
)
_MOVED, _DELETED, _NEW_COMPANY = "52", "53", "5"

#: mapping; object; key; field; what sales writes; the SQL of the application right after it
_BY_RULE = ("people", "Contact", "54", "Title", "Chief Buyer", "update people set title = 'Lead Buyer' where id = 54")
_HELD = ("orders", "Opportunity", "42", "Amount", 4200.0, "update orders set amount = 3900 where id = 42")


class WayBack:
    """What comes back from Salesforce, over running services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def edits(self) -> list[RemoteEdit]:
        """Edit, move, delete and enter records; what became of their rows."""
        with self._desk() as desk, self._services.project.store("quickstart") as store:
            company = desk.read("Account", _NEW_COMPANY)["Id"]
            moved = ("sales moves somebody to another company", "people", "Contact", _MOVED, {"AccountId": company})
            done: list[tuple[str, str, str, datetime]] = []
            for what, mapping, object, key, fields in (*_EDITS, moved):
                desk.edit(object, key, fields)
                done.append((what, mapping, key, _now(store)))
            desk.delete("Contact", _DELETED)
            done.append(("sales deletes a contact", "people", _DELETED, _now(store)))
            person = {"FirstName": "Liv", "LastName": "Berg", "Email": "liv@mail.example", "AccountId": company}
            remote_id, entered = desk.create("Contact", person), _now(store)
            key = _await(lambda: links.holders(store, self._id(store, "people"), [remote_id]).get(remote_id)) or ""
            done.append(("sales enters a new contact", "people", key, entered))
            return [_reached(store, *each) for each in done]

    def live(self, what: str, mapping: str, object: str, key: str, fields: Fields) -> RemoteEdit:
        """One edit, and what became of its row."""
        with self._desk() as desk, self._services.project.store("quickstart") as store:
            began = _now(store)
            desk.edit(object, key, fields)
            return _reached(store, what, mapping, key, began)

    def decided_by_rule(self) -> Clash:
        """Both sides change a job title within moments; `conflict: newest` decides."""
        mapping, _, key, field, _, _ = _BY_RULE
        with self._desk() as desk, self._services.project.store("quickstart") as store:
            began = _now(store)
            self._change_both(desk, *_BY_RULE)
            entry = _await(lambda: next(_incoming(store, mapping, key, began), None))
            decision = (entry.decision or {}).get(field, {}) if entry is not None else {}
            return Clash(
                "a job title, by sales and then by the application",
                mapping,
                key,
                field,
                row=decision.get("local"),
                record=decision.get("remote"),
                decided=f"{decision.get('rule', 'nobody')}: {decision.get('verdict', 'held')}",
            )

    def held(self) -> Clash:
        """Both sides change the amount of an order; `conflict: hold` leaves it to a person, who takes the record's."""
        mapping, _, key, field, _, _ = _HELD
        with self._desk() as desk, self._services.project.store("quickstart") as store:
            self._change_both(desk, *_HELD)
            mapping_id = self._id(store, mapping)
            held = _await(lambda: held_changes.read(store, mapping_id, [key]).get(key))
            values = held.fields.get(field, {}) if held is not None else {}
            if held is not None:
                decisions.take(store, mapping_id, key, held.revision, {field: decisions.REMOTE})
            _await(lambda: not held_changes.read(store, mapping_id, [key]))
            return Clash(
                "the amount of an order, by both",
                mapping,
                key,
                field,
                row=values.get("local"),
                record=values.get("remote"),
                decided="held; a person took the record's",
            )

    def _change_both(
        self, desk: SalesDesk, mapping: str, object: str, key: str, field: str, value: Normal, sql: str
    ) -> None:
        """First the record, then the row, both before the next poll."""
        with self._services.connect() as crm:
            desk.edit(object, key, {field: value})
            crm.execute(sql.encode())

    def _desk(self) -> SalesDesk:
        return SalesDesk(self._services.sandbox_url, self._services.credentials)

    @staticmethod
    def _id(store: Connection, mapping: str) -> int:
        return mappings.read(store, mapping).id


def _reached(store: Connection, what: str, mapping: str, key: str, edited: datetime) -> RemoteEdit:
    entry = _await(lambda: next(_incoming(store, mapping, key, edited), None))
    if entry is None:
        return RemoteEdit(what, mapping, key, "nothing yet", None)
    named = entry.outcome == "written" and entry.operation == "update" and entry.fields
    reached = f"update: {entry.fields}" if named else entry.operation
    if entry.outcome != "written":
        reached = f"{entry.outcome}: {entry.code or entry.message or ''}"
    return RemoteEdit(what, mapping, key, reached, round((entry.at - edited).total_seconds() * 1000, 1))


def _incoming(store: Connection, mapping: str, key: str, since: datetime) -> Iterator[Logged]:
    """What the log tells of remote changes of a record since then, the oldest first."""
    entries = sync_log.read(store, mapping=mapping, key=key, since=since)
    return (entry for entry in entries if entry.direction == "in")


def _now(store: Connection) -> datetime:
    row = store.execute("select clock_timestamp()").fetchone()
    assert row is not None  # a function answers
    moment: datetime = row[0]
    return moment


def _await(look: Callable[[], T]) -> T:
    """Look until there is something to see, or patience ends; what was seen last."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found
