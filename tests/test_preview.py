"""What would be sent, by what both sides hold now; and nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from syncbridge.model import Fields
from syncbridge.outbound.masking import MASK
from syncbridge.preview import PAGE, Counts, Fate, Preview, Previewed
from syncbridge.source import rows
from tests.fix_delivery import SmallProject, Start
from tests.fix_family import Family

Look = Callable[..., dict[str, Previewed]]


def looked(
    project: SmallProject, keys: Sequence[str] = (), limit: int | None = None
) -> tuple[dict[str, Previewed], Counts]:
    preview = Preview(project.mapping, project.destination, project.deliverer.source, project.store, project.mapping_id)
    found = preview.of_keys(keys) if keys else preview.of_all(limit)
    return {each.key: each for each in found}, preview.counts


def differences(previewed: Previewed) -> dict[str, tuple[Any, Any, bool]]:
    return {each.field: (each.before, each.after, each.sent) for each in previewed.differences}


def by_hand(project: SmallProject, key: int, **fields: Any) -> None:
    """Somebody changes the remote record of an entity."""
    for stored in project.destination._records["contact"].values():
        if stored.fields["Person_Key__c"] == str(key):
            stored.fields.update(fields)


def everything(project: SmallProject) -> object:
    """The whole state, and the whole destination."""
    tables = ("outbox", "link", "sync_log", "conflict", "awaited", "guard_count", "run", "mapping")
    state = [project.store.execute(f"select t::text from syncbridge.{each} t order by 1").fetchall() for each in tables]
    return state, project.destination.stored("Contact")


def test_each_fate_is_told_by_both_sides_and_nothing_is_written(project: SmallProject) -> None:
    project.add(*range(1, 8))
    project.deliver()
    project.writer.execute("update people set first_name = 'New' where id = 2")
    project.writer.execute("delete from people where id = 3")
    project.writer.execute("update people set is_test = true where id = 4")
    project.writer.execute("update people set last_name = repeat('x', 100) where id = 5")
    project.writer.execute("insert into people (id, last_name) values (9, 'Nine'), (10, 'Ten')")
    project.writer.execute("insert into people (id, is_test) values (11, true)")
    project.destination.put("Contact", {"Person_Key__c": "10", "LastName": "Tenth"})
    by_hand(project, 6, LastName="By hand")
    before, calls = everything(project), len(project.destination.calls)

    found, counts = looked(project)

    assert everything(project) == before
    assert {name for name, _, _ in project.destination.calls[calls:]} == {"read", "find"}
    assert {key: each.fate for key, each in found.items()} == {
        "1": Fate.SAME,
        "2": Fate.UPDATE,
        "3": Fate.DELETE,
        "4": Fate.DELETE,
        "5": Fate.REFUSED,
        "6": Fate.CHANGED_THERE,
        "7": Fate.SAME,
        "9": Fate.CREATE,
        "10": Fate.UPDATE,
    }
    assert differences(found["2"]) == {"FirstName": ("First 2", "New", True)}
    assert differences(found["6"]) == {"LastName": ("By hand", "Last 6", False)}
    assert differences(found["10"]) == {"LastName": ("Tenth", "Ten", True)}
    assert found["5"].code == "STRING_TOO_LONG"
    assert counts.refused == {"STRING_TOO_LONG": 1}
    assert counts.fates[Fate.SAME] == 2
    assert (counts.rows, counts.complete) == (9, True)


def test_what_it_tells_is_what_delivery_then_does(project: SmallProject) -> None:
    project.add(*range(1, 6))
    project.deliver()
    project.writer.execute("update people set first_name = 'New', score = 3 where id in (2, 3)")
    project.writer.execute("insert into people (id, last_name) values (9, 'Nine')")
    project.writer.execute("delete from people where id = 4")
    found, _ = looked(project)
    told = {
        key: {each.field: each.after for each in previewed.differences if each.sent}
        for key, previewed in found.items()
        if previewed.fate in (Fate.CREATE, Fate.UPDATE)
    }
    project.destination.sent.clear()
    project.touch(1, 2, 3, 4, 5, 9)
    project.deliver()
    sent: dict[str, Fields] = {str(each.pop("Person_Key__c")): each for each in project.destination.sent}
    assert {key: {n: v for n, v in each.items() if v is not None} for key, each in sent.items()} == told
    assert "4" not in project.remote()


def test_a_record_that_somebody_deleted_is_told_and_by_hand_changes_beside_ours_too(project: SmallProject) -> None:
    project.add(1, 2)
    project.deliver()
    project.destination._records["contact"].popitem()
    found, _ = looked(project)
    gone = next(each for each in found.values() if each.fate is not Fate.SAME)
    assert (gone.fate, gone.message) == (Fate.CHANGED_THERE, "its remote record is gone")
    by_hand(project, 1, LastName="By hand")
    project.writer.execute("update people set first_name = 'New' where id = 1")
    assert differences(looked(project, ["1"])[0]["1"]) == {
        "FirstName": ("First 1", "New", True),
        "LastName": ("By hand", "Last 1", False),
    }


@pytest.mark.parametrize(
    ("rule", "fate"),
    [("ignore", Fate.IGNORED), ("{set: {Active__c: false}}", Fate.UPDATE)],
)
def test_a_row_that_is_gone_is_told_by_the_rule_of_deletes(start: Start, rule: str, fate: Fate) -> None:
    project = start(("{to_destination: delete}", f"{{to_destination: {rule}}}"))
    project.add(1)
    project.deliver()
    project.writer.execute("delete from people")
    found, _ = looked(project)
    assert found["1"].fate is fate
    if fate is Fate.UPDATE:
        assert differences(found["1"]) == {"Active__c": (None, False, True)}


def test_sensitive_values_are_masked_on_both_sides(start: Start) -> None:
    project = start(("Email: email", "Email: {column: email, sensitive: true}"))
    project.add(1)
    project.deliver()
    project.writer.execute("update people set email = 'secret@example.org'")
    assert differences(looked(project)[0]["1"]) == {"Email": (MASK, MASK, True)}
    project.writer.execute("update people set email = null")
    assert differences(looked(project)[0]["1"]) == {"Email": (MASK, None, True)}


def test_first_contact_is_told_and_what_a_person_has_to_decide(start: Start) -> None:
    project = start(("external_id: Person_Key__c", "external_id: Person_Key__c\nmatch_on: Email"))
    project.add(1, 2, 3)
    project.destination.put("Contact", {"Email": "1@EXAMPLE.org", "LastName": "Known"})
    for _ in range(2):
        project.destination.put("Contact", {"Email": "2@example.org"})
    before = everything(project)
    found, counts = looked(project)
    assert everything(project) == before
    assert {key: each.fate for key, each in found.items()} == {"1": Fate.UPDATE, "2": Fate.HELD, "3": Fate.CREATE}
    assert differences(found["1"])["LastName"] == ("Known", "Last 1", True)
    assert "2 existing records agree" in found["2"].message
    assert counts.fates[Fate.HELD] == 1


def test_a_limit_looks_at_the_first_rows_only_and_says_that_there_are_more(project: SmallProject) -> None:
    project.add(*range(1, 11))
    found, counts = looked(project, limit=4)
    assert list(found) == ["1", "2", "3", "4"]
    assert (counts.rows, counts.complete) == (4, False)


def test_pages_are_read_in_few_calls(project: SmallProject) -> None:
    project.add(*range(1, PAGE + 11))
    project.deliver()
    project.destination.calls.clear()
    found, _ = looked(project)
    assert len(found) == PAGE + 10
    assert [(name, count) for name, _, count in project.destination.calls] == [("read", PAGE), ("read", 10)]


def test_lookups_show_the_record_they_come_to_and_who_waits_for_its_parent(family: Family) -> None:
    family.sql("insert into companies values (1, 'Acme'), (2, 'Later')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1), (11, 'Eve', 2)")
    family.touch("companies", 1)
    family.deliver("companies")
    source = family.connect()
    rows.prepare(source)
    number, people = family.mappings["people"]
    parents = {"companies": family.id("companies")}
    found = {each.key: each for each in Preview(people, family.crm, source, family.store, number, parents).of_all(None)}
    (company,) = family.crm.stored("Account")
    assert found["10"].fate is Fate.CREATE
    assert differences(found["10"])["AccountId"] == (None, company, True)
    assert (found["11"].fate, found["11"].message) == (Fate.WAITS, "for companies 2")
