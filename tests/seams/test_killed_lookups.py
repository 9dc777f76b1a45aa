"""Workers are killed while parts wait for the people that own them: every part comes to name its owner's record."""

from __future__ import annotations

import pytest

from tests.fix_project import WholeProject
from tests.seams.conftest import TIMES, Killing

pytestmark = [pytest.mark.seams, pytest.mark.timeout(240)]

KILLS = 6 * TIMES

OWNERS = """
alter table parts add owner bigint references people (id) on delete set null on update cascade;
create function choose_owner() returns trigger language plpgsql as $$
begin
    new.owner := (select id from people order by random() limit 1);
    return new;
end $$;
create trigger choosing before insert or update of stock on parts for each row execute function choose_owner();
update parts set stock = stock;
"""


@pytest.fixture
def whole(whole: WholeProject) -> WholeProject:
    """Parts have owners."""
    whole.sql(OWNERS)
    return whole


@pytest.fixture
def part_fields() -> str:
    return "\n  Owner__c: {lookup: people, key: owner}"


@pytest.mark.parametrize("moment", ["before", "inside", "after"])
def test_a_worker_that_is_killed_as_it_settles_leaves_no_child_behind(killing: Killing, moment: str) -> None:
    for _ in range(KILLS):
        killing.kill_at(f"settle {moment}")
    _drain(killing)


def test_a_worker_that_is_killed_at_any_time_leaves_no_child_behind(killing: Killing) -> None:
    for _ in range(KILLS):
        killing.kill_at_random()
    _drain(killing)


def _drain(killing: Killing) -> None:
    """What names a person that the filter leaves out would wait for ever."""
    killing.whole.sql(
        "insert into parts (maker, number, name, stock)"
        " select 'last', n, 'Part', 1 from generate_series(900001, 900010) as n"
    )
    killing.whole.sql("update parts set owner = null where owner in (select id from people where is_test)")
    killing.drain()
    assert killing.whole.sql("select key from syncbridge.awaited") == []
    ids = {record["Person_Key__c"]: record["Id"] for record in killing.whole.records("people")}
    owners = {str(number): owner for number, owner in killing.whole.sql("select number, owner from parts")}
    assert sum(owner is not None for owner in owners.values()) > 5
    for record in killing.whole.records("parts"):
        owner = owners[str(record["Part_Key__c"]).rsplit('"', 2)[1]]
        assert record["Owner__c"] == (None if owner is None else ids[str(owner)])
