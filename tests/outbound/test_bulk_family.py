"""Parents and children that go by bulk jobs: children wait, and name the records of their parents."""

from __future__ import annotations

import itertools

from syncbridge.destinations.memory_bulk import MemoryBulk
from syncbridge.mapping.kinship import kinship
from syncbridge.source import rows
from syncbridge.store import awaited
from tests.fix_bulk import Carrier, carrier
from tests.fix_family import COMPANIES, PEOPLE, Family, StartFamily
from tests.fix_store import make_due

OPTIONAL = PEOPLE.replace("key: company_id}", "key: company_id, missing: empty}")


def carriers(family: Family) -> dict[str, Carrier]:
    """Who carries the jobs of each mapping, and a clock that runs."""
    bulk = family.crm.bulk = MemoryBulk(family.crm, bulk_from=5)
    numbers, time = itertools.count(1 << 40), itertools.count(step=5.0)
    kin = kinship({name: id for name, (id, _) in family.mappings.items()}, dict(family.mappings.values()))
    made = {}
    for name, (id, compiled) in family.mappings.items():
        source = family.connect()
        rows.prepare(source)
        made[name] = carrier(
            id,
            compiled,
            family.crm,
            bulk,
            family.connect(),
            source,
            lambda: next(numbers),
            kin=kin[id],
            clock=lambda: next(time),
        )
    return made


def carry(family: Family, carriers: dict[str, Carrier], *names: str) -> None:
    for _ in range(30):
        make_due(family.store)
        family.fan_out()
        for name in names or carriers:
            carriers[name].step()


def fill(family: Family) -> None:
    family.sql("insert into companies select n, 'Firm ' || n from generate_series(1, 10) n")
    family.sql("insert into people (id, name, company_id) select n, 'P', 1 + n % 10 from generate_series(1, 40) n")


def test_children_wait_for_their_parents_job_and_follow_by_a_job(start_family: StartFamily) -> None:
    family = start_family(COMPANIES, PEOPLE)
    both = carriers(family)
    fill(family)
    family.touch("people", *range(1, 41))
    carry(family, both)
    assert set(family.statuses().values()) == {"waiting"}
    family.touch("companies", *range(1, 11))
    carry(family, both, "companies")
    awaited.release(family.store, family.id("people"))  # what each lane's step begins with
    carry(family, both, "people")
    people = family.remote("Contact")
    assert len(people) == 40
    assert all(people[str(n)]["AccountId"] == family.remote_id("companies", 1 + n % 10) for n in range(1, 41))
    assert family.crm.sent == []
    assert (family.statuses(), family.awaited()) == ({}, [])


def test_parents_whose_record_is_another_one_refresh_their_children(start_family: StartFamily) -> None:
    family = start_family(COMPANIES, PEOPLE)
    both = carriers(family)
    fill(family)
    family.touch("companies", *range(1, 11))
    carry(family, both, "companies")
    family.touch("people", *range(1, 41))
    carry(family, both)
    for remote_id in family.crm.stored("Account"):
        family.crm.delete_all("Account", [remote_id])
    family.sql("update companies set name = name || ' Ltd'")
    family.touch("companies", *range(1, 11))
    carry(family, both)
    family.deliver()
    carry(family, both)
    people = family.remote("Contact")
    assert all(people[str(n)]["AccountId"] == family.remote_id("companies", 1 + n % 10) for n in range(1, 41))
    assert {fields["Name"] for fields in family.remote("Account").values()} == {f"Firm {n} Ltd" for n in range(1, 11)}
    assert family.statuses() == {}


def test_what_is_sent_without_a_lookup_goes_by_lanes_and_once_more_later(start_family: StartFamily) -> None:
    family = start_family(COMPANIES, OPTIONAL)
    both = carriers(family)
    fill(family)
    family.sql("update people set company_id = null where id <= 20")
    family.touch("people", *range(1, 41))
    carry(family, both)
    assert len(family.remote("Contact")) == 20
    family.deliver("people")
    assert len(family.crm.sent) == 20
    family.touch("companies", *range(1, 11))
    carry(family, both)
    family.deliver()
    people = family.remote("Contact")
    assert all(people[str(n)]["AccountId"] == family.remote_id("companies", 1 + n % 10) for n in range(21, 41))
    assert (family.statuses(), family.awaited()) == ({}, [])
