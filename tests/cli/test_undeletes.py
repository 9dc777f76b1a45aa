"""A record that is undeleted after Postgres refused to delete its row, against a Salesforce sandbox over HTTP."""

from __future__ import annotations

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.store import held_changes, links
from syncbridge.store.held_changes import HeldChange
from tests.cli.conftest import StartCli
from tests.fix_cli import CliProject

PEOPLE = """
mapping: people
destination: salesforce
object: Contact
entity: {table: public.people, key: id}
external_id: External_Key__c
direction: both
deletes: {to_postgres: delete}
fields:
  FirstName: first_name
  LastName: last_name
"""


def held(cli: CliProject) -> HeldChange | None:
    return held_changes.read(cli.store, cli.applied().id, ["1"]).get("1")


def test_a_delete_that_was_refused_is_held_no_longer_once_the_record_is_undeleted(
    start_cli: StartCli, org: SandboxServer
) -> None:
    cli = start_cli({"people": PEOPLE})
    cli.enqueue("1")
    cli.deliver()
    cli.poll()
    cli.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")
    cli.source.execute("create table orders (person int references people); insert into orders values (1)")
    link = links.read(cli.store, cli.applied().id, "1")
    assert link is not None
    cli.project.destination("salesforce").delete("Contact", [link.remote_id])
    cli.poll()
    cli.poll()
    change = held(cli)
    assert change is not None
    assert change.code == "23503"
    assert org.control.undelete("Contact", [link.remote_id])
    cli.poll()
    assert held(cli) is None
    assert links.read(cli.store, cli.applied().id, "1") == link
