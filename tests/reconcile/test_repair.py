"""Repair only enqueues; afterwards delivery and the poller have made both sides equal, by the side that was named."""

from __future__ import annotations

import psycopg
import pytest

from syncbridge.reconcile.drift import Kind
from syncbridge.reconcile.repair import EXTRA_STAYS, NOT_OURS, PERSON, ROW_STAYS, Side
from tests.fix_delivery import TABLE, SmallProject, Start
from tests.fix_reconcile import Reconciliations
from tests.fix_two_way import StartTwoWay, TwoWayProject


@pytest.fixture
def one_way(project: SmallProject) -> Reconciliations:
    """Nine people on both sides."""
    project.add(*range(1, 10))
    project.deliver()
    age(project)
    return Reconciliations(project)


@pytest.fixture
def two_way(start_two_way: StartTwoWay) -> tuple[TwoWayProject, Reconciliations]:
    """Nine people on both sides, of a mapping in both directions whose changes win that are newer."""
    both = start_two_way(
        ("guard:", "deletes: {to_postgres: delete}\nguard:"), ("deletes: {to_destination: delete}\n", "")
    )
    both.out.add(*range(1, 10))
    both.out.deliver()
    both.poll()
    age(both.out)
    return both, Reconciliations(both.out)


def age(project: SmallProject) -> None:
    """As if all of it had happened some time ago."""
    project.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")


def remote_ids(project: SmallProject) -> dict[int, str]:
    rows = project.store.execute("select key::int, remote_id from syncbridge.link")
    return dict(rows.fetchall())


def drift_of_every_kind(project: SmallProject) -> None:
    """Behind everybody's back: of 1 to 9 only 9 still agrees."""
    ids, destination = remote_ids(project), project.destination
    project.writer.execute("update people set first_name = 'Unseen' where id = 1")
    destination.update("Contact", [(ids[2], {"Email": "theirs@example.org"})])
    destination.delete("Contact", [ids[3]])
    destination.update("Contact", [(ids[4], {"Person_Key__c": None})])
    project.store.execute("update syncbridge.link set remote_id = %s where key = '5'", (ids[9],))
    project.store.execute("delete from syncbridge.link where key = '6'")
    project.writer.execute("delete from people where id = 7")
    destination.update("Contact", [(ids[8], {"Person_Key__c": "800"})])


def test_with_postgres_right_every_record_is_as_its_row_again(one_way: Reconciliations) -> None:
    out = one_way.out
    ids = remote_ids(out)
    drift_of_every_kind(out)
    repaired = one_way.repair(Side.POSTGRES, delete_extra=True)
    assert repaired.complete
    out.deliver()
    age(out)
    assert one_way.drift() == {}
    assert sorted(out.remote()) == ["1", "2", "3", "4", "5", "6", "8", "9"]
    assert out.remote()["1"]["FirstName"] == "Unseen"
    assert out.remote()["2"]["Email"] == "2@example.org"
    now = remote_ids(out)
    assert {key: now[key] for key in (1, 2, 4, 5, 6, 9)} == {key: ids[key] for key in (1, 2, 4, 5, 6, 9)}


def test_extra_records_stay_unless_it_is_told(one_way: Reconciliations) -> None:
    one_way.out.writer.execute("delete from people where id = 7")
    repaired = one_way.repair(Side.POSTGRES)
    assert (repaired.sent, repaired.left) == (0, {EXTRA_STAYS: 1})
    assert one_way.out.left() == []


def test_only_the_fields_that_differ_are_sent(one_way: Reconciliations) -> None:
    out = one_way.out
    out.destination.update("Contact", [(remote_ids(out)[2], {"Email": "theirs@example.org"})])
    out.destination.sent.clear()
    one_way.repair(Side.POSTGRES)
    out.deliver()
    assert out.destination.sent == [{"Person_Key__c": "2", "Email": "2@example.org"}]


def test_of_two_records_a_person_decides_which_stays(one_way: Reconciliations) -> None:
    one_way.out.destination.put("Contact", {"Person_Key__c": "1", "FirstName": "Twin"})
    assert one_way.repair(Side.POSTGRES).left == {PERSON: 1}


def test_deletes_of_a_repair_stop_at_the_guard(start: Start) -> None:
    out = start(("guard: {deletes: off", "guard: {deletes: 2 per hour"))
    out.add(1, 2, 3)
    out.deliver()
    age(out)
    out.writer.execute("delete from people")
    Reconciliations(out).repair(Side.POSTGRES, delete_extra=True)
    out.deliver()
    assert out.status().value == "guard"
    assert len(out.remote()) == 3


def test_with_the_destination_right_rows_take_what_the_records_hold(
    two_way: tuple[TwoWayProject, Reconciliations],
) -> None:
    both, reconciliations = two_way
    out = both.out
    ids = remote_ids(out)
    out.writer.execute("update people set first_name = 'Unseen' where id = 1")
    out.destination.update("Contact", [(ids[2], {"Email": "theirs@example.org"})])
    out.destination.delete("Contact", [ids[3]])
    out.store.execute("delete from syncbridge.link where key = '6'")
    out.store.execute("update syncbridge.watermark set position = '1000000', polled_at = now() + interval '1 hour'")
    repaired = reconciliations.repair(Side.DESTINATION, delete_extra=True)
    assert repaired.complete, repaired
    both.poll()
    assert out.left() == []
    assert both.row(1, "first_name") == ("First 1",)
    assert both.row(2, "email") == ("theirs@example.org",)
    assert both.row(3) is None
    age(out)
    assert reconciliations.drift() == {}


def test_a_row_whose_record_is_gone_stays_unless_it_is_told(two_way: tuple[TwoWayProject, Reconciliations]) -> None:
    both, reconciliations = two_way
    both.out.destination.delete("Contact", [remote_ids(both.out)[3]])
    both.out.store.execute("update syncbridge.watermark set polled_at = now() + interval '1 hour'")
    assert reconciliations.repair(Side.DESTINATION).left == {ROW_STAYS: 1}


@pytest.mark.parametrize(("rule", "first_name"), [("postgres", "Ours"), ("destination", "Theirs")])
def test_by_the_rules_a_field_that_both_sides_changed_goes_as_in_a_conflict(
    start_two_way: StartTwoWay, rule: str, first_name: str
) -> None:
    both = start_two_way(("guard:", f"conflict: {rule}\nguard:"))
    out = both.out
    out.add(1, 2, 3)
    out.deliver()
    both.poll()
    age(out)
    ids = remote_ids(out)
    out.writer.execute("update people set first_name = 'Ours' where id in (1, 2)")
    out.destination.update("Contact", [(ids[1], {"FirstName": "Theirs"}), (ids[3], {"FirstName": "Theirs"})])
    out.store.execute("update syncbridge.watermark set position = '1000000', polled_at = now() + interval '1 hour'")
    reconciliations = Reconciliations(out)
    assert reconciliations.repair(Side.RULES).complete
    both.settle()
    assert both.row(1, "first_name") == (first_name,)
    assert both.row(2, "first_name") == ("Ours",)
    assert both.row(3, "first_name") == ("Theirs",)
    assert [out.remote()[str(key)]["FirstName"] for key in (1, 2, 3)] == [first_name, "Ours", "Theirs"]
    age(out)
    assert reconciliations.drift() == {}


def test_what_changed_since_it_was_found_is_left_alone(one_way: Reconciliations) -> None:
    out = one_way.out
    out.writer.execute("update people set first_name = 'Unseen' where id in (1, 2)")
    with one_way.reconciler() as reconciler:
        assert reconciler.run().drift == 2
        out.touch(1)
        repairer = one_way.repairer(reconciler, Side.POSTGRES)
        repaired = repairer.repair(reconciler.drifted.pages())
    assert repaired.sent == 1
    assert out.left() == ["1", "2"]


def test_a_record_that_should_be_a_row_and_was_overlooked_becomes_one(start_two_way: StartTwoWay, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE.replace("id bigint primary key", "id bigint generated always as identity primary key"))
    both = start_two_way()
    out = both.out
    out.destination.put("Contact", {"FirstName": "Overlooked", "LastName": "Record"})
    out.store.execute("update syncbridge.watermark set position = '1000000', polled_at = now() + interval '1 hour'")
    reconciliations = Reconciliations(out)
    report = reconciliations.run()
    assert (report.kinds, report.not_ours) == ({Kind.NO_ROW: 1}, 0)
    assert reconciliations.repair(Side.POSTGRES).left == {NOT_OURS: 1}
    assert reconciliations.repair(Side.DESTINATION).looked_at == 1
    both.poll()
    out.deliver()
    age(out)
    assert out.remote()["1"]["FirstName"] == "Overlooked"
    report = reconciliations.run()
    assert (report.drift, report.agreeing, report.entities) == (0, 1, 1)
