"""Merges: a record was merged into another, which took it over, and its row is the survivor's from then on.

Where the survivor has a row itself there are two rows for one record: by the rule of deletes where that is `delete`,
else a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.way import WayBack
from syncbridge.model import Operation, Outcome
from syncbridge.store import links, outbox, rechecks, sync_log
from syncbridge.store.links import Link
from syncbridge.store.sync_log import Incoming


@dataclass(frozen=True, slots=True)
class Merges:
    """Follows the merges of one mapping."""

    way: WayBack

    def follow(self, latest: Mapping[str, RemoteChange]) -> dict[str, RemoteChange]:
        """Link rows of merged records to the survivors, in a transaction; the changes as they are to be read then.

        A survivor that was not read yet is looked at by its id, and its merged record again with it.
        """
        merged = {remote_id for remote_id, change in latest.items() if change.deleted and change.merged_into}
        linked = {link.remote_id: link for link in links.of_records(self.way.store, self.way.mapping_id, merged)}
        if not linked:
            return dict(latest)
        keys = sorted(link.key for link in linked.values())
        touched = outbox.lock(self.way.store, self.way.mapping_id, keys)
        there = self.way.entities(keys)
        found = dict(latest)
        for remote_id, link in sorted(linked.items()):
            survivor = _survivor(latest, remote_id)
            state = latest.get(survivor)
            if link.key not in there or (state is not None and state.deleted):
                found[remote_id] = replace(latest[remote_id], merged_into=None)  # as any delete
            elif state is None or (link.key in touched and touched[link.key].on_its_way):
                rechecks.add(self.way.store, self.way.mapping_id, [remote_id, survivor])
                del found[remote_id]
            elif self._has_row(state, link):
                if self.way.two_way.deletes.action == "delete":
                    found[remote_id] = replace(latest[remote_id], merged_into=None)
            else:
                self._link(link, survivor)
                del found[remote_id]
        return found

    def _has_row(self, survivor: RemoteChange, link: Link) -> bool:
        """Whether the survivor is linked to an entity, or carries the key of one."""
        if links.holders(self.way.store, self.way.mapping_id, [survivor.remote_id]):
            return True
        key = survivor.fields.get(self.way.columns.external_id)
        if key is None or self.way.columns.carries(key, link.key) or not self.way.two_way.is_key(str(key)):
            return False
        return bool(self.way.entities([str(key)]))

    def _link(self, link: Link, survivor: str) -> None:
        """What the survivor holds otherwise than the base then counts as changed there."""
        links.upsert(self.way.store, self.way.mapping_id, {link.key: (survivor, link.base)})
        told = f"its record {link.remote_id} was merged into this one"
        entry = Incoming(link.key, Operation.NOTHING, Outcome.SAME, survivor, message=told)
        sync_log.append_incoming(self.way.store, self.way.mapping_id, [entry])


def _survivor(latest: Mapping[str, RemoteChange], remote_id: str) -> str:
    """The record that a merge led to, over several merges as far as they were read."""
    seen = {remote_id}
    while (change := latest.get(remote_id)) is not None and change.deleted and change.merged_into:
        remote_id = change.merged_into
        if remote_id in seen:
            break
        seen.add(remote_id)
    return remote_id
