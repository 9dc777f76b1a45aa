"""Seam 3: one page of remote changes becomes durable, in one transaction.

Rows, links with their base, what is held, and the sync log; the watermark follows it.

Where the state has a database of its own the rows are committed first, once everything is ready to be: a crash between
the two commits leaves rows that hold the remote values already, which the next poll finds to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound import children, echoes, known, row_changes, waiting
from syncbridge.inbound.arrivals import Arrivals, Arrived
from syncbridge.inbound.bounces import Bounces
from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Decision, Survivor, create, decide
from syncbridge.inbound.guard import Guard
from syncbridge.inbound.keys import keyed
from syncbridge.inbound.known import Known, promised
from syncbridge.inbound.merges import Followed, follow
from syncbridge.inbound.news import Look, news, sift
from syncbridge.inbound.order import layers
from syncbridge.inbound.pairs import Paired, pair
from syncbridge.inbound.parents import withhold
from syncbridge.inbound.recording import Page, record
from syncbridge.inbound.resolve import Rule
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.store import database, links, rechecks, watermarks
from syncbridge.store.rechecks import Postponed

_Changes = Mapping[str, RemoteChange]  # by remote id


@dataclass(frozen=True, slots=True)
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
        look = Look.at(asked, current=current)
        latest, survivors = self._follow_merges({change.remote_id: change for change in changes})
        whole = Page()
        for part in self._parents_first(latest):
            if not self.way.in_one_database:
                database.transact(self.way.store, partial(self._promise, part, look))
            page = database.transact(self.way.store, partial(self._write, part, survivors, look))
            whole.decisions += page.decisions
            whole.refused |= page.refused
            whole.postponed |= page.postponed
        return whole

    def _follow_merges(self, latest: _Changes) -> Followed:
        if not any(change.merged_into for change in latest.values()):
            return Followed(latest, {})
        return database.transact(self.way.store, partial(follow, self.way, latest))

    def _parents_first(self, latest: _Changes) -> Sequence[_Changes]:
        """The page in parts, each a transaction: one, unless new records of it refer to each other."""
        itself = [lookup.name for lookup in self.columns.lookups.values() if lookup.parent == self.way.mapping.name]
        if not itself or len(latest) < 2:
            return [latest]
        linked = links.holders(self.way.store, self.way.mapping_id, sorted(latest))
        return layers(latest, itself, latest.keys() - linked)

    def _promise(self, latest: _Changes, look: Look) -> None:
        """Before rows are made in another database: link new records to the keys that they will have.

        Rows of a write that died before it was recorded are then known, and not made twice.
        """
        _, arrived = self._sort(latest, look)
        name = self.columns.external_id
        unkeyed: Fields = {name: None} if name else {}  # nothing else is agreed on
        promises = {key: (change.remote_id, unkeyed) for key, change in arrived.fresh.items()}
        links.upsert(self.way.store, self.way.mapping_id, promises)
        children.release(self.way, arrived.fresh)

    def _write(self, latest: _Changes, survivors: Mapping[str, Survivor], look: Look) -> Page:
        """One part, in a transaction of the state's database."""
        wanted, arrived = self._sort(latest, look)
        if not self.way.in_one_database:
            arrived.postpone_fresh()  # what was not promised a key waits for the next look
        gone = {remote_id for remote_id, change in latest.items() if change.deleted}
        page = Page(held_records=arrived.held, chosen=arrived.chosen, postponed=arrived.postponed, gone=gone)
        if not (wanted or arrived or gone or look.current):
            return page
        found = known.lock(self.way, wanted, arrived.named, survivors)
        sifted = sift(self.way, wanted, found, look)
        page.kept, page.touched = found.kept, found.touched
        page.postponed |= {each.remote_id for each in sifted.postponed}
        with self.way.source.transaction():
            paired = pair(self.way, sifted.ready, arrived.fresh, found)
            self._decide(page, paired, found)
            row_changes.apply(page, self.way)
            self._record(page, latest, look)
            self._ask_again(page, sifted.postponed, latest, look)
            echoes.settle(page, self.way)
        return page

    def _sort(self, latest: _Changes, look: Look) -> tuple[dict[str, RemoteChange], Arrived]:
        """What may be new, by the keys of entities, and what becomes of records that were linked to none so far."""
        if self.way.two_way.creates:  # a first load and a poller must not make two rows of one record
            watermarks.make_alone(self.way.store, self.way.mapping_id)
        wanted, unlinked = news(self.way, latest, look)
        if unlinked:
            children.begin(self.way)
        arrived = Arrivals(self.way).sort(unlinked, look.settled, all=look.current)
        return {**arrived.named, **wanted}, arrived

    def _decide(self, page: Page, paired: Paired, found: Known) -> None:
        """What becomes of each pair. Raises GuardStopped when too many rows would go."""
        page.parents = paired.parents
        decisions = [*self._of_entities(page, paired, found), *map(create, paired.fresh)]
        decisions = [withhold(decision, self.columns.lookups, paired.parents) for decision in decisions]
        if decisions:
            decisions = Bounces(self.way).stop(decisions, found.links, found.held)
        page.decisions = [keyed(decision, self.columns) for decision in decisions]
        Guard(self.way).count(page.decisions)

    def _of_entities(self, page: Page, paired: Paired, found: Known) -> list[Decision]:
        rules, conflict, unedited = self.columns.rules, Rule(self.way.two_way.conflict), self.columns.unedited
        decisions = []
        for each in paired.pairs:
            if each.local is not None or (each.base is not None and not promised(each.base, rules)):
                decisions.append(decide(each, rules, conflict, unedited))
            elif not self.way.two_way.creates or each.key in paired.locked or each.change.deleted:
                continue  # nothing of ours, or a row that is no entity
            elif found.waits(each.key):
                page.postponed.add(each.change.remote_id)  # its row was there before: perhaps that is being told now
            else:
                decisions.append(create(each))
        return decisions

    def _record(self, page: Page, latest: _Changes, look: Look) -> None:
        decided = {decision.pair.change.remote_id for decision in page.decisions}
        looked_at = latest.keys() - page.postponed if look.current else decided
        page.waiting = waiting.write(self.way, page.decisions, looked_at)
        linked = record(self.way, page)
        children.release(self.way, linked)

    def _ask_again(self, page: Page, postponed: Sequence[Postponed], latest: _Changes, look: Look) -> None:
        store, mapping_id = self.way.store, self.way.mapping_id
        rechecks.add(store, mapping_id, page.postponed - {each.remote_id for each in postponed})
        rechecks.postpone(store, mapping_id, postponed)
        if look.current:
            rechecks.remove(store, mapping_id, latest.keys() - page.postponed)
