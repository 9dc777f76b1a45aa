"""Composing entities of one table, beside entities of four."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.outbound.compose import Composer
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from tests.bench import people
from tests.bench.figures import Outcome, middle, spread
from tests.bench.services import postgres, project, salesforce

METHOD = """\
{entities:,} entities in batches of {batch:,} keys in random order, each composed as delivery composes it: one \
statement, its values fetched as text and converted to what Salesforce stores. The statement alone is shown too. \
Plain: ten columns of one table. Related: these, two columns of two to-one relations of which one is two hops away \
(10,000 companies in 200 regions), and two aggregates of one roll-up (three orders for each entity, in no order). \
The two take turns; the ratio is formed within each round. Tables are analysed and in memory."""

BATCH = 1000

_TABLES = """
create table regions (id int primary key, name text not null);
create table companies (id int primary key, name text not null, region_id int not null references regions);
create table orders (id bigint primary key, person_id bigint not null, total numeric(12, 2) not null, stage text);
alter table people add company_id int;
insert into regions select n, 'Region ' || n from generate_series(1, 200) n;
insert into companies select n, 'Company ' || n, 1 + n % 200 from generate_series(1, 10000) n;
update people set company_id = 1 + (id * 7919) % 10000;
"""
_ORDERS = """
insert into orders
select n, 1 + (n::bigint * 104729) % {entities}, n % 1000, case when n % 7 = 0 then 'lost' else 'won' end
from generate_series(1, 3 * {entities}) n
"""

_RELATED = """
  related:
    company: {table: public.companies, on: company.id = people.company_id}
    region: {table: public.regions, on: region.id = company.region_id}
    orders:
      table: public.orders
      on: orders.person_id = people.id
      where: orders.stage <> 'lost'
      rollup: {order_count: count(*), lifetime_value: sum(orders.total)}
"""
_FIELDS = """\
  AssistantName: company.name
  MailingState: region.name
  Fax: orders.order_count
  MailingPostalCode: {sql: orders.lifetime_value::text}
guard:"""
_RELATED_MAPPING = people.MAPPING.replace(
    "entity: {table: public.people, key: id}\n", f"entity:\n  table: public.people\n  key: id{_RELATED}"
).replace("guard:", _FIELDS)


def bench(entities: int, rounds: int) -> Outcome:
    """`rounds` times both, in turn."""
    outcome = Outcome("compose", METHOD.format(entities=entities, batch=BATCH))
    full = entities >= 100_000
    with _filled(entities) as (connection, destination):
        one, several = (_compiled(connection, text) for text in (people.MAPPING, _RELATED_MAPPING))
        plain, related = (Composer(mapping, destination, connection) for mapping in (one, several))
        for composer in (plain, related):
            _seconds(composer, entities)  # into memory
        pairs: dict[str, list[tuple[float, float]]] = {"composed": [], "statement alone": []}
        for _ in range(rounds):
            pairs["composed"].append((_seconds(plain, entities), _seconds(related, entities)))
            alone = _seconds(plain, entities, connection), _seconds(related, entities, connection)
            pairs["statement alone"].append(alone)
    for what, took in pairs.items():
        outcome.ran(what=what, plain=[round(one, 3) for one, _ in took], related=[round(two, 3) for _, two in took])
        outcome.add(f"{what}: plain, entities/s", spread([entities / one for one, _ in took]))
        outcome.add("... two to-one relations and a roll-up", spread([entities / two for _, two in took]))
        ratios = [two / one for one, two in took]
        target = "2.00" if what == "composed" else ""
        met = middle(ratios) <= 2 if full and target else None
        outcome.add("... time, related to plain", spread(ratios, "{:.2f}"), target=target, met=met)
    return outcome


@contextmanager
def _filled(entities: int) -> Iterator[tuple[Connection, Destination]]:
    with postgres() as server, psycopg.connect(server.socket_dsn, autocommit=True) as connection:
        people.insert(connection, 1, entities)
        connection.execute(_TABLES)
        connection.execute(_ORDERS.format(entities=entities).encode())
        connection.execute("create index on orders (person_id); create index on people (company_id)")
        connection.execute("vacuum analyze")
        with salesforce("null", server.sockets) as remote, project(server.dsn, remote.facts) as (opened, _):
            yield connection, opened.destination("salesforce")


def _compiled(connection: Connection, text: str) -> CompiledMapping:
    spec = parse_mapping(text)
    tables = read_catalog(connection, spec.tables).tables
    related = {name: tables[relation.table_name] for name, relation in spec.entity.related.items()}
    return compile_mapping(spec, tables[spec.entity.table_name], related)


def _seconds(composer: Composer, entities: int, alone: Connection | None = None) -> float:
    """To compose all; or, with the connection, to run the statement and fetch its rows."""
    keys = [str(n) for n in range(1, entities + 1)]
    random.Random(1).shuffle(keys)
    began = time.perf_counter()
    for at in range(0, entities, BATCH):
        batch = keys[at : at + BATCH]
        if alone is not None:
            found = len(rows.compose(alone, composer.mapping.compose_sql, batch).found)
        else:
            found = len(composer.compose(batch).records)
        if found < len(batch):
            raise RuntimeError("an entity was not composed")
    return time.perf_counter() - began
