"""Pages may show records as they were for some seconds: nothing that we wrote comes back, no older value is written.

Somebody there changes first names only, somebody here last names only; so there is nothing to decide, whatever a page
shows: each last value must end on both sides, and a name may only ever travel in its own direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.destinations.feed import ChangesPage, RemoteChange
from syncbridge.store import claims
from tests.fix_store import end_leases, make_due
from tests.fix_two_way import StartTwoWay, TwoWayProject

STEPS = st.lists(
    st.sampled_from(
        [
            "local",
            "local",
            "unseen",
            "deliver",
            "deliver",
            "remote",
            "poll",
            "poll",
            "lost answer",
            "death",
            "time passes",
        ]
    ),
    min_size=4,
    max_size=20,
)
AGES = st.lists(st.integers(0, 2), min_size=2, max_size=6)


@dataclass
class LateViews:
    """Lets pages show records as they were up to some versions ago, and again as they are with the next poll."""

    both: TwoWayProject
    ages: Iterator[int]
    versions: dict[str, list[RemoteChange]] = field(default_factory=dict)  # that a page can still show, newest last
    again: set[str] = field(default_factory=set)
    late: bool = True

    def __post_init__(self) -> None:
        self._changes = self.both.out.destination.changes
        self.both.out.destination.changes = self.changes  # type: ignore[method-assign]

    def changes(self, object: str, fields: Any, position: str | None, **options: Any) -> ChangesPage:
        page = self._changes(object, fields, position, **options)
        shown = {each.remote_id for each in page.changes} | self.again
        self.again = set()
        return ChangesPage(tuple(self._seen(each) for each in sorted(shown)), page.position, page.more)

    def _seen(self, remote_id: str) -> RemoteChange:
        versions = self.versions[remote_id]
        age = min(next(self.ages), len(versions) - 1) if self.late else 0
        if age:
            self.again.add(remote_id)
        return versions[-1 - age]

    def look(self) -> None:
        """Keep what the records hold now, where that is new."""
        for remote_id, stored in self.both.out.destination.stored("Contact").items():
            modified = self.both.out.destination.feed.modified("Contact", remote_id)
            versions = self.versions.setdefault(remote_id, [])
            if not versions or versions[-1].fields != stored:
                versions.append(RemoteChange(remote_id, modified, stored))

    def time_passes(self) -> None:
        """What was written up to now is seen by every query."""
        self.versions = {remote_id: versions[-1:] for remote_id, versions in self.versions.items()}
        self.both.age_links()

    def end(self) -> None:
        self.both.out.destination.changes = self._changes  # type: ignore[method-assign]


def step(both: TwoWayProject, views: LateViews, kind: str, key: int, value: str) -> None:
    if kind in ("local", "unseen"):
        both.out.writer.execute("update people set last_name = %s where id = %s", (value, key))
        if kind == "local":
            both.out.touch(key)
    elif kind == "deliver":
        both.out.deliverer.step()
    elif kind == "remote" and str(key) in both.out.remote():
        faults = both.out.destination.faults
        lost, faults.lost_answers = faults.lost_answers, 0  # the next answer is lost to us, not to them
        both.edit(key, FirstName=value)
        faults.lost_answers = lost
    elif kind == "poll":
        both.poll()
    elif kind == "lost answer":
        both.out.destination.faults.fail_after_write()
    elif kind == "death":
        claims.claim(both.out.store, both.out.mapping_id, limit=10, lease=60)
    elif kind == "time passes":
        end_leases(both.out.store)
        make_due(both.out.store)
        views.time_passes()
    views.look()


def come_to_rest(both: TwoWayProject, views: LateViews, key: int) -> None:
    both.out.destination.faults.clear()
    for _ in range(3):
        views.time_passes()
        views.late = False
        end_leases(both.out.store)
        both.poll()
        both.out.touch(key)
        both.out.deliver()
        views.look()


def test_whatever_state_pages_show_names_travel_in_their_own_direction_only(start_two_way: StartTwoWay) -> None:
    both = start_two_way()
    keys = count(1)

    @settings(max_examples=40)
    @given(STEPS, AGES)
    def tell(steps: list[str], ages: list[int]) -> None:
        key = next(keys)
        both.out.add(key)
        both.out.deliver()
        views = LateViews(both, cycle(ages))
        try:
            views.look()
            sent = len(both.out.destination.sent)
            last = {"FirstName": f"First {key}", "LastName": f"Last {key}"}
            for number, kind in enumerate(steps):
                step(both, views, kind, key, f"{kind} {number}")
                if kind in ("local", "unseen", "remote"):
                    last["FirstName" if kind == "remote" else "LastName"] = f"{kind} {number}"
            come_to_rest(both, views, key)
            assert both.row(key, "first_name", "last_name") == (last["FirstName"], last["LastName"])
            assert both.out.remote()[str(key)].items() >= last.items()
            assert {name for each in both.out.destination.sent[sent:] for name in each} <= {"Person_Key__c", "LastName"}
            assert {entry.fields for entry in both.log(key)} <= {"FirstName"}
            assert both.decisions(key) == []
            assert both.rechecks() == []
        finally:
            views.end()

    tell()
