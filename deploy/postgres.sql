-- What the source needs, as a superuser. Then set wal_level and restart the server once:
--   ALTER SYSTEM SET wal_level = 'logical';
--   ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';   -- a bound for what a stopped worker may retain

create role syncbridge login replication password 'choose one';
grant create on database app to syncbridge;             -- for the schema `syncbridge`, and the publication
grant usage on schema public to syncbridge;
grant select on all tables in schema public to syncbridge;
-- For mappings with `direction: both` or `to_postgres`: the tables whose rows they write. INSERT is for new records, and
-- DELETE for `deletes: {to_postgres: delete}`.
-- grant update, insert, delete on public.people to syncbridge;
-- grant usage, update on sequence public.people_id_seq to syncbridge;     -- where it gives new rows their key

-- A publication may only be made by the owner of its tables. Either let the owner create it once, with the statements
-- that `syncbridge setup` prints, or make syncbridge a member of the role that owns them:
grant app_owner to syncbridge;
