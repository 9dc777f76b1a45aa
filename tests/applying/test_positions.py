"""A slot that is made anew: by whom, when, and what is refused; each step may be the last."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncbridge import resync
from syncbridge.applying import positions
from syncbridge.model import Reason
from syncbridge.source import rows, slot
from syncbridge.store import checkpoints, gaps, runs
from syncbridge.store.checkpoints import Checkpoint
from tests.fix_cli import CliProject


def slot_of(project: CliProject) -> str:
    return project.project.settings.source.slot


def checkpoint(project: CliProject) -> Checkpoint:
    found = checkpoints.read(project.store, slot_of(project))
    assert found is not None
    return found


def drop(project: CliProject) -> Checkpoint:
    """The checkpoint at which the slot was dropped."""
    project.source.execute("select pg_drop_replication_slot(%s)", (slot_of(project),))
    return checkpoint(project)


def runs_of_all(project: CliProject) -> list[tuple[str, Reason, str]]:
    return [(run.mapping, run.reason, run.status) for run in runs.pending(project.store)]


def test_every_mapping_is_compared_from_the_new_slot_on(cli_project: CliProject) -> None:
    project = cli_project
    before = drop(project)
    assert positions.recover(project.project)
    after = checkpoint(project)
    found = slot.inspect(project.source, slot_of(project))
    assert found is not None
    assert found.confirmed_lsn == after.end_lsn > before.end_lsn
    assert runs_of_all(project) == [("parts", Reason.RECOVERY, "pending"), ("people", Reason.RECOVERY, "pending")]
    gap = gaps.newest(project.store, slot_of(project))
    assert gap is not None
    assert (gap.from_lsn, gap.to_lsn, gap.open) == (before.end_lsn, after.end_lsn, True)


def test_when_another_worker_did_it_nothing_is_done_twice(cli_project: CliProject) -> None:
    drop(cli_project)
    assert positions.recover(cli_project.project)
    first = checkpoint(cli_project), runs_of_all(cli_project)
    assert positions.recover(cli_project.project)
    assert (checkpoint(cli_project), runs_of_all(cli_project)) == first


def test_a_first_sync_in_progress_stays_one_and_begins_anew(cli_project: CliProject) -> None:
    begun = runs.request(cli_project.store, cli_project.applied("parts").id, Reason.FIRST_SYNC)
    drop(cli_project)
    assert positions.recover(cli_project.project)
    found = {run.mapping: run for run in runs.pending(cli_project.store)}
    assert {name: run.reason for name, run in found.items()} == {"parts": "first_sync", "people": "recovery"}
    assert found["parts"].id != begun


def test_a_slot_without_its_checkpoint_is_the_work_of_a_worker_that_was_killed(cli_project: CliProject) -> None:
    drop(cli_project)
    name = slot_of(cli_project)
    checkpoints.intend(cli_project.store, name)
    slot.create(cli_project.project.settings.source.conninfo(), name)
    assert positions.recover(cli_project.project)
    assert not checkpoints.intended(cli_project.store, name)
    found = slot.inspect(cli_project.source, name)
    assert found is not None
    assert found.confirmed_lsn == checkpoint(cli_project).end_lsn


REFUSED = {
    "another server": "update syncbridge.checkpoint set system_id = '1'",
    "another timeline": "update syncbridge.checkpoint set timeline = 7",
    "a log that ends before": "update syncbridge.checkpoint set end_lsn = 'FFFF/0'",
    "a database that was made anew": "update syncbridge.checkpoint set database_oid = 1",
    "a state from a dump": "update syncbridge.checkpoint set state_oid = 1",
    "no publication": "drop publication {publication}",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_be_a_restored_copy_is_left_to_a_person(cli_project: CliProject, case: str) -> None:
    drop(cli_project)
    statement = REFUSED[case].format(publication=cli_project.project.settings.source.publication)
    cli_project.source.execute(statement.encode())
    before = checkpoint(cli_project), runs_of_all(cli_project)
    assert not positions.recover(cli_project.project)
    assert slot.inspect(cli_project.source, slot_of(cli_project)) is None
    assert (checkpoint(cli_project), runs_of_all(cli_project)) == before


def test_a_gap_that_another_program_made_is_left_to_a_person(cli_project: CliProject) -> None:
    cli_project.source.execute(
        "select pg_replication_slot_advance(%s, pg_current_wal_lsn())"
        " from pg_logical_emit_message(false, 'test', repeat('x', 10000))",
        (slot_of(cli_project),),
    )
    assert not positions.recover(cli_project.project)


def test_what_a_recovery_finds_counts_as_changed_when_the_slot_was_made_anew(cli_project: CliProject) -> None:
    """It was committed before that: a remote change that came later is the newer one."""
    project = cli_project
    drop(project)
    assert positions.recover(project.project)
    (run,) = [run for run in runs.pending(project.store) if run.mapping == "people"]
    project.store.execute("update syncbridge.run set requested_at = requested_at - interval '1 hour'")
    carry(project, run.id)
    found = project.store.execute("select distinct changed_at from syncbridge.outbox").fetchall()
    assert [moment.replace(microsecond=0) for (moment,) in found] == [
        (run.requested_at - timedelta(hours=1)).replace(microsecond=0)
    ]


def carry(project: CliProject, run_id: int) -> None:
    """Step a run of people to its end."""
    with project.project.source("test") as source, project.project.source_admin("test") as admin:
        _, mapping = project.project.compiled(project.store, admin, "people")
        rows.prepare(source)
        for _ in range(20):
            if resync.step(project.store, source, run_id, mapping) is resync.Progress.OVER:
                return
    raise AssertionError("the run does not come to an end")
