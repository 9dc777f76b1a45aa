"""A mapping is changed while it is in force: a field is added, as `apply` does it."""

from __future__ import annotations

from syncbridge import resync
from syncbridge.model import Reason
from syncbridge.source import rows
from syncbridge.store import database, forget, runs
from syncbridge.store.runs import Direction
from tests.convergence.project import Project


def amend(project: Project) -> None:
    """What is agreed on of the field is forgotten, and all rows are looked at again; workers begin anew."""
    project.variant = project.variant.amended()
    mapping_id, _ = project.mappings["people"]
    forget.fields(project.store, mapping_id, ["Email"])

    def put_in_force() -> None:
        project.apply("people")
        runs.ask(project.store, mapping_id, Reason.RESYNC)

    database.transact(project.store, put_in_force)
    runs.open_asked(project.store, barrier=rows.next_transaction(project.writer))
    project.start_workers()


def carry_runs(project: Project) -> None:
    """Enqueue the rows that runs are about."""
    for run in runs.pending(project.store, Direction.OUT):
        compiled = next(each for id, each in project.mappings.values() if id == run.mapping_id)
        source = project.connection("runs")
        rows.prepare(source)
        while resync.step(project.store, source, run.id, compiled) is resync.Progress.WENT_ON:
            pass
