-- Rows that stayed when somebody deleted their remote record (`deletes: {to_postgres: ignore}` or `set`): they do not go
-- out again by themselves, and a record that is undeleted is linked again with this base.
create table syncbridge.kept_row (
    mapping_id integer not null,
    key        text collate "C" not null,
    remote_id  text not null,        -- of the record that was deleted
    base       json not null,        -- of the link that it had
    at         timestamptz not null default now(),
    primary key (mapping_id, key)
);
