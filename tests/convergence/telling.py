"""What a story tells, line by line, when it ends badly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.convergence.ledger import Ledger
from tests.convergence.mappings import NAMES
from tests.convergence.project import Project


@dataclass
class Telling:
    """A story over a project, and who wrote what in it."""

    project: Project
    ledger: Ledger = field(default_factory=Ledger)
    lines: list[str] = field(default_factory=list)
    created: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in NAMES})  # remote ids
    _observed: int = 0
    _logged: int = 0

    def __post_init__(self) -> None:
        self.project.far.calls.tell = self.tell
        self._observed = self.project.captured

    def begin(self) -> None:
        """What was inserted so far is on both sides, and nothing of it is worth telling."""
        self.observe()
        self.ledger.shaken.clear()
        self.ledger.renewed.clear()
        self.lines[:] = [str(self.project.variant), f"v1 to v{len(self.ledger.edits)} are on both sides"]

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def observe(self) -> None:
        """Tell what syncbridge wrote into rows and into its log since the last look."""
        for number, source, key, before, after in self.project.sql(
            "select number, source, key, before, after from written where number > %s and who like 'syncbridge%%'"
            " order by number",
            self._observed,
        ):
            self._observed = number
            self.tell(f"    row of {source} {key}: {_changes(before, after)}")
        for id, name, key, remote_id, operation, outcome, code, message, decision in self.project.sql(
            "select l.id, m.name, key, remote_id, operation, outcome, code, message, decision"
            " from syncbridge.sync_log l join syncbridge.mapping m on m.id = l.mapping_id where l.id > %s and"
            " (direction = 'in' or outcome <> 'delivered') order by l.id",
            self._logged,
        ):
            self._logged = id
            if key and remote_id in self.created[name]:
                self.ledger.join(name, remote_id, key)
            told = " ".join(str(each) for each in (operation, outcome, code, message, decision) if each)
            self.tell(f"    log of {name} {key or remote_id}: {told}")

        for name, error in self.project.sql(
            "select name, last_error from syncbridge.mapping where last_error is not null order by name"
        ):
            self.tell(f"    {name} says: {error}")
        self.project.sql("update syncbridge.mapping set last_error = null where last_error is not null")


def _changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    if before is None or after is None:
        return f"deleted, was {before}" if before else f"inserted {after}"
    return str({name: (before[name], value) for name, value in after.items() if before[name] != value})
