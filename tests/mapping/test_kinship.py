"""Which mappings look up which, and the circles among them."""

from __future__ import annotations

import pytest

from syncbridge.mapping.compile import compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.kinship import Child, Kin, kinship
from syncbridge.schemas import Column, Table

TABLE = Table("public", "t", {n: Column(n, "bigint", base_type="int8") for n in ("id", "a", "b")}, primary_key=("id",))


def _kin(**parents: list[str]) -> dict[str, Kin]:
    """The kin of mappings that look up these."""
    ids = {name: number for number, name in enumerate(parents, start=1)}
    compiled = {}
    for name, looked_up in parents.items():
        fields = "".join(f"  F{turn}: {{lookup: {parent}, key: a}}\n" for turn, parent in enumerate(looked_up))
        text = f"mapping: {name}\ndestination: crm\nobject: O\nentity: {{table: t, key: id}}\nexternal_id: K\n"
        compiled[ids[name]] = compile_mapping(parse_mapping(f"{text}fields:\n  Name: b\n{fields}"), TABLE)
    found = kinship(ids, compiled)
    return {name: found[id] for name, id in ids.items()}


def test_parents_and_children_know_each_other() -> None:
    kin = _kin(companies=[], people=["companies"])
    assert kin["people"].parents == {"companies": 1}
    assert kin["companies"].children == (Child(2, "people", "O", "F0"),)
    assert kin["companies"].children[0].relation == "lookup F0"
    assert (kin["people"].circle, kin["companies"].circle) == (frozenset(), frozenset())


def test_a_mapping_that_is_not_in_force_is_no_parent() -> None:
    assert _kin(people=["companies"])["people"].parents == {}


@pytest.mark.parametrize(
    ("parents", "circle"),
    [
        ({"a": ["a"]}, {1}),
        ({"a": ["b"], "b": ["a"]}, {1, 2}),
        ({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}, {1, 2, 3}),
        ({"a": ["b"], "b": ["b"]}, set()),
    ],
)
def test_circles_are_found_and_share_one_lock(parents: dict[str, list[str]], circle: set[int]) -> None:
    kin = _kin(**parents)
    assert kin["a"].circle == circle
    assert {kin["a"].locks[id] for id in circle} in ({1}, set())
    if "d" in kin:
        assert kin["d"].circle == frozenset()
