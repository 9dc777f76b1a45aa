"""Random schemas of related tables, random edits in random transactions: what arrives is what a plain query says."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge import resync
from syncbridge.fan_out import FanOut
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.model import Lsn, Reason
from syncbridge.outbound.capture import Capture
from syncbridge.outbound.deliver import Deliverer
from syncbridge.outbound.sifting import Sifter
from syncbridge.project import compile_over
from syncbridge.source import publication, rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import backlog, database, fan_out, mappings, runs
from tests.fix_bulk import Carrier, carrier
from tests.fix_delivery import RecordingDestination
from tests.fix_source import CapturedDatabase

KEYS = {"int": ("k1",), "text": ("k2",), "pair": ("k1", "k2")}
KEY_TEXT = {"int": "root.k1::text", "text": "root.k2", "pair": "jsonb_build_array(root.k1::text, root.k2)::text"}
TEXTS = ["x", 'é "2"', "", "4"]


@dataclass(frozen=True)
class Shape:
    """One schema: a root, a parent, a grandparent of one of these, many rows, a factor of each."""

    key: str
    nested: bool  # the grandparent hangs on the parent, not on the root
    by_key: bool  # the many hang on the root's key, not on a column that several roots share
    full: bool  # the many tell old rows by REPLICA IDENTITY FULL, not by an index
    parent_where: bool
    many_where: bool
    root_where: bool

    @property
    def many_columns(self) -> tuple[str, ...]:
        return KEYS[self.key] if self.by_key else ("code",)

    def tables(self) -> list[str]:
        must = "" if self.full else "not null"
        listed = ", ".join(self.many_columns)
        return [
            "drop table if exists root, parent, grand, many, factor",
            "create table root (k1 int, k2 text, n int, parent int, grand text, code int,"
            f" primary key ({', '.join(KEYS[self.key])}))",
            "create table parent (id int primary key, n int, grand text)",
            "create table grand (id text primary key, n int)",
            f"create table many (id int primary key, k1 int {must}, k2 text {must}, code int {must}, n int,"
            " factor int)",
            "create table factor (id int primary key, n int)",
            f"create unique index many_identity on many ({listed}, id)",
            f"alter table many replica identity {'full' if self.full else 'using index many_identity'}",
        ]

    def mapping(self) -> str:
        many_on = " and ".join(f"many.{column} = root.{column}" for column in self.many_columns)
        anchor = "parent" if self.nested else "root"
        return f"""
mapping: m
destination: crm
object: Contact
entity:
  table: root
  key: [{", ".join(KEYS[self.key])}]
  {"where: coalesce(parent.n, 0) <> 2 and many.number < 4" if self.root_where else ""}
  related:
    parent:
      table: parent
      on: parent.id = root.parent
      {"where: parent.n > 1" if self.parent_where else ""}
    grand: {{table: grand, on: grand.id = {anchor}.grand}}
    many:
      table: many
      on: {many_on}
      {"where: many.n <> 3" if self.many_where else ""}
      rollup: {{number: count(*), total: "sum(many.n * coalesce(factor.n, 1))"}}
    factor: {{table: factor, on: factor.id = many.factor}}
external_id: Person_Key__c
fields:
  LastName: {{sql: "coalesce(root.n, -1)::text"}}
  Score__c: parent.n
  Share__c: grand.n
  FirstName: {{sql: "many.number || '/' || coalesce(many.total::text, '-')"}}
guard: {{deletes: off}}
"""

    def plain(self) -> str:
        """The same as a person would ask it who never heard of us."""
        parent = "from parent where parent.id = root.parent" + " and parent.n > 1" * self.parent_where
        many = " and ".join(f"many.{column} = root.{column}" for column in self.many_columns)
        many += " and many.n <> 3" * self.many_where
        grand = f"(select parent.grand {parent})" if self.nested else "root.grand"
        rest = f" where coalesce((select n {parent}), 0) <> 2 and (select count(*) from many where {many}) < 4"
        return (
            f"select {KEY_TEXT[self.key]}, coalesce(root.n, -1)::text, (select n {parent}),"
            f" (select n from grand where grand.id = {grand}),"
            f" (select count(*) || '/' || coalesce(sum(n * coalesce((select n from factor"
            f"   where factor.id = many.factor), 1))::text, '-') from many where {many})"
            f" from root{rest * self.root_where}"
        )


def shapes() -> st.SearchStrategy[Shape]:
    yes_no = st.booleans()
    return st.builds(Shape, st.sampled_from(sorted(KEYS)), yes_no, yes_no, yes_no, yes_no, yes_no, yes_no)


Edit = tuple[object, ...]


def edits(rng: random.Random, count: int) -> list[Edit]:
    """Random edits that meet often: few keys, few values."""

    def small() -> int:
        return rng.randint(1, 4)

    def maybe() -> int | None:
        return rng.choice([1, 2, 3, 4, 4, None])

    def text() -> str:
        return rng.choice(TEXTS)

    kinds: list[Callable[[], Edit]] = [
        lambda: ("root", small(), text(), maybe(), maybe(), rng.choice([*TEXTS, None]), maybe()),
        lambda: ("parent", small(), rng.choice([1, 2, 3, 4, 5]), rng.choice([*TEXTS, None])),
        lambda: ("grand", text(), rng.randint(1, 99)),
        lambda: ("many", rng.randint(1, 12), small(), text(), small(), maybe(), maybe()),
        lambda: ("factor", small(), rng.randint(1, 99)),
        lambda: ("delete", rng.choice(["parent", "many", "many", "factor"]), small()),
        lambda: ("delete grand", text()),
        lambda: ("delete root", small()),
        lambda: ("renumber", small(), small()),
        lambda: ("all", rng.choice(["parent", "grand", "many", "factor"])),
        lambda: ("truncate", rng.choice(["root", "parent", "grand", "many", "factor"])),
    ]
    weights = [4, 5, 4, 6, 4, 3, 1, 1, 1, 3, 1]
    return [kind() for kind in rng.choices(kinds, weights, k=count)]


def beginning(rng: random.Random) -> list[Edit]:
    """Rows that hang together, so that every later edit concerns somebody."""
    rows: list[Edit] = [("parent", n, 2 + n, TEXTS[n - 1]) for n in range(1, 5)]
    rows += [("grand", text, len(text)) for text in TEXTS] + [("factor", n, n) for n in range(1, 5)]
    rows += [("root", n, text, n, rng.randint(1, 4), rng.choice(TEXTS), n) for n in range(1, 5) for text in TEXTS]
    rows += [("many", n, 1 + n % 4, TEXTS[n % 4], 1 + n % 4, n % 3, 1 + n % 4) for n in range(1, 9)]
    return rows


def edit(admin: Connection, shape: Shape, change: Edit) -> None:
    """Carry one edit out; a root key that is taken is left alone."""
    kind, *values = change
    if kind in ("root", "parent", "grand", "many", "factor"):
        columns = {
            "root": ["k1", "k2", "n", "parent", "grand", "code"],
            "parent": ["id", "n", "grand"],
            "grand": ["id", "n"],
            "many": ["id", "k1", "k2", "code", "n", "factor"],
            "factor": ["id", "n"],
        }[str(kind)]
        identity = ", ".join(KEYS[shape.key]) if kind == "root" else "id"
        sets = ", ".join(f"{column} = excluded.{column}" for column in columns)
        marks = ", ".join(["%s"] * len(columns))
        statement = (
            f"insert into {kind} ({', '.join(columns)}) values ({marks}) on conflict ({identity}) do update set {sets}"
        )
    elif kind == "delete":
        statement, values = f"delete from {values[0]} where id = %s", [values[1]]
    elif kind == "delete grand":
        statement = "delete from grand where id = %s"
    elif kind == "delete root":
        statement = "delete from root where k1 = %s"
    elif kind == "renumber":  # a key changes
        statement, values = (
            "update root set k1 = %s, k2 = k2 || '.' where k1 = %s and not exists (select from root where k1 = %s)",
            [values[0], values[1], values[0]],
        )
    elif kind == "all":
        statement, values = f"update {values[0]} set n = coalesce(n, 0) + 1", []
    else:
        statement, values = f"truncate {values[0]}", []
    admin.execute(statement.encode(), values or None)


@dataclass
class Bridge:
    """Everything between the tables and the destination, stepped by hand; pages are small, so that there are some."""

    shape: Shape
    captured: CapturedDatabase
    capture: Capture
    store: Connection
    source: Connection
    mapping: CompiledMapping
    mapping_id: int
    crm: RecordingDestination
    fan: FanOut
    sifter: Sifter
    deliverer: Deliverer
    carrier: Carrier | None  # of bulk jobs, in every other example

    def do(self, what: str) -> None:
        if what == "capture":
            self.captured.catch_up(self.capture)
        elif what == "fan out":
            for work in fan_out.work(self.store):
                self.fan.step(work, self.mapping)
        elif what == "deliver":
            self.deliverer.step()
        elif what == "carry":
            if self.carrier is not None:
                self.carrier.step()
        else:
            for run in runs.pending(self.store):
                resync.step(self.store, self.source, run.id, self.mapping, page=3, sift=self.sifter)

    def wait(self) -> None:
        """Until nothing is left of what was committed before."""
        self.do("capture")
        for _ in range(300):
            if not runs.pending(self.store) and backlog.undelivered(self.store, Lsn(2**63)) == (0, 0):
                return
            for what in ("run", "fan out", "carry", "deliver"):
                self.do(what)
        raise AssertionError(f"it does not come to an end: {self.store.execute('table syncbridge.outbox').fetchall()}")

    def assert_equal(self) -> None:
        names = ("Person_Key__c", "LastName", "Score__c", "Share__c", "FirstName")
        stored = self.crm.stored("Contact").values()
        there = sorted((tuple(record.get(name) for name in names) for record in stored), key=repr)
        wanted = self.captured.admin.execute(self.shape.plain().encode()).fetchall()
        assert there == sorted((tuple(row) for row in wanted), key=repr)


def build(captured: CapturedDatabase, opened: ExitStack, shape: Shape, *, jobs: bool) -> Bridge:
    """The schema of this shape, put in force as `apply` does, over what earlier examples left."""

    def connect() -> Connection:
        return opened.enter_context(database.connect(captured.dsn, purpose="test"))

    admin = captured.admin
    for statement in shape.tables():
        admin.execute(statement.encode())
    store, source = connect(), connect()
    rows.prepare(source)
    store.execute(
        "truncate syncbridge.mapping, syncbridge.outbox, syncbridge.link, syncbridge.fan_out, syncbridge.run,"
        " syncbridge.bulk_job, syncbridge.bulk_reserve"
    )
    spec = parse_mapping(shape.mapping())
    mapping = compile_over(spec, read_catalog(admin, spec.tables).tables)
    number, _ = mappings.apply(
        store,
        name="m",
        destination="crm",
        object="Contact",
        definition=dict(mapping.definition),
        digest=mapping.digest,
    )
    captured.watches = list(mapping.watches(number))
    captured.publish()
    publication.announce(admin)
    runs.request(store, number, Reason.FIRST_SYNC)
    crm = RecordingDestination(bulk_from=2 if jobs else 0)
    capture = captured.capture()
    opened.callback(capture.close, settle=False)
    return Bridge(
        shape,
        captured,
        capture,
        store,
        source,
        mapping,
        number,
        crm,
        FanOut(connect(), source, join_keys=3, page=2, large_page=2),
        Sifter(number, mapping, crm, store, source),
        Deliverer(number, mapping, crm, connect(), source, rng=random.Random(1)),
        _carrier(number, mapping, crm, connect(), source) if jobs else None,
    )


def _carrier(
    number: int, mapping: CompiledMapping, crm: RecordingDestination, store: Connection, source: Connection
) -> Carrier:
    """Who carries bulk jobs; a second goes by with each look at its clock."""
    assert crm.bulk is not None
    claims, seconds = itertools.count(1 << 40), itertools.count(1.0)
    return carrier(number, mapping, crm, crm.bulk, store, source, lambda: next(claims), clock=lambda: next(seconds))


@pytest.fixture
def tables(captured: CapturedDatabase) -> CapturedDatabase:
    captured.admin.execute("create table nothing (id int primary key)")
    captured.watch("nothing", "id")
    captured.provide()
    return captured


@settings(
    max_examples=15,
    derandomize=True,
    phases=(Phase.generate,),  # to shrink takes minutes: each example is a schema of its own
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(shape=shapes(), seed=st.integers(0, 2**32))
def test_every_record_is_what_a_plain_query_gives_and_no_entity_is_left_out(
    tables: CapturedDatabase, shape: Shape, seed: int
) -> None:
    rng = random.Random(seed)
    with ExitStack() as opened:
        bridge = build(tables, opened, shape, jobs=bool(seed % 2))
        for change in [*beginning(rng), *edits(rng, 5)]:
            edit(tables.admin, shape, change)
        bridge.wait()
        bridge.assert_equal()
        for _ in range(5):
            with tables.admin.transaction():
                for change in edits(rng, rng.choice([1, 1, 1, 2, 4])):
                    edit(tables.admin, shape, change)
            for what in rng.choices(["capture", "fan out", "carry", "deliver"], k=rng.randrange(5)):
                bridge.do(what)
            if rng.random() < 0.5:
                bridge.wait()
                bridge.assert_equal()
        bridge.wait()
        bridge.assert_equal()
        assert bridge.store.execute("select status from syncbridge.mapping").fetchone() == ("active",)
