"""`values` the other way round: from what a field holds to the left side that stands for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncbridge.errors import RecordRejected
from syncbridge.mapping.spec import Scalar
from syncbridge.model import Normal, Normaliser

#: Postgres writes booleans as `t` and `f`, people write true and false: two spellings of one left side.
_SAME = {"t": "true", "f": "false"}

Shared = Sequence[tuple[Normal, tuple[str, ...]]]


def reverse(
    values: Mapping[str, Scalar | None], normalise: Normaliser, *, boolean: bool = False
) -> tuple[dict[Normal, str], Shared]:
    """The left side of each right side in normal form, and the right sides that several left sides share.

    Those have no way back, so a two-way field cannot have them: with `{trial: Open, new: Open}` an Open that comes
    back could be either. They are given as (right side, its left sides), and are left out of the table. A right side
    that the field does not take is left out too; `check` tells of it. `boolean` says that the column is one.
    """
    lefts: dict[Normal, list[str]] = {}
    for left, right in values.items():
        try:
            lefts.setdefault(normalise(right), []).append(left)
        except RecordRejected:
            continue
    same = _SAME if boolean else {}
    table: dict[Normal, str] = {}
    shared: list[tuple[Normal, tuple[str, ...]]] = []
    for normal, sides in lefts.items():
        if len({same.get(side, side) for side in sides}) == 1:
            table[normal] = sides[0]
        else:
            shared.append((normal, tuple(sides)))
    return table, shared
