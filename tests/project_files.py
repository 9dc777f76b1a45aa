"""What stands in the folder of the whole project, and in its database: settings, mappings, tables, the org."""

from __future__ import annotations

ORG = """
objects:
  Contact:
    fields:
      Person_Key__c: string(40) external_id      # not unique: two records of one key would be possible
      Badge__c: string(20) unique
      Level__c: {type: picklist, values: [Gold, Silver], restricted: true}
  Account:
    fields:
      Firm_Key__c: string(40) external_id unique
  Part__c:
    fields:
      Part_Key__c: string(80) external_id
      Stock__c: int
      Owner__c: string(18)
"""

SETTINGS = """
[source]
slot = "{slot}"
publication = "{slot}"
heartbeat = "1s"

[worker]
lanes = 1
linger = "0s"
batch = 200

[destinations.crm]
type = "salesforce"
login = "client_credentials"
instance_url = "{url}"
client_id = "{client_id}"
"""

PEOPLE = """
mapping: people
destination: crm
object: Contact
entity:
  table: public.people
  key: id
  where: not is_test
external_id: Person_Key__c
fields:
  FirstName: first_name
  LastName: last_name
  Email: {column: email, sensitive: true}
  Badge__c: badge
  Level__c: level
deletes: {to_destination: delete}
guard: {deletes: "off"}
"""

PARTS = """
mapping: parts
destination: crm
object: Part__c
entity:
  table: public.parts
  key: [maker, number]
external_id: Part_Key__c
fields:
  Name: name
  Stock__c: stock
deletes: {to_destination: delete}
guard: {deletes: "off"}
"""

TABLES = """
create table people (id bigint primary key, first_name text, last_name text, email text, badge text, level text,
                     is_test boolean not null default false);
create table parts (maker text, number int, name text, stock int, primary key (maker, number));
insert into people (id, first_name, last_name, email)
       select n, 'First ' || n, 'Last ' || n, 'p' || n || '@example.com' from generate_series(1, 5) as n;
insert into parts select 'acme', n, 'Part ' || n, n from generate_series(1, 3) as n;
"""

#: Which mapping's records live in which object, by which key.
OBJECTS = {"people": ("Contact", "Person_Key__c"), "parts": ("Part__c", "Part_Key__c")}
