"""Mappings that look each other up, over tables of one database, with a destination in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from syncbridge.destinations.memory import MemoryDestination
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.kinship import kinship
from syncbridge.model import Fields, Lsn, Priority, Reason
from syncbridge.outbound.deliver import Deliverer, Limits
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import backlog, database, links, mappings, outbox, sync_log
from syncbridge.store.backlog import Waiting
from syncbridge.store.sync_log import Logged
from tests.fix_store import MOMENT, end_leases, make_due

TABLES = """
create table companies (id bigint primary key, name text, parent_id bigint, is_customer boolean not null default true);
create table people (id bigint primary key, name text, email text, company_id bigint, manager_id bigint,
                     mentor_id bigint);
create table shops (country text, no int, name text, primary key (country, no));
create table tills (id int primary key, name text, country text, shop_no int);
"""

COMPANIES = """
mapping: companies
destination: crm
object: Account
entity: {table: public.companies, key: id, where: is_customer}
external_id: Key__c
fields: {Name: name}
guard: {deletes: off}
"""

PEOPLE = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
fields:
  Name: name
  AccountId: {lookup: companies, key: company_id}
guard: {deletes: off}
"""


def described(name: str, *references: str) -> RemoteObject:
    """An object with a key, a name, an email, a field that it calculates, and fields that hold ids."""
    fields = [RemoteField("Key__c", FieldKind.STRING), RemoteField("Name", FieldKind.STRING)]
    fields += [RemoteField("Grade__c", FieldKind.NUMBER, calculated=True, createable=False, updateable=False)]
    fields += [RemoteField("Email", FieldKind.STRING), *(RemoteField(r, FieldKind.STRING) for r in references)]
    return RemoteObject(name, {each.name: each for each in fields})


class Crm(MemoryDestination):
    """Remembers what was sent, record by record."""

    def __init__(self) -> None:
        super().__init__(
            "crm",
            [
                described("Account", "ParentId", "OwnerId"),
                described("Contact", "AccountId", "ReportsToId", "MentorId"),
                described("Shop"),
                described("Till", "ShopId"),
            ],
        )
        self.sent: list[tuple[str, Fields]] = []
        self.deleted: list[tuple[str, str]] = []

    def upsert(self, object: str, external_id: str, records: Any, *, lane: str = "") -> Any:
        self.sent += [(object, dict(record)) for record in records]
        return super().upsert(object, external_id, records, lane=lane)

    def delete(self, object: str, remote_ids: Sequence[str], *, lane: str = "") -> Any:
        self.deleted += [(object, remote_id) for remote_id in remote_ids]
        return super().delete(object, remote_ids, lane=lane)

    def times(self, object: str, key: object) -> int:
        """How often a record was sent."""
        return sum(sent == object and record["Key__c"] == str(key) for sent, record in self.sent)


@dataclass
class Family:
    """Mappings in force, and a lane of each. `sql` writes to the source; `touch` enqueues what capture would."""

    store: Connection
    writer: Connection
    crm: Crm
    mappings: dict[str, tuple[int, CompiledMapping]]
    connect: Callable[[], Connection]
    lanes: dict[str, Deliverer] = field(default_factory=dict)

    def lane(self, name: str, **values: Any) -> Deliverer:
        """A further lane of a mapping."""
        kin = kinship({name: id for name, (id, _) in self.mappings.items()}, dict(self.mappings.values()))
        id, compiled = self.mappings[name]
        source = self.connect()
        rows.prepare(source)
        values = {"limits": Limits(), "rng": random.Random(1), "kin": kin[id], **values}
        return Deliverer(id, compiled, self.crm, self.connect(), source, **values)

    def id(self, name: str) -> int:
        return self.mappings[name][0]

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = self.writer.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def touch(self, name: str, *keys: object, reason: Reason = Reason.CHANGE) -> None:
        """Enqueue keys at the source's position now."""
        outbox.enqueue(
            self.store,
            self.id(name),
            [str(key) for key in keys],
            reason=reason,
            priority=Priority.LIVE if reason is Reason.CHANGE else Priority.BULK,
            lsn=Lsn.parse(self.sql("select pg_current_wal_insert_lsn()::text")[0][0]),
            moment=MOMENT,
        )

    def step(self, name: str) -> int:
        """One batch of one mapping."""
        make_due(self.store)
        return self.lanes[name].step()

    def deliver(self, *names: str) -> int:
        """Deliver until nothing is due; how many rounds over all lanes that took. Joins of lookups are fanned out."""
        for turn in range(200):
            if not sum([self.fan_out(), *(self.step(name) for name in names or self.lanes)]):
                return turn
        raise AssertionError("delivery does not come to an end")

    def fan_out(self) -> int:
        """As the loop that passes keys on would: children of parents whose records are others now."""
        done = 0
        for mapping_id, relation, key in self.store.execute("select mapping_id, relation, key from syncbridge.fan_out"):
            ((name, compiled),) = [(n, c) for n, (i, c) in self.mappings.items() if i == mapping_id]
            sql, parameters = compiled.fan_out_page(relation, None, 10_000)
            found = [str(k) for (k,) in self.writer.execute(sql.encode(), [[key], *parameters])]
            if found:
                self.touch(name, *found, reason=Reason.RELATED)
            done += 1
        self.store.execute("delete from syncbridge.fan_out")
        return done

    def kill(self) -> None:
        """As if every lane had been killed: leases end, and they start again."""
        end_leases(self.store)
        self.lanes = {name: self.lane(name) for name in self.lanes}

    # -- looking ------------------------------------------------------------------------------------------------------

    def remote(self, object: str) -> dict[str, Fields]:
        """Records by key; no key twice."""
        stored = self.crm.stored(object)
        by_key = {str(fields["Key__c"]): fields for fields in stored.values()}
        assert len(by_key) == len(stored)
        return by_key

    def remote_id(self, name: str, key: object) -> str | None:
        link = links.read(self.store, self.id(name), str(key))
        return None if link is None else link.remote_id

    def waiting(self, name: str, key: object) -> Waiting | None:
        return backlog.waiting(self.store, self.id(name), str(key))

    def statuses(self) -> dict[str, str]:
        """Key -> status of every row of the outbox."""
        return dict(self.store.execute("select key, status from syncbridge.outbox").fetchall())

    def awaited(self) -> list[tuple[str, str]]:
        """(parent's key, who waits), in order."""
        found = self.store.execute("select parent_key, key from syncbridge.awaited order by 1, 2")
        return [(parent_key, key) for parent_key, key in found]

    def log(self, name: str, key: object) -> list[Logged]:
        return sync_log.read(self.store, mapping=name, key=str(key))


StartFamily = Callable[..., Family]


@pytest.fixture
def start_family(state: None, dsn: str) -> Iterator[StartFamily]:
    """Starts mappings from their texts."""
    with ExitStack() as opened:

        def connect() -> Connection:
            return opened.enter_context(database.connect(dsn, purpose="test"))

        def make(*texts: str, more: str = "", **values: Any) -> Family:
            writer = opened.enter_context(psycopg.connect(dsn, autocommit=True))
            writer.execute((TABLES + more).encode())
            store = connect()
            in_force: dict[str, tuple[int, CompiledMapping]] = {}
            for text in texts:
                spec = parse_mapping(text)
                tables = read_catalog(writer, spec.tables).tables
                related = {name: tables[one.table_name] for name, one in spec.entity.related.items()}
                compiled = compile_mapping(spec, tables[spec.entity.table_name], related)
                mapping_id, _ = mappings.apply(
                    store,
                    name=compiled.name,
                    destination="crm",
                    object=compiled.object,
                    definition=dict(compiled.definition),
                    digest=compiled.digest,
                )
                in_force[compiled.name] = (mapping_id, compiled)
            family = Family(store, writer, Crm(), in_force, connect)
            family.lanes = {name: family.lane(name, **values) for name in in_force}
            return family

        yield make


@pytest.fixture
def family(start_family: StartFamily) -> Family:
    """People of companies."""
    return start_family(COMPANIES, PEOPLE)
