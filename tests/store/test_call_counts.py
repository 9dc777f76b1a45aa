"""What calls cost: added up by all workers, for an hour and a day, and forgotten after that."""

from __future__ import annotations

import pytest
from psycopg import Connection

from syncbridge.store import call_counts
from syncbridge.store.call_counts import DAY, HOUR, Counted


def counted(kind: str, mapping: str = "people", destination: str = "crm") -> Counted:
    return Counted(destination, mapping, kind)


def age(store: Connection, interval: str) -> None:
    store.execute("update syncbridge.call_count set since = since - %s::interval", (interval,))


def test_what_several_workers_add_is_one_sum(store: Connection) -> None:
    for _ in range(2):
        call_counts.add(store, {counted("upsert"): 5, counted("query"): 1, counted("delivered"): 1000})
    cost = call_counts.costs(store, seconds=HOUR)["crm", "people"]
    assert (cost.calls, cost.delivered, cost.per_thousand) == (12, 2000, 6.0)
    assert list(cost.kinds.items()) == [("upsert", 10), ("query", 2)]


def test_a_destination_costs_what_its_mappings_cost_and_what_belongs_to_none(store: Connection) -> None:
    call_counts.add(
        store,
        {
            counted("upsert"): 1,
            counted("delivered"): 100,
            counted("upsert", "parts"): 2,
            counted("delivered", "parts"): 300,
            counted("describe", ""): 3,
            counted("upsert", "parts", "other"): 40,
        },
    )
    costs = call_counts.costs(store, seconds=HOUR)
    assert costs.keys() == {("crm", None), ("crm", "people"), ("crm", "parts"), ("other", None), ("other", "parts")}
    assert (costs["crm", None].calls, costs["crm", None].delivered, costs["crm", None].per_thousand) == (6, 400, 15.0)
    assert costs["other", None].per_thousand is None


def test_logins_are_shown_but_count_towards_nothing(store: Connection) -> None:
    call_counts.add(store, {counted("login", ""): 2, counted("limits", ""): 1})
    cost = call_counts.costs(store, seconds=HOUR)["crm", None]
    assert cost.calls == 1
    assert cost.kinds == {"login": 2, "limits": 1}


@pytest.mark.parametrize(("old", "hour", "day"), [("50 min", 1, 1), ("2 h", 0, 1), ("25 h", 0, 0)])
def test_an_hour_and_a_day_are_told_apart(store: Connection, old: str, hour: int, day: int) -> None:
    call_counts.add(store, {counted("upsert"): 1})
    age(store, old)
    assert len(call_counts.costs(store, seconds=HOUR)) == 2 * hour
    assert len(call_counts.costs(store, seconds=DAY)) == 2 * day


def test_what_is_older_than_two_days_is_forgotten(store: Connection) -> None:
    call_counts.add(store, {counted("upsert"): 1})
    age(store, "47 h")
    call_counts.prune(store)
    assert store.execute("select count(*) from syncbridge.call_count").fetchone() == (1,)
    age(store, "2 h")
    call_counts.prune(store)
    assert store.execute("select count(*) from syncbridge.call_count").fetchone() == (0,)
