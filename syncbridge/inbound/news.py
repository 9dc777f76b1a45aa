"""News: which changes of a page may say something new, and which of these may be older than what is known.

A page tells of our own writes, too, and of what was told before: what a record holds like its base says nothing.

*Stale reads.* A page can show a record as it was before our own last write to it: it was read before that ended, or the
destination shows its queries an older state for some seconds. What differs from the base of a record that is on its way
out, or was linked shortly before the page was asked for, is therefore looked at again, by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from syncbridge.destinations.feed import LATE, RemoteChange
from syncbridge.inbound.columns import Columns
from syncbridge.inbound.keys import key_differs
from syncbridge.inbound.known import Known, promised
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.store import held_changes, links
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.links import Link
from syncbridge.store.rechecks import Postponed


class Look(NamedTuple):
    """How the records of a page were read."""

    settled: datetime  # none is shown as it was before this time of the state database
    current: bool  # they were asked for by their ids, and are looked at even if they equal their base

    @classmethod
    def at(cls, asked: datetime, *, current: bool) -> Look:
        """One that was `asked` for at this time; only what was asked for by its id is not older than that."""
        return cls(asked if current else asked - LATE, current)


class News(NamedTuple):
    """What a page tells."""

    wanted: dict[str, RemoteChange]  # what may be new, by the key of its entity
    unlinked: list[RemoteChange]  # records that are no entity's yet


def news(way: WayBack, latest: Mapping[str, RemoteChange], look: Look) -> News:
    """What these changes, by remote ids, say beyond what is known; of a current look all of it."""
    linked = links.of_records(way.store, way.mapping_id, latest)
    held = held_changes.read(way.store, way.mapping_id, [link.key for link in linked])
    wanted = {
        link.key: latest[link.remote_id]
        for link in linked
        if look.current or _is_new(way.columns, link, latest[link.remote_id], held.get(link.key))
    }
    known = {link.remote_id for link in linked}
    unlinked = [change for change in latest.values() if change.remote_id not in known and not change.deleted]
    return News(wanted, unlinked)


def _is_new(columns: Columns, link: Link, change: RemoteChange, held: HeldChange | None) -> bool:
    differing = _differing(columns, link.base, change)
    if _was_refused(held, change, differing):
        return False
    return (
        change.deleted
        or bool(differing)
        or held is not None
        or key_differs(columns, link.base, change.fields, link.key)
    )


def _was_refused(held: HeldChange | None, change: RemoteChange, differing: Fields) -> bool:
    """Whether Postgres refused exactly this before: nothing is tried again for being read again.

    What is held of a delete tells no field; a record that equals its base and is there was undeleted meanwhile.
    """
    if held is None or held.kind != "refused" or change.deleted == bool(held.fields):
        return False
    return differing == {name: sides["remote"] for name, sides in held.fields.items()}


def _differing(columns: Columns, base: Fields, change: RemoteChange) -> Fields:
    """What a record holds otherwise than its base."""
    mapped, unknown = columns.rules, object()  # as `agrees` tells; a load asks this of every record
    return {n: value for n, value in change.fields.items() if base.get(n, unknown) != value and n in mapped}


# -- stale reads -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sifted:
    """The changes of a page by the keys of their entities."""

    ready: dict[str, RemoteChange] = field(default_factory=dict)  # in key order
    postponed: list[Postponed] = field(default_factory=list)  # what may be older than what is known


def sift(way: WayBack, wanted: Mapping[str, RemoteChange], known: Known, look: Look) -> Sifted:
    """Take apart what can be decided now, and what has to be looked at again; without what is another record's."""
    sifted = Sifted()
    for key in sorted(wanted):
        change, link = wanted[key], known.links.get(key)
        if known.owners.get(key, change.remote_id) != change.remote_id:
            continue  # another record has this entity meanwhile
        if _may_be_older(way.columns, link, look) or known.on_its_way(key):
            sifted.postponed.append(_postponed(way.columns, key, change, link))
        else:
            sifted.ready[key] = change
    return sifted


def _may_be_older(columns: Columns, link: Link | None, look: Look) -> bool:
    """Whether something was sent or written after this look, so that it may show less."""
    return link is not None and not promised(link.base, columns.rules) and link.delivered_at > look.settled


def _postponed(columns: Columns, key: str, change: RemoteChange, link: Link | None) -> Postponed:
    """What shows nothing new was wanted for another reason, and is looked at whatever becomes of its base."""
    told = not change.deleted and (link is None or _differing(columns, link.base, change))
    told = told and columns.carries(change.fields.get(columns.external_id), key)
    return Postponed(change.remote_id, key, columns.mapped(change.fields) if told else None)
