"""What everybody who delivers a mapping works with: a lane, and each of the two threads that carry its bulk jobs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Self

import psycopg
from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import RetryLater
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import Kin
from syncbridge.outbound.compose import Composer
from syncbridge.outbound.guard import Guard
from syncbridge.outbound.masking import Mask
from syncbridge.outbound.recording import Counts, Recorder
from syncbridge.outbound.stops import Stops
from syncbridge.store import database


@dataclass(frozen=True, slots=True)
class Parts:
    """Made for one thread, on its own connections `store` and `source`."""

    composer: Composer
    mask: Mask
    guard: Guard
    stops: Stops
    recorder: Recorder

    @classmethod
    def make(
        cls,
        mapping_id: int,
        mapping: CompiledMapping,
        destination: Destination,
        store: Connection,
        source: Connection,
        *,
        kin: Kin,
        max_attempts: int,
        rng: random.Random,
        counts: Counts,
    ) -> Self:
        database.prefer_indexes(store)
        composer, mask = Composer(mapping, destination, source), Mask(mapping)
        guard = Guard(mapping_id, mapping, store)
        stops = Stops(mapping_id, mapping.name, store, rng, mask, composer.forget)
        recorder = Recorder(mapping_id, mapping, store, kin, guard, stops, mask, max_attempts, rng, counts)
        return cls(composer, mask, guard, stops, recorder)


def unavailable(error: psycopg.OperationalError) -> RetryLater:
    """What a lane raises when it loses the state database."""
    message = str(error).split("\n", 1)[0]
    return RetryLater(f"the state database is not available: {message}")
