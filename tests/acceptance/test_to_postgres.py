"""A mapping of `direction: to_postgres`, as `import heroku-connect` writes it for read-only objects, in force."""

from __future__ import annotations

from tests.acceptance.test_changes_come_back import polls
from tests.acceptance.test_new_records_become_rows import create
from tests.fix_project import WholeProject, until

MAPPING = """
mapping: people
destination: crm
object: Contact
direction: to_postgres
entity: {table: public.contact, key: sfid}
external_id: Id
fields:
  FirstName: {column: firstname, owner: destination}
  LastName: {column: lastname, owner: destination}
deletes: {to_destination: ignore, to_postgres: delete}
poll: {every: 1s}
"""


def test_records_are_loaded_and_followed_and_nothing_is_sent(whole: WholeProject) -> None:
    whole.sql("create table contact (id serial primary key, sfid text not null unique, firstname text, lastname text)")
    whole.write_mapping("people", MAPPING)
    there = create(whole, LastName="There before")
    whole.done("check")
    whole.done("setup")
    whole.start()
    until(lambda: whole.sql("select 1 from contact where sfid = %s", there), what="it is loaded")
    new = create(whole, LastName="New", FirstName="Ada")
    until(lambda: whole.sql("select 1 from contact where sfid = %s", new), what="it is created")
    whole.sql("update contact set firstname = 'Ours'")
    whole.wait()
    polls(whole, 2)
    assert sorted(whole.sql("select lastname from contact")) == [("New",), ("There before",)]
    records = {r["Id"]: r for r in whole.salesforce.control.records("Contact")}
    assert records[new]["FirstName"] == "Ada"
    assert whole.sql("select count(*) from syncbridge.outbox") == [(0,)]
    mapping = whole.mapping().id
    sent = "select count(*) from syncbridge.sync_log where direction = 'out' and mapping_id = %s"
    assert whole.sql(sent, mapping) == [(0,)]
