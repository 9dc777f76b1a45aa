"""Circles of waiting entities are cut where they have to be, and nowhere else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncbridge.outbound.waits import circle_breaks
from syncbridge.store.awaited import Edge


def _edges(*pairs: tuple[int, int]) -> list[Edge]:
    return [Edge(1, str(child), 1, str(parent)) for child, parent in pairs]


def _acyclic(edges: list[Edge]) -> bool:
    """By taking away, again and again, whatever waits for nobody."""
    left = list(edges)
    while left:
        waiting = {edge.key for edge in left}
        free = [edge for edge in left if edge.parent_key not in waiting]
        if not free:
            return False
        left = [edge for edge in left if edge.parent_key in waiting]
    return True


def test_a_chain_is_not_cut() -> None:
    assert circle_breaks(_edges((1, 2), (2, 3), (3, 4)), {(1, "1")}) == []


def test_a_long_chain_is_looked_through_without_recursion() -> None:
    assert circle_breaks(_edges(*((n, n + 1) for n in range(20_000))), {(1, "0")}) == []


def test_a_circle_is_cut_at_the_one_that_closed_it() -> None:
    assert circle_breaks(_edges((1, 2), (2, 3), (3, 1), (4, 1)), {(1, "3"), (1, "4")}) == _edges((3, 1))


def test_one_that_waits_for_itself_is_cut() -> None:
    assert circle_breaks(_edges((1, 1), (2, 1)), {(1, "1"), (1, "2")}) == _edges((1, 1))


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8))))
def test_no_circle_is_left_and_no_edge_outside_of_one_is_cut(pairs: set[tuple[int, int]]) -> None:
    edges = _edges(*sorted(pairs))
    cut = circle_breaks(edges, {(1, str(child)) for child, _ in pairs})
    assert _acyclic([edge for edge in edges if edge not in cut])
    if _acyclic(edges):
        assert cut == []
