"""Foreign keys of a table, both ways, on a real server."""

from __future__ import annotations

from psycopg import Connection

from syncbridge.schemas import ForeignKey
from syncbridge.source.foreign_keys import read_foreign_keys

PUBLIC = "public"


def test_keys_that_go_out_and_keys_that_lead_here_are_told(connection: Connection) -> None:
    connection.execute(
        """
        create schema other;
        create table other.shops (country text, number int, primary key (number, country));
        create table people (id int primary key, manager_id int references people, shop int, land text,
                             foreign key (land, shop) references other.shops (country, number));
        create table orders (id int primary key, person_id int references people, note text);
        create table apart (id int primary key, order_id int references orders);
        """
    )
    people = (PUBLIC, "people")
    assert set(read_foreign_keys(connection, *people)) == {
        ForeignKey(people, ("land", "shop"), ("other", "shops"), ("country", "number")),
        ForeignKey(people, ("manager_id",), people, ("id",)),
        ForeignKey((PUBLIC, "orders"), ("person_id",), people, ("id",)),
    }


def test_a_partitioned_table_tells_each_key_once(connection: Connection) -> None:
    connection.execute(
        """
        create table people (id int primary key);
        create table visits (id int, person_id int references people, primary key (id)) partition by range (id);
        create table visits_1 partition of visits for values from (0) to (10);
        create table visits_2 partition of visits for values from (10) to (20);
        """
    )
    wanted = (ForeignKey((PUBLIC, "visits"), ("person_id",), (PUBLIC, "people"), ("id",)),)
    assert read_foreign_keys(connection, PUBLIC, "visits") == wanted
    assert read_foreign_keys(connection, PUBLIC, "people") == wanted


def test_a_table_without_any_has_none(connection: Connection) -> None:
    connection.execute("create table alone (id int primary key)")
    assert read_foreign_keys(connection, PUBLIC, "alone") == ()
