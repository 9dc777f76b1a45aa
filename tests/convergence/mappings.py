"""Two tables, the mappings over them, and the rules by which a story plays."""

from __future__ import annotations

from dataclasses import dataclass

TABLES = """
create table clock (seconds float8);
insert into clock values (0);
create table companies (id bigint primary key, name text, city text);
create table people (id bigint primary key, first_name text, last_name text, email text, score numeric, title text,
                     department text, grade text, greeting text,
                     company_id bigint references companies on delete set null);
create table written (number bigserial primary key, source text, key text, before jsonb, after jsonb, who text,
                      at timestamptz);
create function note() returns trigger language plpgsql as $$
begin
    insert into written (source, key, before, after, who, at)
    values (tg_table_name, coalesce(new.id, old.id)::text, to_jsonb(old), to_jsonb(new),
            current_setting('application_name'), clock_timestamp() + (select seconds from clock) * interval '1 second');
    return null;
end $$;
create trigger note after insert or update or delete on companies for each row execute function note();
create trigger note after insert or update or delete on people for each row execute function note();
create function greet() returns trigger language plpgsql as $$
begin
    new.greeting := 'Hi ' || btrim(new.first_name);
    return new;
end $$;
create trigger greet before insert or update on people for each row execute function greet();
"""

MAPPINGS = {
    "companies": """
mapping: companies
destination: crm
object: Account
entity: {{table: public.companies, key: id}}
external_id: Company_Key__c
direction: both
conflict: {conflict}
fields:
  Name: {{column: name, default: Unknown}}
  BillingCity: city
deletes: {{to_destination: delete, to_postgres: {to_postgres}}}
guard: {{deletes: off, changes: off}}
""",
    "people": """
mapping: people
destination: crm
object: Contact
entity: {{table: public.people, key: id}}
external_id: Person_Key__c
direction: both
conflict: {conflict}
fields:
  FirstName: first_name
  LastName: {{column: last_name, default: Unknown}}
  Email: email
  Score__c: score
  Title: {{column: title, owner: destination}}
  Department: {{column: department, owner: postgres}}
  Grade__c: {{column: grade, owner: destination}}
  Greeting__c: {{column: greeting, owner: postgres}}
  AccountId: {{lookup: companies, key: company_id}}
deletes: {{to_destination: delete, to_postgres: {to_postgres}}}
guard: {{deletes: off, changes: off}}
""",
}
#: Columns that people edit, by mapping and remote field.
COLUMNS = {
    "companies": {"Name": "name", "BillingCity": "city"},
    "people": {
        "FirstName": "first_name",
        "LastName": "last_name",
        "Email": "email",
        "Score__c": "score",
        "Title": "title",
        "Department": "department",
    },
}
OBJECT = {"companies": "Account", "people": "Contact"}
NAMES = tuple(MAPPINGS)


@dataclass(frozen=True)
class Variant:
    """By which rules an example plays."""

    conflict: str = "newest"
    to_postgres: str = "delete"
    rows_first: bool = False  # rows and state have connections of their own, as where they are different databases
