"""Whatever may be a restored copy stands still; a person makes a new beginning in which nothing is sent by itself."""

from __future__ import annotations

import pytest

from syncbridge.applying import restored
from syncbridge.applying.apply import apply
from syncbridge.errors import PositionLost, SettingsError
from syncbridge.model import Lsn, MappingStatus, Reason
from syncbridge.source import slot
from syncbridge.source.startup import Reached
from syncbridge.store import checkpoints, links, mappings, runs, way_back
from tests.fix_cli import CliProject

COPIES = {
    "another server": "update syncbridge.checkpoint set system_id = '1'",
    "another timeline": "update syncbridge.checkpoint set timeline = 7",
    "a log that ends before": "update syncbridge.checkpoint set end_lsn = 'FFFF/0'",
}


def statuses(project: CliProject) -> list[MappingStatus]:
    return [mapping.status for mapping in mappings.read_all(project.store).values()]


def coming_back(project: CliProject) -> list[bool]:
    return [way_back.is_active(project.store, each.id) for each in mappings.read_all(project.store).values()]


def test_nothing_stands_still_while_all_is_as_it_was(cli_project: CliProject) -> None:
    restored.refuse(cli_project.project, known=None)
    assert statuses(cli_project) == [MappingStatus.ACTIVE, MappingStatus.ACTIVE]
    assert coming_back(cli_project) == [True, True]


@pytest.mark.parametrize("case", COPIES)
def test_a_copy_halts_every_mapping_with_what_to_do(cli_project: CliProject, case: str) -> None:
    cli_project.source.execute(COPIES[case].encode())
    with pytest.raises(PositionLost, match="this may not be what was synced, after "):
        restored.refuse(cli_project.project)
    assert statuses(cli_project) == [MappingStatus.HALTED, MappingStatus.HALTED]
    assert coming_back(cli_project) == [False, False]
    assert "syncbridge setup --restored" in cli_project.applied().hint


def test_a_state_that_went_back_is_known_by_who_saw_it_further(cli_project: CliProject) -> None:
    checkpoint = checkpoints.read(cli_project.store, cli_project.project.settings.source.slot)
    assert checkpoint is not None
    here = Reached(checkpoint.timeline, checkpoint.end_lsn)
    restored.refuse(cli_project.project, known=here)
    with pytest.raises(PositionLost, match="and had come to"):
        restored.refuse(cli_project.project, known=here._replace(lsn=Lsn(checkpoint.end_lsn + 1)))


@pytest.mark.parametrize("case", COPIES)
def test_recreating_the_slot_is_refused_and_changes_nothing(cli_project: CliProject, case: str) -> None:
    cli_project.source.execute(COPIES[case].encode())
    before = slot.inspect(cli_project.source, cli_project.project.settings.source.slot)
    with pytest.raises(PositionLost) as refused:
        apply(cli_project.project, recreate_slot=True)
    assert "setup --restored" in refused.value.hint
    after = slot.inspect(cli_project.source, cli_project.project.settings.source.slot)
    assert before is not None
    assert after is not None
    assert after.confirmed_lsn == before.confirmed_lsn
    assert list(runs.pending(cli_project.store)) == []


def test_a_new_beginning_pauses_forgets_what_waits_and_keeps_the_links(cli_project: CliProject) -> None:
    project = cli_project
    project.enqueue("1", "2")
    project.deliver()
    project.enqueue("1")
    number = project.applied().id
    runs.request(project.store, number, Reason.RESYNC)
    project.store.execute("update syncbridge.mapping set approved_lsn = 'FFFF/0'")
    project.source.execute(COPIES["another timeline"].encode())
    for _ in range(2):  # it can be done again
        assert project.run("setup", "--restored").code == 0
    assert statuses(project) == [MappingStatus.PAUSED, MappingStatus.PAUSED]
    assert coming_back(project) == [False, False]
    assert "syncbridge reconcile people" in project.applied().hint
    assert project.store.execute("select count(*) from syncbridge.outbox").fetchone() == (0,)
    assert list(runs.pending(project.store)) == []
    assert mappings.approved_until(project.store, number) is None
    assert links.count(project.store, number) == 2
    restored.refuse(project.project)  # all is as it should be now
    found = slot.inspect(project.source, project.project.settings.source.slot)
    checkpoint = checkpoints.read(project.store, project.project.settings.source.slot)
    assert found is not None
    assert checkpoint is not None
    assert found.confirmed_lsn == checkpoint.end_lsn


def test_without_a_checkpoint_there_is_nothing_to_begin_anew(cli_project: CliProject) -> None:
    cli_project.store.execute("delete from syncbridge.checkpoint")
    with pytest.raises(SettingsError, match="nothing was set up"):
        restored.begin_anew(cli_project.project)
    assert statuses(cli_project) == [MappingStatus.ACTIVE, MappingStatus.ACTIVE]


def test_after_a_gap_that_somebody_made_bases_are_not_trusted(cli_project: CliProject) -> None:
    """The state may have been put back to an older one: every field is sent."""
    project = cli_project
    project.source.execute("select pg_logical_emit_message(false, 'test', repeat('x', 10000))")
    project.source.execute(
        "select pg_replication_slot_advance(%s, pg_current_wal_insert_lsn())",
        (project.project.settings.source.slot,),
    )
    apply(project.project, recreate_slot=True)
    assert {(run.reason, run.resend) for run in runs.pending(project.store)} == {(Reason.RECOVERY, True)}


def test_a_slot_that_is_gone_is_made_anew_with_bases_as_they_are(cli_project: CliProject) -> None:
    project = cli_project
    project.source.execute("select pg_drop_replication_slot(%s)", (project.project.settings.source.slot,))
    apply(project.project, recreate_slot=True)
    assert {(run.reason, run.resend) for run in runs.pending(project.store)} == {(Reason.RECOVERY, False)}
