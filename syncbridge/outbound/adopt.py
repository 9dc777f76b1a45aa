"""Adopt: entities are linked to the existing records that their rows name by remote id, before anything is delivered.

For tables that another product has synced. A record that does not carry the entity's key yet gets it, by remote id and
nothing else with it; from then on every upsert finds it, so that none can create a double. Only after that is the link
made, with what the record holds now as its base: the next compare sends true differences and no more. Both steps may be
repeated, so an interrupted run is simply run again. What is doubtful is told, and left as it is.

With a way back the base holds only fields in which row and record agree: who changed the others is not known, so the
first load decides about them by the rule of conflicts, and nothing newer at either side is lost unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from psycopg import Connection

from syncbridge.destinations.base import Delivered, Destination, Rejected, RemoteRecord, Result
from syncbridge.errors import ConfigurationError, RecordRejected, Remedy, RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, MappingStatus, Normal, Operation, Outcome, Reason
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.convert import Converter
from syncbridge.schemas import FieldKind, RemoteObject
from syncbridge.source import rows
from syncbridge.store import backlog, conflicts, links, mappings, remote_ids, sync_log, way_back
from syncbridge.store.remote_ids import Named
from syncbridge.store.sync_log import Entry

#: Rows that are read, compared and linked together.
PAGE = 4000
#: Of each kind of problem, so many are told one by one.
MOST_TOLD = 1000


class Problem(StrEnum):
    """Why an entity was not linked to the record that its row names."""

    GONE = "gone"  # the destination has no such record, or does not show it
    TWICE = "twice"  # several rows name it
    OTHER_KEY = "other key"  # it carries another entity's key
    OTHER_RECORD = "other record"  # the entity is linked to another record
    TAKEN = "taken"  # it is linked to another entity
    KEY_ELSEWHERE = "key elsewhere"  # another record carries the entity's key
    MALFORMED = "malformed"  # what the row holds is no remote id
    REFUSED = "refused"  # the key cannot be written into the record


class Unlinked(NamedTuple):
    """One entity that was left as it is."""

    problem: Problem
    key: str
    remote_id: str
    detail: str = ""


@dataclass(slots=True)
class Adopted:
    """What came of it; in a dry run, what would."""

    rows: int = 0  # that name a record
    linked: int = 0
    known: int = 0  # were linked to it already
    keys_written: int = 0  # records that did not carry their key yet
    problems: Counter[Problem] = field(default_factory=Counter)
    unlinked: list[Unlinked] = field(default_factory=list)  # the first MOST_TOLD of each problem

    def leave(self, problem: Problem, key: str, remote_id: str, detail: str = "") -> None:
        """Note an entity that is left as it is."""
        self.problems[problem] += 1
        if self.problems[problem] <= MOST_TOLD:
            self.unlinked.append(Unlinked(problem, key, remote_id, detail))


@dataclass(slots=True)
class Adoption:
    """One mapping's adoption. `store` and `source` (prepared for reading rows) are connections of its own."""

    mapping_id: int
    mapping: CompiledMapping
    destination: Destination
    store: Connection
    source: Connection
    dry_run: bool = False
    page: int = PAGE
    told: Callable[[int], None] = lambda done: None  # rows looked at so far
    _adopted: Adopted = field(default_factory=Adopted)
    _composer: Composer = field(init=False)
    _converter: Converter = field(init=False)
    _names: list[str] = field(init=False)

    def adopt(self, column: str) -> Adopted:
        """Link every entity whose row holds a remote id in `column`.

        But for a dry run the mapping must be paused in both directions, with nothing under way: ConfigurationError or
        RetryLater otherwise, also when it is resumed meanwhile. What was linked until then stays linked. A mapping
        that sends nothing is refused: it links rows by itself.
        """
        if not self.mapping.sends:
            raise ConfigurationError(
                f"{self.mapping.name} sends nothing: its first load finds the rows of all records by itself",
                hint=f"Run `syncbridge resume {self.mapping.name}` without it.",
            )
        self._require_rest()
        remote = self.destination.describe(self.mapping.object)
        width = max((each.position or 0 for each in self.mapping.fields), default=0) + 1
        self._converter = Converter(self.mapping, remote, self.destination, ["text"] * width)
        self._composer = Composer(self.mapping, self.destination, self.source)
        spelled = {name.lower(): name for name in remote.fields}
        ordered = sorted(self.mapping.fields, key=lambda each: each.position is not None)  # as composed records are
        self._names = [spelled[each.remote.lower()] for each in ordered]
        remote_ids.begin(self.store)
        remote_ids.add(self.store, self._named(column, self._spelling(remote)))
        remote_ids.complete(self.store)
        after = 0
        while found := remote_ids.page(self.store, after, self.page):
            after = found[-1].number
            self._adopt(found)
            self.told(after)
        return self._adopted

    def _require_rest(self) -> None:
        """Nothing may be delivered meanwhile: what is not linked yet would be created."""
        name = self.mapping.name
        if self.dry_run:
            return
        active = self.mapping.two_way is not None and way_back.is_active(self.store, self.mapping_id)
        if active or mappings.read(self.store, name).status is not MappingStatus.PAUSED:
            raise ConfigurationError(
                f"{name} is not paused: a record that is not taken over yet could be created a second time",
                hint=f"Run `syncbridge pause {name}`, then this again; `syncbridge resume {name}` when all is well.",
            )
        if backlog.under_lease(self.store, self.mapping_id):
            raise RetryLater(f"{name}: a worker is still delivering", hint="Try again in a minute.")

    def _spelling(self, remote: RemoteObject) -> Callable[[str], Normal]:
        """To the one spelling of remote ids that this destination answers with."""
        identifier = next((each for each in remote.fields.values() if each.kind is FieldKind.IDENTIFIER), None)
        return str.strip if identifier is None else self.destination.normaliser(identifier)

    def _named(self, column: str, spelling: Callable[[str], Normal]) -> Iterator[tuple[int, str, str]]:
        """Rows that name a record, numbered, page by page."""
        after: str | None = None
        number = 0
        while True:
            pairs = rows.pairs_page(self.source, *self.mapping.beside_page(column, after, self.page))
            for key, text in pairs:
                try:
                    remote_id = spelling(text)
                except RecordRejected:
                    self._adopted.rows += 1
                    self._adopted.leave(Problem.MALFORMED, key, "")
                    continue
                if remote_id:
                    number += 1
                    self._adopted.rows += 1
                    yield number, key, str(remote_id)
            if len(pairs) < self.page:
                return
            after = pairs[-1][0]

    # -- one page -----------------------------------------------------------------------------------------------------

    def _adopt(self, found: Sequence[Named]) -> None:
        self._require_rest()
        free = self._free(found)
        records = self._read([named.remote_id for named in free])
        ready: dict[str, RemoteRecord] = {}
        keyless: dict[str, RemoteRecord] = {}
        for named in free:
            record = records[named.remote_id]
            if record is None:
                self._adopted.leave(Problem.GONE, named.key, named.remote_id)
                continue
            carried = record.fields[self._external]
            try:
                self._converter.external_value(named.key)
                ours = self._converter.same_key(carried, named.key)
            except RecordRejected as refusal:
                self._adopted.leave(Problem.REFUSED, named.key, named.remote_id, f"{refusal.code}: {refusal.message}")
                continue
            if carried is None or carried == "":
                keyless[named.key] = record
            elif ours:
                ready[named.key] = record
            else:
                self._adopted.leave(Problem.OTHER_KEY, named.key, named.remote_id)
        written, stop = self._write_keys(keyless)
        self._link(ready, written)
        if stop is not None:
            raise RetryLater(f"{stop.code}: {stop.message}", hint="Run it again later: it goes on from there.")

    @property
    def _external(self) -> str:
        return self._converter.external_field

    def _free(self, found: Sequence[Named]) -> list[Named]:
        """Those whose entity and record have no link yet, and each other's word alone."""
        linked = links.read_many(self.store, self.mapping_id, [named.key for named in found])
        holders = links.holders(self.store, self.mapping_id, sorted({named.remote_id for named in found}))
        free = []
        for named in found:
            key, remote_id = named.key, named.remote_id
            if key in linked and linked[key][0] == remote_id:
                self._adopted.known += 1
            elif key in linked:
                self._adopted.leave(Problem.OTHER_RECORD, key, remote_id, f"it is linked to {linked[key][0]}")
            elif named.twice:
                self._adopted.leave(Problem.TWICE, key, remote_id)
            elif remote_id in holders:
                self._adopted.leave(Problem.TAKEN, key, remote_id, f"by {holders[remote_id]}")
            else:
                free.append(named)
        return free

    def _read(self, ids: Sequence[str]) -> dict[str, RemoteRecord | None]:
        fields = [self._external, *self._names]
        read = self.destination.read(self.mapping.object, ids, fields, lane=self.mapping.name)
        return dict(zip(ids, read, strict=True))

    def _write_keys(self, keyless: dict[str, RemoteRecord]) -> tuple[dict[str, RemoteRecord], Rejected | None]:
        """Give records the keys of their entities, by remote id; those that have it now, and what stopped the rest."""
        if not keyless:
            return {}, None
        values = {key: self._converter.external_value(key) for key in keyless}
        self._leave_out_held(keyless, values)
        if self.dry_run:
            return keyless, None
        records: list[tuple[str, Fields]] = [
            (record.remote_id, {self._external: values[key]}) for key, record in keyless.items()
        ]
        answers: list[Result] = self.destination.update(self.mapping.object, records, lane=self.mapping.name)
        written, stop = {}, None
        for (key, record), answer in zip(keyless.items(), answers, strict=True):
            if isinstance(answer, Delivered):
                written[key] = record
            elif answer.remedy is Remedy.WAIT:
                stop = answer
            else:
                problem = Problem.GONE if answer.remedy is Remedy.GONE else Problem.REFUSED
                self._adopted.leave(problem, key, record.remote_id, f"{answer.code}: {answer.message}")
        return written, stop

    def _leave_out_held(self, keyless: dict[str, RemoteRecord], values: dict[str, Normal]) -> None:
        """A key that another record carries already must not stand in two: upserts would find both, and fail."""
        found = self.destination.find(
            self.mapping.object, self._external, list(values.values()), lane=self.mapping.name
        )
        for key in [key for key in keyless if found.get(values[key])]:
            other = found[values[key]][0].remote_id
            self._adopted.leave(Problem.KEY_ELSEWHERE, key, keyless.pop(key).remote_id, f"{other} carries it")

    def _link(self, ready: dict[str, RemoteRecord], written: dict[str, RemoteRecord]) -> None:
        self._adopted.linked += len(ready) + len(written)
        self._adopted.keys_written += len(written)
        if self.dry_run or not (ready or written):
            return
        bases = self._bases({**ready, **written})
        made = {key: (record.remote_id, bases[key]) for key, record in (*ready.items(), *written.items())}
        log = [_entry(key, record, None) for key, record in ready.items()]
        log += [_entry(key, record, self._external) for key, record in written.items()]
        with self.store.transaction():
            links.upsert(self.store, self.mapping_id, made)
            conflicts.look_again(
                self.store, self.mapping_id, list(made)
            )  # held or not, which record it is is known now
            conflicts.release(self.store, self.mapping_id, [remote_id for remote_id, _ in made.values()])
            sync_log.append(self.store, self.mapping_id, log)

    def _bases(self, records: dict[str, RemoteRecord]) -> dict[str, Fields]:
        """What both sides are taken to agree on: all that a record holds, with a way back only what its row holds too.

        Of lookups rows hold keys, which are not compared here.
        """
        bases = {key: {name: record.fields[name] for name in self._names} for key, record in records.items()}
        two_way = self.mapping.two_way
        if two_way is None:
            return bases
        decided = {each.remote.lower() for each in self.mapping.fields if two_way.returns(each.remote)}
        entities = self._composer.compose(list(records))
        for key, base in bases.items():
            row = {**entities.records.get(key, {}), **entities.computed.get(key, {})}
            for name in [name for name in base if name.lower() in decided]:
                if name not in row or row[name] != base[name]:
                    del base[name]
        return bases


def _entry(key: str, record: RemoteRecord, written: str | None) -> Entry:
    return Entry(
        key=key,
        operation=Operation.UPDATE if written else Operation.NOTHING,
        outcome=Outcome.DELIVERED if written else Outcome.SAME,
        reason=Reason.ADOPT.value,
        remote_id=record.remote_id,
        fields=written,
        message="linked to the record that its row names",
    )
