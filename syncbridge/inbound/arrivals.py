"""Arrivals: remote records that are linked to no entity, and which entity each of them is, or becomes.

One that carries a key is that entity. One that agrees with a row in the fields of `match_on`, and with no other, is
that row's. Of any other a new row is made, under a key that its table gives by default. Nothing is guessed: what could
be several is held, until a person says which row it is. A record whose link went shortly before the page was read is
looked at again, since the page may show it as it was before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.way import WayBack
from syncbridge.mapping.key_sql import text_of
from syncbridge.mapping.sql import escaped
from syncbridge.model import Fields, Normal
from syncbridge.source import row_writes
from syncbridge.store import conflicts, departures, held_records, links
from syncbridge.store.held_records import CREATE, IGNORE, LINK, ROW_NOT_FREE, HeldRecord

#: Codes of records that are held.
NO_KEY, UNFIT_KEY, SEVERAL_MATCHES = "NO_KEY", "KEY_DOES_NOT_FIT", "SEVERAL_MATCHES"


@dataclass(slots=True)
class Arrived:
    """What the unlinked records of a page come to."""

    named: dict[str, RemoteChange] = field(default_factory=dict)  # by the key that they carry, or of the row they match
    chosen: set[str] = field(default_factory=set)  # of these, the keys that persons named
    fresh: dict[str, RemoteChange] = field(default_factory=dict)  # by the key of the row that is to be made
    postponed: set[str] = field(default_factory=set)
    held: list[HeldRecord] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.named or self.fresh or self.postponed or self.held)

    def postpone_fresh(self) -> None:
        """Make no rows: another look is needed."""
        self.postponed |= {change.remote_id for change in self.fresh.values()}
        self.fresh = {}


@dataclass(slots=True)
class Arrivals:
    """Sorts the unlinked records of one mapping."""

    way: WayBack
    _default: str = ""  # the SQL of a new key

    def sort(self, changes: Sequence[RemoteChange], settled: datetime, *, all: bool) -> Arrived:
        """Sort records that are there; a page shows them not older than `settled`. In a transaction.

        With `all` those are tried again, too, that were refused as they are.
        """
        arrived = Arrived()
        held = self._held(changes)
        anew = {remote_id for remote_id, each in held.items() if each.decision == CREATE}
        nameless: list[RemoteChange] = []
        for change in self._unchosen(self._news(changes, held, all=all), held, arrived):
            key = _text(change.fields.get(self.way.columns.external_id))
            if not key:
                nameless.append(change)
            elif self.way.two_way.is_key(key):
                arrived.named.setdefault(key, change)
            elif change.remote_id in anew:
                nameless.append(change)
            else:
                self._unfit(change, nameless, arrived)
        if not self.way.two_way.creates:
            nameless, arrived.held = [], []
        nameless = self._settled(nameless, arrived, settled)
        if nameless and self.way.mapping.match_on and self.way.two_way.sends:
            alike = self._match([change for change in nameless if change.remote_id not in anew], arrived)
            nameless = [*alike, *(change for change in nameless if change.remote_id in anew)]
        if nameless:
            self._give_keys(nameless, arrived)
        return arrived

    def _held(self, changes: Sequence[RemoteChange]) -> Mapping[str, HeldRecord]:
        """What is held of them."""
        if not changes or not self.way.two_way.creates:
            return {}
        return held_records.read(self.way.store, self.way.mapping_id, [change.remote_id for change in changes])

    def _news(
        self, changes: Sequence[RemoteChange], held: Mapping[str, HeldRecord], *, all: bool
    ) -> list[RemoteChange]:
        """Without what is held just as it is, and what a person ignores."""
        kept = [c for c in changes if c.remote_id not in held or held[c.remote_id].decision != IGNORE]
        return (
            kept if all else [c for c in kept if c.remote_id not in held or held[c.remote_id].fields != self._mapped(c)]
        )

    def _unchosen(
        self, changes: Sequence[RemoteChange], held: Mapping[str, HeldRecord], arrived: Arrived
    ) -> list[RemoteChange]:
        """Give records to the rows that persons named, if these are there and have none; the others."""
        chosen = {
            c.remote_id: str(held[c.remote_id].decided_key)
            for c in changes
            if c.remote_id in held and held[c.remote_id].decision == LINK
        }
        if not chosen:
            return list(changes)
        keys = sorted(set(chosen.values()))
        free = self.way.entities(keys)
        free -= links.remote_ids(self.way.store, self.way.mapping_id, keys).keys()
        for change in changes:
            key = chosen.get(change.remote_id)
            if key in free:
                arrived.named[key] = change
                arrived.chosen.add(key)
                free.discard(key)
            elif key is not None:
                message = f"the row {key}, which a person named, is gone or has another record by now"
                self._hold(change, ROW_NOT_FREE, message, arrived)
        return [change for change in changes if change.remote_id not in chosen]

    def _unfit(self, change: RemoteChange, nameless: list[RemoteChange], arrived: Arrived) -> None:
        if not self.way.two_way.sends:  # whose it is does not matter where nothing is written to it
            nameless.append(change)
            return
        table = f"{self.way.mapping.schema}.{self.way.mapping.table}"
        message = (
            f"its {self.way.columns.external_id} holds what is no key of {table}: empty it there and the row gets a key"
            " of its own, or write the key of the row that it is"
        )
        self._hold(change, UNFIT_KEY, message, arrived)

    def _settled(self, nameless: list[RemoteChange], arrived: Arrived, settled: datetime) -> list[RemoteChange]:
        """Without those whose link went too shortly before."""
        ids = [change.remote_id for change in (*nameless, *arrived.named.values())]
        if not ids:
            return nameless
        keys, gone = departures.since(self.way.store, self.way.mapping_id, settled, keys=arrived.named, remote_ids=ids)
        late = {key for key, change in arrived.named.items() if key in keys or change.remote_id in gone}
        arrived.postponed |= {arrived.named.pop(key).remote_id for key in late}
        arrived.postponed |= {change.remote_id for change in nameless if change.remote_id in gone}
        return [change for change in nameless if change.remote_id not in gone]

    # -- rows that are there already -----------------------------------------------------------------------------------

    def _match(self, nameless: list[RemoteChange], arrived: Arrived) -> list[RemoteChange]:
        """Give records to the unlinked rows that agree with them; those that agree with none."""
        if not conflicts.try_meet(self.way.store, self.way.mapping_id):  # outbound does the same just now
            arrived.postponed |= {change.remote_id for change in nameless}
            return []
        if not self.way.columns.matched:
            for change in nameless:
                self._hold(change, SEVERAL_MATCHES, "match_on names a field that no column of the table holds", arrived)
            return []
        found = self._rows_like(nameless)
        claims = Counter(key for keys in found.values() for key in keys)
        wanted = conflicts.wanted_by_others(
            self.way.store, self.way.mapping_id, [change.remote_id for change in nameless], besides=[]
        )
        names = ", ".join(each.name for each in self.way.columns.matched)
        rest = []
        for change in nameless:
            keys = found.get(change.remote_id, ())
            if change.remote_id in wanted:
                self._hold(change, SEVERAL_MATCHES, "a row that is held may be this record: decide that first", arrived)
            elif not keys:
                rest.append(change)
            elif len(keys) > 1 or claims[keys[0]] > 1 or keys[0] in arrived.named:
                what = f"{len(keys)} rows" if len(keys) > 1 else "a row that another record agrees with, too,"
                hint = "say which with `syncbridge conflicts resolve`"
                self._hold(change, SEVERAL_MATCHES, f"{what} agree in {names}: {hint}", arrived, keys)
            else:
                arrived.named[keys[0]] = change
        return rest

    def _rows_like(self, nameless: Sequence[RemoteChange]) -> dict[str, list[str]]:
        """Remote id -> keys of the unlinked entities that agree in every field of `match_on`."""
        matched = self.way.columns.matched
        texts = {c.remote_id: [each.text(c.fields.get(each.name)) for each in matched] for c in nameless}
        sought = [c for c in nameless if None not in texts[c.remote_id]]
        if not sought:
            return {}
        sql = self.way.two_way.match_sql(self.way.columns.assignments([each.way.column.name for each in matched]))
        agreeing: dict[str, list[str]] = {}
        for place, key, mine in row_writes.matches(self.way.source, sql, [texts[c.remote_id] for c in sought]):
            change = sought[place]
            alike = zip(matched, mine, strict=True)
            if all(each.same(str(text), change.fields.get(each.name)) for each, text in alike):
                agreeing.setdefault(change.remote_id, []).append(key)
        keys = sorted({key for several in agreeing.values() for key in several})
        free = set(keys) - links.remote_ids(self.way.store, self.way.mapping_id, keys).keys()
        if self.way.two_way.filtered and free:
            free &= self.way.entities(free)
        return {
            remote_id: kept for remote_id, several in agreeing.items() if (kept := [k for k in several if k in free])
        }

    # -- new rows -----------------------------------------------------------------------------------------------------

    def _give_keys(self, nameless: Sequence[RemoteChange], arrived: Arrived) -> None:
        if not self.way.two_way.makes_keys:
            message = f"it carries no key, and {', '.join(self.way.mapping.key)} has no default"
            for change in nameless:
                self._hold(change, NO_KEY, message, arrived)
            return
        if not self._default:
            given = self.way.two_way.keys_by_default
            self._default = escaped(text_of(row_writes.defaults(self.way.source, given.table, given.columns)))
        keys = row_writes.evaluate(self.way.source, self._default, len(nameless))
        taken = self._taken(keys)
        for key, change in zip(keys, nameless, strict=True):
            if key in taken:
                message = f"the default of the key gave {key}, which is taken: move the sequence past the table's keys"
                self._hold(change, NO_KEY, message, arrived)
            elif key in arrived.fresh or key in arrived.named:
                self._hold(change, NO_KEY, "the default of the key gave a key twice", arrived)
            else:
                arrived.fresh[key] = change

    def _taken(self, keys: Sequence[str]) -> set[str]:
        """Of keys that are about to be promised those that have a row or a record: they would change hands.

        In one database nothing is promised, and the table's own constraint refuses them.
        """
        if self.way.in_one_database:
            return set()
        linked = links.remote_ids(self.way.store, self.way.mapping_id, keys)
        return linked.keys() | row_writes.lock(self.way.source, self.way.two_way.lock_sql, sorted(set(keys))).keys()

    def _hold(
        self, change: RemoteChange, code: str, message: str, arrived: Arrived, candidates: Sequence[str] = ()
    ) -> None:
        mapped = self._mapped(change)
        held = HeldRecord(change.remote_id, mapped, code, message, change.modified, tuple(sorted(candidates)))
        arrived.held.append(held)

    def _mapped(self, change: RemoteChange) -> Fields:
        return {name: value for name, value in change.fields.items() if name in self.way.columns.asked}


def _text(value: Normal) -> str:
    """The key that an external id field holds; where that is a number, 7.0 is the key 7."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
