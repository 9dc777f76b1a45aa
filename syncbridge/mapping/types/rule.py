"""What one row of the table of types says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from syncbridge.model import Normal
from syncbridge.schemas import FieldKind


@dataclass(frozen=True, slots=True)
class Refused:
    """The record is refused with this code, and no other record is."""

    code: str


#: What comes back is what was there.
SAME: Final = "(the same)"


@dataclass(frozen=True, slots=True)
class There:
    """A value of a column on its way to the remote field, and what its unchanged return would store."""

    value: str | None  # as text that the column takes; None is null
    remote: Normal | Refused  # what the destination then holds, and gives when it is read
    back: str | None = SAME
    column: str = ""  # SQL type, where it is not the usual one of the base type
    field: str = ""  # remote type, where it is not the usual one of the kind
    why: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """A value that somebody put into the remote field, and what the column then holds."""

    remote: Normal
    value: str | Refused | None
    column: str = ""
    field: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class TypeRule:
    """One row: these Postgres base types to these kinds of field."""

    family: str  # heading it stands under
    types: tuple[str, ...]
    kinds: tuple[FieldKind, ...]
    there: str  # the rule in words, to the destination
    back: str  # and back to Postgres
    examples: tuple[There, ...]
    returns: tuple[Back, ...] = ()
    warning: str = ""  # what `check` says, where something is lost that one may not expect
    cast: str = ""  # SQL that it proposes then, with {} for the expression
