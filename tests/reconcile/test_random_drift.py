"""Random drift on both sides, behind everybody's back, is found exactly; after repair both sides are equal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.reconcile.drift import Kind
from syncbridge.reconcile.repair import Side
from tests.fix_delivery import SmallProject
from tests.fix_reconcile import Reconciliations

PEOPLE = 7
FIELDS = {"FirstName": "first_name", "Email": "email", "Score__c": "score"}

WHO = st.integers(1, PEOPLE)
DRIFT = st.lists(
    st.one_of(
        st.tuples(st.just("row edited"), WHO, st.sampled_from(sorted(FIELDS))),
        st.tuples(st.just("record edited"), WHO, st.sampled_from(sorted(FIELDS))),
        st.tuples(st.just("row deleted"), WHO),
        st.tuples(st.just("row left the filter"), WHO),
        st.tuples(st.just("record deleted"), WHO),
        st.tuples(st.just("key cleared"), WHO),
        st.tuples(st.just("key changed"), WHO),
        st.tuples(st.just("record doubled"), WHO),
        st.tuples(st.just("link lost"), WHO),
        st.tuples(st.just("link to another"), WHO, WHO),
        st.tuples(st.just("base spoiled"), WHO),
        st.tuples(st.just("outbox row lost"), WHO),
        st.tuples(st.just("stranger"), WHO),
    ),
    max_size=8,
)


def make_drift(out: SmallProject, what: str, key: int, *more: Any, values: Callable[[], int]) -> None:
    """Change one thing, and let nothing notice it."""
    row = out.store.execute("select remote_id from syncbridge.link where key = %s", (str(key),)).fetchone()
    stored = out.destination.stored("Contact")
    remote_id = row[0] if row is not None and row[0] in stored else None
    if what == "row edited":
        value = values() if more[0] == "Score__c" else f"r{values()}@example.org"
        out.writer.execute(f"update people set {FIELDS[more[0]]} = %s where id = %s".encode(), (value, key))
    elif what in ("row deleted", "row left the filter"):
        sql = "delete from people" if what == "row deleted" else "update people set is_test = true"
        out.writer.execute(f"{sql} where id = %s".encode(), (key,))
    elif what == "link lost":
        out.store.execute("delete from syncbridge.link where key = %s", (str(key),))
    elif what == "base spoiled":
        out.store.execute("""update syncbridge.link set base = '{"FirstName": "nobody"}' where key = %s""", (str(key),))
    elif what == "link to another":
        other = out.store.execute("select remote_id from syncbridge.link where key = %s", (str(more[0]),)).fetchone()
        if other is not None:
            out.store.execute("update syncbridge.link set remote_id = %s where key = %s", (other[0], str(key)))
    elif what == "outbox row lost":
        out.change(f"update people set first_name = 'lost {values()}' where id = {key}", key)
        out.store.execute("delete from syncbridge.outbox")
    elif what == "stranger":
        out.destination.put("Contact", {"FirstName": "Stranger"})
    elif remote_id is not None:
        _change_record(out, what, remote_id, stored[remote_id].get("Person_Key__c"), *more, values=values)


def _change_record(
    out: SmallProject, what: str, remote_id: str, carried: Any, *more: Any, values: Callable[[], int]
) -> None:
    destination = out.destination
    if what == "record edited":
        value = float(values()) if more[0] == "Score__c" else f"t{values()}@example.org"
        destination.update("Contact", [(remote_id, {more[0]: value})])
    elif what == "record deleted":
        destination.delete("Contact", [remote_id])
    elif what == "key cleared":
        destination.update("Contact", [(remote_id, {"Person_Key__c": None})])
    elif what == "key changed":
        destination.update("Contact", [(remote_id, {"Person_Key__c": str(100 + values())})])
    elif what == "record doubled" and carried is not None:
        destination.put("Contact", {"Person_Key__c": carried, "FirstName": "Twin"})


def expected(out: SmallProject) -> dict[str, Kind]:
    """What drifted, worked out plainly from both sides and the links."""
    columns = ", ".join(FIELDS.values())
    found = out.writer.execute(f"select id::text, {columns} from people where not is_test".encode())
    rows = {key: dict(zip(FIELDS, values, strict=True)) for key, *values in found}
    records = out.destination.stored("Contact")
    links: dict[str, str] = dict(out.store.execute("select key, remote_id from syncbridge.link").fetchall())
    carried = {str(each["Person_Key__c"]) for each in records.values() if each.get("Person_Key__c") is not None}
    drift = {key: _kind(key, rows.get(key), records, links) for key in {*rows, *carried, *links}}
    return {key: kind for key, kind in drift.items() if kind is not None}


def _kind(key: str, row: Any, records: Any, links: dict[str, str]) -> Kind | None:
    carriers = [remote_id for remote_id, each in records.items() if each.get("Person_Key__c") == key]
    linked = links.get(key) if links.get(key) in records else None
    shared = linked is not None and any(other != key and links[other] == linked for other in links)
    if row is None:
        if carriers:
            return Kind.EXTRA
        return (Kind.TWO_ENTITIES if shared else Kind.EXTRA) if linked else Kind.LINK if key in links else None
    if len(carriers) > 1:
        return Kind.TWO_RECORDS
    if not carriers:
        return (Kind.TWO_ENTITIES if shared else Kind.KEY) if linked else Kind.MISSING
    if links.get(key) != carriers[0]:
        return Kind.LINK
    same = all(_plain(row[name]) == _plain(records[carriers[0]].get(name)) for name in FIELDS)
    return None if same else Kind.FIELDS


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else float(value)


def most_extra(out: SmallProject) -> int:
    """How many extra records there are of one key."""
    keys = {key for (key,) in out.writer.execute("select id::text from people where not is_test")}
    carried = [str(each.get("Person_Key__c")) for each in out.destination.stored("Contact").values()]
    return max((carried.count(key) for key in carried if key not in keys), default=0)


def start_over(out: SmallProject) -> None:
    """The same people on both sides."""
    for remote_id in list(out.destination.stored("Contact")):
        out.destination.delete("Contact", [remote_id])
    out.writer.execute("truncate people")
    for table in ("outbox", "link", "conflict"):
        out.store.execute(f"delete from syncbridge.{table}".encode())
    out.add(*range(1, PEOPLE + 1))
    out.deliver()
    age(out)


def age(out: SmallProject) -> None:
    out.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")


@pytest.mark.parametrize("page", [1000, 2])
def test_drift_is_found_exactly_and_repaired(project: SmallProject, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("comparing", "PAGE"), ("reconciler", "PAGE"), ("gathering", "PAGE")):
        monkeypatch.setattr(f"syncbridge.reconcile.{module}.{name}", page)
    reconciliations = Reconciliations(project)

    @settings(max_examples=15)
    @given(DRIFT)
    def property(steps: list[Any]) -> None:
        start_over(project)
        values = count(1)
        for step in steps:
            make_drift(project, *step, values=lambda: next(values))
        wanted = expected(project)
        assert reconciliations.drift() == wanted
        for _ in range(max(1, most_extra(project))):  # of several extra records of one key, each round deletes one
            reconciliations.repair(Side.POSTGRES, delete_extra=True)
            project.deliver()
            age(project)
        twins = {key: Kind.TWO_RECORDS for key, kind in wanted.items() if kind is Kind.TWO_RECORDS}
        assert reconciliations.drift() == expected(project) == twins

    property()
