"""Random edits, deletes, polls, deliveries, lost answers and deaths on both sides: when quiet, both sides are equal by
the stated rules, no value is there that nobody wrote, and an edit that lost stands in the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.store import claims, links
from tests.fix_store import MOMENT, end_leases
from tests.fix_two_way import StartTwoWay, TwoWayProject

FIELDS = {"FirstName": "first_name", "LastName": "last_name"}
PEOPLE = st.integers(0, 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("local"), PEOPLE, st.sampled_from(sorted(FIELDS))),
        st.tuples(st.just("remote"), PEOPLE, st.sampled_from(sorted(FIELDS)), st.sampled_from([-60, 60])),
        st.tuples(st.just("alike"), PEOPLE),
        st.tuples(st.just("deleted here"), PEOPLE),
        st.tuples(st.just("deleted there"), PEOPLE, st.sampled_from([-60, 60])),
        st.sampled_from([("poll",), ("deliver",), ("lost answer",), ("death",), ("time passes",)]),
    ),
    max_size=14,
)


@dataclass
class Story:
    """What happened to the people of one example."""

    both: TwoWayProject
    keys: list[int]
    values: Iterator[str]
    written: set[str] = field(default_factory=set)  # by anybody
    last: dict[tuple[int, str, str], str] = field(default_factory=dict)  # (key, field, side) -> last edit
    seen: set[str] = field(default_factory=set)  # values that somebody replaced who could see them

    def value(self) -> str:
        value = next(self.values)
        self.written.add(value)
        return value

    def local(self, key: int, name: str, value: str | None = None) -> None:
        row = self.both.row(key, FIELDS[name])
        if row is not None:
            self.seen.add(row[0])
            self.last[key, name, "local"] = value = value or self.value()
            self.both.out.writer.execute(f"update people set {FIELDS[name]} = %s where id = %s".encode(), (value, key))
            self.both.out.touch(key)

    def remote(self, key: int, name: str, seconds: int, value: str | None = None) -> None:
        record = self.both.out.remote().get(str(key))
        if record is not None:
            self.seen.add(str(record[name]))
            self.last[key, name, "remote"] = value = value or self.value()
            self.both.now = MOMENT + timedelta(seconds=seconds)
            self.both.out.destination.upsert("Contact", "Person_Key__c", [{"Person_Key__c": str(key), name: value}])

    def delete_here(self, key: int) -> None:
        self.seen.update(str(value) for value in self.both.row(key, *FIELDS.values()) or ())
        self.both.out.change(f"delete from people where id = {key}", key)

    def delete_there(self, key: int, seconds: int) -> None:
        link = links.read(self.both.out.store, self.both.out.mapping_id, str(key))
        if link is not None:
            record = self.both.out.destination.stored("Contact").get(link.remote_id, {})
            self.seen.update(str(record.get(name)) for name in FIELDS)
            self.both.now = MOMENT + timedelta(seconds=seconds)
            self.both.out.destination.delete("Contact", [link.remote_id])

    def step(self, kind: str, *what: Any) -> None:
        both = self.both
        if kind == "local":
            self.local(self.keys[what[0]], str(what[1]))
        elif kind == "remote":
            self.remote(self.keys[what[0]], str(what[1]), what[2])
        elif kind == "alike":
            value = self.value()
            self.local(self.keys[what[0]], "FirstName", value)
            self.remote(self.keys[what[0]], "FirstName", 60, value)
        elif kind == "deleted here":
            self.delete_here(self.keys[what[0]])
        elif kind == "deleted there":
            self.delete_there(self.keys[what[0]], what[1])
        elif kind == "poll":
            both.poll()
        elif kind == "deliver":
            both.out.deliverer.step()
        elif kind == "lost answer":
            both.out.destination.faults.fail_after_write()
        elif kind == "death":
            claims.claim(both.out.store, both.out.mapping_id, limit=10, lease=60)
        else:
            end_leases(both.out.store)
            both.age_links()

    def come_to_rest(self) -> None:
        """Everything is captured, polled and delivered until nothing moves."""
        both = self.both
        both.out.destination.faults.clear()
        for _ in range(3):
            end_leases(both.out.store)
            both.age_links()
            both.poll()
            both.out.touch(*self.keys)
            both.out.deliver()

    def check(self) -> None:
        both = self.both
        both.poll()
        assert (both.out.left(), both.rechecks()) == ([], [])
        decided = str([both.decisions(key) for key in self.keys])
        remote = both.out.remote()
        for key in self.keys:
            row, record = both.row(key, *FIELDS.values()), remote.get(str(key))
            assert (row is None) == (record is None), (row, record)
            if row is None or record is None:
                continue
            assert row == tuple(record[name] for name in FIELDS)
            for name, value in zip(FIELDS, row, strict=True):
                assert value in self.written
                for side in ("local", "remote"):
                    edit = self.last.get((key, name, side), value)
                    assert edit == value or edit in self.seen or edit in decided, f"{edit} vanished without a word"


def test_both_sides_converge_and_no_edit_vanishes_without_a_word(start_two_way: StartTwoWay) -> None:
    both = start_two_way(
        ("deletes: {to_destination: delete}", "deletes: {to_destination: delete, to_postgres: delete}")
    )
    numbers, values = count(1), (f"v{number}." for number in count(1))

    @settings(max_examples=15)
    @given(STEPS)
    def tell(steps: list[tuple[object, ...]]) -> None:
        story = Story(both, [next(numbers), next(numbers)], values)
        for key in story.keys:
            first, last = story.value(), story.value()
            both.out.writer.execute(
                "insert into people (id, first_name, last_name) values (%s, %s, %s)", (key, first, last)
            )
        both.out.touch(*story.keys)
        both.out.deliver()
        for kind, *what in steps:
            story.step(str(kind), *what)
        story.come_to_rest()
        story.check()

    tell()
