"""How a story must end: quiet, both sides equal by the rules, and every edit either there, replaced by somebody who
saw it, or told of in the log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from syncbridge.destinations.base import Destination
from syncbridge.errors import RecordRejected
from tests.convergence.excuses import held_changes, held_records, holds_refused, is_stuck, logged, orphans
from tests.convergence.far_side import KEYS
from tests.convergence.ledger import Place, number_of, numbers_in
from tests.convergence.mappings import COLUMNS, MARK, NAMES, OBJECT
from tests.convergence.people import entity_of
from tests.convergence.story import Story

#: Fields that one side owns.
HERE_OWNS, THERE_OWNS = ("Department", "Greeting__c"), ("Title", "Grade__c")
DERIVED = {"people": {"Grade__c": "grade", "Greeting__c": "greeting"}, "companies": {}}


def judge(story: Story) -> list[str]:
    """What is wrong with how a story ended."""
    checks = (_restless, _unequal, _vanished, _undecided, _turned_back, _revived, _drifted)
    return [problem for check in checks for problem in check(story)]


def _restless(story: Story) -> Iterator[str]:
    project = story.project
    for name, status, reason in project.sql("select name, status, reason from syncbridge.mapping"):
        if status != "active":
            yield f"{name} is {status}: {reason}"
    for key, *row in project.sql("select key, status, error_code, error from syncbridge.outbox"):
        if key not in orphans(story) and not (row[0] in ("dead", "waiting") and is_stuck(story, key)):
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
        for twice, times in Counter(record[key] for record in listed if record[key] is not None).items():
            if times > 1:
                yield f"{times} records of {name} {twice}"
        unkeyed = {each for each, record in story.project.far.records(OBJECT[name]).items() if record[key] is None}
        for remote_id in unkeyed - held_records(story, name):
            yield f"the record {remote_id} of {name} has no key, and is not held"
        records = {str(record[key]): record for record in listed if record[key] is not None}
        for entity in sorted(rows.keys() | records.keys()):
            row, record = rows.get(entity), records.get(entity)
            if row is None or record is None:
                yield from _alone(story, name, entity, "the record" if row is None else "the row")
            else:
                yield from _fields(story, name, entity, row, record)


def _alone(story: Story, name: str, key: str, what: str) -> Iterator[str]:
    """One side was deleted and the other is there: only as the rules say."""
    outcomes = {outcome for (outcome,) in logged(story, name, key, "outcome", "operation = 'delete'")}
    held = held_changes(story).get((name, key))
    if name == "people" and key in orphans(story):
        return
    told = {"ignore": "ignored", MARK: "written"}.get(story.project.variant.to_postgres)
    if what == "the row" and (told in outcomes or is_stuck(story, key)):
        return
    if held is not None and held["kind"] == "delete":
        return
    records = story.project.far.records(OBJECT[name])
    carriers = {each for each, record in records.items() if record[KEYS[OBJECT[name]]] == key}
    if what == "the record" and carriers <= held_records(story, name):
        return
    if what == "the record" and story.ledger.is_shaken(name, key) and key not in story.project.remote_ids(name):
        return  # undeleted, and no row of it is there any more
    yield f"{what} of {name} {key} is alone"


def _fields(story: Story, name: str, key: str, row: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    ledger = story.ledger
    held = held_changes(story).get((name, key), {}).get("fields", {})
    for remote, column in {**COLUMNS[name], **DERIVED[name]}.items():
        if remote in held or (name == "people" and key in orphans(story)) or holds_refused(row):
            continue
        place = ledger.place((name, key, remote))
        here = normal(story.project.far.destination, OBJECT[name], remote, row[column])
        there = normal(story.project.far.destination, OBJECT[name], remote, record[remote])
        last = {side: ledger.last.get((place, side)) for side in ("here", "there")}
        if here != there and not (remote in THERE_OWNS and last["here"] and row[column] == last["here"].value):
            yield f"{remote} of {name} {key} is {row[column]!r} here and {there!r} there"
        number = number_of(there)
        edit = ledger.edits.get(number or 0)
        if number is not None and (edit is None or ledger.place(edit.place)[:2] != place[:2]):
            yield f"{remote} of {name} {key} is {there!r}, which nobody wrote"
        if ledger.is_shaken(name, key) or remote in DERIVED[name]:
            continue
        values = {
            side: normal(story.project.far.destination, OBJECT[name], remote, e.value) for side, e in last.items() if e
        }
        if remote in HERE_OWNS:
            if there != values.get("here", there):
                yield f"{remote} of {name} {key} is {there!r}, though Postgres owns it, last {values['here']!r}"
        elif remote in THERE_OWNS:
            if there != values.get("there", there):
                yield f"{remote} of {name} {key} is {there!r}, though it is theirs, who last wrote {values['there']!r}"
        elif there not in values.values():
            yield f"{remote} of {name} {key} is {there!r}, which is not what either side wrote last: {values}"
    if name == "people" and "AccountId" not in held and key not in orphans(story) and not holds_refused(row):
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
                told[ledger.place((name, key, remote))] |= numbers
    for (name, key), held in held_changes(story).items():
        for remote, numbers in numbers_in(held["fields"]).items():
            told[ledger.place((name, key, remote))] |= numbers
    for edit in ledger.edits.values():
        if edit.value is None or edit.number in ledger.seen or edit.number in there[ledger.place(edit.place)]:
            continue
        if edit.number in told[ledger.place(edit.place)] or (edit.side == "there" and edit.place[2] in HERE_OWNS):
            continue
        yield f"{edit.value!r}, written {edit.side} to {' '.join(edit.place)}, vanished without a word"


def _everything(story: Story) -> dict[Place, set[int | None]]:
    """The edits that can be seen at the end, on either side."""
    found: dict[Place, set[int | None]] = defaultdict(set)
    for name in NAMES:
        for key, row in story.project.rows(name).items():
            for remote, column in COLUMNS[name].items():
                found[story.ledger.place((name, key, remote))].add(number_of(row[column]))
        for remote_id, record in story.project.far.records(OBJECT[name]).items():
            for remote in COLUMNS[name]:
                place = story.ledger.place((name, entity_of(name, remote_id, record), remote))
                found[place].add(number_of(record[remote]))
    return found


def _turned_back(story: Story) -> Iterator[str]:
    """An older value of our own must never come back as a change from there."""
    for name, key, before, after in story.project.sql(
        "select source, key, before, after from written where who like 'syncbridge%%'"
        " and before is not null and after is not null order by number"
    ):
        for remote, column in COLUMNS[name].items():
            back = remote not in THERE_OWNS and story.ledger.older(after[column], before[column], "here")
            if back and not story.ledger.is_shaken(name, key):
                yield f"{remote} of {name} {key} flipped back from {before[column]!r} to {after[column]!r}"


def _revived(story: Story) -> Iterator[str]:
    """A record whose delete was ignored must not come back, unless somebody made its row anew or undeleted it."""
    ignored: set[tuple[str, str]] = set()
    for name, key, direction, operation, outcome in story.project.sql(
        "select m.name, l.key, l.direction, l.operation, l.outcome from syncbridge.sync_log l"
        " join syncbridge.mapping m on m.id = l.mapping_id where l.operation in ('create', 'delete') order by l.id"
    ):
        if (direction, operation) == ("in", "delete"):
            kept = outcome == {"ignore": "ignored", MARK: "written"}.get(story.project.variant.to_postgres)
            (ignored.add if kept else ignored.discard)((name, key))
        made = (direction, operation, outcome) == ("out", "create", "delivered")
        if made and (name, key) in ignored and (name, story.ledger.root(name, key)) not in story.ledger.renewed:
            yield f"{name} {key} was made anew, though its delete there was ignored"


def _undecided(story: Story) -> Iterator[str]:
    """What a person took, who saw what both sides held, is what they hold, unless somebody changed it since."""
    ledger, held = story.ledger, held_changes(story)
    for place, (edits, sides, side) in ledger.decided.items():
        name, entity, remote = place
        last = [edit for at in ("here", "there") if (edit := ledger.last.get((place, at)))]
        numbers = {number_of(sides.get("local")), number_of(sides.get("remote"))}
        if any(mark in str(sides[side]) for mark in "?!"):
            continue  # the other side refuses it
        saw_all = all(edit.number <= edits and edit.number in numbers for edit in last)
        if not saw_all or ledger.is_shaken(name, entity) or any(ledger.root(*each) == entity for each in held):
            continue
        for remote_id, record in story.project.far.records(OBJECT[name]).items():
            if ledger.root(name, entity_of(name, remote_id, record)) == entity and record[remote] != sides[side]:
                yield f"{remote} of {name} {entity} is {record[remote]!r}, though a person took {side}: {sides}"


def _drifted(story: Story) -> Iterator[str]:
    """A comparison of everything finds nothing but what the state knows of."""
    ahead = f"polled_at = polled_at + interval '{story.project.seconds + 3600} seconds'"
    story.project.sql(f"update syncbridge.watermark set {ahead}")
    for name in NAMES:
        with story.project.reconciler(name) as reconciler:
            for each in reconciler.run().examples:
                yield f"drifted: {name} {each}"
