"""A record that was deleted there, which is ignored: what commands say of it, and how a person makes it anew."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import links
from tests.cli.conftest import StartCli
from tests.cli.test_conflict_decisions import PEOPLE
from tests.fix_cli import CliProject


@pytest.fixture
def dropped(start_cli: StartCli) -> CliProject:
    """Of two people on both sides somebody deleted the first one's record."""
    cli = start_cli({"people": PEOPLE})
    cli.enqueue("1", "2")
    cli.deliver()
    cli.poll()
    cli.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    link = links.read(cli.store, cli.applied().id, "1")
    assert link is not None
    cli.project.destination("salesforce").delete("Contact", [link.remote_id])
    cli.poll()
    return cli


def keys_there(org: SandboxServer) -> list[object]:
    return sorted(each["External_Key__c"] for each in org.control.records("Contact"))


def test_show_and_resync_say_that_it_is_not_sent_and_how_to_send_it(dropped: CliProject, org: SandboxServer) -> None:
    shown = dropped.run("show", "people", "1").out
    assert "its record was deleted at the destination, which the mapping ignores: it is not sent" in shown
    assert "To create it again: syncbridge resync people --key 1 --force" in shown
    ran = dropped.run("resync", "people", "--key", "1")
    assert "Not sent: 1. Somebody deleted its record there, and its row stays; --force makes it anew." in ran.out
    dropped.deliver()
    assert keys_there(org) == ["2"]


def test_a_forced_resync_by_key_makes_it_anew(dropped: CliProject, org: SandboxServer) -> None:
    ran = dropped.run("resync", "people", "--key", "1", "--force")
    assert "Not sent" not in ran.out
    dropped.deliver()
    assert keys_there(org) == ["1", "2"]
    assert links.read(dropped.store, dropped.applied().id, "1") is not None


def test_a_person_who_sends_one_record_makes_it_anew(dropped: CliProject, org: SandboxServer) -> None:
    assert dropped.run("test", "people", "--key", "1").code == 0
    assert keys_there(org) == ["1", "2"]
