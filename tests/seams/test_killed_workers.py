"""Real worker processes are killed at every point of seams 1 and 2, with answers lost: nothing is lost."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest

from tests.seams.conftest import TIMES, Killing

pytestmark = [pytest.mark.seams, pytest.mark.timeout(240)]

#: Workers that die at each point.
KILLS = 10 * TIMES
#: Workers that die at each point of the fan-out, of which fewer lie in the way of a change.
FAN_OUT_KILLS = 5 * TIMES
#: Workers that are started as a whole process each time, which takes longer.
PLAIN_KILLS = 6 * TIMES


@pytest.mark.parametrize(
    "point",
    [f"{seam} {moment}" for seam in ("save", "settle", "fan_out") for moment in ("before", "inside", "after")]
    + ["page inside"],
)
def test_a_worker_that_is_killed_at_a_seam_loses_nothing_and_doubles_nothing(killing: Killing, point: str) -> None:
    kills = KILLS if point.startswith(("save", "settle")) else FAN_OUT_KILLS
    for _ in range(kills):
        killing.kill_at(point)
    killing.drain()
    assert killing.kills == kills


def test_a_worker_that_is_killed_at_any_time_loses_nothing_and_doubles_nothing(killing: Killing) -> None:
    for _ in range(KILLS):
        killing.kill_at_random()
    killing.drain()


def test_a_plain_worker_process_that_is_killed_at_any_time_loses_nothing(killing: Killing) -> None:
    """As an operator starts it: `syncbridge run`."""
    for _ in range(PLAIN_KILLS):
        worker = killing.whole.start()
        for _ in range(killing.rng.randrange(20, 120)):
            killing.load.step()
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {worker.process.wait(0.02)}:\n{worker.log}")
        worker.kill()
        killing.assert_confirmed_only_what_is_durable()
    killing.drain()
