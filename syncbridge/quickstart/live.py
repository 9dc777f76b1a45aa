"""Random changes on both sides, for as long as the quickstart stays up."""

from __future__ import annotations

import random
from collections.abc import Sequence

from syncbridge.model import Fields

#: People whose rows and records the tour does not touch.
FIRST = 200

_LIVE: Sequence[tuple[str, str, str]] = (
    ("somebody gets a new job", "people", "update people set title = 'Director {number}' where id = {person}"),
    ("a new phone number", "people", "update people set phone = '+1 555 {number}' where id = {person}"),
    ("an order changes its price", "orders", "update orders set amount = {number}.50 where id = {order}"),
    (
        "a new person signs up",
        "people",
        "insert into people (company_id, first_name, last_name, email)"
        " values (2, 'Noor', 'Haddad', 'noor{number}@mail.example')",
    ),
)

#: In words, and the fields of a Contact.
_EDITS: Sequence[tuple[str, str, str]] = (
    ("sales notes a phone number", "Phone", "+1 555 {number}"),
    ("sales corrects a title", "Title", "Buyer {number}"),
)


def change(rng: random.Random, people: int, orders: int) -> tuple[str, str, str]:
    """A change of a row: in words; the mapping; the SQL."""
    person, order, number = rng.randint(FIRST, people), rng.randint(40, orders), rng.randint(1000, 9999)
    what, mapping, statement = rng.choice(_LIVE)
    return what, mapping, statement.format(person=person, order=order, number=number)


def remote_edit(rng: random.Random, people: int) -> tuple[str, str, str, str, Fields]:
    """An edit of a record: in words; the mapping; the object; the key; the fields."""
    what, field, value = rng.choice(_EDITS)
    key = next(n for n in iter(lambda: rng.randint(FIRST, people), None) if n % 50)  # each fiftieth is a test account
    return what, "people", "Contact", str(key), {field: value.format(number=rng.randint(1000, 9999))}
