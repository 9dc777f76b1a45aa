"""The table of the benches: ten columns, some 400 bytes a row, and the mapping that sends all of them."""

from __future__ import annotations

from psycopg import Connection, sql

TABLE = """
create table people (
    id bigint primary key, first_name text, last_name text not null, email text, phone text, title text,
    department text, birthdate date, city text, about text
)
"""

MAPPING = """\
mapping: people
destination: salesforce
object: Contact
entity: {table: public.people, key: id}
external_id: External_Key__c
fields:
  FirstName: first_name
  LastName: last_name
  Email: email
  Phone: phone
  Title: title
  Department: department
  Birthdate: birthdate
  MailingCity: city
  Description: about
guard: {deletes: off, changes: off}
"""

_ROW = """
    n, 'First ' || n, 'Last ' || n % 100003, 'person.' || n || '@example.com', '+49 30 ' || 1000000 + n,
    'Title ' || n % 97, 'Department ' || n % 31, date '1950-01-01' + (n % 20000)::integer, 'City ' || n % 1009,
    repeat(md5(n::text), 8)
"""

_INSERT = "insert into people select {row} from generate_series({first}, {last}) as n"

# 60 inserts, 35 updates, 5 deletes; no row is touched twice, so that no two changes fall into one outbox row.
_MIXED = """
do $$
begin
    for t in 0 .. {transactions} - 1 loop
        insert into people select {row} from generate_series({old} + 60 * t + 1, {old} + 60 * t + 60) as n;
        update people set title = 'Changed ' || t, about = repeat(md5(t::text), 8)
         where id > 40 * t and id <= 40 * t + 35;
        delete from people where id > 40 * t + 35 and id <= 40 * t + 40;
        commit;
    end loop;
end $$
"""


def insert(connection: Connection, first: int, last: int) -> None:
    """Insert rows of these ids in one statement."""
    connection.execute(sql.SQL(_INSERT).format(row=sql.SQL(_ROW), first=sql.Literal(first), last=sql.Literal(last)))


def insert_old(connection: Connection, transactions: int) -> None:
    """Insert the rows that so many transactions of `change_in_transactions` update and delete."""
    insert(connection, 1, 40 * transactions)


def change_in_transactions(connection: Connection, transactions: int) -> None:
    """Commit so many transactions of 100 changes, each of a row of its own, after `insert_old`."""
    old = sql.Literal(40 * transactions)
    connection.execute(sql.SQL(_MIXED).format(row=sql.SQL(_ROW), transactions=sql.Literal(transactions), old=old))
