"""A newer version upgrades the state while a worker of this one runs."""

from __future__ import annotations

from tests.fix_project import WholeProject
from tests.store.test_database import FILES


def test_a_worker_under_a_newer_state_ends_with_one_line_and_its_own_code(whole: WholeProject) -> None:
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    whole.sql("insert into syncbridge.migration (number, name) values (9000, '9000_of_a_newer_version.sql')")
    assert worker.ended() == 4
    assert "Traceback" not in worker.log
    assert [line for line in worker.log.splitlines() if "is at version" in line] == [
        f"error: the state schema `syncbridge` is at version 9000, this program knows {int(FILES[-1][:3])}"
    ]
    assert worker.log.splitlines()[-1] == "Install the newer version that set it up."
    ended = whole.run("status")
    assert (ended.code, "newer version" in ended.err) == (4, True)
    whole.sql("delete from syncbridge.migration where number = 9000")
    assert whole.sql("select 1 from syncbridge.worker") == []  # it signed off
    whole.start()
    whole.wait()
    whole.assert_equal()
