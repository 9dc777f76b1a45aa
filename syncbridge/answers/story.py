"""One record's whole story: the row, what it is in the destination's normal form, the link, what would be sent now, the
remote record, what waits, and what happened. `standing.stand` says in plain words what that comes to.

Values of fields that a mapping calls sensitive never leave this module: they are masked, whichever side they are from.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg import Connection

from syncbridge.answers import held
from syncbridge.answers.held import HeldRemote
from syncbridge.destinations.base import RemoteRecord
from syncbridge.errors import RecordRejected, SyncbridgeError
from syncbridge.mapping.compile import CompiledField, CompiledMapping
from syncbridge.mapping.keys import decode_key
from syncbridge.mapping.sql import literal, qualified
from syncbridge.model import Fields, MappingStatus, Operation
from syncbridge.outbound.compose import Composer, Entities
from syncbridge.outbound.convert import Converter
from syncbridge.outbound.masking import masked
from syncbridge.outbound.plan import plan
from syncbridge.outbound.reread import parked_by
from syncbridge.project import Project
from syncbridge.source import rows
from syncbridge.store import (
    backlog,
    conflicts,
    held_changes,
    kept_rows,
    links,
    loads,
    mappings,
    parents,
    rechecks,
    runs,
    sync_log,
    way_back,
    workers,
)
from syncbridge.store.backlog import Waiting
from syncbridge.store.claims import Claimed
from syncbridge.store.conflicts import Conflict
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link
from syncbridge.store.mappings import AppliedMapping
from syncbridge.store.parents import Parent
from syncbridge.store.sync_log import Logged
from syncbridge.store.way_back import WayBack

HISTORY = 20


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of one entity. Where a part is None it is not there, or could not be found out: `trouble` and
    `remote_trouble` say why."""

    mapping: str
    key: str
    destination: str
    object: str
    at: datetime
    status: MappingStatus  # of the mapping
    reason: str
    hint: str
    until: datetime | None
    delivering: bool  # a worker is there that could deliver
    run_pending: bool  # a first sync or resync has not come to its end
    waiting: Waiting | None  # its row of the outbox
    history: tuple[Logged, ...]  # oldest first
    remote_id: str | None = None
    delivered_at: datetime | None = None
    base: Fields | None = None  # what both sides last agreed on
    kept: datetime | None = None  # when it was found that its record was deleted there, which the mapping ignores
    conflict: Conflict | None = None  # why it is held, and the records it could be
    sources: Mapping[str, str] = field(default_factory=dict)  # remote field -> column, `sql` or `constant`
    row: Mapping[str, str | None] | None = None  # remote field -> Postgres's text now; None: no entity
    filtered: bool = False  # there is a row, but it does not pass the mapping's filter
    record: Fields | None = None  # the row in the destination's normal form
    refusal: str = ""  # why the row can not be delivered as it is
    trouble: str = ""  # why the row could not be read
    operation: Operation | None = None  # what would be done now; None: not known
    sends: tuple[str, ...] = ()  # fields that would be sent now
    parked: tuple[str, ...] = ()  # fields that are not sent before a person has decided
    undecided: tuple[str, ...] = ()  # fields that were changed there too: nothing is sent before the next poll decides
    stays: tuple[str, ...] = ()  # fields in which the row differs, of a mapping that sends nothing
    remote: Fields | None = None  # the remote record now
    remote_read: bool = False
    remote_trouble: str = ""  # why the remote record could not be read
    parents: tuple[Parent, ...] = ()  # records of other mappings that it waits for, or was sent without
    remote_changed: tuple[str, ...] = ()  # fields that somebody changed at the destination
    two_way: bool = False  # remote changes come back
    outgoing: bool = True  # changes of rows are sent
    way_back: WayBack | None = None  # how that stands where remote changes come back
    held: HeldRemote | None = None  # a remote change that is not in the row, until a person decides
    recheck: bool = False  # the poller looks at the record again
    loading: bool = False  # nothing is sent before the mapping's first load is over


def tell(project: Project, name: str, key: str, *, offline: bool = False) -> Story:
    """Gather everything about one entity; the destination is asked unless `offline`.

    A source or destination that is away, and a mapping that no longer fits, are part of the story. Raises SettingsError
    when there is no such mapping, RetryLater when the state is away.
    """
    with project.store("show") as store:
        applied = mappings.read(store, name)
        link = links.read(store, applied.id, key)
        story = _from_state(store, applied, key, link)
        told = _Telling(project, applied, key, link, offline=offline)
        story = told.complete(store, story)
    return _masked(story, applied)


def entity_of(
    project: Project, store: Connection, applied: AppliedMapping, remote_id: str, *, offline: bool = False
) -> str | None:
    """The key of the entity that is linked to a remote record, or that the record names; None when there is none.

    The destination is asked unless it is linked under this very id, or `offline`.
    """
    holder = links.holders(store, applied.id, [remote_id]).get(remote_id)
    if holder is not None or offline:
        return holder
    external = applied.definition["external_id"]
    (record,) = project.destination(applied.destination).read(
        applied.object, [remote_id], [external], lane=applied.name
    )
    if record is None:
        return None
    key = next((value for name, value in record.fields.items() if name.lower() == external.lower()), None)
    named = None if key in (None, "") else str(key)
    return links.holders(store, applied.id, [record.remote_id]).get(record.remote_id, named)


def _from_state(store: Connection, applied: AppliedMapping, key: str, link: Link | None) -> Story:
    return Story(
        mapping=applied.name,
        key=key,
        destination=applied.destination,
        object=applied.object,
        at=datetime.now(UTC),
        status=applied.status,
        reason=applied.reason,
        hint=applied.hint,
        until=applied.until,
        delivering=any(worker.alive and "deliver" in worker.roles for worker in workers.read_all(store)),
        run_pending=any(run.mapping_id == applied.id for run in runs.pending(store)),
        waiting=backlog.waiting(store, applied.id, key),
        kept=_kept(store, applied, key) if link is None else None,
        conflict=conflicts.read(store, applied.id, key),
        history=tuple(sync_log.read(store, mapping=applied.name, key=key, limit=HISTORY)),
        parents=parents.of_entity(store, applied.id, key),
        two_way=applied.two_way,
        outgoing=applied.definition.get("direction") != "to_postgres",
        way_back=way_back.read_all(store).get(applied.id),
        held=held.read(store, applied, key),
        loading=loads.first_pending(store, applied.id),
        recheck=link is not None and bool(rechecks.among(store, applied.id, [link.remote_id])),
        remote_id=link.remote_id if link is not None else None,
        delivered_at=link.delivered_at if link is not None else None,
        base=link.base if link is not None else None,
    )


def _kept(store: Connection, applied: AppliedMapping, key: str) -> datetime | None:
    kept = kept_rows.read(store, applied.id, [key]).get(key) if applied.two_way else None
    return kept.delivered_at if kept is not None else None


@dataclass(slots=True)
class _Telling:
    """Adds what the source and the destination say."""

    project: Project
    applied: AppliedMapping
    key: str
    link: Link | None
    offline: bool

    def complete(self, store: Connection, story: Story) -> Story:
        with ExitStack() as opened:
            try:
                catalog = opened.enter_context(self.project.source_admin("show"))
                source = opened.enter_context(self.project.source("show"))
                _, mapping = self.project.compiled(store, catalog, self.applied.name)
                found = rows.compose(source, mapping.compose_sql, [self.key])
                story = self._with_row(story, mapping, found, catalog)
            except SyncbridgeError as error:
                return replace(story, trouble=error.message)
            if self.offline:
                return story
            try:
                composer = Composer(mapping, self.project.destination(mapping.destination), source)
                entities = composer.convert(found)
                self.project.lookups(store, mapping).resolve(entities, composer.converter.lookups)
                hold = held_changes.read(store, self.applied.id, [self.key]).get(self.key)
                story = self._with_plan(story, entities, composer.converter, hold)
                return self._with_remote(story, mapping, composer.converter)
            except SyncbridgeError as error:
                return replace(story, remote_trouble=error.message)

    def _with_row(self, story: Story, mapping: CompiledMapping, found: rows.Rows, catalog: Connection) -> Story:
        sources = {each.remote: _source(each) for each in mapping.fields}
        row = found.found.get(self.key)
        if row is None:
            refusal = found.refused.get(self.key, "")
            filtered = not refusal and _has_row(catalog, mapping, self.key)
            return replace(story, sources=sources, refusal=refusal, filtered=filtered)
        shown = {
            each.remote: row[each.position] if each.position is not None else str(each.constant)
            for each in mapping.fields
        }
        return replace(story, sources=sources, row=shown)

    def _with_plan(self, story: Story, entities: Entities, converter: Converter, hold: HeldChange | None) -> Story:
        link, waiting = self.link, story.waiting
        claimed = Claimed.unclaimed(
            self.key,
            (link.remote_id, orjson.dumps(link.base).decode()) if link is not None else None,
            reason=waiting.reason if waiting is not None else "",
            resend=waiting is not None and waiting.resend,
        )
        planned = plan(
            [claimed], entities, gone=converter.gone, owned=converter.owned, external=converter.external_field
        )[0]
        refusal = f"{planned.refusal.code}: {planned.refusal.message}" if planned.refusal else story.refusal
        record = entities.records.get(self.key)
        story = replace(story, record=record, refusal=refusal, operation=Operation.NOTHING)
        if record is not None:
            story = replace(story, record={**record, **entities.computed.get(self.key, {})})
        if not story.outgoing:
            return replace(story, stays=tuple(planned.fields) if story.base is not None else ())
        if story.kept is not None:
            return story
        parked = parked_by(planned, hold) if hold is not None else set()
        sends = tuple(name for name in planned.fields if name not in parked)
        stands_still = (planned.fields and not sends) or (hold is not None and hold.kind == "delete")
        operation = Operation.NOTHING if stands_still else planned.operation
        return replace(story, operation=operation, sends=sends, parked=tuple(sorted(parked & planned.fields.keys())))

    def _with_remote(self, story: Story, mapping: CompiledMapping, converter: Converter) -> Story:
        destination = self.project.destination(mapping.destination)
        names = list({**(story.base or {}), **(story.record or {})})
        found: RemoteRecord | None = None
        if self.link is not None:
            found = destination.read(mapping.object, [self.link.remote_id], names, lane=mapping.name)[0]
        else:
            with suppress(RecordRejected):  # no record can carry a key that the external id does not hold
                value = converter.external_value(self.key)
                same = destination.find(mapping.object, converter.external_field, [value], names, lane=mapping.name)
                found = next((each for records in same.values() for each in records), None)
        if found is None:
            return replace(story, remote_read=True)
        shown = {name: found.fields.get(name) for name in names}
        base = story.base or {}
        changed = tuple(name for name in names if name in base and shown[name] != base[name])
        story = replace(story, remote_id=found.remote_id, remote=shown, remote_read=True, remote_changed=changed)
        two_way = mapping.two_way
        if two_way is None or not story.outgoing:
            return story
        ours = {each.remote.lower() for each in mapping.fields if two_way.is_postgres_owned(each.remote)}
        undecided = tuple(name for name in story.sends if name in changed and name.lower() not in ours)
        return replace(story, undecided=undecided, sends=(), operation=Operation.NOTHING) if undecided else story


def _source(field: CompiledField) -> str:
    return f"lookup {field.lookup}" if field.lookup is not None else field.column or field.source


def _has_row(catalog: Connection, mapping: CompiledMapping, key: str) -> bool:
    """Whether the table has a row of this key, whatever the mapping's filter says."""
    parts = zip(mapping.key, decode_key(key, len(mapping.key)), strict=True)
    where = " and ".join(f"{qualified(mapping.table, column)} = {literal(part)}" for column, part in parts)
    return bool(rows.count(catalog, mapping.count_sql(where=where), seconds=3.0))


def _masked(story: Story, applied: AppliedMapping) -> Story:
    """Without the values of sensitive fields."""

    def mask(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if values is None else masked(values, applied.sensitive)

    return replace(
        story, row=mask(story.row), record=mask(story.record), base=mask(story.base), remote=mask(story.remote)
    )
