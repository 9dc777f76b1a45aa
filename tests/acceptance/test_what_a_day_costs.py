"""API calls of an ordinary day, counted to the last one: by the org, and by `status`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fix_project import WholeProject, until

#: What the project of the tests sets otherwise than a user who sets nothing.
WORKER = '[worker]\nlanes = 1\nlinger = "0s"\nbatch = 200\n'


@pytest.fixture
def org(whole: WholeProject) -> WholeProject:
    """In force and in sync, the org's counts at zero; a worker would have default settings."""
    text = whole.settings_file.read_text()
    assert WORKER in text
    whole.settings_file.write_text(text.replace(WORKER, ""))
    whole.done("setup")
    with whole.worker_here():
        whole.wait()
    whole.salesforce.control.reset_stats()
    whole.sql("truncate syncbridge.call_count")
    return whole


@contextmanager
def working(whole: WholeProject) -> Iterator[None]:
    """A worker that has signed in and knows both objects, whose calls until then are not counted."""
    with whole.worker_here():
        whole.sql("update people set last_name = 'Signed in' where id = 5")
        whole.sql("update parts set name = 'Signed in' where number = 3")
        whole.wait()
        whole.salesforce.control.reset_stats()
        yield


def calls(whole: WholeProject) -> dict[str, int]:
    """Route -> requests that reached the org since its counts were at zero."""
    counted: dict[str, int] = whole.salesforce.control.stats()["calls"]
    return {route.partition(" ")[2]: number for route, number in counted.items()}


def told(whole: WholeProject) -> dict[str, Any]:
    """What `status` says that people cost in the last hour."""
    found = whole.run("status", "people", "--json").json["mappings"][0]["hour"]
    assert isinstance(found, dict)
    return found


def test_a_worker_signs_in_once_and_describes_each_object_once_when_it_has_something_to_send(
    org: WholeProject,
) -> None:
    with org.worker_here():
        org.sql("update people set last_name = 'New' where id < 4")
        org.sql("update parts set name = 'New'")
        org.wait()
    assert calls(org) == {"token": 1, "describe": 2, "collections_upsert": 2}


def test_a_worker_that_has_nothing_to_send_makes_no_call_at_all(org: WholeProject) -> None:
    with org.worker_here():
        beats = org.sql("select seen_at from syncbridge.worker")
        until(lambda: org.sql("select seen_at from syncbridge.worker") != beats, what="a sign of life")
        org.wait()
    assert calls(org) == {}


def test_updates_that_change_nothing_make_no_call(org: WholeProject) -> None:
    with working(org):
        org.sql("update people set first_name = first_name")
        org.wait()
    assert calls(org) == {}


def test_one_change_is_one_call(org: WholeProject) -> None:
    with working(org):
        org.sql("update people set first_name = 'Ann' where id = 1")
        org.wait()
    assert calls(org) == {"collections_upsert": 1}
    assert told(org) == {"calls": 2, "delivered": 2, "kinds": {"upsert": 2}, "per_thousand": 1000.0}


def test_ten_thousand_changes_that_are_due_are_fifty_calls_where_there_are_no_bulk_jobs(org: WholeProject) -> None:
    org.add_settings("bulk_from = 0\n")  # of the destination, whose section is the last
    org.add_settings("[worker]\nlanes = 1\n")  # two that take the last rows at the same moment share a call's worth
    with working(org):
        org.done("pause", "people")
        org.sql("insert into people (id, last_name) select n, 'Last ' || n from generate_series(1001, 11000) as n")
        until(lambda: org.waiting("people") == 10_000, what="all of them in the outbox")
        org.done("resume", "people")
        org.wait()
    assert calls(org) == {"collections_upsert": 50}
    assert told(org) == {"calls": 51, "delivered": 10_001, "kinds": {"upsert": 51}, "per_thousand": 5.1}


def test_what_was_spent_is_kept_when_a_worker_ends_and_added_to_by_the_next(org: WholeProject) -> None:
    for n in (1, 2):
        with org.worker_here():
            org.sql("update people set first_name = %s where id = %s", f"Ann {n}", n)
            org.wait()
        assert told(org) == {"calls": n, "delivered": n, "kinds": {"upsert": n}, "per_thousand": 1000.0}
    shown = org.run("status").out
    assert "API calls in 24 h: 2 (upsert 2), 1,000 for 1,000 records" in shown
    destination = org.run("status", "--json").json["destinations"][0]
    assert destination["day"]["kinds"] == {"describe": 2, "login": 2, "upsert": 2}
    assert (destination["day"]["calls"], destination["day"]["per_thousand"]) == (4, 2000.0)


def test_a_requeue_of_many_dead_letters_describes_their_object_once(org: WholeProject) -> None:
    org.add_settings("bulk_from = 0\n")  # of the destination, whose section is the last
    org.add_settings("[worker]\nlanes = 1\n")  # each lane describes for itself, and so do those who make jobs
    org.salesforce.control.change_field("Contact", "LastName", length=3)
    with org.worker_here():
        org.sql("insert into people (id, last_name) select n, 'Long ' || n from generate_series(1001, 4000) as n")
        assert "3,000 dead letters" in org.run("wait", "people").out
    org.salesforce.control.change_field("Contact", "LastName", length=80)
    org.salesforce.control.reset_stats()
    with org.worker_here():
        org.done("requeue", "people", "--all")
        org.wait("people")
    assert org.dead() == {}
    assert calls(org) == {"token": 1, "describe": 1, "collections_upsert": 15}
