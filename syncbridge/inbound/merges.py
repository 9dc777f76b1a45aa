"""Merges: a record was merged into another, which took it over, and its row is the survivor's from then on.

Where the survivor has a row itself there are two rows for one record: by the rule of deletes where that is `delete`,
else a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.decide import Survivor
from syncbridge.inbound.way import WayBack
from syncbridge.model import Operation, Outcome
from syncbridge.store import links, outbox, rechecks, sync_log
from syncbridge.store.links import Link
from syncbridge.store.outbox import Touched
from syncbridge.store.sync_log import Incoming


class Followed(NamedTuple):
    """A page after its merges: the changes that are left to read, and where merged records went, by their ids."""

    latest: Mapping[str, RemoteChange]
    survivors: Mapping[str, Survivor]


def follow(way: WayBack, latest: Mapping[str, RemoteChange]) -> Followed:
    """Link rows of merged records to the survivors, in a transaction.

    A survivor that was not read yet is looked at by its id, and its merged record again with it.
    """
    merged = {remote_id for remote_id, change in latest.items() if change.deleted and change.merged_into}
    linked = {link.remote_id: link for link in links.of_records(way.store, way.mapping_id, merged)}
    if not linked:
        return Followed(latest, {})
    into = {remote_id: _last(latest, remote_id) for remote_id in linked}
    known = _known(way, latest, linked, into)
    found = dict(latest)
    survivors: dict[str, Survivor] = {}
    for remote_id, link in sorted(linked.items()):
        survivor = into[remote_id]
        state = latest.get(survivor)
        key = known.rows.get(survivor)
        if link.key not in known.there or (state is not None and state.deleted):
            survivors[remote_id] = Survivor(survivor)  # as any delete
        elif state is None or known.moving(link.key) or (key is not None and known.leaving(key)):
            rechecks.add(way.store, way.mapping_id, [remote_id, survivor])
            del found[remote_id]
        elif key in (None, link.key):
            _link(way, link, survivor)
            known.rows[survivor] = link.key
            del found[remote_id]
        else:
            there = key if key in known.there else None
            survivors[remote_id] = Survivor(survivor, there, replaces=way.two_way.deletes.action == "delete")
    return Followed(found, survivors)


class _Known(NamedTuple):
    """What is known of the rows of merged records and of their survivors."""

    rows: dict[str, str]  # survivor -> key of the entity that it is linked to, or whose key it carries
    there: set[str]  # of these keys, those that have a row
    touched: Mapping[str, Touched]

    def moving(self, key: str) -> bool:
        return key in self.touched and self.touched[key].on_its_way

    def leaving(self, key: str) -> bool:
        """Whether its row is gone, and that is still to be told."""
        return key not in self.there and key in self.touched and self.touched[key].status != "dead"


def _known(
    way: WayBack, latest: Mapping[str, RemoteChange], linked: Mapping[str, Link], into: Mapping[str, str]
) -> _Known:
    carried = {each: _carried(way, latest[each]) for each in set(into.values()) if each in latest}
    holders = links.holders(way.store, way.mapping_id, sorted(set(into.values())))
    keys = {link.key for link in linked.values()} | set(holders.values()) | set(filter(None, carried.values()))
    touched = outbox.lock(way.store, way.mapping_id, keys)
    there = way.entities(keys)
    rows = {survivor: key for survivor, key in carried.items() if key in there}
    return _Known({**rows, **holders}, there, touched)


def _carried(way: WayBack, survivor: RemoteChange) -> str:
    """The key that a record carries, if it is one."""
    key = survivor.fields.get(way.columns.external_id)
    return str(key) if key is not None and way.two_way.is_key(str(key)) else ""


def _last(latest: Mapping[str, RemoteChange], remote_id: str) -> str:
    """The record that a merge led to, over several merges as far as they were read."""
    seen = {remote_id}
    while (change := latest.get(remote_id)) is not None and change.deleted and change.merged_into:
        remote_id = change.merged_into
        if remote_id in seen:
            break
        seen.add(remote_id)
    return remote_id


def _link(way: WayBack, link: Link, survivor: str) -> None:
    """What the survivor holds otherwise than the base then counts as changed there."""
    links.upsert(way.store, way.mapping_id, {link.key: (survivor, link.base)})
    told = f"its record {link.remote_id} was merged into this one"
    entry = Incoming(link.key, Operation.NOTHING, Outcome.SAME, survivor, message=told)
    sync_log.append_incoming(way.store, way.mapping_id, [entry])
