"""New rows of remote records, made in groups of one statement; one that is refused, or is no entity, is undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Rollback

from syncbridge.errors import RecordRejected
from syncbridge.inbound.parents import Parents
from syncbridge.inbound.way import WayBack
from syncbridge.model import Fields
from syncbridge.source import row_writes
from syncbridge.source.row_writes import Refusal

#: Code of a row that the mapping's filter leaves out.
FILTERED = "FILTERED"
#: Code of a row that a trigger kept out of the table, or put there under another key.
NOT_MADE = "NOT_MADE"


@dataclass(frozen=True, slots=True)
class NewRows:
    """Makes rows of one mapping."""

    way: WayBack

    def make(self, wanted: Mapping[str, Fields], parents: Parents) -> dict[str, Refusal]:
        """Make rows of key -> remote values, in a transaction; those that were refused, by key.

        A row that does not pass the mapping's filter is none of its entities: its record would be deleted.
        """
        texts, refused = self._texts(wanted, parents)
        while texts:
            found: dict[str, Refusal] = {}
            with self.way.source.transaction():
                made, found = self._insert(texts)
                wrong = self._wrong(texts, made, found)
                if wrong:  # make the others again without them
                    found |= wrong
                    raise Rollback
            refused |= found
            if not wrong:
                break
            texts = {key: row for key, row in texts.items() if key not in found}
        return refused

    def _texts(
        self, wanted: Mapping[str, Fields], parents: Parents
    ) -> tuple[dict[str, dict[str, str | None]], dict[str, Refusal]]:
        texts, refused = {}, {}
        for key in sorted(wanted):
            try:
                texts[key] = self.way.columns.texts(self.way.columns.for_new(wanted[key]), parents)
            except RecordRejected as rejected:
                refused[key] = Refusal(rejected.code, rejected.message)
        return texts, refused

    def _insert(self, texts: Mapping[str, dict[str, str | None]]) -> tuple[set[str], dict[str, Refusal]]:
        groups: dict[tuple[str, ...], list[str]] = {}
        for key, row in texts.items():
            groups.setdefault(tuple(row), []).append(key)
        made: set[str] = set()
        refused: dict[str, Refusal] = {}
        for names, keys in groups.items():
            sql = self.way.two_way.insert_sql(self.way.columns.assignments(names), new=True)
            done = row_writes.change(self.way.source, sql, keys, [list(texts[key].values()) for key in keys])
            made |= done.keys
            refused |= done.refused
        return made, refused

    def _wrong(self, texts: Mapping[str, object], made: set[str], refused: Mapping[str, Refusal]) -> dict[str, Refusal]:
        """Rows that have to be undone."""
        expected = texts.keys() - refused.keys()
        why = "a trigger of the table left the row out, or gave it another key"
        wrong = {key: Refusal(NOT_MADE, why) for key in expected - made}
        if self.way.two_way.filtered and made:
            there = self.way.entities(made)
            message = "the row would not pass `entity.where` of the mapping, and then be deleted over there"
            wrong |= {key: Refusal(FILTERED, message) for key in made - there}
        return wrong
