"""What a page of remote changes came to, as the state keeps it: links, held changes, keys to send, the sync log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from syncbridge.inbound import accounts
from syncbridge.inbound.decide import Action, Decision
from syncbridge.inbound.parents import Parents
from syncbridge.inbound.taking import differing
from syncbridge.inbound.waiting import Waiting, held_record
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields, Lsn, Priority, Reason, agrees
from syncbridge.source import rows
from syncbridge.source.row_writes import Refusal
from syncbridge.store import database, held_changes, held_records, kept_rows, links, outbox, sync_log
from syncbridge.store.held_changes import HeldChange, Kind
from syncbridge.store.held_records import HeldRecord
from syncbridge.store.links import Link
from syncbridge.store.outbox import Touched


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
    told = [*page.waiting.told, *accounts.of_refused(page.decisions, page.refused, newly)]
    told += accounts.of_done(done, newly, way)
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
    told = [*accounts.of_held_records(page.held_records, newly), *accounts.of_chosen(done, page.chosen)]
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
            fields = {name: pair.sides(name) for name in news}
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
    fields = {name: pair.sides(name) for name in names}
    message = decision.held_whole or "; ".join(_why_held(decision))
    return HeldChange(decision.key, change.remote_id, kind, change.modified, fields, None, message, pair.committed)


def _why_held(decision: Decision) -> Iterator[str]:
    if decision.held and decision.pair.agreed is None:
        yield f"both sides differ in {', '.join(decision.held)}, and nothing was agreed before"
    elif decision.held:
        yield f"both sides changed {', '.join(decision.held)}"
    if decision.bouncing:
        yield accounts.bounce_told(decision.bouncing)
