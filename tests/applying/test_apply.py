"""Putting files in force: interrupted after whatever step, the next time comes to the same end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from syncbridge import config
from syncbridge.applying.apply import apply
from syncbridge.applying.planning import Decisions
from syncbridge.errors import PositionLost, SettingsError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import Fields, Reason
from syncbridge.project import Project
from syncbridge.resync import Progress, step
from syncbridge.store import claims, conflicts, forget, links, mappings, runs
from tests.fix_cli import PARTS, PEOPLE, CliProject, open_cli_project

TOOLS = "create table tools (id int primary key, name text); insert into tools values (1, 'Saw')"
TOOLS_FILE = """
mapping: tools
destination: memory
object: Part
entity: {table: public.tools, key: id}
external_id: Part_Key__c
fields: {Name: name}
"""
WITHOUT_EMAIL = PEOPLE.replace("  Email: {column: email, sensitive: true}\n", "")


class Killed(Exception):
    """Stands for the end of the process."""


def killed_after(count: int) -> Callable[[str], None]:
    """Ends `apply` right after its step number `count`."""
    done: list[str] = []

    def told(step: str) -> None:
        done.append(step)
        if len(done) == count:
            raise Killed(step)

    return told


def in_force(cli: CliProject) -> dict[str, Any]:
    """Everything that `apply` leaves behind, without numbers and moments."""
    sql = cli.store.execute
    slot = cli.project.settings.source.slot
    return {
        "mappings": sql("select name, object, definition::text from syncbridge.mapping order by name").fetchall(),
        "runs": sql(
            "select m.name, r.reason, r.status, r.barrier is not null from syncbridge.run r"
            " join syncbridge.mapping m on m.id = r.mapping_id where r.status in ('asked', 'pending') order by 1, 2"
        ).fetchall(),
        "published": sql(
            "select tablename, attnames::text from pg_publication_tables where pubname = %s order by 1", (slot,)
        ).fetchall(),
        "checkpoints": sql("select slot from syncbridge.checkpoint").fetchall(),
        "intents": sql("select slot from syncbridge.slot_intent").fetchall(),
        "slots": sql("select slot_name from pg_replication_slots where slot_name = %s", (slot,)).fetchall(),
        "links": sql("select mapping_id, key from syncbridge.link order by 1, 2").fetchall(),
    }


def write(cli: CliProject, name: str, text: str | None) -> None:
    """Write a mapping file, or take it away."""
    file = cli.folder / "mappings" / f"{name}.yaml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


def change_everything(cli: CliProject) -> Decisions:
    """A new mapping, a changed one with another table beside, one that is removed."""
    with suppress(psycopg.errors.DuplicateTable):
        cli.source.execute(TOOLS)
    write(cli, "tools", TOOLS_FILE)
    write(cli, "people", WITHOUT_EMAIL)
    write(cli, "parts", None)
    return Decisions(remove=frozenset({"parts"}))


def steps_of_a_change(cli: CliProject) -> list[str]:
    return apply(cli.project, decisions=change_everything(cli)).steps


EXPECTED = {"people": ("resync", "pending", True), "tools": ("first_sync", "pending", True)}


@pytest.mark.parametrize("kill", range(1, 9))
def test_interrupted_after_any_step_it_goes_on_where_it_was(cli_project: CliProject, kill: int) -> None:
    decisions = change_everything(cli_project)
    with suppress(Killed):
        apply(cli_project.project, decisions=decisions, told=killed_after(kill))
    gone = "parts" not in mappings.read_all(cli_project.store)
    apply(cli_project.project, decisions=Decisions() if gone else decisions)
    found = in_force(cli_project)
    assert [name for name, *_ in found["mappings"]] == ["people", "tools"]
    assert {name: tuple(rest) for name, *rest in found["runs"]} == EXPECTED
    assert len(found["runs"]) == 2
    assert found["published"] == [("people", "{id}"), ("tools", "{id}")]
    assert apply(cli_project.project).steps == []


def test_that_change_has_seven_steps(cli_project: CliProject) -> None:
    assert len(steps_of_a_change(cli_project)) == 7


@pytest.mark.parametrize("kill", range(1, 9))
def test_a_first_installation_is_interrupted_after_any_step(cli_folder: Path, dsn: str, kill: int) -> None:
    with Project(config.load(cli_folder / "syncbridge.toml", os.environ)) as project:
        with suppress(Killed):
            apply(project, told=killed_after(kill))
        apply(project)
        with project.store("test") as store:
            waiting = [(run.mapping, run.reason, run.status) for run in runs.pending(store)]
    assert sorted(waiting) == [
        ("parts", Reason.FIRST_SYNC, "pending"),
        ("people", Reason.FIRST_SYNC, "pending"),
    ]


@pytest.mark.parametrize("kill", [1, 2])
def test_recreating_the_slot_can_be_interrupted_and_every_mapping_is_compared(
    cli_project: CliProject, kill: int
) -> None:
    with suppress(Killed):
        apply(cli_project.project, recreate_slot=True, told=killed_after(kill))
    apply(cli_project.project)
    found = in_force(cli_project)
    assert [(name, reason) for name, reason, *_ in found["runs"]] == [("parts", "recovery"), ("people", "recovery")]
    assert found["slots"]
    assert found["intents"] == []


def test_a_slot_whose_checkpoint_was_never_written_is_made_anew(cli_project: CliProject) -> None:
    cli_project.store.execute("insert into syncbridge.slot_intent (slot) select slot from syncbridge.checkpoint")
    cli_project.store.execute("delete from syncbridge.checkpoint")
    steps = apply(cli_project.project).steps
    assert steps[0].endswith("dropped")
    assert "created at" in steps[1]


def test_a_slot_that_is_gone_is_refused_before_anything_is_done(cli_project: CliProject) -> None:
    cli_project.source.execute("select pg_drop_replication_slot(slot) from syncbridge.checkpoint")
    change_everything(cli_project)
    before = in_force(cli_project)
    with pytest.raises(PositionLost, match="is gone"):
        apply(cli_project.project, decisions=Decisions(remove=frozenset({"parts"})))
    assert in_force(cli_project) == before


# -- what becomes of links --------------------------------------------------------------------------------------------


@pytest.fixture
def linked(cli_project: CliProject) -> CliProject:
    """Two people are delivered."""
    cli_project.enqueue("1", "2")
    cli_project.deliver()
    assert len(cli_project.destination.stored("Contact")) == 2
    return cli_project


MOVED = {
    "object": PEOPLE.replace("object: Contact", "object: Part").replace("Person_Key__c", "Part_Key__c"),
    "external_id": PEOPLE.replace("external_id: Person_Key__c", "external_id: Other_Key__c"),
    "entity.key": PEOPLE.replace("key: id", "key: email"),
}


@pytest.mark.parametrize("part", MOVED)
def test_other_records_are_refused_until_a_person_says_relink(linked: CliProject, part: str) -> None:
    linked.source.execute("alter table people alter email set not null, add unique (email), replica identity full")
    write(linked, "people", MOVED[part])
    with pytest.raises(SettingsError, match=part) as refused:
        apply(linked.project)
    assert "--relink people" in refused.value.hint
    number = linked.applied().id
    assert links.count(linked.store, number) == 2
    apply(linked.project, decisions=Decisions(relink=frozenset({"people"})))
    assert links.count(linked.store, number) == 0
    assert len(linked.destination.stored("Contact")) == 2
    assert [(run.reason, run.mapping) for run in runs.pending(linked.store)] == [(Reason.FIRST_SYNC, "people")]
    assert apply(linked.project).steps == []


def test_old_records_are_deleted_when_asked_and_only_while_nothing_delivers(linked: CliProject) -> None:
    write(linked, "people", MOVED["object"])
    decisions = Decisions(relink=frozenset({"people"}), delete_old=True)
    with pytest.raises(SettingsError, match="only be deleted while it is paused"):
        apply(linked.project, decisions=decisions)
    assert linked.run("pause", "people").code == 0
    steps = apply(linked.project, decisions=decisions).steps
    assert "mapping people: 2 old records deleted" in steps
    assert linked.destination.stored("Contact") == {}


def test_a_mapping_that_is_removed_leaves_its_records_and_nothing_else(linked: CliProject) -> None:
    number = linked.applied().id
    linked.enqueue("1")
    write(linked, "people", None)
    with pytest.raises(SettingsError, match="no file for mapping people"):
        apply(linked.project)
    apply(linked.project, decisions=Decisions(remove=frozenset({"people"})))
    assert len(linked.destination.stored("Contact")) == 2
    for table in ("outbox", "link", "fan_out", "awaited", "conflict", "guard_count", "run"):
        left = linked.store.execute(f"select 1 from syncbridge.{table} where mapping_id = %s", (number,)).fetchall()
        assert left == [], table


def test_a_paused_mapping_without_a_file_rests_and_stays_published(linked: CliProject) -> None:
    assert linked.run("pause", "people").code == 0
    write(linked, "people", None)
    assert apply(linked.project).steps == []
    assert [name for name, _ in in_force(linked)["published"]] == ["parts", "people"]


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        (Decisions(remove=frozenset({"people"})), "its file is there"),
        (Decisions(remove=frozenset({"peeple"})), "no mapping of this name"),
        (Decisions(relink=frozenset({"peeple"})), "no mapping of this name"),
        (Decisions(delete_old=True), "goes with --relink"),
    ],
)
def test_decisions_about_nothing_are_refused(cli_project: CliProject, decisions: Decisions, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        apply(cli_project.project, decisions=decisions)


# -- delivery by what is in force -------------------------------------------------------------------------------------


def test_a_lane_that_knows_an_older_mapping_claims_nothing(cli_project: CliProject) -> None:
    old = cli_project.applied().digest
    cli_project.enqueue("1")
    write(cli_project, "people", WITHOUT_EMAIL)
    apply(cli_project.project)
    number = cli_project.applied().id
    assert claims.claim(cli_project.store, number, limit=10, lease=60.0, digest=old)[1] == []
    now = cli_project.applied().digest
    assert len(claims.claim(cli_project.store, number, limit=10, lease=60.0, digest=now)[1]) == 1


def test_what_another_version_wrote_in_another_way_is_delivered_all_the_same(cli_project: CliProject) -> None:
    cli_project.store.execute("update syncbridge.mapping set digest = 'of another version'")
    cli_project.enqueue("1")
    cli_project.deliver()
    assert len(cli_project.destination.stored("Contact")) == 1


def test_what_capture_enqueued_for_a_mapping_that_went_is_swept_away(cli_project: CliProject) -> None:
    cli_project.enqueue("1")
    cli_project.store.execute("delete from syncbridge.mapping where name = 'people'")
    forget.strays(cli_project.store)
    assert cli_project.store.execute("select 1 from syncbridge.outbox").fetchall() == []


@pytest.fixture
def known(cli_project: CliProject) -> Iterator[CompiledMapping]:
    """The mapping of people as it was compiled before the files changed."""
    with cli_project.project.source_admin("test") as catalog:
        yield cli_project.project.compiled(cli_project.store, catalog, "people")[1]


def test_a_run_waits_for_a_worker_that_knows_the_mapping_in_force(
    cli_project: CliProject, known: CompiledMapping
) -> None:
    write(cli_project, "people", WITHOUT_EMAIL)
    run = apply(cli_project.project).runs["people"]
    with cli_project.project.source("test") as source:
        assert step(cli_project.store, source, run, known) is Progress.WAITS
    assert runs.read(cli_project.store, run).enqueued == 0


def test_a_resync_under_way_is_replaced_because_it_looked_by_the_old_mapping(
    cli_project: CliProject, known: CompiledMapping
) -> None:
    half = runs.request(cli_project.store, cli_project.applied().id, Reason.RESYNC)
    with cli_project.project.source("test") as source:
        step(cli_project.store, source, half, known, page=1)
    write(cli_project, "people", WITHOUT_EMAIL)
    anew = apply(cli_project.project).runs["people"]
    assert anew != half
    assert runs.read(cli_project.store, half).status == "cancelled"


def test_a_field_that_comes_back_is_no_longer_in_any_base(linked: CliProject) -> None:
    number = linked.applied().id
    write(linked, "people", WITHOUT_EMAIL)
    apply(linked.project)
    write(linked, "people", PEOPLE)
    apply(linked.project)
    link = links.read(linked.store, number, "1")
    assert link is not None
    assert "Email" not in link.base
    assert link.base["FirstName"] == "Ada"


def test_bases_are_pruned_page_by_page_whatever_the_case_of_the_name(linked: CliProject) -> None:
    number = linked.applied().id
    forget.fields(linked.store, number, ["EMAIL"], page=1)
    assert [each.base.keys() & {"Email"} for key in "12" if (each := links.read(linked.store, number, key))] == [
        set(),
        set(),
    ]


def test_what_related_rows_touched_gives_way_to_the_run_over_all_rows(cli_project: CliProject) -> None:
    fan_out = (
        "insert into syncbridge.fan_out (mapping_id, relation, key, lsn, commit_time, since_lsn, since)"
        " values (%s, 'company', '7', '0/1', now(), '0/1', now())"
    )
    cli_project.store.execute(fan_out, (cli_project.applied().id,))
    write(cli_project, "people", WITHOUT_EMAIL)
    apply(cli_project.project)
    assert cli_project.store.execute("select 1 from syncbridge.fan_out").fetchall() == []


def test_mappings_that_look_up_a_relinked_one_are_composed_again(cli_project: CliProject) -> None:
    cli_project.source.execute("create table notes (id int primary key, person int); insert into notes values (1, 2)")
    notes = (
        "mapping: notes\ndestination: memory\nobject: Part\nentity: {table: public.notes, key: id}\n"
        "external_id: Part_Key__c\nfields: {Name: {lookup: people, key: person}}\n"
    )
    write(cli_project, "notes", notes)
    apply(cli_project.project)
    cli_project.finish_runs()
    apply(cli_project.project, decisions=Decisions(relink=frozenset({"people"})))
    assert [(run.mapping, run.reason) for run in runs.pending(cli_project.store)] == [
        ("notes", Reason.RESYNC),
        ("people", Reason.FIRST_SYNC),
    ]


def test_a_change_of_the_guard_alone_composes_nothing_again(cli_project: CliProject) -> None:
    write(cli_project, "parts", PARTS + "guard: {deletes: 7 per day}\n")
    assert apply(cli_project.project).steps == ["mapping parts: changed"]
    assert runs.pending(cli_project.store) == []


def test_other_fields_to_match_on_have_another_look_at_what_is_held(cli_project: CliProject) -> None:
    file = cli_project.folder / "mappings" / "people.yaml"
    file.write_text(PEOPLE + "match_on: Email\n")
    apply(cli_project.project)
    for name in ("Ada", "Augusta"):
        fields: Fields = {"Email": "ada@example.com", "LastName": "Lovelace", "FirstName": name}
        cli_project.destination.put("Contact", fields)
    cli_project.enqueue("1")
    cli_project.deliver()
    assert [each.key for each in conflicts.held(cli_project.store)] == ["1"]
    file.write_text(PEOPLE + "match_on: [Email, FirstName]\n")
    apply(cli_project.project)
    assert cli_project.deliver() == 1
    assert links.count(cli_project.store, cli_project.applied().id) == 1
    assert len(cli_project.destination.stored("Contact")) == 2
    assert cli_project.store.execute("select count(*) from syncbridge.conflict").fetchone() == (0,)


def test_two_projects_of_one_folder_are_the_same(cli_folder: Path, dsn: str) -> None:
    with open_cli_project(cli_folder, dsn) as first:
        assert apply(first.project).steps == []
