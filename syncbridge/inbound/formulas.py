"""What the destination calculates: formulas change with other records, or with time, and their own record does not.

No feed of changes shows that, so these fields alone are read of every linked record from time to time, a page in one
call. A record in which one differs from the base is looked at again as a whole, and goes the way of every change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.model import agrees
from syncbridge.store import database, formula_rounds, links, rechecks

#: Records that one look reads: as many as Salesforce gives in one call.
PAGE = 2000


class Look(NamedTuple):
    """What came of a look."""

    more: bool = False  # there is another page now
    differing: bool = False  # rechecks were added


def look(
    store: Connection,
    mapping_id: int,
    mapping: CompiledMapping,
    destination: Destination,
    names: Sequence[str],
    *,
    every: float,
) -> Look:
    """Read these fields of one page of records, when a round is due; whether it goes on now.

    A round begins `every` seconds after the last one began, and goes on after a crash where it was.
    """
    place = formula_rounds.go_on(store, mapping_id, every)
    if place is None:
        return Look()
    page = links.bases_after(store, mapping_id, place.after, PAGE)
    records = destination.read(mapping.object, [link.remote_id for link in page], names, lane=mapping.name)
    differing = [
        link.remote_id
        for link, record in zip(page, records, strict=True)
        if record is not None and any(not agrees(link.base, name, value) for name, value in record.fields.items())
    ]
    more = len(page) == PAGE

    def write() -> None:
        rechecks.add(store, mapping_id, differing)
        formula_rounds.advance(store, mapping_id, page[-1].key if page else place.after, done=not more)

    database.transact(store, write)
    return Look(more, bool(differing))
