"""A backlog goes to Salesforce by bulk jobs, beside live changes, whatever ends in the midst."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject, WorkerProcess, until
from tests.project_files import PEOPLE

pytestmark = pytest.mark.timeout(120)

ROWS = 300
MANY = (
    "insert into people (id, first_name, last_name, email)"
    """ select n, 'First ' || n, 'Last, "' || n || '"', 'p' || n || '@example.com'"""
    f" from generate_series(1000, {999 + ROWS}) as n"
)


@pytest.fixture
def whole(whole: WholeProject) -> WholeProject:
    """Jobs are worth their time from 50 records; calls are small and slow, so that there is a backlog."""
    settings = whole.settings_file.read_text()
    for old, new in (("batch = 200", "batch = 20"), ('type = "salesforce"', 'type = "salesforce"\nbulk_from = 50')):
        assert old in settings
        settings = settings.replace(old, new)
    whole.settings_file.write_text(settings)
    whole.salesforce.faults.add("latency", path="/composite/sobjects", seconds=0.4)
    return whole


def done_by_jobs(whole: WholeProject) -> int:
    return sum(job["numberRecordsProcessed"] for job in whole.salesforce.control.jobs())


def start_with_a_held_job(whole: WholeProject) -> WorkerProcess:
    """A worker whose backlog was uploaded in a job that is not begun yet."""
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    whole.salesforce.control.hold_jobs()
    whole.sql(MANY)
    until(lambda: [job for job in whole.salesforce.control.jobs() if job["state"] == "UploadComplete"])
    return worker


def test_changes_of_all_kinds_end_equal_and_no_record_is_made_twice(whole: WholeProject) -> None:
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.sql(MANY)
    whole.wait()
    whole.sql("update people set first_name = null, badge = id::text where id >= 1100")
    whole.sql("delete from people where id between 1000 and 1099")
    whole.wait()
    assert done_by_jobs(whole) > 0
    whole.assert_equal()
    assert len(whole.records(deleted=True)) == ROWS + 5


def test_a_job_outlives_the_worker_that_sent_it_and_later_changes_win(whole: WholeProject) -> None:
    first = start_with_a_held_job(whole)
    first.kill()
    whole.sql("update people set last_name = 'Newer' where id >= 1000")
    whole.salesforce.control.release_jobs()
    whole.start()
    whole.wait()
    whole.assert_equal()
    assert len(whole.records(deleted=True)) == ROWS + 5


def test_a_job_that_runs_when_jobs_are_switched_off_overtakes_no_later_change(whole: WholeProject) -> None:
    first = start_with_a_held_job(whole)
    first.kill()
    settings = whole.settings_file.read_text()
    whole.settings_file.write_text(settings.replace("bulk_from = 50", "bulk_from = 0"))
    whole.start()
    whole.sql("update people set last_name = 'Newer' where id >= 1000")
    whole.sql("update people set first_name = 'Live' where id = 3")
    until(lambda: (whole.record(3) or {}).get("FirstName") == "Live")
    whole.salesforce.control.release_jobs()
    whole.wait()
    whole.assert_equal()
    assert len(whole.salesforce.control.jobs()) == 1


def test_live_changes_arrive_while_a_job_is_held_and_a_worker_that_is_stopped_leaves_it(whole: WholeProject) -> None:
    first = start_with_a_held_job(whole)
    whole.sql("update people set first_name = 'Live' where id = 3")
    until(lambda: (whole.record(3) or {}).get("FirstName") == "Live")
    held = whole.run("status", "people").out
    assert "bulk job" in held
    assert first.stop() == 0
    whole.salesforce.control.release_jobs()
    whole.start()
    whole.wait()
    whole.assert_equal()
    assert len(whole.records(deleted=True)) == ROWS + 5


def test_a_first_sync_in_both_directions_goes_by_jobs_and_leaves_nothing_to_look_at(whole: WholeProject) -> None:
    whole.write_mapping("people", PEOPLE.replace("guard:", "direction: both\npoll: {every: 1s}\nguard:"))
    whole.sql(MANY)
    whole.done("setup")
    whole.start()
    whole.wait()
    assert done_by_jobs(whole) >= ROWS
    until(lambda: not whole.sql("select 1 from syncbridge.recheck"))
    whole.sql("update people set first_name = 'Live' where id = 1000")
    until(lambda: (whole.record(1000) or {}).get("FirstName") == "Live")
    whole.wait()
    assert whole.sql("select 1 from syncbridge.sync_log where direction = 'in'") == []
    whole.assert_equal()
