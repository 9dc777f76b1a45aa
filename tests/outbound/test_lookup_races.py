"""Nobody waits for a record that is there, whoever commits first; and whatever refers to whatever, both sides agree."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection

from syncbridge.model import Reason
from syncbridge.outbound import waits
from syncbridge.outbound.deliver import Limits
from syncbridge.store import awaited
from tests.fix_family import COMPANIES, PEOPLE, Family, StartFamily
from tests.fix_store import advisory_locks

BOTH = PEOPLE.replace(
    "  AccountId: {lookup: companies, key: company_id}",
    "  AccountId: {lookup: companies, key: company_id}\n  ReportsToId: {lookup: people, key: manager_id}",
)


def _in_thread(work: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
    thread.start()
    return thread


def _until_blocked(family: Family, thread: threading.Thread) -> None:
    """Give way until the thread waits for a lock."""
    for _ in range(5000):
        if advisory_locks(family.store, waiting=True):
            return
        thread.join(0.005)
        assert thread.is_alive(), "it did not have to wait"
    raise AssertionError("it never came to the lock")


@pytest.mark.timeout(60)
def test_a_child_that_settles_while_its_parent_is_being_linked_is_ready_at_once(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child looked before the parent's link was there; the parent looked before the child stood in the table."""
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("companies", 1)
    family.touch("people", 10)
    written, go_on = threading.Event(), threading.Event()
    record = waits.record

    def slow(connection: Connection, mapping_id: int, *rest: object, **named: object) -> None:
        record(connection, mapping_id, *rest, **named)  # type: ignore[arg-type]
        if mapping_id == family.id("companies"):
            written.set()
            assert go_on.wait(30)

    monkeypatch.setattr(waits, "record", slow)
    parent = _in_thread(family.lanes["companies"].step)
    assert written.wait(30)
    child = _in_thread(family.lanes["people"].step)
    _until_blocked(family, child)
    go_on.set()
    parent.join()
    child.join()
    family.deliver("people")
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert (family.statuses(), family.awaited()) == ({}, [])


@pytest.mark.timeout(60)
def test_a_parent_that_is_linked_while_its_child_settles_finds_it(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    family.sql("insert into companies values (1, 'Acme')")
    family.sql("insert into people (id, name, company_id) values (10, 'Ada', 1)")
    family.touch("people", 10)
    family.touch("companies", 1)
    written, go_on = threading.Event(), threading.Event()
    add = awaited.add

    def slow(connection: Connection, mapping_id: int, rows: list[awaited.Awaited]) -> bool:
        ready = add(connection, mapping_id, rows)
        written.set()
        assert go_on.wait(30)
        return ready

    monkeypatch.setattr(awaited, "add", slow)
    child = _in_thread(family.lanes["people"].step)
    assert written.wait(30)
    parent = _in_thread(family.lanes["companies"].step)
    _until_blocked(family, parent)
    go_on.set()
    child.join()
    parent.join()
    monkeypatch.undo()
    family.deliver("people")
    assert family.remote("Contact")["10"]["AccountId"] == family.remote_id("companies", 1)
    assert (family.statuses(), family.awaited()) == ({}, [])


@pytest.mark.timeout(120)
def test_lanes_of_both_mappings_at_once_leave_nobody_behind(start_family: StartFamily) -> None:
    family = start_family(COMPANIES, BOTH, limits=Limits(batch=7))
    rng = random.Random(5)
    family.sql("insert into companies select n, 'C' from generate_series(1, 60) n")
    for key in range(1, 201):
        family.sql(
            "insert into people (id, name, company_id, manager_id) values (%s, 'P', %s, %s)",
            key, rng.randint(1, 60), rng.choice((None, rng.randint(1, 200))),
        )  # fmt: skip
    lanes = [family.lane(name, limits=Limits(batch=7)) for name in ("companies", "people", "companies", "people")]
    family.touch("people", *range(1, 201), reason=Reason.FIRST_SYNC)
    family.touch("companies", *range(1, 61), reason=Reason.FIRST_SYNC)
    failures: list[BaseException] = []

    def work(lane: int) -> None:
        try:
            for _ in range(120):
                lanes[lane].step()
        except BaseException as error:
            failures.append(error)

    threads = [_in_thread(work, lane) for lane in range(4)]
    for thread in threads:
        thread.join()
    assert failures == []
    family.deliver()
    _assert_right(family)
    assert len(family.crm.sent) <= 260 + 200


def _assert_right(family: Family) -> None:
    """Every remote record refers to the record that its row names."""
    assert (family.statuses(), family.awaited()) == ({}, [])
    contacts = family.remote("Contact")
    rows = family.sql("select id, company_id, manager_id from people")
    assert len(contacts) == len(rows)
    for key, company, manager in rows:
        record = contacts[str(key)]
        assert record["AccountId"] == (None if company is None else family.remote_id("companies", company))
        assert record["ReportsToId"] == (None if manager is None else family.remote_id("people", manager))


PEOPLE_OF = st.lists(st.tuples(st.none() | st.integers(1, 3), st.none() | st.integers(1, 9)), min_size=9, max_size=9)


@settings(max_examples=25, derandomize=True)
@given(people=PEOPLE_OF, batch=st.sampled_from([1, 2, 100]), order=st.randoms(use_true_random=False))
def test_any_graph_of_managers_converges_and_sends_no_record_more_than_twice(
    start_shared: Family, people: list[tuple[int | None, int | None]], batch: int, order: random.Random
) -> None:
    family = start_shared
    _begin_anew(family, batch)
    family.sql("insert into companies select n, 'C' from generate_series(1, 3) n")
    for key, (company, manager) in enumerate(people, start=1):
        family.sql(
            "insert into people (id, name, company_id, manager_id) values (%s, 'P', %s, %s)", key, company, manager
        )
    work = [("people", key) for key in range(1, 10)] + [("companies", key) for key in range(1, 4)]
    order.shuffle(work)
    for name, key in work:
        family.touch(name, key)
        if order.random() < 0.5:
            family.step(order.choice(["people", "companies"]))
    family.deliver()
    _assert_right(family)
    assert max(family.crm.times("Contact", key) for key in range(1, 10)) <= 2
    assert max(family.crm.times("Account", key) for key in range(1, 4)) == 1


@pytest.fixture
def start_shared(start_family: StartFamily) -> Family:
    return start_family(COMPANIES, BOTH)


def _begin_anew(family: Family, batch: int) -> None:
    family.sql("truncate people, companies")
    family.store.execute("truncate syncbridge.outbox, syncbridge.link, syncbridge.awaited, syncbridge.fan_out")
    for object in ("Contact", "Account"):
        family.crm.delete(object, list(family.crm.stored(object)))
    family.crm.sent.clear()
    for lane in family.lanes.values():
        lane.limits = Limits(batch=batch)
        lane._claim_size = batch
