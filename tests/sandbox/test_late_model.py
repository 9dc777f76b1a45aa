"""Late visibility against a model: what queries see is, for each record, what its last visible write left."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.store.changes import Record

EPOCH = 1_780_000_000
#: A step: which of three records is written or deleted with how much lateness, and the seconds that pass after it.
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["write", "delete"]), st.integers(0, 4), st.integers(0, 3)),
    max_size=12,
)


class _Model:
    """Each record's names, None for a deleted one, with the moment from which each may be seen."""

    def __init__(self) -> None:
        self.versions: dict[str, list[tuple[int, str | None]]] = {}

    def add(self, record_id: str, due: int, name: str | None) -> None:
        """Note a write; it is seen no earlier than those before it."""
        versions = self.versions.setdefault(record_id, [])
        versions.append((max([due, *(each for each, _ in versions)]), name))

    def visible(self, now: int) -> dict[str, str]:
        """Return the names that are to be seen, by record."""
        found = {}
        for record_id, versions in self.versions.items():
            names = [name for due, name in versions if due <= now]
            if names and names[-1] is not None:
                found[record_id] = names[-1]
        return found


@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
def test_queries_see_the_last_visible_write_of_each_record(steps: list[tuple[int, str, int, int]]) -> None:
    time = [EPOCH]
    sandbox = Sandbox(clock=lambda: time[0])
    account: Any = sandbox.org.find("Account")
    model, ids = _Model(), dict[int, str]()
    try:
        for number, (which, what, late, pause) in enumerate(steps):
            sandbox.storage.late.set(late, late)
            name = f"name {number}"
            due = time[0] + late
            if what == "delete":
                if which in ids:
                    sandbox.deletes.delete([ids[which]])
                    model.add(ids.pop(which), due, None)
            else:
                ids[which] = _write(sandbox, account, ids.get(which), name)
                model.add(ids[which], due, name)
            for _ in range(pause + 1):
                assert _seen(sandbox) == model.visible(time[0])
                time[0] += 1
            time[0] -= 1
        time[0] += 10
        assert _seen(sandbox) == model.visible(time[0])
        assert sandbox.storage.late.oldest() is None
    finally:
        sandbox.close()


def _write(sandbox: Sandbox, account: Any, record_id: str | None, name: str) -> str:
    record: Record = {"Name": name}
    if record_id is None:
        [outcome] = sandbox.writes.create([(account, record)])
    else:
        [outcome] = sandbox.writes.update([(account, {**record, "Id": record_id})])
    assert outcome.refusal is None
    return str(outcome.id)


def _seen(sandbox: Sandbox) -> dict[str, str]:
    with sandbox.lock, sandbox.storage.seen_by_queries():
        return dict(sandbox.storage.select('select "Id", "Name" from "Account" where "IsDeleted" = 0'))
