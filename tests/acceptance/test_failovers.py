"""A standby takes the place of the primary: with its slot the worker goes on by itself. Without, it looks as a restored
backup does, so nothing moves until a person says that nothing was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncbridge.sandbox.postgres import all_binaries
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, until
from tests.fix_standby import Pair, replicated
from tests.project_files import PEOPLE

BOTH = PEOPLE.replace("deletes: {to_destination: delete}", "direction: both\npoll: {every: 1s}")


def begin(pair: Pair) -> WholeProject:
    """People go both ways, parts one; a worker runs."""
    whole = pair.whole
    whole.write_mapping("people", BOTH)
    whole.done("setup")
    whole.start()
    whole.wait()
    return whole


def change_and_fail_over(pair: Pair) -> None:
    """Changes on both sides while the primary dies; the worker meets the standby at its address."""
    whole = pair.whole
    whole.sql("update people set first_name = 'Before' where id = 1")
    whole.sql("delete from parts where number = 1")
    whole.wait()
    pair.catch_up()
    pair.fail_over()
    edited = whole.record(3)
    assert edited is not None
    with whole.project() as project:
        project.destination("crm").update("Contact", [(edited["Id"], {"FirstName": "There"})])
    whole.sql("update people set first_name = 'After' where id = 2")
    whole.sql("insert into parts values ('acme', 9, 'Made after', 9)")


def assert_all_arrived(whole: WholeProject) -> None:
    until(lambda: whole.sql("select first_name from people where id = 3") == [("There",)])
    whole.wait()
    whole.assert_equal()
    names = whole.sql("select first_name from people order by id limit 3")
    assert names == [("Before",), ("After",), ("There",)]
    assert whole.record('["acme", "1"]', "parts") is None


@pytest.mark.skipif(max(all_binaries(), default=0) < 17, reason="slots are synchronized from Postgres 17 on")
def test_a_standby_that_takes_over_with_the_slot_goes_on_by_itself(salesforce: SandboxServer, tmp_path: Path) -> None:
    with replicated(salesforce, tmp_path) as pair:
        whole = begin(pair)
        pair.sync_slot()
        change_and_fail_over(pair)
        assert_all_arrived(whole)
        assert "halted" not in whole.workers[0].log
        assert whole.sql("select timeline from syncbridge.checkpoint") == [(2,)]


def test_a_standby_without_the_slot_stands_still_and_says_that_it_may_be_either(
    salesforce: SandboxServer, tmp_path: Path
) -> None:
    with replicated(salesforce, tmp_path) as pair:
        whole = begin(pair)
        change_and_fail_over(pair)
        stamps = [record["SystemModstamp"] for record in whole.records()]
        until(lambda: "every mapping is halted" in whole.workers[0].log, what="the worker stands still")
        log = whole.workers[0].log
        assert "on timeline 2 since 0/" in log
        assert "a standby took over, or a backup was recovered; its log does not tell which" in log
        status = whole.run("status")
        assert (status.code, "--recreate-slot" in status.out) == (1, False)  # which would be refused
        assert [record["SystemModstamp"] for record in whole.records()] == stamps
        whole.workers[0].stop()  # else it looks again after some time
        whole.done("setup", "--restored")  # nothing was lost, says a person
        whole.start()
        whole.done("resume", "--all")
        for mapping in ("people", "parts"):
            whole.done("resync", mapping)
        assert_all_arrived(whole)
