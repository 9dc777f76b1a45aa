"""Random moves between parents on both sides, with polls, deliveries, deaths and parents that come late: when quiet,
every record refers to the record of the row that its own row refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.model import Normal
from tests.fix_family_both import COMPANIES, PEOPLE, FamilyBoth, StartFamilyBoth
from tests.fix_store import MOMENT, end_leases

PERSON, COMPANY = st.integers(0, 1), st.integers(0, 2)
CHOICE = st.none() | COMPANY
LATER = st.sampled_from([-60, 60])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("moved here"), PERSON, CHOICE),
        st.tuples(st.just("moved there"), PERSON, CHOICE, LATER),
        st.tuples(st.just("manager here"), PERSON, st.none() | PERSON),
        st.tuples(st.just("manager there"), PERSON, st.none() | PERSON, LATER),
        st.tuples(st.just("moved to a stranger"), PERSON, LATER),
        st.tuples(st.just("moved to a new row"), PERSON),
        st.tuples(st.just("parent made anew"), COMPANY),
        st.tuples(st.sampled_from(["poll", "deliver"]), st.sampled_from(["companies", "people"])),
        st.sampled_from([("strangers get rows",), ("lost answer",), ("death",), ("time passes",)]),
    ),
    max_size=12,
)
NUMBERS = count(1)


@dataclass
class Story:
    """People and companies of one example, on both sides."""

    both: FamilyBoth
    people: list[int]
    companies: list[int]
    strangers: list[str] = field(default_factory=list)  # records of companies without a row

    def run(self, kind: str, *what: Any) -> None:
        getattr(self, kind.replace(" ", "_"))(*what)

    def moved_here(self, person: int, company: int | None) -> None:
        self._write(person, "company_id", None if company is None else self.companies[company])

    def manager_here(self, person: int, manager: int | None) -> None:
        self._write(person, "manager_id", None if manager is None else self.people[manager])

    def moved_there(self, person: int, company: int | None, seconds: int) -> None:
        remote_id = None if company is None else self.both.family.remote_id("companies", self.companies[company])
        if remote_id is None or remote_id in self.both.family.crm.stored("Account"):
            self._edit(person, seconds, AccountId=remote_id)

    def manager_there(self, person: int, manager: int | None, seconds: int) -> None:
        remote_id = None if manager is None else self.both.id("people", self.people[manager])
        self._edit(person, seconds, ReportsToId=remote_id)

    def moved_to_a_stranger(self, person: int, seconds: int) -> None:
        self.strangers.append(self.both.make("Account", Name="stranger"))
        self._edit(person, seconds, AccountId=self.strangers[-1])

    def moved_to_a_new_row(self, person: int) -> None:
        key = next(NUMBERS)
        self.both.family.sql("insert into companies (id, name) values (%s, 'late')", key)
        self.both.family.touch("companies", key)
        self._write(person, "company_id", key)

    def parent_made_anew(self, company: int) -> None:
        """Somebody deletes its record, and a later change of the row makes it anew."""
        key = self.companies[company]
        if remote_id := self.both.family.remote_id("companies", key):
            self.both.family.crm.delete("Account", [remote_id])
            self._clear_lookups(remote_id, besides=key)
        self.both.family.sql("update companies set name = name || '.' where id = %s", key)
        self.both.family.touch("companies", key)
        self.both.family.store.execute(
            "update syncbridge.outbox set changed_at = now() + interval '1 hour' where mapping_id = %s and key = %s",
            (self.both.family.id("companies"), str(key)),
        )

    def strangers_get_rows(self) -> None:
        """As their own mapping does it."""
        for remote_id in self.strangers:
            key = next(NUMBERS)
            self.both.family.sql("insert into companies (id, name) values (%s, 'stranger')", key)
            self.both.link("companies", key, remote_id, Name="stranger", ParentId=None)
            self.both.family.crm.update("Account", [(remote_id, {"Key__c": str(key)})])
        self.strangers.clear()

    def poll(self, name: str) -> None:
        self.both.poll(name)

    def deliver(self, name: str) -> None:
        self.both.family.step(name)

    def lost_answer(self) -> None:
        self.both.family.crm.faults.fail_after_write()

    def death(self) -> None:
        self.both.family.kill()

    def time_passes(self) -> None:
        end_leases(self.both.family.store)
        self.both.age_links()

    def come_to_rest(self) -> None:
        both = self.both
        both.family.crm.faults.clear()
        for _ in range(5):
            self.time_passes()
            self.strangers_get_rows()
            both.poll()
            ours = both.family.sql("select id from companies where id >= %s", min(self.people))
            both.family.touch("companies", *(key for (key,) in ours))
            both.family.touch("people", *self.people)
            for _ in range(4):
                both.family.fan_out()
                both.family.step("companies")
                both.family.step("people")
        both.poll()

    def check(self) -> None:
        both = self.both
        assert both.family.statuses() == {}
        assert both.family.store.execute("select count(*) from syncbridge.parent_wait").fetchone() == (0,)
        for key in self.people:
            company, manager = both.row("people", key, "company_id, manager_id")
            record = both.record("people", key)
            assert record["AccountId"] == self._id("companies", company), f"person {key} of company {company}"
            assert record["ReportsToId"] == self._id("people", manager), f"person {key} under {manager}"
            assert both.held("people", key) is None

    def _id(self, name: str, key: int | None) -> Normal:
        return None if key is None else self.both.id(name, key)

    def _clear_lookups(self, remote_id: str, *, besides: int) -> None:
        """As Salesforce does with a deleted record; those of its row's own people follow it to the new one."""
        for person, key in enumerate(self.people):
            if self.both.row("people", key, "company_id") == (besides,) or not self.both.family.remote_id(
                "people", key
            ):
                continue
            if self.both.record("people", key)["AccountId"] == remote_id:
                self._edit(person, 0, AccountId=None)

    def _write(self, person: int, column: str, key: int | None) -> None:
        self.both.family.sql(f"update people set {column} = %s where id = %s", key, self.people[person])
        self.both.family.touch("people", self.people[person])

    def _edit(self, person: int, seconds: int, **fields: Any) -> None:
        self.both.now = MOMENT + timedelta(seconds=seconds)
        self.both.family.crm.update("Contact", [(self.both.id("people", self.people[person]), fields)])


def test_moves_on_both_sides_converge(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(COMPANIES, PEOPLE)

    @settings(max_examples=12)
    @given(STEPS)
    def tell(steps: list[tuple[object, ...]]) -> None:
        for table in ("outbox", "awaited", "recheck", "parent_wait", "fan_out"):  # what an example that failed left
            both.family.store.execute(f"delete from syncbridge.{table}".encode())
        story = Story(both, [next(NUMBERS) for _ in range(2)], [next(NUMBERS) for _ in range(3)])
        for key in story.companies:
            both.family.sql("insert into companies (id, name) values (%s, 'company')", key)
        for key in story.people:
            both.family.sql(
                "insert into people (id, name, company_id) values (%s, 'person', %s)", key, story.companies[0]
            )
        both.family.touch("companies", *story.companies)
        both.family.touch("people", *story.people)
        story.come_to_rest()
        for kind, *what in steps:
            story.run(str(kind), *what)
        story.come_to_rest()
        story.check()

    tell()
