"""Seam 3: one page of remote changes becomes durable, in one transaction.

Rows, links with their base, what is held, and the sync log; the watermark follows it.

Where the state has a database of its own the rows are committed first, once everything is ready to be: a crash between
the two commits leaves rows that hold the remote values already, which the next poll finds to agree.

*Stale reads.* A page can show a record as it was before our own last write to it: it was read before that ended, or the
destination shows its queries an older state for some seconds. What differs from the base of a record that is on its way
out, or was linked shortly before the page was asked for, is therefore looked at again, by its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from syncbridge.destinations.feed import LATE, RemoteChange
from syncbridge.inbound import children, echoes, parents, row_changes, waiting
from syncbridge.inbound.arrivals import Arrivals, promised
from syncbridge.inbound.bounces import Bounces
from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Decision, Pair, Survivor, create, decide
from syncbridge.inbound.guard import Guard
from syncbridge.inbound.keys import key_differs, keyed
from syncbridge.inbound.merges import follow
from syncbridge.inbound.order import layers
from syncbridge.inbound.parents import Parents, withhold
from syncbridge.inbound.recording import Page, record
from syncbridge.inbound.resolve import Rule
from syncbridge.inbound.taking import taken
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields, agrees
from syncbridge.source import row_writes
from syncbridge.source.row_writes import Row
from syncbridge.store import database, held_changes, kept_rows, links, outbox, rechecks, watermarks
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link
from syncbridge.store.outbox import Touched
from syncbridge.store.rechecks import Postponed


@dataclass(slots=True)
class PageWriter:
    """Writes the changes of one mapping."""

    way: WayBack

    @property
    def columns(self) -> Columns:
        """What its pages are read by."""
        return self.way.columns

    def write(self, changes: Sequence[RemoteChange], asked: datetime, *, current: bool = False) -> Page:
        """Write what a page tells, `asked` for at this time of the state database.

        `current` says that the records were read by their ids, so that they are not older than the request, and that
        they are to be looked at even if they equal their base. What could not be decided is in `Page.postponed`, and
        asked for again.
        """
        latest: Mapping[str, RemoteChange] = {change.remote_id: change for change in changes}
        survivors: Mapping[str, Survivor] = {}
        if any(change.merged_into for change in changes):
            latest, survivors = database.transact(self.way.store, lambda: follow(self.way, latest))
        whole = Page()
        for part in self._parents_first(latest):
            if not self.way.in_one_database:
                database.transact(self.way.store, partial(self._promise, part, asked, current=current))
            page = database.transact(self.way.store, partial(self._write, part, survivors, asked, current=current))
            whole.decisions += page.decisions
            whole.refused |= page.refused
            whole.postponed |= page.postponed
        return whole

    def _parents_first(self, latest: Mapping[str, RemoteChange]) -> Sequence[Mapping[str, RemoteChange]]:
        """The page in parts, each a transaction: one, unless new records of it refer to each other."""
        itself = [way.name for way in self.columns.lookups.values() if way.parent == self.way.mapping.name]
        if not itself or len(latest) < 2:
            return [latest]
        linked = links.holders(self.way.store, self.way.mapping_id, sorted(latest))
        return layers(latest, itself, latest.keys() - linked)

    def _promise(self, latest: Mapping[str, RemoteChange], asked: datetime, *, current: bool) -> None:
        """Before rows are made in another database: link new records to the keys that they will have.

        Rows of a write that died before it was recorded are then known, and not made twice.
        """
        settled = asked if current else asked - LATE
        self._alone()
        _, unlinked = self._wanted(latest, all=current)
        self._begin_links(unlinked)
        fresh = Arrivals(self.way).sort(unlinked, settled, all=current).fresh
        name = self.columns.external_id
        unkeyed: Fields = {name: None} if name else {}  # nothing else is agreed on
        promises = {key: (change.remote_id, unkeyed) for key, change in fresh.items()}
        links.upsert(self.way.store, self.way.mapping_id, promises)
        children.release(self.way, fresh)

    def _write(
        self,
        latest: Mapping[str, RemoteChange],
        survivors: Mapping[str, Survivor],
        asked: datetime,
        *,
        current: bool,
    ) -> Page:
        page = Page()
        settled = asked if current else asked - LATE
        self._alone()
        wanted, unlinked = self._wanted(latest, all=current)
        self._begin_links(unlinked)
        arrived = Arrivals(self.way).sort(unlinked, settled, all=current)
        if not self.way.in_one_database:  # what was not promised a key waits for the next look
            arrived.postponed |= {change.remote_id for change in arrived.fresh.values()}
            arrived.fresh = {}
        wanted = {**arrived.named, **wanted}
        page.postponed |= arrived.postponed
        page.held_records, page.chosen = arrived.held, arrived.chosen
        page.gone = {remote_id for remote_id, change in latest.items() if change.deleted}
        if not (wanted or arrived.fresh or arrived.postponed or arrived.held or page.gone or current):
            return page
        keys = sorted(wanted)
        touched = outbox.lock(self.way.store, self.way.mapping_id, keys)
        held = held_changes.lock(self.way.store, self.way.mapping_id, keys)
        ids = {change.remote_id for change in wanted.values()}
        known = {link.key: link for link in links.of_records(self.way.store, self.way.mapping_id, ids)}
        owned = links.remote_ids(self.way.store, self.way.mapping_id, keys)
        page.kept = kept_rows.read(self.way.store, self.way.mapping_id, arrived.named)
        ready: dict[str, RemoteChange] = {}
        postponed: list[Postponed] = []
        for key in keys:
            change = wanted[key]
            if owned.get(key, change.remote_id) != change.remote_id:
                continue  # another record has this entity meanwhile
            if _uncertain(touched.get(key), self._agreed(known.get(key)), settled):
                page.postponed.add(change.remote_id)
                postponed.append(self._postponed(key, change, known.get(key)))
            else:
                ready[key] = change
        with self.way.source.transaction():
            decisions = self._decide(ready, _Known(known, touched, held, page.kept, survivors), arrived.fresh, page)
            page.decisions = [keyed(each, self.columns) for each in self._stop_bounces(decisions, known, held)]
            Guard(self.way).count(page.decisions)
            row_changes.apply(page, self.way)
            page.touched = touched
            looked_at = latest.keys() - page.postponed if current else {d.pair.change.remote_id for d in page.decisions}
            page.waiting = waiting.write(self.way, page.decisions, looked_at)
            linked = record(self.way, page)
            children.release(self.way, linked)
            rechecks.add(self.way.store, self.way.mapping_id, page.postponed - {each.remote_id for each in postponed})
            rechecks.postpone(self.way.store, self.way.mapping_id, postponed)
            if current:
                rechecks.remove(self.way.store, self.way.mapping_id, latest.keys() - page.postponed)
            echoes.settle(page, self.way)
        return page

    def _alone(self) -> None:
        """A first load and a poller must not make two rows of one record."""
        if self.way.two_way.creates:
            watermarks.make_alone(self.way.store, self.way.mapping_id)

    def _begin_links(self, unlinked: Sequence[RemoteChange]) -> None:
        if unlinked:
            children.begin(self.way)

    def _wanted(
        self, latest: Mapping[str, RemoteChange], *, all: bool
    ) -> tuple[dict[str, RemoteChange], list[RemoteChange]]:
        """Changes that may say something new, by the key of their entity; and records that are linked to none."""
        wanted: dict[str, RemoteChange] = {}
        linked = links.of_records(self.way.store, self.way.mapping_id, latest)
        held = held_changes.read(self.way.store, self.way.mapping_id, [link.key for link in linked])
        for link in linked:
            change = latest[link.remote_id]
            news = self._news(link.base, change)
            odd = change.deleted or news or link.key in held
            odd = odd or key_differs(self.columns, link.base, change.fields, link.key)
            if all or (odd and not _was_refused(held.get(link.key), change, news)):
                wanted[link.key] = change
        linked_ids = {link.remote_id for link in linked}
        unlinked = [c for remote_id, c in latest.items() if remote_id not in linked_ids and not c.deleted]
        return wanted, unlinked

    def _agreed(self, link: Link | None) -> Link | None:
        """The link, if anything was sent or written since it was made."""
        return None if link is None or promised(link.base, self.columns.rules) else link

    def _mapped(self, change: RemoteChange) -> Fields:
        return {name: value for name, value in change.fields.items() if name in self.columns.rules}

    def _postponed(self, key: str, change: RemoteChange, link: Link | None) -> Postponed:
        """What shows nothing new was wanted for another reason, and is looked at whatever becomes of its base."""
        told = not change.deleted and (link is None or self._news(link.base, change))
        told = told and self.columns.carries(change.fields.get(self.columns.external_id), key)
        return Postponed(change.remote_id, key, self._mapped(change) if told else None)

    def _news(self, base: Fields, change: RemoteChange) -> Fields:
        """What differs from the base."""
        return {
            name: value
            for name, value in change.fields.items()
            if name in self.columns.rules and not agrees(base, name, value)
        }

    def _decide(
        self, ready: Mapping[str, RemoteChange], known: _Known, fresh: Mapping[str, RemoteChange], page: Page
    ) -> list[Decision]:
        keys = sorted(ready)
        locked = row_writes.lock(self.way.source, self.way.two_way.lock_sql, keys) if keys else {}
        rows = locked
        if self.way.two_way.filtered and rows:
            there = self.way.entities(keys)
            rows = {key: row for key, row in locked.items() if key in there}
        family = page.parents = self._parents(rows, {**ready, **fresh}, known.links)
        bases = {key: known.base(key, ready[key]) for key in rows if not ready[key].deleted}
        calculated = self.columns.calculated.beyond(bases, self.way.store, self.way.source, self.way.kin)
        decisions = []
        for key in keys:
            pair = self._pair(key, ready[key], known, rows.get(key), family, calculated.get(key, {}))
            made = pair.base is not None and not promised(pair.base, self.columns.rules)
            if key in rows or made:
                decisions.append(
                    decide(pair, self.columns.rules, Rule(self.way.two_way.conflict), self.columns.unedited)
                )
            elif not self.way.two_way.creates or key in locked or pair.change.deleted:
                continue  # nothing of ours, or a row that is no entity
            elif key in known.touched and known.touched[key].status != "dead":
                page.postponed.add(pair.change.remote_id)  # its row was there before: perhaps that is being told now
            else:
                decisions.append(create(pair))
        decisions += [create(self._pair(key, change, _Known())) for key, change in fresh.items()]
        return [withhold(each, self.columns.lookups, family) for each in decisions]

    def _parents(
        self, rows: Mapping[str, Row], ready: Mapping[str, RemoteChange], known: Mapping[str, Link]
    ) -> Parents:
        """What links say of all that these rows and changes refer to."""
        records = [change.fields for change in ready.values()] + [known[key].base for key in ready if key in known]
        keys = map(self.columns.parent_keys, rows.values())
        return parents.find(
            self.way.store, self.way.kin, list(self.columns.lookups.values()), keys=keys, records=records
        )

    def _stop_bounces(
        self, decisions: list[Decision], known: Mapping[str, Link], held: Mapping[str, HeldChange]
    ) -> list[Decision]:
        if not decisions:
            return decisions
        return Bounces(self.way).stop(decisions, known, held)

    def _pair(
        self,
        key: str,
        change: RemoteChange,
        known: _Known,
        row: Row | None = None,
        family: Parents | None = None,
        calculated: Fields | None = None,
    ) -> Pair:
        base = known.base(key, change, there=row is not None)
        untouched = base if base is not None and key not in known.touched else {}
        local = self.columns.local(row, family or Parents(), untouched) if row is not None else None
        if local is not None:
            local |= calculated or {}
        committed = known.touched[key].changed_at if key in known.touched else None
        external = self.columns.external_id
        carried = (change.fields[external],) if external in change.fields else ()
        change = replace(change, fields=self._mapped(change))
        decided = taken(known.held.get(key), base, local, change)
        ours: Fields = {}
        if key in known.touched:
            made = base is None and any(self.columns.carries(value, key) for value in carried)
            ours = _ours(known.touched[key], change.fields, made=made)
        survivor = known.survivors.get(change.remote_id)
        return Pair(key, change, base, local, committed, decided, ours, carried, survivor)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the state says of the entities of a page, by key."""

    links: Mapping[str, Link] = field(default_factory=dict)
    touched: Mapping[str, Touched] = field(default_factory=dict)
    held: Mapping[str, HeldChange] = field(default_factory=dict)
    kept: Mapping[str, Link] = field(default_factory=dict)  # links of which somebody deleted the record
    survivors: Mapping[str, Survivor] = field(default_factory=dict)  # by the ids of merged records

    def base(self, key: str, change: RemoteChange, *, there: bool = True) -> Fields | None:
        """What an entity and this record agreed on; None before they are linked. `there`: the entity has a row."""
        link = self.links.get(key) or (self._undeleted(key, change) if there else None)
        return link.base if link is not None else None

    def _undeleted(self, key: str, change: RemoteChange) -> Link | None:
        """The link of a record that somebody deleted, and that is back; None for any other record."""
        link = self.kept.get(key)
        return link if link is not None and link.remote_id == change.remote_id else None


def _ours(touched: Touched, remote: Fields, *, made: bool) -> Fields:
    """What we sent without being told whether it was stored, and what these remote values show to have been stored.

    A record that carries the key of an entity without a link was `made` by that: all that was sent was stored, and what
    it holds otherwise somebody changed there.
    """
    first = touched.sent[-1] if made and touched.sent else {}
    stored = {name: value for name, value in first.items() if name in remote}
    shown = {
        name: value
        for name, value in remote.items()
        if any(name in sent and sent[name] == value for sent in touched.sent)
    }
    return {**stored, **shown}


def _was_refused(held: HeldChange | None, change: RemoteChange, news: Fields) -> bool:
    """Whether Postgres refused exactly this before: nothing is tried again for being read again.

    What is held of a delete tells no field; a record that equals its base and is there was undeleted meanwhile.
    """
    if held is None or held.kind != "refused" or change.deleted == bool(held.fields):
        return False
    return news == {name: sides["remote"] for name, sides in held.fields.items()}


def _uncertain(touched: Touched | None, link: Link | None, settled: datetime) -> bool:
    """Whether a page of this age may show less than what was sent."""
    return (touched is not None and touched.on_its_way) or (link is not None and link.delivered_at > settled)
