"""A project in small: a table, the state schema, a destination in memory, and lanes that deliver between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from syncbridge.destinations.memory import MemoryDestination
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.model import Fields, Lsn, MappingStatus, Priority, Reason
from syncbridge.outbound.deliver import Deliverer, Limits
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import backlog, database, links, mappings, outbox
from syncbridge.store.backlog import Waiting
from tests.fix_store import MOMENT, end_leases, end_waits, make_due

TABLE = """
create table people (
    id bigint primary key, first_name text, last_name text, email text, score numeric, born date,
    is_test boolean not null default false, parts integer
)
"""

MAPPING = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id, where: not is_test}
external_id: Person_Key__c
fields:
  FirstName: first_name
  LastName: {column: last_name, default: Unknown}
  Email: email
  Score__c: score
  Born__c: born
deletes: {to_destination: delete}
guard: {deletes: off, changes: off}
"""

CONTACT = RemoteObject(
    "Contact",
    {
        name: RemoteField(name, kind, length=length, unique=name == "Person_Key__c")
        for name, kind, length in (
            ("Person_Key__c", FieldKind.STRING, 40),
            ("FirstName", FieldKind.STRING, 40),
            ("LastName", FieldKind.STRING, 80),
            ("Email", FieldKind.EMAIL, 80),
            ("Score__c", FieldKind.NUMBER, None),
            ("Born__c", FieldKind.DATE, None),
            ("Active__c", FieldKind.BOOLEAN, None),
            ("Share__c", FieldKind.NUMBER, None),
        )
    },
)


class RecordingDestination(MemoryDestination):
    """Also remembers the records of every upsert, as they were sent."""

    def __init__(self, name: str = "crm", **sizes: Any) -> None:
        super().__init__(name, [CONTACT, RemoteObject("Lead", CONTACT.fields)], **sizes)
        self.sent: list[Fields] = []
        self.refreshed = 0

    def upsert(self, object: str, external_id: str, records: Any, *, lane: str = "") -> Any:
        self.sent += [dict(record) for record in records]
        return super().upsert(object, external_id, records, lane=lane)

    def describe(self, object: str, *, refresh: bool = False) -> RemoteObject:
        self.refreshed += refresh
        return super().describe(object, refresh=refresh)

    def undescribe(self, *names: str) -> None:
        """Somebody removes these fields of Contact."""
        contact = self._objects["contact"]
        fields = {name: value for name, value in contact.fields.items() if name not in names}
        self._objects["contact"] = RemoteObject("Contact", fields)


@dataclass
class SmallProject:
    """What a test of delivery has in its hands. `change` writes to the source and captures what it touched."""

    store: Connection
    writer: Connection
    destination: RecordingDestination
    mapping_id: int
    mapping: CompiledMapping
    deliverer: Deliverer
    lane: Callable[..., Deliverer]
    stores: Callable[[], Connection] = field(repr=False)

    def change(self, sql: str, *touched: object) -> None:
        """Run SQL on the source and enqueue the keys that it touched, as capture would."""
        self.writer.execute(sql)
        self.touch(*touched)

    def touch(
        self, *keys: object, reason: Reason = Reason.CHANGE, resend: bool = False, moment: datetime = MOMENT
    ) -> None:
        """Enqueue keys at the source's position now."""
        row = self.writer.execute("select pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        priority = Priority.LIVE if reason is Reason.CHANGE else Priority.BULK
        outbox.enqueue(
            self.store,
            self.mapping_id,
            [str(key) for key in keys],
            reason=reason,
            priority=priority,
            lsn=Lsn.parse(row[0]),
            moment=moment,
            resend=resend,
        )

    def add(self, *ids: int) -> None:
        """Insert and enqueue people named after their number."""
        self.writer.execute(
            "insert into people (id, first_name, last_name, email)"
            " select n, 'First ' || n, 'Last ' || n, n || '@example.org' from unnest(%s::bigint[]) as n",
            (list(ids),),
        )
        self.touch(*ids)

    def deliver(self) -> int:
        """Deliver until nothing is due; waits of rows count as over, waits of the mapping and leases do not."""
        claimed = 0
        for _ in range(50):
            make_due(self.store)
            now = self.deliverer.step()
            claimed += now
            if not now:
                return claimed
        raise AssertionError("delivery does not come to an end")

    def kill(self) -> None:
        """As if the lane had been killed: its leases end, and it starts again."""
        end_leases(self.store)
        self.deliverer = self.lane()

    def wake(self) -> int:
        """The time comes at which waiting mappings go on."""
        end_waits(self.store)
        return mappings.wake_waiting(self.store)

    def remote(self) -> dict[str, Fields]:
        """Records of the destination by external id; no id twice."""
        stored = list(self.destination.stored(self.mapping.object).values())
        by_key = {str(fields["Person_Key__c"]): fields for fields in stored}
        assert len(by_key) == len(stored)
        return by_key

    def status(self) -> MappingStatus:
        return self.applied().status

    def applied(self) -> mappings.AppliedMapping:
        return mappings.read(self.store, self.mapping.name)

    def waiting(self, key: object) -> Waiting | None:
        return backlog.waiting(self.store, self.mapping_id, str(key))

    def left(self) -> list[str]:
        """Keys in the outbox."""
        return [key for (key,) in self.store.execute("select key from syncbridge.outbox order by key")]

    def base(self, key: object) -> Fields | None:
        """What both sides agreed on last."""
        link = links.read(self.store, self.mapping_id, str(key))
        return None if link is None else link.base


Start = Callable[..., SmallProject]


@pytest.fixture
def start(state: None, dsn: str) -> Iterator[Start]:
    """Starts a project of MAPPING with replacements in its text; called again, another mapping beside it."""
    with ExitStack() as opened:

        def connect() -> Connection:
            return opened.enter_context(database.connect(dsn, purpose="test"))

        def make(
            *replacements: tuple[str, str],
            destination: RecordingDestination | None = None,
            limits: Limits | None = None,
        ) -> SmallProject:
            text = MAPPING
            for old, new in replacements:
                assert old in text
                text = text.replace(old, new)
            writer = opened.enter_context(psycopg.connect(dsn, autocommit=True))
            if writer.execute("select to_regclass('people') is null").fetchone() == (True,):
                writer.execute(TABLE)
            store = connect()
            spec = parse_mapping(text)
            table = read_catalog(writer, [spec.entity.table_name]).tables[spec.entity.table_name]
            mapping = compile_mapping(spec, table)
            mapping_id, _ = mappings.apply(
                store,
                name=mapping.name,
                destination="crm",
                object=mapping.object,
                definition=dict(mapping.definition),
                digest=mapping.digest,
            )
            crm = destination or RecordingDestination()

            def lane(**values: Any) -> Deliverer:
                source = connect()
                rows.prepare(source)
                values = {"limits": limits or Limits(), "rng": random.Random(1), **values}
                return Deliverer(mapping_id, mapping, crm, connect(), source, **values)

            return SmallProject(store, writer, crm, mapping_id, mapping, lane(), lane, connect)

        yield make


@pytest.fixture
def project(start: Start) -> SmallProject:
    """The project of MAPPING as it stands."""
    return start()
