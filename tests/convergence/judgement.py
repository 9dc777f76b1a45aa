"""How a story must end: quiet, both sides equal by the rules, and every edit either there, replaced by somebody who
saw it, or told of in the log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from tests.convergence.far_side import KEYS
from tests.convergence.ledger import Place, number_of, numbers_in
from tests.convergence.mappings import COLUMNS, NAMES, OBJECT
from tests.convergence.story import Story

#: Fields that one side owns.
HERE_OWNS, THERE_OWNS = ("Department", "Greeting__c"), ("Title", "Grade__c")
DERIVED = {"people": {"Grade__c": "grade", "Greeting__c": "greeting"}, "companies": {}}


def come_to_rest(story: Story) -> None:
    """Troubles end, everything is captured, polled and delivered until nothing moves."""
    project = story.project
    story.tell("-- everything comes to rest --")
    project.far.calls.amid.clear()
    project.far.calls.troubles.clear()
    project.far.be_late(0)
    for name in NAMES:
        story.pause(name, resume=True)
    before: Any = None
    for _ in range(15):
        story.pass_time(1000)
        story.capture()
        for name in NAMES:
            story.poll(name)
        story.capture()
        for name in NAMES:
            project.deliver_all(name)
        story.observe()
        now = _moved(story)
        if now == before:
            return
        before = now
    raise AssertionError("it does not come to rest")


def _moved(story: Story) -> tuple[object, ...]:
    sql = story.project.sql
    outbox = sql("select key, status, version from syncbridge.outbox order by mapping_id, key")
    waiting = sql("select remote_id from syncbridge.recheck order by 1")
    return story.project.far.calls.sent, sql("select max(number) from written"), outbox, waiting


def judge(story: Story) -> list[str]:
    """What is wrong with how a story ended."""
    return [*_restless(story), *_unequal(story), *_vanished(story), *_turned_back(story), *_revived(story)]


def _restless(story: Story) -> Iterator[str]:
    project = story.project
    for name, status, reason in project.sql("select name, status, reason from syncbridge.mapping"):
        if status != "active":
            yield f"{name} is {status}: {reason}"
    for key, *row in project.sql("select key, status, error_code, error from syncbridge.outbox"):
        if key not in _orphans(story):
            yield f"left in the outbox: {key} {row}"
    for (remote_id,) in project.sql("select remote_id from syncbridge.recheck"):
        yield f"{remote_id} is still to be looked at again"
    for name in NAMES:
        project.poll(name)  # reaches far back, now and then, which costs a second call
        calls = project.far.calls_made()
        project.poll(name)
        project.deliver(name)
        if project.far.calls_made() - calls != 1:
            yield f"{project.far.calls_made() - calls} calls of {name}, where nothing changed"


def _unequal(story: Story) -> Iterator[str]:
    for name in NAMES:
        rows = story.project.rows(name)
        listed = list(story.project.far.records(OBJECT[name]).values())
        key = KEYS[OBJECT[name]]
        for twice, times in Counter(record[key] for record in listed).items():
            if times > 1:
                yield f"{times} records of {name} {twice}"
        records = {str(record[key]): record for record in listed if record[key] is not None}
        for entity in sorted(rows.keys() | records.keys()):
            row, record = rows.get(entity), records.get(entity)
            if row is None or record is None:
                yield from _alone(story, name, entity, "the record" if row is None else "the row")
            else:
                yield from _fields(story, name, entity, row, record)


def _alone(story: Story, name: str, key: str, what: str) -> Iterator[str]:
    """One side was deleted and the other is there: only as the rules say."""
    outcomes = {outcome for (outcome,) in _log(story, name, key, "outcome", "operation = 'delete'")}
    held = _held(story).get((name, key))
    if name == "people" and key in _orphans(story):
        return
    if what == "the row" and story.project.variant.to_postgres == "ignore" and "ignored" in outcomes:
        return
    if held is not None and held["kind"] == "delete":
        return
    if what == "the record" and (name, key) in story.ledger.shaken and key not in story.project.remote_ids(name):
        return  # undeleted, and no row of it is there any more
    yield f"{what} of {name} {key} is alone"


def _fields(story: Story, name: str, key: str, row: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    ledger = story.ledger
    held = _held(story).get((name, key), {}).get("fields", {})
    for remote, column in {**COLUMNS[name], **DERIVED[name]}.items():
        if remote in held or (name == "people" and key in _orphans(story)):
            continue
        here, there = normal(story.project.far.destination, OBJECT[name], remote, row[column]), record[remote]
        last = {side: ledger.last.get(((name, key, remote), side)) for side in ("here", "there")}
        if here != there and not (remote in THERE_OWNS and last["here"] and row[column] == last["here"].value):
            yield f"{remote} of {name} {key} is {row[column]!r} here and {there!r} there"
        number = number_of(there)
        if number is not None and (number not in ledger.edits or ledger.edits[number].place[:2] != (name, key)):
            yield f"{remote} of {name} {key} is {there!r}, which nobody wrote"
        if (name, key) in ledger.shaken or remote in DERIVED[name]:
            continue
        values = {
            side: normal(story.project.far.destination, OBJECT[name], remote, e.value) for side, e in last.items() if e
        }
        if remote in HERE_OWNS and there != values["here"]:
            yield f"{remote} of {name} {key} is {there!r}, though Postgres owns it and last wrote {values['here']!r}"
        elif remote in THERE_OWNS:
            if there != values.get("there", there):
                yield f"{remote} of {name} {key} is {there!r}, though it is theirs, who last wrote {values['there']!r}"
        elif there not in values.values():
            yield f"{remote} of {name} {key} is {there!r}, which is not what either side wrote last: {values}"
    if name == "people" and "AccountId" not in held and key not in _orphans(story):
        company = (
            None if row["company_id"] is None else story.project.remote_ids("companies").get(str(row["company_id"]))
        )
        if record["AccountId"] != company:
            yield f"people {key} has company {row['company_id']} ({company}), there {record['AccountId']}"


def normal(destination: Destination, object: str, remote: str, value: Any) -> Any:
    """A row's value as the destination would have it."""
    if value is None and remote in ("LastName", "Name"):
        return "Unknown"
    try:
        return destination.normaliser(destination.describe(object).fields[remote])(value)
    except RecordRejected:
        return None


def _vanished(story: Story) -> Iterator[str]:
    ledger, there = story.ledger, _everything(story)
    told: dict[Place, set[int]] = defaultdict(set)
    for name in NAMES:
        for key, decision in story.project.sql(
            "select key, decision from syncbridge.sync_log where decision is not null and mapping_id = %s",
            story.project.mappings[name][0],
        ):
            for remote, numbers in numbers_in(decision).items():
                told[name, key, remote] |= numbers
    for (name, key), held in _held(story).items():
        for remote, numbers in numbers_in(held["fields"]).items():
            told[name, key, remote] |= numbers
    for edit in ledger.edits.values():
        if edit.value is None or edit.number in ledger.seen or edit.number in there[edit.place]:
            continue
        if edit.number in told[edit.place] or (edit.side == "there" and edit.place[2] in HERE_OWNS):
            continue
        yield f"{edit.value!r}, written {edit.side} to {' '.join(edit.place)}, vanished without a word"


def _orphans(story: Story) -> set[str]:
    """People who wait for a company whose record was deleted there, which is ignored here."""
    if story.project.variant.to_postgres != "ignore":
        return set()
    linked = story.project.remote_ids("companies")
    rows = story.project.rows("people").items()
    return {key for key, row in rows if row["company_id"] is not None and str(row["company_id"]) not in linked}


def _everything(story: Story) -> dict[Place, set[int | None]]:
    """The edits that can be seen at the end, on either side."""
    found: dict[Place, set[int | None]] = defaultdict(set)
    for name in NAMES:
        for key, row in story.project.rows(name).items():
            for remote, column in COLUMNS[name].items():
                found[name, key, remote].add(number_of(row[column]))
        for record in story.project.far.records(OBJECT[name]).values():
            for remote in COLUMNS[name]:
                found[name, str(record[KEYS[OBJECT[name]]]), remote].add(number_of(record[remote]))
    return found


def _turned_back(story: Story) -> Iterator[str]:
    """An older value of our own must never come back as a change from there."""
    for name, key, before, after in story.project.sql(
        "select source, key, before, after from written where who like 'syncbridge%%'"
        " and before is not null and after is not null order by number"
    ):
        for remote, column in COLUMNS[name].items():
            back = remote not in THERE_OWNS and story.ledger.older(after[column], before[column], "here")
            if back and (name, key) not in story.ledger.shaken:
                yield f"{remote} of {name} {key} flipped back from {before[column]!r} to {after[column]!r}"


def _revived(story: Story) -> Iterator[str]:
    """A record whose delete was ignored must not come back, unless somebody made its row anew or undeleted it."""
    ignored: set[tuple[str, str]] = set()
    for name, key, direction, operation, outcome in story.project.sql(
        "select m.name, l.key, l.direction, l.operation, l.outcome from syncbridge.sync_log l"
        " join syncbridge.mapping m on m.id = l.mapping_id where l.operation in ('create', 'delete') order by l.id"
    ):
        if (direction, operation) == ("in", "delete"):
            (ignored.add if outcome == "ignored" else ignored.discard)((name, key))
        made = (direction, operation, outcome) == ("out", "create", "delivered")
        if made and (name, key) in ignored - story.ledger.renewed:
            yield f"{name} {key} was made anew, though its delete there was ignored"


def _log(story: Story, name: str, key: str, columns: str, where: str) -> list[tuple[Any, ...]]:
    return story.project.sql(
        f"select {columns} from syncbridge.sync_log where mapping_id = %s and key = %s and {where}",
        story.project.mappings[name][0], key,
    )  # fmt: skip


def _held(story: Story) -> dict[tuple[str, str], dict[str, Any]]:
    found = story.project.sql(
        "select m.name, h.key, h.kind, h.fields from syncbridge.held_change h join syncbridge.mapping m"
        " on m.id = h.mapping_id"
    )
    return {(name, key): {"kind": kind, "fields": fields} for name, key, kind, fields in found}
