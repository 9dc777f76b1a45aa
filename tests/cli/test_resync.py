"""`syncbridge resync`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncbridge import resync as records
from syncbridge.cli import resync as command
from syncbridge.cli.resync import Parts
from syncbridge.errors import ConfigurationError
from syncbridge.model import Priority, Reason
from syncbridge.store import outbox, runs
from syncbridge.store.runs import Run
from tests.fix_cli import CliProject


def waiting(cli: CliProject) -> list[tuple[str, str, int, bool]]:
    """What stands in the outbox: key, reason, priority, whether every field is sent."""
    return list(cli.store.execute("select key, reason, priority, resend from syncbridge.outbox order by key"))


def run_statuses(cli: CliProject) -> list[str]:
    return [
        status
        for (status,) in cli.store.execute("select status from syncbridge.run where reason = 'resync' order by id")
    ]


@pytest.fixture
def parts(cli_project: CliProject) -> Iterator[Parts]:
    project, store = cli_project.project, cli_project.store
    with project.source_admin("test") as catalog, project.source("test") as source:
        yield Parts(store, source, *project.compiled(store, catalog, "people"))


def test_every_row_is_enqueued_behind_live_changes(cli_project: CliProject) -> None:
    ran = cli_project.run("resync", "people")
    assert ran.code == 0
    assert waiting(cli_project) == [(key, "resync", Priority.BULK, False) for key in ("1", "2", "3")]
    assert run_statuses(cli_project) == ["done"]
    assert ran.out.splitlines() == [
        "people: 3 keys enqueued. The worker compares each with what was last delivered, and sends what differs.",
        "No worker runs, so nothing is sent yet. Run: syncbridge run",
    ]
    assert "3 of 3 keys enqueued" in ran.err


def test_force_sends_every_field(cli_project: CliProject) -> None:
    cli_project.worker()
    ran = cli_project.run("resync", "people", "--force")
    assert all(resend for *_, resend in waiting(cli_project))
    assert "The worker sends every field of each." in ran.out
    assert "To wait for it: syncbridge wait people" in ran.out


def test_where_narrows_it(cli_project: CliProject) -> None:
    cli_project.run("resync", "people", "--where", "first_name like 'A%'")
    assert [key for key, *_ in waiting(cli_project)] == ["1", "2"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("nome = 'x'", 'column "nome" does not exist'),
        ("id = ", "syntax error"),
        ("1 / (id - 2) > 0", "division by zero"),
        ("id = 1; drop table people", "where: this SQL"),
    ],
)
def test_a_wrong_where_is_told_in_postgres_words_and_leaves_no_run(
    cli_project: CliProject, where: str, words: str
) -> None:
    ran = cli_project.run("resync", "people", "--where", where)
    assert ran.code == 2
    assert words in ran.err
    assert run_statuses(cli_project) == []
    assert waiting(cli_project) == []


def test_records_named_by_key_are_enqueued_at_once(cli_project: CliProject) -> None:
    ran = cli_project.run("resync", "people", "--key", "1", "--key", "002", "--key", "1")
    assert waiting(cli_project) == [(key, "resync", Priority.LIVE, False) for key in ("1", "2")]
    assert "people: 2 keys enqueued." in ran.out
    assert run_statuses(cli_project) == []


def test_a_key_without_an_entity_is_enqueued_and_told(cli_project: CliProject) -> None:
    ran = cli_project.run("resync", "people", "--key", "99", "--key", "3", "--key", "1")
    assert [key for key, *_ in waiting(cli_project)] == ["1", "3", "99"]
    assert "No entity now: 3, 99." in ran.out


def test_a_key_of_several_columns_is_a_json_list(cli_project: CliProject) -> None:
    cli_project.run("resync", "parts", "--key", '["acme",7]')
    assert [key for key, *_ in waiting(cli_project)] == ['["acme", "7"]']


@pytest.mark.parametrize(
    ("mapping", "key", "words"),
    [
        ("people", "abc", "'abc' cannot be a key of people: invalid input syntax for type integer"),
        ("parts", "acme", """a key of parts is a JSON list of 2 values, such as '["<maker>", "<number>"]'"""),
        ("parts", '["acme"]', "a JSON list of 2 values"),
    ],
)
def test_what_can_be_no_key_is_refused(cli_project: CliProject, mapping: str, key: str, words: str) -> None:
    ran = cli_project.run("resync", mapping, "--key", key)
    assert ran.code == 2
    assert words in ran.err
    assert waiting(cli_project) == []


def test_key_and_where_exclude_each_other(cli_project: CliProject) -> None:
    assert cli_project.run("resync", "people", "--key", "1", "--where", "true").code == 2


def test_it_goes_on_with_a_run_that_was_left(cli_project: CliProject, parts: Parts) -> None:
    run = runs.request(cli_project.store, parts.applied.id, Reason.RESYNC)
    records.step(cli_project.store, parts.source, run, parts.mapping, page=2)
    assert cli_project.run("resync", "people", "--json").json == {
        "mapping": "people",
        "enqueued": 3,
        "complete": True,
        "run": run,
        "without_row": [],
        "kept": [],
    }
    assert run_statuses(cli_project) == ["done"]


def test_interrupted_it_stays_asked_for_and_says_who_goes_on(
    cli_project: CliProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "step", interrupt)
    ran = cli_project.run("resync", "people")
    assert ran.code == 130
    assert "The resync of people stays asked for: a worker, or this command, goes on with it." in ran.err
    assert run_statuses(cli_project) == ["pending"]


def test_it_leaves_the_rest_to_the_worker_when_enough_waits_and_none_delivers(
    cli_project: CliProject, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ENOUGH_WAITING", 2)
    records.enqueue(cli_project.store, parts.source, parts.applied.id, ["1", "2"], reason=Reason.RESYNC)
    ran = cli_project.run("resync", "people")
    assert ran.code == 0
    assert "That is enough for now" in ran.out
    assert run_statuses(cli_project) == ["pending"]


def test_it_waits_for_delivery_to_catch_up_while_a_worker_delivers(
    cli_project: CliProject, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ENOUGH_WAITING", 2)
    cli_project.worker()
    records.enqueue(cli_project.store, parts.source, parts.applied.id, ["1", "2"], reason=Reason.RESYNC)
    run = runs.request(cli_project.store, parts.applied.id, Reason.RESYNC)
    pauses: list[float] = []

    def deliver(seconds: float) -> None:
        pauses.append(seconds)
        cli_project.deliver()

    assert command._carry(parts, run, lambda shown: None, deliver).status == "done"
    assert pauses == [command.PAUSE] * 2  # before its rows, and before the linked entities whose row is gone


def test_a_run_that_fails_under_way_is_told(cli_project: CliProject, parts: Parts) -> None:
    run = runs.request(cli_project.store, parts.applied.id, Reason.RESYNC, filter="nome = 1")
    seen: list[Run] = []
    with pytest.raises(ConfigurationError, match=r"the resync failed: .*nome"):
        command._carry(parts, run, seen.append, lambda seconds: None)
    assert run_statuses(cli_project) == ["failed"]


def test_a_paused_mapping_is_told(cli_project: CliProject) -> None:
    cli_project.worker()
    cli_project.run("pause", "people")
    assert (
        "people is paused: nothing is sent until `syncbridge resume people`." in cli_project.run("resync", "people").out
    )
