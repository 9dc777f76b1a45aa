"""From what a batch was answered to what is settled, and what the mapping does next because of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import Connection

from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Operation
from syncbridge.outbound.comparing import is_ignored
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.masking import Mask
from syncbridge.outbound.plan import Planned
from syncbridge.outbound.send import Exchange
from syncbridge.outbound.settle import (
    Settlement,
    give_back,
    settle,
    take,
    take_held,
    take_nothing,
    take_postponed,
    take_refusal,
    take_undecided,
    take_waiting,
)
from syncbridge.outbound.stops import Stops
from syncbridge.outbound.waits import Ties
from syncbridge.store import mappings
from syncbridge.store.claims import Claimed


@dataclass(slots=True)
class Counts:
    """What one mapping did since the worker started."""

    claimed: int = 0
    delivered: int = 0
    same: int = 0
    retried: int = 0
    dead: int = 0

    def add(self, claimed: int, settlement: Settlement) -> None:
        self.claimed += claimed
        self.delivered += settlement.delivered
        self.same += settlement.same
        self.retried += settlement.retried
        self.dead += settlement.dead


@dataclass(slots=True)
class Recorder:
    """Settles what one lane of a mapping did; stops the mapping where an answer asks for it."""

    mapping_id: int
    mapping: CompiledMapping
    store: Connection
    kin: Kin
    guard: Guard
    stops: Stops
    mask: Mask
    max_attempts: int
    rng: random.Random
    counts: Counts

    def record(
        self,
        claim: int,
        claimed: Sequence[Claimed],
        planned: Sequence[Planned],
        exchange: Exchange,
        stopped: Exception | None = None,
        leave: Iterable[str] = (),
        heed: bool = True,
    ) -> bool:
        """Record what was answered and what needed no call; give back the rest, with the reason why it stopped.

        Keys of `leave` stay claimed: they are on their way. Without `heed` the mapping goes on whatever was answered,
        because it was stopped for that already. False when it could not be recorded: the mapping is halted then, and
        the rows stay claimed.
        """
        settlement = self._settlement(planned, exchange)
        settlement.ties.rows = {row.key: row for row in claimed}
        decided = {*settlement.done, *(row.key for row in settlement.kept)}
        left = decided.union(leave)
        give_back(settlement, [row for row in claimed if row.key not in left], exchange.attempted)
        try:
            matching = bool(self.mapping.match_on) or exchange.decided
            settle(self.store, self.mapping_id, claim, settlement, matching=matching)
        except psycopg.OperationalError:
            raise
        except Exception as error:  # the rows come back when their lease ends
            self.stops.stop_for(error)
            return False
        self.counts.add(len(decided), settlement)
        self._draw_conclusions(settlement, exchange, stopped, heed=heed)
        return True

    def _draw_conclusions(
        self, settlement: Settlement, exchange: Exchange, stopped: Exception | None, *, heed: bool
    ) -> None:
        self.guard.judge(settlement.delivered, settlement.dead - settlement.dead_again)
        if settlement.last_error is not None:
            mappings.record_error(self.store, self.mapping_id, *settlement.last_error)
        if stopped is not None:
            self.stops.stop_for(stopped)
        elif settlement.worst is not None and heed:
            self.stops.heed(settlement.worst, exchange.answers)
        self.stops.learn(exchange.answers, well=stopped is None and settlement.worst is None)

    def _settlement(self, planned: Sequence[Planned], exchange: Exchange) -> Settlement:
        settlement = Settlement(ties=Ties(self.kin))
        limit = self.max_attempts
        for p in planned:
            answer = exchange.answers.get(p.key)
            ignored = is_ignored(self.mapping, p)
            if answer is not None:
                take(settlement, p, self.mask.result(answer), max_attempts=limit, rng=self.rng)
            elif p.key in exchange.held:
                take_held(settlement, p, exchange.held[p.key])
            elif p.refusal is not None:
                take_refusal(settlement, p, max_attempts=limit, rng=self.rng)
            elif p.waits:
                take_waiting(settlement, p)
            elif p.undecided:
                take_undecided(settlement, p)
            elif p.postponed:
                take_postponed(settlement, p)
            elif p.operation is Operation.NOTHING or ignored:
                take_nothing(settlement, p, ignored=ignored, absent=p.key in exchange.absent)
            if p.astray and p.claimed.remote_id is not None:
                settlement.astray[p.key] = p.claimed.remote_id
        return settlement
