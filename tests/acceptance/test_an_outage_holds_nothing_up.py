"""A destination that is down holds no WAL, and one mapping's trouble does not delay another."""

from __future__ import annotations

from syncbridge.model import MappingStatus
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, until
from tests.fix_store import end_waits


def write_and_see_it_confirmed(whole: WholeProject) -> None:
    """Commit changes, and wait until Postgres need not keep its log for them."""
    before = whole.confirmed()
    whole.sql("update people set first_name = 'During the outage'")
    whole.sql("insert into people (id, last_name) values (50, 'New')")
    whole.sql("delete from people where id = 5")
    end = whole.end_of_log()
    assert end > before
    until(lambda: whole.confirmed() >= end, what="the slot lets go of the log")
    assert whole.waiting("people") == 6  # five that were there, one of them deleted, and one new


def test_while_salesforce_answers_503_the_log_is_let_go_and_afterwards_all_is_delivered(running: WholeProject) -> None:
    running.salesforce.faults.add("unavailable", path="/composite")
    write_and_see_it_confirmed(running)
    until(lambda: running.mapping().status is MappingStatus.WAITING, what="the mapping waits")
    assert "SERVER_UNAVAILABLE" in running.mapping().reason
    running.salesforce.faults.clear()
    end_waits(running.postgres)
    running.wait()
    running.assert_equal()


def test_while_salesforce_is_not_there_the_log_is_let_go_and_afterwards_all_is_delivered(whole: WholeProject) -> None:
    port = int(whole.salesforce.url.rpartition(":")[2])
    whole.done("setup")
    whole.start()
    whole.wait()
    whole.salesforce.stop()
    write_and_see_it_confirmed(whole)
    until(lambda: whole.mapping().status is MappingStatus.WAITING, what="the mapping waits")
    assert "cannot be reached" in whole.mapping().reason
    org = whole.folder.parent / "org.yaml"
    with SandboxServer(org=org, port=port, credentials=whole.salesforce.credentials) as back:
        whole.salesforce = back
        whole.done("resume", "people")
        whole.done("resync", "people", "--force")  # the org that is back has no records
        whole.done("resync", "parts", "--force")
        whole.wait()
        whole.assert_equal()


def test_a_mapping_whose_calls_are_slow_does_not_delay_another(running: WholeProject) -> None:
    slow = running.salesforce.faults.add("latency", object="Contact", seconds=20.0)
    running.sql("update people set first_name = 'Slow'")
    until(lambda: slow.struck >= 1)
    running.sql("update parts set stock = 77")
    running.wait("parts")
    assert running.waiting("people") == 5
    running.salesforce.faults.clear()


def test_a_mapping_that_is_paused_does_not_delay_another_and_loses_nothing(running: WholeProject) -> None:
    running.done("pause", "people")
    running.sql("update people set first_name = 'Paused'")
    running.sql("update parts set stock = 78")
    running.wait("parts")
    assert running.run("wait", "people").code == 4
    running.done("resume", "people")
    running.wait()
    running.assert_equal()
