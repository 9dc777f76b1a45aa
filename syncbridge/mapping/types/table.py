"""The table of types: for each Postgres type and kind of remote field what happens to a value, there and back.

It decides what fits (`fit.fit`), docs/types.md is made from it, and tests take every example in it from a real
column through the sandbox and back into a column. The rules over numbers and moments are in `rows_plain`, those
over texts in `rows_texts`.
"""

from __future__ import annotations

from syncbridge.mapping.types.rows_plain import PLAIN
from syncbridge.mapping.types.rows_texts import TEXTUAL
from syncbridge.mapping.types.rule import TypeRule

__all__ = ["RULES", "TypeRule"]

RULES: tuple[TypeRule, ...] = (*PLAIN, *TEXTUAL)
