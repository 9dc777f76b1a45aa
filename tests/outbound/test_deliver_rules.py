"""Rules of data quality: what does not hold them is not sent, and too many refusals stop the mapping."""

from __future__ import annotations

from syncbridge.model import MappingStatus, Reason
from syncbridge.store import mappings
from tests.fix_delivery import SmallProject, Start

RULES = (
    "fields:",
    "require:\n  has_mail: email like '%@%'\n  adult: born < date '2008-01-01'\nfields:",
)
SHARE = ("changes: off", "changes: off, refused: 25% per hour")


def _insert(project: SmallProject, key: int, email: str | None, born: str | None = "1990-01-01") -> None:
    project.writer.execute("insert into people (id, email, born) values (%s, %s, %s)", (key, email, born))
    project.touch(key)


def test_a_row_that_breaks_a_rule_is_held_with_the_names_of_the_rules(start: Start) -> None:
    project = start(RULES)
    _insert(project, 1, "a@b.c")
    _insert(project, 2, "no mail")
    _insert(project, 3, None, "2020-01-01")
    _insert(project, 4, "a@b.c", None)  # null does not hold
    project.deliver()
    assert set(project.remote()) == {"1"}
    broken = {"2": "has_mail", "3": "has_mail, adult", "4": "adult"}
    assert project.left() == list(broken)
    for key, names in broken.items():
        held = project.waiting(key)
        assert held is not None
        told = "the mapping requires what does not hold: " + names
        assert (held.status, held.code, held.message) == ("dead", "RULE_NOT_HELD", told)


def test_it_goes_out_by_itself_when_its_row_holds(start: Start) -> None:
    project = start(RULES)
    _insert(project, 1, "no mail")
    project.deliver()
    project.change("update people set email = 'a@b.c'", 1)
    project.deliver()
    assert set(project.remote()) == {"1"}
    assert project.left() == []


def test_a_record_stays_as_it_is_when_its_row_breaks_a_rule_and_goes_when_the_row_is_gone(start: Start) -> None:
    project = start(RULES)
    _insert(project, 1, "a@b.c")
    project.deliver()
    project.change("update people set email = 'none', first_name = 'Ann'", 1)
    project.deliver()
    assert project.remote()["1"]["Email"] == "a@b.c"
    project.change("delete from people", 1)
    project.deliver()
    assert project.remote() == {}


def test_a_rule_that_fails_on_a_row_refuses_only_that_row(start: Start) -> None:
    project = start(("fields:", "require: {few: 10 / parts > 1}\nfields:"))
    project.change("insert into people (id, parts) values (1, 0), (2, 3)", 1, 2)
    project.deliver()
    assert set(project.remote()) == {"2"}
    held = project.waiting(1)
    assert held is not None
    assert held.code == "EXPRESSION_FAILED"


def test_too_large_a_share_of_refusals_stops_the_mapping_and_resuming_counts_anew(start: Start) -> None:
    project = start(RULES, SHARE)
    for key in range(1, 16):
        _insert(project, key, "a@b.c")
    for key in range(16, 20):
        _insert(project, key, "none")
    project.deliver()
    assert project.status() is MappingStatus.ACTIVE  # 4 of 19: too few to say anything
    for key in range(20, 23):
        _insert(project, key, "none")
    project.deliver()
    applied = project.applied()
    assert applied.status is MappingStatus.GUARD
    assert applied.reason == "7 of 22 records were refused, more than the guard of 25% per hour"
    assert "syncbridge dead people" in applied.hint
    mappings.resume(project.store, project.mapping_id)
    _insert(project, 30, "none")
    project.deliver()
    assert project.status() is MappingStatus.ACTIVE


def test_what_a_resync_finds_refused_as_before_counts_once(start: Start) -> None:
    project = start(RULES, SHARE)
    for key in range(1, 40):
        _insert(project, key, "none" if key % 4 == 0 else "a@b.c")
    project.deliver()
    project.touch(*range(4, 40, 4), reason=Reason.RESYNC)
    project.deliver()
    assert project.status() is MappingStatus.ACTIVE  # 9 of 39, and these again
    project.change("update people set email = 'none'", *range(1, 40))
    project.deliver()
    assert project.status() is MappingStatus.GUARD


def test_a_share_that_is_not_passed_stops_nothing(start: Start) -> None:
    project = start(RULES, SHARE)
    for key in range(1, 40):
        _insert(project, key, "none" if key % 4 == 0 else "a@b.c")
    project.deliver()
    assert project.status() is MappingStatus.ACTIVE
