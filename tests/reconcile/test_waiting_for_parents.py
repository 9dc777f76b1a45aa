"""Entities that look up what has no record yet, or none any more."""

from __future__ import annotations

from syncbridge.outbound.lookups import Lookups
from syncbridge.reconcile.reconciler import Reconciler
from syncbridge.reconcile.report import Report
from syncbridge.reconcile.sides import Sides
from syncbridge.source import rows
from tests.fix_family_both import FamilyBoth


def reconcile(both: FamilyBoth, name: str) -> Report:
    family = both.family
    mapping_id, mapping = family.mappings[name]
    source = family.connect()
    rows.prepare(source)
    kin = both.pollers[name].kin
    sides = Sides(mapping_id, mapping, family.crm, family.store, source, Lookups(mapping_id, name, kin, family.store))
    with Reconciler(sides, lambda: True, settle=0.0, pause=lambda seconds: None) as reconciler:
        return reconciler.run()


def test_a_kept_row_that_looks_up_another_one_is_there_by_rule(both_sides: FamilyBoth) -> None:
    """Both records were deleted, which is ignored here."""
    family = both_sides.family
    family.crm.delete("Contact", [both_sides.id("people", 1)])
    family.crm.delete("Account", [both_sides.id("companies", 1)])
    both_sides.settle()
    assert family.remote_id("people", 1) is None
    assert family.remote_id("companies", 1) is None
    report = reconcile(both_sides, "people")
    assert report.examples == []
    assert (report.by_rule, report.drift) == (1, 0)
