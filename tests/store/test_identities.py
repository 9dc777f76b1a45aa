"""Which system a destination is: the first that was met, until nothing is linked there any more."""

from __future__ import annotations

from syncbridge.store import identities
from tests.fix_delivery import SmallProject


def test_the_first_is_remembered_and_another_one_does_not_take_its_place(project: SmallProject) -> None:
    project.writer.execute("insert into people (id) values (1)")
    assert identities.meet(project.store, "crm", "one") == "one"
    project.touch(1)
    project.deliver()
    assert identities.meet(project.store, "crm", "two") == "one"
    assert identities.meet(project.store, "crm", "one") == "one"
    assert identities.read_all(project.store) == {"crm": "one"}


def test_where_nothing_is_linked_any_system_will_do(project: SmallProject) -> None:
    assert identities.meet(project.store, "crm", "one") == "one"
    assert identities.meet(project.store, "crm", "two") == "two"
