"""Any interleaving of changes, claims, lost leases, settlements and people loses nothing: the outbox beside a model."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from psycopg import Connection

from syncbridge.model import Lsn, Priority, Reason
from syncbridge.store import backlog, claims
from syncbridge.store.claims import Claimed, Kept
from tests.fix_store import enqueue, make_due

KEYS = st.sampled_from(["a", "B", "ä", "z"])
CHOICE = st.lists(KEYS, unique=True, min_size=1)


@dataclass
class ModelRow:
    """One key as it should stand. `undelivered` are positions of changes that no settled claim covers."""

    undelivered: set[int]
    covered: set[int] = field(default_factory=set)  # those of them that the present claim took
    version: int = 1
    claim: int | None = None
    lease_over: bool = False
    dead: bool = False
    must_resend: bool = False  # when it is claimed next


@dataclass
class ModelClaim:
    """A claim as its worker remembers it; `rows` are those it has not settled."""

    number: int
    rows: dict[str, Claimed]


class OutboxMachine(RuleBasedStateMachine):
    """The outbox of one mapping, seen through its functions only (time passes by moving it)."""

    store: Connection
    mapping_id: int

    def __init__(self) -> None:
        super().__init__()
        self.store.execute("truncate syncbridge.outbox")
        self.rows: dict[str, ModelRow] = {}
        self.claims: list[ModelClaim] = []
        self.position = 0

    @rule(
        keys=CHOICE,
        late=st.integers(0, 3),
        bulk=st.booleans(),
        resend=st.booleans(),
    )
    def change(self, keys: list[str], late: int, bulk: bool, resend: bool) -> None:
        """Capture may be behind a resync: its changes then come later with earlier positions."""
        self.position += 10
        lsn = max(1, self.position - 10 * late)
        enqueue(
            self.store,
            self.mapping_id,
            *keys,
            lsn=lsn,
            resend=resend,
            priority=Priority.BULK if bulk else Priority.LIVE,
            reason=Reason.RESYNC if bulk else Reason.CHANGE,
        )
        for key in keys:
            if key in self.rows:
                row = self.rows[key]
                row.undelivered.add(lsn)
                row.covered.discard(lsn)
                row.version += 1
                row.dead = False
                row.must_resend |= resend
            else:
                self.rows[key] = ModelRow({lsn}, must_resend=resend)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        make_due(self.store)
        due = {k for k, r in self.rows.items() if not r.dead and (r.claim is None or r.lease_over)}
        number, claimed = claims.claim(self.store, self.mapping_id, limit=limit, lease=600)
        assert len(claimed) == min(limit, len(due))
        assert {row.key for row in claimed} <= due
        for got in claimed:
            row = self.rows[got.key]
            assert got.version == row.version
            assert got.resend == (row.must_resend or row.claim is not None)
            row.claim, row.lease_over, row.must_resend = number, False, False
            row.covered = set(row.undelivered)
        self.claims.append(ModelClaim(number, {row.key: row for row in claimed}))

    def _some(self, data: st.DataObject) -> tuple[ModelClaim, list[str]]:
        claim = data.draw(st.sampled_from([claim for claim in self.claims if claim.rows]))
        keys = data.draw(st.lists(st.sampled_from(sorted(claim.rows)), unique=True, min_size=1))
        return claim, keys

    @precondition(lambda self: any(claim.rows for claim in self.claims))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """In time or late: what another claim took over is not touched."""
        claim, keys = self._some(data)
        ours = {key for key in keys if key in self.rows and self.rows[key].claim == claim.number}
        done = {key: claim.rows.pop(key).version for key in keys}
        assert claims.finish(self.store, self.mapping_id, claim.number, done) == ours
        for key in ours:
            row = self.rows[key]
            row.undelivered -= row.covered
            row.claim = None
            if row.version == done[key]:
                assert not row.undelivered
                del self.rows[key]

    @precondition(lambda self: any(claim.rows for claim in self.claims))
    @rule(data=st.data(), dead=st.booleans(), resend=st.booleans())
    def keep(self, data: st.DataObject, dead: bool, resend: bool) -> None:
        claim, keys = self._some(data)
        ours = {key for key in keys if key in self.rows and self.rows[key].claim == claim.number}
        kept = [Kept(k, claim.rows[k].version, delay=60, dead=dead, resend=resend, message="no") for k in keys]
        assert claims.keep(self.store, self.mapping_id, claim.number, kept) == ours
        for key in keys:
            taken = claim.rows.pop(key)
            if key in ours:
                row = self.rows[key]
                row.claim = None
                row.dead = dead and row.version == taken.version
                row.must_resend |= resend or taken.resend

    @rule(keys=CHOICE)
    def lose_leases(self, keys: list[str]) -> None:
        self.store.execute(
            "update syncbridge.outbox set lease_until = now() where claim is not null and key = any(%s)", (keys,)
        )
        for key in keys:
            if key in self.rows and self.rows[key].claim is not None:
                self.rows[key].lease_over = True

    @rule(data=st.data())
    def end_the_leases_of_a_dead_worker(self, data: st.DataObject) -> None:
        numbers = [claim.number for claim in self.claims]
        first = data.draw(st.sampled_from(numbers)) if numbers else 0
        freed = claims.end_leases(self.store, first, first)
        held = [row for row in self.rows.values() if row.claim == first and first]
        assert freed == sum(not row.lease_over for row in held)
        for row in held:
            row.lease_over = True

    @rule(keys=CHOICE)
    def requeue(self, keys: list[str]) -> None:
        dead = [key for key in keys if key in self.rows and self.rows[key].dead]
        assert backlog.requeue(self.store, self.mapping_id, keys) == len(dead)
        for key in dead:
            self.rows[key].dead = False
            self.rows[key].version += 1

    @rule(keys=CHOICE)
    def discard(self, keys: list[str]) -> None:
        dead = sorted(key for key in keys if key in self.rows and self.rows[key].dead)
        assert backlog.discard(self.store, self.mapping_id, keys) == dead
        for key in dead:
            del self.rows[key]

    @invariant()
    def every_key_with_an_undelivered_change_is_there(self) -> None:
        found = self.store.execute("select key, version, claim, status, since_lsn::text from syncbridge.outbox")
        expected = {(key, row.version, row.claim, "dead" if row.dead else "pending") for key, row in self.rows.items()}
        assert {row[:4] for row in found} == expected

    @invariant()
    def every_row_with_a_change_at_or_before_a_position_is_counted(self) -> None:
        for position in {min(row.undelivered) for row in self.rows.values()}:
            for until in (position - 1, position):
                held = [row for row in self.rows.values() if min(row.undelivered) <= until]
                dead = sum(row.dead for row in held)
                counted = backlog.undelivered(self.store, Lsn(until), self.mapping_id)
                assert counted == (len(held) - dead, dead)


@pytest.fixture
def machine(store: Connection, mapping_id: int) -> type[OutboxMachine]:
    OutboxMachine.store, OutboxMachine.mapping_id = store, mapping_id
    store.execute("set synchronous_commit = off")
    return OutboxMachine


def test_nothing_is_ever_lost_and_no_key_is_in_two_live_leases(machine: type[OutboxMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
