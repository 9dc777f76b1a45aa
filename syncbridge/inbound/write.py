"""Seam 3: one page of remote changes becomes durable, in one transaction.

Rows, links with their base, what is held, and the sync log; the watermark follows it.

Where the state has a database of its own the rows are committed first: a crash between the two leaves rows that hold
the remote values already, which the next poll finds to agree.

*Stale reads.* A page can show a record as it was before our own last write to it: it was read before that ended, or the
destination shows its queries an older state for some seconds. What differs from the base of a record that is on its way
out, or was linked shortly before the page was asked for, is therefore looked at again, by its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from psycopg import Connection

from syncbridge.destinations.feed import RemoteChange
from syncbridge.errors import RecordRejected
from syncbridge.inbound import parents, waiting
from syncbridge.inbound.bounces import Bounces
from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Action, Decision, Pair, decide
from syncbridge.inbound.order import layers
from syncbridge.inbound.parents import Parents, withhold
from syncbridge.inbound.recording import Page, record
from syncbridge.inbound.resolve import Rule
from syncbridge.inbound.taking import taken
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.mapping.two_way import TwoWay
from syncbridge.model import Fields
from syncbridge.source import row_writes
from syncbridge.source.row_writes import Refusal, Row
from syncbridge.store import database, held_changes, links, outbox, rechecks
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link
from syncbridge.store.outbox import Touched
from syncbridge.store.rechecks import Postponed

#: For so long a page may show an older state than the one that was written.
LATE = timedelta(seconds=15)


@dataclass(slots=True)
class PageWriter:
    """Writes the changes of one mapping.

    `source` is a connection that may write; the same as `store` where both are one database.
    """

    mapping_id: int
    mapping: CompiledMapping
    two_way: TwoWay
    columns: Columns
    store: Connection
    source: Connection
    kin: Kin = field(default_factory=Kin)

    def write(self, changes: Sequence[RemoteChange], asked: datetime, *, current: bool = False) -> Page:
        """Write what a page tells, `asked` for at this time of the state database.

        `current` says that the records were read by their ids, so that they are not older than the request, and that
        they are to be looked at even if they equal their base. What could not be decided is in `Page.postponed`, and
        asked for again.
        """
        latest = {change.remote_id: change for change in changes}
        whole = Page()
        for part in self._parents_first(latest):
            page = database.transact(self.store, lambda part=part: self._write(part, asked, current=current))  # type: ignore[misc]
            whole.decisions += page.decisions
            whole.refused |= page.refused
            whole.postponed |= page.postponed
        return whole

    def _parents_first(self, latest: Mapping[str, RemoteChange]) -> Sequence[Mapping[str, RemoteChange]]:
        """The page in parts, each a transaction: one, unless new records of it refer to each other."""
        itself = [way.name for way in self.columns.lookups.values() if way.parent == self.mapping.name]
        if not itself or len(latest) < 2:
            return [latest]
        return layers(latest, itself, latest.keys() - links.holders(self.store, self.mapping_id, sorted(latest)))

    def _write(self, latest: Mapping[str, RemoteChange], asked: datetime, *, current: bool) -> Page:
        page = Page()
        wanted = self._wanted(latest, all=current)
        keys = sorted(wanted)
        touched = outbox.lock(self.store, self.mapping_id, keys)
        held = held_changes.lock(self.store, self.mapping_id, keys)
        known = {link.key: link for link in links.of_records(self.store, self.mapping_id, latest)}
        owned = links.remote_ids(self.store, self.mapping_id, keys)
        settled = asked if current else asked - LATE
        ready: dict[str, RemoteChange] = {}
        postponed: list[Postponed] = []
        for key in keys:
            change = wanted[key]
            if owned.get(key, change.remote_id) != change.remote_id:
                continue  # another record has this entity meanwhile
            if _uncertain(touched.get(key), known.get(key), settled):
                page.postponed.add(change.remote_id)
                postponed.append(self._postponed(key, change, known.get(key)))
            else:
                ready[key] = change
        with self.source.transaction():
            decisions, page.parents = self._decide(ready, known, touched, held)
            page.decisions = self._stop_bounces(decisions, known, held)
            self._apply(page)
        page.touched = touched
        looked_at = latest.keys() - page.postponed if current else {change.remote_id for change in ready.values()}
        page.waiting = waiting.write(self.store, self.mapping_id, self.kin, self.columns, page.decisions, looked_at)
        record(self.store, self.source, self.mapping_id, self.columns, page, self.two_way)
        rechecks.postpone(self.store, self.mapping_id, postponed)
        if current:
            rechecks.remove(self.store, self.mapping_id, latest.keys() - page.postponed)
        return page

    def _wanted(self, latest: Mapping[str, RemoteChange], *, all: bool) -> dict[str, RemoteChange]:
        """Changes that may say something new, by the key of their entity."""
        wanted: dict[str, RemoteChange] = {}
        linked = links.of_records(self.store, self.mapping_id, latest)
        held = held_changes.read(self.store, self.mapping_id, [link.key for link in linked])
        for link in linked:
            change = latest[link.remote_id]
            news = self._news(link.base, change)
            if all or ((change.deleted or news or link.key in held) and not _was_refused(held.get(link.key), news)):
                wanted[link.key] = change
        linked_ids = {link.remote_id for link in linked}
        for remote_id, change in latest.items():
            key = change.fields.get(self.columns.external_id)
            if remote_id not in linked_ids and not change.deleted and key is not None:
                wanted.setdefault(str(key), change)
        return wanted

    def _mapped(self, change: RemoteChange) -> Fields:
        return {name: value for name, value in change.fields.items() if name in self.columns.rules}

    def _postponed(self, key: str, change: RemoteChange, link: Link | None) -> Postponed:
        """What shows nothing new was wanted for another reason, and is looked at whatever becomes of its base."""
        told = not change.deleted and (link is None or self._news(link.base, change))
        return Postponed(change.remote_id, key, self._mapped(change) if told else None)

    def _news(self, base: Fields, change: RemoteChange) -> Fields:
        """What differs from the base."""
        return {
            name: value
            for name, value in change.fields.items()
            if name in self.columns.rules and not (name in base and base[name] == value)
        }

    def _decide(
        self,
        ready: Mapping[str, RemoteChange],
        known: Mapping[str, Link],
        touched: Mapping[str, Touched],
        held: Mapping[str, HeldChange],
    ) -> tuple[list[Decision], Parents]:
        keys = sorted(ready)
        rows = row_writes.lock(self.source, self.two_way.lock_sql, keys) if keys else {}
        if self.two_way.filtered and rows:
            there = row_writes.entities(self.source, self.mapping.compose_sql, keys)
            rows = {key: row for key, row in rows.items() if key in there}
        family = self._parents(rows, ready, known)
        decisions = []
        for key in keys:
            if key not in rows and key not in known:
                continue  # a key that no row has: nothing of ours
            base = known[key].base if key in known else None
            untouched = base if base is not None and key not in touched else {}
            local = self.columns.local(rows[key], family, untouched) if key in rows else None
            change = replace(ready[key], fields=self._mapped(ready[key]))
            committed = touched[key].changed_at if key in touched else None
            ours = _ours(touched[key], change.fields) if key in touched else {}
            pair = Pair(key, change, base, local, committed, taken(held.get(key), base, local, change), ours)
            decision = decide(pair, self.columns.rules, Rule(self.two_way.conflict))
            decisions.append(withhold(decision, self.columns.lookups, family))
        return decisions, family

    def _parents(
        self, rows: Mapping[str, Row], ready: Mapping[str, RemoteChange], known: Mapping[str, Link]
    ) -> Parents:
        """What links say of all that these rows and changes refer to."""
        records = [change.fields for change in ready.values()] + [known[key].base for key in ready if key in known]
        keys = map(self.columns.parent_keys, rows.values())
        return parents.find(self.store, self.kin, list(self.columns.lookups.values()), keys=keys, records=records)

    def _stop_bounces(
        self, decisions: list[Decision], known: Mapping[str, Link], held: Mapping[str, HeldChange]
    ) -> list[Decision]:
        if not decisions:
            return decisions
        return Bounces(self.mapping_id, self.store, self.two_way.every).stop(decisions, known, held)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _apply(self, page: Page) -> None:
        """Change the rows, in groups of one statement; what Postgres or a column refuses is left for `record`."""
        groups: dict[tuple[Action, tuple[str, ...]], _Group] = {}
        for decision in page.decisions:
            if decision.action in (Action.UPDATE, Action.INSERT):
                try:
                    texts = self.columns.texts(self._writable(decision.write), page.parents)
                except RecordRejected as rejected:
                    page.refused[decision.key] = Refusal(rejected.code, rejected.message)
                    continue
                group = groups.setdefault((decision.action, tuple(texts)), _Group())
                group.keys.append(decision.key)
                group.values.append(list(texts.values()))
        for (action, names), group in groups.items():
            assignments = self.columns.assignments(names)
            make = self.two_way.update_sql if action is Action.UPDATE else self.two_way.insert_sql
            page.refused |= row_writes.change(self.source, make(assignments), group.keys, group.values).refused
        deletes = [decision.key for decision in page.decisions if decision.action is Action.DELETE]
        page.refused |= self._delete(deletes)

    def _writable(self, write: Fields) -> Fields:
        """Without what no column holds; a row that is made anew gets the rest from outbound's next look."""
        return {name: value for name, value in write.items() if name in self.columns.written}

    def _delete(self, keys: Sequence[str]) -> dict[str, Refusal]:
        rule = self.two_way.deletes
        if not keys or rule.action == "ignore":
            return {}
        if rule.action == "delete":
            return row_writes.change(self.source, self.two_way.delete_sql, keys).refused
        assignments, texts = self.columns.constants(self.two_way)
        return row_writes.change(self.source, self.two_way.update_sql(assignments), keys, [texts] * len(keys)).refused


@dataclass(slots=True)
class _Group:
    """Rows that one statement changes in the same columns."""

    keys: list[str] = field(default_factory=list)
    values: list[list[str | None]] = field(default_factory=list)


def _ours(touched: Touched, remote: Fields) -> Fields:
    """Of these remote values, those that we sent without being told whether they were stored."""
    return {
        name: value
        for name, value in remote.items()
        if any(name in sent and sent[name] == value for sent in touched.sent)
    }


def _was_refused(held: HeldChange | None, news: Fields) -> bool:
    """Whether Postgres refused exactly this before: nothing is tried again for being read again."""
    return held is not None and held.kind == "refused" and news == {n: v["remote"] for n, v in held.fields.items()}


def _uncertain(touched: Touched | None, link: Link | None, settled: datetime) -> bool:
    """Whether a page of this age may show less than what was sent."""
    return (touched is not None and touched.on_its_way) or (link is not None and link.delivered_at > settled)
