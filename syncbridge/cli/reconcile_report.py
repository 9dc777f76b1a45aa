"""What `syncbridge reconcile` shows: how far it is, what drifted, and what a repair came to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from syncbridge.cli.report import console, seconds_text, table
from syncbridge.model import Normal
from syncbridge.reconcile.drift import Kind
from syncbridge.reconcile.reconciler import Progress
from syncbridge.reconcile.repair import Repaired
from syncbridge.reconcile.report import Example, Report

#: What each kind of drift is, in words.
MEANINGS = {
    Kind.FIELDS: "values differ",
    Kind.MISSING: "the entity has no record",
    Kind.EXTRA: "the record has no entity",
    Kind.LINK: "another record carries the key than is linked, or none is linked",
    Kind.KEY: "the linked record does not carry the key",
    Kind.NO_ROW: "the record has no key, and is no row yet",
    Kind.TWO_RECORDS: "several records carry one key",
    Kind.TWO_ENTITIES: "two entities are linked to one record",
}
#: Characters of a value that is shown.
LONGEST = 40


def plain(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "mapping": report.mapping,
        "object": report.object,
        "started_at": report.started_at,
        **report.counts(),
        "examples": [
            {
                "kind": each.kind.value,
                "key": each.key,
                "remote_id": each.remote_id,
                "others": list(each.others),
                "fields": {
                    name: {"postgres": ours, "destination": theirs} for name, (ours, theirs) in each.fields.items()
                },
            }
            for each in report.examples
        ],
    }


def tell(report: Report) -> None:
    """The report for people."""
    terminal = console()
    for line in _lines(report):
        terminal.print(line, soft_wrap=True)
    if report.drift:
        terminal.print()
        kinds = [(count, kind.value, MEANINGS[kind]) for kind, count in report.kinds.most_common()]
        terminal.print(table("Drift", ["count", "kind", "what it is"], kinds))
        if report.fields:
            terminal.print()
            terminal.print(
                table("By field", ["count", "field"], [(n, name) for name, n in report.fields.most_common()])
            )
        terminal.print()
        terminal.print(table("Examples", ["kind", "key", "record", "difference"], map(_row, report.examples)))
    for warning in report.warnings:
        terminal.print(Text(warning, style="yellow"), soft_wrap=True)


def _lines(report: Report) -> Iterator[Text]:
    looked = f"{report.entities:,} entities" if report.sample is None else f"a sample of {report.sample:,} entities"
    theirs = f" and {report.records:,} records" if report.sample is None else ""
    verdict = Text("agree", style="green") if not report.drift else Text(f"{report.drift:,} drifted", style="bold red")
    took = f" ({seconds_text(report.seconds)}, {report.calls:,} API calls)"
    yield Text.assemble(f"{report.mapping}: {looked}{theirs} of {report.object}: ", verdict, took)
    counts = report.counts()
    if report.sample is not None:
        low, high = counts["share_low"], counts["share_high"]
        yield Text(f"  {counts['share']:.2%} of them; of all, between {low:.2%} and {high:.2%} with 95% certainty")
    for count, what in (
        (report.on_its_way, "on their way: they wait to be delivered or polled"),
        (report.held, f"held: see `syncbridge conflicts {report.mapping}` and `syncbridge dead {report.mapping}`"),
        (report.by_rule, "left as the mapping's `deletes` says"),
        (report.not_ours, "records without a key: not ours"),
    ):
        if count:
            yield Text(f"  {count:,} {what}")


def tell_repair(report: Report, repaired: Repaired) -> None:
    """What the repair came to, for people."""
    terminal = console()
    terminal.print()
    for count, what in (
        (repaired.sent, "enqueued to be sent"),
        (repaired.looked_at, "records to be looked at again by the poller"),
        (repaired.relinked, "links mended"),
        *((count, f"left: {why}") for why, count in repaired.left.most_common()),
    ):
        if count:
            terminal.print(f"  {count:,} {what}", soft_wrap=True, markup=False)
    terminal.print(f"To wait for it: syncbridge wait {report.mapping}", soft_wrap=True, markup=False)


def _row(example: Example) -> tuple[str, str, str | None, str]:
    told = [f"{name}: {_value(ours)} here, {_value(theirs)} there" for name, (ours, theirs) in example.fields.items()]
    if example.others:
        told.append(f"also {', '.join(example.others)}")
    return example.kind.value, example.key, example.remote_id, "; ".join(told)


def _value(value: Normal) -> str:
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class Shown:
    """How far it is: a bar on a terminal, else a line for each phase."""

    def __init__(self, mapping: str, *, quiet: bool) -> None:
        self._mapping = mapping
        self._quiet = quiet
        self._terminal = console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._terminal,
            disable=quiet or not self._terminal.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(mapping, total=None)
        self._phase = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show how far it is."""
        description = f"{self._mapping}: {progress.phase}"
        self._bar.update(self._task, completed=progress.done, total=progress.total, description=description)
        if progress.phase != self._phase:
            self._phase = progress.phase
            if not self._quiet and not self._terminal.is_terminal:
                self._terminal.print(f"{description} ...", soft_wrap=True, markup=False)
