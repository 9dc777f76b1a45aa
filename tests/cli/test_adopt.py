"""`syncbridge adopt` against a real Postgres and a Salesforce sandbox over HTTP: moving over without a double."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fix_project import WholeProject, until

PEOPLE = 500
DIFFERENT = (7, 77, 177)


@pytest.fixture
def moving(whole: WholeProject) -> WholeProject:
    """500 people whose records another product made, in force and paused. Records have no key of ours; 3 differ."""
    (whole.folder / "mappings" / "parts.yaml").unlink()
    records = [
        {"LastName": f"Last {n}", "FirstName": f"First {n}", "Email": f"P{n}@Example.com", "Title": "Theirs"}
        for n in range(1, PEOPLE + 1)
    ]
    ids = create(whole, *records)
    whole.sql("truncate people")
    whole.sql("alter table people add sfid varchar(18) unique")
    whole.sql(
        "insert into people (id, first_name, last_name, email, sfid)"
        " select n, 'First ' || n, 'Last ' || n, 'p' || n || '@example.com', sfid"
        "   from unnest(%s::text[]) with ordinality as given (sfid, n)",
        [each[:15] if n % 3 == 0 else each for n, each in enumerate(ids, 1)],  # 15 characters name the same record
    )
    whole.sql("update people set last_name = 'Moved ' || id where id = any(%s)", list(DIFFERENT))
    whole.done("setup", "--paused")
    whole.salesforce.control.reset_stats()
    return whole


def create(whole: WholeProject, *records: dict[str, Any]) -> list[str]:
    """Records that somebody else made in the org; their ids of 18 characters."""
    sandbox = whole.salesforce.sandbox
    contact = sandbox.org.objects["contact"]
    with sandbox.lock:
        outcomes = sandbox.writes.create([(contact, record) for record in records])
    return [str(outcome.id) for outcome in outcomes]


def calls(whole: WholeProject) -> dict[str, int]:
    """Calls by route since the last reset, without logins and descriptions."""
    counted = whole.salesforce.control.stats()["calls"]
    routes = {name.partition(" ")[2]: count for name, count in counted.items()}
    return {name: count for name, count in routes.items() if name.startswith(("collections", "query"))}


def test_five_hundred_records_move_over_none_is_created_and_only_differences_are_sent(moving: WholeProject) -> None:
    """A worker runs all the time, and has the whole first sync in its outbox before the records are taken over."""
    before = {each["Id"]: each for each in moving.salesforce.control.records("Contact")}
    moving.start()
    until(lambda: moving.waiting() == PEOPLE)
    done = moving.done("adopt", "people", "--remote-id", "sfid")
    assert "500 rows name a remote record\n  500 linked\n  500 of these records did not carry" in done.out
    assert calls(moving) == {"collections_retrieve": 1, "query": 1, "collections_update": 3}
    plan = moving.run("plan", "--records", "people", "--limit", "0")
    assert "people: update 3, same 497." in plan.out
    moving.salesforce.control.reset_stats()
    moving.done("resume", "people")
    moving.wait()
    assert calls(moving).keys() == {"collections_upsert"}
    sent = moving.sql("select key::int from syncbridge.sync_log where reason = 'first_sync' and outcome = 'delivered'")
    assert sorted(sent) == [(number,) for number in DIFFERENT]
    after = moving.salesforce.control.records("Contact", deleted=True)
    assert [each["Id"] for each in after] == list(before)
    assert sorted(int(each["Person_Key__c"]) for each in after) == list(range(1, PEOPLE + 1))
    assert {each["Title"] for each in after} == {"Theirs"}
    changed = [int(e["Person_Key__c"]) for e in after if e["LastName"] != before[e["Id"]]["LastName"]]
    assert changed == list(DIFFERENT)
    moving.assert_equal()
    moving.sql("update people set first_name = 'Later' where id = 9")
    moving.wait()
    assert len(moving.salesforce.control.records("Contact", deleted=True)) == PEOPLE
    moving.assert_equal()


def test_a_dry_run_counts_and_writes_nothing(moving: WholeProject) -> None:
    done = moving.done("adopt", "people", "--remote-id", "sfid", "--dry-run", "--json")
    assert done.json["dry_run"] is True
    assert (done.json["linked"], done.json["keys_written"], done.json["problems"]) == (PEOPLE, PEOPLE, {})
    assert "collections_update" not in calls(moving)
    assert moving.sql("select count(*) from syncbridge.link") == [(0,)]


def test_what_is_left_out_is_listed_and_stands_in_the_status(moving: WholeProject) -> None:
    moving.sql("update people set sfid = '003000000000gone' where id = 1")
    moving.sql("update people set sfid = '003000000000abc' where id = 2")
    moving.sql("update people set sfid = null where id = 3")
    ended = moving.run("adopt", "people", "--remote-id", "sfid")
    assert ended.code == 1
    assert "497 linked" in ended.out
    assert "1 rows name none: a new record is created for each on resume" in ended.out
    assert "what the row holds is no remote id" in ended.out
    assert "the record is gone, or hidden from the login" in ended.out
    assert "Mend these rows or records, and run this again before `syncbridge resume people`." in ended.out
    assert moving.mapping().reason == "adopt left 2 of 499 rows without a link"
    again = moving.run("adopt", "people", "--remote-id", "sfid", "--json")
    assert (again.code, again.json["already_linked"], again.json["linked"]) == (1, 497, 0)
    assert {each["key"]: each["problem"] for each in again.json["left_out"]} == {"1": "malformed", "2": "gone"}


def test_what_changes_between_adopt_and_resume_goes_out_and_makes_no_double(moving: WholeProject) -> None:
    moving.done("adopt", "people", "--remote-id", "sfid")
    moving.start()
    moving.sql("delete from people where id = 5")
    moving.sql("update people set first_name = 'Meanwhile' where id = 6")
    moving.sql("insert into people (id, last_name) values (1000, 'New')")
    moving.done("resume", "people")
    moving.wait()
    assert len(moving.salesforce.control.records("Contact", deleted=True)) == PEOPLE + 1
    assert moving.record(5) is None
    moving.assert_equal()


def test_answers_that_are_lost_make_no_double(moving: WholeProject) -> None:
    moving.salesforce.faults.add("drop_after", route="collections_update", times=5)
    moving.run("adopt", "people", "--remote-id", "sfid")
    done = moving.done("adopt", "people", "--remote-id", "sfid", "--json")
    assert done.json["linked"] + done.json["already_linked"] == PEOPLE
    moving.done("resume", "people")
    moving.start()
    moving.wait()
    assert len(moving.salesforce.control.records("Contact", deleted=True)) == PEOPLE
    moving.assert_equal()


def test_a_mapping_that_is_not_paused_is_refused(moving: WholeProject) -> None:
    moving.done("resume", "people")
    ended = moving.run("adopt", "people", "--remote-id", "sfid")
    assert ended.code == 2
    assert "people is not paused" in ended.err
    assert "syncbridge pause people" in ended.err


def test_a_column_that_does_not_exist_is_told_with_the_nearest(moving: WholeProject) -> None:
    ended = moving.run("adopt", "people", "--remote-id", "sf_id")
    assert ended.code == 2
    assert "public.people has no column 'sf_id'; did you mean 'sfid'?" in ended.err


def test_apply_puts_new_mappings_in_force_paused_and_leaves_others_as_they_are(moving: WholeProject) -> None:
    text = (moving.folder / "mappings" / "people.yaml").read_text()
    more = text.replace("mapping: people", "mapping: more").replace("Person_Key__c", "External_Key__c")
    moving.write_mapping("more", more)
    moving.done("resume", "people")
    done = moving.done("apply", "--yes", "--paused")
    assert "mapping more: new and paused, public.people -> Contact" in done.out
    assert moving.mapping("more").status == "paused"
    assert moving.mapping("people").status == "active"
