"""What the quickstart does to the CRM and what it sees: first sync, changes, latency, broken rows, both sides.

Each act changes rows as an application would, in plain SQL, waits until it is delivered, and reads the sync log.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

import httpx
from psycopg import Connection

from syncbridge.answers.waiting import Waited, wait_until_delivered
from syncbridge.quickstart import live
from syncbridge.quickstart.services import Services
from syncbridge.quickstart.way_back import Clash, RemoteEdit, WayBack
from syncbridge.reconcile.fence import Fence
from syncbridge.reconcile.reconciler import Reconciler
from syncbridge.reconcile.report import Report as Reconciled
from syncbridge.reconcile.sides import Sides
from syncbridge.store import backlog, mappings, sync_log
from syncbridge.store.sync_log import Logged

#: Of live changes, how many are made in Salesforce.
SHARE_OF_SALES = 0.3


@dataclass(frozen=True, slots=True)
class FirstSync:
    """How the rows that were there at the start got to Salesforce."""

    records: int
    seconds: float
    api_calls: int

    @property
    def records_per_second(self) -> float:
        return self.records / self.seconds


@dataclass(frozen=True, slots=True)
class Change:
    """One change in Postgres in words, and what reached Salesforce for it."""

    what: str
    mapping: str
    key: str
    reached: str  # `update: LastName`, `delete`, or why not
    milliseconds: float | None  # from commit to the recorded answer


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that Salesforce cannot hold as it is."""

    what: str
    mapping: str
    key: str
    code: str
    message: str
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from commit to the recorded answer, over single-row commits."""

    commits: int
    p50: float
    p99: float


@dataclass(slots=True)
class Report:
    """Everything that was seen."""

    postgres: str = ""
    salesforce: str = ""
    first_sync: FirstSync | None = None
    changes: list[Change] = field(default_factory=list)
    latency: Latency | None = None
    refused: list[Refused] = field(default_factory=list)
    edits: list[RemoteEdit] = field(default_factory=list)
    clashes: list[Clash] = field(default_factory=list)
    both_sides: list[Reconciled] = field(default_factory=list)
    api_calls: int = 0

    @property
    def agree(self) -> bool:
        """Whether both sides hold the same, record by record."""
        return bool(self.both_sides) and all(
            not (side.drift or side.held or side.on_its_way) for side in self.both_sides
        )


#: what it is, in words; the mapping; the SQL, which returns the key
_CHANGES: Sequence[tuple[str, str, str]] = (
    ("a company gets another name", "companies", "update companies set name = 'Harbour Light Ltd' where id = 1"),
    ("a company changes its industry", "companies", "update companies set industry = 'Media' where id = 2"),
    ("somebody marries", "people", "update people set last_name = 'Lind-Okafor' where id = 11"),
    ("somebody leaves and is deleted", "people", "delete from people where id = 12"),
    ("an account turns out to be a test account", "people", "update people set is_test = true where id = 13"),
    (
        "a new person signs up",
        "people",
        "insert into people (company_id, first_name, last_name, email) values (1, 'Mira', 'Kaya', 'mira@mail.example')",
    ),
    ("an order is won", "orders", "update orders set stage = 'won', amount = amount * 0.9 where id = 21"),
    ("a row is saved without a change", "people", "update people set title = title where id = 14"),
)

#: Changes of `_CHANGES` that touch entities of other mappings too: in words, the mapping, and the field that follows.
_FOLLOWERS: Mapping[str, tuple[str, str, str]] = {
    "a company changes its industry": ("... and with it all who work there", "people", "Department"),
    "an order is won": ("... and what its company ordered in all", "companies", "Description"),
}

#: in words; mapping; the SQL that breaks a row; the SQL that mends it
_BREAKS: Sequence[tuple[str, str, str, str]] = (
    (
        "an address that is no e-mail address",
        "people",
        "update people set email = 'call me instead' where id = 31",
        "update people set email = 'found@mail.example' where id = 31",
    ),
    (
        "a title longer than Salesforce keeps",
        "orders",
        "update orders set title = repeat('very ', 40) || 'long' where id = 32",
        "update orders set title = 'Order 32' where id = 32",
    ),
    (
        "a stage that the mapping does not know",
        "orders",
        "update orders set stage = 'on hold' where id = 33",
        "update orders set stage = 'open' where id = 33",
    ),
)


class Scenario:
    """Runs the acts in order over running services; `report` fills up as they go."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.way_back = WayBack(services)
        self.report = Report(postgres=services.server_name, salesforce=services.sandbox_url)

    def first_sync(self) -> FirstSync:
        """Start the worker and wait until all rows are there."""
        started = time.monotonic()
        self.services.start_worker()
        self._wait()
        seconds = time.monotonic() - started
        with self.services.project.store("quickstart") as store:
            row = store.execute("select count(*) from syncbridge.link").fetchone()
        self.report.first_sync = FirstSync(row[0] if row else 0, seconds, self.api_calls())
        return self.report.first_sync

    def change(self) -> list[Change]:
        """Change, delete and add rows, each in a transaction of its own."""
        with self.services.connect() as crm:
            done = [(what, mapping, *self._commit(crm, sql)) for what, mapping, sql in _CHANGES]
        self._wait()
        with self.services.project.store("quickstart") as store:
            self.report.changes = []
            for what, mapping, key, committed in done:
                self.report.changes.append(self._seen(store, what, mapping, key, committed))
                if what in _FOLLOWERS:
                    self.report.changes.append(_followed(store, *_FOLLOWERS[what], committed))
        return self.report.changes

    def measure_latency(self, commits: int = 40) -> Latency:
        """Commit single rows, one after another, each after the one before it has arrived."""
        took = []
        with self.services.connect() as crm, self.services.project.store("quickstart") as store:
            for number in range(commits):
                key, committed = self._commit(
                    crm,
                    f"update people set title = 'Engineer {number}' where id = {101 + number}",  # noqa: S608 - numbers
                )
                entry = _await_entry(store, "people", key, committed)
                if entry is not None:
                    took.append(_milliseconds(committed, entry))
        took.sort()
        self.report.latency = Latency(len(took), statistics.median(took), took[int(len(took) * 0.99)])
        return self.report.latency

    def break_rows(self) -> list[Refused]:
        """Write rows that Salesforce cannot hold."""
        with self.services.connect() as crm:
            done = [(what, mapping, self._commit(crm, sql)[0]) for what, mapping, sql, _ in _BREAKS]
        self._wait()
        refused = []
        with self.services.project.store("quickstart") as store:
            for what, mapping, key in done:
                letters = backlog.dead_letters(store, mapping=mapping)
                for letter in (each for each in letters if each.key == key):
                    refused.append(Refused(what, mapping, key, letter.code or "", letter.message or ""))
        self.report.refused = refused
        return refused

    def mend_rows(self) -> list[Refused]:
        """Mend them in Postgres; nothing else has to be done."""
        with self.services.connect() as crm:
            for _, _, _, sql in _BREAKS:
                self._commit(crm, sql)
        self._wait()
        with self.services.project.store("quickstart") as store:
            dead = {(letter.mapping, letter.key) for letter in backlog.dead_letters(store)}
        self.report.refused = [
            Refused(r.what, r.mapping, r.key, r.code, r.message, mended=(r.mapping, r.key) not in dead)
            for r in self.report.refused
        ]
        return self.report.refused

    def edit_in_salesforce(self) -> list[RemoteEdit]:
        """Edit, move, delete and enter records as sales does."""
        self.report.edits = self.way_back.edits()
        return self.report.edits

    def clash(self) -> list[Clash]:
        """Change fields on both sides at once: one is decided by its rule, one held for a person."""
        self.report.clashes = [self.way_back.decided_by_rule(), self.way_back.held()]
        return self.report.clashes

    def reconcile(self) -> list[Reconciled]:
        """Compare both sides of every mapping completely."""
        self._wait()
        project = self.services.project
        with ExitStack() as connections:
            store, catalog = (
                connections.enter_context(opened("reconcile")) for opened in (project.store, project.source_admin)
            )
            source = connections.enter_context(project.source("reconcile"))
            fence = Fence(store, catalog, project.settings.source.slot)
            for name in mappings.read_all(store):
                applied, mapping = project.compiled(store, catalog, name)
                destination = project.destination(mapping.destination)
                sides = Sides(applied.id, mapping, destination, store, source, project.lookups(store, mapping))
                with Reconciler(sides, fence.passed) as reconciler:
                    self.report.both_sides.append(reconciler.run())
        self.report.api_calls = self.api_calls()
        return self.report.both_sides

    def live(self, rng: random.Random) -> Change | RemoteEdit:
        """One random change on either side, and what reached the other."""
        people, orders = self.services.size.people, self.services.size.orders
        if rng.random() < SHARE_OF_SALES:
            return self.way_back.live(*live.remote_edit(rng, people))
        what, mapping, sql = live.change(rng, people, orders)
        with self.services.connect() as crm, self.services.project.store("quickstart") as store:
            key, committed = self._commit(crm, sql)
            _await_entry(store, mapping, key, committed)
            return self._seen(store, what, mapping, key, committed)

    def api_calls(self) -> int:
        """API calls that the sandbox has answered so far."""
        answer = httpx.get(f"{self.services.sandbox_url}/sandbox/stats", timeout=10, trust_env=False)
        return int(answer.json()["total"])

    def _wait(self, look: Callable[[Waited], None] | None = None) -> Waited:
        project = self.services.project
        with project.store("quickstart") as store, project.source_admin("quickstart") as source:
            return wait_until_delivered(store, source, slot=project.settings.source.slot, timeout=120, look=look)

    @staticmethod
    def _commit(crm: Connection, statement: str) -> tuple[str, datetime]:
        """Run and commit; the key of the row, and the server's clock right after the commit."""
        row = crm.execute(f"{statement} returning id::text".encode()).fetchone()
        assert row is not None  # every statement here touches one row
        clock = crm.execute("select clock_timestamp()").fetchone()
        assert clock is not None  # a function answers
        return row[0], clock[0]

    @staticmethod
    def _seen(store: Connection, what: str, mapping: str, key: str, committed: datetime) -> Change:
        entries = [e for e in sync_log.read(store, mapping=mapping, key=key) if e.at >= committed]
        if not entries:
            return Change(what, mapping, key, "nothing: equal to what Salesforce holds", None)
        last = entries[-1]
        reached = f"{last.operation}: {last.fields}" if last.fields and last.operation == "update" else last.operation
        if last.outcome != "delivered":
            reached = f"{last.outcome}: {last.code}"
        return Change(what, mapping, key, reached, _milliseconds(committed, last))


def _milliseconds(committed: datetime, entry: Logged) -> float:
    return round((entry.at - committed).total_seconds() * 1000, 1)


def _followed(store: Connection, what: str, mapping: str, field: str, committed: datetime) -> Change:
    """What reached Salesforce of entities that a change of a related row touched."""
    entries = [
        e
        for e in sync_log.read(store, mapping=mapping, since=committed, limit=1000)
        if e.fields == field and e.outcome == "delivered"
    ]
    keys = {e.key for e in entries}
    key = next(iter(keys)) if len(keys) == 1 else f"{len(keys)} keys"
    took = max((_milliseconds(committed, e) for e in entries), default=None)
    return Change(what, mapping, key, f"update: {field}" if entries else "nothing", took)


def _await_entry(store: Connection, mapping: str, key: str, since: datetime) -> Logged | None:
    """The sync log's entry of a delivery after `since`; None when there is none within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        entries = [e for e in sync_log.read(store, mapping=mapping, key=key, limit=3) if e.at >= since]
        if entries:
            return entries[-1]
        time.sleep(0.005)
    return None
