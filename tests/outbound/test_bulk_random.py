"""Random edits while jobs are held, fail, are lost, and whoever carries them is killed: both sides end equal."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from syncbridge.errors import Remedy
from syncbridge.model import Reason
from tests.fix_bulk import BulkProject, Carrier
from tests.fix_store import make_due

KEYS = range(40)


class Chaos:
    """One step at a time, whatever comes; `drain` brings it to an end."""

    def __init__(self, bulk: BulkProject, rng: random.Random) -> None:
        self.bulk, self.rng = bulk, rng
        self.carrier: Carrier = bulk.open()
        self.done: list[str] = []
        self.steps: list[Callable[[], None]] = [
            *[self.change] * 4,
            *[self.delete] * 2,
            *[self.carry] * 12,
            *[self.deliver] * 3,
            *[self.let_jobs_run] * 3,
            self.resync,
            self.hold,
            self.kill,
            self.fail,
            self.lose_an_answer,
        ]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            step = self.rng.choice(self.steps)
            self.done.append(step.__name__)
            step()

    def drain(self) -> None:
        self.bulk.destination.faults.clear()
        for _ in range(60):
            self.bulk.now += 700.0
            self.bulk.jobs.run_jobs()
            self.carry()
            self.bulk.small.wake()
            self.deliver()
            if not self.bulk.small.left() and not self.bulk.unsettled():
                return
        raise AssertionError(f"it does not come to an end: {self.done}")

    def change(self) -> None:
        some = self.rng.sample(KEYS, self.rng.choice((1, 3, 15, 30)))
        self.bulk.small.writer.execute(
            "insert into people (id, first_name, last_name) select n, %s, 'L' || n from unnest(%s::bigint[]) n"
            " on conflict (id) do update set first_name = excluded.first_name",
            (self.rng.choice(("Ada", "Grace", None, "Mary")), some),
        )
        self.bulk.small.touch(*some)

    def delete(self) -> None:
        some = self.rng.sample(KEYS, self.rng.choice((1, 4, 20)))
        self.bulk.small.writer.execute("delete from people where id = any(%s)", (some,))
        self.bulk.small.touch(*some)

    def resync(self) -> None:
        self.bulk.small.touch(*KEYS, reason=Reason.RESYNC)

    def carry(self) -> None:
        self.bulk.now += self.rng.choice((0.1, 1.0, 40.0))
        self.carrier.step()

    def deliver(self) -> None:
        make_due(self.bulk.small.store)
        self.bulk.small.deliverer.step()

    def let_jobs_run(self) -> None:
        self.bulk.jobs.run_jobs()

    def hold(self) -> None:
        self.bulk.destination.faults.hold_jobs()

    def kill(self) -> None:
        self.bulk.kill(self.carrier)
        self.carrier = self.bulk.open()

    def fail(self) -> None:
        remedy = self.rng.choice((Remedy.RETRY_SMALLER, Remedy.RETRY))
        self.bulk.destination.faults.fail_job("FAILED", after=self.rng.randrange(20), remedy=remedy)

    def lose_an_answer(self) -> None:
        self.bulk.destination.faults.fail_after_write()


@pytest.mark.parametrize("seed", [*range(8), 129, 227])
def test_both_sides_end_equal(bulk: BulkProject, seed: int) -> None:
    bulk.jobs.bulk_from = 8
    bulk.small.destination.faults.hold_jobs()
    chaos = Chaos(bulk, random.Random(seed))
    chaos.run(70)
    chaos.drain()
    bulk.assert_equal()
