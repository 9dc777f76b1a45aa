"""Record ids: checksum, order, both lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.org.ids import make_id, to_18


def test_a_known_id_gets_its_known_checksum() -> None:
    assert to_18("003G000001SUbc4") == "003G000001SUbc4IAD"


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=15, max_size=15))
def test_an_18_character_id_survives_the_loss_of_its_case(short: str) -> None:
    full = to_18(short)
    assert full is not None
    assert full[:15] == short
    assert to_18(full) == to_18(full.lower()) == to_18(full.upper()) == full


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_later_ids_sort_later(first: int, second: int) -> None:
    assert (make_id("001", first) < make_id("001", second)) == (first < second)
    assert to_18(make_id("001", first)) == make_id("001", first)


@pytest.mark.parametrize("text", ["", "001", "0018K000000000", "0018K0000000001QA!", "0018K0000000001999", "ä" * 15])
def test_other_text_is_no_id(text: str) -> None:
    assert to_18(text) is None
