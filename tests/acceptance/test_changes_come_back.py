"""A change in the destination reaches Postgres, nothing comes back as an echo, and conflicts are decided by a rule and
recorded with both values."""

from __future__ import annotations

import json

from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE

BOTH = PEOPLE.replace("deletes: {to_destination: delete}", "direction: both\npoll: {every: 1s}")


def running_both_ways(whole: WholeProject, text: str = BOTH) -> WholeProject:
    """The project with a mapping in both directions, its first sync delivered and read once."""
    whole.write_mapping("people", text)
    whole.done("setup")
    whole.start()
    whole.wait()
    until(lambda: whole.sql("select 1 from syncbridge.watermark where polled_at is not null"))
    return whole


def edit(whole: WholeProject, key: int, **values: object) -> None:
    """Somebody changes a record in Salesforce, as a user does: through its API."""
    record = whole.record(key)
    assert record is not None
    with whole.project() as project:
        (result,) = project.destination("crm").update("Contact", [(record["Id"], dict(values))])  # type: ignore[arg-type]
    assert not hasattr(result, "code"), result


def row(whole: WholeProject, key: int) -> tuple[object, ...]:
    return tuple(whole.sql("select first_name, last_name from people where id = %s", key)[0])


def polls(whole: WholeProject, number: int) -> None:
    """Wait until the changes were read to their end so many times more."""
    for _ in range(number):
        (before,) = whole.sql("select polled_at from syncbridge.watermark")[0]
        until(lambda before=before: whole.sql("select polled_at from syncbridge.watermark")[0][0] > before)  # type: ignore[misc]


def test_a_change_in_salesforce_reaches_its_row_and_nothing_echoes(whole: WholeProject) -> None:
    running_both_ways(whole)
    edit(whole, 1, FirstName="Grace", LastName="Hopper")
    until(lambda: row(whole, 1) == ("Grace", "Hopper"), what="the change reaches the row")
    stamp = whole.record(1)["SystemModstamp"]  # type: ignore[index]
    whole.salesforce.control.reset_stats()
    whole.sql("update people set first_name = 'Ada' where id = 2")
    until(lambda: whole.record(2)["FirstName"] == "Ada")  # type: ignore[index]
    whole.wait()
    polls(whole, 3)
    assert whole.record(1)["SystemModstamp"] == stamp  # type: ignore[index]
    assert whole.salesforce.control.calls("collections_upsert") == 1
    assert row(whole, 2) == ("Ada", "Last 2")
    written = whole.sql("select key from syncbridge.sync_log where direction = 'in' and outcome = 'written'")
    assert written == [("1",)]
    whole.assert_equal()


def test_a_conflict_goes_to_the_side_that_the_rule_names_and_is_recorded(whole: WholeProject) -> None:
    running_both_ways(whole, BOTH + "conflict: destination\n")
    whole.done("pause", "people")
    edit(whole, 1, FirstName="Theirs")
    whole.sql("update people set first_name = 'Ours', last_name = 'Also ours' where id = 1")
    whole.done("resume", "people")
    until(lambda: row(whole, 1) == ("Theirs", "Also ours"), what="the rule decides")
    until(lambda: whole.record(1)["LastName"] == "Also ours")  # type: ignore[index]
    whole.wait()
    assert whole.record(1)["FirstName"] == "Theirs"  # type: ignore[index]
    found = whole.sql("select decision::text from syncbridge.sync_log where direction = 'in' and decision is not null")
    (decision,) = [json.loads(text) for (text,) in found if text != "{}"]
    assert decision == {
        "FirstName": {
            "verdict": "destination wins",
            "rule": "destination",
            "base": "First 1",
            "local": "Ours",
            "remote": "Theirs",
        }
    }


def test_late_visibility_and_a_killed_worker_lose_nothing(whole: WholeProject) -> None:
    running_both_ways(whole)
    whole.salesforce.control.set_late_visibility(1, 3)
    edit(whole, 1, FirstName="Late")
    whole.sql("update people set first_name = 'Ours' where id = 2")
    whole.workers[-1].kill()
    edit(whole, 3, FirstName="While nobody ran")
    whole.start()
    until(lambda: row(whole, 1)[0] == "Late")
    until(lambda: row(whole, 3)[0] == "While nobody ran")
    until(lambda: whole.record(2)["FirstName"] == "Ours")  # type: ignore[index]
    whole.salesforce.control.set_late_visibility(0, 0)
    polls(whole, 2)
    whole.wait()
    assert [row(whole, key)[0] for key in (1, 2, 3)] == ["Late", "Ours", "While nobody ran"]
    whole.assert_equal()
