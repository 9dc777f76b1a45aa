"""Workers that are killed, changes that go on meanwhile, and what must hold after each kill."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from syncbridge.model import Lsn
from tests.fix_project import COMPILED_ONCE, WholeProject, until
from tests.project_files import PARTS, PEOPLE
from tests.seams.load import Load

#: So many times as many workers are killed by `make soak`.
TIMES = 3 if os.environ.get("SYNCBRIDGE_SOAK") else 1

#: Written by the database itself whenever a checkpoint would go back.
WATCH_CHECKPOINT = """
create table went_back (old pg_lsn, new pg_lsn);
create function note_going_back() returns trigger language plpgsql as $$
begin
    insert into went_back values (old.end_lsn, new.end_lsn);
    return new;
end $$;
create trigger going_back before update on syncbridge.checkpoint for each row
    when (new.end_lsn < old.end_lsn) execute function note_going_back();
"""


#: Both mappings have a related table: parts a maker each, people their orders rolled up.
RELATED = """
create table makers (name text primary key, city text);
create table orders (id int generated always as identity primary key, person bigint, total int);
create index on orders (person);
alter table orders replica identity full;
insert into makers values ('acme', 'Town');
"""
WITH_ORDERS = (
    "  key: id\n",
    "  key: id\n  related:\n"
    "    bought: {table: orders, on: bought.person = people.id, rollup: {value: sum(bought.total)}}\n",
)
ORDERS = "\n  Description: {sql: bought.value::text}"
WITH_MAKER = (
    "  key: [maker, number]\n",
    "  key: [maker, number]\n  related:\n    made_by: {table: makers, on: made_by.name = parts.maker}\n",
)
NAME = "Name: {sql: \"parts.name || coalesce(', ' || made_by.city, '')\"}"


@dataclass
class Killing:
    """A project under random load, and a driver that starts workers for it."""

    whole: WholeProject
    load: Load
    rng: random.Random
    driver: subprocess.Popen[bytes]
    log_file: Path
    kills: int = 0
    pid: int = 0
    _unread: bytes = b""

    def begin(self, **order: object) -> None:
        """Start a worker."""
        assert self.driver.stdin is not None
        self.driver.stdin.write(json.dumps(order).encode() + b"\n")
        self.driver.stdin.flush()
        self.pid = int(self._answer(10.0, "pid")["pid"])

    def ended(self, seconds: float) -> int | None:
        """How the worker ended, if it does within this time."""
        answer = self._answer(seconds)
        return None if answer is None else int(answer["ended"])

    def kill_at(self, point: str) -> None:
        """Let one worker live until it kills itself at the point, while changes go on."""
        self.begin(point=point, call=self.rng.choice((1, 1, 2, 3, 6)))
        for _ in range(5000):
            self.load.step()
            self._sometimes_lose_an_answer()
            ended = self.ended(0.012)
            if ended is not None:
                assert ended == -signal.SIGKILL, self.log
                break
        else:
            pytest.fail(f"the worker never came to {point}:\n{self.log}")
        self._count()

    def kill_at_random(self) -> None:
        """Kill one worker from outside, somewhere between its start and its work."""
        self.begin()
        for _ in range(self.rng.randrange(1, 60)):
            self.load.step()
            self._sometimes_lose_an_answer()
            assert self.ended(0.012) is None, self.log
        self.kill()

    def kill(self) -> None:
        """Kill the worker now."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.ended(10.0) == -signal.SIGKILL
        self._count()

    def _count(self) -> None:
        self.kills += 1
        self.assert_confirmed_only_what_is_durable()

    def _sometimes_lose_an_answer(self) -> None:
        """The sandbox applies everything and closes the connection."""
        if self.rng.random() < 0.003:
            self.whole.salesforce.faults.clear()
            self.whole.salesforce.faults.add("drop_after", path="/composite/sobjects", times=1)

    def assert_confirmed_only_what_is_durable(self) -> None:
        """The slot is asked first: it must not be past the checkpoint."""
        confirmed = self.whole.confirmed()
        (checkpoint,) = self.whole.sql(
            "select end_lsn::text from syncbridge.checkpoint where slot = %s", self.whole.slot
        )
        assert confirmed <= Lsn.parse(checkpoint[0])

    def drain(self) -> None:
        """Let a worker deliver everything, then compare both sides."""
        self.whole.salesforce.faults.clear()
        self.begin()
        ended = self.whole.run("wait", "--timeout", "60s")
        assert ended.code == 0, ended.out + ended.err + self.log
        until(lambda: not self.whole.sql("select key from syncbridge.outbox"), what="the outbox is empty")
        os.kill(self.pid, signal.SIGTERM)
        assert self.ended(20.0) == 0, self.log
        self.assert_nothing_was_lost()

    def assert_nothing_was_lost(self) -> None:
        self.whole.assert_equal()
        assert self.whole.sql("select * from went_back") == []
        for mapping, external in (("people", "Person_Key__c"), ("parts", "Part_Key__c")):
            keys = [record[external] for record in self.whole.records(mapping, deleted=True)]
            twice = {key for key in keys if keys.count(key) > 1} - self.load.returned
            assert not twice, f"more than one record was ever made for {twice}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-5000:]

    def _answer(self, seconds: float, wanted: str = "ended") -> Any:
        assert self.driver.stdout is not None
        if select.select([self.driver.stdout], [], [], seconds)[0]:
            line = self.driver.stdout.readline()
            assert line, f"the driver ended:\n{self.log}"
            answer = json.loads(line)
            assert wanted in answer, f"{answer}\n{self.log}"
            return answer
        assert wanted == "ended", f"no worker was started:\n{self.log}"
        return None


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The same for the same test, so that a failure can be looked at again."""
    return sum(map(ord, request.node.name))


@pytest.fixture
def part_fields() -> str:
    """Further fields of parts."""
    return ""


@pytest.fixture
def people_ways() -> str:
    """Further lines of the mapping of people."""
    return ""


@pytest.fixture
def killing(whole: WholeProject, seed: int, part_fields: str, people_ways: str) -> Iterator[Killing]:
    """The project in force, its first sync still to do, and a driver that waits for orders."""
    whole.environment["SYNCBRIDGE_WORKER__BATCH"] = "25"
    whole.sql(RELATED)
    people = PEOPLE.replace(*WITH_ORDERS).replace("Badge__c: badge", "Badge__c: badge" + ORDERS)
    whole.write_mapping("people", people + people_ways)
    whole.write_mapping("parts", PARTS.replace(*WITH_MAKER).replace("Name: name", NAME + part_fields))
    whole.done("setup")
    whole.sql(WATCH_CHECKPOINT)
    rng = random.Random(seed)
    whole.sql("select setseed(%s)", rng.random())
    log_file = whole.folder / "driver.log"
    with log_file.open("wb") as log:
        driver = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.seams.driver", str(whole.settings_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            env={**os.environ, **COMPILED_ONCE, **whole.environment},
            start_new_session=True,
        )
    try:
        yield Killing(whole, Load(whole.postgres, rng), rng, driver, log_file)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        for pipe in (driver.stdin, driver.stdout):
            assert pipe is not None
            pipe.close()
