"""Each direction of a two-way mapping stands still and goes on for itself: `pause`, `resume`, `status` and `wait`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncbridge.answers.diagnosis import diagnose
from syncbridge.answers.status import gather
from syncbridge.answers.waiting import Verdict
from syncbridge.cli.wait import missing
from syncbridge.model import MappingStatus
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import mappings, polls, way_back
from syncbridge.store.way_back import WayBack
from tests.cli.conftest import StartCli
from tests.cli.test_conflict_decisions import PEOPLE, edit, name_there, row
from tests.cli.test_wait import Wait
from tests.fix_cli import CliProject


@pytest.fixture
def cli(start_cli: StartCli) -> CliProject:
    """Two people on both sides, and nothing left to capture."""
    cli = start_cli({"people": PEOPLE})
    cli.enqueue("1", "2")
    cli.deliver()
    cli.poll()
    cli.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    cli.skip_capture()
    return cli


def back(cli: CliProject) -> WayBack:
    return way_back.read_all(cli.store)[cli.applied().id]


def change_both_sides(cli: CliProject) -> None:
    """Another name here, another email there."""
    cli.source.execute("update people set first_name = 'Ours' where id = 1")
    cli.enqueue("1")
    edit(cli, "2", FirstName="Theirs")


def test_a_paused_way_back_leaves_deliveries_alone(cli: CliProject, org: SandboxServer) -> None:
    ran = cli.run("pause", "people", "--direction", "in", "--reason", "audit")
    assert ran.out == (
        "people: its way back is paused; remote changes wait at the destination now."
        " To go on: syncbridge resume people --direction in\n"
    )
    assert cli.applied().status is MappingStatus.ACTIVE
    change_both_sides(cli)
    cli.poll_once()
    cli.deliver()
    assert (row(cli, 2)[0], name_there(org, "1")) == ("Alan", "Ours")
    assert "way back: paused since" in cli.run("status", "people").out
    assert cli.run("resume", "people", "--direction", "in").out == "people: its way back is active, was paused.\n"
    cli.poll()
    assert row(cli, 2)[0] == "Theirs"


def test_a_mapping_that_is_paused_on_its_way_out_still_takes_changes(cli: CliProject, org: SandboxServer) -> None:
    assert cli.run("pause", "people", "--direction", "out").out.startswith("people: paused on its way out; ")
    change_both_sides(cli)
    cli.deliver()
    cli.poll()
    assert (row(cli, 2)[0], name_there(org, "1")) == ("Theirs", "Ada")
    assert back(cli).status is MappingStatus.ACTIVE
    assert cli.run("resume", "people", "--direction", "out").out == "people: active, was paused; 1 change waits.\n"


def test_without_a_direction_both_are_meant(cli: CliProject) -> None:
    assert "people: paused in both directions; nothing waits now." in cli.run("pause", "people").out
    assert (cli.applied().status, back(cli).status) == (MappingStatus.PAUSED, MappingStatus.PAUSED)
    assert cli.run("resume", "people").out == (
        "people: active, was paused; nothing waits.\npeople: its way back is active, was paused.\n"
    )


def test_a_mapping_without_a_way_back_has_none_to_pause(start_cli: StartCli) -> None:
    one_way = start_cli({"people": PEOPLE.replace("direction: both\nconflict: hold\n", "")})
    ran = one_way.run("pause", "people", "--direction", "in")
    assert (ran.code, ran.out) == (2, "")
    assert "people has no way back" in ran.err
    assert one_way.run("status", "people", "--json").json["mappings"][0]["way_back"] is None


def test_a_mapping_that_is_resumed_comes_back_as_soon_as_it_has_a_way_back(start_cli: StartCli) -> None:
    one_way = start_cli({"people": PEOPLE.replace("direction: both\nconflict: hold\n", "")})
    mappings.halt_all(one_way.store, "salesforce", reason="another org", hint="")
    assert one_way.run("resume", "people").out == "people: active, was halted; nothing waits.\n"
    (one_way.folder / "mappings" / "people.yaml").write_text(PEOPLE)
    assert one_way.run("apply", "--yes").code == 0
    assert back(one_way).status is MappingStatus.ACTIVE


def test_a_mapping_that_sends_nothing_has_a_way_back_to_pause(start_cli: StartCli) -> None:
    cli = start_cli({"people": PEOPLE.replace("direction: both\nconflict: hold\n", "direction: to_postgres\n")})
    assert "people: paused in both directions" in cli.run("pause", "people", "--reason", "audit").out
    assert back(cli).status is MappingStatus.PAUSED
    assert "way back: paused since" in cli.run("status", "people").out
    assert "people: its way back is active, was paused." in cli.run("resume", "people").out
    assert back(cli).status is MappingStatus.ACTIVE


def test_status_tells_how_far_the_way_back_is_and_what_of_it_is_held(cli: CliProject) -> None:
    cli.source.execute("update people set first_name = 'Ours' where id = 1")
    edit(cli, "1", FirstName="Theirs")
    cli.poll()
    ran = cli.run("status", "people")
    assert ran.code == 1
    assert "people: 1 remote change held until a person decides" in ran.out
    assert "Run: syncbridge conflicts people" in ran.out
    assert "(every 30 s), 1 held" in ran.out
    shown = cli.run("status", "people", "--json").json["mappings"][0]
    assert (shown["poll_every"], shown["way_back"]["held"], shown["way_back"]["decided"]) == (30, 1, 0)
    cli.run("conflicts", "take", "local", "people", "1")
    assert "1 decided and not carried out yet, 1 to look at again" in cli.run("status", "people").out


def test_a_poller_that_stands_still_is_told_once_a_worker_is_there_for_long(cli: CliProject) -> None:
    snapshot = gather(cli.project)
    (mapping,), (worker,) = snapshot.mappings, snapshot.workers
    assert mapping.way_back is not None
    late = replace(mapping, way_back=replace(mapping.way_back, behind_seconds=91.0), last_error="no answer")
    since = replace(worker, started_at=worker.seen_at - timedelta(hours=1))
    found = [each.message for each in diagnose(replace(snapshot, mappings=(late,), workers=(since,)))]
    assert "its way back stands still: the last poll was begun 91 s ago: no answer" in found
    for well in (
        replace(snapshot, mappings=(late,)),  # the worker has only just come
        replace(snapshot, workers=(since,)),
        replace(snapshot, mappings=(replace(late, way_back=replace(late.way_back, status=MappingStatus.PAUSED)),)),  # type: ignore[type-var]
    ):
        assert not [each for each in diagnose(well) if "way back" in each.message]


# -- wait -------------------------------------------------------------------------------------------------------------


def test_wait_ends_when_what_changed_there_before_is_in_its_row(cli: CliProject) -> None:
    edit(cli, "2", FirstName="Theirs")
    wait = Wait(cli)
    wait.meanwhile = cli.poll
    waited = wait.run()
    assert waited.verdict is Verdict.DELIVERED
    assert wait.looks[0].left[0].unread
    assert row(cli, 2)[0] == "Theirs"


def test_wait_asks_for_the_poll_that_a_delivery_waits_for(cli: CliProject) -> None:
    """A delivery may find a record changed after the poll that was asked for; the next one may be far away."""
    cli.source.execute("update people set first_name = 'Ours' where id = 1")
    cli.enqueue("1")
    edit(cli, "1", FirstName="Theirs", Email="theirs@example.com")
    asked = 0
    with cli.project.store("listen") as listener:
        listener.execute(f"listen {polls.CHANNEL}")

        def poll_when_asked() -> None:
            nonlocal asked
            for _ in listener.notifies(timeout=0, stop_after=1):
                asked += 1
                if asked == 1:  # before the edit is to be seen
                    cli.store.execute("update syncbridge.watermark set asked_at = now(), polled_at = now()")
                else:
                    cli.poll()
            cli.deliver()

        wait = Wait(cli)
        wait.meanwhile = poll_when_asked
        waited = wait.run(timeout=30.0)
    assert (waited.verdict, asked) == (Verdict.UNSOUND, 2)
    assert waited.left[0].held_changes == 1
    (told,) = {missing(look) for look in wait.looks if look.left and look.left[0].rechecks and not look.left[0].unread}
    assert told == "people: 1 waiting, 1 is decided by the next poll"


def test_wait_names_what_is_held_and_is_not_satisfied(cli: CliProject) -> None:
    cli.source.execute("update people set first_name = 'Ours' where id = 1")
    edit(cli, "1", FirstName="Theirs")
    wait = Wait(cli)
    wait.meanwhile = cli.poll
    waited = wait.run()
    assert waited.verdict is Verdict.UNSOUND
    assert waited.left[0].held_changes == 1


def test_wait_does_not_wait_for_a_way_back_that_is_paused(cli: CliProject) -> None:
    cli.run("pause", "people", "--direction", "in", "--reason", "audit")
    waited = Wait(cli).run()
    assert (waited.verdict, waited.why) == (Verdict.STUCK, "the way back of people is paused: audit")
    assert waited.remedy == "Run: syncbridge resume people"
