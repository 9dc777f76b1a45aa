"""Mappings in force, and their status."""

from __future__ import annotations

import pytest
from psycopg import Connection

from syncbridge.errors import SettingsError
from syncbridge.model import Lsn, MappingStatus
from syncbridge.store import mappings
from tests.fix_store import apply_mapping, end_waits, enqueue


def _status(store: Connection) -> MappingStatus:
    return mappings.read(store, "people").status


def test_a_mapping_is_new_once_and_keeps_its_status_when_it_is_applied_again(store: Connection) -> None:
    values = {"destination": "crm", "object": "Contact", "definition": {"a": 1}}
    first, new = mappings.apply(store, name="people", digest="1", **values)  # type: ignore[arg-type]
    assert new
    mappings.set_status(store, first, MappingStatus.PAUSED)
    again, new = mappings.apply(store, name="people", digest="2", **values)  # type: ignore[arg-type]
    assert (again, new) == (first, False)
    applied = mappings.read(store, "people")
    assert (applied.digest, applied.status, applied.definition) == ("2", MappingStatus.PAUSED, {"a": 1})


def test_a_name_that_is_not_in_force_is_told_with_those_that_are(store: Connection) -> None:
    with pytest.raises(SettingsError) as unknown:
        mappings.read(store, "peple")
    assert "syncbridge setup" in unknown.value.hint
    apply_mapping(store, "people")
    apply_mapping(store, "orders")
    with pytest.raises(SettingsError) as unknown:
        mappings.read(store, "peple")
    assert unknown.value.hint == "In force: orders, people."


def test_a_loop_does_not_undo_what_a_person_did(store: Connection, mapping_id: int) -> None:
    mappings.set_status(store, mapping_id, MappingStatus.PAUSED, reason="by Ada")
    only = (MappingStatus.ACTIVE,)
    assert not mappings.set_status(store, mapping_id, MappingStatus.HALTED, reason="error", only_from=only)
    assert (_status(store), mappings.read(store, "people").reason) == (MappingStatus.PAUSED, "by Ada")


def test_the_time_of_a_status_moves_only_when_it_changes(store: Connection, mapping_id: int) -> None:
    mappings.set_status(store, mapping_id, MappingStatus.HALTED, reason="one")
    since = mappings.read(store, "people").status_since
    mappings.set_status(store, mapping_id, MappingStatus.HALTED, reason="two")
    assert mappings.read(store, "people").status_since == since


def test_waits_end_by_themselves_when_their_time_comes_and_others_do_not(store: Connection, mapping_id: int) -> None:
    mappings.set_status(store, mapping_id, MappingStatus.WAITING, reason="quota", wait_seconds=3600)
    assert mappings.wake_waiting(store) == 0
    end_waits(store)
    assert mappings.wake_waiting(store) == 1
    applied = mappings.read(store, "people")
    assert (applied.status, applied.reason, applied.until) == (MappingStatus.ACTIVE, "", None)
    mappings.set_status(store, mapping_id, MappingStatus.HALTED, wait_seconds=0)
    assert mappings.wake_waiting(store) == 0


def test_resume_ends_every_stop_and_says_whether_there_was_one(store: Connection, mapping_id: int) -> None:
    assert not mappings.resume(store, mapping_id)
    for status in (MappingStatus.PAUSED, MappingStatus.HALTED, MappingStatus.WAITING, MappingStatus.GUARD):
        mappings.set_status(store, mapping_id, status, reason="x", hint="y", wait_seconds=9)
        assert mappings.resume(store, mapping_id)
        applied = mappings.read(store, "people")
        assert (applied.status, applied.reason, applied.hint, applied.until) == (MappingStatus.ACTIVE, "", "", None)


def test_the_latest_error_is_kept(store: Connection, mapping_id: int) -> None:
    mappings.record_error(store, mapping_id, "first", "k1")
    mappings.record_error(store, mapping_id, "second")
    applied = mappings.read(store, "people")
    assert (applied.last_error, applied.last_error_key) == ("second", None)
    assert applied.last_error_at is not None


def test_resuming_from_the_guard_approves_what_waits_now_by_its_position(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", lsn=100)
    enqueue(store, mapping_id, "b", lsn=300)
    mappings.set_status(store, mapping_id, MappingStatus.GUARD)
    mappings.resume(store, mapping_id)
    assert mappings.approved_until(store, mapping_id) == Lsn(300)
    assert mappings.read(store, "people").approved_lsn == Lsn(300)


def test_resuming_from_anything_else_approves_nothing(store: Connection, mapping_id: int) -> None:
    enqueue(store, mapping_id, "a", lsn=100)
    mappings.set_status(store, mapping_id, MappingStatus.PAUSED)
    mappings.resume(store, mapping_id)
    assert mappings.approved_until(store, mapping_id) is None
