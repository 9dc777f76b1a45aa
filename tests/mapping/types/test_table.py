"""The table of types: complete, free of contradictions, and what docs/types.md shows."""

from __future__ import annotations

from collections import Counter

import pytest

from syncbridge.mapping.types.casts import CAST_COLUMNS
from syncbridge.mapping.types.fit import fit
from syncbridge.mapping.types.reading import READABLE
from syncbridge.mapping.types.table import RULES
from syncbridge.schemas import FieldKind
from tests.type_cases import COLUMNS, FIELDS
from tests.types_page import PAGE, REGENERATE, TYPE_NAMES, page


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), REGENERATE


def test_no_pair_has_two_rules() -> None:
    pairs = Counter((base_type, kind) for rule in RULES for base_type in rule.types for kind in rule.kinds)
    assert [pair for pair, count in pairs.items() if count > 1] == []


def test_every_type_that_can_be_read_and_every_kind_that_can_be_written_has_a_rule() -> None:
    types = {base_type for rule in RULES for base_type in rule.types}
    assert types == READABLE | set(CAST_COLUMNS)
    assert types == set(COLUMNS)
    assert {kind for rule in RULES for kind in rule.kinds} == set(FIELDS)
    assert set(FieldKind) - set(FIELDS) == {FieldKind.IDENTIFIER, FieldKind.OTHER}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.there[:40])
def test_every_row_says_and_shows_what_happens_to_null(rule: object) -> None:
    assert any(example.value is None for example in rule.examples)  # type: ignore[attr-defined]


def test_what_has_a_rule_fits_and_nothing_else_does() -> None:
    ruled = {(base_type, kind) for rule in RULES for base_type in rule.types for kind in rule.kinds}
    fitting = {(t, k) for t in [*COLUMNS, "jsonb", "interval"] for k in FieldKind if fit(t, k).severity != "error"}
    assert fitting == ruled


def test_names_for_people_are_of_types_that_exist() -> None:
    assert set(TYPE_NAMES) <= set(COLUMNS)
