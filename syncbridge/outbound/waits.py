"""Waiting for parents, as it becomes durable at seam 2: who waits for what, whose parent has come, and circles.

Entities that wait for each other in a circle are found by whoever closes it: all of a circle settle one after another,
under one lock. One of them is then sent without the field, and once more when the others are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from syncbridge.arrays import to_microseconds
from syncbridge.mapping.kinship import Kin
from syncbridge.model import Lsn
from syncbridge.outbound.compose import Missing
from syncbridge.store import awaited, fan_out, links, outbox
from syncbridge.store.awaited import Awaited, Edge
from syncbridge.store.claims import Claimed


@dataclass(slots=True)
class Ties:
    """What a batch leaves behind at other entities; part of its settlement."""

    kin: Kin = field(default_factory=Kin)
    missing: dict[str, Sequence[Missing]] = field(default_factory=dict)  # key -> what it waits for, or went without
    rows: dict[str, Claimed] = field(default_factory=dict)


def begin(connection: Connection, mapping_id: int, ties: Ties, linked: Mapping[str, str], gone: Iterable[str]) -> None:
    """Take the locks, before any row is locked, and mark the children of records that are replaced or gone."""
    kin = ties.kin
    waited_for = {kin.locks[each.parent_id] for missing in ties.missing.values() for each in missing}
    own = {kin.locks[mapping_id]} if kin.children and linked else set()
    awaited.lock(connection, alone=waited_for, shared=own)
    if kin.children:
        replaced = links.replaced(connection, mapping_id, linked)
        _refresh_children(connection, ties, {*replaced, *gone})


def _refresh_children(connection: Connection, ties: Ties, keys: Iterable[str]) -> None:
    """Their rows did not change, but what they compose to did."""
    commits = {
        key.encode(): (int(Lsn.parse(row.lsn)), to_microseconds(row.commit_time))
        for key in keys
        if (row := ties.rows.get(key)) is not None
    }
    if commits:
        touched = {(child.mapping_id, child.relation): commits for child in ties.kin.children}
        fan_out.enqueue(connection, touched)


def record(
    connection: Connection, mapping_id: int, ties: Ties, *, settled: Iterable[str], linked: Iterable[str]
) -> None:
    """Write who waits, and wake whom these links let go on. In the transaction that wrote links and outbox rows."""
    kin = ties.kin
    if kin.children:
        for child in awaited.mark_ready(connection, mapping_id, linked):
            outbox.wake(connection, child)
    if not kin.parents:
        return
    settled = list(settled)
    awaited.forget(connection, mapping_id, settled)
    rows = [
        Awaited(each.parent_id, each.parent_key, key, each.held, ties.rows[key].lsn, ties.rows[key].commit_time)
        for key in settled
        for each in ties.missing.get(key, ())
    ]
    if not rows:
        return
    if awaited.add(connection, mapping_id, rows):
        outbox.wake(connection, mapping_id)
    held = {row.key for row in rows if row.held}
    if held and kin.circle:
        edges = awaited.edges(connection, mapping_id, held, kin.circle)
        if cut := circle_breaks(edges, {(mapping_id, key) for key in held}):
            awaited.send_alone(connection, cut)
            for broken in {edge.mapping_id for edge in cut}:
                outbox.wake(connection, broken)


Node = tuple[int, str]


def circle_breaks(edges: Sequence[Edge], preferred: set[Node]) -> list[Edge]:
    """Edges without which there is no circle: those that leave one node of each, a preferred one if it can be."""
    ahead: dict[Node, list[Node]] = {}
    by_ends: dict[tuple[Node, Node], Edge] = {}
    for edge in edges:
        child, parent = (edge.mapping_id, edge.key), (edge.parent_id, edge.parent_key)
        ahead.setdefault(child, []).append(parent)
        by_ends[child, parent] = edge
    cut: list[Edge] = []
    parts = _knots(ahead)
    while parts:
        knot = parts.pop()
        chosen = min(knot & preferred or knot)
        cut += [by_ends[chosen, parent] for parent in ahead[chosen] if parent in knot]
        parts += _knots({node: [n for n in ahead[node] if n in knot] for node in knot if node != chosen})
    return cut


def _knots(ahead: Mapping[Node, Sequence[Node]]) -> list[set[Node]]:
    """Sets of nodes that all reach each other (Tarjan's algorithm, without recursion: chains may be long)."""
    order: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    found: list[set[Node]] = []
    on_stack: set[Node] = set()
    for start in ahead:
        if start in order:
            continue
        path = [(start, iter(ahead[start]))]
        order[start] = low[start] = len(order)
        stack.append(start)
        on_stack.add(start)
        while path:
            node, following = path[-1]
            for other in following:
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append(other)
                    on_stack.add(other)
                    path.append((other, iter(ahead.get(other, ()))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], order[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    knot: set[Node] = set()
                    while node not in knot:
                        knot.add(stack.pop())
                    on_stack -= knot
                    if len(knot) > 1 or node in ahead.get(node, ()):
                        found.append(knot)
    return found
