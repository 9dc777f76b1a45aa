"""`syncbridge wait`, and the waiting below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from syncbridge.answers.waiting import PATIENCE, Verdict, Waited, wait_until_delivered
from syncbridge.errors import SettingsError
from syncbridge.model import Lsn, MappingStatus, Priority, Reason
from syncbridge.source import rows
from syncbridge.store import fan_out, forget, mappings, outbox, runs
from tests.fix_cli import CliProject


@dataclass
class Wait:
    """Waiting during whose pauses the test does what it likes, and the clock goes on by a second."""

    cli: CliProject
    meanwhile: Callable[[], object] = lambda: None
    now: float = 0.0
    looks: list[Waited] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        self.now += 1.0
        self.meanwhile()

    def run(self, *, mapping: str | None = None, timeout: float = 300.0) -> Waited:
        with self.cli.project.source_admin("test") as source:
            return wait_until_delivered(
                self.cli.store,
                source,
                slot=self.cli.project.settings.source.slot,
                mapping=mapping,
                timeout=timeout,
                pause=self.pause,
                clock=lambda: self.now,
                look=self.looks.append,
            )


@pytest.fixture
def wait(cli_project: CliProject) -> Wait:
    """Nobody but the test does anything."""
    return Wait(cli_project)


@pytest.fixture
def captured(cli_project: CliProject) -> CliProject:
    """The checkpoint is past everything that the test will write."""
    cli_project.skip_capture()
    return cli_project


def test_a_change_committed_before_is_captured_and_delivered_before_it_returns(wait: Wait) -> None:
    cli = wait.cli
    cli.worker()
    cli.source.execute("update people set first_name = 'Augusta' where id = 1")
    capture = cli.capture()
    wait.meanwhile = lambda: (capture.step(), cli.deliver())
    try:
        waited = wait.run()
    finally:
        capture.close()
    assert waited.verdict is Verdict.DELIVERED
    assert wait.looks[0].behind > 0
    assert waited.behind == 0
    assert [record["FirstName"] for record in cli.destination.stored("Contact").values()] == ["Augusta"]


def test_what_is_committed_while_it_waits_is_not_waited_for(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1")

    def enqueue_another_and_deliver_the_first() -> None:
        captured.deliver()
        captured.source.execute("select pg_logical_emit_message(true, 'test', 'moves the position')")
        captured.enqueue("2")

    wait.meanwhile = enqueue_another_and_deliver_the_first
    assert wait.run().verdict is Verdict.DELIVERED
    assert len(wait.looks) == 2


def test_a_run_asked_for_before_and_all_that_it_enqueues_is_waited_for(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    run = runs.request(captured.store, captured.applied().id, Reason.RESYNC)

    def end_the_run() -> None:
        captured.source.execute("select pg_logical_emit_message(true, 'test', 'moves the position')")
        captured.enqueue("1", reason=Reason.RESYNC)
        runs.advance(captured.store, run, phase="done", after=None, enqueued=1)
        wait.meanwhile = captured.deliver

    wait.meanwhile = end_the_run
    waited = wait.run()
    assert waited.verdict is Verdict.DELIVERED
    assert [(look.left[0].runs, look.left[0].pending) for look in wait.looks[:2]] == [(1, 0), (0, 1)]


def test_join_keys_are_waited_for_and_then_the_records_that_they_concern(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    applied = captured.applied()
    position = int(Lsn.parse(rows.position(captured.source)))
    fan_out.enqueue(captured.store, {(applied.id, "company"): {b"10": (position, 0)}})

    def pass_on() -> None:
        captured.source.execute("select pg_logical_emit_message(true, 'test', 'moves the position')")
        outbox.enqueue(
            captured.store,
            applied.id,
            ["1"],
            reason=Reason.RELATED,
            priority=Priority.LIVE,
            lsn=Lsn(position),
            moment=datetime.now(UTC),
        )
        fan_out.discard(captured.store, applied.id)
        wait.meanwhile = captured.deliver

    wait.meanwhile = pass_on
    assert wait.run().verdict is Verdict.DELIVERED
    assert [look.pending for look in wait.looks] == [1, 1, 0]


def test_the_run_that_a_truncated_related_table_needs_is_waited_for_though_it_began_later(
    wait: Wait, cli_project: CliProject
) -> None:
    cli_project.worker()

    def capture_it_and_carry_the_run() -> None:
        """The run is over before anybody looks again; what it enqueued stands at a later position."""
        run = runs.request(cli_project.store, cli_project.applied().id, Reason.TRUNCATE)
        cli_project.skip_capture()
        cli_project.source.execute("select pg_logical_emit_message(true, 'test', 'moves the position')")
        cli_project.enqueue("1", reason=Reason.TRUNCATE)
        runs.advance(cli_project.store, run, phase="done", after=None, enqueued=1)
        wait.meanwhile = cli_project.deliver

    wait.meanwhile = capture_it_and_carry_the_run
    assert wait.run().verdict is Verdict.DELIVERED
    assert [look.pending for look in wait.looks if not look.behind] == [1, 0]


def test_a_run_whose_apply_is_not_through_is_waited_for(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    run = runs.ask(captured.store, captured.applied().id, Reason.FIRST_SYNC)

    def end_the_run() -> None:
        runs.open_asked(captured.store, barrier=rows.next_transaction(captured.source))
        runs.advance(captured.store, run, phase="done", after=None, enqueued=0)

    wait.meanwhile = end_the_run
    assert wait.run().verdict is Verdict.DELIVERED
    assert [sum(each.runs for each in look.left) for look in wait.looks] == [1, 0]


def test_the_run_that_takes_the_place_of_one_is_waited_for_too(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    mapping = captured.applied().id
    runs.request(captured.store, mapping, Reason.RESYNC)
    turns = iter(["ask", "finish"])

    def meanwhile() -> None:
        if next(turns) == "ask":
            runs.ask(captured.store, mapping, Reason.RESYNC)
        else:
            _finish(captured, mapping)

    wait.meanwhile = meanwhile
    assert wait.run().verdict is Verdict.DELIVERED
    assert [sum(each.runs for each in look.left) for look in wait.looks] == [1, 1, 0]


def _finish(captured: CliProject, mapping: int) -> None:
    runs.open_asked(captured.store, barrier=rows.next_transaction(captured.source))
    (run,) = runs.pending(captured.store)
    assert run.mapping_id == mapping
    runs.advance(captured.store, run.id, phase="done", after=None, enqueued=0)


def test_a_mapping_that_is_removed_while_its_run_is_waited_for_is_waited_for_no_more(
    wait: Wait, captured: CliProject
) -> None:
    captured.worker()
    mapping = captured.applied().id
    run = runs.request(captured.store, mapping, Reason.RESYNC)

    def remove() -> None:
        with captured.store.transaction():
            forget.mapping(captured.store, mapping)

    wait.meanwhile = remove
    assert wait.run().verdict is Verdict.DELIVERED
    with pytest.raises(SettingsError, match="its mapping was removed"):
        runs.read(captured.store, run)


def test_a_run_that_fails_is_told(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    run = runs.request(captured.store, captured.applied().id, Reason.RESYNC)
    wait.meanwhile = lambda: runs.fail(captured.store, run, "no such column")
    waited = wait.run()
    assert waited.verdict is Verdict.UNSOUND
    assert waited.left[0].failed == "no such column"


def test_it_gives_up_in_time_and_says_what_is_missing(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1", "2")
    waited = wait.run(timeout=3)
    assert waited.verdict is Verdict.TIMEOUT
    assert waited.seconds == 3
    assert (waited.pending, waited.left[0].mapping) == (2, "people")


@pytest.mark.parametrize("status", [MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.GUARD])
def test_it_does_not_wait_for_a_mapping_that_needs_a_person(
    wait: Wait, captured: CliProject, status: MappingStatus
) -> None:
    captured.worker()
    captured.enqueue("1")
    mappings.set_status(captured.store, captured.applied().id, status, reason="because")
    waited = wait.run()
    assert waited.verdict is Verdict.STUCK
    assert "people is" in waited.why
    assert "because" in waited.why
    assert waited.remedy == "Run: syncbridge resume people"
    assert waited.seconds == 0


def test_it_delivers_all_else_before_it_says_that_a_mapping_needs_a_person(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1")
    captured.enqueue('["acme", "7"]', mapping="parts")
    mappings.set_status(captured.store, captured.applied("parts").id, MappingStatus.PAUSED)
    wait.meanwhile = captured.deliver
    waited = wait.run()
    assert waited.verdict is Verdict.STUCK
    assert [each.mapping for each in waited.left] == ["parts"]


def test_a_mapping_that_waits_for_its_destination_is_waited_for(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1")
    mappings.set_status(captured.store, captured.applied().id, MappingStatus.WAITING, wait_seconds=60)
    assert wait.run(timeout=5).verdict is Verdict.TIMEOUT


def test_one_mapping_can_be_waited_for_alone(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1")
    assert wait.run(mapping="parts").verdict is Verdict.DELIVERED


def test_dead_letters_among_what_was_waited_for_are_counted(wait: Wait, captured: CliProject) -> None:
    captured.worker()
    captured.kill_off("1")
    waited = wait.run()
    assert waited.verdict is Verdict.UNSOUND
    assert waited.dead == 1


def test_without_a_worker_it_has_patience_and_then_says_so(wait: Wait, captured: CliProject) -> None:
    captured.enqueue("1")
    waited = wait.run()
    assert waited.verdict is Verdict.STUCK
    assert waited.why == "no worker runs that could deliver"
    assert waited.seconds == PATIENCE


def test_a_worker_that_comes_in_time_is_enough(wait: Wait, captured: CliProject) -> None:
    captured.enqueue("1")
    wait.meanwhile = lambda: (captured.worker(), captured.deliver())
    assert wait.run().verdict is Verdict.DELIVERED


def test_capture_that_needs_a_person_is_not_waited_for(wait: Wait) -> None:
    wait.cli.worker(capture_stopped="the slot is lost.")
    waited = wait.run()
    assert waited.verdict is Verdict.STUCK
    assert waited.why == "capture has stopped: the slot is lost."


def test_what_was_never_set_up_is_told_at_once_and_as_status_tells_it(cli_project: CliProject) -> None:
    cli_project.store.execute("delete from syncbridge.mapping")
    cli_project.store.execute("delete from syncbridge.checkpoint")
    ran = cli_project.run("wait")
    assert ran.code == 4
    assert ran.out == "cannot finish: capture was never set up.\nRun: syncbridge setup\n"
    assert "capture: capture was never set up" in cli_project.run("status").out


def test_the_command_says_that_all_is_delivered(captured: CliProject) -> None:
    ran = captured.run("wait")
    assert (ran.code, ran.out.split(" in ")[0].rsplit(" ", 1)[0]) == (0, "delivered all that was committed before")


def test_the_command_fails_with_4_when_a_person_must_act(captured: CliProject) -> None:
    captured.enqueue("1")
    captured.run("pause", "people", "--reason", "audit")
    ran = captured.run("wait", "people")
    assert ran.code == 4
    assert ran.out.splitlines() == [
        "cannot finish: people is paused: audit.",
        "Missing: people (paused): 1 waiting.",
        "Run: syncbridge resume people",
    ]


def test_a_mapping_that_its_guard_stopped_is_not_resumed_without_a_look(wait: Wait, captured: CliProject) -> None:
    captured.enqueue("1")
    guard, hint = MappingStatus.GUARD, "`syncbridge plan --records people` shows what would be sent."
    mappings.set_status(captured.store, captured.applied().id, guard, reason="too many", hint=hint)
    captured.worker()
    assert wait.run().remedy == hint


def test_the_command_says_why_a_mapping_waits_for_its_destination(captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1")
    waits = MappingStatus.WAITING
    mappings.set_status(captured.store, captured.applied().id, waits, reason="no calls are left", wait_seconds=60)
    assert "people (waiting: no calls are left): 1 waiting." in captured.run("wait", "--timeout", "0s").out


def test_the_command_fails_with_3_when_it_takes_too_long(captured: CliProject) -> None:
    captured.worker()
    captured.enqueue("1", "2")
    ran = captured.run("wait", "--timeout", "0s")
    assert ran.code == 3
    assert "people: 2 waiting." in ran.out


def test_the_command_fails_with_1_when_dead_letters_are_left(captured: CliProject) -> None:
    captured.kill_off("1")
    ran = captured.run("wait")
    assert ran.code == 1
    assert "but for: people: 1 dead letter" in ran.out
    assert "syncbridge dead people" in ran.out


def test_the_command_prints_json(captured: CliProject) -> None:
    ran = captured.run("wait", "--json")
    assert ran.code == 0
    assert (ran.json["verdict"], ran.json["pending"], ran.json["left"]) == ("delivered", 0, [])
    assert "/" in ran.json["position"]


def test_an_unknown_mapping_is_refused_with_the_nearest_name(cli_project: CliProject) -> None:
    ran = cli_project.run("wait", "peeple")
    assert ran.code == 2
    assert "no mapping named 'peeple' is in force; did you mean 'people'?" in ran.err
    assert "In force: parts, people." in ran.err


def test_a_time_limit_needs_a_unit(cli_project: CliProject) -> None:
    ran = cli_project.run("wait", "--timeout", "30")
    assert ran.code == 2
    assert "with its unit" in ran.err
