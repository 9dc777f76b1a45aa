"""The page that `syncbridge status` shows: what needs a person, the mappings, then what they depend on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from syncbridge.answers.status import CaptureState, DestinationState, MappingState, Snapshot, WorkerState, in_words
from syncbridge.cli.report import bytes_text, moment_text, seconds_text, table
from syncbridge.cli.way_back import way_back_line
from syncbridge.errors import Finding
from syncbridge.model import MappingStatus, Reason
from syncbridge.store.bulk_jobs import Job
from syncbridge.store.call_counts import Cost
from syncbridge.store.gaps import Gap
from syncbridge.store.reconciliations import Reconciliation
from syncbridge.store.runs import Direction, Run

_STYLES = {
    MappingStatus.ACTIVE: "green",
    MappingStatus.PAUSED: "yellow",
    MappingStatus.WAITING: "yellow",
    MappingStatus.HALTED: "bold red",
    MappingStatus.GUARD: "bold red",
}


def page(snapshot: Snapshot, findings: Sequence[Finding]) -> Group:
    """The snapshot for a terminal: what needs a person, the mappings, then what they depend on."""
    parts: list[RenderableType] = []
    if findings:
        parts += [_findings(findings), Text()]
    if snapshot.mappings:
        parts += [_mappings(snapshot.mappings)]
        details = [(each.name, line) for each in snapshot.mappings for line in _details(each)]
        parts += [Text(), _lines(details)] if details else []
        parts += [Text()]
    lines = [("capture", _capture(snapshot.capture)), ("slot", _slot(snapshot.capture))]
    if snapshot.capture.gap is not None:
        lines.append(("gap", _gap(snapshot.capture.gap)))
    lines += [(each.name, _destination(each)) for each in snapshot.destinations]
    lines += [("workers" if not turn else "", each) for turn, each in enumerate(_workers(snapshot.workers))]
    return Group(*parts, _lines(lines))


def _lines(lines: Sequence[tuple[str, RenderableType]]) -> Table:
    """Names on the left, what is said of them on the right."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, said in lines:
        made.add_row(name, said)
    return made


def _findings(findings: Sequence[Finding]) -> Table:
    made = Table.grid(padding=(0, 1))
    for finding in findings:
        style = "bold red" if finding.severity == "error" else "yellow"
        made.add_row(Text("!", style), Text(f"{finding.where}: {finding.message}", style))
        if finding.remedy:
            made.add_row("", Text(finding.remedy))
    return made


def _mappings(states: Sequence[MappingState]) -> Table:
    headings = ("mapping", "to", "status", "pending", "retrying", "dead", "held", "lag", "sent/s", "linked")
    made = table("", headings, [_row(each) for each in states])
    for column in made.columns[3:]:
        column.justify = "right"
        column.no_wrap = True
    return made


def _row(state: MappingState) -> Sequence[object]:
    return (
        state.name,
        f"{state.destination}.{state.object}",
        Text(in_words(state.status), _STYLES[state.status]),
        state.pending,
        state.retrying,
        Text(f"{state.dead:,}", "yellow" if state.dead else ""),
        Text(f"{state.held:,}", "yellow" if state.held else ""),
        seconds_text(state.lag_seconds),
        f"{state.delivered_per_second:,.3g}",
        state.linked,
    )


def _details(state: MappingState) -> Iterator[RenderableType]:
    """Lines below the table: why it does not deliver (what needs a person stands on top), runs, the last error."""
    if state.status is MappingStatus.WAITING:
        yield Text(f"waits until {moment_text(state.until)} and goes on by itself: {state.reason}", "yellow")
    elif state.status is MappingStatus.PAUSED:
        why = f": {state.reason}" if state.reason else ""
        yield Text(f"paused since {moment_text(state.since)}{why}. To go on: syncbridge resume {state.name}", "yellow")
    elif state.status is not MappingStatus.ACTIVE:
        yield Text(f"{in_words(state.status)} since {moment_text(state.since)}", "red")
    if state.way_back is not None:
        yield way_back_line(state.name, state.way_back, state.poll_every or 0)
    for run in state.runs:
        yield Text(f"{run_name(run)}: {_progress(run)}")
    for job in state.jobs:
        yield _job(job)
    for crowd in state.waits:
        waits = "waits" if crowd.entities == 1 else "wait"
        state_now = "there now" if crowd.state == "linked" else crowd.state
        yield Text(f"{crowd.entities:,} {waits} for {crowd.parent} ({state_now}, such as {crowd.example})", "yellow")
    if state.reconciled is not None:
        yield _reconciled(state.reconciled)
    if state.day.calls:
        yield _cost(state.hour, state.day)
    told = state.status is not MappingStatus.ACTIVE and state.last_error == state.reason
    if state.last_error and state.last_error_at and not told:
        key = f", record {state.last_error_key}" if state.last_error_key else ""
        yield Text(f"last error {moment_text(state.last_error_at)}{key}: {state.last_error}", "dim")


def _reconciled(last: Reconciliation) -> RenderableType:
    """`reconciled 03:31:12: both sides agree, 1,000,000 entities`"""
    when = moment_text(last.finished_at)
    if last.drift is None:
        return Text(f"reconcile failed {when}: {last.error}", "yellow")
    entities = f"{last.report.get('entities', 0):,} entities"
    if last.drift:
        return Text(f"reconciled {when}: {last.drift:,} drifted, {entities}", "yellow")
    return Text(f"reconciled {when}: both sides agree, {entities}", "dim")


def _job(job: Job) -> RenderableType:
    """`bulk job 750...: upsert of 100,000 records since 14:03:11, 42,000 done, 3 refused`"""
    if job.remote_id is None:
        return Text(f"bulk job, being prepared since {moment_text(job.since)}: {job.operation}", "dim")
    records = f" of {job.records:,} records" if job.records else ""
    done = f", {job.processed:,} done" if job.processed else ""
    refused = f", {job.failed:,} refused" if job.failed else ""
    sending = ", being uploaded" if job.state == "open" else ""
    since = moment_text(job.since)
    return Text(f"bulk job {job.remote_id}: {job.operation}{records} since {since}{sending}{done}{refused}", "dim")


def _cost(hour: Cost, day: Cost) -> RenderableType:
    """`API calls in 24 h: 1,040 (upsert 1,000, query 40), 5.2 for 1,000 records; in the last hour: 100, 5 for ...`"""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in day.kinds.items())
    last = f"; in the last hour: {hour.calls:,}{_per_thousand(hour)}" if hour.calls < day.calls else ""
    return Text(f"API calls in 24 h: {day.calls:,} ({kinds}){_per_thousand(day)}{last}", "dim")


def _per_thousand(cost: Cost) -> str:
    return "" if cost.per_thousand is None else f", {cost.per_thousand:,.1f}".removesuffix(".0") + " for 1,000 records"


def run_name(run: Run) -> str:
    """`first sync`, `resync`, `resync in full where ...`"""
    if run.direction is Direction.IN:
        name = "first load" if run.reason is Reason.FIRST_SYNC else "resync from the destination"
    else:
        name = run.reason.value.replace("_", " ")
    return name + " in full" * run.resend + (f" where {run.filter}" if run.filter else "")


def counted(run: Run) -> str:
    """What the run's number counts."""
    return "records read" if run.direction is Direction.IN else "keys enqueued"


def _progress(run: Run) -> str:
    what = counted(run)
    if run.after is None and run.position is None and not run.enqueued:
        return "asked for, not begun"
    if run.phase == "missing":
        return f"{run.enqueued:,} {what}; looking for those that are gone"
    if run.total is None:
        return f"{run.enqueued:,} {what}"
    part = f", {min(1.0, run.enqueued / run.total):.0%}" if run.total else ""
    return f"{run.enqueued:,} of {run.total:,} {what}{part}"


def _capture(capture: CaptureState) -> RenderableType:
    if capture.stopped:
        said = Text("stopped", "bold red")
    elif capture.ready:
        said = Text("ready", "green")
    else:
        said = Text("starting" if capture.streaming else "not running", "yellow")
    if capture.lag_bytes is not None:
        said.append(f", {bytes_text(capture.lag_bytes)} behind the server", "default")
    if capture.checkpoint is not None:
        said.append(f", checkpoint {capture.checkpoint}", "default")
    if capture.checkpoint_time is not None:
        said.append(f", last change committed {moment_text(capture.checkpoint_time)}", "default")
    if capture.standby:
        said.append(f", {capture.standby} standing by", "default")
    return said


def _slot(capture: CaptureState) -> RenderableType:
    slot = capture.slot
    if slot is None:
        return Text(f"{capture.slot_name}: " + ("not known, the source is away" if capture.unreachable else "missing"))
    use = f"in use by process {slot.active_pid}" if slot.active_pid else "not in use"
    left = f", {bytes_text(slot.safe_wal_size)} until it is at risk" if slot.safe_wal_size is not None else ""
    return Text(
        f"{slot.name}: {use}, keeps {bytes_text(slot.retained_bytes)} of log ({slot.wal_status}),"
        f" {bytes_text(slot.confirm_lag_bytes)} not confirmed{left}"
    )


def _gap(gap: Gap) -> RenderableType:
    looked = "every record is being compared" if gap.open else "every record was compared since"
    return Text(f"{gap}; {looked}", "yellow" if gap.open else "dim")


def _destination(destination: DestinationState) -> RenderableType:
    if destination.state == "unknown":
        return Text("allowance not known: no worker reports it", "dim")
    said = Text()
    if destination.used is not None and destination.allowed:
        part = destination.used / destination.allowed
        said.append(f"{destination.used:,} of {destination.allowed:,} calls of the day used, {part:.1%}")
        said.append(f" (we stop at {destination.share:,}); " if destination.share else "; ")
    said.append(f"{destination.day.calls:,} by the workers in 24 h{_per_thousand(destination.day)}")
    if destination.state != "ok":
        said.append(
            f"; {destination.state}: {destination.detail}", "bold red" if destination.state == "stopped" else "yellow"
        )
    if destination.lowered:
        said.append(f"; {destination.lowered}", "yellow")
    if destination.identity is not None:
        said.append(f"; {destination.identity}", "dim")
    return said


def _workers(workers: Sequence[WorkerState]) -> Iterator[RenderableType]:
    if not workers:
        yield Text("none", "dim")
    for worker in workers:
        doing = ["captures" if worker.capturing else "stands by to capture"] if "capture" in worker.roles else []
        doing += ["delivers"] if "deliver" in worker.roles else []
        name = f"{worker.host} (process {worker.pid})"
        if worker.alive:
            yield Text(f"{name} {' and '.join(doing)}, since {moment_text(worker.started_at)}")
        else:
            yield Text(f"{name} was last seen {moment_text(worker.seen_at)}", "dim")
