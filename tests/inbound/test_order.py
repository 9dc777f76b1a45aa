"""New records of one page that refer to each other are written parents first."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from syncbridge.destinations.feed import RemoteChange
from syncbridge.inbound.order import layers

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def page(**managers: str | None) -> dict[str, RemoteChange]:
    return {id: RemoteChange(id, NOW, {"ReportsToId": manager}) for id, manager in managers.items()}


def names(found: list[dict[str, RemoteChange]]) -> list[list[str]]:
    return [sorted(layer) for layer in found]


def test_a_chain_goes_from_the_top_down() -> None:
    changes = page(clerk="head", head="boss", boss=None, other="far")
    assert names(layers(changes, ["ReportsToId"], changes)) == [["boss", "other"], ["head"], ["clerk"]]


def test_what_refers_to_records_that_have_rows_is_one_layer() -> None:
    changes = page(clerk="head", head="boss", boss=None)
    assert names(layers(changes, ["ReportsToId"], [])) == [["boss", "clerk", "head"]]


def test_a_circle_comes_last_and_a_record_that_names_itself_does_not_wait() -> None:
    changes = page(a="b", b="a", c="a", self="self")
    assert names(layers(changes, ["ReportsToId"], changes)) == [["self"], ["a", "b", "c"]]


IDS = st.integers(0, 12).map(str)


@given(st.dictionaries(IDS, st.none() | IDS), st.frozensets(IDS))
def test_each_change_comes_once_and_after_its_new_parents_unless_in_a_circle(
    managers: dict[str, str | None], new: frozenset[str]
) -> None:
    changes = page(**managers)
    found = layers(changes, ["ReportsToId"], new & changes.keys())
    assert sorted(id for layer in found for id in layer) == sorted(changes)
    place = {id: number for number, layer in enumerate(found) for id in layer}
    for id, manager in managers.items():
        if manager in new & changes.keys() and manager != id and place[id] < len(found) - 1:
            assert place[str(manager)] < place[id]
