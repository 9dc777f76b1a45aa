"""A snapshot in which all is well, to be changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from syncbridge.answers.status import CaptureState, DestinationState, MappingState, Snapshot, WorkerState
from syncbridge.model import Lsn, MappingStatus
from syncbridge.source.slot import SlotFacts

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HALTED_AT = AT - timedelta(minutes=3)

MAPPING = MappingState(
    name="people",
    destination="crm",
    object="Contact",
    status=MappingStatus.ACTIVE,
    reason="",
    hint="",
    since=HALTED_AT,
    until=None,
    pending=0,
    retrying=0,
    dead=0,
    held=0,
    lag_seconds=None,
    live_lag_seconds=None,
    delivered_per_second=0.0,
    dead_per_second=0.0,
    last_error="something about key 42",
    last_error_key="42",
    last_error_at=None,
    linked=None,
    runs=(),
    failed_run=None,
)

SLOT = SlotFacts(
    name="slot",
    plugin="pgoutput",
    database="app",
    server_lsn=Lsn(100),
    confirmed_lsn=Lsn(100),
    restart_lsn=Lsn(90),
    retained_bytes=1_000_000,
    wal_status="reserved",
)

CAPTURE = CaptureState(
    slot_name="slot",
    slot=SLOT,
    checkpoint=Lsn(100),
    checkpoint_time=AT,
    lag_bytes=0,
    streaming=True,
    ready=True,
    heartbeat_age=1.0,
    standby=0,
    stopped="",
    error="",
)

CRM = DestinationState("crm", used=100, allowed=1000, calls=10, state="ok")

WORKER = WorkerState(1, "host", 1, ("capture", "deliver"), AT - timedelta(hours=1), AT, alive=True, capturing=True)

WELL = Snapshot(at=AT, mappings=(MAPPING,), capture=CAPTURE, destinations=(CRM,), workers=(WORKER,))


def with_mapping(**changes: Any) -> Snapshot:
    return replace(WELL, mappings=(replace(MAPPING, **changes),))


def with_capture(**changes: Any) -> Snapshot:
    return replace(WELL, capture=replace(CAPTURE, **changes))


def with_slot(**changes: Any) -> Snapshot:
    return with_capture(slot=replace(SLOT, **changes))


def with_quota(**changes: Any) -> Snapshot:
    return replace(WELL, destinations=(replace(CRM, **changes),))


def with_worker(**changes: Any) -> Snapshot:
    return replace(WELL, workers=(replace(WORKER, **changes),))
