"""How many API calls of which kind were made, and how many records they delivered: by five minutes, of all workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from psycopg import Connection

from syncbridge.arrays import bigint_array, text_array
from syncbridge.model import LOGIN

#: Kind of what is counted beside calls: records that were delivered.
DELIVERED = "delivered"
HOUR, DAY = 3600, 86_400  # seconds


class Counted(NamedTuple):
    """What a count is of."""

    destination: str
    mapping: str  # empty: of no one mapping
    kind: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls of a length of time, logins left out, and the records that they delivered."""

    calls: int = 0
    delivered: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)  # all of them, the most frequent first
    per_thousand: float | None = None  # calls for 1,000 delivered records; None when none was delivered


NOTHING_SPENT = Cost()

#: Cost by destination, and by destination and mapping.
Costs = Mapping[tuple[str, str | None], Cost]

_ADD = """
insert into syncbridge.call_count as c (destination, mapping, kind, since, count)
select destination, mapping, kind, date_bin('5 minutes', now(), 'epoch'), count
  from unnest(%(destinations)s, %(mappings)s, %(kinds)s, %(counts)s) as new (destination, mapping, kind, count)
 order by 1, 2, 3
    on conflict (destination, mapping, kind, since) do update set count = c.count + excluded.count
"""


def add(connection: Connection, counts: Mapping[Counted, int]) -> None:
    """Count so much more, now."""
    if not counts:
        return
    parameters = {
        "destinations": text_array(each.destination for each in counts),
        "mappings": text_array(each.mapping for each in counts),
        "kinds": text_array(each.kind for each in counts),
        "counts": bigint_array(counts.values()),
    }
    connection.execute(_ADD, parameters)


def costs(connection: Connection, *, seconds: int) -> Costs:
    """What the last `seconds` cost, to five minutes: of each destination (mapping None) and of each of its mappings."""
    rows = connection.execute(
        "select destination, mapping, kind, sum(count)::bigint from syncbridge.call_count"
        " where since > now() - %s * interval '1 second' group by 1, 2, 3",
        (seconds,),
    )
    found: defaultdict[tuple[str, str | None], list[tuple[str, int]]] = defaultdict(list)
    for destination, mapping, kind, count in rows:
        found[destination, None].append((kind, count))
        if mapping:
            found[destination, mapping].append((kind, count))
    return {whose: _cost(counts) for whose, counts in found.items()}


def _cost(counts: Iterable[tuple[str, int]]) -> Cost:
    total: defaultdict[str, int] = defaultdict(int)
    for kind, count in counts:
        total[kind] += count
    delivered = total.pop(DELIVERED, 0)
    calls = sum(count for kind, count in total.items() if kind != LOGIN)
    kinds = dict(sorted(total.items(), key=lambda each: (-each[1], each[0])))
    return Cost(calls, delivered, kinds, round(1000 * calls / delivered, 2) if delivered else None)


def prune(connection: Connection) -> None:
    """Forget what nobody asks for any more (two days)."""
    connection.execute("delete from syncbridge.call_count where since < now() - interval '2 days'")
