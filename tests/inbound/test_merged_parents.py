"""What refers to the row of a merged record refers to the survivor's before that row is deleted."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound import moves
from syncbridge.store import sync_log
from tests.fix_family_both import COMPANIES, PEOPLE, SHOPS, TILLS, FamilyBoth, StartFamilyBoth
from tests.fix_store import make_due

DELETES = "direction: both\ndeletes: {to_postgres: delete}\n"
KEEPS = "direction: both\ndeletes: {to_postgres: ignore}\n"
SET_NULL = "alter table people add foreign key (company_id) references companies on delete set null;"


def merge(
    both: FamilyBoth, monkeypatch: pytest.MonkeyPatch, survivor: object, *losers: object, name: str = "companies"
) -> None:
    """Somebody merges records of entities into another one's; children are not looked at yet."""
    crm, show, object = both.family.crm, both.family.crm._changed, both._object(name)
    into, gone = both.id(name, survivor), [both.id(name, loser) for loser in losers]

    def changed(asked: str, remote_id: str, names: list[str]) -> RemoteChange:
        change = show(asked, remote_id, names)
        merged_into = into if change.deleted and remote_id in gone else None
        return RemoteChange(remote_id, change.modified, change.fields, change.deleted, merged_into)

    crm.delete(object, gone)
    crm.update(object, [(into, {"Name": "merged"})])
    monkeypatch.setattr(crm, "_changed", changed)


def start(start_family_both: StartFamilyBoth, tables: str = "", people: str = PEOPLE + KEEPS) -> FamilyBoth:
    """Three companies, and two people of the first."""
    both = start_family_both(COMPANIES + DELETES, people, tables=tables)
    both.family.sql("insert into companies (id, name) values (1, 'one'), (2, 'two'), (3, 'three')")
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1), (2, 'Bob', 1)")
    both.family.touch("companies", 1, 2, 3)
    both.family.touch("people", 1, 2)
    both.settle()
    both.age_links()
    return both


def changed_later(both: FamilyBoth, name: str, *keys: object) -> None:
    """Capture has seen changes of these rows, later than all that happened at the destination."""
    both.family.touch(name, *keys)
    both.family.store.execute("update syncbridge.outbox set changed_at = now() + interval '1 hour'")


@pytest.mark.parametrize("rule", ["set null", "cascade", "restrict", ""])
def test_children_follow_their_parent_to_the_survivor(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    both = start(start_family_both, SET_NULL.replace("set null", rule) if rule else "")
    survivor, sent = both.id("companies", 2), len(both.family.crm.sent)
    both.edit("people", 1, AccountId=survivor)
    both.edit("people", 2, AccountId=survivor)
    merge(both, monkeypatch, 2, 1)
    both.poll("companies")
    assert both.family.sql("select id from companies order by id") == [(2,), (3,)]
    assert both.family.sql("select id, company_id from people order by id") == [(1, 2), (2, 2)]
    changed_later(both, "people", 1, 2)
    make_due(both.family.store)
    both.family.step("people")
    both.settle()
    assert len(both.family.crm.sent) == sent
    for key in (1, 2):
        assert both.row("people", key, "company_id") == (2,)
        assert both.record("people", key)["AccountId"] == survivor


def test_the_log_names_the_survivor(start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch) -> None:
    both = start(start_family_both, SET_NULL)
    merged, survivor = both.id("companies", 1), both.id("companies", 2)
    merge(both, monkeypatch, 2, 1)
    both.poll("companies")
    deleted = both.log("companies", 1)[-1]
    assert (deleted.operation, deleted.outcome) == ("delete", "written")
    assert deleted.message == f"its record was merged into {survivor}, whose row is 2"
    moved = both.log("people", 1)[-1]
    assert (moved.operation, moved.outcome, moved.fields) == ("update", "written", "AccountId")
    assert moved.message == f"{merged} was merged into {survivor}"


def test_the_log_does_not_tell_what_a_sensitive_field_refers_to(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = PEOPLE.replace("key: company_id}", "key: company_id, sensitive: true}") + KEEPS
    both = start(start_family_both, SET_NULL, people)
    merge(both, monkeypatch, 2, 1)
    both.poll("companies")
    assert both.log("people", 1)[-1].message == "what it refers to was merged into another record"


def test_a_child_that_was_moved_to_somebody_else_there_goes_there(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start(start_family_both, SET_NULL)
    merge(both, monkeypatch, 2, 1)
    both.edit("people", 1, AccountId=both.id("companies", 3))
    both.poll("companies")
    assert both.row("people", 1, "company_id") == (2,)
    changed_later(both, "people", 1)
    both.settle()
    assert both.row("people", 1, "company_id") == (3,)
    assert both.record("people", 1)["AccountId"] == both.id("companies", 3)


def test_a_child_that_was_moved_to_somebody_else_here_stays_there(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start(start_family_both, SET_NULL)
    both.edit("people", 1, AccountId=both.id("companies", 2))
    merge(both, monkeypatch, 2, 1)
    both.family.sql("update people set company_id = 3 where id = 1")
    changed_later(both, "people", 1)
    both.poll("companies")
    assert both.row("people", 1, "company_id") == (3,)
    both.poll("people")
    both.settle()
    assert both.record("people", 1)["AccountId"] == both.id("companies", 3)


def test_a_parent_of_a_row_that_cannot_be_moved_is_held_and_others_go_on(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start(start_family_both, SET_NULL + "alter table people add constraint one_ada unique (company_id, name);")
    both.family.sql("insert into companies (id, name) values (4, 'four')")
    both.family.sql("insert into people (id, name, company_id) values (3, 'Ada', 2), (4, 'Cy', 4)")
    both.family.touch("companies", 4)
    both.family.touch("people", 3, 4)
    both.settle()
    both.age_links()
    merge(both, monkeypatch, 2, 1, 4)
    both.poll("companies")
    assert both.family.sql("select id from companies order by id") == [(1,), (2,), (3,)]
    assert both.family.sql("select id, company_id from people order by id") == [(1, 1), (2, 1), (3, 2), (4, 2)]
    held = both.held("companies", 1)
    assert held is not None
    assert (held.kind, held.code) == ("refused", "23505")
    assert "people: a row that refers to this one" in (held.message or "")
    assert "one_ada" in (held.message or "")


def test_more_children_than_one_statement_moves_all_follow(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start(start_family_both, SET_NULL.replace("set null", "restrict"))
    both.family.sql("insert into people (id, name, company_id) select n, 'P', 1 from generate_series(11, 17) n")
    monkeypatch.setattr(moves, "AT_ONCE", 3)
    merge(both, monkeypatch, 2, 1, 3)
    both.poll("companies")
    assert both.family.sql("select distinct company_id from people") == [(2,)]
    assert both.family.sql("select id from companies") == [(2,)]


def test_children_follow_over_keys_of_several_columns(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "alter table tills add foreign key (country, shop_no) references shops on delete cascade;"
    both = start_family_both(SHOPS + DELETES, TILLS + KEEPS, tables=reference)
    both.family.sql("insert into shops values ('de', 1, 'a'), ('fr', 1, 'b')")
    both.family.sql("insert into tills (id, name, country, shop_no) values (1, 't', 'de', 1)")
    both.settle()
    merge(both, monkeypatch, '["fr", "1"]', '["de", "1"]', name="shops")
    both.poll("shops")
    assert both.row("tills", 1, "country, shop_no") == ("fr", 1)
    assert both.base("tills", 1)["ShopId"] == both.id("shops", '["fr", "1"]')
    assert both.family.sql("select country from shops") == [("fr",)]


def test_children_in_the_same_table_follow_and_the_survivor_is_no_parent_of_its_own(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "alter table companies add foreign key (parent_id) references companies on delete set null;"
    both = start_family_both(COMPANIES + DELETES, tables=reference)
    both.family.sql("insert into companies (id, name, parent_id) values (1, 'one', null), (2, 'two', 1), (3, 'x', 1)")
    both.settle()
    merge(both, monkeypatch, 2, 1)
    both.poll()
    assert both.family.sql("select id, parent_id from companies order by id") == [(2, None), (3, 2)]
    assert both.base("companies", 3)["ParentId"] == both.id("companies", 2)


def test_a_lookup_that_postgres_owns_is_left_to_the_foreign_key(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = PEOPLE.replace("key: company_id}", "key: company_id, owner: postgres}") + KEEPS
    both = start(start_family_both, SET_NULL, people)
    merge(both, monkeypatch, 2, 1)
    both.poll("companies")
    assert both.row("people", 1, "company_id") == (None,)


def test_a_merge_waits_while_the_delete_of_the_survivors_row_is_on_its_way(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start(start_family_both)
    both.family.sql("delete from companies where id = 2")
    both.family.touch("companies", 2)
    merge(both, monkeypatch, 2, 1)
    both.poll("companies")
    assert both.family.sql("select id from companies order by id") == [(1,), (2,), (3,)]  # the merge was an edit, too
    assert both.row("people", 1, "company_id") == (1,)
    both.poll("companies")
    assert both.family.sql("select id from companies order by id") == [(2,), (3,)]
    assert both.row("people", 1, "company_id") == (2,)


def test_a_death_while_children_are_moved_leaves_all_of_it_or_nothing(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = start(start_family_both, SET_NULL)
    merge(both, monkeypatch, 2, 1)

    def fail(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("the connection is gone")

    with monkeypatch.context() as patched:
        patched.setattr(sync_log, "append_incoming", fail)
        with pytest.raises(Exception, match="gone"):
            both.poll("companies")
    assert both.family.sql("select company_id from people") == [(1,), (1,)]
    assert both.base("people", 1)["AccountId"] == both.id("companies", 1)
    both.poll("companies")
    assert both.family.sql("select company_id from people") == [(2,), (2,)]
    assert both.base("people", 1)["AccountId"] == both.id("companies", 2)
