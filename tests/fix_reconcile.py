"""A reconciliation in a test's hands: of the small project, in one direction or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from psycopg import Connection

from syncbridge.mapping.kinship import Kin
from syncbridge.outbound.lookups import Lookups
from syncbridge.reconcile.drift import Kind
from syncbridge.reconcile.looking import Looker
from syncbridge.reconcile.reconciler import Reconciler
from syncbridge.reconcile.repair import Repaired, Repairer, Side
from syncbridge.reconcile.report import Report
from syncbridge.reconcile.sides import Sides
from syncbridge.source import rows
from tests.fix_delivery import SmallProject


@dataclass
class Reconciliations:
    """Compares the two sides of a small project, whose capture has seen everything."""

    out: SmallProject
    store: Connection = field(init=False)
    source: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.store, self.source = self.out.stores(), self.out.stores()
        rows.prepare(self.source)

    def reconciler(self, captured: Callable[[], bool] = lambda: True, **values: Any) -> Reconciler:
        out = self.out
        lookups = Lookups(out.mapping_id, out.mapping.name, Kin(), self.store)
        sides = Sides(out.mapping_id, out.mapping, out.destination, self.store, self.source, lookups)
        return Reconciler(sides, captured, **{"pause": lambda seconds: None, "settle": 0.0, **values})

    def run(self, **values: Any) -> Report:
        with self.reconciler(**values) as reconciler:
            return reconciler.run()

    def repairer(self, reconciler: Reconciler, side: Side, *, delete_extra: bool = False) -> Repairer:
        return Repairer(reconciler.sides, Looker(reconciler.sides, reconciler.captured), side, delete_extra)

    def repair(self, side: Side, *, delete_extra: bool = False) -> Repaired:
        """Compare, and repair what drifted."""
        with self.reconciler() as reconciler:
            reconciler.run()
            return self.repairer(reconciler, side, delete_extra=delete_extra).repair(reconciler.drifted.pages())

    def drift(self) -> dict[str, Kind]:
        """Key -> kind, of all that drifted."""
        with mock.patch("syncbridge.reconcile.report.EXAMPLES", 1_000_000):
            report = self.run()
        found = {each.key: each.kind for each in report.examples}
        assert len(found) == report.drift
        return found
