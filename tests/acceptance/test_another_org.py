"""The login reaches another org than the one that was synced: nothing is written there until a person says so."""

from __future__ import annotations

from pathlib import Path

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE

BOTH = PEOPLE.replace("deletes: {to_destination: delete}", "direction: both\npoll: {every: 1s}")


def statuses(whole: WholeProject) -> set[str]:
    return {status for (status,) in whole.sql("select status from syncbridge.mapping")}


def test_a_refreshed_sandbox_stops_both_directions_and_a_relink_begins_anew(whole: WholeProject) -> None:
    whole.write_mapping("people", BOTH)
    whole.done("setup")
    worker = whole.start()
    whole.wait()
    (was,) = whole.sql("select identity from syncbridge.destination_identity")[0]
    assert was in whole.run("status").out
    rows = whole.sql("select * from people order by id")
    links = whole.sql("select mapping_id, key, remote_id from syncbridge.link order by 1, 2")

    whole.salesforce.control.refresh()
    whole.sql("update people set first_name = 'Not for another org' where id = 1")
    until(lambda: statuses(whole) == {"halted"}, what="every mapping of the destination halts")
    assert whole.sql("select * from people where id > 1") == rows[1:]
    assert whole.sql("select mapping_id, key, remote_id from syncbridge.link order by 1, 2") == links
    assert whole.records() == []
    status = whole.run("status")
    assert status.code == 1
    assert f"the links of its mappings name records of {was}" in " ".join(status.out.split())
    assert "--relink-destination crm" in status.out
    assert whole.run("check").code == 1

    whole.done("resume", "--all")  # which mends nothing
    until(lambda: whole.mapping().status.value == "halted", what="it halts again")
    assert whole.records() == []

    whole.done("apply", "--yes", "--relink-destination", "crm")
    whole.done("resume", "--all")
    whole.wait()
    whole.assert_equal()
    assert len(whole.records()) == 5
    (now,) = whole.sql("select identity from syncbridge.destination_identity")[0]
    assert now != was
    assert "Traceback" not in worker.log
    become_a_full_copy(whole)


def become_a_full_copy(whole: WholeProject) -> None:
    """Once more, as a full copy in which somebody worked: records keep their ids, nothing is doubled, and rows win."""
    ids = {record["Id"] for record in whole.records()}
    whole.done("pause", "--all")
    whole.salesforce.control.refresh(records=True)
    edited, dropped, _ = (record["Id"] for record in whole.records()[2:5])
    whole.salesforce.control.set_values("Contact", edited, {"LastName": "Edited there"})
    whole.salesforce.control.set_values("Contact", dropped, {"IsDeleted": 1})
    whole.done("resume", "--all")
    until(lambda: statuses(whole) == {"halted"}, what="every mapping of the destination halts")
    whole.done("apply", "--yes", "--relink-destination", "crm")
    whole.done("resume", "--all")
    whole.wait()
    whole.assert_equal()
    assert len({record["Id"] for record in whole.records()} & ids) == 4
    assert len(whole.records()) == 5
    ((decision,),) = whole.sql("select decision -> 'LastName' from syncbridge.sync_log where decision::text <> '{}'")
    assert (decision["verdict"], decision["local"], decision["remote"]) == ("postgres wins", "Last 3", "Edited there")
    assert whole.record(3)["LastName"] == "Last 3"  # type: ignore[index]


def test_settings_that_point_back_go_on_where_they_were(running: WholeProject, tmp_path: Path) -> None:
    whole = running
    whole.workers[0].stop()
    stamps = [record["SystemModstamp"] for record in whole.records()]
    with SandboxServer(org=tmp_path / "org.yaml") as other:
        other.control.refresh()
        whole.start(SYNCBRIDGE_DESTINATIONS__CRM__INSTANCE_URL=other.url)
        whole.sql("update people set first_name = 'Waits' where id = 1")
        until(lambda: statuses(whole) == {"halted"}, what="every mapping of the destination halts")
        whole.workers[1].stop()
        assert other.control.records("Contact") == []
    assert [record["SystemModstamp"] for record in whole.records()] == stamps
    whole.start()
    whole.done("resume", "--all")
    whole.wait()
    whole.assert_equal()
    assert sum(record["SystemModstamp"] != stamp for record, stamp in zip(whole.records(), stamps, strict=True)) == 1
