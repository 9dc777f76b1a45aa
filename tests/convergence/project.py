"""Two mappings in both directions over one database, with lanes, pollers, and time that passes only when asked to."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psycopg
from psycopg import Connection

from syncbridge.inbound.load import Loader
from syncbridge.inbound.poll import Poller
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.kinship import kinship
from syncbridge.model import Lsn, Priority, Reason
from syncbridge.outbound.deliver import Deliverer, Limits
from syncbridge.outbound.lookups import Lookups
from syncbridge.reconcile.reconciler import Reconciler
from syncbridge.reconcile.sides import Sides
from syncbridge.schemas import Table
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import database, mappings, outbox, runs
from syncbridge.store.runs import Direction
from tests.convergence.far_side import Died, FarSide
from tests.convergence.mappings import ADDED, MAPPINGS, NAMES, TABLES, Variant

#: Tables of the state that are not emptied.
KEPT = ("migration", "mapping", "sync_log_other")
#: Of each mapping.
LANES = 2


@dataclass
class Project:
    """Everything but the destination is made once; `begin` empties it."""

    dsn: str
    opened: ExitStack
    connections: dict[str, Connection] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.writer = self.opened.enter_context(psycopg.connect(self.dsn, autocommit=True, application_name="human"))
        self.writer.execute(TABLES.encode())
        self.store = self.connection("story")
        database.setup(self.store)
        self.tables = {
            name: read_catalog(self.writer, [("public", name)]).tables[("public", name)] for name in MAPPINGS
        }
        listed = self.sql(
            "select relname from pg_class where relnamespace = 'syncbridge'::regnamespace and relkind in ('r', 'p')"
        )
        emptied = [name for (name,) in listed if name not in KEPT]
        self._empty = "".join(f"delete from syncbridge.{name};" for name in emptied)
        self._compiled = cache(self._compile)

    def connection(self, purpose: str) -> Connection:
        if purpose not in self.connections:
            opened = self.opened.enter_context(database.connect(self.dsn, purpose=purpose))
            opened.execute("set synchronous_commit = off; set lock_timeout = '10s'")
            self.connections[purpose] = opened
        return self.connections[purpose]

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = self.writer.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def begin(self, far: FarSide, variant: Variant) -> None:
        """Nothing is there yet, nothing was captured, and the first poll of each mapping is done."""
        self.far, self.variant = far, variant
        self.writer.execute(
            f"delete from people; delete from companies; delete from written; update clock set seconds = 0;"
            "select setval('companies_id_seq', 100, false), setval('people_id_seq', 100, false);"
            f"{self._empty}".encode()
        )
        self.captured = int(
            self.sql("select case when is_called then last_value else 0 end from written_number_seq")[0][0]
        )
        self.seconds = 0.0
        self.mappings: dict[str, tuple[int, CompiledMapping]] = {}
        for name in NAMES:
            self.apply(name)
        self.sql("update syncbridge.mapping set status = 'active', reason = '', hint = '', until = null")
        self.start_workers()
        for name in NAMES:
            self.poll(name)

    def apply(self, name: str) -> None:
        """Put a mapping in force."""
        compiled = self._compiled(name, self.variant)
        mapping_id, _ = mappings.apply(
            self.store,
            name=name,
            destination="crm",
            object=compiled.object,
            definition=dict(compiled.definition),
            digest=compiled.digest,
        )
        self.mappings[name] = mapping_id, compiled

    def _compile(self, name: str, variant: Variant) -> CompiledMapping:
        added = ADDED if variant.added else ""
        text = MAPPINGS[name].format(conflict=variant.conflict, to_postgres=variant.to_postgres, added=added)
        return compile_mapping(parse_mapping(text), self.tables[name])

    def _lane(self, name: str, lane: int) -> Deliverer:
        mapping_id, compiled = self.mappings[name]
        fresh = f"read {name} {lane}" not in self.connections
        source = self.connection(f"read {name} {lane}")
        if fresh:
            rows.prepare(source)
        return Deliverer(
            mapping_id,
            compiled,
            self.far.destination,
            self.connection(f"deliver {name} {lane}"),
            source,
            limits=Limits(batch=10),
            rng=random.Random(1),
            kin=self.kin[mapping_id],
            clock=lambda: self.seconds,
        )

    def start_workers(self) -> None:
        """By the mappings that are in force."""
        self.kin = kinship({n: id for n, (id, _) in self.mappings.items()}, dict(self.mappings.values()))
        self.lanes = {(name, lane): self._lane(name, lane) for name in NAMES for lane in range(LANES)}
        self.pollers = {name: self._poller(name, "poll") for name in NAMES}
        self.loaders = {name: Loader(self._poller(name, "load"), part=2, clock=lambda: self.seconds) for name in NAMES}

    def _poller(self, name: str, purpose: str) -> Poller:
        mapping_id, compiled = self.mappings[name]
        assert compiled.two_way is not None
        store = self.connection(f"{purpose} {name}")
        store.execute("select pg_advisory_unlock_all()")
        source = self.connection(f"{purpose} {name} rows") if self.variant.rows_first else store
        return Poller(
            mapping_id,
            compiled,
            compiled.two_way,
            self.far.destination,
            store,
            source,
            rng=random.Random(1),
            clock=lambda: self.seconds,
            kin=self.kin[mapping_id],
        )

    # -- steps of syncbridge ------------------------------------------------------------------------------------------

    def capture(self, most: int = 1000) -> int:
        """Enqueue what the next committed changes touched, with the time of their commits; how many that were."""
        found = self.sql(
            "select number, source, key, at from written where number > %s order by number limit %s",
            self.captured, most,
        )  # fmt: skip
        lsn = Lsn.parse(self.sql("select pg_current_wal_insert_lsn()::text")[0][0])
        for number, source, key, at in found:
            mapping_id, _ = self.mappings[source]
            outbox.enqueue(
                self.store, mapping_id, [key], reason=Reason.CHANGE, priority=Priority.LIVE, lsn=lsn, moment=at
            )
            self.captured = number
        return len(found)

    def resync(self, name: str) -> None:
        """Every row goes through the outbox once more."""
        mapping_id, _ = self.mappings[name]
        keys = [key for (key,) in self.sql(f"select id::text from {name}")]
        lsn = Lsn.parse(self.sql("select pg_current_wal_insert_lsn()::text")[0][0])
        moment = database.now(self.store)
        outbox.enqueue(
            self.store, mapping_id, keys, reason=Reason.RESYNC, priority=Priority.BULK, lsn=lsn, moment=moment
        )

    def fan_out(self) -> None:
        """As the loop that passes keys on would: children of parents whose records are others now."""
        for mapping_id, relation, key in self.sql("select mapping_id, relation, key from syncbridge.fan_out"):
            ((_, compiled),) = [each for each in self.mappings.values() if each[0] == mapping_id]
            statement, parameters = compiled.fan_out_page(relation, None, 10_000)
            found = [str(each) for (each,) in self.writer.execute(statement.encode(), [[key], *parameters])]
            lsn = Lsn.parse(self.sql("select pg_current_wal_insert_lsn()::text")[0][0])
            moment = database.now(self.store)
            outbox.enqueue(
                self.store, mapping_id, found, reason=Reason.RELATED, priority=Priority.LIVE, lsn=lsn, moment=moment
            )
        self.sql("delete from syncbridge.fan_out")

    def deliver(self, name: str, lane: int = 0) -> int:
        """One batch of one lane."""
        self.fan_out()
        return self.lanes[name, lane].step()

    def deliver_all(self, name: str) -> None:
        for _ in range(50):
            if not self.deliver(name):
                return
        raise AssertionError(f"delivery of {name} does not come to an end")

    def poll_page(self, name: str) -> bool:
        """Whether there is more to read now."""
        return self.pollers[name].step() == 0

    def poll(self, name: str) -> None:
        for _ in range(50):
            if not self.poll_page(name):
                return
        raise AssertionError(f"polling of {name} does not come to an end")

    def load(self, name: str) -> bool:
        """A step of the mapping's pending load, if there is one."""
        mapping_id, _ = self.mappings[name]
        pending = [run for run in runs.pending(self.store, Direction.IN) if run.mapping_id == mapping_id]
        for run in pending[:1]:
            self.loaders[name].step(run)
        return bool(pending)

    def usurp(self, name: str) -> None:
        """The poller's connections are gone, and another worker's poller leads; the first one does not know it."""
        for purpose in (f"poll {name}", f"poll {name} rows"):
            if purpose in self.connections:
                self.connections.pop(purpose).close()
        self.pollers[name] = self._poller(name, "poll")

    def reconciler(self, name: str) -> Reconciler:
        """Compares both sides of a mapping; capture has seen everything."""
        mapping_id, compiled = self.mappings[name]
        store, source = self.connection(f"reconcile {name}"), self.connection(f"reconcile {name} rows")
        rows.prepare(source)
        lookups = Lookups(mapping_id, name, self.kin[mapping_id], store)
        sides = Sides(mapping_id, compiled, self.far.destination, store, source, lookups)
        return Reconciler(sides, lambda: True, settle=0.0, pause=lambda seconds: None)

    def restart(self, work: Callable[[], object]) -> bool:
        """Do something that may die; the worker is then replaced, and what it held stays as the server keeps it."""
        try:
            work()
        except Died:
            self.start_workers()
            return True
        return False

    # -- time ---------------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """All clocks go on: those of the state by moving what it remembers back."""
        self.seconds += seconds
        self.far.pass_time(seconds)
        back = f"- interval '{seconds} seconds'"
        self.writer.execute(
            f"update clock set seconds = {self.seconds};"
            f"update syncbridge.outbox set available_at = available_at {back}, lease_until = lease_until {back};"
            f"update syncbridge.link set delivered_at = delivered_at {back};"
            f"update syncbridge.recheck set since = since {back};"
            f"update syncbridge.departure set at = at {back};"
            f"update syncbridge.kept_row set at = at {back};"
            f"update syncbridge.run set started_at = started_at {back};"
            f"update syncbridge.parent_wait set since = since {back};"
            f"update syncbridge.mapping set until = until {back}".encode()
        )
        mappings.wake_waiting(self.store)

    # -- looking ------------------------------------------------------------------------------------------------------

    def rows(self, name: str) -> dict[str, Mapping[str, Any]]:
        """Rows by key; values as psycopg gives them."""
        cursor = self.writer.execute(f"select * from {name}".encode())
        assert cursor.description is not None
        columns = [each.name for each in cursor.description]
        return {str(row[0]): dict(zip(columns, row, strict=True)) for row in cursor}

    def remote_ids(self, name: str) -> dict[str, str]:
        """Of the linked entities."""
        return dict(
            self.sql("select key, remote_id from syncbridge.link where mapping_id = %s", self.mappings[name][0])
        )
