"""Gaps: ranges of the write-ahead log that were never captured, because the slot was lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from syncbridge.model import Lsn, Reason


@dataclass(frozen=True, slots=True)
class Gap:
    """Commits after `from_lsn` and before `to_lsn` were not captured; runs over every mapping look for them."""

    from_lsn: Lsn
    from_time: datetime | None  # when the last change before it was committed
    to_lsn: Lsn
    to_time: datetime  # when the slot was made anew
    why: str
    open: bool = False  # the runs are not over

    def __str__(self) -> str:
        since = f" ({_moment(self.from_time)})" if self.from_time else ""
        return (
            f"changes after {self.from_lsn}{since} and before {self.to_lsn} ({_moment(self.to_time)}) were not"
            f" captured, because {self.why}"
        )


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


def record(connection: Connection, slot: str, from_lsn: Lsn, from_time: datetime | None, to_lsn: Lsn, why: str) -> Gap:
    """Note a gap, in the transaction that moves the checkpoint over it."""
    row = connection.execute(
        "insert into syncbridge.gap (slot, from_lsn, from_time, to_lsn, why)"
        " values (%s, %s::text::pg_lsn, %s, %s::text::pg_lsn, %s) returning to_time",
        (slot, str(from_lsn), from_time, str(to_lsn), why),
    ).fetchone()
    assert row is not None  # insert ... returning gives a row
    return Gap(from_lsn, from_time, to_lsn, row[0], why, open=True)


def newest(connection: Connection, slot: str) -> Gap | None:
    """The last gap of this slot; None when there never was one."""
    row = connection.execute(
        "select from_lsn::text, from_time, to_lsn::text, to_time, why, exists (select from syncbridge.run"
        " where reason = %s and status in ('asked', 'pending') and requested_at >= gap.to_time)"
        " from syncbridge.gap where slot = %s order by id desc limit 1",
        (Reason.RECOVERY.value, slot),
    ).fetchone()
    return None if row is None else Gap(Lsn.parse(row[0]), row[1], Lsn.parse(row[2]), *row[3:])
