"""What our own writes settled is left out of the outbox: in that transaction, for that mapping, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from syncbridge.source import own_writes
from tests.fix_source import CapturedDatabase, numbers


def write(people: CapturedDatabase, first: int, last: int, settled: set[str], *, mapping_id: int = 1) -> None:
    """A transaction of the way back, that makes rows and settles some of them."""
    with people.admin.transaction():
        own_writes.begin(people.admin, "people")
        people.admin.execute("insert into people select generate_series(%s::int, %s::int)", (first, last))
        own_writes.settle(people.admin, mapping_id, sorted(settled))


def test_what_is_settled_is_not_enqueued_and_the_checkpoint_passes_it(people: CapturedDatabase) -> None:
    write(people, 1, 5, {"1", "2", "4"})
    capture = people.capture()
    people.catch_up(capture)
    assert people.outbox() == {"3", "5"}
    assert people.checkpoint() > 0
    assert people.confirmed() <= people.checkpoint()


def test_a_change_before_or_after_that_transaction_is_enqueued(people: CapturedDatabase) -> None:
    write(people, 1, 3, {"1", "2", "3"})
    people.admin.execute("update people set name = 'x' where id = 2")
    people.admin.execute("insert into people values (4)")
    with people.admin.transaction():
        own_writes.begin(people.admin, "people")
        own_writes.settle(people.admin, 1, ["4"])  # this transaction did not touch it
    people.catch_up(people.capture())
    assert people.outbox() == {"2", "4"}


def test_what_comes_after_the_word_in_the_same_transaction_is_enqueued(people: CapturedDatabase) -> None:
    with people.admin.transaction():
        own_writes.settle(people.admin, 1, ["1"])
        people.admin.execute("insert into people values (1)")
    people.catch_up(people.capture())
    assert people.outbox() == {"1"}


def test_another_mapping_of_the_same_table_is_told_of_every_row(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table people (id bigint primary key, name text)")
    for mapping_id in (1, 2):
        captured.watch("people", "id", mapping_id=mapping_id)
    captured.watch("people", "id", mapping_id=1, relation="people")
    captured.provide()
    write(captured, 1, 3, numbers(1, 3))
    captured.catch_up(captured.capture())
    assert captured.outbox(1) == set()
    assert captured.outbox(2) == numbers(1, 3)
    assert captured.join_keys(1) == {"people": numbers(1, 3)}


def test_a_rollback_settles_nothing(people: CapturedDatabase) -> None:
    people.admin.execute("insert into people values (1)")
    with people.admin.transaction(force_rollback=True):
        own_writes.settle(people.admin, 1, ["1"])
    people.catch_up(people.capture())
    assert people.outbox() == {"1"}


def test_a_state_in_another_database_does_not_take_these_words_for_its_own(people: CapturedDatabase) -> None:
    """There, another state may name its mappings by the same numbers."""
    write(people, 1, 3, numbers(1, 3))
    people.catch_up(people.capture(people.settings(state=f"{people.dsn} application_name=another")))
    assert people.outbox() == numbers(1, 3)


def test_a_write_larger_than_a_batch_is_enqueued_in_parts_and_nothing_of_it_is_lost(people: CapturedDatabase) -> None:
    pace = replace(people.settings().pace, batch_keys=10)
    write(people, 1, 50, numbers(1, 40))
    people.catch_up(people.capture(people.settings(pace=pace)))
    assert numbers(41, 50) <= people.outbox() <= numbers(1, 50)


def test_keys_of_several_columns_and_of_any_text_are_settled(captured: CapturedDatabase) -> None:
    captured.admin.execute("create table people (a text, b int, primary key (a, b))")
    captured.watch("people", "a", "b")
    captured.provide()
    with captured.admin.transaction():
        captured.admin.execute("""insert into people values ('Zoë "x"', 1), ('b', 2)""")
        own_writes.settle(captured.admin, 1, ['["Zoë \\"x\\"", "1"]'])
    captured.catch_up(captured.capture())
    assert captured.outbox() == {'["b", "2"]'}
