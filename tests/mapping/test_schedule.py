"""When a mapping's sides are compared again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncbridge.errors import MappingError
from syncbridge.mapping.files import parse_mapping, restore_mapping
from syncbridge.mapping.schedule import Schedule
from tests.fix_delivery import MAPPING

LAST = datetime(2026, 3, 2, 3, 41, tzinfo=UTC)


def test_it_is_due_so_long_after_the_last_one() -> None:
    assert Schedule(12 * 3600).next(LAST) == datetime(2026, 3, 2, 15, 41, tzinfo=UTC)


def test_with_a_time_of_the_day_it_does_not_creep() -> None:
    assert Schedule(7 * 86400, 3 * 60 + 30).next(LAST) == datetime(2026, 3, 9, 3, 30, tzinfo=UTC)
    assert Schedule(86400, 0).next(LAST) == datetime(2026, 3, 3, 0, 0, tzinfo=UTC)


def test_what_is_said_in_a_file_comes_back_from_what_is_in_force() -> None:
    spec = parse_mapping(MAPPING + 'reconcile: {every: 7d, at: "03:30"}\n')
    assert spec.definition()["reconcile"] == {"every": "7d", "at": "03:30"}
    assert restore_mapping(spec.definition()).reconcile == spec.reconcile
    assert "reconcile" not in parse_mapping(MAPPING).definition()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{every: often}", "30s"),
        ("{at: '03:30'}", "every is missing"),
        ("{every: 7d, at: '24:00'}", "03:30"),
        ("{every: 12h, at: '03:30'}", "goes with a number of days"),
        ("{every: 7d, on: monday}", "unknown key 'on' in reconcile"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(MappingError) as wrong:
        parse_mapping(MAPPING + f"reconcile: {text}\n")
    assert message in str(wrong.value)
