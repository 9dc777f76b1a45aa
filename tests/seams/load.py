"""Random committed changes of every kind, by a seed: what workers are killed under."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg import Connection

#: No table grows beyond this many rows.
MOST = 60


@dataclass
class Load:
    """Each `step` commits one transaction. Keys are never used twice, so one key has at most one remote record ever.

    The exception is a person that leaves the filter and comes back: `returned` holds their keys.
    """

    connection: Connection
    rng: random.Random
    returned: set[str] = field(default_factory=set)
    committed: int = 0
    _last: int = 1000
    _kinds: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        """One transaction of one to three changes."""
        with self.connection.transaction():
            for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
                self._change()
        self.committed += 1

    def _change(self) -> None:
        kinds: tuple[tuple[Callable[[], None], int], ...] = (
            (self._insert, 30),
            (self._update, 40),
            (self._update_part, 20),
            (self._delete, 10),
            (self._change_key, 8),
            (self._change_part_key, 6),
            (self._leave, 5),
            (self._return, 2),
            (self._burst, 2),
            (self._roll_back, 2),
            (self._truncate, 1),
            (self._rename_maker, 12),
            (self._move_order, 6),
            (self._order, 10),
        )
        chosen = self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        chosen()

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _execute(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        cursor = self.connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def _insert(self) -> None:
        key = self._next()
        self._execute(
            "insert into people (id, first_name, last_name, email) select %s, %s, %s, %s"
            " where (select count(*) from people) < %s",
            key, f"First {self.rng.randrange(1000)}", f"Last {key}", f"p{key}@example.com", MOST,
        )  # fmt: skip
        self._execute(
            "insert into parts select %s, %s, %s, %s where (select count(*) from parts) < %s",
            self.rng.choice(("acme", "Müller & Söhne", 'a "quoted" one')), key, f"Part {key}", 0, MOST,
        )  # fmt: skip

    def _update(self) -> None:
        self._execute(
            "update people set first_name = %s where id in (select id from people order by random() limit %s)",
            f"First {self.rng.randrange(1_000_000)}", self.rng.choice((1, 1, 3, 15)),
        )  # fmt: skip

    def _update_part(self) -> None:
        self._execute(
            "update parts set stock = %s where number %% 7 = %s", self.rng.randrange(100_000), self.rng.randrange(7)
        )

    def _delete(self) -> None:
        self._execute("delete from people where id = (select id from people order by random() limit 1)")
        self._execute("delete from parts where number = (select number from parts order by random() limit 1)")

    def _change_key(self) -> None:
        self._execute(
            "update people set id = %s where id = (select id from people order by random() limit 1)", self._next()
        )

    def _change_part_key(self) -> None:
        self._execute(
            "update parts set number = %s where number = (select number from parts order by random() limit 1)",
            self._next(),
        )

    def _leave(self) -> None:
        self._execute("update people set is_test = true where id = (select id from people order by random() limit 1)")

    def _return(self) -> None:
        rows = self._execute(
            "update people set is_test = false where id = (select id from people where is_test limit 1) returning id"
        )
        self.returned.update(str(key) for (key,) in rows)

    def _burst(self) -> None:
        """More keys at once than one batch delivers."""
        first = self._last + 1
        self._last += 30
        self._execute(
            "insert into parts select 'bulk', n, 'Part ' || n, 1 from generate_series(%s::int, %s::int) as n",
            first, self._last,
        )  # fmt: skip
        self._execute("update people set last_name = last_name || '.' where length(last_name) < 40")

    def _roll_back(self) -> None:
        """What was rolled back must never be seen."""
        self._execute("savepoint here")
        self._execute("update people set first_name = 'never committed'")
        self._execute("rollback to savepoint here")

    def _truncate(self) -> None:
        self._execute("truncate parts")

    def _rename_maker(self) -> None:
        """A parent of many."""
        self._execute(
            "insert into makers values (%s, %s) on conflict (name) do update set city = excluded.city",
            self.rng.choice(("acme", "Müller & Söhne", "bulk")), f"City {self.rng.randrange(1_000_000)}",
        )  # fmt: skip

    def _order(self) -> None:
        """A child comes, or goes."""
        self._execute(
            "insert into orders (person, total) select id, %s from people order by random() limit 2",
            self.rng.randrange(100),
        )  # fmt: skip
        self._execute("delete from orders where id = (select id from orders order by random() limit 1)")

    def _move_order(self) -> None:
        """A child moves to another parent."""
        self._execute(
            "update orders set person = (select id from people order by random() limit 1)"
            " where id = (select id from orders order by random() limit 1)"
        )
