"""The table in the terminal, and the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson
from rich.table import Table

from tests.bench.figures import Line, Outcome

_INTRODUCTION = """\
# Benchmarks

Written by `make bench`; run it on your own machine. Reader, writer, servers and Postgres share the machine's \
cores. Where a figure stands for several runs it is their median, with the smallest and largest in parentheses. \
Ratios compare runs of one session, so they carry over to other machines better than rates do.
"""


def table(outcomes: Sequence[Outcome]) -> Table:
    """All figures, for the terminal."""
    shown = Table(title="syncbridge benchmarks")
    for heading in ("bench", "figure", "measured", "target", ""):
        shown.add_column(heading, justify="right" if heading in ("measured", "target") else "left")
    for outcome in outcomes:
        for line in outcome.lines:
            shown.add_row(line.bench, line.what, line.figure, line.target, _verdict(line))
        shown.add_section()
    return shown


def document(outcomes: Sequence[Outcome], facts: Mapping[str, str], *, seconds: float) -> str:
    """The same as Markdown, with the machine, the methods and every single run."""
    parts = [_INTRODUCTION, _machine(facts, seconds), "## Figures\n"]
    parts.append("| bench | figure | measured | target | |\n| --- | --- | ---: | ---: | --- |")
    parts += [_row(line) for outcome in outcomes for line in outcome.lines]
    for outcome in outcomes:
        parts.append(
            f"\n## {outcome.name.capitalize()}: how it is measured\n\n{outcome.method}\n\nEvery run:\n\n```json"
        )
        parts += [orjson.dumps(run).decode() for run in outcome.runs]
        parts.append("```")
    return "\n".join(parts) + "\n"


def _machine(facts: Mapping[str, str], seconds: float) -> str:
    rows = [f"| {name} | {value} |" for name, value in facts.items()]
    rows.append(f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |")
    rows.append(f"| all benches took | {seconds:.0f} s |")
    return "## Machine\n\n| | |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def _row(line: Line) -> str:
    return f"| {line.bench} | {line.what} | {line.figure} | {line.target} | {_verdict(line)} |"


def _verdict(line: Line) -> str:
    return "" if line.met is None else "met" if line.met else "missed"
