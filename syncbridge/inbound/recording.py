"""What a page of remote changes came to, as the state keeps it: links, held changes, keys to send, the sync log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Action, Decision, account, values
from syncbridge.inbound.parents import Parents
from syncbridge.inbound.resolve import Fate
from syncbridge.inbound.waiting import Waiting
from syncbridge.model import Fields, Lsn, Operation, Outcome, Priority, Reason
from syncbridge.source import rows
from syncbridge.source.row_writes import Refusal
from syncbridge.store import database, held_changes, links, outbox, sync_log
from syncbridge.store.held_changes import HeldChange, Kind
from syncbridge.store.outbox import Touched
from syncbridge.store.sync_log import Incoming

#: Code of a field that is stopped because it bounces.
BOUNCES = "BOUNCES"


@dataclass(slots=True)
class Page:
    """One page as it was decided and applied."""

    decisions: list[Decision] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)  # by key: what Postgres, or a column, did not take
    postponed: set[str] = field(default_factory=set)  # remote ids to look at again
    touched: Mapping[str, Touched] = field(default_factory=dict)  # outbox rows of its keys
    parents: Parents = field(default_factory=Parents)  # of its rows and records
    waiting: Waiting = field(default_factory=Waiting)  # for rows of parents


def record(store: Connection, source: Connection, mapping_id: int, columns: Columns, page: Page, deletes: str) -> None:
    """Write it all; in the transaction that locks the outbox rows of its keys. `deletes` is what a delete does here."""
    done = [decision for decision in page.decisions if decision.key not in page.refused]
    held = list(
        {each.key: each for each in (*page.waiting.held, *_refused(page), *filter(None, map(_held, done)))}.values()
    )
    newly = held_changes.hold(store, mapping_id, held)
    held_keys = {each.key for each in held}
    held_changes.release(store, mapping_id, [d.key for d in done if d.key not in held_keys])
    links.upsert(store, mapping_id, _linked(done))
    links.remove(store, mapping_id, [d.key for d in done if d.base is None and d.pair.base is not None])
    # it may wait for just this
    outbox.make_due(store, mapping_id, [d.key for d in done if d.key in page.touched and not d.waiting])
    _send(store, source, mapping_id, [d.key for d in done if d.send and d.key not in page.touched])
    told = [*page.waiting.told, *_log_refused(page, newly), *_log_done(done, newly, columns, deletes)]
    sync_log.append_incoming(store, mapping_id, told)


def _linked(done: list[Decision]) -> dict[str, tuple[str, Fields]]:
    """Links that are new, or whose base moved."""
    return {d.key: (d.pair.change.remote_id, d.base) for d in done if d.base is not None and d.base != d.pair.base}


def _send(store: Connection, source: Connection, mapping_id: int, keys: list[str]) -> None:
    """Let rows go out that have their way, and of which nothing waits."""
    if keys:
        lsn = Lsn.parse(rows.position(source))
        moment = database.now(store)
        outbox.enqueue(store, mapping_id, keys, reason=Reason.REMOTE, priority=Priority.LIVE, lsn=lsn, moment=moment)


def _refused(page: Page) -> list[HeldChange]:
    """With all that differs from the base: another look at the same need not be tried."""
    held = []
    for decision in page.decisions:
        refusal, pair = page.refused.get(decision.key), decision.pair
        if refusal is not None:
            base = pair.base or {}
            news = [name for name, value in pair.change.fields.items() if name not in base or base[name] != value]
            fields = {name: values(pair, name) for name in news}
            change = pair.change
            held.append(
                HeldChange(
                    pair.key, change.remote_id, "refused", change.modified, fields, refusal.code, refusal.message
                )
            )
    return held


def _held(decision: Decision) -> HeldChange | None:
    if not decision.held and not decision.held_whole and not decision.bouncing:
        return None
    kind: Kind = "delete" if decision.held_whole else "bounce" if decision.bouncing else "conflict"
    change = decision.pair.change
    fields = {name: values(decision.pair, name) for name in (*decision.held, *decision.bouncing)}
    message = decision.held_whole or "; ".join(_why_held(decision))
    return HeldChange(decision.key, change.remote_id, kind, change.modified, fields, None, message)


def _why_held(decision: Decision) -> Iterator[str]:
    if decision.held:
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
            message=page.refused[decision.key].message,
        )
        for decision in page.decisions
        if decision.key in page.refused and decision.key in newly
    ]


def _log_done(done: list[Decision], newly: set[str], columns: Columns, deletes: str) -> list[Incoming]:
    entries = []
    for decision in done:
        outcome = _outcome(decision, newly, deletes)
        if outcome is not None:
            told = account(decision, columns.rules, columns.sensitive)
            names = decision.write if outcome is Outcome.WRITTEN else told
            entries.append(
                Incoming(
                    decision.key,
                    _operation(decision),
                    outcome,
                    decision.pair.change.remote_id,
                    fields=", ".join(names) or None,
                    message=decision.held_whole or None,
                    decision=told,
                )
            )
    return [
        *entries,
        *(_log_bounce(decision, columns) for decision in done if decision.key in newly and decision.bouncing),
    ]


def _log_bounce(decision: Decision, columns: Columns) -> Incoming:
    told = account(decision, columns.rules, columns.sensitive)
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


def _operation(decision: Decision) -> Operation:
    if decision.pair.change.deleted:
        return Operation.DELETE
    return {Action.UPDATE: Operation.UPDATE, Action.INSERT: Operation.CREATE}.get(decision.action, Operation.NOTHING)


def _outcome(decision: Decision, newly: set[str], deletes: str) -> Outcome | None:
    """None where there is nothing to tell: both sides agree, or what is held was told before."""
    if decision.action in (Action.UPDATE, Action.INSERT):
        return Outcome.WRITTEN
    if decision.action is Action.DELETE:
        return Outcome.IGNORED if deletes == "ignore" else Outcome.WRITTEN
    if decision.held or decision.held_whole:
        return Outcome.HELD if decision.key in newly else None
    if decision.fate is Fate.REVIVE or (decision.fate is Fate.DELETE and decision.pair.local is None):
        return Outcome.KEPT
    decided = any(verdict.value == "postgres wins" for verdict in decision.verdicts.values())
    return Outcome.KEPT if decided else None
