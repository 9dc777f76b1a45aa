"""Real worker processes are killed at random while bulk jobs carry much of what changes: nothing is lost or doubled."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject, until
from tests.seams.conftest import TIMES, Killing

pytestmark = [pytest.mark.seams, pytest.mark.timeout(240)]

KILLS = 8 * TIMES


@pytest.fixture
def whole(whole: WholeProject) -> WholeProject:
    """A handful of records is worth a job."""
    settings = whole.settings_file.read_text()
    whole.settings_file.write_text(settings.replace('type = "salesforce"', 'type = "salesforce"\nbulk_from = 4'))
    return whole


#: More than one batch of calls, so that jobs find something in every backlog, however early each worker is killed.
PEOPLE = "insert into people (id, last_name) select n, 'Last' from generate_series(500001, 500100) as n"
BACKLOG = "update people set last_name = 'Last ' || md5(random()::text)"


@pytest.mark.parametrize("held", [False, True], ids=["done at once", "held"])
def test_workers_that_are_killed_leave_their_jobs_to_the_next(killing: Killing, held: bool) -> None:
    control = killing.whole.salesforce.control
    killing.whole.sql(PEOPLE)
    for _ in range(KILLS):
        if held and killing.rng.random() < 0.5:
            control.hold_jobs(killing.rng.choice(("UploadComplete", "InProgress")), rows=killing.rng.randrange(5))
        killing.whole.sql(BACKLOG)
        killing.kill_at_random()
        control.release_jobs()

    def carried() -> bool:
        killing.whole.sql(BACKLOG)
        return any(job["numberRecordsProcessed"] for job in control.jobs())

    killing.begin()  # one that lives until a job did something, should all the others have died too early
    until(carried, what="a job carries records")
    killing.kill()
    killing.drain()
