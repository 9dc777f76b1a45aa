"""Values of sensitive fields are shown to nobody: not in records, nor in messages, where a destination repeats them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from syncbridge.destinations.base import Rejected, Result
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.outbound.plan import Planned

MASK = "***"
#: Shorter values and words stand in messages by chance, unless they stand there as a word.
_TELLING = 3
_WORD = re.compile(r"\w{3,}")


@dataclass(slots=True)
class Mask:
    """Hides the values of one batch. What it costs is paid when there is a message."""

    mapping: CompiledMapping
    _names: frozenset[str] = field(init=False)
    _batch: tuple[Planned, ...] = ()
    _pattern: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        self._names = self.mapping.sensitive

    def cover(self, planned: Iterable[Planned]) -> None:
        """From now on hide the values of these records."""
        if self._names:
            self._batch, self._pattern = tuple(planned), None

    def __call__(self, message: str) -> str:
        """The message with each value, and each longer word of one, replaced."""
        if not self._batch:
            return message
        if self._pattern is None:
            self._pattern = pattern_of({text for p in self._batch for text in self._values(p)}, with_words=True)
        return self._pattern.sub(MASK, message)

    def result(self, result: Result) -> Result:
        """A rejection with such a message; what is delivered as it is."""
        if isinstance(result, Rejected) and self._batch:
            return replace(result, message=self(result.message))
        return result

    def _values(self, planned: Planned) -> Iterable[str]:
        for values in (planned.fields, planned.base):
            for name, value in values.items():
                if value is not None and not isinstance(value, bool) and name.lower() in self._names:
                    yield str(value)


def masked(values: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """Fields with their values, those of sensitive fields covered."""
    return {name: covered(value) if name.lower() in sensitive else value for name, value in values.items()}


def covered(value: object) -> str | None:
    """What is shown in place of a value; that there is none is told."""
    return None if value is None else MASK


def pattern_of(values: set[str], *, with_words: bool) -> re.Pattern[str]:
    """Finds these values in a text, and each longer word of them too if asked; short values only as words."""
    whole = {value for value in values if len(value) >= _TELLING}
    words = values - whole - {""}
    if with_words:
        words |= {word for value in values for word in _WORD.findall(value)}
    parts = [re.escape(value) for value in sorted(whole, key=len, reverse=True)]
    parts += [rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(words, key=len, reverse=True)]
    return re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)
