"""From join keys to entities: none left out, in pages, by however many workers, wherever one of them stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from syncbridge.arrays import to_microseconds
from syncbridge.errors import RetryLater
from syncbridge.fan_out import FanOut, Progress
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.model import MappingStatus, Priority
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import database, fan_out, mappings
from syncbridge.store.fan_out import Work
from tests.fix_store import MOMENT, enqueue

TABLES = """
create table regions (id int primary key, name text);
create table companies (id int primary key, region int references regions, name text);
create table people (id int primary key, company int, name text);
create index on people (company);
insert into regions values (1, 'north');
insert into companies select n, 1, 'Company ' || n from generate_series(1, 20) n;
insert into people select n, 1 + (n - 1) / 10, 'Person ' || n from generate_series(1, 200) n;
"""

MAPPING = """
mapping: people
destination: crm
object: Contact
entity:
  table: people
  key: id
  related:
    company: {table: companies, on: company.id = people.company}
    region: {table: regions, on: region.id = company.region}
external_id: K
fields: {LastName: name, Department: company.name, MailingState: region.name}
"""


@dataclass
class Family:
    """Twenty companies of ten people each (company 1: people 1 to 10), all in one region."""

    store: Connection
    writer: Connection
    mapping: CompiledMapping
    mapping_id: int
    open: Callable[[], Connection]
    now: float = 0.0
    _lsn: int = 100
    fan: FanOut = field(init=False)

    def __post_init__(self) -> None:
        self.fan = self.loop()

    def loop(self, **sizes: Any) -> FanOut:
        """The fan-out of another worker; a second passes when a test says so."""
        source = self.open()
        rows.prepare(source)
        sizes = {"join_keys": 8, "page": 25, "large_page": 30, "clock": lambda: self.now, **sizes}
        return FanOut(self.open(), source, **sizes)

    def touch(self, *keys: object, relation: str = "company", lsn: int = 0) -> None:
        """Enqueue join keys, as capture does; each time a second later."""
        self._lsn = lsn or self._lsn + 10
        commit = (self._lsn, to_microseconds(MOMENT + timedelta(seconds=self._lsn)))
        fan_out.enqueue(self.store, {(self.mapping_id, relation): {str(key).encode(): commit for key in keys}})

    def step(self, relation: str = "company", fan: FanOut | None = None) -> Progress:
        return (fan or self.fan).step(Work(self.mapping_id, relation), self.mapping)

    def run(self, relation: str = "company", fan: FanOut | None = None) -> int:
        """Step to the end; how many steps went on."""
        for steps in range(200):
            if self.step(relation, fan) is Progress.OVER:
                return steps
        raise AssertionError("the fan-out does not come to an end")

    def enqueued(self) -> dict[int, tuple[str, int]]:
        """Entity -> reason and priority."""
        found = self.store.execute("select key, reason, priority from syncbridge.outbox")
        return {int(key): (reason, priority) for key, reason, priority in found}

    def delivered(self) -> None:
        self.store.execute("delete from syncbridge.outbox")

    def left(self) -> list[Work]:
        return fan_out.work(self.store)


@pytest.fixture
def family(state: None, dsn: str) -> Iterator[Family]:
    with ExitStack() as opened:

        def connect() -> Connection:
            return opened.enter_context(database.connect(dsn, purpose="test"))

        writer = opened.enter_context(psycopg.connect(dsn, autocommit=True))
        writer.execute(TABLES)
        store = connect()
        spec = parse_mapping(MAPPING)
        tables = read_catalog(writer, spec.tables).tables
        related = {name: tables[relation.table_name] for name, relation in spec.entity.related.items()}
        mapping = compile_mapping(spec, tables[spec.entity.table_name], related)
        mapping_id, _ = mappings.apply(
            store, name="people", destination="crm", object="Contact", definition={}, digest=mapping.digest
        )
        yield Family(store, writer, mapping, mapping_id, connect)


LIVE, BULK = ("related", 0), ("related", 10)


def test_a_few_rows_touch_their_entities_as_live_changes_do(family: Family) -> None:
    family.touch(3, 20, 99)
    family.run()
    assert family.enqueued() == dict.fromkeys([*range(21, 31), *range(191, 201)], LIVE)
    assert family.left() == []


def test_entities_carry_the_position_and_time_of_the_related_change(family: Family) -> None:
    family.touch(3, lsn=0x50)
    family.touch(3, 4, lsn=0x90)
    family.run()
    found = family.store.execute(
        "select distinct lsn::text, since_lsn::text, commit_time - %s, since - %s from syncbridge.outbox",
        (MOMENT, MOMENT),
    ).fetchall()
    assert found == [("0/90", "0/50", timedelta(seconds=0x90), timedelta(seconds=0x50))]


@pytest.mark.parametrize("count", [24, 25, 26, 59, 60, 61, 89, 90, 91])
def test_pages_of_a_large_parent_are_exact_at_their_edges(family: Family, count: int) -> None:
    family.writer.execute("update people set company = case when id <= %s then 7 end", (count,))
    family.touch(7)
    family.run()
    assert set(family.enqueued()) == set(range(1, count + 1))
    assert set(family.enqueued().values()) == {BULK if count > 25 else LIVE}
    assert family.left() == []


def test_a_parent_two_hops_away_is_looked_up_through_the_rows_between(family: Family) -> None:
    family.touch(1, relation="region")
    family.run("region")
    assert set(family.enqueued()) == set(range(1, 201))
    versions = family.store.execute("select distinct version from syncbridge.outbox").fetchall()
    assert versions == [(1,)]  # no entity twice


def test_a_large_parent_among_small_ones_does_not_make_them_wait(family: Family) -> None:
    family.writer.execute("update people set company = 2 where id > 40")
    family.touch(1, 2, 3)
    family.run()
    found = family.enqueued()
    assert len(found) == 10 + 10 + 10 + 160
    assert {found[n] for n in (*range(1, 11), *range(21, 31))} == {LIVE}
    assert {found[n] for n in range(41, 201)} == {BULK}


def test_a_mass_change_of_small_parents_goes_behind_live_changes(family: Family) -> None:
    family.touch(*range(1, 21))
    family.run()
    found = list(family.enqueued().values())
    assert len(found) == 200
    assert 0 < found.count(LIVE) <= 25
    family.delivered()
    family.now += 1.0
    family.touch(5)
    family.run()
    assert family.enqueued() == dict.fromkeys(range(41, 51), LIVE)


def test_a_step_does_a_page_at_most_and_the_position_is_kept(family: Family) -> None:
    family.writer.execute("update people set company = 7")
    family.touch(7)
    sizes = []
    for _ in range(20):
        family.step()
        sizes.append(len(family.enqueued()))
        family.fan = family.loop()  # another process, later
    assert [later - earlier for earlier, later in zip([0, *sizes], sizes, strict=False) if later > earlier] == (
        [30] * 6 + [20]
    )
    assert family.left() == []


def test_a_parent_that_changes_while_its_pages_go_on_is_looked_up_to_its_end_and_then_once_more(
    family: Family,
) -> None:
    family.writer.execute("update people set company = 7")
    family.touch(7)
    seen: list[set[int]] = []
    while family.left():
        if len(seen) == 3:
            family.touch(7)  # now a child that the pages have passed could have been missed
        family.step()
        seen.append(set(family.enqueued()))
        family.delivered()
    pages = [keys for keys in seen if keys]
    assert [len(keys) for keys in pages] == [30, 30, 30, 30, 30, 30, 20] * 2
    assert set().union(*pages[:7]) == set().union(*pages[7:]) == set(range(1, 201))


def test_a_parent_that_never_rests_starves_neither_its_last_children_nor_other_parents(family: Family) -> None:
    family.writer.execute("update people set company = 1 where id <= 190")
    family.touch(1, 20)
    seen: set[int] = set()
    for _ in range(30):
        family.step()
        family.touch(1)
        seen |= set(family.enqueued())
    assert seen == {*range(1, 201)}


def test_small_parents_that_never_rest_take_turns_with_the_others(family: Family) -> None:
    family.touch(*range(1, 21))
    seen: set[int] = set()
    for _ in range(40):
        family.step()
        family.touch(1, 2, 3, 4, 5, 6, 7, 8, 9)  # more than share one look
        seen |= set(family.enqueued())
    assert seen == set(range(1, 201))


def test_a_change_while_the_source_is_asked_is_not_lost_and_nobody_waits_for_the_source(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = rows.keys_page
    family.store.execute("set lock_timeout = '1ms'")
    touched: list[str] = []

    def meanwhile(*arguments: Any) -> list[str]:
        found = look(*arguments)
        if not touched:
            touched.append("3")
            family.touch(3)  # what capture writes while the answer is under way
        return found

    monkeypatch.setattr(rows, "keys_page", meanwhile)
    family.touch(3, 4)
    family.step()
    assert [work.relation for work in family.left()] == ["company"]
    (row,) = fan_out.waiting(family.store, family.mapping_id, "company", digest=family.mapping.digest, limit=9)
    assert (row.key, row.lsn) == ("3", 120)
    family.delivered()
    family.run()
    assert set(family.enqueued()) == set(range(21, 31))


def test_a_step_that_dies_before_it_is_recorded_leaves_everything_as_it_was(family: Family) -> None:
    family.writer.execute("update people set company = 2 where id > 40")
    family.touch(1, 2)
    family.store.execute("alter table syncbridge.outbox add constraint broken check (version < 0) not valid")
    for _ in range(3):
        with pytest.raises(psycopg.Error, match="broken"):
            family.step()
    assert family.enqueued() == {}
    family.store.execute("alter table syncbridge.outbox drop constraint broken")
    family.run(fan=family.loop())
    assert set(family.enqueued()) == {*range(1, 21), *range(41, 201)}


def test_many_workers_share_the_work_and_lose_nothing_of_what_changes_meanwhile(family: Family) -> None:
    family.writer.execute("update people set company = 1 where id <= 100")
    family.touch(*range(1, 21), 1)
    family.touch(1, relation="region")
    start = threading.Barrier(4, timeout=30)
    stop = threading.Event()

    def carry(fan: FanOut) -> None:
        start.wait()
        while not stop.is_set() or fan_out.work(fan._store):
            for work in fan_out.work(fan._store):
                fan.step(work, family.mapping)

    def change() -> None:
        store = family.open()
        commit = (0, to_microseconds(MOMENT))
        start.wait()
        for lsn in range(1000, 1100):
            keys = {str(1 + (lsn * each) % 20).encode(): (lsn, commit[1]) for each in (1, 3, 7)}
            fan_out.enqueue(store, {(family.mapping_id, "company"): keys})
        stop.set()

    with ThreadPoolExecutor(4) as pool:
        each = [pool.submit(carry, family.loop()) for _ in range(3)] + [pool.submit(change)]
        for done in each:
            done.result()
    assert set(family.enqueued()) == set(range(1, 201))
    assert family.left() == []
    newest = {
        1 + (lsn * each) % 20: lsn for lsn in range(1000, 1100) for each in (1, 3, 7)
    }  # every last change was passed on after it was committed
    lsns: dict[int, int] = dict(
        family.store.execute(
            "select key::int, (lsn - '0/0')::int from syncbridge.outbox where key::int > 100"
        ).fetchall()
    )
    companies: dict[int, int] = dict(family.writer.execute("select id, company from people where id > 100").fetchall())
    assert all(lsns[id] >= newest[company] for id, company in companies.items() if company in newest)


def test_somebody_else_at_the_mapping_is_told_apart_from_the_end(family: Family) -> None:
    family.touch(1)
    other = family.open()
    assert fan_out.try_lock(other, family.mapping_id)
    assert family.step() is Progress.BUSY
    fan_out.unlock(other, family.mapping_id)
    assert family.step() is Progress.WENT_ON


def test_a_large_parent_waits_while_many_rows_wait_and_small_ones_do_not(family: Family) -> None:
    family.fan = family.loop(enough=5)
    family.writer.execute("update people set company = 2 where id > 40")
    family.touch(1, 2)
    enqueue(family.store, family.mapping_id, *map(str, range(900, 905)), priority=Priority.BULK)
    for _ in range(6):
        progress = family.step()
    assert progress is Progress.WAITS
    assert {key for key in family.enqueued() if key < 900} == set(range(1, 11))
    family.delivered()
    assert family.step() is Progress.WENT_ON
    assert len(family.enqueued()) == 30


def test_join_keys_of_a_relation_that_is_no_more_are_dropped_by_who_knows_it(family: Family) -> None:
    family.touch(1, relation="office")
    old = replace(family.mapping, digest="older")
    assert family.fan.step(Work(family.mapping_id, "office"), old) is Progress.OVER
    assert family.left() == [Work(family.mapping_id, "office")]  # the mapping in force may have it
    family.run("office")
    assert family.left() == []
    assert family.enqueued() == {}


def test_a_worker_that_knows_an_older_mapping_leaves_join_keys_to_the_others(family: Family) -> None:
    family.touch(1)
    old = replace(family.mapping, digest="older")
    assert family.fan.step(Work(family.mapping_id, "company"), old) is Progress.OVER
    assert len(family.left()) == 1
    family.run()
    assert len(family.enqueued()) == 10


def test_a_table_that_no_longer_fits_halts_the_mapping_and_loses_nothing(family: Family) -> None:
    family.touch(1)
    family.writer.execute("alter table people rename column company to firm")
    assert family.step() is Progress.OVER
    applied = mappings.read(family.store, "people")
    assert applied.status is MappingStatus.HALTED
    assert "company" in applied.reason
    assert "syncbridge" in applied.hint
    assert family.left() == []  # of mappings that may go on
    family.writer.execute("alter table people rename column firm to company")
    mappings.resume(family.store, family.mapping_id)
    family.run()
    assert len(family.enqueued()) == 10


def test_a_paused_mapping_stays_paused_when_its_look_fails(family: Family) -> None:
    mappings.set_status(family.store, family.mapping_id, MappingStatus.PAUSED)
    family.touch(1)
    family.writer.execute("alter table people rename column company to firm")
    family.step()
    assert mappings.read(family.store, "people").status is MappingStatus.PAUSED


def test_a_source_that_is_away_leaves_join_keys_for_later_and_the_mapping_to_others(family: Family) -> None:
    family.touch(1)
    family.fan.source.close()
    with pytest.raises(RetryLater):
        family.step()
    family.run(fan=family.loop())
    assert len(family.enqueued()) == 10
