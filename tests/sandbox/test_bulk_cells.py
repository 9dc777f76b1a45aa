"""Numbers as Java writes doubles, which is what query jobs show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.bulk.cells import cell_of
from syncbridge.sandbox.salesforce.org.model import Field

NUMBER = cell_of(Field(name="N__c", label="N", type="double", precision=18))
assert NUMBER is not None
number = NUMBER


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (0.0, "0.0"),
        (12.0, "12.0"),
        (-0.5, "-0.5"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (9999999.0, "9999999.0"),
        (10000000.0, "1.0E7"),
        (99213206.0, "9.9213206E7"),
        (-115056052.25, "-1.1505605225E8"),
        (16147805824397.0, "1.6147805824397E13"),
        (None, None),
    ],
)
def test_large_and_small_numbers_have_an_exponent(stored: float | None, shown: str | None) -> None:
    assert number(stored) == shown


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_digit_is_lost(value: float) -> None:
    assert float(str(number(value))) == value


def test_text_is_shown_as_it_is() -> None:
    assert cell_of(Field(name="T__c", label="T", type="string", length=10)) is None
