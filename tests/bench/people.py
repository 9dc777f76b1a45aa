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

# 60 inserts, 35 updates and 5 deletes of rows that are there: each transaction updates what the one before inserted.
_MIXED = """
do $$
declare
    start bigint;
begin
    for t in 1 .. {transactions} loop
        start := t * 60;
        insert into people select {row} from generate_series(start, start + 59) as n;
        update people set title = 'Changed ' || t, about = repeat(md5(t::text), 8)
         where id >= start - 60 and id < start - 25;
        delete from people where id >= start - 10 and id < start - 5;
        commit;
    end loop;
end $$
"""


def insert(connection: Connection, first: int, last: int) -> None:
    """Insert rows of these ids in one statement."""
    connection.execute(sql.SQL(_INSERT).format(row=sql.SQL(_ROW), first=sql.Literal(first), last=sql.Literal(last)))


def change_in_transactions(connection: Connection, transactions: int) -> int:
    """Commit so many transactions of 100 changes over an empty table; how many changes that were."""
    insert(connection, 1, 59)  # what the first transaction updates and deletes from
    connection.execute(sql.SQL(_MIXED).format(row=sql.SQL(_ROW), transactions=sql.Literal(transactions)))
    return transactions * 100
