"""New remote records become rows, once, and carry the key of their row from then on."""

from __future__ import annotations

from typing import Any

import pytest

from syncbridge.model import Fields, Outcome, Reason
from syncbridge.store import held_records, rechecks
from syncbridge.store.held_records import HeldRecord
from tests.fix_delivery import TABLE
from tests.fix_two_way import IDENTITY, StartNew, StartTwoWay, TwoWayProject


def put(both: TwoWayProject, **fields: Any) -> str:
    """Somebody creates a remote record."""
    return both.out.destination.put("Contact", {"LastName": "New", **fields})


def rows(both: TwoWayProject, columns: str = "first_name, last_name, email") -> list[tuple[Any, ...]]:
    return both.out.writer.execute(f"select {columns} from people order by id".encode()).fetchall()


def remote(both: TwoWayProject, remote_id: str) -> Fields:
    return both.out.destination.stored("Contact")[remote_id]


def held(both: TwoWayProject) -> dict[str, HeldRecord]:
    return held_records.read(both.out.store, both.out.mapping_id)


def test_a_new_record_becomes_a_row_and_gets_its_key(start_new: StartNew) -> None:
    both = start_new()
    one = put(both, FirstName="Ada", Email="ada@example.org", Score__c=5.5)
    two = put(both, FirstName="Grace", Born__c="1906-12-09")
    both.poll()
    assert rows(both, "id, first_name, email, score, born::text") == [
        (1, "Ada", "ada@example.org", 5.5, None),
        (2, "Grace", None, None, "1906-12-09"),
    ]
    assert both.out.deliver() == 2
    assert [remote(both, each)["Person_Key__c"] for each in (one, two)] == ["1", "2"]
    assert [(entry.operation, entry.outcome) for entry in both.log(1)] == [("create", Outcome.WRITTEN)]
    assert both.remote_id(1) == one
    both.settle()
    assert len(rows(both)) == len(both.out.destination.stored("Contact")) == 2
    assert both.out.base(1) == {name: value for name, value in remote(both, one).items() if name in both.base(1)}  # type: ignore[operator]


def test_the_key_is_written_by_the_remote_id_in_one_call_and_nothing_else(start_new: StartNew) -> None:
    both = start_new()
    one, two = put(both, FirstName="Ada"), put(both, FirstName="Grace")
    before = {each: remote(both, each) for each in (one, two)}
    both.poll()
    calls = len(both.out.destination.calls)
    both.out.deliver()
    assert [(call[0], call[2]) for call in both.out.destination.calls[calls:]] == [("update", 2)]
    for each, key in ((one, "1"), (two, "2")):
        assert remote(both, each) == {**before[each], "Person_Key__c": key}


def test_a_change_before_the_key_is_there_goes_to_the_same_record(start_new: StartNew) -> None:
    both = start_new()
    one = put(both, FirstName="Ada")
    both.poll()
    both.out.change("update people set first_name = 'Augusta' where id = 1", 1)
    both.out.deliver()
    assert list(both.out.destination.stored("Contact")) == [one]
    assert remote(both, one)["FirstName"] == "Augusta"
    assert remote(both, one)["Person_Key__c"] == "1"


def test_a_row_that_goes_before_its_record_has_the_key_takes_the_record_along(start_new: StartNew) -> None:
    both = start_new()
    put(both, FirstName="Ada")
    both.poll()
    both.out.change("delete from people", 1)
    both.out.touch(1, resend=True)  # as after a lost answer
    both.out.deliver()
    assert both.out.destination.stored("Contact") == {}
    both.poll()
    assert rows(both) == []


def test_a_lost_answer_to_the_key_is_made_good(start_new: StartNew) -> None:
    both = start_new()
    one = put(both, FirstName="Ada")
    both.poll()
    both.out.destination.faults.fail_after_write()
    both.out.deliver()
    both.settle()
    assert list(both.out.destination.stored("Contact")) == [one]
    assert both.out.left() == []
    assert "Person_Key__c" not in (both.base(1) or {})


def test_a_key_that_somebody_takes_away_is_put_back(both: TwoWayProject) -> None:
    remote_id = both.remote_id(1)
    both.edit(1, Person_Key__c=None)
    both.poll()
    both.out.deliver()
    assert remote(both, remote_id)["Person_Key__c"] == "1"
    assert len(both.out.destination.stored("Contact")) == 2


def test_new_records_can_be_ignored(start_new: StartNew) -> None:
    both = start_new(("guard: {deletes", "creates: {to_postgres: ignore}\nguard: {deletes"))
    put(both, FirstName="Ada")
    put(both, FirstName="Grace", Person_Key__c="7")
    both.poll()
    assert rows(both) == []
    assert held(both) == {}


@pytest.mark.parametrize("key", ["uuid default gen_random_uuid()", "serial", "text default 'k' || random()"])
def test_any_default_of_a_key_will_do(start_new: StartNew, key: str) -> None:
    both = start_new(table=TABLE.replace("bigint", key))
    one = put(both, FirstName="Ada")
    both.poll()
    both.out.deliver()
    assert remote(both, one)["Person_Key__c"] == str(rows(both, "id")[0][0])


def test_a_record_that_carries_a_key_becomes_the_row_of_that_key(start_two_way: StartTwoWay) -> None:
    both = start_two_way()
    put(both, FirstName="Ada", Person_Key__c="7")
    put(both, FirstName="No key")
    put(both, FirstName="Odd", Person_Key__c="seven")
    both.poll()
    assert rows(both, "id, first_name") == [(7, "Ada")]
    assert sorted(each.code for each in held(both).values()) == ["KEY_DOES_NOT_FIT", "NO_KEY"]
    assert "seven" not in str([each.message for each in held(both).values()])


def test_what_a_column_gives_by_default_where_the_record_is_empty_goes_out(start_new: StartNew) -> None:
    table = IDENTITY.replace("score numeric", "score numeric not null default 3")
    both = start_new(table=table)
    one = put(both, FirstName="Ada")
    both.poll()
    both.settle()
    assert rows(both, "score") == [(3,)]
    assert remote(both, one)["Score__c"] == 3


# -- what cannot be a row ----------------------------------------------------------------------------------------------


def test_what_postgres_refuses_is_held_with_its_message_and_the_others_go_on(start_new: StartNew) -> None:
    both = start_new()
    both.out.writer.execute("alter table people alter score set not null, add unique (email)")
    put(both, FirstName="Ada", Score__c=1, Email="a@example.org")
    poor = put(both, FirstName="Grace")
    twice = put(both, FirstName="Edith", Score__c=1, Email="a@example.org")
    put(both, FirstName="Hedy", Score__c=2)
    both.poll()
    assert rows(both, "first_name") == [("Ada",), ("Hedy",)]
    found = held(both)
    assert {each: (found[each].code) for each in found} == {poor: "23502", twice: "23505"}
    assert "people_email_key" in found[twice].message
    both.poll()
    both.out.destination.update("Contact", [(poor, {"Score__c": 3})])
    both.poll()
    assert rows(both, "first_name") == [("Ada",), ("Hedy",), ("Grace",)]
    assert list(held(both)) == [twice]
    both.out.destination.delete("Contact", [twice])
    both.poll()
    assert held(both) == {}
    outcomes = [entry.outcome for entry in both.log("")]
    assert outcomes == [Outcome.HELD, Outcome.HELD]


def test_a_held_record_is_tried_again_when_somebody_asks(start_new: StartNew) -> None:
    both = start_new()
    both.out.writer.execute("alter table people add constraint sound check (first_name <> 'Ada')")
    one = put(both, FirstName="Ada")
    both.poll()
    assert held(both)[one].code == "23514"
    both.out.writer.execute("alter table people drop constraint sound")
    both.poll()
    assert rows(both) == []
    rechecks.add(both.out.store, both.out.mapping_id, [one])
    both.poll()
    assert rows(both, "first_name") == [("Ada",)]
    assert held(both) == {}


def test_a_row_that_would_be_no_entity_is_not_made_and_its_record_stays(start_new: StartNew) -> None:
    both = start_new(("where: not is_test", "where: last_name <> 'Test'"))
    one, two = put(both, LastName="Test"), put(both, LastName="Real")
    both.poll()
    both.settle()
    assert rows(both, "last_name") == [("Real",)]
    assert held(both)[one].code == "FILTERED"
    assert sorted(both.out.destination.stored("Contact")) == sorted([one, two])


def test_a_trigger_that_keeps_a_row_out_or_gives_another_key_is_told(start_new: StartNew) -> None:
    both = start_new()
    both.out.writer.execute(
        "create function t() returns trigger language plpgsql as $$ begin"
        " if new.first_name = 'Out' then return null; end if;"
        " if new.first_name = 'Other' then new.id = 77; end if; return new; end $$;"
        " create trigger t before insert on people for each row execute function t()"
    )
    out, other = put(both, FirstName="Out"), put(both, FirstName="Other")
    put(both, FirstName="Ada")
    both.poll()
    assert rows(both, "first_name") == [("Ada",)]
    assert {each: found.code for each, found in held(both).items()} == {out: "NOT_MADE", other: "NOT_MADE"}


def test_a_constraint_that_is_looked_at_only_at_the_end_refuses_its_row_alone(start_new: StartNew) -> None:
    both = start_new()
    both.out.writer.execute("alter table people add unique (email) deferrable initially deferred")
    put(both, Email="a@example.org")
    put(both, Email="a@example.org")
    both.poll()
    assert len(rows(both)) == 1
    assert [each.code for each in held(both).values()] == ["23505"]


# -- what goes on at the same time -------------------------------------------------------------------------------------


def test_our_own_delete_is_not_undone_by_a_page_that_was_read_before(start_new: StartNew) -> None:
    both = start_new()
    one = put(both, FirstName="Ada")
    both.settle()
    both.age_links()
    page = both.out.destination.current("Contact", [one], both.poller.writer().columns.asked)
    asked = both.out.store.execute("select now()").fetchone()
    both.out.change("delete from people", 1)
    both.out.deliver()
    assert both.out.destination.stored("Contact") == {}
    assert asked is not None
    both.poller.writer().write(page, asked[0])
    assert rows(both) == []
    both.poll()
    assert rows(both) == []
    assert both.rechecks() == []


def test_a_record_that_somebody_brings_back_is_a_row_again_under_its_key(start_new: StartNew) -> None:
    both = start_new(("to_destination: delete}", "to_destination: delete, to_postgres: delete}"))
    one = put(both, FirstName="Ada")
    both.settle()
    both.age_links()
    both.drop(1)
    both.poll()
    assert rows(both) == []
    both.out.store.execute("update syncbridge.departure set at = at - interval '1 hour'")
    again = both.out.destination.put("Contact", {"FirstName": "Ada", "LastName": "New", "Person_Key__c": "1"})
    both.poll()
    assert again != one
    assert rows(both, "id, first_name") == [(1, "Ada")]


def test_a_first_load_of_many_records_costs_statements_per_page(start_new: StartNew) -> None:
    both = start_new()
    for number in range(300):
        put(both, FirstName=f"First {number}", Score__c=number if number % 2 else None)
    counted: list[str] = []
    execute = both.poller.store.execute

    def count(query: Any, *args: Any, **options: Any) -> Any:
        counted.append(str(query))
        return execute(query, *args, **options)

    both.poller.store.execute = count  # type: ignore[method-assign]
    both.poll()
    assert len(rows(both)) == 300
    assert len(counted) < 80  # two pages
    assert both.out.deliver() == 300
    assert both.out.applied().last_error is None
    reasons = both.out.store.execute("select distinct reason from syncbridge.sync_log where direction = 'out'")
    assert reasons.fetchall() == [(Reason.REMOTE.value,)]
