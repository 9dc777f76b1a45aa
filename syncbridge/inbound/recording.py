"""What a page of remote changes came to, as the state keeps it: links, held changes, keys to send, the sync log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from syncbridge.inbound.decide import Action, Decision, account, values
from syncbridge.inbound.parents import Parents
from syncbridge.inbound.resolve import Fate, Rule, Verdict
from syncbridge.inbound.taking import differing
from syncbridge.inbound.waiting import Waiting, held_record
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields, Lsn, Normal, Operation, Outcome, Priority, Reason, agrees
from syncbridge.source import rows
from syncbridge.source.row_writes import Refusal
from syncbridge.store import database, held_changes, held_records, kept_rows, links, outbox, sync_log
from syncbridge.store.held_changes import WHOLE, HeldChange, Kind
from syncbridge.store.held_records import HeldRecord
from syncbridge.store.links import Link
from syncbridge.store.outbox import Touched
from syncbridge.store.sync_log import Incoming

#: Code of a field that is stopped because it bounces.
BOUNCES = "BOUNCES"
#: In the log, of a decision that was not carried out.
VOID = "what a person decided was about other values than these"
#: In the log, of a record that was linked so.
CHOSEN = "linked: a person decided that this record is this row"


@dataclass(slots=True)
class Page:
    """One page as it was decided and applied."""

    decisions: list[Decision] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)  # by key: what Postgres, or a column, did not take
    held_records: list[HeldRecord] = field(default_factory=list)  # new records that are no row
    chosen: set[str] = field(default_factory=set)  # keys of rows that persons named for new records
    postponed: set[str] = field(default_factory=set)  # remote ids to look at again
    gone: set[str] = field(default_factory=set)  # remote ids of those that were deleted
    kept: Mapping[str, Link] = field(default_factory=dict)  # rows of its keys that stayed without their record
    touched: Mapping[str, Touched] = field(default_factory=dict)  # outbox rows of its keys
    parents: Parents = field(default_factory=Parents)  # of its rows and records
    waiting: Waiting = field(default_factory=Waiting)  # for rows of parents


def record(way: WayBack, page: Page) -> set[str]:
    """Write it all; in the transaction that locks the outbox rows of its keys. The keys that got a first link."""
    store, mapping_id, two_way = way.store, way.mapping_id, way.two_way
    done = [decision for decision in page.decisions if decision.key not in page.refused]
    not_made = [d for d in page.decisions if d.new and (d.key in page.refused or d.action is not Action.CREATE)]
    _record_new(way, page, done, not_made)
    held = list(
        {each.key: each for each in (*page.waiting.held, *_refused(page), *filter(None, map(_held, done)))}.values()
    )
    newly = held_changes.hold(store, mapping_id, held)
    held_keys = {each.key for each in held}
    held_changes.release(store, mapping_id, [d.key for d in done if d.key not in held_keys])
    linked = _linked(done, page)
    links.upsert(store, mapping_id, linked)
    kept_rows.forget(store, mapping_id, linked.keys() & page.kept.keys())
    links.remove(store, mapping_id, [d.key for d in done if d.base is None and d.pair.base is not None and not d.new])
    if two_way.sends and two_way.deletes.action != "delete":
        kept_rows.keep(store, mapping_id, _kept(done))
    # it may wait for just this
    outbox.make_due(store, mapping_id, [d.key for d in done if d.key in page.touched and not d.waiting])
    if two_way.sends:
        _send(way, [d.key for d in done if d.send and d.key not in page.touched])
    told = [*page.waiting.told, *_log_refused(page, newly), *_log_done(done, newly, way)]
    sync_log.append_incoming(store, mapping_id, told)
    return {d.key for d in done if d.key in linked and (d.pair.base is None or d.key in page.kept)}


def _record_new(way: WayBack, page: Page, done: list[Decision], not_made: list[Decision]) -> None:
    """New records that did not become rows, by their remote ids; those that did, or are gone, are held no longer."""
    store, mapping_id = way.store, way.mapping_id
    page.held_records += page.waiting.records
    refused = [(d, page.refused[d.key]) for d in not_made if d.key in page.refused]
    page.held_records += [held_record(d, way.columns, refusal.code, refusal.message) for d, refusal in refused]
    newly = held_records.hold(store, mapping_id, page.held_records)
    ended = page.gone | {d.pair.change.remote_id for d in done if not d.pair.base}
    held_records.release(store, mapping_id, ended - {each.remote_id for each in page.held_records})
    links.withdraw(store, mapping_id, [d.key for d in not_made if d.pair.base is not None])
    told = [*_log_held(page, newly), *_log_chosen(page, done)]
    sync_log.append_incoming(store, mapping_id, told)


def _linked(done: list[Decision], page: Page) -> dict[str, tuple[str, Fields]]:
    """Links that are new, or whose base moved."""
    return {
        d.key: (d.pair.change.remote_id, d.base)
        for d in done
        if d.base is not None and (d.base != d.pair.base or d.key in page.kept)
    }


def _kept(done: list[Decision]) -> dict[str, tuple[str, Fields]]:
    """Rows that stay while their records are gone."""
    gone = [d for d in done if d.action is Action.DELETE]
    return {d.key: (d.pair.change.remote_id, d.pair.base) for d in gone if d.pair.base is not None}


def _log_held(page: Page, newly: set[str]) -> list[Incoming]:
    """They have no key."""
    return [
        Incoming("", Operation.CREATE, Outcome.HELD, each.remote_id, code=each.code, message=each.message)
        for each in page.held_records
        if each.remote_id in newly
    ]


def _log_chosen(page: Page, done: list[Decision]) -> list[Incoming]:
    return [
        Incoming(d.key, Operation.NOTHING, Outcome.WRITTEN, d.pair.change.remote_id, message=CHOSEN)
        for d in done
        if d.key in page.chosen
    ]


def _send(way: WayBack, keys: list[str]) -> None:
    """Let rows go out that have their way, and of which nothing waits."""
    if keys:
        lsn = Lsn.parse(rows.position(way.source))
        moment = database.now(way.store)
        outbox.enqueue(
            way.store, way.mapping_id, keys, reason=Reason.REMOTE, priority=Priority.LIVE, lsn=lsn, moment=moment
        )


def _refused(page: Page) -> list[HeldChange]:
    """With all that differs from the base: another look at the same need not be tried."""
    held = []
    for decision in page.decisions:
        refusal, pair = page.refused.get(decision.key), decision.pair
        if refusal is not None and decision.action is not Action.CREATE:
            base = pair.base or {}
            news = [name for name, value in pair.change.fields.items() if not agrees(base, name, value)]
            fields = {name: values(pair, name) for name in news}
            change = pair.change
            held.append(
                HeldChange(
                    pair.key,
                    change.remote_id,
                    "refused",
                    change.modified,
                    fields,
                    refusal.code,
                    refusal.message,
                    pair.committed,
                )
            )
    return held


def _held(decision: Decision) -> HeldChange | None:
    if not decision.held and not decision.held_whole and not decision.bouncing:
        return None
    kind: Kind = "delete" if decision.held_whole else "bounce" if decision.bouncing else "conflict"
    pair, change = decision.pair, decision.pair.change
    here = (*decision.held, *decision.bouncing)
    names = differing(pair.base, pair.local, change) if decision.held_whole else here
    fields = {name: values(pair, name) for name in names}
    message = decision.held_whole or "; ".join(_why_held(decision))
    return HeldChange(decision.key, change.remote_id, kind, change.modified, fields, None, message, pair.committed)


def _why_held(decision: Decision) -> Iterator[str]:
    if decision.held and decision.pair.base is None:
        yield f"both sides differ in {', '.join(decision.held)}, and nothing was agreed before"
    elif decision.held:
        yield f"both sides changed {', '.join(decision.held)}"
    if decision.bouncing:
        yield _bounce_told(decision.bouncing)


def _bounce_told(names: Sequence[str]) -> str:
    return f"{', '.join(names)} came in and went out in turn: a trigger here or an automation there turns values back"


def _log_refused(page: Page, newly: set[str]) -> list[Incoming]:
    return [
        Incoming(
            decision.key,
            _operation(decision),
            Outcome.REFUSED,
            decision.pair.change.remote_id,
            fields=", ".join(decision.write) or None,
            code=page.refused[decision.key].code,
            message=_with_void(decision, page.refused[decision.key].message),
        )
        for decision in page.decisions
        if decision.key in page.refused and decision.key in newly
    ]


def _log_done(done: list[Decision], newly: set[str], way: WayBack) -> list[Incoming]:
    entries = []
    for decision in done:
        outcome = _outcome(decision, newly, way.two_way.deletes.action)
        if outcome is not None:
            told = _account(decision, way)
            names = decision.write if outcome is Outcome.WRITTEN else [name for name in told if name != WHOLE]
            entries.append(
                Incoming(
                    decision.key,
                    _operation(decision),
                    outcome,
                    decision.pair.change.remote_id,
                    fields=", ".join(names) or None,
                    message=_with_void(decision, decision.held_whole or _merge_told(decision)) or None,
                    decision=told,
                )
            )
    return [
        *entries,
        *(_log_bounce(decision, way) for decision in done if decision.key in newly and decision.bouncing),
    ]


def _log_bounce(decision: Decision, way: WayBack) -> Incoming:
    told = _account(decision, way)
    names = decision.bouncing
    return Incoming(
        decision.key,
        Operation.NOTHING,
        Outcome.HELD,
        decision.pair.change.remote_id,
        fields=", ".join(names),
        code=BOUNCES,
        message=_bounce_told(names),
        decision={name: told[name] for name in names},
    )


def _account(decision: Decision, way: WayBack) -> dict[str, dict[str, Normal]]:
    return account(decision, way.columns.rules, Rule(way.two_way.conflict), way.columns.sensitive)


_OPERATIONS = {
    Action.UPDATE: Operation.UPDATE,
    Action.CREATE: Operation.CREATE,
    Action.INSERT: Operation.CREATE,
}


def _operation(decision: Decision) -> Operation:
    if decision.pair.change.deleted:
        return Operation.DELETE
    return _OPERATIONS.get(decision.action, Operation.NOTHING)


def _outcome(decision: Decision, newly: set[str], deletes: str) -> Outcome | None:
    """None where there is nothing to tell: both sides agree, or what is held was told before."""
    if decision.action in (Action.UPDATE, Action.CREATE, Action.INSERT):
        return Outcome.WRITTEN
    if decision.action is Action.DELETE:
        return Outcome.IGNORED if deletes == "ignore" else Outcome.WRITTEN
    kept = any(verdict is Verdict.POSTGRES_WINS for verdict in decision.verdicts.values())
    if kept and decision.pair.taken.sides:
        return Outcome.KEPT
    if decision.held or decision.held_whole:
        return Outcome.HELD if decision.key in newly else None
    if decision.fate is Fate.REVIVE or (decision.fate is Fate.DELETE and decision.pair.local is None):
        return Outcome.KEPT
    if kept:
        return Outcome.KEPT
    return Outcome.IGNORED if decision.pair.taken.void else None


def _merge_told(decision: Decision) -> str:
    """Where a record went that was merged into another."""
    survivor = decision.pair.survivor
    if survivor is None:
        return ""
    row = f", whose row is {survivor.key}" if survivor.key is not None else ""
    return f"its record was merged into {survivor.remote_id}{row}"


def _with_void(decision: Decision, message: str) -> str:
    """A decision that was not carried out is told: both sides held other values when it was made."""
    return "; ".join(part for part in (message, VOID if decision.pair.taken.void else "") if part)
