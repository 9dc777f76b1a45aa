"""Both sides are compared completely, whatever events, outbox and links say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncbridge.model import MappingStatus
from syncbridge.reconcile.drift import Kind
from syncbridge.reconcile.gathering import Stopped
from syncbridge.reconcile.reconciler import CAPTURE_BEHIND, Progress
from syncbridge.store import links, way_back, workers
from tests.fix_delivery import SmallProject, Start
from tests.fix_reconcile import Reconciliations
from tests.fix_two_way import TwoWayProject


@pytest.fixture
def both_sides(project: SmallProject) -> Reconciliations:
    """Five people on both sides."""
    project.add(1, 2, 3, 4, 5)
    project.deliver()
    project.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    return Reconciliations(project)


def test_sides_that_agree_have_no_drift(both_sides: Reconciliations) -> None:
    report = both_sides.run()
    assert (report.rows, report.entities, report.links, report.records) == (5, 5, 5, 5)
    assert (report.agreeing, report.drift, report.on_its_way, report.held) == (5, 0, 0, 0)


def test_a_row_that_changed_unseen_is_drift_of_its_fields(both_sides: Reconciliations) -> None:
    both_sides.out.writer.execute("update people set first_name = 'Unseen', score = 2 where id = 3")
    report = both_sides.run()
    assert report.kinds == {Kind.FIELDS: 1}
    assert report.fields == {"FirstName": 1, "Score__c": 1}
    (example,) = report.examples
    assert (example.key, example.fields) == ("3", {"FirstName": ("Unseen", "First 3"), "Score__c": (2.0, None)})
    assert report.agreeing == 4


def test_every_kind_of_drift_is_told_apart(both_sides: Reconciliations) -> None:
    out = both_sides.out
    out.add(6, 7, 8)
    out.deliver()
    out.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    by_key = {key: links.read(out.store, out.mapping_id, str(key)) for key in range(1, 9)}
    ids = {key: link.remote_id for key, link in by_key.items() if link is not None}
    out.writer.execute("delete from people where id = 1")  # unseen
    out.destination.delete("Contact", [ids[2]])
    out.destination.update("Contact", [(ids[3], {"Email": "theirs@example.org"})])
    out.destination.update("Contact", [(ids[4], {"Person_Key__c": None})])
    out.store.execute("update syncbridge.link set remote_id = %s where key = '5'", (ids[6],))
    out.store.execute("delete from syncbridge.link where key = '7'")
    out.destination.update("Contact", [(ids[8], {"Person_Key__c": "800"})])
    assert both_sides.drift() == {
        "1": Kind.EXTRA,
        "2": Kind.MISSING,
        "3": Kind.FIELDS,
        "4": Kind.KEY,
        "5": Kind.LINK,
        "7": Kind.LINK,
        "8": Kind.KEY,
        "800": Kind.EXTRA,
    }


def test_two_records_of_one_entity_and_two_entities_of_one_record_are_told(start: Start) -> None:
    project = start()
    project.add(1, 2, 3)
    project.deliver()
    ids = {
        key: project.store.execute("select remote_id from syncbridge.link where key = %s", (key,)).fetchone()
        for key in ("1", "2", "3")
    }
    project.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    project.destination.put("Contact", {"Person_Key__c": "1", "FirstName": "Twin"})
    project.destination.delete("Contact", [ids["2"][0]])  # type: ignore[index]
    project.store.execute("update syncbridge.link set remote_id = %s where key = '2'", ids["3"])
    assert Reconciliations(project).drift() == {"1": Kind.TWO_RECORDS, "2": Kind.TWO_ENTITIES}


def test_records_without_a_key_are_counted_and_are_no_drift(both_sides: Reconciliations) -> None:
    both_sides.out.destination.put("Contact", {"FirstName": "Somebody"})
    report = both_sides.run()
    assert (report.not_ours, report.drift, report.records) == (1, 0, 6)


def test_what_waits_in_the_outbox_is_on_its_way_and_costs_no_call_of_its_own(both_sides: Reconciliations) -> None:
    out = both_sides.out
    out.change("update people set first_name = 'New' where id = 1", 1)
    out.add(6)
    out.change("delete from people where id = 2", 2)
    before = len(out.destination.calls)
    report = both_sides.run()
    assert (report.on_its_way, report.drift, report.agreeing) == (3, 0, 3)
    assert {call[0] for call in out.destination.calls[before:]} == {"scan"}


def test_dead_letters_are_held_and_no_drift(both_sides: Reconciliations) -> None:
    out = both_sides.out
    out.change("update people set first_name = repeat('x', 41) where id = 1", 1)
    out.deliver()
    report = both_sides.run()
    assert (report.held, report.drift) == (1, 0)


def test_a_row_that_is_no_entity_is_nothing_and_its_record_is_extra(both_sides: Reconciliations) -> None:
    both_sides.out.writer.execute("insert into people (id, is_test) values (9, true)")
    both_sides.out.writer.execute("update people set is_test = true where id = 2")
    report = both_sides.run()
    assert (report.rows, report.entities) == (6, 4)
    assert {each.key: each.kind for each in report.examples} == {"2": Kind.EXTRA}


def test_records_that_the_mapping_leaves_are_no_drift(start: Start) -> None:
    project = start(("deletes: {to_destination: delete}", "deletes: {to_destination: ignore}"))
    project.add(1, 2)
    project.deliver()
    project.change("delete from people where id = 1", 1)
    project.deliver()
    report = Reconciliations(project).run()
    assert (report.by_rule, report.drift, report.agreeing) == (1, 0, 1)


def test_a_record_that_should_be_marked_and_is_not_is_extra(start: Start) -> None:
    project = start(("deletes: {to_destination: delete}", "deletes: {to_destination: {set: {Active__c: false}}}"))
    project.add(1, 2, 3)
    project.deliver()
    project.change("delete from people where id = 1", 1)
    project.deliver()
    project.writer.execute("delete from people where id = 2")
    report = Reconciliations(project).run()
    assert (report.by_rule, report.agreeing) == (1, 1)
    assert {each.key: each.kind for each in report.examples} == {"2": Kind.EXTRA}


def test_what_the_destination_owns_is_not_compared(start: Start) -> None:
    project = start(("Email: email", "Email: {column: email, owner: destination}"))
    project.add(1)
    project.deliver()
    link = links.read(project.store, project.mapping_id, "1")
    assert link is not None
    project.destination.update("Contact", [(link.remote_id, {"Email": "theirs@example.org"})])
    assert Reconciliations(project).run().drift == 0


def test_sensitive_values_are_covered(start: Start) -> None:
    project = start(("Email: email", "Email: {column: email, sensitive: true}"))
    project.add(1)
    project.deliver()
    project.writer.execute("update people set email = 'secret@example.org'")
    project.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    report = Reconciliations(project).run()
    assert report.fields == {"Email": 1}
    assert "example.org" not in repr(report)


def test_a_change_while_it_runs_is_looked_at_again_and_is_no_drift(both_sides: Reconciliations) -> None:
    out = both_sides.out
    out.change("update people set first_name = 'New' where id = 1", 1)
    looks: list[float] = []

    def pause(seconds: float) -> None:
        looks.append(seconds)
        out.deliver()
        out.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")

    workers.register(out.store, host="here", pid=1, roles=["deliver"])
    report = both_sides.run(pause=pause, settle=30.0)
    assert len(looks) == 1
    assert (report.agreeing, report.on_its_way, report.drift) == (5, 0, 0)


def test_a_sample_tells_the_share_of_drift_and_how_sure_that_is(both_sides: Reconciliations) -> None:
    both_sides.out.writer.execute("update people set first_name = 'Unseen' where id = 3")
    with both_sides.reconciler() as reconciler:
        report = reconciler.sample(10)
    assert (report.sample, report.drift, report.agreeing) == (5, 1, 4)
    counts = report.counts()
    assert counts["share"] == 0.2
    assert 0.03 < counts["share_low"] < 0.04
    assert 0.62 < counts["share_high"] < 0.63


def test_a_scan_that_is_lost_begins_anew(both_sides: Reconciliations) -> None:
    destination = both_sides.out.destination
    destination.batch_size = 2
    lost: list[str] = []

    def shown(progress: Progress) -> None:
        if progress.phase == "reading" and progress.done == 2 and not lost:
            lost.extend(destination.scans.begun)
            destination.scans.begun.clear()

    report = both_sides.run(shown=shown)
    assert lost
    assert (report.records, report.agreeing, report.drift) == (5, 5, 0)


def test_it_can_be_stopped_and_leaves_no_scan_behind(both_sides: Reconciliations) -> None:
    both_sides.out.destination.batch_size = 2
    seen: list[Progress] = []
    with both_sides.reconciler(shown=seen.append, stopped=lambda: len(seen) > 2) as reconciler, pytest.raises(Stopped):
        reconciler.run()
    assert both_sides.out.destination.scans.begun == {}


def test_what_capture_brings_while_it_is_looked_at_is_on_its_way(both_sides: Reconciliations) -> None:
    out = both_sides.out
    out.writer.execute("update people set first_name = 'Just now' where id = 1")

    def captured() -> bool:
        out.touch(1)
        return True

    report = both_sides.run(captured=captured)
    assert (report.on_its_way, report.drift) == (1, 0)


def test_when_nobody_captures_the_report_says_that_drift_may_be_a_change(both_sides: Reconciliations) -> None:
    both_sides.out.writer.execute("update people set first_name = 'Perhaps unseen' where id = 1")
    report = both_sides.run(captured=lambda: False)
    assert (report.drift, report.warnings) == (1, [CAPTURE_BEHIND])


def test_nobody_waits_for_a_poll_of_a_way_back_that_is_paused(both: TwoWayProject) -> None:
    workers.register(both.out.store, host="here", pid=1, roles=["deliver"])
    way_back.set_status(both.out.store, both.out.mapping_id, MappingStatus.PAUSED)
    both.now = datetime.now(UTC)
    both.edit(1, FirstName="Theirs")
    pauses: list[float] = []
    report = Reconciliations(both.out).run(pause=pauses.append, settle=2.0)
    assert (report.on_its_way, report.drift, pauses) == (1, 0, [])
