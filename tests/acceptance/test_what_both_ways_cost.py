"""API calls of a mapping that goes both ways: it reads before it updates; what it wrote costs no more than pages."""

from __future__ import annotations

import pytest

from tests.acceptance.test_changes_come_back import polls, running_both_ways
from tests.acceptance.test_what_a_day_costs import calls
from tests.fix_project import WholeProject, until

pytestmark = pytest.mark.timeout(120)

#: Route of the polls.
POLL = "query_all"
#: Route of a look at records before they are updated. One page may have been asked for before our write and be written
#: after it: what it shows is looked at once more.
READ, READS = "collections_retrieve", (1, 2)


@pytest.fixture
def both(whole: WholeProject) -> WholeProject:
    """A thousand people on both sides, and a worker with default settings but for one lane."""
    text = whole.settings_file.read_text()
    whole.settings_file.write_text(text.replace('linger = "0s"\nbatch = 200\n', ""))
    whole.sql("insert into people (id, last_name) select n, 'Last ' || n from generate_series(1001, 2000) as n")
    return running_both_ways(whole)


def test_a_thousand_updates_are_six_calls_and_after_them_polls_alone(both: WholeProject) -> None:
    both.done("pause", "people")
    both.sql("update people set first_name = 'Ann' where id > 1000")
    until(lambda: both.waiting("people") == 1000, what="all of them in the outbox")
    both.salesforce.control.reset_stats()
    both.done("resume", "people")
    both.wait()
    polls(both, 3)
    made = calls(both)
    assert made.pop(POLL) >= 3
    assert made.pop(READ) in READS
    assert made == {"collections_upsert": 5}
    assert both.sql("select 1 from syncbridge.recheck") == []
    assert both.sql("select 1 from syncbridge.sync_log where direction = 'in'") == []


def test_one_change_that_comes_alone_is_two_calls(both: WholeProject) -> None:
    both.salesforce.control.reset_stats()
    both.sql("update people set first_name = 'Ann' where id = 1")
    both.wait()
    polls(both, 2)
    made = calls(both)
    assert made.pop(POLL) >= 2
    assert made.pop(READ) in READS
    assert made == {"collections_upsert": 1}
