"""What was decided about a page is done to its rows: in groups of one statement, in the transaction that locks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from syncbridge.errors import RecordRejected
from syncbridge.inbound import sequences
from syncbridge.inbound.columns import Columns
from syncbridge.inbound.decide import Action
from syncbridge.inbound.moves import move_children
from syncbridge.inbound.new_rows import NewRows
from syncbridge.inbound.recording import Page
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.source import own_writes, row_writes
from syncbridge.source.row_writes import Refusal


def apply(page: Page, way: WayBack) -> None:
    """Make, change and delete the rows of a page's decisions; what is refused is added to `page.refused`.

    Whoever decodes the transaction learns from a message at its begin that the changes are ours, and of which mapping.
    """
    if all(decision.action is Action.NOTHING for decision in page.decisions):
        return
    two_way, source = way.two_way, way.source
    own_writes.begin(source, way.mapping.name)
    source.execute("set constraints all immediate")  # what is refused is refused here, and not at the commit
    made = {d.key for d in page.decisions if d.action in (Action.CREATE, Action.INSERT)}
    page.refused |= sequences.refusals(source, two_way.keys_by_default, made)
    new = {d.key: d.write for d in page.decisions if d.action is Action.CREATE and d.key not in page.refused}
    page.refused |= NewRows(way).make(new, page.parents)
    _change(page, way)
    sequences.pass_by(source, two_way.keys_by_default, made - page.refused.keys())
    deletes = [decision for decision in page.decisions if decision.action is Action.DELETE]
    page.refused |= move_children(way, deletes)
    page.refused |= _delete([decision.key for decision in deletes if decision.key not in page.refused], way)


@dataclass(slots=True)
class _Group:
    """Rows that one statement changes in the same columns."""

    keys: list[str] = field(default_factory=list)
    values: list[list[str | None]] = field(default_factory=list)


def _change(page: Page, way: WayBack) -> None:
    groups: dict[tuple[Action, tuple[str, ...]], _Group] = {}
    for decision in page.decisions:
        if decision.action in (Action.UPDATE, Action.INSERT) and decision.key not in page.refused:
            try:
                texts = way.columns.texts(_writable(decision.write, way.columns), page.parents)
            except RecordRejected as rejected:
                page.refused[decision.key] = Refusal(rejected.code, rejected.message)
                continue
            group = groups.setdefault((decision.action, tuple(texts)), _Group())
            group.keys.append(decision.key)
            group.values.append(list(texts.values()))
    for (action, names), group in groups.items():
        assignments = way.columns.assignments(names)
        make = way.two_way.update_sql if action is Action.UPDATE else way.two_way.insert_sql
        page.refused |= row_writes.change(way.source, make(assignments), group.keys, group.values).refused


def _writable(write: Fields, columns: Columns) -> Fields:
    """Without what no column holds; a row that is made anew gets the rest from outbound's next look."""
    return {name: value for name, value in write.items() if name in columns.written}


def _delete(keys: Sequence[str], way: WayBack) -> dict[str, Refusal]:
    rule = way.two_way.deletes
    if not keys or rule.action == "ignore":
        return {}
    if rule.action == "delete":
        return row_writes.change(way.source, way.two_way.delete_sql, keys).refused
    assignments, texts = way.columns.constants(way.two_way)
    return row_writes.change(way.source, way.two_way.update_sql(assignments), keys, [texts] * len(keys)).refused
