"""A record that somebody creates in Salesforce becomes a row, once, and carries the key of that row from then on."""

from __future__ import annotations

import orjson

from syncbridge.destinations.salesforce.connection import Request
from syncbridge.destinations.salesforce.destination import SalesforceDestination
from tests.acceptance.test_changes_come_back import BOTH, polls, running_both_ways
from tests.fix_project import WholeProject, until


def create(whole: WholeProject, object: str = "Contact", **fields: object) -> str:
    """Somebody creates a record in Salesforce, as a user does: through its API. Its id."""
    with whole.project() as project:
        salesforce = project.destination("crm")
        assert isinstance(salesforce, SalesforceDestination)
        answer = salesforce._ask(Request("upsert", "POST", f"sobjects/{object}", orjson.dumps(fields)))
        return str(answer["id"])


def test_a_contact_created_in_salesforce_becomes_a_row_and_gets_its_external_id(whole: WholeProject) -> None:
    whole.sql("create sequence people_key start 1000; alter table people alter id set default nextval('people_key')")
    running_both_ways(whole, BOTH)
    create(whole, FirstName="Ada", LastName="Lovelace")
    until(lambda: whole.sql("select 1 from people where last_name = 'Lovelace'"), what="the row is there")
    until(lambda: whole.record(1000) is not None, what="the record carries its key")
    whole.wait()
    polls(whole, 2)
    assert whole.sql("select id, first_name from people where last_name = 'Lovelace'") == [(1000, "Ada")]
    whole.sql("update people set first_name = 'Augusta' where id = 1000")
    until(lambda: whole.record(1000)["FirstName"] == "Augusta")  # type: ignore[index]
    whole.assert_equal()


def test_what_a_trigger_changes_in_a_row_that_came_in_goes_out(whole: WholeProject) -> None:
    whole.sql("create sequence people_key start 1000; alter table people alter id set default nextval('people_key')")
    whole.sql(
        "create function shout() returns trigger language plpgsql as"
        " $$ begin new.last_name = upper(new.last_name); return new; end $$;"
        " create trigger shout before insert or update on people for each row execute function shout()"
    )
    running_both_ways(whole, BOTH)
    create(whole, FirstName="Ada", LastName="Lovelace")
    until(lambda: whole.record(1000) is not None, what="the record carries its key")
    until(lambda: whole.record(1000)["LastName"] == "LOVELACE", what="the trigger's change goes out")  # type: ignore[index]
    whole.wait()
    polls(whole, 2)
    assert whole.sql("select first_name, last_name from people where id = 1000") == [("Ada", "LOVELACE")]
    assert whole.record(1000)["FirstName"] == "Ada"  # type: ignore[index]
