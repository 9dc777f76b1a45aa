"""`syncbridge status`, the snapshot below it, and what of it needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice

import orjson
import psycopg
import pytest

from syncbridge.answers.diagnosis import diagnose
from syncbridge.answers.status import CaptureState, Snapshot, gather
from syncbridge.cli.status import COUNT_LINKS_EVERY, _looks, _watch
from syncbridge.errors import RetryLater
from syncbridge.model import MappingStatus, Reason
from syncbridge.project import Project
from syncbridge.source.slot import SlotFacts
from syncbridge.store import mappings, runs
from tests.fix_cli import CliProject

STREAMING = {"streaming": True, "ready": True, "standby": False, "heartbeat_age": 1.0, "error": ""}


@pytest.fixture
def healthy(cli_project: CliProject) -> CliProject:
    """One worker that captures and delivers."""
    cli_project.worker(
        capture=STREAMING,
        destinations={"memory": {"used": 1200, "allowed": 100_000, "calls": 34, "state": "ok", "share": 80_000}},
    )
    return cli_project


def told(snapshot: Snapshot) -> list[str]:
    return [
        f"{finding.severity} {finding.where}: {finding.message} / {finding.remedy}" for finding in diagnose(snapshot)
    ]


def test_nothing_needs_a_person_when_a_worker_runs_and_nothing_is_dead(healthy: CliProject) -> None:
    ran = healthy.run("status")
    assert ran.code == 0
    assert "!" not in ran.out
    assert "capture  ready" in ran.out
    assert "1,200 of 100,000 calls of the day used, 1.2% (we stop at 80,000); 0 by the workers in 24 h" in ran.out


def test_without_a_worker_it_says_so_on_top_and_fails(cli_project: CliProject) -> None:
    ran = cli_project.run("status")
    assert ran.code == 1
    assert ran.out.splitlines()[0].startswith("! worker: no worker runs")
    assert ran.out.splitlines()[1].strip() == "Run: syncbridge run"


def test_it_counts_what_waits_what_is_tried_again_what_is_dead_and_what_is_linked(healthy: CliProject) -> None:
    healthy.enqueue("1")
    healthy.deliver()
    healthy.kill_off("2")
    healthy.enqueue("1", "3", "4")
    healthy.store.execute("update syncbridge.outbox set attempts = 2 where key = '4'")
    state = next(each for each in gather(healthy.project).mappings if each.name == "people")
    assert (state.pending, state.retrying, state.dead, state.linked) == (3, 1, 1, 1)
    assert state.delivered_per_second == round(1 / 60, 2)
    assert state.lag_seconds is not None
    assert state.last_error_key == "2"


def test_one_mapping_can_be_asked_for(healthy: CliProject) -> None:
    ran = healthy.run("status", "parts")
    assert "parts " in ran.out
    assert "people" not in ran.out


def test_an_unknown_mapping_is_refused_with_the_nearest_name(healthy: CliProject) -> None:
    ran = healthy.run("status", "part")
    assert ran.code == 2
    assert "did you mean 'parts'?" in ran.err


@pytest.mark.parametrize(
    ("status", "words"), [(MappingStatus.HALTED, "halted"), (MappingStatus.GUARD, "stopped by its guard")]
)
def test_a_mapping_that_stands_still_needs_a_person(healthy: CliProject, status: MappingStatus, words: str) -> None:
    mappings.set_status(healthy.store, healthy.applied().id, status, reason="the field is gone", hint="Mend it.")
    ran = healthy.run("status")
    assert ran.code == 1
    assert [line.strip() for line in ran.out.splitlines()[:2]] == [f"! people: {words}: the field is gone", "Mend it."]


@pytest.mark.parametrize("status", [MappingStatus.PAUSED, MappingStatus.WAITING])
def test_a_mapping_that_was_paused_or_waits_is_shown_with_its_reason_but_needs_nobody(
    healthy: CliProject, status: MappingStatus
) -> None:
    mappings.set_status(healthy.store, healthy.applied().id, status, reason="because of this", wait_seconds=60)
    ran = healthy.run("status")
    assert ran.code == 0
    assert "because of this" in ran.out


def test_why_a_mapping_waits_is_told_once(healthy: CliProject) -> None:
    waits, id_ = MappingStatus.WAITING, healthy.applied().id
    mappings.record_error(healthy.store, id_, "no calls are left")
    mappings.set_status(healthy.store, id_, waits, reason="no calls are left", wait_seconds=60)
    assert healthy.run("status").out.count("no calls are left") == 1


def test_dead_letters_need_a_person(healthy: CliProject) -> None:
    healthy.kill_off("1")
    ran = healthy.run("status")
    assert ran.code == 1
    assert "! people: 1 dead letter" in ran.out
    assert "Run: syncbridge dead people" in ran.out
    assert "record 1: STRING_TOO_LONG: refused: STRING_TOO_LONG" in ran.out


def test_a_run_in_progress_is_shown(healthy: CliProject) -> None:
    run = runs.request(healthy.store, healthy.applied().id, Reason.RESYNC, filter="id < [9]", resend=True)
    assert "people  resync in full where id < [9]: asked for, not begun" in healthy.run("status").out
    runs.set_total(healthy.store, run, 400)
    runs.advance(healthy.store, run, phase="rows", after="100", enqueued=100)
    assert "100 of 400 keys enqueued, 25%" in healthy.run("status").out


def test_a_failed_run_needs_a_person_until_another_one_is_over(healthy: CliProject) -> None:
    mapping = healthy.applied().id
    runs.fail(healthy.store, runs.request(healthy.store, mapping, Reason.RESYNC), "no such column")
    assert told(gather(healthy.project)) == [
        "warning people: its last resync failed: no such column / Mend it, then run: syncbridge resync people"
    ]
    runs.request(healthy.store, mapping, Reason.RESYNC)
    assert told(gather(healthy.project)) == []


def test_capture_that_stopped_is_told_with_its_reason(cli_project: CliProject) -> None:
    cli_project.worker(capture={**STREAMING, "streaming": False}, capture_stopped="the slot is lost. Recreate it.")
    ran = cli_project.run("status")
    assert ran.code == 1
    assert "! capture: capture has stopped: the slot is lost. Recreate it." in ran.out


def test_fewer_calls_in_flight_are_shown_with_the_reason(healthy: CliProject) -> None:
    lowered = "2 of 4 calls in flight, after SERVER_UNAVAILABLE: busy"
    healthy.worker(capture=STREAMING, destinations={"memory": {"calls": 3, "state": "ok", "lowered": lowered}})
    ran = healthy.run("status", "--json")
    assert orjson.loads(ran.out)["destinations"][0]["lowered"] == lowered
    assert lowered in " ".join(healthy.run("status").out.split())


def test_a_slot_that_is_missing_is_told_with_what_to_do(healthy: CliProject) -> None:
    healthy.source.execute("select pg_drop_replication_slot(%s)", (healthy.project.settings.source.slot,))
    ran = healthy.run("status")
    assert ran.code == 1
    assert "does not exist" in ran.out
    assert "syncbridge setup --recreate-slot" in ran.out


def test_json_holds_the_snapshot_and_the_findings(healthy: CliProject) -> None:
    healthy.kill_off("1")
    ran = healthy.run("status", "--json")
    assert ran.code == 1
    assert [each["name"] for each in ran.json["mappings"]] == ["parts", "people"]
    assert ran.json["findings"][0]["where"] == "people"
    assert "/" in ran.json["capture"]["checkpoint"]


def test_a_source_that_is_away_is_a_finding_not_a_failure(healthy: CliProject, dsn: str) -> None:
    settings = healthy.project.settings
    moved = settings.model_copy(
        update={
            "source": settings.source.model_copy(update={"dsn": None, "host": "/nowhere", "dbname": "app"}),
            "store": settings.store.model_copy(update={"dsn": settings.source.dsn}),
        }
    )
    with Project(moved) as project:
        snapshot = gather(project)
    assert [each.name for each in snapshot.mappings] == ["parts", "people"]
    assert [finding.where for finding in diagnose(snapshot)] == ["source"]


def test_the_state_may_live_in_another_database(cli_folder: object, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from syncbridge import config
    from syncbridge.applying.apply import apply

    with psycopg.connect(dsn, autocommit=True) as admin:
        state = f"{admin.info.dbname}_state"
        admin.execute(f'create database "{state}"')
    try:
        environment = {
            "SYNCBRIDGE_POSTGRES_DSN": dsn,
            "SYNCBRIDGE_STORE__DSN": psycopg.conninfo.make_conninfo(dsn, dbname=state),
        }
        with Project(config.load(None, environment)) as project:
            apply(project)
            snapshot = gather(project)
        assert [each.name for each in snapshot.mappings] == ["parts", "people"]
        assert snapshot.capture.lag_bytes is not None
    finally:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(f'drop database "{state}" with (force)')


def with_slot(snapshot: Snapshot, **changes: object) -> Snapshot:
    slot = snapshot.capture.slot
    assert isinstance(slot, SlotFacts)
    return replace(snapshot, capture=replace(snapshot.capture, slot=replace(slot, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wal_status": "lost"}, "is lost"),
        ({"wal_status": "unreserved"}, "about to be lost"),
        ({"safe_wal_size": 1_000_000, "retained_bytes": 9_000_000}, "is at risk: 1 MB more log"),
        ({"retained_bytes": 20_000_000_000}, "keeps 20,000 MB of log"),
    ],
)
def test_a_slot_at_risk_is_told_before_it_is_lost(healthy: CliProject, changes: dict[str, object], words: str) -> None:
    findings = diagnose(with_slot(gather(healthy.project), **changes))
    assert [words in finding.message for finding in findings] == [True]


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"streaming": False, "ready": False, "error": "no free WAL sender"}, "no worker reads the slot: no free WAL"),
        ({"ready": False, "heartbeat_age": None}, "nothing comes through the stream"),
        ({"ready": False, "heartbeat_age": 95.0}, "the last heartbeat came back 95 s ago"),
    ],
)
def test_capture_that_is_not_ready_is_told_once_its_worker_had_time_to_start(
    healthy: CliProject, figures: dict[str, object], words: str
) -> None:
    snapshot = gather(healthy.project)
    capture = CaptureState(**{**{f: getattr(snapshot.capture, f) for f in CaptureState.__slots__}, **figures})
    starting = replace(snapshot, capture=capture)
    assert diagnose(starting) == []
    worker = snapshot.workers[0]
    settled = replace(starting, workers=(replace(worker, started_at=worker.seen_at - timedelta(minutes=5)),))
    assert [words in finding.message for finding in diagnose(settled)] == [True]


def test_a_role_that_no_worker_has_is_told(cli_project: CliProject) -> None:
    cli_project.worker(roles=["capture"], capture=STREAMING)
    assert told(gather(cli_project.project))[0].startswith("error worker: no worker delivers")


def test_workers_that_vanished_are_told_apart(cli_project: CliProject) -> None:
    cli_project.worker()
    cli_project.store.execute("update syncbridge.worker set seen_at = now() - interval '1 hour'")
    ran = cli_project.run("status")
    assert ran.code == 1
    assert "was last seen" in ran.out


def test_watching_goes_on_until_it_is_interrupted(healthy: CliProject, capsys: pytest.CaptureFixture[str]) -> None:
    pauses: Iterator[None] = iter([None])

    def pause(seconds: float) -> None:
        if next(pauses, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    _watch(healthy.project, None, json=True, pause=pause)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_watching_counts_links_only_now_and_then(healthy: CliProject) -> None:
    healthy.enqueue("1")
    healthy.deliver()
    looks = islice(_looks(healthy.project, "people", lambda seconds: None), COUNT_LINKS_EVERY + 1)
    linked = []
    for turn, look in enumerate(looks):
        assert isinstance(look, Snapshot)
        linked.append(look.mappings[0].linked)
        if turn == 0:
            healthy.enqueue("2")
            healthy.deliver()
    assert linked == [1] * COUNT_LINKS_EVERY + [2]


def test_watching_outlives_a_postgres_that_goes_away(healthy: CliProject) -> None:
    settings = healthy.project.settings
    away = settings.model_copy(
        update={
            "store": settings.store.model_copy(update={"dsn": None}),
            "source": settings.source.model_copy(update={"dsn": None, "host": "/nowhere", "dbname": "app"}),
        }
    )
    looks = list(islice(_looks(Project(away), None, lambda seconds: None), 2))
    assert [type(look) for look in looks] == [RetryLater, RetryLater]
