"""Whoever decodes the log can tell our changes of rows from those of others, and of which mapping they are."""

from __future__ import annotations

from tests.fix_two_way import StartTwoWay

DECODED = "select data from pg_logical_slot_get_changes('whose', null, null)"


def test_a_transaction_of_the_way_back_says_so_at_its_begin_and_others_do_not(start_two_way: StartTwoWay) -> None:
    both = start_two_way()
    writer = both.out.writer
    both.out.change(
        "insert into people (id, first_name, last_name) values (1, 'Ada', 'Byron'), (2, 'Ben', 'Lind')", 1, 2
    )
    both.settle()
    both.age_links()
    writer.execute("select pg_create_logical_replication_slot('whose', 'test_decoding', true)")
    writer.execute("update people set first_name = 'Local' where id = 2")
    both.edit(1, LastName="Lovelace")
    both.poll()
    both.poll()  # nothing is new: nothing is said
    lines = [line for (line,) in writer.execute(DECODED) if "syncbridge.in" in line or "public.people" in line]
    assert both.row(1, "last_name") == ("Lovelace",)
    ours = [number for number, line in enumerate(lines) if "prefix: syncbridge.in" in line]
    assert len(ours) == 1
    assert lines[ours[0]].endswith("content:people")
    assert "Lovelace" in lines[ours[0] + 1]
    assert next(line for line in lines if "public.people" in line).count("'Local'") == 1
    assert len(lines) == 3
