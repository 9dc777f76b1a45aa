"""What the state knows of the entities that a page speaks of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.decide import Survivor
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.store import held_changes, kept_rows, links, outbox
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link
from syncbridge.store.outbox import Touched


@dataclass(frozen=True, slots=True)
class Known:
    """By the keys of entities, but for survivors."""

    links: Mapping[str, Link] = field(default_factory=dict)  # to the records of the page
    owners: Mapping[str, str] = field(default_factory=dict)  # the remote id of the record that each is linked to
    touched: Mapping[str, Touched] = field(default_factory=dict)  # rows of the outbox
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

    def on_its_way(self, key: str) -> bool:
        """Whether the entity is being sent."""
        return key in self.touched and self.touched[key].on_its_way

    def waits(self, key: str) -> bool:
        """Whether the entity is still to be sent."""
        return key in self.touched and self.touched[key].status != "dead"

    def stored(self, key: str, remote: Fields, *, made: bool) -> Fields:
        """What we sent without being told whether it was stored, as far as these remote values show that it was.

        A record that carries the key of an entity without a link was `made` by that: all that was sent was stored, and
        what it holds otherwise somebody changed there.
        """
        sent = self.touched[key].sent if key in self.touched else ()
        if not sent:
            return {}
        whole = {name: value for name, value in sent[-1].items() if name in remote} if made else {}
        shown = {
            name: value
            for name, value in remote.items()
            if any(name in fields and fields[name] == value for fields in sent)
        }
        return {**whole, **shown}


def lock(
    way: WayBack, wanted: Mapping[str, RemoteChange], matched: Iterable[str], survivors: Mapping[str, Survivor]
) -> Known:
    """What is known of the entities that these changes are about, by key, and locks on what delivers and holds them.

    `matched` are those of them that had no link so far.
    """
    keys = sorted(wanted)
    touched = outbox.lock(way.store, way.mapping_id, keys)
    held = held_changes.lock(way.store, way.mapping_id, keys)
    ids = {change.remote_id for change in wanted.values()}
    linked = {link.key: link for link in links.of_records(way.store, way.mapping_id, ids)}
    owners = links.remote_ids(way.store, way.mapping_id, keys)
    kept = kept_rows.read(way.store, way.mapping_id, matched)
    return Known(linked, owners, touched, held, kept, survivors)


def promised(base: Mapping[str, object], mapped: Collection[str]) -> bool:
    """Whether a link was only promised to a row that may not have been made yet: nothing was agreed on."""
    return not (base.keys() & set(mapped))
