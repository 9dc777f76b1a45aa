"""Put a project in force: state schema, publication, slot, mappings, first syncs. Idempotent, and resumable.

The order matters. A table is published before its mapping is in force, and until no mapping watches it any more. A
mapping comes in force together with the run that it makes necessary; the run begins when capture was told what to
watch, and every transaction that ran at that moment has ended: so each change is in the rows that it reads, or in the
stream. Whatever was done when it is interrupted stays done, and the next `apply` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg import Connection

from syncbridge.applying import planning
from syncbridge.applying.planning import Change, Decisions, Kind, Outlook
from syncbridge.applying.positions import NewPosition
from syncbridge.destinations.base import Delivered
from syncbridge.errors import RetryLater, SettingsError, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Lsn, MappingStatus, Priority, Reason
from syncbridge.outbound.bulk_follow import remote_job
from syncbridge.project import Project
from syncbridge.source import publication, rows
from syncbridge.source.startup import Standing
from syncbridge.store import (
    backlog,
    bulk_jobs,
    conflicts,
    database,
    fan_out,
    forget,
    held_changes,
    links,
    loads,
    mappings,
    outbox,
    runs,
    sync_log,
)
from syncbridge.store.runs import Direction

#: Old records that are deleted before the next look whether all is well.
DELETE_AT_ONCE = 1000


@dataclass(slots=True)
class Applied:
    """What `apply` did, in words, in order; empty when everything was in force already."""

    steps: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)  # mapping -> the run that was asked for
    told: Callable[[str], None] = lambda step: None

    def did(self, step: str) -> None:
        """Note what is durable from now on."""
        self.steps.append(step)
        self.told(step)


def apply(
    project: Project,
    *,
    recreate_slot: bool = False,
    decisions: Decisions | None = None,
    told: Callable[[str], None] = lambda step: None,
) -> Applied:
    """Bring everything in line with the settings and mapping files; each step is `told` when it is done.

    `recreate_slot` drops a slot that is lost or behind, makes it anew and resyncs every mapping: what changed
    in between is found by comparison. Raises MappingError, SettingsError, SourceUnusable or PositionLost, and does
    nothing then.
    """
    decisions = decisions or Decisions(recreate_slot=recreate_slot)
    applied = Applied(told=told)
    with project.source_admin("apply") as source, project.store("apply", ready=False) as store:
        database.one_at_a_time(store)
        outlook = planning.look(project, source, store, decisions)
        for obstacle in planning.obstacles(project, outlook, decisions):
            raise obstacle
        _Applying(project, source, store, outlook, decisions, applied).carry_out()
    return applied


@dataclass(slots=True)
class _Applying:
    project: Project
    source: Connection
    store: Connection
    outlook: Outlook
    decisions: Decisions
    applied: Applied

    def carry_out(self) -> None:
        for name in database.setup(self.store):
            self.applied.did(f"state schema: applied {name}")
        retention = self.project.settings.store.log_retention_days
        sync_log.keep_partitions(self.store, today=datetime.now(UTC).date(), retention_days=retention)
        before, after = planning.publication_steps(self.project, self.outlook)
        self._publish(before)
        self._provide_slot()
        for change in self.outlook.changes:
            self._put_in_force(change)
        if self.applied.steps or self.outlook.asked:
            publication.announce(self.source)  # a worker that captures now watches them from here on
        self._publish(after)
        self._begin_runs()
        forget.strays(self.store)

    def _publish(self, statements: Sequence[str]) -> None:
        publication.apply(self.source, statements)
        for statement in statements:
            self.applied.did(f"publication: {statement}")

    # -- the slot -----------------------------------------------------------------------------------------------------

    def _provide_slot(self) -> None:
        """Make the slot and its checkpoint where there are none. With them, every record will be compared again."""
        name, outlook = self.project.settings.source.slot, self.outlook
        anew = self.decisions.recreate_slot or outlook.slot_intended
        if outlook.checkpoint is not None and not anew:
            return
        conninfo = self.project.settings.source.conninfo()
        in_force = tuple(known.id for known in outlook.known.values())
        behind = outlook.verdict is not None and outlook.verdict.standing is Standing.GAP
        position = NewPosition(conninfo, name, outlook.checkpoint, in_force, resend=behind)
        if outlook.slot_there:
            position.drop(self.source, self.store)
            self.applied.did(f"slot {name}: dropped")
        self.applied.did(f"slot {name}: created at {position.make(self.source, self.store, 'a person asked for it')}")

    # -- mappings -----------------------------------------------------------------------------------------------------

    def _put_in_force(self, change: Change) -> None:
        if change.kind in (Kind.GONE, Kind.RESTS):
            self._remove(change)
            return
        if change.kind is Kind.MOVED and self.decisions.delete_old:
            self._delete_old(change)
        if change.kind is Kind.CHANGED and change.before is not None and change.spec is not None:
            added = [name for name in change.spec.fields if name not in change.before.fields]
            if added and change.applied is not None:
                forget.fields(self.store, change.applied.id, added)
        self._register(change)

    def _register(self, change: Change) -> None:
        mapping = change.compiled
        assert mapping is not None  # it has a file
        if change.kind is Kind.MOVED:
            self._abort_jobs(change)
        database.transact(self.store, lambda: self._record(change, mapping))
        paused = " and paused" if self.decisions.paused else ""
        words = {
            Kind.NEW: f"new{paused}, {mapping.schema}.{mapping.table} -> {mapping.object}",
            Kind.CHANGED: "changed",
            Kind.MOVED: "changed; its links are forgotten",
        }
        self.applied.did(f"mapping {mapping.name}: {words[change.kind]}")

    def _record(self, change: Change, mapping: CompiledMapping) -> None:
        """The mapping, what is forgotten of its records, and the runs it asks for: all of it or nothing."""
        if change.compose and change.applied is not None:
            fan_out.discard(self.store, change.applied.id)  # the run covers them, and they may mean something else
        number, _ = mappings.apply(
            self.store,
            name=mapping.name,
            destination=mapping.destination,
            object=mapping.object,
            definition=dict(mapping.definition),
            digest=mapping.digest,
            paused="put in force paused" if self.decisions.paused else "",
        )
        if change.kind is Kind.MOVED:
            forget.records(self.store, number)
            for child in self._children(mapping.name):
                runs.ask(self.store, child, Reason.RESYNC)
        if change.before is not None and change.before.match_on != mapping.match_on:
            conflicts.start_anew(self.store, number)
        begins = change.before is not None and change.before.direction == "to_postgres"
        if not mapping.sends:
            forget.outgoing(self.store, number)
        elif change.compose or begins:
            first = change.kind in (Kind.NEW, Kind.MOVED) or begins
            runs.ask(self.store, number, Reason.FIRST_SYNC if first else Reason.RESYNC)
        if mapping.two_way is None:
            loads.cancel(self.store, number)
            self._send_held(number)
            forget.incoming(self.store, number)
        elif change.kind is not Kind.CHANGED or change.before is None or change.before.direction == "to_destination":
            loads.ask_first(self.store, number)

    def _send_held(self, number: int) -> None:
        """The way back ends: rows that waited for a decision go out as they are."""
        held = held_changes.keys(self.store, number)
        if held:
            lsn, moment = Lsn.parse(rows.position(self.source)), database.now(self.store)
            outbox.enqueue(
                self.store, number, held, reason=Reason.REMOTE, priority=Priority.LIVE, lsn=lsn, moment=moment
            )

    def _children(self, name: str) -> list[int]:
        """Mappings in force that look up this one: they hold the ids of its records."""
        looking = {spec.mapping for spec in self.outlook.specs for f in spec.fields.values() if f.lookup == name}
        return [known.id for known in self.outlook.known.values() if known.name in looking and known.name != name]

    def _remove(self, change: Change) -> None:
        if change.applied is None or change.name not in self.decisions.remove:
            return
        gone = change.applied.id
        self._abort_jobs(change)
        database.transact(self.store, lambda: forget.mapping(self.store, gone))
        self.applied.did(f"mapping {change.name}: removed; its remote records stay as they are")

    def _abort_jobs(self, change: Change) -> None:
        """End bulk jobs whose records are about to be forgotten; one that is begun later is ended by who begins it."""
        applied = change.applied
        if applied is None or applied.destination not in self.project.settings.destinations:
            return
        bulk = self.project.destination(applied.destination).bulk
        for job in bulk_jobs.read_all(self.store, applied.id):
            if job.remote_id is None or bulk is None:
                continue
            try:
                bulk.abort(remote_job(job, change.name))
            except SyncbridgeError as error:
                raise RetryLater(
                    f"{change.name}: its bulk job {job.remote_id} could not be ended: {error.message}",
                    hint="Apply again when the destination can be reached.",
                ) from None
            self.applied.did(f"mapping {change.name}: bulk job {job.remote_id} ended")

    def _delete_old(self, change: Change) -> None:
        """Delete the records that the mapping was linked to, page by page; each page is forgotten when it is done."""
        applied = change.applied
        assert applied is not None  # it is in force
        if applied.status is not MappingStatus.PAUSED:
            raise SettingsError(
                f"the old records of {change.name} can only be deleted while it is paused",
                hint=f"Run: syncbridge pause {change.name}",
            )
        if backlog.under_lease(self.store, applied.id):
            raise RetryLater(f"{change.name}: a worker is still delivering", hint="Try again in a minute.")
        destination = self.project.destination(applied.destination)
        deleted, after = 0, None
        while page := links.page(self.store, applied.id, after, DELETE_AT_ONCE):
            after = page[-1][0]
            answers = destination.delete(applied.object, [remote_id for _, remote_id in page], lane=change.name)
            done = [key for (key, _), answer in zip(page, answers, strict=True) if isinstance(answer, Delivered)]
            links.remove(self.store, applied.id, done)
            deleted += len(done)
            refused = next((answer for answer in answers if not isinstance(answer, Delivered)), None)
            if refused is not None:
                raise SettingsError(
                    f"{change.name}: {len(page) - len(done)} old records could not be deleted: {refused.code}:"
                    f" {refused.message}",
                    hint="Mend it and apply again, or leave --delete-old away to keep them.",
                )
        if deleted:
            self.applied.did(f"mapping {change.name}: {deleted:,} old records deleted")

    # -- runs ---------------------------------------------------------------------------------------------------------

    def _begin_runs(self) -> None:
        asked = runs.asked(self.store)
        if not asked:
            return
        runs.open_asked(self.store, barrier=rows.next_transaction(self.source))
        for run in asked:
            if run.direction is Direction.IN:
                self.applied.did(f"mapping {run.mapping}: first load asked for; nothing is sent before it is over")
                continue
            self.applied.runs[run.mapping] = run.id
            first = run.reason is Reason.FIRST_SYNC
            told = "first sync asked for" if first else "every record will be compared again"
            self.applied.did(f"mapping {run.mapping}: {told}")
