-- New remote records become rows.

-- New remote records that are no row: Postgres, or a column, refuses them, or a person must say which row they are.
create table syncbridge.held_record (
    mapping_id integer not null,
    remote_id  text not null,
    fields     json not null default '{}',  -- as they were refused: the same is not tried again by itself
    code       text not null,
    message    text not null,
    modified   timestamptz not null,        -- when the remote record changed
    since      timestamptz not null default now(),
    primary key (mapping_id, remote_id)
);

-- Entities whose remote record is gone, or was deleted by us: a page that was read before must not bring them back.
create table syncbridge.departure (
    mapping_id integer not null,
    key        text collate "C" not null,
    remote_id  text,
    at         timestamptz not null default clock_timestamp(),
    primary key (mapping_id, key)
);
create index on syncbridge.departure (remote_id, mapping_id) where remote_id is not null;

-- Deletes that the way back found up to this moment (by the destination's clock) were approved by a person.
alter table syncbridge.mapping add column approved_at timestamptz;
