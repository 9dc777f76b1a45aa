"""What a bench gives: rows of a table, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `met` is None where there is no target, or where it was not measured at full size."""

    bench: str
    what: str
    figure: str
    target: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Outcome:
    """The lines of one bench, how it measured, and every single run."""

    name: str
    method: str
    lines: list[Line] = field(default_factory=list)
    runs: list[Mapping[str, object]] = field(default_factory=list)

    def add(self, what: str, figure: str, *, target: str = "", met: bool | None = None) -> None:
        self.lines.append(Line(self.name, what, figure, target, met))

    def ran(self, **numbers: object) -> None:
        """Keep one run's numbers as they came."""
        self.runs.append(numbers)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(median(values))


def spread(values: Sequence[float], shown: str = "{:,.0f}") -> str:
    """The median, and the smallest and largest when there are several."""
    text = shown.format(middle(values))
    return text if len(values) == 1 else f"{text} ({shown.format(min(values))} to {shown.format(max(values))})"


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
