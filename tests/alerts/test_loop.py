"""Looking and sending on a real Postgres, to real receivers: once each, whatever restarts, fails or runs twice."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from syncbridge import config
from syncbridge.alerts import loop as alert_loop
from syncbridge.alerts.loop import AlertLoop
from syncbridge.alerts.targets import targets
from syncbridge.model import MappingStatus, Reason
from syncbridge.project import Project
from syncbridge.store import alerts, mappings, workers
from tests.fix_alerts import SECRET, MailReceiver, WebReceiver
from tests.fix_cli import CliProject

STREAMING = {"streaming": True, "ready": True, "standby": False, "heartbeat_age": 1.0, "error": ""}
USE = {"used": 100, "allowed": 1000, "calls": 10, "state": "ok", "detail": ""}


@dataclass
class Watched:
    """A project in force whose alerts go to a web server and a mail server; the time passes when it is told to."""

    cli: CliProject
    project: Project
    web: WebReceiver
    mail: MailReceiver
    worker: int

    def loop(self) -> AlertLoop:
        return AlertLoop(self.project)

    def look_now(self) -> None:
        """Let the time for the next look have come."""
        self.cli.store.execute("update syncbridge.alert_look set at = null")

    def retry_now(self) -> None:
        self.cli.store.execute("update syncbridge.alert_message set available_at = now()")

    def look(self, loop: AlertLoop) -> None:
        """Look once, and send all that is due."""
        self.look_now()
        send(loop)

    def report(self, **facts: object) -> None:
        given = {"capture": STREAMING, "destinations": {"memory": USE}, **facts}
        workers.report(self.cli.store, self.worker, given)

    def halt(self, reason: str = "the field is gone") -> None:
        mappings.set_status(self.cli.store, self.cli.applied().id, MappingStatus.HALTED, reason=reason, hint="Mend it.")

    def resume(self) -> None:
        mappings.resume(self.cli.store, self.cli.applied().id)

    def empty(self) -> None:
        self.cli.store.execute("delete from syncbridge.outbox")

    @property
    def subjects(self) -> list[str]:
        """First lines of what the web server took, without the project's name."""
        return [text.splitlines()[0].strip("*").removeprefix("syncbridge, shop: ") for text in self.web.texts]


def send(loop: AlertLoop) -> None:
    """Step until nothing is due."""
    for _ in range(100):
        if loop.step() > 0:
            return
    pytest.fail("it is never done")


@pytest.fixture
def watched(
    cli_project: CliProject, web: WebReceiver, mail: MailReceiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    monkeypatch.setattr(alert_loop, "SHARE", float("inf"))
    given = {
        "WEBHOOK": web.url,
        "EMAIL__HOST": "127.0.0.1",
        "EMAIL__PORT": str(mail.port),
        "EMAIL__SECURITY": "none",
        "EMAIL__SENDER": "sync@example.com",
        "EMAIL__TO": "ops@example.com",
        "EMAIL__USER": "sync",
        "EMAIL__PASSWORD": SECRET,
        "NAME": "shop",
        "CALM": "0s",
        "DEAD_LETTERS": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SYNCBRIDGE_ALERTS__{name}", value)
    worker = cli_project.worker(capture=STREAMING, destinations={"memory": USE})
    with Project(config.load(cli_project.folder / "syncbridge.toml", os.environ)) as project:
        yield Watched(cli_project, project, web, mail, worker)


def stop_by_guard(watched: Watched) -> None:
    mappings.set_status(watched.cli.store, watched.cli.applied().id, MappingStatus.GUARD, reason="9 more deletes")


def make_dead_letters(watched: Watched) -> None:
    watched.cli.kill_off("1")
    watched.cli.kill_off("2")


def make_lag(watched: Watched) -> None:
    watched.cli.enqueue("1", "2")
    watched.cli.store.execute("update syncbridge.outbox set since = now() - interval '20 minutes' where key = '1'")


def use_quota(watched: Watched) -> None:
    watched.report(destinations={"memory": {**USE, "used": 990}})


def free_quota(watched: Watched) -> None:
    watched.report(destinations={"memory": {**USE, "used": 600}})


def drop_slot(watched: Watched) -> None:
    watched.cli.source.execute("select pg_drop_replication_slot(%s)", (watched.project.settings.source.slot,))


def make_slot(watched: Watched) -> None:
    slot = watched.project.settings.source.slot
    watched.cli.source.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))


def stop_capture(watched: Watched) -> None:
    watched.report(capture={**STREAMING, "streaming": False, "ready": False}, capture_stopped="another server answers")


@pytest.mark.parametrize(
    ("go_wrong", "mend", "subject", "words"),
    [
        (Watched.halt, Watched.resume, "people: halted", "the field is gone"),
        (stop_by_guard, Watched.resume, "people: stopped by its guard", "9 more deletes"),
        (make_dead_letters, Watched.empty, "people: more than 1 dead letter", "2 dead letters"),
        (make_lag, Watched.empty, "people: lag over 15m", "its oldest change waits for 20 min; 2 wait"),
        (use_quota, free_quota, "memory: more than 75% of the day's calls used", "990 of 1,000 calls of the day"),
        (drop_slot, make_slot, "the slot is at risk", "the replication slot does not exist"),
        (stop_capture, Watched.report, "capture stands still", "capture has stopped: another server answers"),
    ],
)
def test_each_condition_is_told_once_when_it_comes_and_once_when_it_is_over(
    watched: Watched, go_wrong: Callable[[Watched], None], mend: Callable[[Watched], None], subject: str, words: str
) -> None:
    with watched.loop() as loop:
        watched.look(loop)
        assert watched.web.posted == []
        go_wrong(watched)
        watched.look(loop)
        watched.look(loop)
        [raised] = watched.web.texts
        assert f"{subject}*\nRAISED " in raised
        assert words in raised
        mend(watched)
        for _ in range(3):
            watched.look(loop)
        [_, recovered] = watched.web.texts
        assert f"{subject}: recovered*\nRECOVERED " in recovered
        assert "It lasted " in recovered
        assert len(watched.mail.of("ops@example.com")) == 2


def test_a_figure_is_told_to_be_over_when_it_was_well_for_long_enough(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCBRIDGE_ALERTS__CALM", "5m")
    with Project(config.load(None, os.environ)) as project, AlertLoop(project) as loop:
        make_lag(watched)
        watched.look(loop)
        watched.empty()
        watched.look(loop)
        assert len(watched.web.posted) == 1
        watched.cli.store.execute("update syncbridge.alert set clear_since = clear_since - interval '6 minutes'")
        watched.look(loop)
        assert watched.subjects == ["people: lag over 15m", "people: lag over 15m: recovered"]


def test_a_restart_repeats_nothing_and_loses_nothing(watched: Watched) -> None:
    watched.halt()
    for _ in range(3):
        with watched.loop() as loop:
            watched.look(loop)
    assert len(watched.web.posted) == 1
    watched.resume()  # while no worker runs
    with watched.loop() as loop:
        watched.look(loop)
    assert watched.subjects == ["people: halted", "people: halted: recovered"]


def test_a_worker_that_is_killed_after_it_looked_leaves_the_message_to_another(watched: Watched) -> None:
    watched.halt()
    with watched.loop() as loop:
        assert loop.look() is not None
    with watched.loop() as loop:
        send(loop)
    assert watched.subjects == ["people: halted"]


def test_a_look_that_fails_is_as_if_it_never_was(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.halt()

    def fail(*arguments: object) -> None:
        raise RuntimeError

    with watched.loop() as loop:
        with monkeypatch.context() as broken:
            broken.setattr(alerts, "post", fail)
            with pytest.raises(RuntimeError):
                loop.look()
        send(loop)
    assert watched.subjects == ["people: halted"]


def test_two_workers_send_one(watched: Watched) -> None:
    start = threading.Barrier(2)

    def work() -> None:
        with watched.loop() as loop:
            start.wait()
            for _ in range(4):
                watched.look(loop)

    for act in (watched.halt, watched.resume):
        act()
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert watched.subjects == ["people: halted", "people: halted: recovered"]
    assert len(watched.mail.mails) == 2


def test_while_one_worker_looks_the_other_does_not(watched: Watched) -> None:
    with watched.loop() as one, watched.cli.store.transaction():
        assert alerts.begin_look(watched.cli.store, 30) is not None
        assert one.look() is None


def test_it_is_looked_as_often_as_the_settings_say(watched: Watched) -> None:
    with watched.loop() as one, watched.loop() as other:
        assert one.look() is not None
        assert (one.look(), other.look()) == (None, None)
        assert 0 < other.step() <= 30
        watched.cli.store.execute("update syncbridge.alert_look set at = at - interval '30 seconds'")
        assert other.look() is not None


def test_a_target_that_refuses_is_tried_again_and_the_others_hear_it_once(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    watched.web.answer = 503
    watched.halt()
    with watched.loop() as loop:
        watched.look(loop)
        for tried in (1, 2, 3):
            assert watched.web.asked == tried
            assert len(watched.mail.mails) == 1
            assert 0 < loop.step() <= 600  # not at once
            assert watched.web.asked == tried
            watched.retry_now()
            send(loop)
        watched.web.answer = 200
        watched.retry_now()
        send(loop)
        send(loop)
    assert watched.subjects == ["people: halted"]
    assert len(watched.mail.mails) == 1
    assert "an alert was not taken by webhook: it answered 503; trying again in" in caplog.text
    assert SECRET not in caplog.text


def test_a_recovery_is_not_told_before_what_it_is_the_end_of(watched: Watched) -> None:
    watched.web.answer = 503
    with watched.loop() as loop:
        watched.halt()
        watched.look(loop)
        watched.web.answer = 200
        watched.resume()
        watched.look(loop)
        assert watched.web.asked == 1  # the first message waits for its next try, and the second for the first
        due = alerts.next_due(watched.cli.store, [target.name for target in targets(loop.project.settings.alerts)])
        assert due is not None
        assert due > 0  # so the loop does not ask all the time
        watched.retry_now()
        send(loop)
    assert watched.subjects == ["people: halted", "people: halted: recovered"]


def test_a_message_that_is_refused_for_ever_does_not_hold_up_the_rest_for_ever(watched: Watched) -> None:
    watched.web.answer = 400
    with watched.loop() as loop:
        watched.halt()
        watched.look(loop)
        for _ in range(alerts.IN_ORDER):
            watched.retry_now()
            send(loop)
        watched.web.answer = 200
        watched.resume()
        watched.look(loop)
    assert watched.subjects[0] == "people: halted: recovered"


def test_what_a_killed_worker_was_sending_is_sent_when_its_lease_is_over(watched: Watched) -> None:
    watched.halt()
    with watched.loop() as loop:
        loop.look()
        assert alerts.claim(watched.cli.store, "webhook") is not None  # by one that is killed now
        send(loop)
        assert watched.web.posted == []
        watched.cli.store.execute("update syncbridge.alert_message set lease_until = now()")
        send(loop)
    assert watched.subjects == ["people: halted"]


def test_a_late_answer_does_not_touch_what_another_worker_claimed(watched: Watched) -> None:
    store = watched.cli.store
    alerts.post(store, ["webhook"], "title", "body")
    late = alerts.claim(store, "webhook")
    store.execute("update syncbridge.alert_message set lease_until = now()")
    assert alerts.claim(store, "webhook") is not None
    assert late is not None
    alerts.refused(store, late, "too late", wait=0)
    alerts.taken(store, "webhook", late)
    assert [each.messages for each in alerts.unsent(store, ["webhook"])] == [1]


def test_messages_that_nobody_took_for_a_week_are_dropped_and_that_is_logged(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    alerts.post(watched.cli.store, ["webhook"], "title", "body")
    watched.cli.store.execute("update syncbridge.alert_message set made_at = now() - interval '8 days'")
    with watched.loop() as loop:
        loop.look()
    assert alerts.unsent(watched.cli.store, ["webhook"]) == []
    assert "1 messages to webhook were given up: it took none for 7 days" in caplog.text


def test_a_mapping_that_is_not_in_force_any_more_is_over(watched: Watched) -> None:
    with watched.loop() as loop:
        watched.halt()
        watched.look(loop)
        watched.cli.store.execute("delete from syncbridge.mapping where name = 'people'")
        watched.look(loop)
    assert "Now: it is not watched any more." in watched.web.texts[1]


def test_what_a_resync_asked_for_is_no_lag_but_a_change_behind_it_is(watched: Watched) -> None:
    watched.cli.enqueue("1", reason=Reason.RESYNC)
    watched.cli.store.execute("update syncbridge.outbox set since = now() - interval '1 day', priority = 10")
    with watched.loop() as loop:
        watched.look(loop)
        assert watched.subjects == []
        watched.cli.enqueue("2")
        watched.cli.store.execute("update syncbridge.outbox set since = now() - interval '20 minutes' where key = '2'")
        watched.look(loop)
    assert watched.subjects == ["people: lag over 15m"]


def test_no_message_log_line_or_state_holds_a_secret_a_key_or_a_value(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    logging.getLogger("apprise").setLevel(1)
    make_dead_letters(watched)
    watched.halt()
    with watched.loop() as loop:
        watched.look(loop)
        watched.web.answer = 500
        watched.resume()
        watched.look(loop)
    state = watched.cli.store.execute(
        "select (select json_agg(a) from syncbridge.alert a)::text,"
        " (select json_agg(m) from syncbridge.alert_message m)::text"
    ).fetchone()
    said = f"{watched.web.texts} {state} {[mail.as_string() for _, mail in watched.mail.mails]}"
    assert SECRET not in said + caplog.text
    assert "Ada" not in said
    assert "Lovelace" not in said
    assert "ada@example.com" not in said
