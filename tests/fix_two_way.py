"""A small project whose mapping goes both ways: a lane that delivers, and a poller that brings changes back."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from syncbridge.inbound.load import Loader
from syncbridge.inbound.poll import Poller
from syncbridge.model import Fields
from syncbridge.store import held_changes, links, loads, runs, sync_log
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.runs import Run
from syncbridge.store.sync_log import Logged
from tests.fix_delivery import TABLE, SmallProject, Start
from tests.fix_store import MOMENT

BOTH = ("guard: {deletes", "direction: both\nguard: {deletes")


@dataclass
class TwoWayProject:
    """Both directions in a test's hands. Local changes were committed at MOMENT; `now` is the destination's clock."""

    out: SmallProject
    poller: Poller
    now: datetime
    waited: float = 0.0  # seconds of the clock of loads

    def poll(self) -> None:
        """Poll to the end of what changed."""
        for _ in range(50):
            if self.poller.step() > 0:
                return
        raise AssertionError("polling does not come to an end")

    def ask_first_load(self) -> int:
        """Ask for the mapping's first load, as `apply` does; the run's id."""
        run_id = loads.ask_first(self.out.store, self.out.mapping_id)
        runs.open_asked(self.out.store, barrier="0")
        return run_id

    def ask_resync(self, where: str = "") -> int:
        return loads.request(self.out.store, self.out.mapping_id, filter=where)

    def run(self, run_id: int) -> Run:
        return runs.read(self.out.store, run_id)

    def loader(self, part: int = 5000) -> Loader:
        """Carries loads, on a poller of its own, as a worker's loop does."""
        mine = self.poller
        poller = Poller(
            mine.mapping_id, mine.mapping, mine.two_way, mine.destination, mine.store, mine.source, kin=mine.kin
        )
        return Loader(poller, part=part, clock=lambda: self.waited)

    def load(self, run_id: int, loader: Loader | None = None) -> Run:
        """Carry a run to its end."""
        loader = loader or self.loader()
        for _ in range(200):
            if self.run(run_id).status != "pending":
                return self.run(run_id)
            self.waited += loader.step(self.run(run_id))
        raise AssertionError("the load does not come to an end")

    def settle(self) -> None:
        """Let both directions work until neither has anything to do."""
        for _ in range(5):
            self.poll()
            self.out.touch(*self.changed_rows())
            self.out.deliver()

    def changed_rows(self) -> list[str]:
        """All keys, as if capture had seen a change of each."""
        return [key for (key,) in self.out.writer.execute("select id::text from people order by id")]

    def edit(self, key: object, **fields: Any) -> None:
        """Somebody changes the remote record of an entity."""
        remote_id = self.remote_id(key)
        (result,) = self.out.destination.update("Contact", [(remote_id, fields)])
        assert not hasattr(result, "code"), result

    def drop(self, key: object) -> None:
        """Somebody deletes the remote record of an entity."""
        self.out.destination.delete("Contact", [self.remote_id(key)])

    def remote_id(self, key: object) -> str:
        link = links.read(self.out.store, self.out.mapping_id, str(key))
        assert link is not None
        return link.remote_id

    def row(self, key: object, *columns: str) -> tuple[Any, ...] | None:
        found = self.out.writer.execute(
            f"select {', '.join(columns or ('first_name', 'last_name', 'email'))} from people where id = %s".encode(),
            (key,),
        ).fetchone()
        return None if found is None else tuple(found)

    def log(self, key: object) -> list[Logged]:
        """What the way back did to an entity."""
        entries = sync_log.read(self.out.store, key=str(key))
        return [entry for entry in entries if entry.direction == "in"]

    def decisions(self, key: object) -> list[Any]:
        rows = self.out.store.execute(
            "select decision from syncbridge.sync_log where key = %s and decision is not null order by at, id",
            (str(key),),
        )
        return [decision for (decision,) in rows if decision]

    def held(self, key: object) -> HeldChange | None:
        return held_changes.read(self.out.store, self.out.mapping_id, [str(key)]).get(str(key))

    def rechecks(self) -> list[str]:
        """Remote records that wait for another look, the oldest first."""
        rows = self.out.store.execute(
            "select remote_id from syncbridge.recheck where mapping_id = %s order by since, remote_id",
            (self.out.mapping_id,),
        )
        return [remote_id for (remote_id,) in rows]

    def age_links(self) -> None:
        """As if what was linked so far had been linked some time ago."""
        self.out.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")

    def after(self, seconds: float) -> None:
        """The destination's clock is so many seconds after the local changes were committed."""
        self.now = MOMENT + timedelta(seconds=seconds)

    def base(self, key: object) -> Fields | None:
        return self.out.base(key)


StartTwoWay = Callable[..., TwoWayProject]

#: The table of people, with keys that come by default.
IDENTITY = TABLE.replace("id bigint primary key", "id bigint generated always as identity primary key")
StartNew = Callable[..., TwoWayProject]


@pytest.fixture
def start_two_way(start: Start) -> StartTwoWay:
    """Starts a project of MAPPING in both directions, with replacements in its text and the first poll done."""

    def make(*replacements: tuple[str, str], own_store: Connection | None = None) -> TwoWayProject:
        return polled(start(*replacements, BOTH), own_store)

    return make


def polled(out: SmallProject, own_store: Connection | None = None) -> TwoWayProject:
    """A project whose mapping goes both ways, with its poller and the first poll done."""
    assert out.mapping.two_way is not None
    store = out.stores()
    poller = Poller(
        out.mapping_id,
        out.mapping,
        out.mapping.two_way,
        out.destination,
        store,
        own_store or store,
        rng=random.Random(1),
    )
    project = TwoWayProject(out, poller, datetime.now(UTC))
    out.destination.feed.clock = lambda: project.now
    project.poll()
    return project


@pytest.fixture
def both(start_two_way: StartTwoWay) -> TwoWayProject:
    """The project of MAPPING in both directions, with two people on both sides."""
    project = start_two_way()
    project.out.add(1, 2)
    project.out.deliver()
    project.poll()
    project.age_links()
    return project


@pytest.fixture
def start_new(start_two_way: StartTwoWay, dsn: str) -> StartNew:
    """Starts a project over a table whose keys come by default."""

    def make(*replacements: tuple[str, str], table: str = IDENTITY, **options: Any) -> TwoWayProject:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(table.encode())
        return start_two_way(*replacements, **options)

    return make


@pytest.fixture
def unloaded(start_two_way: StartTwoWay) -> TwoWayProject:
    """Three rows, of which none was delivered, and a mapping that waits for its first load."""
    project = start_two_way(("guard:", "conflict: destination\nguard:"))
    project.out.add(1, 2, 3)
    project.ask_first_load()
    return project
