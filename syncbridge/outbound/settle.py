"""Seam 2: the answers of one batch become durable, in one transaction.

Links with their new base, outbox rows removed (only those whose version is still the claimed one) or kept for another
try, and the sync log. Until it commits nothing of the batch is known; after it everything is.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.destinations.base import Delivered, Rejected, Result
from syncbridge.errors import Remedy
from syncbridge.model import Fields, Operation, Outcome, Reason
from syncbridge.outbound import waits
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.waits import Ties
from syncbridge.policy import Retry, after_rejection
from syncbridge.store import claims, conflicts, database, links, rechecks, sync_log
from syncbridge.store.claims import Claimed, Kept
from syncbridge.store.conflicts import Held
from syncbridge.store.sync_log import Entry

#: Code of entities that are held at first contact.
SEVERAL_MATCHES = "SEVERAL_MATCHES"
#: Characters that are kept of a destination's message.
LONGEST_MESSAGE = 2000
#: Code of what waits for other records.
WAITS = "WAITS"
#: Code of what waits for the poller to decide.
UNDECIDED = "CHANGED_THERE"
#: Seconds until such a row is looked at again; the poller lets it go on as soon as it has decided.
DECIDING = 30.0


@dataclass(slots=True)
class Settlement:
    """What one batch comes to; filled by the functions below, written by `settle`."""

    done: dict[str, int] = field(default_factory=dict)  # key -> version
    linked: dict[str, tuple[str, Fields]] = field(default_factory=dict)  # key -> remote id, new base
    unlinked: list[str] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    delivered: int = 0
    same: int = 0
    dead: int = 0
    dead_again: int = 0  # of these: a resync came to them, and they are refused as before
    retried: int = 0
    waiting: int = 0
    worst: Rejected | None = None  # one that says the mapping must wait or halt
    last_error: tuple[str, str] | None = None  # message, key
    ties: Ties = field(default_factory=Ties)
    astray: dict[str, str] = field(default_factory=dict)  # key -> remote id that the poller is to look at
    relinked: bool = False  # some of `linked` were linked before

    @property
    def is_simple(self) -> bool:
        """Whether all it holds is rows that are done with, their links, and the log."""
        family = self.ties.kin.parents or self.ties.kin.children
        return not (family or self.kept or self.held or self.unlinked or self.astray)


class _Changed(Exception):
    """Some of a settlement's rows are not as they were claimed."""


def settle(
    connection: Connection, mapping_id: int, claim: int, settlement: Settlement, *, matching: bool = False
) -> None:
    """Write a settlement. What concerns keys that another claim took over meanwhile is left out.

    With `matching` (of a mapping that looks for existing records) conflicts of what was delivered are over, and those
    who were held for the same records are due again.
    """

    def write() -> None:
        ours = _write(connection, mapping_id, claim, settlement)
        if matching:
            over = conflicts.remove(connection, mapping_id, settlement.done.keys() & ours)
            conflicts.release(connection, mapping_id, over)

    if matching or not settlement.is_simple or not _settle_simple(connection, mapping_id, claim, settlement):
        database.transact(connection, write)


def _settle_simple(connection: Connection, mapping_id: int, claim: int, settlement: Settlement) -> bool:
    """Settle what leaves no row in the outbox; False, and nothing is done, when some changed or are not ours any more.

    Rows are locked by the statement that removes them, which comes first.
    """

    def write() -> None:
        done = settlement.done
        if len(claims.finish_unchanged(connection, mapping_id, claim, done)) < len(done):
            raise _Changed
        if settlement.relinked:
            links.upsert(connection, mapping_id, settlement.linked)
        else:
            links.add(connection, mapping_id, settlement.linked)
        sync_log.append(connection, mapping_id, settlement.log)

    try:
        if settlement.done:
            database.transact(connection, write)
    except _Changed:
        return False
    return True


def _write(connection: Connection, mapping_id: int, claim: int, settlement: Settlement) -> set[str]:
    done, kept = settlement.done, settlement.kept
    linked, unlinked, log = settlement.linked, settlement.unlinked, settlement.log
    tied = settlement.ties if settlement.ties.kin.parents or settlement.ties.kin.children else None
    if tied is not None:
        waits.begin(connection, mapping_id, tied, {key: link[0] for key, link in linked.items()}, unlinked)
    ours = claims.lock(connection, mapping_id, claim, [*done, *(row.key for row in kept)])
    if len(ours) < len(done) + len(kept):
        linked = {key: link for key, link in linked.items() if key in ours}
        unlinked = [key for key in unlinked if key in ours]
        log = [entry for entry in log if entry.key in ours]
    claims.finish(connection, mapping_id, claim, done)
    claims.keep(connection, mapping_id, claim, kept)
    conflicts.hold(connection, mapping_id, {key: held for key, held in settlement.held.items() if key in ours})
    links.upsert(connection, mapping_id, linked)
    links.remove(connection, mapping_id, unlinked)
    rechecks.add(connection, mapping_id, [settlement.astray[key] for key in settlement.astray.keys() & ours])
    if tied is not None:
        settled = [key for key in (*done, *(row.key for row in kept if row.dead or row.parked)) if key in ours]
        waits.record(connection, mapping_id, tied, settled=settled, linked=linked)
    sync_log.append(connection, mapping_id, log)
    return ours


def take(settlement: Settlement, planned: Planned, result: Result, *, max_attempts: int, rng: random.Random) -> None:
    """Add one sent record's result."""
    if isinstance(result, Delivered):
        _take_delivered(settlement, planned, result)
    else:
        _take_rejected(settlement, planned, result, max_attempts, rng)


def _take_delivered(settlement: Settlement, planned: Planned, result: Delivered) -> None:
    row = planned.claimed
    operation = planned.operation
    if operation is Operation.DELETE:
        settlement.unlinked.append(row.key)
    elif result.created and planned.withheld:
        # Somebody deleted the remote record, so this update created one: as if it had never been linked, all of it
        # follows at once, with what only new records get.
        operation = Operation.CREATE
        settlement.unlinked.append(row.key)
        settlement.kept.append(Kept(row.key, row.version, tried=False, resend=True))
        settlement.log.append(_entry(planned, Outcome.DELIVERED, operation=operation, remote_id=result.remote_id))
        settlement.delivered += 1
        return
    elif result.created and not planned.full and not planned.vanished:
        # Somebody deleted the remote record, so this update created one that lacks what was left out for being
        # equal: the rest follows at once, and until then nobody takes its being empty for a change.
        operation = Operation.CREATE
        empty = {name: None for name, value in planned.base.items() if value is not None}
        settlement.linked[row.key] = (result.remote_id, {**empty, **planned.fields})
        settlement.kept.append(Kept(row.key, row.version, tried=False))
        settlement.log.append(_entry(planned, Outcome.DELIVERED, operation=operation, remote_id=result.remote_id))
        settlement.delivered += 1
        return
    else:
        operation = Operation.CREATE if result.created else Operation.UPDATE
        settlement.linked[row.key] = (result.remote_id, planned.base)
        settlement.relinked |= row.remote_id is not None
    settlement.done[row.key] = row.version
    _remember(settlement, planned)
    settlement.delivered += 1
    told = planned.matched or None
    settlement.log.append(
        _entry(planned, Outcome.DELIVERED, operation=operation, remote_id=result.remote_id, message=told)
    )


def _remember(settlement: Settlement, planned: Planned) -> None:
    """What it went out without: it is sent again when that is there."""
    if planned.missing:
        settlement.ties.missing[planned.key] = planned.missing


def _take_rejected(
    settlement: Settlement, planned: Planned, result: Rejected, max_attempts: int, rng: random.Random
) -> None:
    row = planned.claimed
    if result.remedy in (Remedy.WAIT, Remedy.SCHEMA):
        settlement.worst = result
    if result.remedy is Remedy.RECORD and not planned.full and not result.uncertain and not row.resend:
        # Perhaps the remote record is gone and the part that was sent cannot create it: once more, in full (but for
        # what a two-way record was just seen to hold).
        retry = Retry(resend=True)
    else:
        retry = after_rejection(
            result.remedy,
            row.attempts,
            uncertain=result.uncertain,
            delay=result.delay,
            max_attempts=max_attempts,
            rng=rng,
        )
    keep_for(settlement, planned, retry, code=result.code, message=result.message, remote_id=result.remote_id)


def keep_for(
    settlement: Settlement,
    planned: Planned,
    retry: Retry,
    *,
    code: str,
    message: str,
    remote_id: str | None = None,
) -> None:
    """Keep a row for another try or as a dead letter, with the reason."""
    row = planned.claimed
    message = message.replace("\0", "")[:LONGEST_MESSAGE]  # Postgres stores no NUL
    settlement.kept.append(
        Kept(
            row.key,
            row.version,
            delay=retry.delay,
            dead=retry.dead,
            tried=retry.tried,
            resend=retry.resend,
            code=code,
            message=message,
        )
    )
    settlement.dead += retry.dead
    # what is refused for good at its first try was a dead letter when it was refused so before
    again = row.reason == Reason.RESYNC and not row.attempts and row.error_code == code
    settlement.dead_again += retry.dead and again
    settlement.retried += not retry.dead
    settlement.last_error = (f"{code}: {message}", row.key)
    outcome = Outcome.DEAD if retry.dead else Outcome.RETRY
    settlement.log.append(_entry(planned, outcome, code=code, message=message, remote_id=remote_id))


def take_refusal(settlement: Settlement, planned: Planned, *, max_attempts: int, rng: random.Random) -> None:
    """Add a record that was refused before sending: it can never be stored as it is."""
    refusal = planned.refusal
    assert refusal is not None  # the caller looked
    retry = after_rejection(
        refusal.remedy, planned.claimed.attempts, uncertain=False, delay=None, max_attempts=max_attempts, rng=rng
    )
    keep_for(settlement, planned, retry, code=refusal.code, message=refusal.message)


def take_held(settlement: Settlement, planned: Planned, held: Held) -> None:
    """Add an entity that could be one of several existing records: it waits for a person, or for its row to change."""
    row = planned.claimed
    candidates = ", ".join(held.candidates)
    settlement.kept.append(
        Kept(row.key, row.version, tried=False, parked="held", code=SEVERAL_MATCHES, message=held.detail)
    )
    settlement.held[row.key] = held
    settlement.log.append(
        _entry(planned, Outcome.HELD, code=SEVERAL_MATCHES, message=f"{held.detail}: {candidates}"[:LONGEST_MESSAGE])
    )


def take_nothing(settlement: Settlement, planned: Planned, *, ignored: bool = False, absent: bool = False) -> None:
    """Add a record that needs no call: equal to its base, never sent, to be ignored, or `absent` on both sides."""
    row = planned.claimed
    settlement.done[row.key] = row.version
    _remember(settlement, planned)
    settlement.same += 1
    if planned.rebased and row.remote_id is not None:
        settlement.linked[row.key] = (row.remote_id, planned.base)
        settlement.relinked = True
    if absent and row.remote_id is not None:
        settlement.unlinked.append(row.key)
    if ignored:
        settlement.unlinked.append(row.key)
        settlement.log.append(_entry(planned, Outcome.IGNORED, operation=Operation.DELETE))


def take_waiting(settlement: Settlement, planned: Planned) -> None:
    """Add a record that waits for those it looks up; no attempt is used up."""
    row = planned.claimed
    names = [f"{each.parent} {each.parent_key}" for each in planned.missing if each.held]
    message = f"waits for {', '.join(dict.fromkeys(names))}"
    settlement.kept.append(Kept(row.key, row.version, parked="waiting", tried=False, code=WAITS, message=message))
    settlement.ties.missing[row.key] = planned.missing
    settlement.waiting += 1
    settlement.log.append(_entry(planned, Outcome.WAITING, message=message))


def take_undecided(settlement: Settlement, planned: Planned) -> None:
    """Add a record of which nothing is sent before the poller has decided about what was changed there."""
    row = planned.claimed
    were = "was" if len(planned.undecided) == 1 else "were"
    message = f"{', '.join(planned.undecided)} {were} changed in the destination too: the next poll decides"
    settlement.kept.append(Kept(row.key, row.version, delay=DECIDING, tried=False, code=UNDECIDED, message=message))
    settlement.waiting += 1
    if planned.rebased and row.remote_id is not None:
        settlement.linked[planned.key] = (row.remote_id, planned.base)
    if row.error_code != UNDECIDED:
        settlement.log.append(_entry(planned, Outcome.WAITING, code=UNDECIDED, message=message))


def take_postponed(settlement: Settlement, planned: Planned) -> None:
    """Add a delete that lets others go first."""
    row = planned.claimed
    delay, message = planned.postponed_for, planned.postponed
    settlement.kept.append(
        Kept(row.key, row.version, delay=delay, tried=False, code=WAITS, message=message, resend=row.resend)
    )


def give_back(settlement: Settlement, rows: Iterable[Claimed], attempted: Container[str]) -> None:
    """Add rows of which nothing is known; those that were perhaps sent are sent in full next time."""
    settlement.kept += [Kept(row.key, row.version, tried=False, resend=row.key in attempted) for row in rows]


def _entry(
    planned: Planned,
    outcome: Outcome,
    *,
    operation: Operation | None = None,
    remote_id: str | None = None,
    code: str | None = None,
    message: str | None = None,
) -> Entry:
    row = planned.claimed
    return Entry(
        key=row.key,
        operation=operation or planned.operation,
        outcome=outcome,
        reason=row.reason,
        lsn=row.lsn,
        remote_id=remote_id or row.remote_id,
        fields=", ".join(planned.fields) or None,
        attempt=row.attempts + 1,
        code=code,
        message=message,
    )
